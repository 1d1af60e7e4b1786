"""Queries of many runs side by side: values held against a threshold, and no evidence."""

from dataclasses import dataclass

import numpy as np

from controller.judge._process import MetricTest
from controller.judge.numbers.vector import BatchWindow, Flags, Floats

__all__ = ["QueryBatch", "QueryBatchTest"]


@dataclass(frozen=True, eq=False)
class QueryBatchTest:
    """What is to be done about a query in every run.

    Attributes:
        metric: what is the same in all runs, the threshold too.
        margins: a 0 per run: a query has no margin.
    """

    metric: MetricTest
    margins: Floats

    @property
    def runs(self) -> int:
        """How many runs there are."""
        return self.margins.size

    def process(self) -> "QueryBatch":
        """No evidence, for ever."""
        return QueryBatch(self.runs)


@dataclass(frozen=True, slots=True)
class QueryBatch:
    """Nothing, for so many runs; see ``BatchProcess``. Windows have 1 as totals and the values as bad ones."""

    runs: int

    def update(self, window: BatchWindow) -> "QueryBatch":  # noqa: ARG002 - the protocol's
        """The same: a value is no evidence."""
        return self

    def keep(self, runs: Flags) -> "QueryBatch":
        """Only these runs."""
        return QueryBatch(int(runs.sum()))

    @property
    def log_worse(self) -> Floats:
        """0."""
        return np.zeros(self.runs)

    log_restart = log_catastrophic = log_not_worse = log_better = log_worse

    @property
    def log_harm(self) -> Floats:
        """None."""
        return np.zeros((0, self.runs))

    @property
    def decisive(self) -> Flags:
        """Never."""
        return np.zeros(self.runs, dtype=bool)
