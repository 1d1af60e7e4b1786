"""Router ``gateway``: the weights of two Services in one rule of an HTTPRoute.

``backendRefs`` is an atomic list that other tools own as well (GitOps), so entries are never added, removed or moved:
only their weights are patched, each behind a ``test`` of the name at its place.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from controller.act.route import (
    APPLIED,
    Arm,
    Arms,
    RouteProblem,
    WriteResult,
    arms_of,
    guard,
    mark_operations,
    marks_of,
    read_marks,
)
from controller.act.scale import get_deployment, lacks_pods, scale_to
from controller.api.reasons import Reason
from controller.api.spec import GatewayTraffic
from controller.observe.cluster import HTTP_ROUTES, SERVICES, ClusterPort, Json, NotFound
from controller.plan.world import Desired, Problem, Route


@dataclass(frozen=True)
class _Backend:
    """One entry of backendRefs; ``service`` is empty when it is no Service of the route's namespace."""

    path: str
    name: str
    service: str
    port: int | None
    weight: int


@dataclass(frozen=True)
class _Rule:
    """One rule of the route; ``label`` is how a person finds it."""

    label: str
    backends: tuple[_Backend, ...]

    def entries(self, arm: Arm) -> tuple[_Backend, ...]:
        """Return the entries that lead to the arm; one, where the rule is as it must be."""
        return tuple(backend for backend in self.backends if backend.service == arm.service)

    def holds(self, arms: Arms) -> bool:
        """Whether every arm has an entry."""
        return all(self.entries(arm) for arm in arms)

    def weight(self, arm: Arm | None) -> int:
        """Return the arm's weight in the route's own unit."""
        return sum(backend.weight for backend in self.entries(arm)) if arm is not None else 0

    def percent(self, arm: Arm) -> int:
        """Return the arm's share of the rule's requests, rounded."""
        total = sum(backend.weight for backend in self.backends)
        return round(100 * self.weight(arm) / total) if total else 0


class GatewayRouter:
    """Splits the traffic of one rule of an HTTPRoute by weight."""

    def __init__(self, cluster: ClusterPort, namespace: str, traffic: GatewayTraffic) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._name = traffic.http_route
        self._section = traffic.section_name

    def read(self, arms: Arms) -> Route:
        """Return the route as it is now, seen from these arms."""
        try:
            route = self._route()
        except RouteProblem as missing:
            return Route(exists=False, problem=missing.problem)
        marks = read_marks(route)
        rule: _Rule | None
        try:
            rule, problem = self._rule(route, arms), self._missing_service(arms)
        except RouteProblem as error:
            rule, problem = self._rule_without_candidate(route, arms), error.problem
        ours = {arm.service for arm in arms}
        strangers = (
            (each.name for each in rule.backends if each.weight > 0 and each.service not in ours) if rule else ()
        )
        return Route(
            exists=True,
            weights={arm.deployment: rule.percent(arm) for arm in arms} if rule else {},
            strangers=tuple(strangers),
            fence=marks.fence,
            roles=marks.roles,
            owner=marks.owner,
            problem=problem,
        )

    def write(self, desired: Desired) -> WriteResult:
        """Make the route hold the desired weights, unless it does. Only more weight waits for the candidate's pods."""
        # Read before the fence, so that the scale conflicts with whatever a later transition did to the Deployment.
        replicas = desired.candidate_replicas
        candidate = get_deployment(self._cluster, self._namespace, desired.candidate) if replicas else None
        route = self._route()
        marks = read_marks(route)
        guard(self._cluster, self._namespace, fence=marks.fence, desired=desired)
        arms = self._reachable_arms(route, desired)
        rule = self._rule(route, arms)
        pending = ""
        if replicas and candidate is not None and not _lowers(rule, arms, desired):
            scale_to(self._cluster, candidate, replicas)
            pending = lacks_pods(candidate, replicas)
        if _holds(rule, arms, desired) and marks == marks_of(desired):
            return APPLIED
        if pending:
            return WriteResult(pending)
        operations = mark_operations(route, desired) + _weight_operations(rule, arms, desired)
        self._cluster.json_patch(HTTP_ROUTES, self._namespace, self._name, operations)
        return APPLIED

    def _route(self) -> Json:
        try:
            return self._cluster.get(HTTP_ROUTES, self._namespace, self._name)
        except NotFound:
            message = (
                f"HTTPRoute {self._name} is not in namespace {self._namespace}; create it, or correct "
                "spec.traffic.gateway.httpRoute"
            )
            raise RouteProblem(Problem(Reason.ROUTE_MISSING, message)) from None

    def _reachable_arms(self, route: Json, desired: Desired) -> Arms:
        """Return the arms whose entries are needed: a candidate that has none gets no requests, which is weight 0."""
        arms = arms_of(desired)
        rules = _rules(route, self._section)
        if desired.weight == 0 and not any(rule.holds(arms) for rule in rules):
            return Arms(arms.stable)
        return arms

    def _rule(self, route: Json, arms: Arms) -> _Rule:
        """Return the one rule that holds every arm.

        Raises:
            RouteProblem: there is none, or more than one, or a Service appears more than once in it.
        """
        rules = _rules(route, self._section)
        if arms.candidate is not None and arms.candidate.service == arms.stable.service:
            raise RouteProblem(Problem(Reason.BACKEND_MISSING, _same_service(arms.stable)))
        holding = [rule for rule in rules if rule.holds(arms)]
        if not holding:
            raise RouteProblem(Problem(Reason.BACKEND_MISSING, self._missing_entry(rules, arms)))
        if len(holding) > 1 and arms.candidate is not None:
            message = (
                f"HTTPRoute {self._name} holds both Services in {len(holding)} rules "
                f"({', '.join(rule.label for rule in holding)}); name the one to steer in "
                "spec.traffic.gateway.sectionName"
            )
            raise RouteProblem(Problem(Reason.RULE_AMBIGUOUS, message))
        for arm in arms:
            if len(holding[0].entries(arm)) > 1:
                message = (
                    f"{holding[0].label} of HTTPRoute {self._name} names Service {arm.service} more than once; "
                    "keep one entry, or its weight means nothing"
                )
                raise RouteProblem(Problem(Reason.RULE_AMBIGUOUS, message))
        return holding[0]

    def _rule_without_candidate(self, route: Json, arms: Arms) -> _Rule | None:
        """Return stable's rule when the candidate is in none, which is weight 0: nothing is left to give back."""
        candidate = arms.candidate
        if candidate is not None and any(rule.entries(candidate) for rule in _rules(route, self._section)):
            return None
        try:
            return self._rule(route, Arms(arms.stable))
        except RouteProblem:
            return None

    def _missing_entry(self, rules: Sequence[_Rule], arms: Arms) -> str:
        if not rules:
            return f"HTTPRoute {self._name} has no rule named {self._section}; correct spec.traffic.gateway.sectionName"
        rule = max(rules, key=lambda each: sum(bool(each.entries(arm)) for arm in arms))
        arm = next(arm for arm in arms if not rule.entries(arm))
        port = next((backend.port for backend in rule.backends if backend.port), 8080)
        weight = 100 if arm is arms.stable else 0
        return (
            f"{rule.label} of HTTPRoute {self._name} does not lead to Service {arm.service}; add to its backendRefs: "
            f"- {{name: {arm.service}, port: {port}, weight: {weight}}}"
        )

    def _missing_service(self, arms: Arms) -> Problem | None:
        for arm in arms:
            try:
                self._cluster.get(SERVICES, self._namespace, arm.service)
            except NotFound:
                message = (
                    f"Service {arm.service} for Deployment {arm.deployment} is not in namespace {self._namespace}; "
                    "create it, or name the right one in spec.stable.service or spec.candidate.service"
                )
                return Problem(Reason.SERVICE_MISSING, message)
        return None


