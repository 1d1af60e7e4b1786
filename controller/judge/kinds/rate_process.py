"""Rate metrics: what is tested, and the evidence processes of F2 from the first window of an epoch to its last."""

from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import log, log1p
from typing import ClassVar

import numpy as np

from controller.api.verdicts import Kind
from controller.judge._process import MetricTest, PerArm, Process, Window, WindowLike, window_of
from controller.judge.kinds.levels import Levels
from controller.judge.kinds.rate import RateArm, better_ratios, log_factors, not_worse_ratios, worse_ratios
from controller.judge.kinds.ratio import MARGIN_FRACTIONS, ODDS_RATIOS
from controller.judge.kinds.sides import SidedProcess, Sides
from controller.judge.numbers.vector import Flags, Floats, leading, log_means

__all__ = ["RateProcess", "RateRatioInterval", "RateTest", "rate_ratio_grid"]

_CATASTROPHE = 8.0
_LARGEST_MARGIN = 1e6
_DEFAULT_MARGIN = 0.1
_LARGEST_SHOWN = 100.0


@dataclass(frozen=True)
class RateTest(MetricTest):
    """What is to be tested about one rate metric: that the candidate's rate is at most (1 + margin) × stable's.

    ``margin`` is relative: 0.25 allows a quarter more events per exposure. No history is needed, and there is no
    evidence for bounded harm.
    """

    kind: ClassVar[Kind] = Kind.RATE

    def problem(self) -> str | None:
        """What stands against the test: a margin that allows any rate."""
        if not 0.0 <= self.margin <= _LARGEST_MARGIN:
            return f"expected an effective relative margin from 0 to {_LARGEST_MARGIN:g}, found {self.margin:g}"
        return super().problem()

    @property
    def line(self) -> float:
        """The rate ratio that is still within the margin."""
        return 1.0 + self.margin

    @property
    def catastrophic_line(self) -> float:
        """The rate ratio of the guard against disasters: 1 + 8δ."""
        return 1.0 + _CATASTROPHE * self.margin

    def process(self, alpha: float) -> Process:
        """Evidence 1 on every process."""
        return RateProcess.start(self, alpha)

    def level(self, window: WindowLike) -> float | None:
        """The candidate's events per exposure."""
        arm = window_of(window, RateArm).candidate
        return None if arm.silent else arm.count / arm.total


@dataclass(frozen=True)
class RateProcess(SidedProcess):
    """The evidence processes of one rate metric; see ``Process``."""

    test: RateTest
    _sides: Sides
    _interval: "RateRatioInterval" = field(compare=False, repr=False)
    _levels: Levels = field(default_factory=Levels)

    @classmethod
    def start(cls, test: RateTest, alpha: float) -> "RateProcess":
        """Evidence 1 on every process, before the first window."""
        return cls(
            test=test,
            _sides=Sides.start(test, up=len(ODDS_RATIOS), down=len(MARGIN_FRACTIONS)),
            _interval=RateRatioInterval.start(test.margin, alpha),
        )

    def update(self, window: WindowLike) -> "RateProcess":
        """Every process after one more comparable window."""
        seen, line, far = window_of(window, RateArm), self.test.line, self.test.catastrophic_line
        stable, candidate, asked = seen.stable, seen.candidate, self.test.must_be_better
        sides = self._sides.update(
            worse=log_factors(seen, line=line, alternatives=worse_ratios(line)),
            catastrophic=log_factors(seen, line=far, alternatives=worse_ratios(far)),
            not_worse=log_factors(seen, line=line, alternatives=not_worse_ratios(line)),
            better=log_factors(seen, line=1.0, alternatives=better_ratios(1.0)) if asked else None,
        )
        return replace(
            self,
            _sides=sides,
            _interval=self._interval.update(seen),
            _levels=self._levels.update(sizes=(stable.total, candidate.total), amounts=(stable.count, candidate.count)),
        )

    @property
    def rates(self) -> PerArm | None:
        """Events per exposure over the windows that counted."""
        return self._levels.rates

    @property
    def interval(self) -> tuple[float, float] | None:
        """Bounds of the rate ratio, candidate's by stable's; None until there is an upper one."""
        return self._interval.bounds


