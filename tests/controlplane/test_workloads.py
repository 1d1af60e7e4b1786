from datetime import UTC, datetime

import pytest

from controller.api.names import FINALIZER
from controller.api.reasons import Reason
from controller.observe.cluster import AUTOSCALERS, DEPLOYMENTS, PODS, ROLLOUTS, ClusterPort, Json
from controller.observe.workloads import AUTOSCALERS_KEPT, KEDA_ABSENT_KEPT, Autoscalers, Workloads, find_autoscaler
from tests.controlplane.objects import Watched, make_deployment, make_pod, make_rollout, pod_status

pytestmark = pytest.mark.controlplane

V1 = {"app": "fraud", "version": "v1"}


@pytest.fixture
def workloads(cluster: ClusterPort) -> Workloads:
    return Workloads(cluster)


def make_autoscaler(cluster: ClusterPort, namespace: str, deployment: str, *, kind: str = "Deployment") -> None:
    target = {"apiVersion": "apps/v1", "kind": kind, "name": deployment}
    body = {"metadata": {"name": f"auto-{kind.lower()}"}, "spec": {"scaleTargetRef": target, "maxReplicas": 3}}
    cluster.create(AUTOSCALERS, namespace, body)


def test_missing_deployment_is_none(workloads: Workloads, namespace: str) -> None:
    assert workloads.workload(namespace, "fraud-v1") is None
    assert workloads.pods(namespace, "fraud-v1") == ()


def test_hash_follows_the_template_and_nothing_else(workloads: Workloads, cluster: ClusterPort, namespace: str) -> None:
    make_deployment(cluster, namespace, "fraud-v1", labels=V1, replicas=2)
    first = workloads.workload(namespace, "fraud-v1")
    assert first is not None
    assert (first.replicas, first.ready, first.rolled_out, first.autoscaler) == (2, 2, True, None)
    assert first.images == ("fraud-v1:1",)
    cluster.merge_patch(
        DEPLOYMENTS, namespace, "fraud-v1", {"spec": {"replicas": 5}, "metadata": {"labels": {"x": "y"}}}
    )
    scaled = workloads.workload(namespace, "fraud-v1")
    assert scaled is not None
    assert (scaled.hash, scaled.replicas, scaled.rolled_out) == (first.hash, 5, False)
    image = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "fraud-v1:2"}]
    cluster.json_patch(DEPLOYMENTS, namespace, "fraud-v1", image)
    changed = workloads.workload(namespace, "fraud-v1")
    assert changed is not None
    assert changed.hash != first.hash


def test_only_live_pods_of_the_deployment_count(workloads: Workloads, cluster: ClusterPort, namespace: str) -> None:
    make_deployment(cluster, namespace, "fraud-v1", labels=V1)
    make_pod(cluster, namespace, "b", labels=V1, deployment="fraud-v1")
    make_pod(cluster, namespace, "a", labels=V1, deployment="fraud-v1", status=pod_status(ready="False"))
    make_pod(cluster, namespace, "same-labels", labels=V1, deployment="fraud-v1-copy")
    make_pod(cluster, namespace, "by-hand", labels=V1, deployment=None)
    make_pod(cluster, namespace, "evicted", labels=V1, deployment="fraud-v1", status={"phase": "Failed"})
    make_pod(cluster, namespace, "ending", labels=V1, deployment="fraud-v1")
    cluster.merge_patch(PODS, namespace, "ending", {"metadata": {"finalizers": ["example.com/hold"]}})
    cluster.delete(PODS, namespace, "ending")
    pods = workloads.pods(namespace, "fraud-v1")
    assert [(pod.name, pod.ready) for pod in pods] == [("a", False), ("b", True)]
    assert pods[0].ready_at is None
    assert pods[1].ready_at == datetime(2026, 8, 1, 12, tzinfo=UTC)
    assert pods[1].started_at == datetime(2026, 8, 1, 11, 59, tzinfo=UTC)
    cluster.merge_patch(PODS, namespace, "ending", {"metadata": {"finalizers": None}})


def test_readiness_that_flaps_is_not_renewed(workloads: Workloads, cluster: ClusterPort, namespace: str) -> None:
    make_deployment(cluster, namespace, "fraud-v1", labels=V1)
    make_pod(cluster, namespace, "a", labels=V1, deployment="fraud-v1")
    first = workloads.pods(namespace, "fraud-v1")[0].ready_at
    for ready, since in (("False", "2026-08-01T12:05:00Z"), ("True", "2026-08-01T12:06:00Z")):
        status = {"status": pod_status(ready=ready, since=since)}
        cluster.merge_patch(PODS, namespace, "a", status, subresource="status")
        (pod,) = workloads.pods(namespace, "fraud-v1")
        assert (pod.ready, pod.ready_at) == (ready == "True", first)


