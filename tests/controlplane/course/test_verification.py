"""Nothing reaches a candidate before it is proven: what passes, what is refused, what is never asked twice."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import pytest

from controller.observe.cluster import CONFIG_MAPS, RECORDS
from tests.controlplane.course.laid_out import finish, jobs_of, lay_out, open_job
from tests.controlplane.course.models import CASES, SMOKE, Models, Predict, double, rows, triple, until_turned
from tests.controlplane.course.scene import Course, condition

pytestmark = pytest.mark.controlplane

Json = dict[str, Any]

PROVENANCE = {"dataDigest": "sha256:da7a"}
REPRODUCTION = {
    "jobFrom": "train",
    "recorded": [{"name": "accuracy", "value": "0.9"}],
    "tolerance": {"atol": "0.01"},
}
PIPELINE = [
    {"name": "ingest", "jobFrom": "ingest", "exit": ["rows >= 1000"]},
    {"name": "evaluate", "jobFrom": "evaluate", "entry": ["ingest.rows < 5000"], "exit": ["accuracy > 0.5"]},
]
EVERYTHING = {
    "smoke": {**SMOKE, "cases": None, "configMap": "golden", "determinism": {}},
    "parity": {"require": ["Images", "Env"]},
    "provenance": PROVENANCE,
    "reproduction": REPRODUCTION,
    "pipeline": PIPELINE,
}
REPORTS = (
    ("reproduction", {"accuracy": 0.905}),
    ("pipeline/ingest", {"rows": 1200}),
    ("pipeline/evaluate", {"accuracy": 0.9}),
)


@dataclass(frozen=True)
class Refused:
    """A candidate with one fault, and the sentence by which it is refused."""

    name: str
    verify: Json
    reason: str
    sentence: str
    pods: Sequence[Predict] = (double,)
    template: Json = field(default_factory=dict)
    reports: tuple[tuple[str, str], ...] = ()
    """What its Jobs leave as their messages, by task; ``{job}`` in the sentence is the last one's name."""


def nan(_: float) -> float:
    """Answer as a model that overflowed."""
    return float("nan")


REFUSED = (
    Refused(
        name="third",
        verify={"smoke": SMOKE},
        pods=(double, triple, double),
        reason="GoldenFailed",
        sentence="smoke/golden: Pod third-v2-5d8f-abcde1: golden case one: $.y is 3.0; "
        "2 of 2 cases failed: one, seven; expected 2.0",
    ),
    Refused(
        name="overflown",
        verify={"smoke": {**SMOKE, "cases": [{"name": "any", "request": '{"x": 1}', "expect": [{"finite": True}]}]}},
        pods=(nan,),
        reason="GoldenFailed",
        sentence="smoke/golden: Pod overflown-v2-5d8f-abcde: golden case any: answer.y is NaN; expected a finite "
        "number",
    ),
    Refused(
        name="stranger",
        verify={"provenance": {"dataDigest": "sha256:other"}},
        reason="ProvenanceMismatch",
        sentence="provenance/dataDigest: sha256:da7a (the pod template of Deployment stranger-v2); "
        "expected sha256:other (declared)",
    ),
    Refused(
        name="elsewhere",
        verify={"parity": {"require": ["Env"]}},
        template={
            "spec": {"containers": [{"name": "model", "image": "model:1", "env": [{"name": "A", "value": "1"}]}]}
        },
        reason="ParityMismatch",
        sentence="parity/Env: A only in the candidate; expected as in stable, which is named first",
    ),
    Refused(
        name="irreproducible",
        verify={"reproduction": REPRODUCTION},
        reports=(("reproduction", '{"accuracy": 0.88}'),),
        reason="ReproductionFailed",
        sentence="reproduction/accuracy: reproduced 0.88, difference 0.02; expected recorded 0.9, allowed difference "
        "0.01",
    ),
    Refused(
        name="mute",
        verify={"reproduction": REPRODUCTION},
        reports=(("reproduction", "accuracy is 0.9"),),
        reason="ReproductionFailed",
        sentence="reproduction/job: job {job} ended, but: expected a JSON object as the termination message, found "
        "'accuracy is 0.9' (Expecting value: line 1 column 1 (char 0)); expected a Job from CronJob train that "
        "reports: accuracy",
    ),
    Refused(
        name="leaky",
        verify={"pipeline": PIPELINE},
        reports=(("pipeline/ingest", '{"rows": 999}'),),
        reason="PipelineFailed",
        sentence="pipeline/ingest/exit: rows >= 1000 does not hold: rows = 999; expected rows >= 1000",
    ),
)
NAMES = ("whole", *(each.name for each in REFUSED))


