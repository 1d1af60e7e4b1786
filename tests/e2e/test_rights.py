"""The operator runs with exactly the rights that ``manifests/rbac.yaml`` grants: none is denied, none is spare.

Runs after all other tests of the level (see ``conftest.py``): what they made the operator do is in the audit log.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import CHECKOUT
from tests.e2e.scene import Json, Scene, model
from tests.e2e.verify.candidates import faulty, rollout_of, route_of

pytestmark = [pytest.mark.cluster, pytest.mark.last]

Right = tuple[str, str, str]
"""Group, resource with its subresource, verb."""


def asked(log: Path) -> Iterator[Json]:
    """Every request of the operator that the API server logged."""
    for line in log.read_text().splitlines():
        yield json.loads(line)


def right_of(event: Json) -> Right | None:
    """Which right a request needed; None for discovery and the like."""
    found = event.get("objectRef")
    if not found or "resource" not in found:
        return None
    sub = f"/{found['subresource']}" if found.get("subresource") else ""
    return found.get("apiGroup", ""), found["resource"] + sub, event["verb"]


def granted() -> set[Right]:
    """Every right of the operator's own roles."""
    documents = yaml.safe_load_all((CHECKOUT / "manifests" / "rbac.yaml").read_text())
    roles = [each for each in documents if each["kind"] in ("ClusterRole", "Role")]
    return {
        (group, resource, verb)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_the_operator_asks_for_nothing_that_it_may_not(operator: Scene) -> None:
    denied = {
        right
        for event in asked(operator.layout.audit_log)
        if event.get("annotations", {}).get("authorization.k8s.io/decision") == "forbid"
        and (right := right_of(event)) is not None
    }
    assert denied == set()


@pytest.fixture
def refused_twice(scene: Scene, operator: Scene) -> None:
    """What no other scene makes the operator do: tell an event of its predecessor again, and prune a record."""
    name, carried, declared = "elsewhere", {"dataDigest": "sha256:1"}, {"dataDigest": "sha256:2"}
    scene.apply(*model("v1", 1), *faulty(name, annotations=carried), route_of(scene, name))
    scene.apply(rollout_of(name, {"provenance": declared}, historyLimit=1))
    scene.wait("refused", lambda each: _refused_in(each, name) == 1)
    operator.kubectl("rollout", "restart", "deployment", "modelrollout")
    operator.kubectl("rollout", "status", "deployment", "modelrollout", "--timeout=170s")
    request = json.dumps({"id": "again", "epoch": 1, "action": "retry", "reason": "a test"})
    scene.kubectl("annotate", "mro", name, f"modelrollout.dev/request={request}")
    scene.wait("refused again", lambda each: _refused_in(each, name) == 2)


def _refused_in(scene: Scene, name: str) -> int | None:
    status = scene.get("mro", name).get("status", {})
    return status.get("epoch") if status.get("phase") == "RolledBack" else None


@pytest.mark.usefixtures("refused_twice")
def test_every_right_is_needed(operator: Scene) -> None:
    used = {right for event in asked(operator.layout.audit_log) if (right := right_of(event)) is not None}
    assert len(used) > 20
    assert granted() - used == set()
    assert used - granted() == set()
