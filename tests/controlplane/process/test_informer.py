"""Events of a real API server lead to turns of the right rollouts, and nothing is written to any object."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from controller.api.names import API_VERSION, FINALIZER, REQUEST_ANNOTATION, ROLLOUT_KIND
from controller.observe.cluster import (
    DEPLOYMENTS,
    HTTP_ROUTES,
    PODS,
    ROLLOUTS,
    SERVICES,
    Cluster,
    Json,
    Kind,
)
from tests.controlplane.objects import backend, make_deployment, make_http_route, make_pod, make_rollout, make_service
from tests.controlplane.process.bench import Operator, eventually

pytestmark = pytest.mark.controlplane

Start = Callable[..., Operator]
FreshNamespace = Callable[[], AbstractContextManager[str]]


@pytest.fixture
def operator(start: Start, namespace: str) -> Operator:
    """An operator of the test's namespace alone."""
    return start(namespaces=[namespace])


def rollout_of(name: str) -> Json:
    """Return a ModelRollout whose Deployments and Service bear its name."""
    ratio = {"bad": 'requests_total{code="500"}', "total": "requests_total"}
    spec = {
        "stable": {"deployment": f"{name}-v1"},
        "candidate": {"deployment": f"{name}-v2"},
        "traffic": {"service": {"name": name}},
        "analysis": {"metrics": [{"name": "errors", "ratio": ratio, "margin": {"absolute": "0.01"}}]},
    }
    return {"apiVersion": API_VERSION, "kind": ROLLOUT_KIND, "metadata": {"name": name}, "spec": spec}


def touch(cluster: Cluster, kind: Kind, namespace: str, name: str) -> Json:
    return cluster.merge_patch(kind, namespace, name, {"metadata": {"labels": {"touched": "yes"}}})


def everything(cluster: Cluster, namespace: str) -> None:
    """Create one object of each kind, all of the same rollout, which carries the product's own finalizer."""
    make_http_route(cluster, namespace, [backend("fraud-v1", 100), backend("fraud-v2", 0)])
    make_service(cluster, namespace, "fraud-v1", selector={"app": "fraud"})
    make_deployment(cluster, namespace, "fraud-v2", labels={"app": "fraud"})
    make_pod(cluster, namespace, "fraud-v2-5d8f-x", labels={"app": "fraud"}, deployment="fraud-v2")
    make_rollout(cluster, namespace, traffic={"gateway": {"httpRoute": "fraud"}})
    cluster.merge_patch(ROLLOUTS, namespace, "fraud", {"metadata": {"finalizers": [FINALIZER]}})
    cluster.merge_patch(ROLLOUTS, namespace, "fraud", {"status": {"phase": "Progressing"}}, subresource="status")


CHANGES: dict[str, Callable[[Cluster, str], object]] = {
    "route": lambda cluster, namespace: touch(cluster, HTTP_ROUTES, namespace, "fraud"),
    "route deleted": lambda cluster, namespace: cluster.delete(HTTP_ROUTES, namespace, "fraud"),
    "service": lambda cluster, namespace: touch(cluster, SERVICES, namespace, "fraud-v1"),
    "deployment": lambda cluster, namespace: touch(cluster, DEPLOYMENTS, namespace, "fraud-v2"),
    "pod": lambda cluster, namespace: touch(cluster, PODS, namespace, "fraud-v2-5d8f-x"),
    "spec": lambda cluster, namespace: cluster.merge_patch(ROLLOUTS, namespace, "fraud", {"spec": {"suspend": True}}),
    "request": lambda cluster, namespace: cluster.merge_patch(
        ROLLOUTS, namespace, "fraud", {"metadata": {"annotations": {REQUEST_ANNOTATION: "{}"}}}
    ),
    "phase": lambda cluster, namespace: cluster.merge_patch(
        ROLLOUTS, namespace, "fraud", {"status": {"phase": "Stalled"}}, subresource="status"
    ),
    "deletion": lambda cluster, namespace: cluster.delete(ROLLOUTS, namespace, "fraud"),
}


def test_every_kind_of_change_leads_to_a_turn(operator: Operator, cluster: Cluster, namespace: str) -> None:
    everything(cluster, namespace)
    operator.wait_for_turn(f"{namespace}/fraud")
    for what, change in CHANGES.items():
        before = operator.settled()
        change(cluster, namespace)
        eventually(lambda: f"{namespace}/fraud" in operator.turns()[before:], f"a turn for {what}")  # noqa: B023


