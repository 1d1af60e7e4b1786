"""Who needs a turn when something in the cluster changes."""

import sys
from typing import Any

import pytest

from controller.api.names import REQUEST_ANNOTATION
from controller.api.reasons import Phase
from controller.run.index import POD_PHASES, Index, Reference, Referent, deployment_of
from controller.run.key import Key

Json = dict[str, Any]
FRAUD, RISK = Key("shop", "fraud"), Key("shop", "risk")


def rollout(name: str = "fraud", *, route: str = "fraud", uid: str = "1", version: str = "1", **more: Any) -> Json:
    return {
        "metadata": {
            "namespace": "shop",
            "name": name,
            "uid": uid,
            "resourceVersion": version,
            "generation": more.get("generation", 1),
            "annotations": more.get("annotations"),
        },
        "spec": {
            "stable": {"deployment": f"{name}-v1"},
            "candidate": {"deployment": f"{name}-v2", "service": f"{name}-canary"},
            "traffic": {"gateway": {"httpRoute": route}},
        },
        "status": more.get("status", {}),
    }


def pod(deployment: str, *, owner: str = "ReplicaSet") -> Json:
    return {
        "metadata": {
            "name": f"{deployment}-5d9c-x7k2p",
            "labels": {"pod-template-hash": "5d9c"},
            "ownerReferences": [{"kind": owner, "name": f"{deployment}-5d9c"}],
        }
    }


@pytest.fixture
def index() -> Index:
    return Index()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Referent.DEPLOYMENT, "fraud-v1"),
        (Referent.DEPLOYMENT, "fraud-v2"),
        (Referent.SERVICE, "fraud-v1"),
        (Referent.SERVICE, "fraud-canary"),
        (Referent.HTTP_ROUTE, "fraud"),
    ],
)
def test_all_that_a_rollout_refers_to_leads_to_it(index: Index, kind: Referent, name: str) -> None:
    index.remember(rollout())
    assert index.users("shop", Reference(kind, name)) == {FRAUD}
    assert index.users("bank", Reference(kind, name)) == frozenset()


def test_what_status_names_counts_too_because_roles_swap_at_promotion(index: Index) -> None:
    status = {"stable": {"deployment": "old-v9", "service": "old"}, "backup": {"deployment": "old-v8"}}
    index.remember(rollout(status=status))
    for name in ("old-v9", "old-v8", "fraud-v1"):
        assert index.users("shop", Reference(Referent.DEPLOYMENT, name)) == {FRAUD}
    assert index.users("shop", Reference(Referent.SERVICE, "old")) == {FRAUD}


def test_a_router_service_leads_to_its_rollout(index: Index) -> None:
    thing = rollout()
    thing["spec"]["traffic"] = {"service": {"name": "front"}}
    index.remember(thing)
    assert index.users("shop", Reference(Referent.SERVICE, "front")) == {FRAUD}


def test_a_status_write_of_our_own_is_no_reason_for_a_turn(index: Index) -> None:
    assert index.remember(rollout()) == {FRAUD}
    assert index.remember(rollout(version="2", status={"message": "new"})) == frozenset()
    seen = index.get(FRAUD)
    assert seen is not None
    assert seen.version == "2"


@pytest.mark.parametrize(
    "change",
    [
        {"generation": 2},
        {"annotations": {REQUEST_ANNOTATION: "{}"}},
        {"uid": "2"},
        {"status": {"phase": "Progressing"}},
    ],
)
def test_every_other_change_is(index: Index, change: Json) -> None:
    index.remember(rollout())
    assert index.remember(rollout(version="2", **change)) == {FRAUD}


def test_a_route_that_is_let_go_wakes_the_other_one_that_wants_it(index: Index) -> None:
    index.remember(rollout("fraud", route="shared"))
    index.remember(rollout("risk", route="shared"))
    assert index.remember(rollout("fraud", route="own", generation=2)) == {FRAUD, RISK}
    index.remember(rollout("fraud", route="shared", generation=3))
    assert index.forget(FRAUD, "1") == {RISK}


def test_a_deletion_that_arrives_after_its_successor_drops_nothing(index: Index) -> None:
    index.remember(rollout(uid="1"))
    index.remember(rollout(uid="2"))
    assert index.forget(FRAUD, "1") == frozenset()
    assert index.get(FRAUD) is not None
    index.forget(FRAUD, "2")
    assert index.get(FRAUD) is None


def test_nothing_stays_of_rollouts_that_are_gone(index: Index) -> None:
    for number in range(100):
        index.remember(rollout(f"r{number}"))
        index.remember(rollout(f"r{number}", route="moved", generation=2))
    for number in range(100):
        index.forget(Key("shop", f"r{number}"), "1")
    assert not index.all()
    assert not index._users


@pytest.mark.parametrize("phase", list(Phase))
def test_pods_matter_only_while_something_is_decided(index: Index, phase: Phase) -> None:
    index.remember(rollout(status={"phase": phase.value}))
    idle = {Phase.IDLE, Phase.ROLLED_BACK, Phase.SUSPENDED}
    assert index.watchers("shop", "fraud-v2") == (frozenset() if phase in idle else {FRAUD})
    assert set(Phase) - POD_PHASES == idle


def test_a_pod_leads_to_its_deployment_by_its_replica_set() -> None:
    assert deployment_of(pod("fraud-v2")) == "fraud-v2"
    assert deployment_of(pod("fraud-v2", owner="Job")) is None
    assert deployment_of({"metadata": {"name": "alone"}}) is None


@pytest.mark.parametrize(
    "spec", [None, {}, {"stable": "x", "candidate": None, "traffic": []}, {"stable": {"deployment": 5}}]
)
def test_a_spec_that_is_not_as_the_crd_says_is_survived(index: Index, spec: object) -> None:
    broken = rollout()
    broken["spec"] = spec
    assert index.remember(broken) == {FRAUD}


def test_a_rollout_costs_a_few_kibibytes(index: Index) -> None:
    index.remember(rollout(status={"phase": "Idle", "history": ["x" * 1000] * 50}))
    seen = index.get(FRAUD)
    assert seen is not None
    parts = [seen, seen.uid, seen.version, seen.phase, seen.cause, *seen.cause, seen.references, *seen.references]
    parts += [reference.name for reference in seen.references] + list(index._users.values()) + list(index._users)
    assert sum(sys.getsizeof(part) for part in parts) < 4096
