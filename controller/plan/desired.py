"""The desired world of a status, and whether the route already holds it."""

from controller.api.reasons import Phase
from controller.api.spec import ModelRolloutSpec, Scale
from controller.api.status import ModelRolloutStatus, Revision
from controller.plan.situation import Situation
from controller.plan.sizing import replicas_for
from controller.plan.world import Desired, Roles, Route, Workload


def desired_world(situation: Situation, status: ModelRolloutStatus) -> Desired | None:
    """Return what the router must hold under ``status``; None while no transition was ever committed."""
    if status.transition == 0 or status.stable is None:
        return None
    other = status.candidate or status.backup
    weight = status.traffic.desired_weight
    return Desired(
        uid=situation.subject.uid,
        rollout=situation.subject.name,
        transition=status.transition,
        stable=status.stable.deployment,
        candidate=other.deployment if other else None,
        stable_service=status.stable.service,
        candidate_service=other.service if other else None,
        weight=weight,
        roles=_roles(status),
        candidate_replicas=_replicas(situation, weight),
    )


def _roles(status: ModelRolloutStatus) -> Roles:
    """Roles as the route must remember them: a promotion is remembered by the write that carries it out."""
    stable, candidate = _present(status.stable), status.candidate
    if status.phase is Phase.PROMOTING and candidate is not None:
        return Roles(stable=candidate.deployment, backup=stable.deployment)
    return Roles(stable=stable.deployment, backup=status.backup.deployment if status.backup else None)


def _present(revision: Revision | None) -> Revision:
    if revision is None:
        msg = "no transition can have been committed before stable was known"
        raise AssertionError(msg)
    return revision


def scaled_by_operator(spec: ModelRolloutSpec) -> bool:
    """Whether the operator sizes the candidate: by choice, and by default with router ``service``."""
    if spec.candidate is None:
        return False
    chosen = spec.candidate.scale
    return chosen is Scale.BY_WEIGHT or (chosen is None and spec.traffic.service is not None)


def _replicas(situation: Situation, weight: int) -> int | None:
    stable = situation.world.stable
    if weight == 0 or stable is None or not scaled_by_operator(situation.spec):
        return None
    if situation.spec.traffic.service is not None:
        return replicas_for(weight, stable.replicas).replicas
    return capacity_needed(weight, stable)


def capacity_needed(weight: int, stable: Workload) -> int:
    """Return the ready pods that the candidate needs for a weight: its share of stable's, rounded up."""
    return max(1, -(-weight * max(stable.ready, 1) // 100))


def capacity_for(spec: ModelRolloutSpec, weight: int, stable: Workload) -> int:
    """Return the ready pods that the candidate must have before ``weight`` may be entered.

    With router ``service`` below 100 the pods *are* the weight, so one is enough to enter.
    """
    if spec.traffic.service is not None and weight < 100:
        return 1
    return capacity_needed(weight, stable)


def holds(route: Route, desired: Desired) -> bool:
    """Whether the route was written by this very transition and still says the same."""
    return fence_is(route, desired) and weights_are(route, desired)


def fence_is(route: Route, desired: Desired) -> bool:
    """Whether the newest write to the route is the one of this transition."""
    fence = route.fence
    return fence is not None and (fence.uid, fence.transition) == (desired.uid, desired.transition)


def weights_are(route: Route, desired: Desired) -> bool:
    """Whether the route splits as desired, whoever wrote it."""
    if route.strangers:
        return False
    if route.reachable is not None:
        return _picked(route) == _wanted(desired)
    candidate = route.weights.get(desired.candidate, 0) if desired.candidate else 0
    return (route.weights.get(desired.stable, 0), candidate) == (100 - desired.weight, desired.weight)


def _picked(route: Route) -> set[str]:
    return {deployment for deployment, weight in route.weights.items() if weight > 0}


def _wanted(desired: Desired) -> set[str]:
    stable = {desired.stable} if desired.weight < 100 else set()
    candidate = {desired.candidate} if desired.weight > 0 and desired.candidate else set()
    return stable | candidate
