import threading

import pytest

from controller.act.gateway import GatewayRouter
from controller.act.route import APPLIED, Arm, Arms, Fenced, RouteProblem
from controller.api.reasons import Reason
from controller.api.spec import GatewayTraffic
from controller.observe.cluster import AUTOSCALERS, DEPLOYMENTS, HTTP_ROUTES, ROLLOUTS, ClusterPort, Conflict, Json
from controller.plan.world import Fence, Roles
from tests.controlplane.objects import (
    Watched,
    backend,
    desire,
    make_deployment,
    make_http_route,
    make_rollout,
    make_service,
    run_pods,
)

pytestmark = pytest.mark.controlplane

STABLE, CANDIDATE = Arm("fraud-v1", "fraud-v1"), Arm("fraud-v2", "fraud-v2")
BOTH = Arms(STABLE, CANDIDATE)
TRAFFIC = GatewayTraffic(http_route="fraud")


@pytest.fixture
def watched(cluster: ClusterPort) -> Watched:
    return Watched(cluster)


@pytest.fixture
def router(watched: Watched, namespace: str) -> GatewayRouter:
    make_service(watched, namespace, "fraud-v1")
    make_service(watched, namespace, "fraud-v2")
    watched.writes.clear()
    return GatewayRouter(watched, namespace, TRAFFIC)


@pytest.fixture
def rollout(cluster: ClusterPort, namespace: str) -> Json:
    return make_rollout(cluster, namespace, traffic={"gateway": {"httpRoute": "fraud"}})


def backends(cluster: ClusterPort, namespace: str, rule: int = 0) -> list[Json]:
    found: list[Json] = cluster.get(HTTP_ROUTES, namespace, "fraud")["spec"]["rules"][rule]["backendRefs"]
    return found


def weights(cluster: ClusterPort, namespace: str, rule: int = 0) -> list[int]:
    return [each["weight"] for each in backends(cluster, namespace, rule)]


def test_route_as_the_user_made_it(router: GatewayRouter, cluster: ClusterPort, namespace: str) -> None:
    make_http_route(cluster, namespace, [backend("fraud-v1", 100), backend("fraud-v2", 0)])
    route = router.read(BOTH)
    assert route.exists
    assert route.weights == {"fraud-v1": 100, "fraud-v2": 0}
    assert (route.strangers, route.fence, route.roles, route.owner, route.problem) == ((), None, None, None, None)


def test_missing_weights_count_as_the_api_counts_them(
    router: GatewayRouter, cluster: ClusterPort, namespace: str
) -> None:
    make_http_route(cluster, namespace, [backend("fraud-v1"), backend("fraud-v2", 3)])
    assert router.read(BOTH).weights == {"fraud-v1": 25, "fraud-v2": 75}


def test_strangers_are_backends_with_requests_only(router: GatewayRouter, cluster: ClusterPort, namespace: str) -> None:
    other = backend("fraud-v1", 1, namespace="elsewhere")
    make_http_route(
        cluster, namespace, [backend("fraud-v1", 8), backend("fraud-v2", 0), backend("old", 0), backend("x", 1), other]
    )
    route = router.read(BOTH)
    assert route.strangers == ("Service/x", "Service/fraud-v1")
    assert route.weights == {"fraud-v1": 80, "fraud-v2": 0}


