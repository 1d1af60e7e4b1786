"""A stage for the planner: a world in memory that obeys it, with a clock that jumps to the next look.

Only the planner and the judge are on it, both real; what they see is simulated: these tests are about decisions.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from controller.api.reasons import Phase, Reason
from controller.api.record import ArmCounts, RecordedWindow, RequestCounts, RolloutRecordSpec, Row
from controller.api.spec import ModelRolloutSpec
from controller.api.status import ModelRolloutStatus
from controller.judge import Trial
from controller.plan.calibration import StableHistory
from controller.plan.decide import decide
from controller.plan.desired import holds
from controller.plan.evidence import judged, start_trial
from controller.plan.situation import Announcement, Decision, Evidence, Situation, Subject
from controller.plan.transitions import LIVE
from controller.plan.verify.findings import CheckKey, Outcome
from controller.plan.verify.work import Verification, aligned, wanted
from controller.plan.windows import Clockwork, Window, due_windows
from controller.plan.world import Desired, Fence, Pod, Problem, Route, Workload, World

START = datetime(2026, 1, 1, tzinfo=UTC)
SCRAPE = timedelta(seconds=2)

Traffic = Callable[[Window, int], tuple[Row, ...]]
"""What the counters say in a window at a weight."""


Requests = Callable[[Window, int], RequestCounts | None]
"""What the counter of all requests says in a window at a weight."""


def unknown(_: Window, __: int) -> None:
    """Nothing is known of all requests."""


def spec_with(**changes: Any) -> ModelRolloutSpec:
    """A spec with one accuracy-like metric; keyword arguments replace whole sections."""
    sections: dict[str, Any] = {
        "stable": {"deployment": "v1"},
        "candidate": {"deployment": "v2"},
        "traffic": {"gateway": {"httpRoute": "route"}},
        "strategy": {"interval": "10s", "steps": [10, 25, 50]},
        "analysis": {
            "metrics": [
                {
                    "name": "accuracy",
                    "ratio": {"bad": "bad_total", "total": "all_total"},
                    "margin": {"absolute": "0.02"},
                    "allowAbsent": True,
                }
            ]
        },
    }
    return ModelRolloutSpec.model_validate(sections | changes)


def workload(name: str, template: str = "a", *, pods: int = 3) -> Workload:
    """A Deployment that is rolled out."""
    return Workload(
        deployment=name, hash=template, images=(f"{name}:1",), replicas=pods, ready=pods, rolled_out=pods > 0
    )


def row(stable: tuple[float, float], candidate: tuple[float, float], metric: str = "accuracy") -> Row:
    """A judged row from (requests, bad) of both arms."""
    return Row(metric=metric, stable=_counts(*stable), candidate=_counts(*candidate), bad_seen=True)


def _counts(total: float, bad: float) -> ArmCounts:
    text, wrong = f"{total:.0f}", f"{bad:.0f}"
    return ArmCounts(total=text, bad=wrong, effective_total=text, effective_bad=wrong)


def steady(stable_rate: float, candidate_rate: float, *, requests: int = 1000) -> Traffic:
    """The same rates in every window, without noise."""

    def traffic(_: Window, weight: int) -> tuple[Row, ...]:
        candidate = requests * weight / 100
        stable = requests - candidate
        return (row((stable, round(stable * stable_rate)), (candidate, round(candidate * candidate_rate))),)

    return traffic


def quiet_history(*, intervals: int = 60, pods: int = 3, requests: int = 200, rate: float = 0.08) -> StableHistory:
    """Pods that never differ: design effect 1, no noise floor."""
    interval = {f"v1-{number}": (float(requests), requests * rate) for number in range(pods)}
    total = float(intervals * pods * requests)
    return StableHistory(total=total, amount=total * rate, intervals=(interval,) * intervals)


def silent(reason: Reason = Reason.NO_TRAFFIC) -> Traffic:
    """Nothing to judge."""
    return lambda _window, _weight: (Row(metric="accuracy", skipped=reason),)


@dataclass
class Stage:
    """One rollout on the stage; tests change its fields between turns."""

    spec: ModelRolloutSpec = field(default_factory=spec_with)
    traffic: Traffic = field(default_factory=lambda: steady(0.08, 0.08))
    requests: Requests = field(default_factory=lambda: unknown)
    deployments: dict[str, Workload] = field(default_factory=lambda: {"v1": workload("v1"), "v2": workload("v2")})
    route: Route = field(default_factory=lambda: Route(exists=True, weights={"v1": 100, "v2": 0}))
    status: ModelRolloutStatus = field(default_factory=ModelRolloutStatus)
    now: datetime = START
    uid: str = "uid-1"
    generation: int = 1
    deleting: bool = False
    finalized: bool = False
    gone: bool = False
    request: str | None = None
    rivals: tuple[str, ...] = ()
    source_problem: Problem | None = None
    daily: Mapping[str, float] | None = None
    """Requests per second over the last day, per metric."""
    history: dict[str, StableHistory] = field(default_factory=lambda: {"accuracy": quiet_history()})
    """What stable did before each epoch."""
    pods: dict[str, tuple[Pod, ...]] = field(default_factory=dict)
    """Per Deployment: its live pods."""
    checks: Callable[[CheckKey], Outcome | None] = lambda _: None
    """What the check found, or None while it runs."""
    obstacle: Problem | None = None
    """What keeps the checks from beginning."""
    asked: list[CheckKey] = field(default_factory=list)
    """Every check that was begun, in order, once each."""
    outcomes: dict[CheckKey, Outcome] = field(default_factory=dict)
    """What the process remembers of its checks; cleared, it has been started anew."""
    obeys: bool = True
    """The router does what is written; False: it never takes effect."""
    records: dict[int, RolloutRecordSpec] = field(default_factory=dict)
    trials: dict[int, tuple[int, Trial]] = field(default_factory=dict)
    """Per epoch: windows that were judged, and the trial after them."""
    weights: list[int] = field(default_factory=list)
    """Weights that reached the route, in order."""
    announcements: list[Announcement] = field(default_factory=list)
    phases: list[Phase | None] = field(default_factory=list)

    def turn(self) -> Decision:
        """One turn: look, decide, commit, act."""
        decision = decide(self._situation())
        if decision.opens is not None and decision.opens.epoch not in self.records:
            self.records[decision.opens.epoch] = decision.opens
        if decision.finalizer == "add":
            self.finalized = True
        if decision.status.phase is not self.status.phase:
            self.phases.append(decision.status.phase)
        self.status = ModelRolloutStatus.model_validate(decision.status.to_json())
        self.announcements += decision.announcements
        if decision.desired is not None and self.obeys and self.route.exists:
            self._write(decision.desired)
        if decision.finalizer == "remove":
            self.finalized = False
        self.gone = self.deleting and not self.finalized
        return decision

    def run(self, turns: int = 200, *, until: Callable[["Stage"], bool] = lambda _: False) -> "Stage":
        """Take turns, each at its time, until nothing is due or ``until`` holds."""
        for _ in range(turns):
            decision = self.turn()
            if until(self) or self.gone or decision.next_look is None:
                return self
            self.now = max(self.now + timedelta(milliseconds=10), decision.next_look)
        return self

    def ask(self, action: str, *, epoch: int | None = None, ident: str | None = None) -> "Stage":
        """Annotate a command."""
        number = self.status.epoch if epoch is None else epoch
        self.request = f'{{"id":"{ident or next(_IDS)}","epoch":{number},"action":"{action}","reason":"a test"}}'
        return self

    def _write(self, desired: Desired) -> None:
        if holds(self.route, desired):
            return
        fence = self.route.fence
        assert fence is None or fence.uid != desired.uid or fence.transition <= desired.transition
        weights = dict(self.route.weights)  # other entries of the route are nobody's business
        weights[desired.stable] = 100 - desired.weight
        if desired.candidate:
            weights[desired.candidate] = desired.weight
        assert sum(weights.values()) == 100, f"somebody else keeps requests: {weights}"
        self.weights.append(desired.weight)
        self.route = replace(
            self.route,
            weights=weights,
            strangers=(),
            fence=Fence(uid=desired.uid, transition=desired.transition),
            roles=desired.roles,
        )

    def _situation(self) -> Situation:
        status = self.status
        stable = status.stable.deployment if status.stable else self._first_stable()
        candidate = self.spec.candidate.deployment if self.spec.candidate else None
        world = World(
            stable=self.deployments.get(stable),
            candidate=self.deployments.get(candidate) if candidate and candidate != stable else None,
            route=self.route,
            backup=self.deployments.get(status.backup.deployment) if status.backup else None,
            rivals=self.rivals,
            stable_pods=self.pods.get(stable, ()),
            candidate_pods=self.pods.get(candidate, ()) if candidate and candidate != stable else (),
        )
        situation = Situation(
            subject=Subject(
                name="mro",
                namespace="ns",
                uid=self.uid,
                generation=self.generation,
                deleting=self.deleting,
                finalized=self.finalized,
                request=self.request,
            ),
            spec=self.spec,
            status=status,
            world=world,
            clockwork=Clockwork(interval=self.spec.strategy.interval, scrape=SCRAPE, settle=SCRAPE),
            now=self.now,
            source_problem=self.source_problem,
            history=None if self.source_problem else self.history,
            traffic=self.daily,
        )
        situation = replace(situation, verification=self._verification(situation))
        return replace(situation, evidence=self._evidence(situation))

    def _verification(self, situation: Situation) -> Verification:
        keys = wanted(aligned(situation))
        for key in keys:
            if key not in self.outcomes:
                self.asked += [] if key in self.asked else [key]
                outcome = self.checks(key)
                if outcome is not None:
                    self.outcomes[key] = outcome
        running = {key: () for key in keys if key not in self.outcomes}
        return Verification(finished=dict(self.outcomes), running=running, obstacle=self.obstacle)

    def _first_stable(self) -> str:
        return self.route.roles.stable if self.route.roles else self.spec.stable.deployment

    def _evidence(self, situation: Situation) -> Evidence | None:
        record = self.records.get(self.status.epoch)
        if record is None or self.status.phase not in LIVE | {Phase.PROMOTING}:
            return None
        fresh = () if self.source_problem else tuple(self._fresh(situation, record))
        record = record.model_copy(update={"windows": (*record.windows, *fresh)})
        self.records[self.status.epoch] = record
        known, trial = self.trials.get(self.status.epoch) or (0, start_trial(record.frozen))
        trial = judged(trial, record.windows[known:], frozen=record.frozen)
        self.trials[self.status.epoch] = (len(record.windows), trial)
        return Evidence(
            frozen=record.frozen, trial=trial, windows=record.windows, caught_up=self.source_problem is None
        )

    def _fresh(self, situation: Situation, record: RolloutRecordSpec) -> list[RecordedWindow]:
        status, traffic = self.status, self.status.traffic
        if traffic.applied_at is None or traffic.applied_transition != status.transition or not traffic.applied_weight:
            return []
        following = sum(1 for window in record.windows if window.transition == status.transition)
        return [
            RecordedWindow(
                transition=due.transition,
                number=due.number,
                weight=traffic.applied_weight,
                start=due.start,
                end=due.end,
                requests=self.requests(due, traffic.applied_weight),
                rows=self.traffic(due, traffic.applied_weight),
            )
            for due in due_windows(
                following=following,
                transition=status.transition,
                applied_at=traffic.applied_at,
                clockwork=situation.clockwork,
                now=self.now,
            )
        ]


_IDS = itertools.count(1)
