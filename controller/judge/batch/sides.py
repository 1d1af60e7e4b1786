"""The four processes of the kinds whose bets are products over windows, and what they say; runs side by side."""

from dataclasses import dataclass

import numpy as np

from controller.judge._process import MetricTest
from controller.judge.numbers.vector import Flags, Floats, RestartBatch, log_means

__all__ = ["SidedBatch", "SidesBatch"]


@dataclass(frozen=True, slots=True, eq=False)
class SidesBatch:
    """Logarithms of the products so far, a row per bet and a column per run.

    Attributes:
        worse: against "the candidate is within the margin".
        restart: the same bets, mixed over the window of onset (F6).
        catastrophic: against "it is within the catastrophic margin".
        not_worse: against "it is beyond the margin".
        better: against "it is not better than stable"; no rows where that is not asked.
    """

    worse: Floats
    restart: RestartBatch
    catastrophic: Floats
    not_worse: Floats
    better: Floats

    @classmethod
    def start(cls, metric: MetricTest, *, runs: int, up: int, down: int) -> "SidesBatch":
        """Evidence 1 for so many bets ``up`` (worse, better) and ``down`` (not worse)."""
        worse = np.zeros((up, runs))
        return cls(
            worse=worse,
            restart=RestartBatch.start(up, metric.horizon, runs=runs),
            catastrophic=worse,
            not_worse=np.zeros((down, runs)),
            better=worse if metric.must_be_better else worse[:0],
        )

    def times(
        self, *, worse: Floats, catastrophic: Floats, not_worse: Floats, better: Floats, counted: Flags
    ) -> "SidesBatch":
        """With the e-values of one more window, all 0 in runs in which it did not count."""
        return SidesBatch(
            worse=self.worse + worse,
            restart=self.restart.update(worse, counted),
            catastrophic=self.catastrophic + catastrophic,
            not_worse=self.not_worse + not_worse,
            better=self.better + better if len(self.better) else self.better,
        )

    def keep(self, runs: Flags) -> "SidesBatch":
        """Only these runs."""
        return SidesBatch(
            worse=self.worse[:, runs],
            restart=self.restart.keep(runs),
            catastrophic=self.catastrophic[:, runs],
            not_worse=self.not_worse[:, runs],
            better=self.better[:, runs],
        )


class SidedBatch:
    """What ``BatchProcess`` asks for, from ``_sides``."""

    _sides: SidesBatch

    @property
    def _runs(self) -> int:
        return self._sides.restart.windows.size

    @property
    def log_worse(self) -> Floats:
        """Log evidence that the candidate is worse than the margin: the plain process."""
        return log_means(self._sides.worse)

    @property
    def log_restart(self) -> Floats:
        """The same bets, mixed over the window in which it became worse."""
        return self._sides.restart.log_value

    @property
    def log_catastrophic(self) -> Floats:
        """Log evidence that the candidate is worse by the catastrophic margin."""
        return log_means(self._sides.catastrophic)

    @property
    def log_not_worse(self) -> Floats:
        """Log evidence that the candidate is not worse than the margin."""
        return log_means(self._sides.not_worse)

    @property
    def log_better(self) -> Floats:
        """Log evidence that the candidate is better than stable; 0 where that is not asked."""
        return log_means(self._sides.better) if len(self._sides.better) else np.zeros(self._runs)

    @property
    def log_harm(self) -> Floats:
        """Nothing, for kinds that do not count bad requests."""
        return np.zeros((0, self._runs))

    @property
    def decisive(self) -> Flags:
        """From the first window on."""
        return np.ones(self._runs, dtype=bool)
