import pytest

from controller.act.route import APPLIED, Arm, Arms, Fenced, RouteProblem
from controller.act.service import ServiceRouter
from controller.api.reasons import Reason
from controller.api.spec import ServiceTraffic
from controller.observe.cluster import AUTOSCALERS, DEPLOYMENTS, SERVICES, ClusterPort, Conflict, Json
from controller.plan.world import Fence, Roles
from tests.controlplane.objects import (
    Watched,
    desire,
    make_deployment,
    make_pod,
    make_rollout,
    make_service,
    pod_status,
    run_pods,
)

pytestmark = pytest.mark.controlplane

BOTH = Arms(Arm("fraud-v1", ""), Arm("fraud-v2", ""))
V1 = {"app": "fraud", "version": "v1"}
V2 = {"app": "fraud", "version": "v2"}
WIDE = {"app": "fraud"}
TRAFFIC = ServiceTraffic(name="fraud")


@pytest.fixture
def watched(cluster: ClusterPort, namespace: str) -> Watched:
    make_deployment(cluster, namespace, "fraud-v1", labels=V1, replicas=3)
    make_deployment(cluster, namespace, "fraud-v2", labels=V2, replicas=1)
    make_service(cluster, namespace, "fraud", selector=V1)
    return Watched(cluster)


@pytest.fixture
def router(watched: Watched, namespace: str) -> ServiceRouter:
    return ServiceRouter(watched, namespace, TRAFFIC)


@pytest.fixture
def rollout(cluster: ClusterPort, namespace: str) -> Json:
    return make_rollout(cluster, namespace)


def selector(cluster: ClusterPort, namespace: str) -> dict[str, str]:
    found: dict[str, str] = cluster.get(SERVICES, namespace, "fraud")["spec"]["selector"]
    return found


def replicas(cluster: ClusterPort, namespace: str, name: str = "fraud-v2") -> int:
    found: int = cluster.get(DEPLOYMENTS, namespace, name)["spec"]["replicas"]
    return found


def make_pods(cluster: ClusterPort, namespace: str) -> None:
    for number in range(3):
        make_pod(cluster, namespace, f"v1-{number}", labels=V1, deployment="fraud-v1")
    make_pod(cluster, namespace, "v2-0", labels=V2, deployment="fraud-v2")


def test_idle_service_picks_stable_only(router: ServiceRouter, cluster: ClusterPort, namespace: str) -> None:
    make_pods(cluster, namespace)
    route = router.read(BOTH)
    assert route.weights == {"fraud-v1": 1, "fraud-v2": 0}
    assert (route.exists, route.reachable, route.strangers, route.problem) == (True, 0.0, (), None)


def test_wide_service_reaches_what_its_ready_pods_allow(
    router: ServiceRouter, cluster: ClusterPort, namespace: str, rollout: Json
) -> None:
    make_pods(cluster, namespace)
    make_pod(cluster, namespace, "v2-1", labels=V2, deployment="fraud-v2", status=pod_status(ready="False"))
    router.write(desire(rollout, 1, 25))
    route = router.read(BOTH)
    assert route.weights == {"fraud-v1": 1, "fraud-v2": 1}
    assert route.reachable == 25.0


def test_roll_out_and_back_changes_the_selector_and_the_marks_only(
    router: ServiceRouter, watched: Watched, namespace: str, rollout: Json
) -> None:
    before = watched.get(SERVICES, namespace, "fraud")["spec"]
    router.write(desire(rollout, 1, 25))
    assert selector(watched, namespace) == WIDE
    assert router.read(BOTH).fence == Fence(rollout["metadata"]["uid"], 1)
    router.write(desire(rollout, 2, 0))
    assert watched.get(SERVICES, namespace, "fraud")["spec"] == before
    assert watched.writes == ["services/fraud", "services/fraud"]


def test_promotion_picks_the_candidate_only_and_remembers_the_roles(
    router: ServiceRouter, watched: Watched, namespace: str, rollout: Json
) -> None:
    roles = Roles(stable="fraud-v2", backup="fraud-v1")
    assert router.write(desire(rollout, 4, 100, roles=roles)) == APPLIED
    assert selector(watched, namespace) == V2
    route = router.read(BOTH)
    assert (route.weights, route.roles) == ({"fraud-v1": 0, "fraud-v2": 1}, roles)
    assert router.read(BOTH).owner == "fraud"


