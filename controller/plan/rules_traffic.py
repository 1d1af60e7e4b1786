"""The rules about traffic: adopting the live route, and confirming what was written."""

from dataclasses import replace

from controller.api.reasons import Phase, Reason
from controller.api.status import Revision
from controller.plan.acceptance import route_name
from controller.plan.desired import desired_world, fence_is, weights_are
from controller.plan.epoch import at_rest, past_epoch, revision_of, tested
from controller.plan.move import RETRY_SOON, move, wait
from controller.plan.situation import Decision, Outcome, Situation
from controller.plan.transitions import Event
from controller.plan.words import describe_progress
from controller.plan.world import Desired, Route, Workload


def bootstrap(situation: Situation) -> Decision | None:
    """Adopt what serves: the route's memory of roles first, then the spec; a route that disagrees is left alone."""
    status, route, live = situation.status, situation.world.route, situation.world.stable
    if status.stable is not None:
        return None
    if situation.problem is not None or live is None or not route.exists:
        return None
    serving = sorted(name for name, weight in route.weights.items() if weight > 0)
    if serving != [live.deployment] or route.strangers:
        return _disagrees(situation, live, [*serving, *route.strangers])
    message = f"Adopted {live.deployment} as stable: {route_name(situation.spec)} sends all requests there"
    return move(
        situation,
        Event.BOOTSTRAPPED,
        reason=Reason.STABLE_ADOPTED,
        message=message,
        changes={
            "stable": _first_stable(situation, live),
            "backup": _remembered_backup(situation, route),
        },
    )


def _disagrees(situation: Situation, live: Workload, serving: list[str]) -> Decision:
    found = ", ".join(serving) or "nothing"
    name = route_name(situation.spec)
    message = (
        f"{name} sends requests to {found}, but stable is {live.deployment}; make the route send all requests to "
        f"{live.deployment}, or set spec.stable.deployment to what serves"
    )
    if situation.status.phase is Phase.STALLED:
        return wait(situation, Reason.ROUTE_DISAGREES, message)
    return move(situation, Event.STALL_BEGAN, reason=Reason.ROUTE_DISAGREES, message=message, kind="Warning")


def _first_stable(situation: Situation, live: Workload) -> Revision:
    """Stable at bootstrap; it counts as proven once it passed the smoke test, or at once when none is configured."""
    first = revision_of(live, service=_service_of(situation, live.deployment))
    return first.model_copy(update={"proven": not tested(situation.spec)})


def _service_of(situation: Situation, deployment: str) -> str | None:
    spec = situation.spec
    if spec.candidate is not None and spec.candidate.deployment == deployment:
        return spec.candidate.service
    return spec.stable.service if spec.stable.deployment == deployment else None


def _remembered_backup(situation: Situation, route: Route) -> Revision | None:
    """The backup that the route remembers, if its Deployment still exists."""
    backup = situation.world.backup
    if route.roles is None or backup is None or backup.deployment != route.roles.backup:
        return None
    return revision_of(backup, service=_service_of(situation, backup.deployment)).model_copy(update={"proven": True})


def confirm(situation: Situation) -> Decision | None:
    """Take note that the router holds the present transition; until then nothing else may happen."""
    status = situation.status
    desired = desired_world(situation, status)
    if desired is None or status.traffic.applied_transition == status.transition:
        return None
    route = situation.world.route
    if fence_is(route, desired) and weights_are(route, desired):
        return _confirmed(situation, desired)
    if not route.exists and status.phase is Phase.ROLLING_BACK:
        # Nothing is left that could divert a request.
        return _confirmed(situation, desired)
    return wait(
        situation,
        status.reason or Reason.WEIGHT_PENDING,
        status.message,
        look=situation.now + RETRY_SOON,
    )


def _confirmed(situation: Situation, desired: Desired) -> Decision:
    phase = situation.status.phase
    if phase is Phase.PROMOTING:
        return _promoted(situation)
    if phase is Phase.ROLLING_BACK:
        return _returned(situation)
    status, weight = situation.status, desired.weight
    traffic = status.traffic.model_copy(
        update={
            "applied_weight": weight,
            "applied_transition": status.transition,
            "applied_at": situation.now,
            "diverted_at": status.traffic.diverted_at or (situation.now if weight > 0 else None),
        }
    )
    name = status.candidate.deployment if status.candidate else "the candidate"
    message = f"{weight} % of requests go to {name}" if weight else "All requests go to stable"
    applied = replace(situation, status=status.model_copy(update={"traffic": traffic}))
    going_on = phase is Phase.PROGRESSING
    return move(
        situation,
        Event.WEIGHT_APPLIED,
        reason=Reason.GATHERING_EVIDENCE if going_on else status.reason or Reason.WEIGHT_APPLIED,
        message=describe_progress(applied) if going_on else status.message,
        told=(Reason.WEIGHT_APPLIED, message),
        changes={"traffic": traffic},
    )


def _settled(situation: Situation) -> dict[str, object]:
    status = situation.status
    traffic = at_rest(status).model_copy(update={"applied_transition": status.transition, "applied_at": situation.now})
    return {"traffic": traffic, "step": None, "step_index": 0}


def _promoted(situation: Situation) -> Decision:
    status = situation.status
    if status.candidate is None or status.stable is None:
        msg = "a promotion needs both arms"
        raise AssertionError(msg)
    promoted, backup = status.candidate.deployment, status.stable.deployment
    message = f"Promoted {promoted}: it gets all requests; {backup} stays warm as the backup"
    return move(
        situation,
        Event.PROMOTION_APPLIED,
        reason=Reason.PROMOTED,
        message=message,
        changes={
            **_settled(situation),
            "history": past_epoch(situation, outcome="Promoted", reason=Reason.PROMOTED, message=message),
            "stable": status.candidate.model_copy(update={"proven": True, "ready": None}),
            "backup": status.stable,
            "candidate": None,
        },
        closes="Promoted",
    )


_WITHDRAWN = frozenset(
    {
        Reason.REQUESTED,
        Reason.DATA_TIMED_OUT,
        Reason.DEADLINE_PASSED,
        Reason.CANDIDATE_NOT_READY,
        Reason.CANDIDATE_GONE,
        Reason.CANDIDATE_CHANGED,
        Reason.DELETED,
    }
)


def _returned(situation: Situation) -> Decision:
    status = situation.status
    reason = status.reason or Reason.ROLLED_BACK
    outcome: Outcome = "Withdrawn" if reason in _WITHDRAWN else "RolledBack"
    why = status.message.partition("; returning")[0].partition(": returning")[0]
    stable = status.stable.deployment if status.stable else "stable"
    message = f"All requests go to {stable}. {why}"
    return move(
        situation,
        Event.RETURN_APPLIED,
        reason=reason,
        message=message,
        told=(Reason.ROLLED_BACK, message),
        changes={
            **_settled(situation),
            "history": past_epoch(situation, outcome=outcome, reason=reason, message=why),
        },
        kind="Normal" if outcome == "Withdrawn" else "Warning",
        closes=outcome,
    )