def test_write_changes_weights_and_marks_and_nothing_else(
    router: GatewayRouter, watched: Watched, namespace: str, rollout: Json
) -> None:
    extra = backend("old", 0)
    filtered = backend(
        "fraud-v1", 100, filters=[{"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["x"]}}]
    )
    make_http_route(watched, namespace, [extra, backend("fraud-v2", 0), filtered])
    before = watched.get(HTTP_ROUTES, namespace, "fraud")
    watched.writes.clear()
    assert router.write(desire(rollout, 3, 10)) == APPLIED
    after = watched.get(HTTP_ROUTES, namespace, "fraud")
    assert watched.writes == ["httproutes/fraud"]
    assert weights(watched, namespace) == [0, 10, 90]
    assert after["metadata"]["annotations"] == {
        "modelrollout.dev/transition": f"{rollout['metadata']['uid']}/3",
        "modelrollout.dev/roles": '{"stable": "fraud-v1"}',
        "modelrollout.dev/rollout": "fraud",
    }
    for entry, old in zip(
        after["spec"]["rules"][0]["backendRefs"], before["spec"]["rules"][0]["backendRefs"], strict=True
    ):
        entry["weight"] = old["weight"]
    assert after["spec"] == before["spec"]
    route = router.read(BOTH)
    assert route.fence == Fence(rollout["metadata"]["uid"], 3)
    assert (route.weights, route.roles, route.owner) == ({"fraud-v1": 90, "fraud-v2": 10}, Roles("fraud-v1"), "fraud")


def test_second_write_of_the_same_writes_nothing(
    router: GatewayRouter, watched: Watched, namespace: str, rollout: Json
) -> None:
    make_http_route(watched, namespace, [backend("fraud-v1"), backend("fraud-v2", 0)])
    router.write(desire(rollout, 3, 10))
    watched.writes.clear()
    assert router.write(desire(rollout, 3, 10)) == APPLIED
    assert watched.writes == []


def test_next_transition_advances_the_fence_even_when_the_weights_are_the_same(
    router: GatewayRouter, watched: Watched, namespace: str, rollout: Json
) -> None:
    make_http_route(watched, namespace, [backend("fraud-v1"), backend("fraud-v2", 0)])
    router.write(desire(rollout, 3, 10))
    router.write(desire(rollout, 4, 10))
    assert router.read(BOTH).fence == Fence(rollout["metadata"]["uid"], 4)


def test_late_write_stops_at_the_fence(router: GatewayRouter, watched: Watched, namespace: str, rollout: Json) -> None:
    make_http_route(watched, namespace, [backend("fraud-v1"), backend("fraud-v2", 0)])
    router.write(desire(rollout, 5, 0))
    watched.writes.clear()
    with pytest.raises(Fenced, match="holds transition 5 already; 4 comes too late"):
        router.write(desire(rollout, 4, 50))
    assert watched.writes == []
    assert weights(watched, namespace) == [100, 0]


def test_successor_of_a_deleted_rollout_takes_the_route_and_its_predecessor_cannot_come_back(
    router: GatewayRouter, watched: Watched, namespace: str, rollout: Json
) -> None:
    make_http_route(watched, namespace, [backend("fraud-v1"), backend("fraud-v2", 0)])
    router.write(desire(rollout, 9, 50))
    watched.delete(ROLLOUTS, namespace, "fraud")
    successor = make_rollout(watched, namespace, traffic={"gateway": {"httpRoute": "fraud"}})
    assert router.write(desire(successor, 1, 0)) == APPLIED
    with pytest.raises(Fenced, match="is gone"):
        router.write(desire(rollout, 10, 50))
    assert weights(watched, namespace) == [100, 0]


def test_foreign_edit_is_written_over_under_the_same_number(
    router: GatewayRouter, watched: Watched, namespace: str, rollout: Json
) -> None:
    make_http_route(watched, namespace, [backend("fraud-v1"), backend("fraud-v2", 0)])
    router.write(desire(rollout, 3, 10))
    watched.json_patch(
        HTTP_ROUTES, namespace, "fraud", [{"op": "add", "path": "/spec/rules/0/backendRefs/1/weight", "value": 77}]
    )
    assert router.read(BOTH).weights["fraud-v2"] != 10
    assert router.write(desire(rollout, 3, 10)) == APPLIED
    assert weights(watched, namespace) == [90, 10]


def test_somebody_writes_in_between(router: GatewayRouter, watched: Watched, namespace: str, rollout: Json) -> None:
    make_http_route(watched, namespace, [backend("fraud-v1"), backend("fraud-v2", 0)])
    watched.before_write = lambda: router.write(desire(rollout, 4, 0))
    with pytest.raises(Conflict):
        router.write(desire(rollout, 3, 50))
    assert weights(watched, namespace) == [100, 0]
    with pytest.raises(Fenced):
        router.write(desire(rollout, 3, 50))


def test_many_writers_at_once_leave_the_highest_transition(
    cluster: ClusterPort, router: GatewayRouter, namespace: str, rollout: Json
) -> None:
    make_http_route(cluster, namespace, [backend("fraud-v1"), backend("fraud-v2", 0)])
    unexpected: list[BaseException] = []

    def operate(first: int) -> None:
        own = GatewayRouter(cluster, namespace, TRAFFIC)
        for transition in range(first, 31, 3):
            while True:
                try:
                    own.write(desire(rollout, transition, transition))
                except Conflict:
                    continue
                except Fenced:
                    pass
                except BaseException as error:
                    unexpected.append(error)
                break

    threads = [threading.Thread(target=operate, args=(first,)) for first in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert unexpected == []
    assert weights(cluster, namespace) == [70, 30]
    assert router.read(BOTH).fence == Fence(rollout["metadata"]["uid"], 30)


def test_backend_that_vanished_is_not_needed_on_the_way_back(
    router: GatewayRouter, watched: Watched, namespace: str, rollout: Json
) -> None:
    make_http_route(watched, namespace, [backend("fraud-v1", 40)])
    assert router.write(desire(rollout, 3, 0)) == APPLIED
    assert weights(watched, namespace) == [100]
    with pytest.raises(RouteProblem):
        router.write(desire(rollout, 4, 10))


class TestProblems:
    """What a person has to mend, with the line that mends it."""

    def test_no_route(self, router: GatewayRouter, rollout: Json) -> None:
        route = router.read(BOTH)
        assert not route.exists
        assert route.problem is not None
        assert route.problem.reason is Reason.ROUTE_MISSING
        with pytest.raises(RouteProblem, match=r"spec\.traffic\.gateway\.httpRoute"):
            router.write(desire(rollout, 1, 0))

    def test_no_backend(self, router: GatewayRouter, cluster: ClusterPort, namespace: str) -> None:
        make_http_route(cluster, namespace, [backend("other", 1)], [backend("fraud-v1", 1)])
        problem = router.read(BOTH).problem
        assert problem is not None
        assert problem.reason is Reason.BACKEND_MISSING
        assert problem.message == (
            "rules[1] of HTTPRoute fraud does not lead to Service fraud-v2; add to its backendRefs: "
            "- {name: fraud-v2, port: 80, weight: 0}"
        )
        assert router.read(Arms(STABLE)).problem is None

    def test_two_rules(self, router: GatewayRouter, watched: Watched, namespace: str, rollout: Json) -> None:
        rule = [backend("fraud-v1", 1), backend("fraud-v2", 0)]
        make_http_route(watched, namespace, rule, rule, names=("predict", "explain"))
        problem = router.read(BOTH).problem
        assert problem is not None
        assert problem.reason is Reason.RULE_AMBIGUOUS
        assert (
            "(rule predict, rule explain); name the one to steer in spec.traffic.gateway.sectionName" in problem.message
        )
        named = GatewayRouter(watched, namespace, GatewayTraffic(http_route="fraud", section_name="explain"))
        assert named.write(desire(rollout, 1, 20)) == APPLIED
        assert (weights(watched, namespace, 0), weights(watched, namespace, 1)) == ([1, 0], [80, 20])

    def test_no_such_rule(self, watched: Watched, namespace: str) -> None:
        make_http_route(watched, namespace, [backend("fraud-v1", 1), backend("fraud-v2", 0)])
        named = GatewayRouter(watched, namespace, GatewayTraffic(http_route="fraud", section_name="explain"))
        problem = named.read(BOTH).problem
        assert problem is not None
        assert "has no rule named explain" in problem.message

    def test_service_named_twice(self, router: GatewayRouter, cluster: ClusterPort, namespace: str) -> None:
        again = backend("fraud-v1", 1) | {"port": 81}
        make_http_route(cluster, namespace, [backend("fraud-v1", 1), again, backend("fraud-v2", 0)])
        problem = router.read(BOTH).problem
        assert problem is not None
        assert problem.reason is Reason.RULE_AMBIGUOUS

    def test_one_service_for_both(self, router: GatewayRouter, cluster: ClusterPort, namespace: str) -> None:
        make_http_route(cluster, namespace, [backend("fraud-v1", 1)])
        problem = router.read(Arms(STABLE, Arm("fraud-v2", "fraud-v1"))).problem
        assert problem is not None
        assert "give each Deployment its own Service" in problem.message

    def test_no_service(self, cluster: ClusterPort, namespace: str) -> None:
        make_service(cluster, namespace, "fraud-v1")
        make_http_route(cluster, namespace, [backend("fraud-v1", 1), backend("fraud-v2", 0)])
        route = GatewayRouter(cluster, namespace, TRAFFIC).read(BOTH)
        assert route.problem is not None
        assert route.problem.reason is Reason.SERVICE_MISSING
        assert route.weights == {"fraud-v1": 100, "fraud-v2": 0}


class TestScale:
    """More weight waits for pods, less never does."""

    @pytest.fixture(autouse=True)
    def _made(self, watched: Watched, namespace: str) -> None:
        make_http_route(watched, namespace, [backend("fraud-v1", 100), backend("fraud-v2", 0)])
        make_deployment(watched, namespace, "fraud-v2", labels={"app": "fraud-v2"}, replicas=1)

    def test_weight_waits_for_pods(
        self, router: GatewayRouter, watched: Watched, namespace: str, rollout: Json
    ) -> None:
        wanted = desire(rollout, 3, 50, candidate_replicas=2)
        assert router.write(wanted).pending == "waiting for Deployment fraud-v2: 1 of 2 pods are ready"
        assert watched.writes[-1] == "deployments/fraud-v2/scale"
        assert watched.get(DEPLOYMENTS, namespace, "fraud-v2")["spec"]["replicas"] == 2
        assert weights(watched, namespace) == [100, 0]
        run_pods(watched, namespace, "fraud-v2", ready=2)
        assert router.write(wanted).applied
        assert weights(watched, namespace) == [50, 50]

    def test_less_weight_does_not_wait(self, router: GatewayRouter, watched: Watched, rollout: Json) -> None:
        router.write(desire(rollout, 3, 50))
        watched.writes.clear()
        assert router.write(desire(rollout, 4, 10, candidate_replicas=7)).applied
        assert watched.writes == ["httproutes/fraud"]

    def test_autoscaled_candidate_is_not_scaled(
        self, router: GatewayRouter, watched: Watched, namespace: str, rollout: Json
    ) -> None:
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "fraud-v2"}
        watched.create(
            AUTOSCALERS, namespace, {"metadata": {"name": "auto"}, "spec": {"scaleTargetRef": target, "maxReplicas": 3}}
        )
        with pytest.raises(RouteProblem, match="HorizontalPodAutoscaler/auto sizes it"):
            router.write(desire(rollout, 3, 50, candidate_replicas=2))
        assert watched.get(DEPLOYMENTS, namespace, "fraud-v2")["spec"]["replicas"] == 1

    def test_scale_conflicts_with_what_happened_since_the_reading(
        self, router: GatewayRouter, watched: Watched, namespace: str, rollout: Json
    ) -> None:
        def later_operator() -> None:
            router.write(desire(rollout, 4, 0))
            run_pods(watched, namespace, "fraud-v2", ready=0, live=1)

        watched.before_write = later_operator
        with pytest.raises(Conflict):
            router.write(desire(rollout, 3, 50, candidate_replicas=5))
        assert watched.get(DEPLOYMENTS, namespace, "fraud-v2")["spec"]["replicas"] == 1