def test_trouble_of_a_pod(workloads: Workloads, cluster: ClusterPort, namespace: str) -> None:
    make_deployment(cluster, namespace, "fraud-v1", labels=V1)
    container = {"name": "model", "image": "model:1", "imageID": "", "ready": False, "restartCount": 3}
    waiting = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 1}}}
    status = pod_status(ready="False") | {"containerStatuses": [container | waiting]}
    make_pod(cluster, namespace, "a", labels=V1, deployment="fraud-v1", status=status)
    (pod,) = workloads.pods(namespace, "fraud-v1")
    assert pod.trouble is not None
    assert pod.trouble.reason is Reason.CRASH_LOOP


def test_autoscaler_of_a_deployment_only(workloads: Workloads, cluster: ClusterPort, namespace: str) -> None:
    make_deployment(cluster, namespace, "fraud-v1", labels=V1)
    make_autoscaler(cluster, namespace, "fraud-v1", kind="StatefulSet")
    assert find_autoscaler(cluster, namespace, "fraud-v1") is None
    make_autoscaler(cluster, namespace, "fraud-v1")
    found = workloads.workload(namespace, "fraud-v1")
    assert found is not None
    assert found.autoscaler == "HorizontalPodAutoscaler/auto-deployment"


def test_autoscalers_are_read_now_and_then_and_keda_hardly_ever_where_it_is_not(
    cluster: ClusterPort, namespace: str
) -> None:
    asked: list[str] = []
    now = 0.0

    class Asked(Watched):
        def list(self, *arguments: object, **options: object) -> tuple[Json, ...]:
            asked.append(arguments[0].plural)  # type: ignore[attr-defined]
            return super().list(*arguments, **options)  # type: ignore[arg-type]

    autoscalers = Autoscalers(Asked(cluster), clock=lambda: now)
    autoscalers.of(namespace, "a")
    autoscalers.of(namespace, "b")
    assert asked == ["horizontalpodautoscalers", "scaledobjects"]
    make_autoscaler(cluster, namespace, "a")
    assert autoscalers.of(namespace, "a") is None
    now = AUTOSCALERS_KEPT
    assert autoscalers.of(namespace, "a") is not None
    assert asked == ["horizontalpodautoscalers", "scaledobjects", "horizontalpodautoscalers"]
    now = KEDA_ABSENT_KEPT
    autoscalers.of(namespace, "a")
    assert asked[-1] == "scaledobjects"


GATEWAY: Json = {"gateway": {"httpRoute": "fraud"}}


class TestRivals:
    """Who else steers the route."""

    def test_older_ones_on_the_same_object_only(
        self, workloads: Workloads, cluster: ClusterPort, namespace: str
    ) -> None:
        section = {"gateway": {"httpRoute": "fraud", "sectionName": "predict"}}
        oldest = make_rollout(cluster, namespace, "a", traffic=GATEWAY)
        make_rollout(cluster, namespace, "service", traffic={"service": {"name": "fraud"}})
        make_rollout(cluster, namespace, "route", traffic={"gateway": {"httpRoute": "other"}})
        youngest = make_rollout(cluster, namespace, "b", traffic=section)
        assert workloads.rivals(oldest) == ()
        assert workloads.rivals(youngest) == ("a",)

    def test_name_decides_within_a_second(self, workloads: Workloads, cluster: ClusterPort, namespace: str) -> None:
        second = make_rollout(cluster, namespace, "b", traffic=GATEWAY)
        first = make_rollout(cluster, namespace, "a", traffic=GATEWAY)
        second["metadata"]["creationTimestamp"] = first["metadata"]["creationTimestamp"]
        assert workloads.rivals(second) == ("a",)

    def test_one_that_is_being_deleted_counts_while_it_may_still_write(
        self, workloads: Workloads, cluster: ClusterPort, namespace: str
    ) -> None:
        make_rollout(cluster, namespace, "a", traffic=GATEWAY)
        younger = make_rollout(cluster, namespace, "b", traffic=GATEWAY)
        ours: Json = {"metadata": {"finalizers": [FINALIZER, "example.com/hold"]}}
        cluster.merge_patch(ROLLOUTS, namespace, "a", ours)
        cluster.delete(ROLLOUTS, namespace, "a")
        assert workloads.rivals(younger) == ("a",)
        cluster.merge_patch(ROLLOUTS, namespace, "a", {"metadata": {"finalizers": ["example.com/hold"]}})
        assert workloads.rivals(younger) == ()