class Told(NamedTuple):
    """A course whose rollouts have all come as far as they can, and what the pods were asked on the way."""

    course: Course
    models: Models
    jobs: dict[str, str]
    """Of each refused rollout that ran one: the last Job's name."""
    asked: tuple[tuple[int, int], ...]
    """Requests to v1 and v2 of the rollout that passes: at the first restart, when it serves, after the second one."""


@pytest.fixture(scope="module")
def models(course: Course) -> Iterator[Models]:
    models = Models(course)
    yield models
    models.rack.end()


@pytest.fixture(scope="module")
def told(course: Course, models: Models) -> Told:
    """All rollouts at once; the operator is killed while the Jobs of the good one run."""
    body = {"metadata": {"name": "golden"}, "data": {"cases.yaml": json.dumps(CASES)}}
    course.cluster.create(CONFIG_MAPS, course.namespace, body)
    for job in ("train", "ingest", "evaluate"):
        lay_out(course, job)
    models.stage("whole", candidate=(double, double, double))
    course.roll_out("whole", models.spec(verify=EVERYTHING))
    for case in REFUSED:
        models.stage(case.name, candidate=case.pods, template=case.template)
        course.roll_out(case.name, models.spec(verify=case.verify))
    course.operator.start()
    jobs: dict[str, str] = {}
    for case in REFUSED:
        for task, message in case.reports:
            jobs[case.name] = finish(course, case.name, task, message)
    asked = [_restarted_before_the_jobs_end(course, models)]
    for task, summary in REPORTS:
        finish(course, "whole", task, json.dumps(summary))
    for case in REFUSED:
        course.until_phase(case.name, "RolledBack")
    course.until_serving("whole")
    asked.append(_asked(models))
    course.operator.kill()
    course.operator.start()
    for version in ("v1", "v2"):
        until_turned(course, f"whole-{version}")
    asked.append(_asked(models))
    return Told(course, models, jobs, tuple(asked))


def _asked(models: Models) -> tuple[int, int]:
    return models.rack.asked("whole-v1"), models.rack.asked("whole-v2")


def _restarted_before_the_jobs_end(course: Course, models: Models) -> tuple[int, int]:
    course.until("whole", lambda status: rows(status).get("smoke/golden", {}).get("pods") == "3/3")
    open_job(course, "whole", "reproduction")
    open_job(course, "whole", "pipeline/ingest")
    course.operator.kill()
    course.operator.start()
    return _asked(models)


