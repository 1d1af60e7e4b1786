"""Stable's history while a candidate is made ready: asked for once, and anew as soon as it may be another."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import cast

import pytest

from controller.act.record import RecordKeeper
from controller.api.reasons import Phase, Reason
from controller.api.record import RecordedWindow
from controller.api.status import ModelRolloutStatus, Revision
from controller.observe.evidence import Question
from controller.observe.prometheus import SourceError
from controller.plan.calibration import StableHistory
from controller.plan.situation import Situation, Subject
from controller.plan.windows import Clockwork, Window
from controller.plan.world import Pod, Route, World
from controller.run.evidence import LONGEST_KEPT, EvidenceGatherer, Source
from tests.plan.stage import SCRAPE, START, quiet_history, spec_with, workload

INTERVAL = timedelta(minutes=5)


@dataclass
class Prometheus:
    """Answers for histories alone, and counts how often it was asked; away, it answers nothing."""

    asked: int = 0
    away: bool = False
    traffics: dict[str, float] = field(default_factory=lambda: {"accuracy": 3.0})

    def window(self, window: Window, question: Question) -> RecordedWindow:
        raise AssertionError((window, question))

    def history(self, question: Question, *, before: datetime, interval: timedelta) -> dict[str, StableHistory]:
        assert interval == INTERVAL
        self.asked += 1
        if self.away:
            raise SourceError(Reason.PROMETHEUS_UNREACHABLE, "no answer")
        return {"accuracy": replace(quiet_history(), total=before.timestamp() + len(question.stable_pods))}

    def traffic(self, question: Question, *, before: datetime) -> dict[str, float]:
        del question, before
        return self.traffics

    def label_values(self, question: Question, metric: str, *, before: datetime) -> dict[str, tuple[str, ...]]:
        raise AssertionError((question, metric, before))


@pytest.fixture
def prometheus() -> Prometheus:
    return Prometheus()


Gather = Callable[[Situation], Situation]


@pytest.fixture
def gather(prometheus: Prometheus) -> Gather:
    gatherer = EvidenceGatherer(cast("RecordKeeper", None))  # nothing is recorded before the first request
    return lambda situation: gatherer.gather(situation, Source(prometheus, SCRAPE, SCRAPE))


def pod(name: str) -> Pod:
    return Pod(name=name, uid=name, ready=True, ready_at=START - timedelta(hours=1))


def verifying(*, uid: str = "uid-1", later: timedelta = timedelta(0)) -> Situation:
    """A rollout whose candidate is rolled out and has not got a request."""
    revisions = {name: Revision(deployment=name, service=name, hash="a") for name in ("v1", "v2")}
    return Situation(
        subject=Subject(name="mro", namespace="ns", uid=uid, generation=1),
        spec=spec_with(),
        status=ModelRolloutStatus(
            phase=Phase.VERIFYING, epoch=1, stable=revisions["v1"], candidate=revisions["v2"], message=""
        ),
        world=World(
            stable=workload("v1"),
            candidate=workload("v2"),
            route=Route(exists=True),
            stable_pods=(pod("v1-a"), pod("v1-b")),
        ),
        clockwork=Clockwork(interval=INTERVAL, scrape=SCRAPE, settle=SCRAPE),
        now=START + later,
    )


def test_what_was_asked_a_moment_ago_is_not_asked_again(prometheus: Prometheus, gather: Gather) -> None:
    first = gather(verifying())
    assert first.history is not None
    moved = verifying(later=LONGEST_KEPT - timedelta(seconds=1))
    moved = replace(moved, world=replace(moved.world, candidate_pods=(pod("v2-a"),)))
    again = gather(moved)
    assert prometheus.asked == 1
    assert (again.history, again.traffic) == (first.history, first.traffic)


def test_it_is_asked_again_after_a_while(prometheus: Prometheus, gather: Gather) -> None:
    gather(verifying())
    later = gather(verifying(later=LONGEST_KEPT))
    assert prometheus.asked == 2
    assert later.history is not None
    assert later.history["accuracy"].total == (START + LONGEST_KEPT).timestamp() + 2


def test_of_short_intervals_it_is_asked_after_half_of_one(gather: Gather, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.run.test_evidence.INTERVAL", timedelta(seconds=4))
    first = gather(verifying())
    assert gather(verifying(later=timedelta(seconds=1))).history == first.history
    assert gather(verifying(later=timedelta(seconds=2))).history != first.history


def another_pod(situation: Situation) -> Situation:
    return replace(situation, world=replace(situation.world, stable_pods=(pod("v1-a"), pod("v1-c"))))


def another_template(situation: Situation) -> Situation:
    stable = Revision(deployment="v1", service="v1", hash="b")
    return replace(situation, status=situation.status.model_copy(update={"stable": stable}))


def another_epoch(situation: Situation) -> Situation:
    return replace(situation, status=situation.status.model_copy(update={"epoch": 2}))


def other_metrics(situation: Situation) -> Situation:
    analysis = situation.spec.analysis.to_json()
    analysis["metrics"][0]["ratio"]["total"] = "others_total"
    return replace(situation, spec=spec_with(analysis=analysis))


def another_rollout(situation: Situation) -> Situation:
    return replace(situation, subject=replace(situation.subject, uid="uid-2"))


@pytest.mark.parametrize("change", [another_pod, another_template, another_epoch, other_metrics, another_rollout])
def test_another_question_is_asked_at_once(
    prometheus: Prometheus, gather: Gather, change: Callable[[Situation], Situation]
) -> None:
    gather(verifying())
    assert gather(change(verifying())).history is not None
    assert prometheus.asked == 2


def test_rollouts_do_not_forget_each_other(prometheus: Prometheus, gather: Gather) -> None:
    for uid in ("uid-1", "uid-2", "uid-1", "uid-2"):
        gather(verifying(uid=uid))
    assert prometheus.asked == 2


def test_prometheus_that_goes_away_is_found_when_it_is_asked_again(prometheus: Prometheus, gather: Gather) -> None:
    gather(verifying())
    prometheus.away = True
    situation = gather(verifying(later=LONGEST_KEPT))
    assert situation.history is None
    assert situation.source_problem is not None
    assert situation.source_problem.reason is Reason.PROMETHEUS_UNREACHABLE
    prometheus.away = False
    assert gather(verifying(later=LONGEST_KEPT)).history is not None
    assert prometheus.asked == 3


def test_before_the_candidate_is_rolled_out_nothing_is_asked(prometheus: Prometheus, gather: Gather) -> None:
    situation = verifying()
    unready = replace(situation.world, candidate=replace(workload("v2"), rolled_out=False))
    assert gather(replace(situation, world=unready)).history is None
    assert prometheus.asked == 0
