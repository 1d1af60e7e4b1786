"""How the process begins, survives and ends, on a real API server."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from controller.observe.cluster import LEASES, ROLLOUTS, Cluster
from tests.cluster.layout import Layout
from tests.controlplane.conftest import Kubectl
from tests.controlplane.objects import make_deployment, make_rollout
from tests.controlplane.process.bench import PATIENCE, Operator, eventually
from tests.controlplane.process.relay import Relay

pytestmark = pytest.mark.controlplane

Start = Callable[..., Operator]


def holder(cluster: Cluster, namespace: str) -> str:
    spec = cluster.get(LEASES, namespace, "modelrollout")["spec"]
    return str(spec.get("holderIdentity", ""))


def test_sigterm_ends_it_in_order_and_hands_the_lease_over(start: Start, cluster: Cluster, namespace: str) -> None:
    elected = {"namespaces": [namespace], "leaderElection": {"namespace": namespace}}
    first = start(**elected)
    first.wait_for_words("Leading: holds the Lease")
    second = start(**elected)
    eventually(lambda: second.answer("/readyz").status_code == 200, "a replica that waits is ready")
    assert second.sample("modelrollout_leader") == 0
    assert first.sample("modelrollout_leader") == 1
    make_rollout(cluster, namespace)
    first.wait_for_turn(f"{namespace}/fraud")
    held_by = holder(cluster, namespace)
    assert first.terminate() == 0
    assert [line["message"] for line in first.logs()][-2:] == [
        f"Released the Lease {namespace}/modelrollout",
        "Stopped",
    ]
    second.wait_for_turn(f"{namespace}/fraud")
    assert holder(cluster, namespace) not in ("", held_by)
    assert second.terminate() == 0
    assert holder(cluster, namespace) == ""


def test_sigterm_while_waiting_to_lead_ends_it_too(start: Start, cluster: Cluster, namespace: str) -> None:
    held = {"holderIdentity": "somebody", "leaseDurationSeconds": 3600}
    cluster.create(LEASES, namespace, {"metadata": {"name": "modelrollout"}, "spec": held})
    operator = start(namespaces=[namespace], leaderElection={"namespace": namespace})
    eventually(lambda: operator.answer("/readyz").status_code == 200, "it has listed")
    assert operator.terminate() == 0
    assert holder(cluster, namespace) == "somebody"


def test_who_loses_the_lease_ends_at_once(start: Start, cluster: Cluster, namespace: str) -> None:
    operator = start(namespaces=[namespace], leaderElection={"namespace": namespace})
    operator.wait_for_words("Leading: holds the Lease")
    cluster.merge_patch(LEASES, namespace, "modelrollout", {"spec": {"holderIdentity": "robber"}})
    assert operator.process.wait(PATIENCE) == 1
    assert operator.said("Leading no longer")
    assert holder(cluster, namespace) == "robber"


def test_who_cannot_renew_ends_before_anybody_else_may_lead(
    start: Start, relay: Relay, relayed: Path, namespace: str
) -> None:
    operator = start(kubeconfig=relayed, namespaces=[namespace], leaderElection={"namespace": namespace})
    operator.wait_for_words("Leading: holds the Lease")
    relay.cut()
    assert operator.process.wait(PATIENCE) == 1
    assert operator.said("could not renew the Lease within 10 s")


def test_an_api_server_that_is_gone_for_a_while_is_survived(
    start: Start, relay: Relay, relayed: Path, cluster: Cluster, namespace: str
) -> None:
    operator = start(kubeconfig=relayed, namespaces=[namespace])
    make_rollout(cluster, namespace, "before")
    operator.wait_for_turn(f"{namespace}/before")
    turns = operator.settled()
    relay.cut()
    make_rollout(cluster, namespace, "meanwhile")
    cluster.merge_patch(ROLLOUTS, namespace, "before", {"spec": {"suspend": True}})
    time.sleep(8)  # the length of the outage, not of a wait
    assert operator.process.poll() is None
    assert operator.turns()[turns:] == []
    relay.mend()
    operator.wait_for_turn(f"{namespace}/meanwhile", after=turns)
    operator.wait_for_turn(f"{namespace}/before", after=turns)
    assert operator.terminate() == 0


def test_starting_while_the_api_server_is_gone_is_survived(
    start: Start, relay: Relay, relayed: Path, cluster: Cluster, namespace: str
) -> None:
    relay.cut()
    make_rollout(cluster, namespace)
    operator = start(kubeconfig=relayed, namespaces=[namespace])
    operator.wait_for_words("Cannot list ModelRollouts")
    assert operator.answer("/readyz").status_code == 503
    assert operator.answer("/healthz").status_code == 200
    relay.mend()
    operator.wait_for_turn(f"{namespace}/fraud")
    assert operator.answer("/readyz").status_code == 200


@pytest.fixture
def restricted(kubectl: Kubectl, control_plane: Layout, tmp_path: Path) -> Path:
    """A kubeconfig of a service account that may do nothing yet."""
    kubectl("create", "serviceaccount", "operator")
    content = yaml.safe_load(control_plane.kubeconfig.read_text())
    content["users"][0]["user"] = {"token": kubectl("create", "token", "operator").strip()}
    file = tmp_path / "restricted"
    file.write_text(yaml.safe_dump(content))
    return file


def grant(kubectl: Kubectl, name: str, resources: str) -> None:
    """Let the operator read these resources of the namespace."""
    kubectl("create", "role", name, "--verb=get,list,watch", f"--resource={resources}")
    kubectl("create", "rolebinding", name, f"--role={name}", f"--serviceaccount={kubectl.namespace}:operator")


def test_missing_permissions_are_survived_and_take_effect_once_granted(
    start: Start, kubectl: Kubectl, restricted: Path, cluster: Cluster, namespace: str
) -> None:
    operator = start(kubeconfig=restricted, namespaces=[namespace])
    operator.wait_for_words("forbidden")
    grant(kubectl, "rollouts", "modelrollouts.modelrollout.dev")
    make_rollout(cluster, namespace)
    operator.wait_for_turn(f"{namespace}/fraud")  # although all other watches are still forbidden
    turns = operator.settled()
    grant(kubectl, "rest", "deployments.apps,services,pods,httproutes.gateway.networking.k8s.io")
    make_deployment(cluster, namespace, "fraud-v2", labels={"app": "fraud"})
    operator.wait_for_turn(f"{namespace}/fraud", after=turns)
    assert operator.terminate() == 0


def test_permissions_that_are_taken_away_and_given_back_are_survived(
    start: Start, kubectl: Kubectl, restricted: Path, relay: Relay, cluster: Cluster
) -> None:
    namespace = kubectl.namespace
    content = yaml.safe_load(restricted.read_text())
    content["clusters"][0]["cluster"]["server"] = relay.url
    restricted.write_text(yaml.safe_dump(content))
    everything = "modelrollouts.modelrollout.dev,deployments.apps,services,pods,httproutes.gateway.networking.k8s.io"
    grant(kubectl, "all", everything)
    operator = start(kubeconfig=restricted, namespaces=[namespace])
    make_rollout(cluster, namespace, "before")
    operator.wait_for_turn(f"{namespace}/before")
    turns = operator.settled()
    kubectl("delete", "rolebinding", "all")
    relay.cut()  # an open watch outlives its permission
    relay.mend()
    operator.wait_for_words("403")
    make_rollout(cluster, namespace, "meanwhile")
    kubectl("create", "rolebinding", "all", "--role=all", f"--serviceaccount={namespace}:operator")
    operator.wait_for_turn(f"{namespace}/meanwhile", after=turns)
