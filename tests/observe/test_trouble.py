from datetime import UTC, datetime

import pytest

from controller.api.reasons import Reason
from controller.observe.cluster import Json
from controller.observe.trouble import pod_trouble
from controller.plan.world import Problem

BORN = "2026-08-01T12:00:00Z"
LATER = datetime(2026, 8, 1, 13, tzinfo=UTC)


def trouble(container: Json, *, since: datetime | None = None, field: str = "containerStatuses") -> Problem | None:
    status = {"name": "model", "image": "fraud:2", "restartCount": 0, "state": {"running": {}}} | container
    pod = {"metadata": {"name": "p-1", "creationTimestamp": BORN}, "status": {field: [status]}}
    return pod_trouble(pod, since=since)


def ended(code: int, *, reason: str = "Error", at: str = "2026-08-01T12:30:00Z") -> Json:
    return {"terminated": {"exitCode": code, "reason": reason, "finishedAt": at}}


CRASH_LOOP = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ended(3), "restartCount": 4}


def test_healthy_and_starting_pods_have_none() -> None:
    assert trouble({}) is None
    assert trouble({"state": {"waiting": {"reason": "ContainerCreating"}}}) is None
    assert pod_trouble({"metadata": {"name": "p", "creationTimestamp": BORN}}, since=None) is None


@pytest.mark.parametrize("field", ["containerStatuses", "initContainerStatuses"])
def test_crash_loop_names_pod_container_and_exit_code(field: str) -> None:
    found = trouble(CRASH_LOOP, field=field)
    assert found is not None
    assert found.reason is Reason.CRASH_LOOP
    assert found.message == "Pod p-1, container model: it keeps ending, 4 restarts so far, last exit code 3"


@pytest.mark.parametrize(
    ("restarts", "code", "reason"),
    [(1, 1, None), (2, 0, None), (2, 1, Reason.CRASH_LOOP), (7, 137, Reason.CRASH_LOOP)],
)
def test_restarts_count_from_the_second_on_and_only_after_errors(
    restarts: int, code: int, reason: Reason | None
) -> None:
    found = trouble({"restartCount": restarts, "lastState": ended(code)})
    assert (found and found.reason) == reason


def test_restarts_of_a_pod_older_than_the_epoch_are_not_held_against_it() -> None:
    crashed_before = {"restartCount": 5, "lastState": ended(1)}
    crashed_in_it = {"restartCount": 5, "lastState": ended(1, at="2026-08-01T13:30:00Z")}
    assert trouble(crashed_before, since=LATER) is None
    assert trouble(crashed_in_it, since=LATER) is None
    assert trouble(CRASH_LOOP, since=LATER) is not None  # that it waits now is no matter of the past


def test_out_of_memory_once_is_enough_and_forgotten_when_it_was_before() -> None:
    killed = {"restartCount": 1, "lastState": ended(137, reason="OOMKilled")}
    found = trouble(killed)
    assert found is not None
    assert found.reason is Reason.OUT_OF_MEMORY
    assert "Pod p-1, container model" in found.message
    assert trouble(killed, since=LATER) is None


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"])
def test_image_that_cannot_be_had(reason: str) -> None:
    found = trouble({"state": {"waiting": {"reason": reason, "message": "not found"}}}, since=LATER)
    assert found is not None
    assert found.reason is Reason.IMAGE_UNAVAILABLE
    assert found.message == f"Pod p-1, container model: image fraud:2: {reason} (not found)"
