"""Ratio metrics: what is tested, and the evidence processes of F1 from the first window of an epoch to its last."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from controller.judge._mixture import Plain
from controller.judge._process import MetricTest, PerArm, Process, Window, WindowLike, window_of
from controller.judge.kinds.interval import DifferenceInterval
from controller.judge.kinds.levels import Levels
from controller.judge.kinds.ratio import (
    MARGIN_FRACTIONS,
    ODDS_RATIOS,
    Arm,
    History,
    better_alternatives,
    log_factors,
    not_worse_alternatives,
    worse_alternatives,
)
from controller.judge.kinds.sides import SidedProcess, Sides
from controller.judge.numbers.deferred import Deferred

__all__ = ["RatioProcess", "RatioTest"]

_CATASTROPHE = 8.0


@dataclass(frozen=True)
class RatioTest(MetricTest):
    """What is to be tested about one ratio metric, or about a mean with known bounds.

    Attributes:
        history: stable's effective counts before the epoch, None if there are none.
    """

    history: History | None = None

    def problem(self) -> str | None:
        """What stands against the test: a margin of a share is below 1."""
        if not 0.0 <= self.margin < 1.0:
            return f"expected an effective margin of at least 0 and below 1, found {self.margin:g}"
        return super().problem()

    @cached_property
    def catastrophic_margin(self) -> float:
        """Margin of the guard against disasters: min(8δ, (1 − p0)/2), but never below δ, where it would accuse.

        p0 is stable's rate in the history, ½ without one (F1's guess before any data).
        """
        rate = self.history.rate if self.history is not None else None
        room = (1.0 - (0.5 if rate is None else rate)) / 2
        return max(self.margin, min(_CATASTROPHE * self.margin, room))

    def process(self, alpha: float) -> "Process":
        """Evidence 1 on every process."""
        return RatioProcess.start(self, alpha)

    def level(self, window: WindowLike) -> float | None:
        """The candidate's share of bad requests."""
        arm = window_of(window, Arm).candidate
        return arm.bad / arm.total if arm.total > 0 else None


@dataclass(frozen=True)
class RatioProcess(SidedProcess):
    """The evidence processes of one ratio metric; see ``Process``."""

    test: RatioTest
    _sides: Sides
    _known: History
    _interval: DifferenceInterval = field(compare=False, repr=False)
    _harm: Deferred[tuple[Plain, ...], tuple[Window[Arm], float]] = field(compare=False, repr=False)
    _levels: Levels = field(default_factory=Levels)

    @classmethod
    def start(cls, test: RatioTest, alpha: float) -> "RatioProcess":
        """Evidence 1 on every process, before the first window."""
        return cls(
            test=test,
            _sides=Sides.start(test, up=len(ODDS_RATIOS), down=len(MARGIN_FRACTIONS)),
            _harm=Deferred(tuple(Plain.start(len(MARGIN_FRACTIONS)) for _ in test.steps)),
            _known=test.history or History(0.0, 0.0),
            _interval=DifferenceInterval.start(test.margin, alpha),
        )

    def update(self, window: WindowLike) -> "RatioProcess":
        """Every process after the window; all guesses rest on earlier windows alone."""
        seen, test = window_of(window, Arm), self.test
        rate, stable, candidate = self._known.expected_rate, seen.stable, seen.candidate
        sides = self._sides.update(
            worse=_worse_factors(seen, rate, test.margin),
            catastrophic=_worse_factors(seen, rate, test.catastrophic_margin),
            not_worse=_not_worse_factors(seen, rate, test.margin),
            better=_better_factors(seen, rate) if test.must_be_better else None,
        )
        return RatioProcess(
            test=test,
            _sides=sides,
            _harm=self._harm.noting((seen, rate)),
            _known=self._known.learn(seen.stable),
            _interval=self._interval.update(seen, rate),
            _levels=self._levels.update(sizes=(stable.total, candidate.total), amounts=(stable.bad, candidate.bad)),
        )

    @property
    def log_harm(self) -> tuple[float, ...]:
        """Log evidence that each step's weight keeps the harm within its budget."""
        return tuple(process.log_value for process in self._harm.result(self._harmed))

    def _harmed(self, harm: tuple[Plain, ...], windows: Sequence[tuple[Window[Arm], float]]) -> tuple[Plain, ...]:
        margins = tuple(self.test.harm_margins.values())
        for window, rate in windows:
            harm = tuple(
                process.update(_not_worse_factors(window, rate, margin))
                for process, margin in zip(harm, margins, strict=True)
            )
        return harm

    @property
    def rates(self) -> PerArm | None:
        """Shares of bad requests over the windows that counted."""
        return self._levels.rates

    @property
    def interval(self) -> tuple[float, float]:
        """Bounds of the difference that hold at every window at once, each with error α."""
        return self._interval.bounds


def _worse_factors(window: Window[Arm], rate: float, margin: float) -> tuple[float, ...]:
    return log_factors(window, rate=rate, margin=margin, alternatives=worse_alternatives(rate, margin))


def _not_worse_factors(window: Window[Arm], rate: float, margin: float) -> tuple[float, ...]:
    return log_factors(window, rate=rate, margin=margin, alternatives=not_worse_alternatives(rate, margin))


def _better_factors(window: Window[Arm], rate: float) -> tuple[float, ...]:
    return log_factors(window, rate=rate, margin=0.0, alternatives=better_alternatives(rate))