def _rules(route: Json, section: str) -> list[_Rule]:
    """Take apart the rules that may be meant; all of them when no section is named."""
    rules = enumerate(route["spec"].get("rules") or ())
    namespace = route["metadata"]["namespace"]
    return [
        _Rule(
            label=f"rule {rule['name']}" if rule.get("name") else f"rules[{index}]",
            backends=tuple(
                _backend(entry, namespace, path=f"/spec/rules/{index}/backendRefs/{place}")
                for place, entry in enumerate(rule.get("backendRefs") or ())
            ),
        )
        for index, rule in rules
        if not section or rule.get("name") == section
    ]


def _backend(entry: Json, namespace: str, *, path: str) -> _Backend:
    kind, name = entry.get("kind", "Service"), entry["name"]
    own = kind == "Service" and not entry.get("group") and entry.get("namespace", namespace) == namespace
    return _Backend(
        path=path,
        name=f"{kind}/{name}",
        service=name if own else "",
        port=entry.get("port"),
        weight=entry.get("weight", 1),
    )


def _same_service(arm: Arm) -> str:
    return (
        f"Service {arm.service} is named for both arms, so that no weight can tell them apart; give each Deployment "
        "its own Service and name them in spec.stable.service and spec.candidate.service"
    )


def _holds(rule: _Rule, arms: Arms, desired: Desired) -> bool:
    """Whether the weights are in the desired proportion, in whatever unit."""
    stable, candidate = rule.weight(arms.stable), rule.weight(arms.candidate)
    return stable + candidate > 0 and stable * desired.weight == candidate * (100 - desired.weight)


def _lowers(rule: _Rule, arms: Arms, desired: Desired) -> bool:
    return arms.candidate is None or desired.weight < rule.percent(arms.candidate)


def _weight_operations(rule: _Rule, arms: Arms, desired: Desired) -> list[Json]:
    weights = {arms.stable: 100 - desired.weight}
    if arms.candidate is not None:
        weights[arms.candidate] = desired.weight
    operations: list[Json] = []
    for arm, weight in weights.items():
        (entry,) = rule.entries(arm)
        operations.append({"op": "test", "path": f"{entry.path}/name", "value": arm.service})
        operations.append({"op": "add", "path": f"{entry.path}/weight", "value": weight})
    return operations
