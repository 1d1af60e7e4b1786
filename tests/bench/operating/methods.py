"""Rules that look at windows of many runs side by side: ours by their evidence, and what others do instead.

``look`` gets one more window and returns, per name, in which runs the rule would take the candidate back now.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log
from typing import Protocol

import numpy as np

from controller.api.verdicts import Role
from controller.judge import RatioTest
from controller.judge.batch import (
    BatchCalibration,
    BatchTest,
    BatchWindow,
    Flags,
    Floats,
    PodCounts,
    RateBatchTest,
    RatioBatchTest,
    TrialBatch,
)
from controller.judge.kinds.mean import log_one_sided

ALPHA = 0.05
NEEDED = -log(ALPHA)
Z_CRITICAL = 1.6448536269514722
DECISIVE = 5
"""Differences that F3 needs before it may decide."""


class Method(Protocol):
    """A rule, with its memory of the windows so far."""

    def look(self, stable: PodCounts, candidate: PodCounts) -> Mapping[str, Flags]:
        """One more window."""


def raw_window(stable: PodCounts, candidate: PodCounts) -> BatchWindow:
    """Both arms' counts as they are."""
    n, m = stable.summed(), candidate.summed()
    return BatchWindow(n.total, n.bad, m.total, m.bad, n.total, m.total)


def effective_window(calibration: BatchCalibration, stable: PodCounts, candidate: PodCounts) -> BatchWindow:
    """Both arms' counts, deflated."""
    n, m = calibration.effective(stable), calibration.effective(candidate)
    return BatchWindow(n.total, n.bad, m.total, m.bad, stable.summed().total, candidate.summed().total)


def ratio_test(history: PodCounts, margins: Floats, *, calibration: BatchCalibration | None = None) -> RatioBatchTest:
    """F1 with what stable's history (intervals, pods, runs) tells, deflated or as it is."""
    counts = history.summed() if calibration is None else calibration.effective(history)
    metric = RatioTest("metric", Role.GUARDRAIL, horizon=500)
    return RatioBatchTest(metric, margins, counts.total.sum(axis=0), counts.bad.sum(axis=0))


class Evidence:
    """Processes of the judge, read in several ways; each reading takes back at evidence 20."""

    def __init__(
        self,
        test: BatchTest,
        readings: Mapping[str, Callable[["Evidence"], Floats]],
        *,
        calibration: BatchCalibration | None = None,
    ) -> None:
        self.process = test.process()
        self._readings = readings
        self._calibration = calibration

    def look(self, stable: PodCounts, candidate: PodCounts) -> Mapping[str, Flags]:
        counted = self._calibration
        window = raw_window(stable, candidate) if counted is None else effective_window(counted, stable, candidate)
        self.process = self.process.update(window)
        return {name: reading(self) >= NEEDED for name, reading in self._readings.items()}


def worse(each: Evidence) -> Floats:
    """The plain process."""
    return each.process.log_worse


def combined(each: Evidence) -> Floats:
    """What decides: half restart, half catastrophic."""
    return np.logaddexp(each.process.log_restart, each.process.log_catastrophic) - log(2)


def rate_test(runs: int, margin: float = 0.0) -> RateBatchTest:
    """F2; it needs no history."""
    return RateBatchTest(RatioTest("metric", Role.GUARDRAIL, horizon=500), np.full(runs, margin))


class TMixture:
    """F3 on the differences of the arms' rates per window; ``_mean`` with the moments of many runs."""

    def __init__(self, runs: int, name: str = "F3") -> None:
        self._name = name
        self._size = np.zeros(runs)
        self._mean = np.zeros(runs)
        self._squares = np.zeros(runs)

    @property
    def log_evidence(self) -> Floats:
        above = np.sqrt(self._size) * self._mean
        length = np.hypot(above, np.sqrt(self._squares))
        logs = log_one_sided(np.maximum(self._size, 1), above / np.where(length > 0.0, length, 1.0))
        return np.where(self._size >= DECISIVE, logs, np.minimum(logs, 0.0))

    def look(self, stable: PodCounts, candidate: PodCounts) -> Mapping[str, Flags]:
        n, m = stable.summed(), candidate.summed()
        both = (n.total > 0) & (m.total > 0)
        value = m.bad / np.maximum(m.total, 1) - n.bad / np.maximum(n.total, 1)
        self._size = self._size + both
        gap = value - self._mean
        mean = np.where(both, self._mean + gap / np.maximum(self._size, 1), self._mean)
        self._squares = self._squares + np.where(both, gap * (value - mean), 0.0)
        self._mean = mean
        return {self._name: self.log_evidence >= NEEDED}


class Thresholds:
    """Checks of the candidate's rate in each window alone, as Argo Rollouts and Flagger make them.

    Argo Rollouts ends an analysis when more than ``failureLimit`` measurements failed; Flagger rolls back when
    ``threshold`` checks have failed since the start. A window without requests is no measurement.
    """

    RULES: Mapping[str, int] = {"Argo-style, failureLimit 0": 1, "Argo-style, failureLimit 3": 4, "Flagger-style": 10}

    def __init__(self, runs: int, *, highest: float) -> None:
        self._failed = np.zeros(runs)
        self._highest = highest

    def look(self, stable: PodCounts, candidate: PodCounts) -> Mapping[str, Flags]:  # noqa: ARG002 - it looks at one arm
        m = candidate.summed()
        self._failed += (m.total > 0) & (m.bad > self._highest * m.total)
        return {name: self._failed >= limit for name, limit in self.RULES.items()}


class RepeatedZ:
    """The two-proportion z-test on all counts so far, one-sided at 5 %, in every window again."""

    def __init__(self, runs: int) -> None:
        self._sums = np.zeros((4, runs))

    def look(self, stable: PodCounts, candidate: PodCounts) -> Mapping[str, Flags]:
        n, m = stable.summed(), candidate.summed()
        self._sums += np.stack([n.total, n.bad, m.total, m.bad])
        return {"repeated z-test": self.statistic >= Z_CRITICAL}

    @property
    def statistic(self) -> Floats:
        n, k, m, j = self._sums
        known = (n > 0) & (m > 0)
        n, m = np.where(known, n, 1.0), np.where(known, m, 1.0)
        pooled = (k + j) / (n + m)
        error = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
        return np.where(known & (error > 0), (j / m - k / n) / np.where(error > 0, error, 1.0), 0.0)


@dataclass(eq=False)
class Policy:
    """The whole decision on one metric: ``Worse`` takes back, ``NotWorse`` promotes after enough windows."""

    trial: TrialBatch
    calibration: BatchCalibration
    fewest: int
    windows: int = 0

    def look(self, stable: PodCounts, candidate: PodCounts) -> Mapping[str, Flags]:
        window = effective_window(self.calibration, stable, candidate)
        self.trial = self.trial.update({"metric": window})
        self.windows += 1
        promoted = self.trial.not_worse_now & (self.windows >= self.fewest)
        return {"rolled back": self.trial.worse, "promoted": promoted}
