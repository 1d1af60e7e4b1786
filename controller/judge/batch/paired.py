"""Pairs of many runs side by side: ``PairTest`` and ``PairProcess`` with arrays (F10)."""

from dataclasses import dataclass

import numpy as np

from controller.judge._process import MetricTest
from controller.judge.batch.sides import SidedBatch, SidesBatch
from controller.judge.kinds.paired import BETS, log_mcnemar
from controller.judge.numbers.vector import BatchWindow, Flags, Floats

__all__ = ["PairBatch", "PairBatchTest"]

_CATASTROPHE = 8.0
_LARGEST_CATASTROPHE = 0.5
_STAKES = np.array(BETS)[:, np.newaxis]


@dataclass(frozen=True, eq=False)
class PairBatchTest:
    """What is to be tested about pairs of answers in every run.

    Attributes:
        metric: what is the same in all runs.
        margins: effective margin per run, in [0, 1).
    """

    metric: MetricTest
    margins: Floats

    @property
    def runs(self) -> int:
        """How many runs there are."""
        return self.margins.size

    def process(self) -> "PairBatch":
        """Evidence 1 on every process of every run."""
        far = np.maximum(self.margins, np.minimum(_CATASTROPHE * self.margins, _LARGEST_CATASTROPHE))
        # "Better" needs no bets: it is McNemar's test on the sums.
        sides = SidesBatch.start(self.metric, runs=self.runs, up=len(BETS), down=len(BETS))
        return PairBatch(self.metric, self.margins, far, sides, np.zeros((2, self.runs)))


@dataclass(frozen=True, eq=False)
class PairBatch(SidedBatch):
    """The evidence processes of pairs of answers in every run; see ``BatchProcess``.

    ``_alone`` holds the pairs so far in which only stable was wrong, and those in which only the candidate was.
    """

    _metric: MetricTest
    _margins: Floats
    _far: Floats
    _sides: SidesBatch
    _alone: Floats

    def update(self, window: BatchWindow) -> "PairBatch":
        """Every process after the window, which says who was wrong alone."""
        stable, candidate = _alone(window)
        up = (candidate, stable, window.stable_total - stable - candidate)
        down = (stable, candidate, up[2])
        after = self._sides.times(
            worse=_log_factors(up, self._margins),
            catastrophic=_log_factors(up, self._far),
            not_worse=_log_factors(down, -self._margins),
            better=np.zeros_like(self._sides.better),
            counted=window.comparable,
        )
        alone = self._alone + np.stack([stable, candidate])
        return PairBatch(self._metric, self._margins, self._far, after, alone)

    def keep(self, runs: Flags) -> "PairBatch":
        """Only these runs."""
        return PairBatch(
            self._metric, self._margins[runs], self._far[runs], self._sides.keep(runs), self._alone[:, runs]
        )

    @property
    def log_worse(self) -> Floats:
        """Log evidence that the candidate is worse than the margin; McNemar's (F10) at margin 0."""
        plain = super().log_worse
        if self._margins.all():
            return plain
        return np.where(self._margins > 0.0, plain, _log_mcnemar(self._alone[1], self._alone[0]))

    @property
    def log_not_worse(self) -> Floats:
        """Log evidence that the candidate is not worse than the margin; 0 for ever at margin 0."""
        return np.where(self._margins > 0.0, super().log_not_worse, 0.0)

    @property
    def log_better(self) -> Floats:
        """Log evidence (F10) that the candidate is better than stable; 0 where that is not asked."""
        if not self._metric.must_be_better:
            return super().log_better
        return _log_mcnemar(*self._alone)


def _alone(window: BatchWindow) -> tuple[Floats, Floats]:
    if window.stable_alone is None or window.candidate_alone is None:
        msg = "expected a window of pairs, found one that does not say who was wrong alone"
        raise TypeError(msg)
    return window.stable_alone, window.candidate_alone


def _log_factors(pairs: tuple[Floats, Floats, Floats], lines: Floats) -> Floats:
    """``log_factors`` of the single window: pairs up, down and level; a row per bet."""
    up, down, level = pairs
    stakes = _STAKES / (1.0 + lines)
    logs: Floats = (
        up * np.log1p(stakes * (1.0 - lines))
        + down * np.log1p(-stakes * (1.0 + lines))
        + level * np.log1p(-stakes * lines)
    )
    return logs


def _log_mcnemar(worse: Floats, better: Floats) -> Floats:
    return np.array([log_mcnemar(*each) for each in zip(worse.tolist(), better.tolist(), strict=True)])
