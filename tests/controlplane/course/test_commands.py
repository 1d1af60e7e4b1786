"""Requests by annotation: carried out or refused, each once, always with an answer in status and an event."""

from typing import Any

import pytest

from controller.api.names import REQUEST_ANNOTATION
from controller.observe.cluster import ROLLOUTS
from tests.controlplane.course.scene import Course, eventually, rollout_body

pytestmark = pytest.mark.controlplane

Json = dict[str, Any]

NAMES = ("promoted", "aborted", "paused", "refused", "repeated")


@pytest.fixture(scope="module")
def stage(course: Course) -> Course:
    """All rollouts at once, on their way to 25 %, where they stay."""
    for name in NAMES:
        course.stage(name)
        course.roll_out(name)
    course.operator.start()
    return course


def answered(course: Course, name: str, ident: str) -> Json:
    """Wait for the answer to a request; return the status."""
    return course.until(name, lambda status: status.get("lastRequest", {}).get("id") == ident)


def requests_told(course: Course, name: str) -> list[tuple[str, str, str]]:
    """Return the events about requests."""
    told = [(each["type"], each["reason"], each["message"]) for each in course.events(name)]
    return [each for each in told if each[1] in ("RequestAccepted", "RequestRefused")]


def test_promote(stage: Course) -> None:
    stage.until_serving("promoted")
    status = answered(stage, "promoted", stage.ask("promoted", "promote"))
    last = status["lastRequest"]
    assert (last["action"], last["accepted"]) == ("promote", True)
    assert last["message"] == "Promotion was requested (a test): all requests go to promoted-v2"
    status = stage.until_phase("promoted", "Idle")
    assert status["stable"]["deployment"] == "promoted-v2"
    assert stage.weights("promoted") == {"promoted-v1": 0, "promoted-v2": 100}
    assert ("Normal", "RequestAccepted", "promote was requested (a test)") in requests_told(stage, "promoted")


def test_abort_then_retry(stage: Course) -> None:
    stage.until_serving("aborted")
    status = answered(stage, "aborted", stage.ask("aborted", "abort"))
    assert status["lastRequest"]["message"] == "Abort was requested (a test): returning all requests to stable"
    status = stage.until_phase("aborted", "RolledBack")
    assert status["message"] == "All requests go to aborted-v1. Abort was requested (a test)"
    assert (status["history"][0]["outcome"], status["rejected"]) == ("Withdrawn", [])
    assert stage.weights("aborted") == {"aborted-v1": 100, "aborted-v2": 0}

    status = answered(stage, "aborted", stage.ask("aborted", "retry"))
    assert (status["lastRequest"]["action"], status["lastRequest"]["accepted"]) == ("retry", True)
    status = stage.until_serving("aborted")
    assert (status["epoch"], status["analysis"]["attempt"]) == (2, 2)
    assert stage.seen_weights("aborted") == [0, 25, 0, 25]
    told = [message for _, _, message in requests_told(stage, "aborted")]
    assert told == ["abort was requested (a test)", "retry was requested (a test)"]


def test_pause_then_resume(stage: Course) -> None:
    stage.until_serving("paused")
    answered(stage, "paused", stage.ask("paused", "pause"))
    status = stage.until_phase("paused", "Paused")
    assert status["message"] == "Paused (a test) at 25 %; red flags and Worse still act"
    answered(stage, "paused", stage.ask("paused", "resume"))
    status = stage.until_serving("paused")
    assert (status["epoch"], status["transition"]) == (1, 1)
    assert stage.seen_weights("paused") == [0, 25]
    assert status["lastRequest"]["message"] == "Resumed (a test) at 25 %; the deadline starts anew"


REFUSED = (
    ("drill", None, "drill is not supported yet"),
    ("promote", 7, "the request is for epoch 7, the present one is 1"),
    ("resume", None, "resume is not possible in phase Progressing"),
)


@pytest.mark.parametrize(("action", "epoch", "why"), REFUSED)
def test_request_that_cannot_be_carried_out(stage: Course, action: str, epoch: int | None, why: str) -> None:
    before = stage.until_serving("refused")
    status = answered(stage, "refused", stage.ask("refused", action, epoch=epoch))
    last = status["lastRequest"]
    assert (last["action"], last["accepted"], last["message"]) == (action, False, why)
    assert (status["phase"], status["transition"]) == (before["phase"], before["transition"])
    eventually(
        lambda: ("Warning", "RequestRefused", f"{action}: {why}") in requests_told(stage, "refused"),
        lambda: str(requests_told(stage, "refused")),
    )


@pytest.mark.parametrize("garbage", ["abort", '{"id":"1"}', '{"id":"1","epoch":1,"action":"explode"}', "[1]", '"'])
def test_garbage_is_answered_with_what_was_expected(stage: Course, garbage: str) -> None:
    stage.until_serving("refused")
    before = stage.status("refused").get("lastRequest")
    stage.change(ROLLOUTS, "refused", {"metadata": {"annotations": {REQUEST_ANNOTATION: garbage}}})
    status = stage.until("refused", lambda status: status.get("lastRequest", before) != before)
    last = status["lastRequest"]
    assert not last["accepted"]
    assert last["message"].startswith(
        'the request annotation must be JSON such as {"id":"1","epoch":3,"action":"abort","reason":"…"}: '
    )
    assert (status["phase"], status["traffic"]["appliedWeight"]) == ("Progressing", 25)


def test_stale_request_in_a_manifest_holds_nothing_up(stage: Course) -> None:
    stage.until_serving("refused")
    stage.stage("stale")
    request = {REQUEST_ANNOTATION: '{"id":"old","epoch":7,"action":"promote"}'}
    metadata = {"metadata": {"name": "stale", "annotations": request}}
    stage.cluster.create(ROLLOUTS, stage.namespace, rollout_body("stale", {}) | metadata)
    status = stage.until_serving("stale")
    assert status["lastRequest"]["message"] == "the request is for epoch 7, the present one is 0"


def standing(course: Course) -> list[Any]:
    """Return what a request that is carried out again would change."""
    status = course.status("repeated")
    return [status[field] for field in ("phase", "epoch", "transition", "lastRequest", "history")]


def test_request_that_stays_there_is_carried_out_once(stage: Course) -> None:
    """Also by an operator that starts anew, and when the annotation is written again with the same id."""
    stage.until_serving("repeated")
    answered(stage, "repeated", stage.ask("repeated", "pause", ident="once"))
    stage.until_phase("repeated", "Paused")
    answered(stage, "repeated", stage.ask("repeated", "resume", ident="twice"))
    stage.until_serving("repeated")
    before = standing(stage)
    stage.operator.stop()
    stage.operator.start()
    eventually(lambda: stage.operator.turns() >= len(NAMES), stage.operator.log.read_text)
    turns = stage.operator.turns()
    stage.ask("repeated", "abort", ident="twice")
    eventually(lambda: stage.operator.turns() > turns, stage.operator.log.read_text)
    assert standing(stage) == before
    stage.ask("repeated", "abort", ident="thrice")
    stage.until_phase("repeated", "RolledBack")
