"""How rollouts end, and what may happen to them on the way: deleted, edited, robbed of what they need, born again."""

import json
from itertools import pairwise
from typing import Any

import pytest

from controller.observe.cluster import DEPLOYMENTS, HTTP_ROUTES, RECORDS, ROLLOUTS, SERVICES
from tests.controlplane.course.counters import Model
from tests.controlplane.course.scene import QUICK, Course, condition, eventually, merged, rollout_body
from tests.controlplane.objects import make_service, run_pods

pytestmark = pytest.mark.controlplane

Json = dict[str, Any]

PARKED = (
    "deleted",
    "offline",
    "routeless",
    "suspended",
    "serviceless",
    "entryless",
    "torn",
    "lingering",
    "edited",
    "changed",
    "unstable",
    "withdrawn",
)
"""Rollouts that stand at 25 % until something happens to them."""
ENDLESS = merged(QUICK, {"strategy": {"minWindows": 1000}})
FOREIGN = "tests.example.com/hold"


@pytest.fixture(scope="module")
def stage(course: Course) -> Course:
    """All rollouts at once, on their way to 25 %."""
    for name in PARKED:
        course.stage(name)
        course.roll_out(name)
    course.stage("forgetful")
    course.roll_out("forgetful", ENDLESS)
    course.stage("reborn")
    course.kubectl("apply", "--filename=-", stdin=json.dumps(rollout_body("reborn", QUICK)))
    course.stage("bad", candidate=Model(bad=0.6))
    course.roll_out("bad", QUICK)
    for version in ("1", "2"):
        course.arm(f"shared-v{version}", labels={"app": "shared", "version": version})
    make_service(course.cluster, course.namespace, "shared", selector={"app": "shared", "version": "1"})
    course.roll_out("shared", {"traffic": {"gateway": None, "service": {"name": "shared"}}})
    course.operator.start()
    return course


def returned_before_the_end(course: Course, name: str) -> bool:
    """Whether the route had given everything back to stable before the object was gone."""
    (gone,) = (seen.version for seen in course.rollouts.seen(name) if seen.type == "DELETED")
    returned = course.routes.seen(name)[-1]
    weights = {entry["name"]: entry["weight"] for entry in returned.thing["spec"]["rules"][0]["backendRefs"]}
    return weights.get(f"{name}-v1") == 100 and weights.get(f"{name}-v2", 0) == 0 and returned.version < gone


def retemplate(course: Course, deployment: str, image: str) -> None:
    """Change the pod template, and let the Deployment be rolled out again."""
    container = {"name": "model", "image": image}
    course.change(DEPLOYMENTS, deployment, {"spec": {"template": {"spec": {"containers": [container]}}}})
    run_pods(course.cluster, course.namespace, deployment, ready=1)


def test_lost_record_begins_anew(stage: Course) -> None:
    stage.until("forgetful", lambda status: status.get("window", {}).get("counted", 0) >= 2)
    stage.delete(RECORDS, "forgetful-1-0")
    status = stage.until("forgetful", lambda status: status["epoch"] == 2 and status["window"]["counted"] >= 1)
    assert "RecordLost" in [event["reason"] for event in stage.events("forgetful")]
    assert status["analysis"]["attempt"] == 2
    assert stage.seen_weights("forgetful") == [0, 25, 0, 25]
    first = stage.windows("forgetful", epoch=2)[0]
    assert (first["transition"], first["number"]) == (3, 0)


def test_deletion_gives_everything_back_before_the_object_is_gone(stage: Course) -> None:
    stage.until_serving("deleted")
    assert stage.weights("deleted") == {"deleted-v1": 75, "deleted-v2": 25}
    stage.kubectl("delete", "mro", "deleted")
    eventually(lambda: stage.rollouts.seen("deleted")[-1].type == "DELETED", lambda: "the watch tells of the deletion")
    assert stage.seen_weights("deleted") == [0, 25, 0]
    assert returned_before_the_end(stage, "deleted")
    record = stage.cluster.get(RECORDS, stage.namespace, "deleted-1-0")["spec"]
    assert (record["decisions"][-1]["reason"], record["verdict"]) == ("Deleted", "Withdrawn")


def test_deletion_while_the_operator_is_away(stage: Course) -> None:
    stage.until_serving("offline")
    stage.operator.stop()
    stage.delete(ROLLOUTS, "offline")
    assert stage.exists(ROLLOUTS, "offline")
    assert stage.weights("offline")["offline-v2"] == 25
    stage.operator.start()
    eventually(
        lambda: stage.rollouts.seen("offline")[-1].type == "DELETED", lambda: json.dumps(stage.status("offline"))
    )
    assert stage.seen_weights("offline") == [0, 25, 0]
    assert returned_before_the_end(stage, "offline")


