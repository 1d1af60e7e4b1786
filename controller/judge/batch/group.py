"""Ratio metrics with a fixed largest sample, many runs side by side: ``GroupTest`` and ``GroupProcess`` (F11).

Looks are few, so each run takes its own with the test of a single one; what happens between looks is in arrays.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log

import numpy as np

from controller.judge.batch.ratio import RatioBatch, RatioBatchTest
from controller.judge.kinds.boundaries import GroupSequential
from controller.judge.kinds.group_process import GroupTest
from controller.judge.numbers.vector import BatchWindow, Flags, Floats

__all__ = ["GroupBatch", "GroupBatchTest"]


@dataclass(frozen=True, eq=False)
class GroupBatchTest:
    """What is to be tested at few looks about one ratio metric in every run.

    Attributes:
        metric: what is the same in all runs.
        ratio: what the e-processes test, which show the harm.
        alpha: error probability of the epoch, per side.
    """

    metric: GroupTest
    ratio: RatioBatchTest
    alpha: float

    @property
    def margins(self) -> Floats:
        """Effective margin per run."""
        return self.ratio.margins

    @property
    def runs(self) -> int:
        """How many runs there are."""
        return self.margins.size

    def process(self) -> "GroupBatch":
        """Nothing crossed."""
        spent = (1.0 - self.alpha) * self.alpha * self.metric.share
        none, even = np.zeros(self.runs), np.zeros_like(self.margins)
        return GroupBatch(
            _test=self,
            _margins=self.margins,
            _course=self.ratio.process(),
            _worse=_Side.start(self.metric.schedule(spent), runs=self.runs),
            _not_worse=_Side.start(self.metric.schedule(self.alpha), runs=self.runs),
            _better=_Side.start(self.metric.schedule(self.alpha), runs=self.runs),
            _score=_Scores(none, none, even, even),
            _requests=none,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Scores:
    """``StratifiedScore`` per run."""

    difference: Floats
    weight: Floats
    per_margin: Floats
    constant: Floats

    def update(self, window: BatchWindow) -> "_Scores":
        """The sums after one more window, where it is comparable."""
        counted = window.comparable
        n0, k0, n1, k1 = window.stable_total, window.stable_bad, window.candidate_total, window.candidate_bad
        total = np.where(counted, n0 + n1, 1.0)
        share0, share1 = n0 / total, n1 / total
        added = (
            k1 * share0 - k0 * share1,
            n0 * share1,
            share1**2 * k0 - share0**2 * k1 + 0.5 * share0 * share1 * (n0 - n1),
            0.5 * (k1 * ((n0 - k0) / total) + k0 * ((n1 - k1) / total)),
        )
        sums = (self.difference, self.weight, self.per_margin, self.constant)
        return _Scores(*(each + np.where(counted, more, 0.0) for each, more in zip(sums, added, strict=True)))

    def information(self, margins: Floats) -> Floats:
        """Variance of the score where candidate's rate is stable's + margin."""
        information: Floats = np.maximum(margins * self.per_margin + self.constant, 0.0)
        return information

    def z(self, margins: Floats) -> Floats:
        """The score in standard deviations; 0 without variance."""
        known = self.information(margins)
        z: Floats = (self.difference - margins * self.weight) / np.sqrt(np.where(known > 0.0, known, np.inf))
        return z

    def keep(self, runs: Flags) -> "_Scores":
        """Only these runs."""
        return _Scores(self.difference[runs], self.weight[runs], self.per_margin[runs], self.constant[runs])


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """The looks of one side in every run.

    Attributes:
        tests: the test of each run.
        due: requests at which its next look is; infinite after the last.
        crossed: in which runs a boundary was reached.
    """

    tests: Sequence[GroupSequential]
    due: Floats
    crossed: Flags

    @classmethod
    def start(cls, test: GroupSequential, *, runs: int) -> "_Side":
        """Before the first look."""
        return cls([test] * runs, np.full(runs, _due(test)), np.zeros(runs, dtype=bool))

    def update(self, *, requests: Floats, information: Floats, z: Floats) -> "_Side":
        """After a window; runs of which no look is due stay as they are."""
        looking = np.flatnonzero(requests >= self.due)
        if not looking.size:
            return self
        tests, due, crossed = list(self.tests), self.due.copy(), self.crossed.copy()
        for run in looking.tolist():
            seen = tests[run].update(
                requests=float(requests[run]), information=float(information[run]), z=float(z[run])
            )
            tests[run], due[run], crossed[run] = seen, _due(seen), seen.crossed
        return _Side(tests, due, crossed)

    def keep(self, runs: Flags) -> "_Side":
        """Only these runs."""
        return _Side([self.tests[run] for run in np.flatnonzero(runs).tolist()], self.due[runs], self.crossed[runs])


def _due(test: GroupSequential) -> float:
    return float("inf") if test.next_look is None else test.next_look


@dataclass(frozen=True, slots=True, eq=False)
class GroupBatch:
    """The group-sequential tests of one ratio metric in every run; see ``BatchProcess`` and ``GroupProcess``."""

    _test: GroupBatchTest
    _margins: Floats
    _course: RatioBatch
    _worse: _Side
    _not_worse: _Side
    _better: _Side
    _score: _Scores
    _requests: Floats

    def update(self, window: BatchWindow) -> "GroupBatch":
        """The tests after the window."""
        score, even = self._score.update(window), np.zeros_like(self._margins)
        requests = self._requests + np.where(window.comparable, window.candidate_requests, 0.0)
        z, known = score.z(self._margins), score.information(self._margins)
        asked = self._test.metric.must_be_better
        return replace(
            self,
            _course=self._course.update(window) if self._test.metric.steps else self._course,
            _worse=self._worse.update(requests=requests, information=known, z=z),
            _not_worse=self._not_worse.update(requests=requests, information=known, z=-z),
            _better=self._better.update(requests=requests, information=score.information(even), z=-score.z(even))
            if asked
            else self._better,
            _score=score,
            _requests=requests,
        )

    def keep(self, runs: Flags) -> "GroupBatch":
        """Only these runs."""
        return GroupBatch(
            _test=self._test,
            _margins=self._margins[runs],
            _course=self._course.keep(runs),
            _worse=self._worse.keep(runs),
            _not_worse=self._not_worse.keep(runs),
            _better=self._better.keep(runs),
            _score=self._score.keep(runs),
            _requests=self._requests[runs],
        )

    @property
    def log_worse(self) -> Floats:
        """Log of 1/(alpha·share) where the candidate was found worse than the margin, else 0."""
        return np.where(self._worse.crossed, self._test.metric.crossing(self._test.alpha), 0.0)

    @property
    def log_restart(self) -> Floats:
        """The same: at few looks a late onset is not looked for."""
        return self.log_worse

    @property
    def log_catastrophic(self) -> Floats:
        """The same: alpha is spent."""
        return self.log_worse

    @property
    def log_not_worse(self) -> Floats:
        """Log of 1/alpha where the candidate was found to be within the margin, else 0; 0 at margin 0."""
        return self._found(self._not_worse.crossed & (self._margins > 0.0))

    @property
    def log_better(self) -> Floats:
        """Log of 1/alpha where the candidate was found better; 0 else and where that is not asked."""
        return self._found(self._better.crossed)

    def _found(self, crossed: Flags) -> Floats:
        return np.where(crossed, -log(self._test.alpha), 0.0)

    @property
    def log_harm(self) -> Floats:
        """Log evidence that the harm stays within the budget; a row per step."""
        return self._course.log_harm

    @property
    def decisive(self) -> Flags:
        """Always: nothing crosses between looks."""
        return np.ones(self._margins.size, dtype=bool)
