"""While the candidate serves: pods that are born, golden requests again, the readiness gate; and stable after it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from controller.observe.cluster import DEPLOYMENTS
from tests.controlplane.course.counters import pod_of
from tests.controlplane.course.models import (
    CASES,
    GATED,
    SMOKE,
    Models,
    double,
    gate_of,
    rows,
    set_ready,
    triple,
    until_turned,
)
from tests.controlplane.course.scene import QUICK, Course, condition, eventually, merged
from tests.controlplane.objects import run_pods

pytestmark = pytest.mark.controlplane

Json = dict[str, Any]

SMOKED: Json = {"verify": {"smoke": SMOKE}}
REPEATED = merged(QUICK, {"strategy": {"minWindows": 1000}, "verify": {"smoke": {**SMOKE, "repeatEvery": 2}}})
SMOKE_TEST = len(CASES) + 1
"""Requests to the model in a smoke test: the golden ones, and an invalid one."""
PARKED = ("born", "welcome", "restored", "replaced")
"""Rollouts that stand at 25 % until something happens to their pods."""


@pytest.fixture(scope="module")
def models(course: Course) -> Iterator[Models]:
    """All rollouts at once, those behind a gate with pods that are not ready."""
    models = Models(course)
    for name in (*PARKED, "drifting"):
        models.stage(name, candidate=(double,))
        course.roll_out(name, models.spec(**(REPEATED if name == "drifting" else SMOKED)))
    for name, second in (("gated", double), ("barred", triple)):
        models.stage(name, candidate=(double, second), template=GATED, ready=False)
        course.roll_out(name, models.spec(**SMOKED))
    course.operator.start()
    yield models
    models.rack.end()


def second_of(name: str) -> str:
    """Return the name of the candidate's second pod."""
    return f"{pod_of(f'{name}-v2')}1"


def bear(models: Models, name: str, **how: Any) -> str:
    """Let the candidate have a second pod; return its name."""
    models.course.change(DEPLOYMENTS, f"{name}-v2", {"spec": {"replicas": 2}})
    models.bear(f"{name}-v2", second_of(name), **how)
    run_pods(models.course.cluster, models.course.namespace, f"{name}-v2", ready=2)
    return second_of(name)


def test_a_bad_pod_that_is_born_rolls_back(course: Course, models: Models) -> None:
    course.until_serving("born")
    pod = bear(models, "born", predict=triple)
    status = course.until_phase("born", "RolledBack")
    sentence = f"smoke/golden: Pod {pod}: golden case one: $.y is 3.0; 2 of 2 cases failed: one, seven; expected 2.0"
    verified = condition(status, "Verified")
    assert (verified["status"], verified["reason"], verified["message"]) == ("False", "GoldenFailed", sentence)
    (flag,) = status["redFlags"]
    assert flag["reason"] == "GoldenFailed"
    assert sentence in status["message"]
    assert course.seen_weights("born") == [0, 25, 0]
    assert rows(status)["smoke/golden"]["pods"] == "1/2"


def test_a_good_pod_that_is_born_is_tested_once_and_stays(course: Course, models: Models) -> None:
    course.until_serving("welcome")
    first = models.rack.pods[pod_of("welcome-v2")]
    asked = len(first.asked)
    second = models.rack.pods[bear(models, "welcome", predict=double)]
    status = course.until("welcome", lambda status: rows(status)["smoke/golden"]["pods"] == "2/2")
    assert status["phase"] == "Progressing"
    asked_of_second = len(second.asked)
    until_turned(course, "welcome-v2")
    assert (len(first.asked), len(second.asked)) == (asked, asked_of_second)
    assert course.seen_weights("welcome") == [0, 25]