def test_deletion_while_suspended(stage: Course) -> None:
    stage.until_serving("suspended")
    stage.change(ROLLOUTS, "suspended", {"spec": {"suspend": True}})
    status = stage.until_phase("suspended", "Suspended")
    assert status["message"] == "Suspended by spec.suspend; 25 % of requests stay on the candidate"
    stage.delete(ROLLOUTS, "suspended")
    stage.until_gone("suspended")
    assert stage.weights("suspended") == {"suspended-v1": 100, "suspended-v2": 0}


def test_deletion_after_the_route(stage: Course) -> None:
    stage.until_serving("routeless")
    stage.delete(HTTP_ROUTES, "routeless")
    status = stage.until_phase("routeless", "Stalled")
    assert status["reason"] == "RouteMissing"
    stage.delete(ROLLOUTS, "routeless")
    stage.until_gone("routeless")


def test_deletion_after_the_candidates_service(stage: Course) -> None:
    stage.until_serving("serviceless")
    stage.delete(SERVICES, "serviceless-v2")
    assert stage.until_phase("serviceless", "Stalled")["reason"] == "ServiceMissing"
    stage.delete(ROLLOUTS, "serviceless")
    stage.until_gone("serviceless")
    assert stage.weights("serviceless") == {"serviceless-v1": 100, "serviceless-v2": 0}


def test_deletion_after_the_candidates_entry(stage: Course) -> None:
    stage.until_serving("entryless")
    rules = stage.cluster.get(HTTP_ROUTES, stage.namespace, "entryless")["spec"]["rules"]
    del rules[0]["backendRefs"][1]
    stage.change(HTTP_ROUTES, "entryless", {"spec": {"rules": rules}})
    assert stage.until_phase("entryless", "Stalled")["reason"] == "BackendMissing"
    stage.delete(ROLLOUTS, "entryless")
    stage.until_gone("entryless")
    assert stage.weights("entryless") == {"entryless-v1": 100}


def test_deletion_after_everything_else_but_the_route(stage: Course) -> None:
    for name in ("torn", "shared"):
        stage.until_serving(name)
        for version in ("v1", "v2"):
            stage.delete(DEPLOYMENTS, f"{name}-{version}")
            stage.delete(SERVICES, f"{name}-{version}")
        stage.delete(ROLLOUTS, name)
    for name in ("torn", "shared"):
        stage.until_gone(name)


def test_candidate_torn_down_with_its_service_gets_no_more_requests(stage: Course) -> None:
    stage.until_serving("withdrawn")
    stage.delete(SERVICES, "withdrawn-v2")
    stage.delete(DEPLOYMENTS, "withdrawn-v2")
    stage.until_phase("withdrawn", "RolledBack")
    assert stage.weights("withdrawn") == {"withdrawn-v1": 100, "withdrawn-v2": 0}


def test_object_that_others_hold_back_no_longer_steers(stage: Course) -> None:
    stage.until_serving("lingering")
    finalizers = stage.cluster.get(ROLLOUTS, stage.namespace, "lingering")["metadata"]["finalizers"]
    stage.change(ROLLOUTS, "lingering", {"metadata": {"finalizers": [*finalizers, FOREIGN]}})
    stage.delete(ROLLOUTS, "lingering")
    claim = {part: rollout_body("lingering", {})["spec"][part] for part in ("stable", "candidate", "traffic")}
    stage.roll_out("heir", claim)
    stage.until_serving("heir")
    turns = stage.operator.turns()
    stage.change(DEPLOYMENTS, "lingering-v1", {"metadata": {"labels": {"poke": "1"}}})
    eventually(lambda: stage.operator.turns() >= turns + 4, stage.operator.log.read_text)
    assert stage.seen_weights("lingering") == [0, 25, 0, 25]
    stage.change(ROLLOUTS, "lingering", {"metadata": {"finalizers": None}})
    stage.until_gone("lingering")
    assert stage.seen_weights("lingering") == [0, 25, 0, 25]


def test_route_edited_in_mid_rollout_is_written_again(stage: Course) -> None:
    stage.until_serving("edited")
    rules = stage.cluster.get(HTTP_ROUTES, stage.namespace, "edited")["spec"]["rules"]
    for entry in rules[0]["backendRefs"]:
        entry["weight"] = 50
    stage.change(HTTP_ROUTES, "edited", {"spec": {"rules": rules}})
    eventually(lambda: stage.seen_weights("edited") == [0, 25, 50, 25], lambda: str(stage.seen_weights("edited")))
    stage.until("edited", lambda status: condition(status, "TrafficApplied")["status"] == "True")
    told = [condition(seen.thing.get("status", {}), "TrafficApplied") for seen in stage.rollouts.seen("edited")]
    edits = [answer for answer in told if answer.get("reason") == "RouteEdited"]
    assert {answer["status"] for answer in edits} == {"False"}
    sentence = "HTTPRoute edited was edited by someone else; 25 % for the candidate is being written again"
    assert {answer["message"] for answer in edits} == {sentence}
    assert stage.status("edited")["transition"] == 1


