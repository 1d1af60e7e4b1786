"""Events of a real API server lead to turns of the right rollouts, and nothing is written to any object."""

from collections.abc import Callable

import pytest

from controller.api.names import FINALIZER, REQUEST_ANNOTATION
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
GATEWAY = {"gateway": {"httpRoute": "fraud"}}


@pytest.fixture
def operator(start: Start, namespace: str) -> Operator:
    """An operator of the test's namespace alone."""
    return start(namespaces=[namespace])


def touch(cluster: Cluster, kind: Kind, namespace: str, name: str) -> Json:
    return cluster.merge_patch(kind, namespace, name, {"metadata": {"labels": {"touched": "yes"}}})


def test_every_kind_of_event_leads_to_a_turn(operator: Operator, cluster: Cluster, namespace: str) -> None:
    key = f"{namespace}/fraud"
    make_rollout(cluster, namespace, traffic=GATEWAY)
    turns = operator.wait_for_turn(key)
    make_http_route(cluster, namespace, [backend("fraud-v1", 100), backend("fraud-v2", 0)])
    turns = operator.wait_for_turn(key, after=turns)
    make_deployment(cluster, namespace, "fraud-v2", labels={"app": "fraud"})
    turns = operator.wait_for_turn(key, after=turns)
    make_service(cluster, namespace, "fraud-v1", selector={"app": "fraud"})
    turns = operator.wait_for_turn(key, after=turns)
    cluster.merge_patch(ROLLOUTS, namespace, "fraud", {"metadata": {"annotations": {REQUEST_ANNOTATION: "{}"}}})
    turns = operator.wait_for_turn(key, after=turns)
    cluster.merge_patch(ROLLOUTS, namespace, "fraud", {"status": {"phase": "Progressing"}}, subresource="status")
    turns = operator.wait_for_turn(key, after=turns)
    make_pod(cluster, namespace, "fraud-v2-5d8f-x", labels={"app": "fraud"}, deployment="fraud-v2")
    turns = operator.wait_for_turn(key, after=turns)
    cluster.delete(HTTP_ROUTES, namespace, "fraud")
    operator.wait_for_turn(key, after=turns)


def test_rollouts_that_were_there_before_get_their_turn(start: Start, cluster: Cluster, namespace: str) -> None:
    for number in range(20):
        make_rollout(cluster, namespace, f"r{number}")
    operator = start(namespaces=[namespace])
    wanted = {f"{namespace}/r{number}" for number in range(20)}
    eventually(lambda: set(operator.turns()) == wanted, "a turn of each rollout")


def test_what_concerns_nobody_costs_no_turn(operator: Operator, cluster: Cluster, namespace: str) -> None:
    quiet, other = f"{namespace}/quiet", f"{namespace}/other"
    for name, deployment in (("quiet", "fraud-v2"), ("other", "other-v2")):
        make_rollout(cluster, namespace, name)
        candidate = {"spec": {"candidate": {"deployment": deployment}, "stable": {"deployment": f"{name}-v1"}}}
        cluster.merge_patch(ROLLOUTS, namespace, name, candidate | {"spec": candidate["spec"] | ROUTES[name]})
        operator.wait_for_turn(f"{namespace}/{name}")
    make_deployment(cluster, namespace, "other-v2", labels={"app": "other"})
    settled = operator.wait_for_turn(other, after=len(operator.turns()))
    # Of the quiet one: a stranger's Deployment, a pod while it is idle, a status write that leaves the phase.
    make_deployment(cluster, namespace, "stranger", labels={"app": "stranger"})
    make_pod(cluster, namespace, "fraud-v2-5d8f-x", labels={"app": "fraud"}, deployment="fraud-v2")
    cluster.merge_patch(ROLLOUTS, namespace, "quiet", {"status": {"message": "said"}}, subresource="status")
    # Each watch has passed them on once a later event of its kind has had its effect.
    for kind, name in ((DEPLOYMENTS, "other-v2"), (ROLLOUTS, "other"), (PODS, None)):
        if name is None:
            cluster.merge_patch(ROLLOUTS, namespace, "other", {"status": {"phase": "Stalled"}}, subresource="status")
            settled = operator.wait_for_turn(other, after=settled)
            make_pod(cluster, namespace, "other-v2-5d8f-x", labels={"app": "other"}, deployment="other-v2")
        elif kind is ROLLOUTS:
            cluster.merge_patch(ROLLOUTS, namespace, name, {"spec": {"suspend": True}})
        else:
            touch(cluster, kind, namespace, name)
        settled = operator.wait_for_turn(other, after=settled)
    assert quiet not in operator.turns()[len(operator.turns()) - 4 :]


ROUTES: dict[str, Json] = {
    "quiet": {"traffic": {"service": {"name": "quiet"}}},
    "other": {"traffic": {"service": {"name": "other"}}},
}


def test_nothing_is_written_to_any_object(start: Start, cluster: Cluster, namespace: str) -> None:
    make_rollout(cluster, namespace, traffic=GATEWAY)
    change = {"metadata": {"finalizers": [FINALIZER]}}
    cluster.merge_patch(ROLLOUTS, namespace, "fraud", change)
    cluster.merge_patch(ROLLOUTS, namespace, "fraud", {"status": {"phase": "Progressing"}}, subresource="status")
    make_http_route(cluster, namespace, [backend("fraud-v1", 100), backend("fraud-v2", 0)])
    make_service(cluster, namespace, "fraud-v1", selector={"app": "fraud"})
    make_deployment(cluster, namespace, "fraud-v2", labels={"app": "fraud"})
    make_pod(cluster, namespace, "fraud-v2-5d8f-x", labels={"app": "fraud"}, deployment="fraud-v2")
    operator = start(namespaces=[namespace])
    turns = operator.wait_for_turn(f"{namespace}/fraud")
    for kind in (HTTP_ROUTES, SERVICES, DEPLOYMENTS, PODS, ROLLOUTS):
        (thing,) = cluster.list(kind, namespace)
        touched = touch(cluster, kind, namespace, thing["metadata"]["name"])
        if kind is not ROLLOUTS:  # a label of its own is no reason for a turn
            turns = operator.wait_for_turn(f"{namespace}/fraud", after=turns)
        assert operator.process.poll() is None
        assert cluster.list(kind, namespace) == (touched,)
    assert operator.terminate() == 0
    (rollout,) = cluster.list(ROLLOUTS, namespace)
    assert rollout["metadata"]["finalizers"] == [FINALIZER], "the informer took the product's own finalizer away"
    every_object = [cluster.list(kind, namespace) for kind in (HTTP_ROUTES, SERVICES, DEPLOYMENTS, PODS, ROLLOUTS)]
    assert "kopf" not in str(every_object)


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
    operator: Operator, cluster: Cluster, namespace: str, fresh_namespace: Callable[..., object]
) -> None:
    with fresh_namespace() as elsewhere:  # type: ignore[attr-defined]
        make_rollout(cluster, elsewhere)
        make_rollout(cluster, namespace)
        operator.wait_for_turn(f"{namespace}/fraud")
        assert set(operator.turns()) == {f"{namespace}/fraud"}


def test_an_operator_of_the_cluster_sees_every_namespace(
    start: Start, cluster: Cluster, namespace: str, fresh_namespace: Callable[..., object]
) -> None:
    operator = start()
    make_rollout(cluster, namespace)
    operator.wait_for_turn(f"{namespace}/fraud")
    with fresh_namespace() as elsewhere:  # type: ignore[attr-defined]
        make_rollout(cluster, elsewhere)
        operator.wait_for_turn(f"{elsewhere}/fraud")
