from datetime import UTC, datetime, timedelta

import pytest

from controller.observe import workloads
from controller.observe.cluster import Json
from controller.observe.workloads import (
    FirstReady,
    deployment_of,
    is_live,
    label_selector,
    template_hash,
    workload_of,
)

NOON = datetime(2026, 8, 1, 12, tzinfo=UTC)


def pod(owner: str, template: str | None, *, kind: str = "ReplicaSet") -> Json:
    labels = {} if template is None else {"pod-template-hash": template}
    return {"metadata": {"labels": labels, "ownerReferences": [{"kind": kind, "name": owner, "controller": True}]}}


@pytest.mark.parametrize(
    ("thing", "deployment"),
    [
        (pod("fraud-v1-5d8f", "5d8f"), "fraud-v1"),
        (pod("fraud-5d8f", "5d8f"), "fraud"),
        (pod("fraud-v1-5d8f", "77aa"), None),  # somebody set the label by hand
        (pod("fraud-v1-5d8f", None), None),
        (pod("fraud-5d8f", "5d8f", kind="Job"), None),
        ({"metadata": {}}, None),
    ],
)
def test_owner_of_a_pod(thing: Json, deployment: str | None) -> None:
    assert deployment_of(thing) == deployment


def test_hash_is_that_of_the_content_not_of_its_order() -> None:
    one: Json = {"metadata": {"labels": {"a": "1", "b": "2"}}, "spec": {"containers": [{"name": "m", "image": "x:1"}]}}
    same: Json = {"spec": {"containers": [{"image": "x:1", "name": "m"}]}, "metadata": {"labels": {"b": "2", "a": "1"}}}
    other: Json = {"metadata": one["metadata"], "spec": {"containers": [{"name": "m", "image": "x:2"}]}}
    assert template_hash(one) == template_hash(same)
    assert template_hash(one) != template_hash(other)
    assert len(template_hash(one)) == 10


def test_hash_survives_a_newer_api_server_that_stores_no_empty_creation_time() -> None:
    old: Json = {"metadata": {"creationTimestamp": None, "labels": {"a": "1"}}, "spec": {}}
    assert template_hash(old) == template_hash({"metadata": {"labels": {"a": "1"}}, "spec": {}})


SETTLED = {"observedGeneration": 4, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2}


@pytest.mark.parametrize(
    ("replicas", "status", "rolled_out"),
    [
        (2, {}, True),
        (2, {"observedGeneration": 3}, False),  # the controller has not seen the newest template
        (2, {"replicas": 3}, False),  # an old pod is still there
        (2, {"updatedReplicas": 1}, False),
        (2, {"readyReplicas": 1}, False),
        (0, {"replicas": 0, "updatedReplicas": 0, "readyReplicas": 0}, False),  # nothing serves
    ],
)
def test_rolled_out(replicas: int, status: Json, rolled_out: bool) -> None:
    container = {"name": "m", "image": "x:1"}
    found = workload_of(
        {
            "metadata": {"name": "fraud-v1", "generation": 4},
            "spec": {"replicas": replicas, "template": {"spec": {"containers": [container]}}},
            "status": SETTLED | status,
        },
        "HorizontalPodAutoscaler/x",
    )
    assert found.rolled_out is rolled_out
    assert (found.deployment, found.images, found.replicas) == ("fraud-v1", ("x:1",), replicas)
    assert found.autoscaler == "HorizontalPodAutoscaler/x"


def test_deployment_that_was_never_seen_by_its_controller_is_not_rolled_out() -> None:
    found = workload_of(
        {"metadata": {"name": "a", "generation": 1}, "spec": {"template": {"spec": {"containers": []}}}}, None
    )
    assert (found.replicas, found.ready, found.rolled_out) == (1, 0, False)


def test_first_readiness_is_never_renewed() -> None:
    memory = FirstReady()
    assert memory.see("a", None) is None
    assert memory.see("a", NOON) == NOON
    assert memory.see("a", None) == NOON
    assert memory.see("a", NOON + timedelta(minutes=5)) == NOON
    assert memory.see("b", NOON + timedelta(minutes=5)) == NOON + timedelta(minutes=5)


def test_memory_of_first_readiness_is_bounded_and_drops_what_was_not_seen_longest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workloads, "REMEMBERED_PODS", 2)
    memory = FirstReady()
    later = NOON + timedelta(hours=1)
    memory.see("a", NOON)
    memory.see("b", NOON)
    memory.see("a", later)
    memory.see("c", NOON)
    assert memory.see("a", later) == NOON
    assert memory.see("b", later) == later


def test_ended_and_ending_pods_are_not_live() -> None:
    assert is_live({"metadata": {}, "status": {"phase": "Pending"}})
    assert not is_live({"metadata": {}, "status": {"phase": "Failed"}})
    assert not is_live({"metadata": {"deletionTimestamp": "2026-08-01T12:00:00Z"}, "status": {"phase": "Running"}})


def test_selector_with_expressions() -> None:
    selector: Json = {
        "matchLabels": {"b": "2", "a": "1"},
        "matchExpressions": [
            {"key": "c", "operator": "In", "values": ["x", "y"]},
            {"key": "d", "operator": "NotIn", "values": ["z"]},
            {"key": "e", "operator": "Exists"},
            {"key": "f", "operator": "DoesNotExist"},
        ],
    }
    assert label_selector(selector) == "a=1,b=2,c in (x,y),d notin (z),e,!f"