def test_second_write_of_the_same_writes_nothing_and_an_edit_is_written_over(
    router: ServiceRouter, watched: Watched, namespace: str, rollout: Json
) -> None:
    router.write(desire(rollout, 1, 25))
    watched.writes.clear()
    assert router.write(desire(rollout, 1, 25)) == APPLIED
    assert watched.writes == []
    watched.merge_patch(SERVICES, namespace, "fraud", {"spec": {"selector": {"version": "v2"}}})
    assert router.write(desire(rollout, 1, 25)) == APPLIED
    assert selector(watched, namespace) == WIDE


def test_late_write_stops_at_the_fence(router: ServiceRouter, watched: Watched, namespace: str, rollout: Json) -> None:
    router.write(desire(rollout, 5, 0))
    watched.writes.clear()
    with pytest.raises(Fenced):
        router.write(desire(rollout, 4, 25, candidate_replicas=7))
    assert watched.writes == []
    assert replicas(watched, namespace) == 1


def test_somebody_writes_in_between(router: ServiceRouter, watched: Watched, namespace: str, rollout: Json) -> None:
    watched.before_write = lambda: router.write(desire(rollout, 4, 0))
    with pytest.raises(Conflict):
        router.write(desire(rollout, 3, 25))
    assert selector(watched, namespace) == V1


class TestSizing:
    """The selector widens only around exactly the pods that make the weight."""

    def test_widens_when_exactly_the_wanted_pods_are_ready(
        self, router: ServiceRouter, watched: Watched, namespace: str, rollout: Json
    ) -> None:
        wanted = desire(rollout, 1, 50, candidate_replicas=3)
        assert "exactly 3 pods must be there and ready; 1 are, 1 ready" in router.write(wanted).pending
        assert replicas(watched, namespace) == 3
        assert selector(watched, namespace) == V1
        run_pods(watched, namespace, "fraud-v2", ready=2, live=3)
        assert router.write(wanted).pending
        assert selector(watched, namespace) == V1
        run_pods(watched, namespace, "fraud-v2", ready=3)
        assert router.write(wanted).applied
        assert selector(watched, namespace) == WIDE

    def test_extra_pods_must_be_gone_first(
        self, router: ServiceRouter, watched: Watched, namespace: str, rollout: Json
    ) -> None:
        watched.merge_patch(DEPLOYMENTS, namespace, "fraud-v2", {"spec": {"replicas": 4}}, subresource="scale")
        run_pods(watched, namespace, "fraud-v2", ready=4)
        wanted = desire(rollout, 1, 25, candidate_replicas=1)
        assert router.write(wanted).pending
        assert replicas(watched, namespace) == 1
        assert router.write(wanted).pending, "the controller has not seen the new number yet"
        run_pods(watched, namespace, "fraud-v2", ready=1)
        assert router.write(wanted).applied

    def test_counts_from_before_the_newest_change_prove_nothing(
        self, router: ServiceRouter, watched: Watched, namespace: str, rollout: Json
    ) -> None:
        image = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "fraud-v2:2"}]
        watched.json_patch(DEPLOYMENTS, namespace, "fraud-v2", image)
        wanted = desire(rollout, 1, 25, candidate_replicas=1)
        assert router.write(wanted).pending
        run_pods(watched, namespace, "fraud-v2", ready=1)
        assert router.write(wanted).applied

    def test_promotion_waits_for_enough_pods_and_not_for_exactly_so_many(
        self, router: ServiceRouter, watched: Watched, namespace: str, rollout: Json
    ) -> None:
        wanted = desire(rollout, 4, 100, candidate_replicas=3)
        assert router.write(wanted).pending == "waiting for Deployment fraud-v2: 1 of 3 pods are ready"
        run_pods(watched, namespace, "fraud-v2", ready=3, live=4)
        assert router.write(wanted).applied

    def test_way_back_never_scales_and_never_waits(
        self, router: ServiceRouter, watched: Watched, namespace: str, rollout: Json
    ) -> None:
        router.write(desire(rollout, 1, 25))
        watched.writes.clear()
        assert router.write(desire(rollout, 2, 0, candidate_replicas=5)).applied
        assert watched.writes == ["services/fraud"]
        assert replicas(watched, namespace) == 1

    def test_number_that_somebody_changed_is_set_again(
        self, router: ServiceRouter, watched: Watched, namespace: str, rollout: Json
    ) -> None:
        wanted = desire(rollout, 1, 25, candidate_replicas=1)
        assert router.write(wanted).applied
        watched.merge_patch(DEPLOYMENTS, namespace, "fraud-v2", {"spec": {"replicas": 9}}, subresource="scale")
        router.write(wanted)
        assert replicas(watched, namespace) == 1

    def test_scaled_object_keeps_its_hands(
        self, router: ServiceRouter, watched: Watched, namespace: str, rollout: Json
    ) -> None:
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "fraud-v2"}
        body = {"metadata": {"name": "auto"}, "spec": {"scaleTargetRef": target, "maxReplicas": 3}}
        watched.create(AUTOSCALERS, namespace, body)
        with pytest.raises(RouteProblem) as caught:
            router.write(desire(rollout, 1, 50, candidate_replicas=3))
        assert caught.value.problem.reason is Reason.CANDIDATE_AUTOSCALED
        assert (replicas(watched, namespace), selector(watched, namespace)) == (1, V1)


