"""Router ``service``: the selector of a plain Service.

Idle it picks one Deployment (narrow); in a canary it picks the pods of both arms by the labels that they share (wide),
and the number of candidate pods makes the weight. Every change of the selector is one atomic write, and no pod ends.
"""

from collections import Counter
from dataclasses import dataclass

from controller.act.route import APPLIED, Arms, RouteProblem, WriteResult, guard, mark_operations, marks_of, read_marks
from controller.act.scale import differs_in_pods, get_deployment, lacks_pods, scale_to
from controller.act.selector import Labels, label_query, narrow, picks, pod_labels, wide
from controller.api.reasons import Reason
from controller.api.spec import ServiceTraffic
from controller.observe.cluster import PODS, SERVICES, ClusterPort, Json, NotFound
from controller.observe.workloads import deployment_of, is_live, is_ready
from controller.plan.sizing import reachable_weight
from controller.plan.world import Desired, Problem, Route

_STRANGERS_NAMED = 5


@dataclass(frozen=True)
class _Picked:
    """The live pods that a selector picks: ready ones per Deployment, and whose they are besides the arms'."""

    ready: Counter[str]
    strangers: tuple[str, ...]


class ServiceRouter:
    """Splits the traffic of a Service by the number of ready pods per arm."""

    def __init__(self, cluster: ClusterPort, namespace: str, traffic: ServiceTraffic) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._name = traffic.name

    def read(self, arms: Arms) -> Route:
        """Return the Service as it is now, seen from these arms; a picked Deployment has weight 1."""
        try:
            service = self._service()
        except RouteProblem as missing:
            return Route(exists=False, problem=missing.problem)
        marks = read_marks(service)
        selector: Labels = service["spec"].get("selector") or {}
        deployments = {arm.deployment: self._deployment(arm.deployment) for arm in arms}
        picked = self._picked(selector, frozenset(deployments))
        weights = {
            name: int(found is not None and picks(selector, pod_labels(found))) for name, found in deployments.items()
        }
        ready = {name: picked.ready[name] for name, weight in weights.items() if weight}
        candidate = ready.get(arms.candidate.deployment, 0) if arms.candidate else 0
        return Route(
            exists=True,
            weights=weights,
            strangers=picked.strangers,
            fence=marks.fence,
            roles=marks.roles,
            owner=marks.owner,
            problem=self._problem(selector, deployments),
            reachable=reachable_weight(candidate, sum(ready.values()) - candidate),
        )

    def write(self, desired: Desired) -> WriteResult:
        """Make the Service pick what the desired weight needs, unless it does. Less weight never waits."""
        # Read before the fence, so that the scale conflicts with whatever a later transition did to the Deployment.
        stable, candidate = self._deployment(desired.stable), self._deployment(desired.candidate)
        service = self._service()
        marks = read_marks(service)
        guard(self._cluster, self._namespace, fence=marks.fence, desired=desired)
        target = self._target(desired, stable=stable, candidate=candidate)
        held = service["spec"].get("selector") == target
        pending = self._size(candidate, desired)
        if held and marks == marks_of(desired):
            return APPLIED
        if pending:
            return WriteResult(pending)
        if not held and 0 < desired.weight < 100:
            self._refuse_strangers(target, frozenset((desired.stable, desired.candidate or "")))
        operations = [*mark_operations(service, desired), {"op": "add", "path": "/spec/selector", "value": target}]
        self._cluster.json_patch(SERVICES, self._namespace, self._name, operations)
        return APPLIED

    def _service(self) -> Json:
        try:
            return self._cluster.get(SERVICES, self._namespace, self._name)
        except NotFound:
            message = (
                f"Service {self._name} is not in namespace {self._namespace}; create it, or correct "
                "spec.traffic.service.name"
            )
            raise RouteProblem(Problem(Reason.ROUTE_MISSING, message)) from None

    def _deployment(self, name: str | None) -> Json | None:
        return get_deployment(self._cluster, self._namespace, name)

    def _target(self, desired: Desired, *, stable: Json | None, candidate: Json | None) -> Labels:
        """Return the selector of the desired world; the way back to stable needs nothing but stable."""
        if desired.weight == 0 or desired.candidate is None:
            return narrow(_present(stable, desired.stable), candidate)
        if desired.weight == 100:
            return narrow(_present(candidate, desired.candidate), stable)
        return wide(_present(stable, desired.stable), _present(candidate, desired.candidate))

    def _size(self, candidate: Json | None, desired: Desired) -> str:
        """Scale the candidate and return what is waited for; in a split a pod too many is as wrong as one less."""
        replicas = desired.candidate_replicas
        if candidate is None or replicas is None or desired.weight == 0:
            return ""
        scale_to(self._cluster, candidate, replicas)
        return lacks_pods(candidate, replicas) if desired.weight == 100 else differs_in_pods(candidate, replicas)

    def _problem(self, selector: Labels, deployments: dict[str, Json | None]) -> Problem | None:
        if not selector:
            name = next(iter(deployments))
            message = f"Service {self._name} has no selector; add spec.selector with the labels of Deployment {name}"
            return Problem(Reason.BACKEND_MISSING, message)
        present = [each for each in deployments.values() if each is not None]
        if len(present) < 2:
            return None
        try:
            self._refuse_strangers(wide(*present), frozenset(deployments))
        except RouteProblem as error:
            return error.problem
        return None

    def _refuse_strangers(self, selector: Labels, arms: frozenset[str]) -> None:
        strangers = self._picked(selector, arms).strangers
        if strangers:
            message = (
                f"the labels that both Deployments share ({label_query(selector)}) are also on {', '.join(strangers)}; "
                "those pods would get requests. Give the two Deployments a label of their own, or remove these pods"
            )
            raise RouteProblem(Problem(Reason.SELECTOR_TOO_WIDE, message))

    def _picked(self, selector: Labels, arms: frozenset[str]) -> _Picked:
        if not selector:
            return _Picked(Counter(), ())
        pods = [pod for pod in self._cluster.list(PODS, self._namespace, labels=label_query(selector)) if is_live(pod)]
        owners = {pod["metadata"]["name"]: deployment_of(pod) for pod in pods}
        others = {
            f"Deployment/{owner}" if owner else f"Pod/{name}" for name, owner in owners.items() if owner not in arms
        }
        return _Picked(
            ready=Counter(owners[pod["metadata"]["name"]] or "" for pod in pods if is_ready(pod)),
            strangers=tuple(sorted(others)[:_STRANGERS_NAMED]),
        )


def _present(deployment: Json | None, name: str) -> Json:
    if deployment is None:
        message = f"Deployment {name} is not there; create it, or correct its name in the spec"
        raise RouteProblem(Problem(Reason.DEPLOYMENT_MISSING, message))
    return deployment
