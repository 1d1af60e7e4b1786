"""What is asked of pods and Jobs: from the objects of the cluster to the order of a check."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest

from controller.api.verdicts import CheckState
from controller.observe.cluster import ClusterPort, Forbidden, Json, Kind
from controller.observe.workloads import Workloads
from controller.plan.situation import Situation, Subject
from controller.plan.verify.findings import CheckKey, Finding, Part
from controller.plan.windows import Clockwork
from controller.plan.world import ArmName, Pod, World
from controller.run.verification.carried import ProvenanceCheck
from controller.run.verification.orders import ObstacleError, smoke_order
from controller.run.verification.pods import SmokeCheck
from controller.run.verification.prober import Prober
from controller.run.verification.verifier import Verifier
from tests.plan.stage import SCRAPE, START, Stage, spec_with, workload

if TYPE_CHECKING:
    from collections.abc import Mapping

PORT = 9
"""Nobody listens there."""
DIGEST = f"sha256:{'a' * 64}"


@dataclass
class Shelf:
    """Objects of a cluster that are there to be read, and how often each was."""

    objects: Mapping[str, Json]
    read: list[str] = field(default_factory=list)

    def get(self, kind: Kind, namespace: str, name: str) -> Json:
        assert namespace == "ns"
        self.read.append(f"{kind.plural}/{name}")
        return self.objects[f"{kind.plural}/{name}"]

    def list(self, kind: Kind, _namespace: str, *, labels: str) -> list[Json]:
        assert labels == "app=m"
        return [item for name, item in self.objects.items() if name.startswith(f"{kind.plural}/")]


def situation_with(candidate_pods: tuple[Pod, ...], **verify: Any) -> Situation:
    """A rollout whose candidate is being verified."""
    stage = Stage(spec=spec_with(model={"protocol": "Plain", "version": "2", "port": PORT}, verify=verify))
    stage.checks = lambda _: None
    stage.run(turns=5)
    return Situation(
        subject=Subject(name="mro", namespace="ns", uid="uid", generation=1),
        spec=stage.spec,
        status=stage.status,
        world=World(stable=workload("v1"), candidate=workload("v2"), route=stage.route, candidate_pods=candidate_pods),
        clockwork=Clockwork(interval=stage.spec.strategy.interval, scrape=SCRAPE, settle=SCRAPE),
        now=START,
    )


def cluster(shelf: Shelf) -> ClusterPort:
    """The shelf as the port; only what is read is on it."""
    return cast("ClusterPort", shelf)


def prober() -> Prober:
    return Prober(lambda _: None, threads=1, of_one=1)


def key_of(part: Part, subject: str = "") -> CheckKey:
    return CheckKey(part, ArmName.CANDIDATE, of="x", subject=subject)


def running(number: int, image: str = DIGEST) -> Pod:
    """A pod of the candidate with an address; ``image`` is empty before its container has started."""
    name = f"v2-{number}"
    return Pod(name=name, uid=f"uid-{number}", ready=bool(image), address="127.0.0.1", images={"model": image})


def provenance_of(pods: tuple[Pod, ...], *, annotations: Mapping[str, str] | None = None) -> tuple[Finding, ...]:
    """What the check of ``environmentDigest`` finds."""
    template = {"metadata": {"annotations": dict(annotations or {})}}
    shelf = Shelf({"deployments/v2": {"spec": {"template": template}}})
    situation = situation_with(pods, provenance={"environmentDigest": DIGEST})
    asked, key = prober(), key_of(Part.PROVENANCE)
    waiting = ProvenanceCheck(cluster(shelf), asked, servers=(), clock=lambda: START)(situation, key)
    noted = asked.finished(situation.subject.uid).get(key)
    return noted.findings if noted is not None else waiting


@pytest.mark.parametrize(
    ("images", "state"),
    [
        ((), CheckState.PENDING),
        (("",), CheckState.PENDING),
        ((DIGEST, ""), CheckState.PENDING),
        ((f"registry/model@{DIGEST}", DIGEST), CheckState.PASSED),
        ((DIGEST, f"registry/model@sha256:{'b' * 64}"), CheckState.FAILED),
    ],
    ids=["no pod", "not started", "one not started", "all the same", "one has another"],
)
def test_a_declared_image_is_held_against_all_pods_once_they_have_started(
    images: tuple[str, ...], state: CheckState
) -> None:
    (finding,) = provenance_of(tuple(running(number, image) for number, image in enumerate(images)))
    assert finding.state is state


def test_a_template_that_carries_its_own_environment_digest_is_not_waited_for() -> None:
    (finding,) = provenance_of((), annotations={"modelrollout.dev/environmentDigest": DIGEST})
    assert finding.state is CheckState.PASSED


@pytest.mark.parametrize(
    ("pod_spec", "refused"),
    [
        ({}, ""),
        ({"hostNetwork": True, "ports": [{"containerPort": PORT}, {"containerPort": 9090}]}, ""),
        ({"hostNetwork": True, "ports": [{"containerPort": PORT}]}, "9090"),
        ({"hostNetwork": True}, "9090"),
    ],
    ids=["own address", "declared", "metrics port of the node", "nothing declared"],
)
def test_at_a_nodes_address_only_ports_that_the_pod_declared_are_asked(pod_spec: Json, refused: str) -> None:
    container = {"name": "model", "ports": pod_spec.get("ports")}
    item = {
        "metadata": {
            "name": "v2-5d8f-x",
            "namespace": "ns",
            "uid": "uid-1",
            "labels": {"pod-template-hash": "5d8f"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "v2-5d8f", "controller": True}],
        },
        "spec": {"hostNetwork": pod_spec.get("hostNetwork"), "containers": [container]},
        "status": {"podIP": "192.168.0.1", "phase": "Running"},
    }
    shelf = Shelf({"deployments/v2": {"spec": {"selector": {"matchLabels": {"app": "m"}}}}, "pods/v2": item})
    pods = Workloads(cluster(shelf)).pods("ns", "v2")
    situation = situation_with(pods, smoke={"metrics": {"port": 9090}})
    if refused:
        with pytest.raises(ObstacleError, match=f"on its node's network, where port {refused} may be anybody's"):
            smoke_order(situation, key_of(Part.SMOKE, "uid-1"), ())
    else:
        order = smoke_order(situation, key_of(Part.SMOKE, "uid-1"), ())
        assert order is not None
        assert (order.target.address, order.target.port) == ("192.168.0.1", PORT)


def test_golden_requests_are_fetched_only_for_a_test_that_begins() -> None:
    cases = [{"name": "one", "request": "{}", "expect": [{"finite": True}]}]
    found = {"metadata": {"resourceVersion": "1"}, "data": {"cases": json.dumps(cases)}}
    shelf = Shelf({"configmaps/golden": found})
    situation = situation_with(tuple(running(number) for number in range(3)), smoke={"configMap": "golden"})
    asked = prober()
    check = SmokeCheck(cluster(shelf), asked, clock=lambda: START)
    for number in range(3):
        check(situation, key_of(Part.SMOKE, f"uid-{number}"))
    assert shelf.read == ["configmaps/golden"]
    asked.stop()


def test_an_api_server_that_refuses_holds_the_check_and_not_the_turn() -> None:
    def forbidden(_situation: Situation, _key: CheckKey) -> tuple[Finding, ...]:
        raise Forbidden('configmaps "golden" is forbidden', status=403)

    situation = situation_with((running(0),), smoke={"configMap": "golden"})
    asked = prober()
    obstacle = Verifier(cluster(Shelf({})), asked, {Part.SMOKE: forbidden}).gather(situation).verification.obstacle
    assert obstacle is not None
    assert obstacle.message == 'The smoke check cannot begin: configmaps "golden" is forbidden'
    asked.stop()


def test_golden_requests_that_are_no_text_are_refused_in_words() -> None:
    found = {"metadata": {"resourceVersion": "1"}, "binaryData": {"cases": "/w=="}}
    situation = situation_with((running(0),), smoke={"configMap": "golden"})
    check = SmokeCheck(cluster(Shelf({"configmaps/golden": found})), prober(), clock=lambda: START)
    with pytest.raises(ObstacleError, match="cases is binaryData; golden cases are UTF-8 text"):
        check(situation, key_of(Part.SMOKE, "uid-0"))
