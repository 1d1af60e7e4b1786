"""Many independent runs of the policy side by side: ``Trial`` and ``Evidence`` with an array where they have a number.

The same counts give the same numbers (a test holds that). Effective counts and widened margins come in as the
calibration of each run made them. Runs that are over are dropped with ``keep``, so that they cost nothing more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import log
from types import MappingProxyType
from typing import Final, Protocol, Self

import numpy as np

from controller.api.verdicts import Advance
from controller.judge._evidence import ALARM
from controller.judge._process import MetricTest
from controller.judge.batch.mean import AgreementBatch
from controller.judge.numbers.vector import BatchWindow, Flags, Floats, log_means

__all__ = ["BatchDemands", "BatchProcess", "BatchTest", "EvidenceBatch", "TrialBatch"]


class BatchProcess(Protocol):
    """``Process`` with one entry per run in every array."""

    @property
    def log_worse(self) -> Floats:
        """Against "the candidate is within the margin": the plain process."""

    @property
    def log_restart(self) -> Floats:
        """The same bets, mixed over the window in which the candidate became worse (F6)."""

    @property
    def log_catastrophic(self) -> Floats:
        """Against "the candidate is within the catastrophic margin"."""

    @property
    def log_not_worse(self) -> Floats:
        """Against "the candidate is beyond the margin"."""

    @property
    def log_better(self) -> Floats:
        """Against "the candidate is not better than stable"."""

    @property
    def log_harm(self) -> Floats:
        """Against "the harm at that weight exceeds the budget": a row per step; none for kinds without."""

    @property
    def decisive(self) -> Flags:
        """In which runs the worse evidence may decide already."""

    def update(self, window: BatchWindow, /) -> Self:
        """The processes after one more window; runs in which it is not comparable stay as they are."""

    def keep(self, runs: Flags, /) -> Self:
        """Only these runs."""


class BatchTest(Protocol):
    """What is to be tested about one metric in every run."""

    @property
    def metric(self) -> MetricTest:
        """What is the same in all runs; its margin is the one before calibration."""

    @property
    def margins(self) -> Floats:
        """Effective margin per run."""

    @property
    def runs(self) -> int:
        """How many runs there are."""

    def process(self) -> BatchProcess:
        """Evidence 1 on every process of every run."""


@dataclass(frozen=True, eq=False)
class BatchDemands:
    """What else is asked of a metric's evidence, as the calibration of each run makes it.

    Attributes:
        promotion: the test at the margins of the promotion side, where they are others; at 0 nothing can be shown.
        agreement: what must say the same, where the design effect is only assumed.
    """

    promotion: BatchTest | None = None
    agreement: AgreementBatch | None = None


_NO_DEMANDS: Final[Mapping[str, BatchDemands]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, eq=False)
class EvidenceBatch:
    """The evidence on one metric in every run; ``update`` returns the one after one more window.

    Attributes:
        metric: what is tested, as far as it is the same in all runs.
        process: the evidence processes of the metric's kind.
        promotion: those at the margins of the promotion side, where they are others.
        provable: in which runs "not worse" can be shown.
        agreement: what must say the same, where the design effect is only assumed.
        stable_requests: stable's raw requests in the windows that counted.
        candidate_requests: the candidate's raw requests in them.
        flagged: in which runs the red flag is up.
    """

    metric: MetricTest
    process: BatchProcess
    promotion: BatchProcess | None
    provable: Flags
    agreement: AgreementBatch | None
    stable_requests: Floats
    candidate_requests: Floats
    flagged: Flags

    @classmethod
    def start(cls, test: BatchTest, demands: BatchDemands) -> "EvidenceBatch":
        """Evidence 1 on every process of every run."""
        other = demands.promotion
        return cls(
            metric=test.metric,
            process=test.process(),
            promotion=None if other is None else other.process(),
            provable=np.ones(test.runs, dtype=bool) if other is None else other.margins > 0.0,
            agreement=demands.agreement,
            stable_requests=np.zeros(test.runs),
            candidate_requests=np.zeros(test.runs),
            flagged=np.zeros(test.runs, dtype=bool),
        )

    def update(self, window: BatchWindow) -> "EvidenceBatch":
        """The evidence after one more window."""
        counted = window.comparable
        return replace(
            self,
            process=self.process.update(window),
            promotion=None if self.promotion is None else self.promotion.update(window),
            agreement=None if self.agreement is None else self.agreement.update(window),
            stable_requests=self.stable_requests + np.where(counted, window.stable_requests, 0.0),
            candidate_requests=self.candidate_requests + np.where(counted, window.candidate_requests, 0.0),
            flagged=self.flagged | self._raises_flag(window),
        )

    def _raises_flag(self, window: BatchWindow) -> Flags:
        if self.metric.threshold is None:
            return np.zeros_like(self.flagged)
        enough = (window.candidate_total > 0.0) & (window.candidate_requests >= self.metric.min_requests)
        flags: Flags = enough & (window.candidate_bad > self.metric.threshold * window.candidate_total)
        return flags

    def keep(self, runs: Flags) -> "EvidenceBatch":
        """Only these runs."""
        return replace(
            self,
            process=self.process.keep(runs),
            promotion=None if self.promotion is None else self.promotion.keep(runs),
            provable=self.provable[runs],
            agreement=None if self.agreement is None else self.agreement.keep(runs),
            stable_requests=self.stable_requests[runs],
            candidate_requests=self.candidate_requests[runs],
            flagged=self.flagged[runs],
        )

    @property
    def log_restart(self) -> Floats:
        """Log evidence that the candidate is worse, mixed over when that began; at most what the agreement gives."""
        own, other = self.process.log_restart, self.agreement
        return own if other is None else other.limit(own, other.process.log_restart)

    @property
    def log_combined(self) -> Floats:
        """What a roll-back rests on: half ``restart``, half ``catastrophic``; at most 0 while not decisive."""
        # As in a single run: of two equal parts the mean is just that, and a crossing at a look is just enough.
        combined = log_means(np.stack([self.log_restart, self.process.log_catastrophic]))
        return np.where(self.process.decisive, combined, np.minimum(combined, 0.0))

    @property
    def log_not_worse(self) -> Floats:
        """Log evidence that the candidate is not worse than the margin; at most what the agreement gives."""
        own, other = (self.promotion or self.process).log_not_worse, self.agreement
        limited = own if other is None else other.limit(own, other.process.log_not_worse)
        return np.where(self.provable, limited, 0.0)

    def proven(self, alpha: float) -> Flags:
        """In which runs the evidence for "not worse", and for "better" where it is asked, is at 1/α at present."""
        enough: Flags = self.log_not_worse >= -log(alpha)
        return enough & (self.process.log_better >= -log(alpha)) if self.metric.must_be_better else enough


@dataclass(frozen=True, eq=False)
class TrialBatch:
    """The evidence of every run's epoch after some windows.

    Attributes:
        alpha: error probability per side.
        min_requests: raw requests per arm and gating metric before anything is ``NotWorse``.
        metrics: the evidence per metric name.
        worse: in which runs ``Worse`` is decided; it stays.
        alarmed: in which runs a gating metric's worse evidence is at least 5.
    """

    alpha: float
    min_requests: int
    metrics: Mapping[str, EvidenceBatch]
    worse: Flags
    alarmed: Flags

    @classmethod
    def start(
        cls,
        tests: Sequence[BatchTest],
        *,
        alpha: float,
        min_requests: int = 0,
        demands: Mapping[str, BatchDemands] = _NO_DEMANDS,
    ) -> "TrialBatch":
        """Before the first window of every run; demands by the name of their metric."""
        nothing = BatchDemands()
        metrics = {
            test.metric.name: EvidenceBatch.start(test, demands.get(test.metric.name, nothing)) for test in tests
        }
        none = np.zeros(tests[0].runs, dtype=bool)
        return cls(alpha=alpha, min_requests=min_requests, metrics=metrics, worse=none, alarmed=none)

    def update(self, windows: Mapping[str, BatchWindow]) -> "TrialBatch":
        """The trial after one more window of every metric."""
        metrics = {name: each.update(windows[name]) for name, each in self.metrics.items()}
        worse = self.worse | np.logical_or.reduce([each.flagged for each in metrics.values()])
        gating = [each for each in metrics.values() if each.metric.role.gating]
        if not gating:
            return replace(self, metrics=metrics, worse=worse)
        logs = np.stack([each.log_combined for each in gating])
        weights = np.array([[each.metric.weight] for each in gating])
        mean = np.logaddexp.reduce(logs + np.log(weights / weights.sum()), axis=0)
        alarmed: Flags = logs.max(axis=0) >= log(ALARM)
        return replace(
            self,
            metrics=metrics,
            worse=worse | (mean >= -log(self.alpha)),
            alarmed=alarmed,
        )

    def keep(self, runs: Flags) -> "TrialBatch":
        """Only these runs."""
        metrics = {name: each.keep(runs) for name, each in self.metrics.items()}
        return replace(self, metrics=metrics, worse=self.worse[runs], alarmed=self.alarmed[runs])

    @property
    def gating(self) -> tuple[EvidenceBatch, ...]:
        """The Guardrail and Target metrics."""
        return tuple(each for each in self.metrics.values() if each.metric.role.gating)

    @property
    def not_worse_now(self) -> Flags:
        """In which runs every gating metric (at least one) is not worse at present, with enough requests per arm."""
        proven = ~self.alarmed if self.gating else np.zeros_like(self.alarmed)
        for each in self.gating:
            fewest = np.minimum(each.stable_requests, each.candidate_requests)
            proven &= each.proven(self.alpha) & (fewest >= self.min_requests)
        return proven

    def may_enter(self, step: int, *, advance: Advance) -> Flags:
        """In which runs the evidence lets the candidate get the weight of that step (by its place in the tests)."""
        free = ~(self.worse | self.alarmed)
        if advance is Advance.BUDGETED:
            for each in self.gating:
                if len(each.process.log_harm):
                    free &= each.process.log_harm[step] >= -log(self.alpha)
        return free