class TestStrangers:
    """Pods of neither arm."""

    def test_selector_that_is_too_wide_is_seen_and_not_written(
        self, router: ServiceRouter, watched: Watched, namespace: str, rollout: Json
    ) -> None:
        make_pods(watched, namespace)
        make_pod(watched, namespace, "v0-0", labels={"app": "fraud", "version": "v0"}, deployment="fraud-v0")
        make_pod(watched, namespace, "debug", labels={"app": "fraud"}, deployment=None)
        problem = router.read(BOTH).problem
        assert problem is not None
        assert problem.reason is Reason.SELECTOR_TOO_WIDE
        assert "(app=fraud) are also on Deployment/fraud-v0, Pod/debug" in problem.message
        with pytest.raises(RouteProblem):
            router.write(desire(rollout, 1, 25))
        assert selector(watched, namespace) == V1
        assert router.write(desire(rollout, 2, 0)).applied

    def test_who_is_picked_besides_the_arms(self, router: ServiceRouter, watched: Watched, namespace: str) -> None:
        make_pods(watched, namespace)
        make_pod(watched, namespace, "v0-0", labels=V1, deployment="fraud-v0")
        ended = {"phase": "Succeeded"}
        make_pod(watched, namespace, "old-0", labels=V1, deployment="old", status=ended)
        route = router.read(Arms(BOTH.stable))
        assert route.strangers == ("Deployment/fraud-v0",)
        assert route.weights == {"fraud-v1": 1}


class TestProblems:
    """What a person has to mend."""

    def test_no_service(self, cluster: ClusterPort, namespace: str, rollout: Json) -> None:
        router = ServiceRouter(cluster, namespace, TRAFFIC)
        route = router.read(BOTH)
        assert not route.exists
        assert route.problem is not None
        assert route.problem.reason is Reason.ROUTE_MISSING
        with pytest.raises(RouteProblem, match=r"spec\.traffic\.service\.name"):
            router.write(desire(rollout, 1, 0))

    def test_no_selector(self, cluster: ClusterPort, namespace: str) -> None:
        make_deployment(cluster, namespace, "fraud-v1", labels=V1)
        make_service(cluster, namespace, "fraud")
        make_pod(cluster, namespace, "x", labels={"a": "b"}, deployment=None)
        route = ServiceRouter(cluster, namespace, TRAFFIC).read(BOTH)
        assert route.problem is not None
        assert "add spec.selector with the labels of Deployment fraud-v1" in route.problem.message
        assert route.weights == {"fraud-v1": 0, "fraud-v2": 0}
        assert route.strangers == ()

    def test_no_common_label(self, cluster: ClusterPort, namespace: str, rollout: Json) -> None:
        make_deployment(cluster, namespace, "fraud-v1", labels={"app": "one"})
        make_deployment(cluster, namespace, "fraud-v2", labels={"app": "two"})
        make_service(cluster, namespace, "fraud", selector={"app": "one"})
        router = ServiceRouter(cluster, namespace, TRAFFIC)
        problem = router.read(BOTH).problem
        assert problem is not None
        assert problem.reason is Reason.NO_COMMON_LABEL
        with pytest.raises(RouteProblem):
            router.write(desire(rollout, 1, 50))
        assert router.read(Arms(BOTH.stable)).problem is None

    def test_no_candidate_deployment(self, cluster: ClusterPort, namespace: str, rollout: Json) -> None:
        make_deployment(cluster, namespace, "fraud-v1", labels=V1)
        make_service(cluster, namespace, "fraud", selector=WIDE)
        router = ServiceRouter(cluster, namespace, TRAFFIC)
        assert router.read(BOTH).weights == {"fraud-v1": 1, "fraud-v2": 0}
        with pytest.raises(RouteProblem) as caught:
            router.write(desire(rollout, 1, 50))
        assert caught.value.problem.reason is Reason.DEPLOYMENT_MISSING
        assert router.write(desire(rollout, 2, 0)).applied
        assert selector(cluster, namespace) == V1