def test_what_passes_serves_and_every_proof_is_shown(told: Told) -> None:
    course = told.course
    status = course.status("whole")
    table = rows(status)
    states = {name: row["state"] for name, row in table.items() if not name.startswith("parity/")}
    assert states == {
        "smoke/ready": "Passed",
        "smoke/metadata": "Unsupported",
        "smoke/identity": "Skipped",
        "smoke/signature": "Unsupported",
        "smoke/golden": "Passed",
        "smoke/invalid-input": "Passed",
        "smoke/determinism": "Passed",
        "smoke/latency": "Skipped",
        "smoke/metrics": "Skipped",
        "smoke/stable": "Passed",
        "provenance/dataDigest": "Passed",
        "reproduction/job": "Passed",
        "reproduction/accuracy": "Passed",
        "pipeline/ingest/job": "Passed",
        "pipeline/ingest/exit": "Passed",
        "pipeline/evaluate/entry": "Passed",
        "pipeline/evaluate/job": "Passed",
        "pipeline/evaluate/exit": "Passed",
    }
    assert table["parity/Images"]["state"] == table["parity/Env"]["state"] == "Passed"
    assert table["smoke/golden"]["pods"] == "3/3"
    assert table["smoke/golden"]["duration"]
    assert table["smoke/latency"]["found"] == "verify.smoke.latency is not set"
    assert table["reproduction/accuracy"]["found"] == "reproduced 0.905, difference 0.005"
    verified = condition(status, "Verified")
    assert (verified["status"], verified["reason"]) == ("True", "Verified")
    assert course.seen_weights("whole") == [0, 25]


def test_the_proof_is_in_the_events_and_in_the_record(told: Told) -> None:
    course = told.course
    events = course.events("whole")
    reasons = [each["reason"] for each in events]
    assert reasons[:4] == ["StableAdopted", "CandidateStarted", "Verified", "StepAdvanced"]
    assert events[2]["message"] == condition(course.status("whole"), "Verified")["message"]
    page = course.cluster.get(RECORDS, course.namespace, "whole-1-0")["spec"]["verification"]
    assert page == course.status("whole")["verification"]
    assert page["finishedAt"]
    assert {each["passed"] for each in page["pods"]} == {True}
    assert len(page["pods"]) == 4


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_a_fault_refuses_the_candidate_before_any_request(told: Told, case: Refused) -> None:
    course, name = told.course, case.name
    status = course.status(name)
    sentence = case.sentence.replace("{job}", told.jobs.get(name, ""))
    verified = condition(status, "Verified")
    assert (verified["status"], verified["reason"], verified["message"]) == ("False", case.reason, sentence)
    assert (
        status["message"] == f"All requests go to {name}-v1. {name}-v2 is refused before it served anyone: {sentence}"
    )
    assert [each["reason"] for each in status["rejected"]] == [case.reason]
    assert course.seen_weights(name) == [0]
    page = course.cluster.get(RECORDS, course.namespace, f"{name}-1-0")["spec"]
    failed = [row["name"] for row in page["verification"]["checks"] if row["state"] == "Failed"]
    assert failed == [sentence.partition(":")[0]]
    assert (page["verdict"], page["decisions"][0]["reason"]) == ("RolledBack", case.reason)
    told_of = [(each["type"], each["reason"]) for each in course.events(name)]
    assert ("Warning", case.reason) in told_of


def test_what_passed_is_not_asked_again_after_a_restart(told: Told) -> None:
    """Neither in the midst of the verification nor once the candidate serves."""
    before, serving, after = told.asked
    assert min(before) > 0
    assert before == serving == after
    assert [len(jobs_of(told.course, "whole", task)) for task, _ in REPORTS] == [1, 1, 1]


@pytest.mark.parametrize("name", NAMES)
def test_each_write_while_checks_run_tells_something_new(told: Told, name: str) -> None:
    versions = [
        each.thing
        for each in told.course.rollouts.seen(name)
        if each.thing.get("status", {}).get("phase") == "Verifying"
    ]
    assert 1 <= len(versions) <= 10
    for before, after in pairwise(versions):
        # The finalizer, which the first weight needs, is a write of its own.
        if before["metadata"].get("finalizers") == after["metadata"].get("finalizers"):
            assert visible(before["status"]) != visible(after["status"])


def visible(status: Json) -> Json:
    """Return what a person sees of a verification: the sentence and the table, without how long anything took."""
    table = {name: (row["state"], row.get("found"), row.get("pods")) for name, row in rows(status).items()}
    return {"message": status["message"], "table": table}