def test_golden_requests_are_sent_again_and_a_wrong_answer_rolls_back(course: Course, models: Models) -> None:
    course.until_serving("drifting")
    pod = models.rack.pods[pod_of("drifting-v2")]
    course.until("drifting", lambda status: status["verification"]["goldenAt"] >= 2)
    assert pod.predictions >= SMOKE_TEST + len(CASES)
    pod.predict = triple
    status = course.until_phase("drifting", "RolledBack")
    (flag,) = status["redFlags"]
    assert flag["reason"] == "GoldenFailed"
    assert f"Pod {pod_of('drifting-v2')}: golden case one: $.y is 3.0" in flag["message"]
    assert pod.asked.count("/ready") == 1, "a repetition is of the golden requests alone"


def test_the_gate_is_opened_for_pods_that_passed_and_the_candidate_serves(course: Course, models: Models) -> None:
    for pod in (pod_of("gated-v2"), second_of("gated")):
        until_let_in(course, pod)
    assert course.seen_weights("gated") == [0]
    for pod in (pod_of("gated-v2"), second_of("gated")):
        set_ready(course.cluster, course.namespace, pod, ready=True, address=models.rack.pods[pod].address)
    run_pods(course.cluster, course.namespace, "gated-v2", ready=2)
    course.until_serving("gated")
    born = bear_third(models)
    course.until_phase("gated", "RolledBack")
    assert gate_of(course, born) == {}


def until_let_in(course: Course, pod: str) -> None:
    """Wait until the operator has opened the pod's gate, and see why."""
    eventually(lambda: gate_of(course, pod).get("status") == "True", lambda: json.dumps(course.status("gated")))
    assert gate_of(course, pod)["message"] == "The smoke test passed"


def bear_third(models: Models) -> str:
    """Let the gated candidate have a bad pod that is not ready, as it would be; return its name."""
    name = f"{pod_of('gated-v2')}2"
    models.course.change(DEPLOYMENTS, "gated-v2", {"spec": {"replicas": 3}})
    models.bear("gated-v2", name, triple, ready=False)
    return name


def test_the_gate_stays_shut_for_a_pod_that_failed(course: Course, models: Models) -> None:
    del models
    status = course.until_phase("barred", "RolledBack")
    assert condition(status, "Verified")["reason"] == "GoldenFailed"
    assert gate_of(course, second_of("barred")) == {}
    assert course.seen_weights("barred") == [0]


def test_after_a_roll_back_stable_answers_as_before(course: Course, models: Models) -> None:
    course.until_serving("restored")
    asked = models.rack.asked("restored-v1")
    course.ask("restored", "abort")
    status = course.until("restored", lambda status: "smoke/restored" in rows(status))
    fingerprint = status["stable"]["fingerprint"]
    row = rows(status)["smoke/restored"]
    assert (row["state"], row["found"]) == ("Passed", f"fingerprint {fingerprint}")
    course.until_told("restored", "Verified")
    assert (
        course.events("restored")[-1]["message"] == f"Stable answers as before the rollout: fingerprint {fingerprint}"
    )
    assert models.rack.asked("restored-v1") > asked
    asked = models.rack.asked("restored-v1")
    until_turned(course, "restored-v1")
    assert models.rack.asked("restored-v1") == asked, "it is asked once"


def test_after_a_roll_back_another_stable_is_told_of(course: Course, models: Models) -> None:
    course.until_serving("replaced")
    models.rack.pods[pod_of("replaced-v1")].predict = triple
    course.ask("replaced", "abort")
    status = course.until("replaced", lambda status: "smoke/restored" in rows(status))
    row = rows(status)["smoke/restored"]
    assert row["state"] == "Failed"
    assert row["expected"] == f"fingerprint {status['stable']['fingerprint']}, as before the rollout"
    course.until_told("replaced", "FingerprintChanged")
    (event,) = [each for each in course.events("replaced") if each["reason"] == "FingerprintChanged"]
    assert event["type"] == "Warning"
    assert (
        event["message"] == f"Stable does not answer as before the rollout: {row['found']}; expected {row['expected']}"
    )
    assert status["phase"] == "RolledBack"
