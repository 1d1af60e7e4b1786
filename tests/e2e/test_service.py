"""Whole rollouts through a plain Service: weights by pod counts, one connection a request."""

import pytest

from tests.e2e.scene import LONG, PORT, Scene, rollout, service

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

ENOUGH = 2000


def test_good_model_takes_over_and_no_request_fails(scene: Scene) -> None:
    """25 %, 50 %, promoted: reachable weights are shown and met, the backup stays warm without a request."""
    scene.deploy(v1=3, good=1)
    scene.apply(service("digits", {"app": "digits", "version": "v1"}))
    target = f"http://digits.{scene.namespace}.svc.cluster.local:{PORT}"
    before = scene.pod_uids("v1")
    spec = rollout("good", traffic={"service": {"name": "digits"}}, strategy={"steps": [25, 50], "approval": "Manual"})
    with scene.client(rate=50, connections="new", target=target) as client:
        scene.apply(spec)
        scene.wait_for_weight(25)
        assert scene.get("deployment", "digits-good")["spec"]["replicas"] == 1
        scene.wait_for_phase("AwaitingApproval", seconds=LONG)
        assert scene.status["traffic"]["reachableWeight"] == "50.0"
        shares = scene.shares(ENOUGH, connections="new", target=target)
        assert shares["good"] == pytest.approx(50, abs=4)
        candidates = scene.pod_uids("good")
        scene.ask("promote")
        scene.wait_for_condition("Promoted")
        counted = client.stop()
    assert counted["failed_requests"] == 0, counted["failures"]
    assert scene.pod_uids("v1") == before
    assert scene.pod_uids("good") == candidates
    assert len(candidates) == 3
    assert set(scene.shares(200, connections="new", target=target)) == {"good"}
    ready = scene.condition("BackupReady")
    assert (ready["status"], ready["reason"]) == ("True", "BackupWarm")


def test_bad_model_is_taken_back_by_one_write_and_no_pod_ends(scene: Scene) -> None:
    scene.deploy(v1=3, wrong=1)
    scene.apply(service("digits", {"app": "digits", "version": "v1"}))
    target = f"http://digits.{scene.namespace}.svc.cluster.local:{PORT}"
    before = {version: scene.pod_uids(version) for version in ("v1", "wrong")}
    spec = rollout("wrong", traffic={"service": {"name": "digits"}}, strategy={"steps": [25, 50]})
    with scene.client(rate=50, connections="new", target=target) as client:
        scene.apply(spec)
        scene.wait_for_condition("RolledBack")
        counted = client.stop()
    assert counted["failed_requests"] == 0, counted["failures"]
    assert scene.get("service", "digits")["spec"]["selector"] == {"app": "digits", "version": "v1"}
    assert {version: scene.pod_uids(version) for version in ("v1", "wrong")} == before


@pytest.mark.parametrize(("pods", "weight"), [(9, 10), (3, 25), (2, 33)])
def test_smaller_weights_are_reached_as_far_as_pod_counts_allow(scene: Scene, pods: int, weight: int) -> None:
    """The reachable weight is shown, and met within 4 points over 2,000 new connections."""
    scene.deploy(v1=pods, good=1)
    scene.apply(service("digits", {"app": "digits", "version": "v1"}))
    target = f"http://digits.{scene.namespace}.svc.cluster.local:{PORT}"
    held = {"steps": [weight], "warmup": "1h"}
    scene.apply(rollout("good", traffic={"service": {"name": "digits"}}, strategy=held))
    scene.wait_for_weight(weight)
    reachable = 100 / (pods + 1)
    assert float(scene.status["traffic"]["reachableWeight"]) == pytest.approx(reachable, abs=0.05)
    shares = scene.shares(ENOUGH, connections="new", target=target)
    assert shares["good"] == pytest.approx(reachable, abs=4)
