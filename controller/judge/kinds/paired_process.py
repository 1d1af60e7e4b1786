"""Pairs: what is tested, and the evidence processes from the first window to the last."""

from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import log
from typing import ClassVar

import numpy as np

from controller.api.verdicts import Kind
from controller.judge._process import MetricTest, PerArm, Process, Window, WindowLike, window_of
from controller.judge.kinds.interval import difference_grid
from controller.judge.kinds.paired import BETS, PairArm, log_factors, log_mcnemar
from controller.judge.kinds.sides import SidedProcess, Sides
from controller.judge.numbers.vector import Floats, leading, log_means

__all__ = ["PairProcess", "PairTest"]

_CATASTROPHE = 8.0
_LARGEST_CATASTROPHE = 0.5


@dataclass(frozen=True)
class PairTest(MetricTest):
    """What is to be tested about pairs of answers; the margin is a difference of the shares of wrong ones."""

    kind: ClassVar[Kind] = Kind.PAIRED

    def problem(self) -> str | None:
        """What stands against the test: a margin of a share is below 1."""
        if not 0.0 <= self.margin < 1.0:
            return f"expected an effective margin of at least 0 and below 1, found {self.margin:g}"
        return super().problem()

    @property
    def catastrophic_margin(self) -> float:
        """Margin of the guard against disasters: min(8δ, ½), but never below δ."""
        return max(self.margin, min(_CATASTROPHE * self.margin, _LARGEST_CATASTROPHE))

    def process(self, alpha: float) -> Process:
        """Evidence 1 on every process."""
        return PairProcess.start(self, alpha)

    def level(self, window: WindowLike) -> float | None:
        """The candidate's share of wrong answers."""
        arm = window_of(window, PairArm).candidate
        return None if arm.silent else arm.bad / arm.total


@dataclass(frozen=True, slots=True)
class _Pairs:
    """All pairs so far."""

    total: float = 0.0
    stable: float = 0.0
    candidate: float = 0.0
    stable_alone: float = 0.0
    candidate_alone: float = 0.0

    def update(self, window: Window[PairArm]) -> "_Pairs":
        stable, candidate = window.stable, window.candidate
        return _Pairs(
            total=self.total + stable.total,
            stable=self.stable + stable.bad,
            candidate=self.candidate + candidate.bad,
            stable_alone=self.stable_alone + stable.alone,
            candidate_alone=self.candidate_alone + candidate.alone,
        )


@dataclass(frozen=True)
class PairProcess(SidedProcess):
    """The evidence processes of pairs of answers; see ``Process``."""

    test: PairTest
    alpha: float
    _sides: Sides
    _pairs: _Pairs = field(default_factory=_Pairs)
    _bounds: tuple[float, float] = (-1.0, 1.0)

    @classmethod
    def start(cls, test: PairTest, alpha: float) -> "PairProcess":
        """Evidence 1 on every process, before the first window."""
        # "Better" needs no bets: it is McNemar's test on all pairs.
        return cls(test=test, alpha=alpha, _sides=Sides.start(test, up=len(BETS), down=len(BETS)))

    def update(self, window: WindowLike) -> "PairProcess":
        """Every process after one more comparable window."""
        seen, margin = window_of(window, PairArm), self.test.margin
        mirrored = Window(stable=seen.candidate, candidate=seen.stable)
        sides = self._sides.update(
            worse=log_factors(seen, line=margin),
            catastrophic=log_factors(seen, line=self.test.catastrophic_margin),
            not_worse=log_factors(mirrored, line=-margin),
        )
        pairs = self._pairs.update(seen)
        return replace(self, _sides=sides, _pairs=pairs, _bounds=self._narrowed(pairs))

    def _narrowed(self, pairs: _Pairs) -> tuple[float, float]:
        """The interval after these pairs: within what it was, up to the first line on each side not refuted (F9)."""
        grid, level = _grid(self.test.margin), pairs.total - pairs.stable_alone
        counts = (pairs.candidate_alone, pairs.stable_alone, level - pairs.candidate_alone)
        needed = -log(self.alpha)
        below = leading(_log_evidence(counts, self.test.margin) >= needed)
        above = leading(_log_evidence((counts[1], counts[0], counts[2]), self.test.margin) >= needed)
        lower = grid[below - 1] if below else -1.0
        upper = -grid[above - 1] if above else 1.0
        return max(self._bounds[0], lower), min(self._bounds[1], upper)

    @property
    def log_worse(self) -> float:
        """Log evidence that the candidate is worse than the margin; McNemar's (F10) at margin 0."""
        if self.test.margin == 0.0:
            return log_mcnemar(self._pairs.candidate_alone, self._pairs.stable_alone)
        return super().log_worse

    @property
    def log_not_worse(self) -> float:
        """Log evidence that the candidate is not worse than the margin; 0 for ever at margin 0."""
        return super().log_not_worse if self.test.margin > 0.0 else 0.0

    @property
    def log_better(self) -> float:
        """Log evidence (F10) that the candidate is better than stable; 0 where that is not asked."""
        if not self.test.must_be_better:
            return 0.0
        return log_mcnemar(self._pairs.stable_alone, self._pairs.candidate_alone)

    @property
    def rates(self) -> PerArm | None:
        """Shares of wrong answers over all pairs."""
        pairs = self._pairs
        return PerArm(pairs.stable / pairs.total, pairs.candidate / pairs.total) if pairs.total else None

    @property
    def alone(self) -> PerArm:
        """Pairs so far in which that arm was wrong and the other was not: all that the evidence rests on."""
        return PerArm(self._pairs.stable_alone, self._pairs.candidate_alone)

    @property
    def interval(self) -> tuple[float, float]:
        """Bounds of the difference of the shares that hold at every window at once."""
        return self._bounds


@lru_cache(maxsize=256)
def _grid(margin: float) -> tuple[float, ...]:
    return difference_grid(margin)


@lru_cache(maxsize=256)
def _log_outcomes(margin: float) -> tuple[Floats, Floats, Floats]:
    """Log of what each bet (columns) on each line (rows) pays for a pair up, down and level."""
    lines = np.array(_grid(margin))[:, np.newaxis]
    stakes = np.array(BETS) / (1.0 + lines)
    return np.log1p(stakes * (1.0 - lines)), np.log1p(-stakes * (1.0 + lines)), np.log1p(-stakes * lines)


def _log_evidence(counts: tuple[float, float, float], margin: float) -> Floats:
    """Log evidence that the difference is above each line of the grid, by all pairs up, down and level."""
    up, down, level = _log_outcomes(margin)
    logs = counts[0] * up + counts[1] * down + counts[2] * level
    return log_means(logs.T)
