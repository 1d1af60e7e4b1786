"""Whole rollouts through the Gateway API."""

import json

import pytest

from tests.e2e.scene import Scene, rollout, route

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

ENOUGH = 2000


def test_good_model_takes_over_and_no_request_fails(scene: Scene) -> None:
    """End to end: 50 requests/s, promoted, nothing failed, no pod restarted; then the first YAML again."""
    scene.deploy(v1=1, good=1)
    scene.apply(route(scene, "v1", "good"))
    before = {version: scene.pod_uids(version) for version in ("v1", "good")}
    with scene.client(rate=50, connections="keepalive") as client:
        scene.apply(rollout("good"))
        scene.wait_for_condition("Promoted")
        scene.wait_for_phase("Idle")
        counted = client.stop()
    assert counted["failed_requests"] == 0, counted["failures"]
    assert {version: scene.pod_uids(version) for version in ("v1", "good")} == before
    status = scene.status
    assert (status["stable"]["deployment"], status["backup"]["deployment"]) == ("digits-good", "digits-v1")
    assert scene.get("httproute", "digits")["spec"]["rules"][0]["backendRefs"][1]["weight"] == 100
    assert "finalizers" not in scene.get("mro", "digits")["metadata"]

    scene.kubectl("delete", "mro", "digits", "--timeout=60s")
    scene.apply(rollout("good"))
    scene.wait_for_phase("Idle")
    assert scene.status["stable"]["deployment"] == "digits-good"
    assert scene.get("httproute", "digits")["spec"]["rules"][0]["backendRefs"][1]["weight"] == 100


@pytest.mark.parametrize("weight", [5, 10, 25, 50, 90])
def test_weights_are_what_clients_see_and_deletion_returns_them(scene: Scene, weight: int) -> None:
    """Within 2 points over 2,000 requests."""
    scene.deploy(v1=1, good=1)
    scene.apply(route(scene, "v1", "good"), rollout("good", strategy={"steps": [weight], "warmup": "1h"}))
    scene.wait_for_weight(weight)
    shares = scene.shares(ENOUGH, connections="keepalive")
    assert shares["good"] == pytest.approx(weight, abs=2)
    with scene.client(rate=50, connections="keepalive") as client:
        scene.kubectl("delete", "mro", "digits", "--timeout=60s")
        weights = [ref["weight"] for ref in scene.get("httproute", "digits")["spec"]["rules"][0]["backendRefs"]]
        assert weights == [100, 0]
        counted = client.stop()
    assert counted["failed_requests"] == 0, counted["failures"]


@pytest.mark.parametrize("candidate", ["wrong", "broken"])
def test_bad_model_is_taken_back_and_remembered(scene: Scene, candidate: str) -> None:
    scene.deploy(v1=1, **{candidate: 1})
    scene.apply(route(scene, "v1", candidate))
    with scene.client(rate=80, connections="keepalive") as client:
        scene.apply(rollout(candidate))
        scene.wait_for_condition("RolledBack")
        counted = client.stop()
    status = scene.status
    assert status["phase"] == "RolledBack"
    assert status["rejected"][0]["deployment"] == f"digits-{candidate}"
    assert counted["versions"][candidate]["requests"] > 0
    events = json.loads(scene.kubectl("get", "events", "-o", "json"))["items"]
    told = {each["reason"]: each["message"] for each in events if each["involvedObject"]["kind"] == "ModelRollout"}
    assert {"StepAdvanced", "JudgedWorse", "RolledBack"} <= told.keys()
    assert "10 %" in told["StepAdvanced"]
    assert "requests against" in told["JudgedWorse"]


def test_operator_that_was_away_still_returns_traffic_on_deletion(scene: Scene, operator: Scene) -> None:
    scene.deploy(v1=1, good=1)
    scene.apply(route(scene, "v1", "good"), rollout("good", strategy={"steps": [25, 50], "warmup": "1h"}))
    scene.wait_for_weight(25)
    operator.kubectl("scale", "deployment", "modelrollout", "--replicas=0")
    operator.kubectl("wait", "pods", "--all", "--for=delete", "--timeout=90s")
    scene.kubectl("delete", "mro", "digits", "--wait=false")
    operator.kubectl("scale", "deployment", "modelrollout", "--replicas=2")
    scene.kubectl("wait", "mro/digits", "--for=delete", "--timeout=120s")
    weights = [ref["weight"] for ref in scene.get("httproute", "digits")["spec"]["rules"][0]["backendRefs"]]
    assert weights == [100, 0]


def test_terminating_namespace_leaves_nothing_stuck(scene: Scene) -> None:
    scene.deploy(v1=1, good=1)
    scene.apply(route(scene, "v1", "good"), rollout("good", strategy={"steps": [25, 50], "warmup": "1h"}))
    scene.wait_for_weight(25)
    scene.kubectl("delete", "namespace", scene.namespace, "--timeout=150s")
    scene.kubectl("create", "namespace", scene.namespace)