def test_rollouts_that_were_there_before_get_their_turn(start: Start, cluster: Cluster, namespace: str) -> None:
    for number in range(20):
        make_rollout(cluster, namespace, f"r{number}")
    operator = start(namespaces=[namespace])
    wanted = {f"{namespace}/r{number}" for number in range(20)}
    eventually(lambda: set(operator.turns()) == wanted, "a turn of each rollout")


def test_what_concerns_nobody_costs_no_turn(operator: Operator, cluster: Cluster, namespace: str) -> None:
    quiet, other = f"{namespace}/quiet", f"{namespace}/other"
    make_deployment(cluster, namespace, "other-v2", labels={"app": "other"})
    for name in ("quiet", "other"):
        cluster.create(ROLLOUTS, namespace, rollout_of(name))
    cluster.merge_patch(ROLLOUTS, namespace, "other", {"status": {"phase": "Stalled"}}, subresource="status")
    operator.wait_for_turn(quiet)
    operator.wait_for_turn(other)
    before = operator.settled()

    # A stranger's Deployment, a pod of a rollout that is idle, a status write that leaves the phase.
    make_deployment(cluster, namespace, "stranger", labels={"app": "stranger"})
    make_pod(cluster, namespace, "quiet-v2-5d8f-x", labels={"app": "quiet"}, deployment="quiet-v2")
    cluster.merge_patch(ROLLOUTS, namespace, "quiet", {"status": {"message": "said"}}, subresource="status")

    # Each watch has told of them by the time that a later event of the same kind has had its effect.
    touch(cluster, DEPLOYMENTS, namespace, "other-v2")
    operator.wait_for_turn(other, after=before)
    after_deployment = operator.settled()
    make_pod(cluster, namespace, "other-v2-5d8f-x", labels={"app": "other"}, deployment="other-v2")
    operator.wait_for_turn(other, after=after_deployment)
    after_pod = operator.settled()
    cluster.merge_patch(ROLLOUTS, namespace, "other", {"spec": {"suspend": True}})
    operator.wait_for_turn(other, after=after_pod)
    assert quiet not in operator.turns()[before:]


def test_nothing_is_written_to_any_object(start: Start, cluster: Cluster, namespace: str) -> None:
    everything(cluster, namespace)
    kinds = (HTTP_ROUTES, SERVICES, DEPLOYMENTS, PODS, ROLLOUTS)
    operator = start(namespaces=[namespace])
    operator.wait_for_turn(f"{namespace}/fraud")
    for kind in kinds:
        (thing,) = cluster.list(kind, namespace)
        touch(cluster, kind, namespace, thing["metadata"]["name"])
    touched = [cluster.list_metadata(kind, namespace) for kind in kinds]
    operator.settled()
    assert operator.terminate() == 0
    assert [cluster.list_metadata(kind, namespace) for kind in kinds] == touched
    (rollout,) = cluster.list(ROLLOUTS, namespace)
    assert rollout["metadata"]["finalizers"] == [FINALIZER], "the informer took the product's own finalizer away"
    assert "kopf" not in str(touched)


def test_of_a_deleted_rollout_nothing_stays(operator: Operator, cluster: Cluster, namespace: str) -> None:
    make_rollout(cluster, namespace)
    operator.wait_for_turn(f"{namespace}/fraud")
    series = f'modelrollout_weight{{namespace="{namespace}",rollout="fraud"}}'
    eventually(lambda: operator.sample(series) == 0, "the series is there")
    cluster.delete(ROLLOUTS, namespace, "fraud")
    eventually(lambda: operator.sample(series) is None, "the series is gone")
    make_rollout(cluster, namespace)
    eventually(lambda: operator.turns().count(f"{namespace}/fraud") == 2, "its successor gets a turn")


def test_an_operator_of_one_namespace_sees_no_other(
    operator: Operator, cluster: Cluster, namespace: str, fresh_namespace: FreshNamespace
) -> None:
    with fresh_namespace() as elsewhere:
        make_rollout(cluster, elsewhere)
        make_rollout(cluster, namespace)
        operator.wait_for_turn(f"{namespace}/fraud")
        assert set(operator.turns()) == {f"{namespace}/fraud"}


def test_an_operator_of_the_cluster_sees_every_namespace(
    start: Start, cluster: Cluster, namespace: str, fresh_namespace: FreshNamespace
) -> None:
    operator = start()
    make_rollout(cluster, namespace)
    operator.wait_for_turn(f"{namespace}/fraud")
    with fresh_namespace() as elsewhere:
        make_rollout(cluster, elsewhere)
        operator.wait_for_turn(f"{elsewhere}/fraud")
