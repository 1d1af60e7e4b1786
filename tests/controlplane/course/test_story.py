"""A rollout reads as a story: each status says something new, each event has its numbers, and rest is silence."""

import json
import re
import subprocess
from itertools import groupby, pairwise
from typing import Any, NamedTuple

import pytest

from controller.api.names import FINALIZER
from controller.observe.cluster import DEPLOYMENTS, EVENTS, HTTP_ROUTES, RECORDS, ROLLOUTS
from tests.controlplane.conftest import LEFT_BEHIND
from tests.controlplane.course.counters import Model
from tests.controlplane.course.scene import Course, eventually

pytestmark = pytest.mark.controlplane

Json = dict[str, Any]

STEPS = {"strategy": {"interval": "1s", "steps": [10, 50], "minWindows": 2}}
NAMES = ("good", "bad", "idle")
MOMENTS = frozenset({"lastTransitionTime", "appliedAt", "divertedAt", "startedAt", "finishedAt", "lastCountedAt"})
"""Fields that say when, not what; they alone are no reason to write."""


class Told(NamedTuple):
    """A course that was watched from before its first rollout until after the last one's end."""

    course: Course
    lines: tuple[str, ...]
    """What ``kubectl get mro -w`` printed."""


@pytest.fixture(scope="module")
def told(course: Course) -> Told:
    """Three rollouts: good, bad, and one with nothing to do."""
    course.stage("good")
    course.stage("bad", candidate=Model(bad=0.6))
    course.stage("idle")
    command = [*course.kubectl.command, "get", "mro", "--watch", "--output=wide"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
        assert watch.stdout is not None
        lines = []
        course.operator.start()
        course.roll_out("good", STEPS)
        course.roll_out("bad", STEPS)
        course.roll_out("idle", {"candidate": None})
        course.until_phase("bad", "RolledBack")
        course.until("good", lambda status: bool(status.get("history")))
        course.until_phase("idle", "Idle")
        eventually(lambda: not any(map(course.finalized, NAMES)), lambda: "the finalizers go")
        course.until_told("good", "Promoted")
        course.until_told("bad", "RolledBack")
        course.roll_out("last", {"suspend": True})
        for line in watch.stdout:
            lines.append(line.rstrip())
            if line.startswith("last"):
                break
        watch.terminate()
    return Told(course, tuple(lines))


def without_moments(value: Any) -> Any:
    """Return a status without the fields that only say when."""
    if isinstance(value, dict):
        return {key: without_moments(each) for key, each in value.items() if key not in MOMENTS}
    return [without_moments(each) for each in value] if isinstance(value, list) else value


def finalizers(rollout: Json) -> list[str]:
    found: list[str] = rollout["metadata"].get("finalizers", [])
    return found


@pytest.mark.parametrize("name", NAMES)
def test_each_status_says_something_new(told: Told, name: str) -> None:
    versions = [each.thing for each in told.course.rollouts.seen(name)]
    assert len(versions) >= 3
    for before, after in pairwise(versions):
        if finalizers(before) == finalizers(after):
            assert without_moments(before.get("status")) != without_moments(after["status"]), after["status"]
        else:
            assert before["status"] == after["status"], "the finalizer is a write of its own"


@pytest.mark.parametrize(("name", "repeated"), [("good", 2), ("bad", 2), ("idle", 0)])
def test_each_line_of_the_watch_says_something_new(told: Told, name: str, repeated: int) -> None:
    """But for the coming and the going of the finalizer, which no column shows."""
    lines = [re.sub(r"\s+((\d+m)?\d+s\s+)?", " ", line) for line in told.lines if line.startswith(f"{name} ")]
    assert len(lines) - len(list(groupby(lines))) == repeated, "\n".join(lines)


def test_the_watch_tells_the_phases_in_order(told: Told) -> None:
    phases = {
        name: [
            phase for phase, _ in groupby(line.split()[1] for line in told.lines if re.match(rf"{name} +[A-Z]", line))
        ]
        for name in NAMES
    }
    assert phases == {
        "good": ["Idle", "Verifying", "Progressing", "Promoting", "Idle"],
        "bad": ["Idle", "Verifying", "Progressing", "RollingBack", "RolledBack"],
        "idle": ["Idle"],
    }
    assert told.course.seen_weights("good") == [0, 10, 50, 100]
    assert told.course.seen_weights("bad") == [0, 10, 0]
    assert told.course.seen_weights("idle") == [0]


def test_events_name_step_reason_and_numbers(told: Told) -> None:
    events = {
        name: [(each["type"], each["reason"], each["message"]) for each in told.course.events(name)] for name in NAMES
    }
    good = [reason for _, reason, _ in events["good"]]
    assert good == [
        "StableAdopted",
        "CandidateStarted",
        "StepAdvanced",
        "WeightApplied",
        "StepAdvanced",
        "WeightApplied",
        "NotWorse",
        "Promoted",
    ]
    assert {kind for kind, _, _ in events["good"]} == {"Normal"}
    said = [message for _, _, message in events["good"]]
    assert said[0] == "Adopted good-v1 as stable: HTTPRoute good sends all requests there"
    assert re.fullmatch(r"Epoch 1: preparing good-v2/[0-9a-f]{10} beside good-v1", said[1])
    assert said[2] == "Step 1/2: moving 10 % of requests from good-v1 to good-v2"
    assert said[3] == "10 % of requests go to good-v2"
    assert re.match(r"Step 2/2: 10 % to 50 %\. .*errors 2\.00% of \d+ requests against 2\.00% of \d+", said[4])
    assert re.match(r"Not worse: errors 2\.00% of \d+ requests against 2\.00% of \d+, evidence \S+ of 32\.9; ", said[6])
    assert said[7] == "Promoted good-v2: it gets all requests; good-v1 stays warm as the backup"

    assert [reason for _, reason, _ in events["bad"]][-2:] == ["JudgedWorse", "RolledBack"]
    assert [kind for kind, _, _ in events["bad"]][-2:] == ["Warning", "Warning"]
    worse = events["bad"][-2][2]
    assert re.match(r"Worse: errors 60\.00% of \d+ requests against 2\.00% of \d+, margin 2\.00%, evidence ", worse)
    assert worse.endswith("; returning all requests from bad-v2 to stable")
    assert events["bad"][-1][2].startswith("All requests go to bad-v1. Worse: errors 60.00%")
    assert [reason for _, reason, _ in events["idle"]] == ["StableAdopted"]


def test_finalizer_is_there_whenever_requests_are_diverted(told: Told) -> None:
    for name in NAMES:
        for each in told.course.rollouts.seen(name):
            traffic = each.thing.get("status", {}).get("traffic", {"desiredWeight": 0, "appliedWeight": 0})
            if traffic["desiredWeight"] or traffic["appliedWeight"]:
                assert finalizers(each.thing) == [FINALIZER]
        assert finalizers(told.course.rollouts.seen(name)[-1].thing) == []


def test_kopf_leaves_no_trace_on_any_object(told: Told) -> None:
    cluster, namespace = told.course.cluster, told.course.namespace
    found = {kind.plural: cluster.list(kind, namespace) for kind in LEFT_BEHIND}
    for kind in (ROLLOUTS, RECORDS, HTTP_ROUTES, DEPLOYMENTS, EVENTS):
        assert found[kind.plural]
    assert "kopf" not in json.dumps(found)
    assert all("informer" not in json.dumps(each["metadata"]) for each in found["modelrollouts"])


def test_rest_is_silence(told: Told) -> None:
    """Turns of rollouts at rest write nothing: neither status nor route nor record nor event."""
    course = told.course
    kinds = (ROLLOUTS, HTTP_ROUTES, RECORDS, EVENTS)

    def versions() -> dict[str, str]:
        return {
            f"{kind.plural}/{thing['metadata']['name']}": thing["metadata"]["resourceVersion"]
            for kind in kinds
            for thing in course.cluster.list(kind, course.namespace)
        }

    course.until_told("last", "RolloutSuspended")
    before = versions()
    turns = course.operator.turns()
    for name in NAMES:
        course.change(DEPLOYMENTS, f"{name}-v1", {"metadata": {"labels": {"poke": "1"}}})
    eventually(lambda: course.operator.turns() >= turns + len(NAMES), course.operator.log.read_text)
    assert versions() == before


def test_with_one_pod_noise_is_assumed_said_and_taken_off(told: Told) -> None:
    course = told.course
    (page,) = (each["spec"] for each in course.cluster.list(RECORDS, course.namespace) if _is_first_of(each, "good"))
    calibration = page["frozen"]["metrics"][0]["calibration"]
    assert (calibration["source"], calibration["designEffect"]) == ("Prior", "2")
    assert "assumed" in course.status("good")["analysis"]["metrics"][0]["calibration"]
    arms = [row[arm] for each in page["windows"] for row in each["rows"] for arm in ("stable", "candidate")]
    assert [2 * float(arm["effectiveTotal"]) for arm in arms] == [float(arm["total"]) for arm in arms]
    assert [2 * float(arm["effectiveBad"]) for arm in arms] == [float(arm["bad"]) for arm in arms]


def _is_first_of(record: Json, rollout: str) -> bool:
    spec = record["spec"]
    return (spec["rollout"], spec["epoch"], spec["page"]) == (rollout, 1, 0)
