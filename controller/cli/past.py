"""Past requests, judged as the operator would have: its own questions to Prometheus, calibration, judge and deadline.

Nothing of the cluster is needed: which pods there were, and when they served, the series tell. What is not repeated are
the steps: the weights are what they were, and an epoch ends as soon as its verdict would allow a promotion.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from math import ceil

from controller.api.record import FrozenAnalysis, RecordedWindow
from controller.api.spec import ModelRolloutSpec
from controller.api.status import AnalysisStatus, ModelRolloutStatus
from controller.api.verdicts import Verdict
from controller.cli.past_pods import Lives, dealt, lives
from controller.judge import Trial, alpha_for_attempt
from controller.observe.arms import PodArms, Question
from controller.observe.evidence import PrometheusEvidence
from controller.observe.prometheus import PrometheusServer
from controller.observe.questions import calibrated, metric_question
from controller.plan.epoch import frozen_hash
from controller.plan.evidence import judged, start_trial
from controller.plan.freeze import freeze
from controller.plan.situation import Situation, Subject
from controller.plan.windows import Clockwork, Window
from controller.plan.world import ArmName, Problem, Route, Workload, World

__all__ = ["Asked", "Epoch", "JudgedWindow", "Outcome", "Past", "PastError"]


class Outcome(StrEnum):
    """How an epoch would have ended."""

    ROLLED_BACK = "RolledBack"
    PROMOTED = "Promoted"
    UNDECIDED = "Undecided"
    UNFINISHED = "Unfinished"


class PastError(Exception):
    """What was asked for cannot be judged; the message says what was expected, what was found and what to do."""


@dataclass(frozen=True)
class Asked:
    """What is to be judged.

    Attributes:
        spec: the rollout.
        namespace: where it lives.
        stable: Deployment that served.
        candidate: Deployment beside it; None: stable against itself, its pods dealt out by ``seed``.
        start: the first window's beginning.
        end: no window ends later.
    """

    spec: ModelRolloutSpec
    namespace: str
    stable: str
    candidate: str | None
    start: datetime
    end: datetime
    seed: int = 1

    @property
    def windows(self) -> int:
        """How many windows there are."""
        return max(0, (self.end - self.start) // self.spec.strategy.interval)


@dataclass(frozen=True)
class JudgedWindow:
    """One window, and the verdict of its epoch after it; per metric the log evidence for worse and for not worse."""

    epoch: int
    window: RecordedWindow
    verdict: Verdict
    evidence: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Epoch:
    """One epoch that was judged again.

    Attributes:
        number: from 1.
        frozen: what it was judged by.
        windows: its windows.
        judged: of these, those with requests of both arms in a metric that decides.
        trial: the evidence at its end.
        outcome: how it would have ended; Unfinished: the time that was asked for ended before.
    """

    number: int
    start: datetime
    end: datetime
    frozen: FrozenAnalysis
    windows: int
    judged: int
    trial: Trial
    outcome: Outcome


@dataclass
class Past:
    """Judges what was asked for, window by window; ``epochs`` holds the epochs that are over."""

    asked: Asked
    server: PrometheusServer
    pods: Mapping[str, ArmName] = field(default_factory=dict)
    epochs: list[Epoch] = field(default_factory=list)
    _lives: Lives = field(default_factory=Lives)

    def look(self) -> None:
        """Find the pods that had the counters, and deal them out where stable is compared with itself.

        Raises:
            PastError: there are too few.
            SourceError: Prometheus did not answer.
        """
        self._lives = lives(self.server, self._question(), start=self.asked.start, end=self.asked.end)
        asked = self.asked
        if asked.candidate is None:
            if len(self._lives.pods) < 2:
                found = ", ".join(self._lives.pods) or "none"
                msg = (
                    f"expected at least 2 pods of Deployment {asked.stable} in namespace {asked.namespace} with series "
                    f"of its metrics, to compare them with each other; found {found}: check names, times and "
                    "spec.analysis.labels, or name another Deployment with --candidate"
                )
                raise PastError(msg)
            self.pods = dealt(self._lives.pods, seed=asked.seed)
            return
        arms = PodArms(self._question())
        label = asked.spec.analysis.labels.pod
        found_arms = {pod: arms.arm({label: pod}) for pod in self._lives.pods}
        self.pods = {pod: arm for pod, arm in found_arms.items() if arm is not None}
        by_pods = any(metric.arms is None for metric in asked.spec.analysis.metrics)
        for arm, name in ((ArmName.STABLE, asked.stable), (ArmName.CANDIDATE, asked.candidate)):
            if by_pods and arm not in self.pods.values():
                msg = (
                    f"expected series of pods of Deployment {name} in namespace {asked.namespace}, found none between "
                    f"{asked.start:%Y-%m-%d %H:%M} and {asked.end:%Y-%m-%d %H:%M}: check names, times and "
                    "spec.analysis.labels"
                )
                raise PastError(msg)

    def judge(self) -> Iterator[JudgedWindow]:
        """Judge window after window, epoch after epoch.

        Raises:
            PastError: a margin cannot be resolved.
            SourceError: Prometheus did not answer.
        """
        evidence = PrometheusEvidence(self.server)
        first = 0
        while first < self.asked.windows:
            running = _Running(self.asked, self._frozen(evidence, self._edge(first)))
            for number in range(first, self.asked.windows):
                window = Window(1, number, self._edge(number), self._edge(number + 1), self._edge(number + 1))
                question = calibrated(self._question(), running.frozen, tuple(running.windows))
                # Who got which share of the requests was not the router's doing, so it is not checked.
                recorded = evidence.window(window, question).model_copy(update={"requests": None})
                running.add(recorded)
                yield running.newest(len(self.epochs) + 1)
                if running.outcome is not None:
                    break
            self.epochs.append(running.over(len(self.epochs) + 1))
            first += self._until_next(running)

    def _until_next(self, running: "_Running") -> int:
        """Windows from one epoch to the next: at once for stable against itself, where each adds to what is known.

        Two Deployments of which one is worse would be judged anew every few minutes: there one epoch per deadline will
        do.
        """
        if self.asked.candidate is None:
            return len(running.windows)
        strategy = self.asked.spec.strategy
        return max(len(running.windows), ceil(strategy.deadline / strategy.interval))

    def _edge(self, number: int) -> datetime:
        return self.asked.start + number * self.asked.spec.strategy.interval

    def _frozen(self, evidence: PrometheusEvidence, start: datetime) -> FrozenAnalysis:
        spec = self.asked.spec
        question = self._question()
        if self.asked.candidate is None:
            # Before an epoch all of them are stable's.
            question = replace(question, dealt=dict.fromkeys(self.pods, ArmName.STABLE))
        history = evidence.history(question, before=start, interval=spec.strategy.interval)
        situation = self._situation(start)
        frozen = freeze(situation, history)
        if isinstance(frozen, Problem):
            msg = f"the epoch at {start:%Y-%m-%d %H:%M} cannot begin: {frozen.message}"
            raise PastError(msg)
        return frozen

    def _situation(self, now: datetime) -> Situation:
        spec = self.asked.spec
        alpha = alpha_for_attempt(float(spec.analysis.alpha), 1)
        analysis = AnalysisStatus(alpha=f"{alpha:.6g}", calibration="", frozen=frozen_hash(spec), started_at=now)
        stable, candidate = (self._workload(arm, now) for arm in ArmName)
        return Situation(
            subject=Subject(name="backtest", namespace=self.asked.namespace, uid="", generation=0),
            spec=spec,
            status=ModelRolloutStatus(analysis=analysis),
            world=World(stable=stable, candidate=candidate, route=Route(exists=True)),
            clockwork=Clockwork(spec.strategy.interval, self.server.scrape, self.server.settle),
            now=now,
        )

    def _workload(self, arm: ArmName, now: datetime) -> Workload:
        """An arm with as many pods as it had then."""
        pods = max(1, sum(self.pods.get(pod) is arm for pod in self._lives.at(now)))
        return Workload("backtest", hash="", images=(), replicas=pods, ready=pods, rolled_out=True)

    def _question(self) -> Question:
        asked, spec = self.asked, self.asked.spec
        return Question(
            namespace=asked.namespace,
            labels=spec.analysis.labels,
            metrics=tuple(metric_question(metric) for metric in spec.analysis.metrics),
            requests=spec.traffic.requests,
            stable_deployment=asked.stable,
            candidate_deployment=asked.candidate or asked.stable,
            stable_pods=(),
            candidate_pods=(),
            warmup=spec.strategy.warmup,
            diverted_at=None,
            weight=50,
            dealt=self.pods if asked.candidate is None else {},
        )


@dataclass
class _Running:
    """The epoch under way."""

    asked: Asked
    frozen: FrozenAnalysis
    windows: list[RecordedWindow] = field(default_factory=list)
    judged: int = 0

    def __post_init__(self) -> None:
        self.trial = start_trial(self.frozen)
        self._gating = {metric.name for metric in self.asked.spec.analysis.metrics if metric.role.gating}

    def add(self, window: RecordedWindow) -> None:
        """Judge one more window."""
        self.windows.append(window)
        self.trial = judged(self.trial, (window,), frozen=self.frozen)
        self.judged += any(row.metric in self._gating and row.skipped is None for row in window.rows)

    def newest(self, epoch: int) -> JudgedWindow:
        """The newest window, and what the evidence is after it."""
        evidence = {name: (each.log_combined, each.log_not_worse) for name, each in self.trial.metrics.items()}
        return JudgedWindow(epoch, self.windows[-1], self.trial.verdict, evidence)

    @property
    def outcome(self) -> Outcome | None:
        """How the epoch would have ended by now; None while it goes on."""
        strategy = self.asked.spec.strategy
        if self.trial.verdict is Verdict.WORSE:
            return Outcome.ROLLED_BACK
        if self.trial.not_worse_now and self.judged >= strategy.min_windows * len(strategy.steps):
            return Outcome.PROMOTED
        return Outcome.UNDECIDED if self.judged * strategy.interval >= strategy.deadline else None

    def over(self, number: int) -> Epoch:
        """The epoch, ended by its outcome or because no window is left."""
        return Epoch(
            number=number,
            start=self.windows[0].start,
            end=self.windows[-1].end,
            frozen=self.frozen,
            windows=len(self.windows),
            judged=self.judged,
            trial=self.trial,
            outcome=self.outcome or Outcome.UNFINISHED,
        )