def rate_ratio_grid(margin: float) -> tuple[float, ...]:
    """41 rate ratios, symmetric around 1 in logarithms, 1 + margin among them: finest near it.

    At margin 0 the grid is that of 0.1. The outermost are 100 (or the square of 1 + margin) and its inverse.
    """
    unit = log1p(margin if margin > 0.0 else _DEFAULT_MARGIN)
    near = np.geomspace(unit / 8, unit, 8)
    far = np.geomspace(unit, max(log(_LARGEST_SHOWN), 2.0 * unit), 13)[1:]
    steps = np.concatenate([near[:-1], [unit], far])
    return tuple(np.exp(np.concatenate([-steps[::-1], [0.0], steps])).tolist())


@dataclass(frozen=True, slots=True, eq=False)
class _Grid:
    """The grid, and for each of its ratios r the ratios r, r·OR (row 1 …) and r/OR: one row per kind of bet."""

    ratios: Floats
    bets: Floats
    log_bets: Floats


@dataclass(frozen=True, slots=True, eq=False)
class RateRatioInterval:
    """A confidence interval for the rate ratio that holds at every window at once (F9).

    F2's e-value is a ratio of two likelihoods, L(r)/L(r₀), given the events of both arms together. So the
    log-likelihoods of the grid and of its bets are all there is to add up; a ratio r₀ is refuted from below where
    the mean of L(r₀·OR)/L(r₀) reaches 1/α, from above with r₀/OR. Refuted once is refuted for ever, and each end
    stops at the first ratio that is not: only one null at a time has to fail, so each end has error α at any time.

    Attributes:
        alpha: error probability of each end.
    """

    alpha: float
    _grid: _Grid
    _logs: Floats
    _refuted: Flags = field(repr=False)

    @classmethod
    def start(cls, margin: float, alpha: float) -> "RateRatioInterval":
        """Nothing known."""
        grid = _grid_of(margin)
        return cls(alpha, grid, np.zeros(grid.bets.shape), np.zeros((2, grid.ratios.size), dtype=bool))

    def update(self, window: Window[RateArm]) -> "RateRatioInterval":
        """The interval after a comparable window."""
        stable, candidate = window.stable, window.candidate
        share = candidate.total / (candidate.total + stable.total)
        events = stable.count + candidate.count
        logs = self._logs + candidate.count * self._grid.log_bets - events * np.log1p(share * (self._grid.bets - 1.0))
        size = len(ODDS_RATIOS)
        evidence = np.stack([log_means(logs[1 : size + 1]), log_means(logs[size + 1 :])]) - logs[0]
        refuted = self._refuted | (evidence >= -log(self.alpha))
        logs.setflags(write=False)
        refuted.setflags(write=False)
        return RateRatioInterval(self.alpha, self._grid, logs, refuted)

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Lower (0 if none) and upper bound of the rate ratio; None until there is an upper one."""
        below, above = self._refuted[0], self._refuted[1, ::-1]
        if not above[0]:
            return None
        ratios = self._grid.ratios
        lower = ratios[leading(below) - 1] if below[0] else 0.0
        return float(lower), float(ratios[::-1][leading(above) - 1])


@lru_cache(maxsize=256)
def _grid_of(margin: float) -> _Grid:
    ratios = np.array(rate_ratio_grid(margin))
    odds = np.array([1.0, *ODDS_RATIOS, *(1.0 / ratio for ratio in ODDS_RATIOS)])
    bets = ratios * odds[:, np.newaxis]
    return _Grid(ratios=ratios, bets=bets, log_bets=np.log(bets))