def test_candidate_edited_in_mid_rollout_begins_anew(stage: Course) -> None:
    stage.until_serving("changed")
    retemplate(stage, "changed-v2", "changed-v2:2")
    status = stage.until("changed", lambda status: status["epoch"] == 2)
    status = stage.until_serving("changed")
    assert stage.seen_weights("changed") == [0, 25, 0, 25]
    assert status["history"] == [] or status["history"][0]["outcome"] == "Superseded"
    assert "CandidateChanged" in [event["reason"] for event in stage.events("changed")]
    records = [each["spec"] for each in stage.cluster.list(RECORDS, stage.namespace)]
    verdicts = {each["epoch"]: each.get("verdict") for each in records if each["rollout"] == "changed"}
    assert verdicts == {1: "Superseded", 2: None}


def test_stable_edited_in_mid_rollout_holds_until_it_returns(stage: Course) -> None:
    stage.until_serving("unstable")
    retemplate(stage, "unstable-v1", "unstable-v1:2")
    status = stage.until_phase("unstable", "Stalled")
    assert status["reason"] == "StableChanged"
    assert status["message"].endswith(
        "the weight is held until it returns, or request retry for a new epoch against it"
    )
    assert stage.weights("unstable")["unstable-v2"] == 25
    retemplate(stage, "unstable-v1", "unstable-v1:1")
    status = stage.until_serving("unstable")
    assert status["epoch"] == 1
    assert stage.seen_weights("unstable") == [0, 25]


def test_kubectl_waits_for_the_roll_back(stage: Course) -> None:
    stage.kubectl("wait", "mro/bad", "--for=condition=RolledBack", "--timeout=50s")
    assert stage.seen_weights("bad") == [0, 25, 0]


def test_sentence_of_a_roll_back_survives_what_comes_after_it(stage: Course) -> None:
    before = stage.until_phase("bad", "RolledBack")
    stage.delete(SERVICES, "bad-v2")
    status = stage.until("bad", lambda status: condition(status, "SpecAccepted")["status"] == "False")
    assert status["reason"] == "ServiceMissing"
    make_service(stage.cluster, stage.namespace, "bad-v2", selector={"app": "bad-v2"})
    status = stage.until("bad", lambda status: condition(status, "SpecAccepted")["status"] == "True")
    assert (status["reason"], status["message"]) == (before["reason"], before["message"])


def test_first_manifest_applied_again_leaves_production_where_it_is(stage: Course) -> None:
    first = json.dumps(rollout_body("reborn", QUICK))
    stage.kubectl("wait", "mro/reborn", "--for=condition=Promoted", "--timeout=50s")
    eventually(lambda: not stage.finalized("reborn"), lambda: "the finalizer goes")
    promoted = stage.cluster.get(HTTP_ROUTES, stage.namespace, "reborn")
    assert stage.weights("reborn") == {"reborn-v1": 0, "reborn-v2": 100}

    stage.kubectl("delete", "mro", "reborn")
    stage.kubectl("apply", "--filename=-", stdin=first)
    status = stage.until("reborn", lambda status: status.get("reason") == "NoCandidate")
    assert (status["phase"], status["stable"]["deployment"], status["backup"]["deployment"]) == (
        "Idle",
        "reborn-v2",
        "reborn-v1",
    )
    assert stage.cluster.get(HTTP_ROUTES, stage.namespace, "reborn") == promoted

    retemplate(stage, "reborn-v1", "reborn-v1:2")
    stage.change(ROLLOUTS, "reborn", {"spec": {"candidate": {"deployment": "reborn-v1"}}})
    status = stage.until("reborn", lambda status: status["stable"]["deployment"] == "reborn-v1")
    assert status["epoch"] == 2
    epochs = [
        page["spec"]["epoch"]
        for page in stage.cluster.list(RECORDS, stage.namespace)
        if page["spec"]["rollout"] == "reborn"
    ]
    assert sorted(epochs) == [1, 2]
    fences = [seen.thing["metadata"].get("annotations", {}) for seen in stage.routes.seen("reborn")]
    assert all(before != after for before, after in pairwise(fences))
