"""Ratio metrics: what is tested, and the evidence processes of F1 from the first window of an epoch to its last."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from controller.judge._mixture import Plain, Restart
from controller.judge._process import MetricTest, PerArm, Process, Window, WindowLike, window_of
from controller.judge.kinds.interval import DifferenceInterval
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


@dataclass(frozen=True, slots=True)
class Rates:
    """Both arms' rates, each window weighted alike for both (Mantel–Haenszel), so that ramps cancel."""

    weight: float = 0.0
    stable: float = 0.0
    candidate: float = 0.0

    def update(self, window: Window[Arm]) -> "Rates":
        """The rates with one more window in them."""
        stable, candidate = window.stable, window.candidate
        total = stable.total + candidate.total
        return Rates(
            weight=self.weight + stable.total * candidate.total / total,
            stable=self.stable + stable.bad * candidate.total / total,
            candidate=self.candidate + candidate.bad * stable.total / total,
        )

    @property
    def levels(self) -> PerArm | None:
        """Both rates; None before the first window. While the arms' traffic keeps its proportion: bad by total."""
        return PerArm(self.stable / self.weight, self.candidate / self.weight) if self.weight else None


@dataclass(frozen=True)
class RatioProcess:
    """The evidence processes of one ratio metric; see ``Process``."""

    test: RatioTest
    _worse: Plain
    _restart: Restart
    _catastrophic: Plain
    _not_worse: Plain
    _better: Plain | None
    _known: History
    _interval: DifferenceInterval = field(compare=False, repr=False)
    _harm: Deferred[tuple[Plain, ...], tuple[Window[Arm], float]] = field(compare=False, repr=False)
    _rates: Rates = field(default_factory=Rates)

    @classmethod
    def start(cls, test: RatioTest, alpha: float) -> "RatioProcess":
        """Evidence 1 on every process, before the first window."""
        return cls(
            test=test,
            _worse=Plain.start(len(ODDS_RATIOS)),
            _restart=Restart.start(len(ODDS_RATIOS), test.horizon),
            _catastrophic=Plain.start(len(ODDS_RATIOS)),
            _not_worse=Plain.start(len(MARGIN_FRACTIONS)),
            _better=Plain.start(len(ODDS_RATIOS)) if test.must_be_better else None,
            _harm=Deferred(tuple(Plain.start(len(MARGIN_FRACTIONS)) for _ in test.steps)),
            _known=test.history or History(0.0, 0.0),
            _interval=DifferenceInterval.start(test.margin, alpha),
        )

    def update(self, window: WindowLike) -> "RatioProcess":
        """Every process after the window; all guesses rest on earlier windows alone."""
        seen = window_of(window, Arm)
        rate = self._known.expected_rate
        worse = _worse_factors(seen, rate, self.test.margin)
        return RatioProcess(
            test=self.test,
            _worse=self._worse.update(worse),
            _restart=self._restart.update(worse),
            _catastrophic=self._catastrophic.update(_worse_factors(seen, rate, self.test.catastrophic_margin)),
            _not_worse=self._not_worse.update(_not_worse_factors(seen, rate, self.test.margin)),
            _better=None if self._better is None else self._better.update(_better_factors(seen, rate)),
            _harm=self._harm.noting((seen, rate)),
            _known=self._known.learn(seen.stable),
            _interval=self._interval.update(seen, rate),
            _rates=self._rates.update(seen),
        )

    @property
    def log_worse(self) -> float:
        """Log evidence that the candidate is worse than the margin: the plain process."""
        return self._worse.log_value

    @property
    def log_restart(self) -> float:
        """The same bets, mixed over the window in which it became worse."""
        return self._restart.log_value

    @property
    def log_catastrophic(self) -> float:
        """Log evidence that the candidate is worse by the catastrophic margin."""
        return self._catastrophic.log_value

    @property
    def log_not_worse(self) -> float:
        """Log evidence that the candidate is not worse than the margin; 0 for ever at margin 0."""
        return self._not_worse.log_value

    @property
    def log_better(self) -> float:
        """Log evidence that the candidate's rate is below stable's; 0 where that is not asked."""
        return 0.0 if self._better is None else self._better.log_value

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
        return self._rates.levels

    @property
    def interval(self) -> tuple[float, float]:
        """Bounds of the difference that hold at every window at once, each with error α."""
        return self._interval.bounds

    @property
    def decisive(self) -> bool:
        """From the first window on."""
        return True


def _worse_factors(window: Window[Arm], rate: float, margin: float) -> tuple[float, ...]:
    return log_factors(window, rate=rate, margin=margin, alternatives=worse_alternatives(rate, margin))


def _not_worse_factors(window: Window[Arm], rate: float, margin: float) -> tuple[float, ...]:
    return log_factors(window, rate=rate, margin=margin, alternatives=not_worse_alternatives(rate, margin))


def _better_factors(window: Window[Arm], rate: float) -> tuple[float, ...]:
    return log_factors(window, rate=rate, margin=0.0, alternatives=better_alternatives(rate))
