"""One decision: facts into status, then an ordered chain of rules of which the first that speaks decides."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final, Literal

from controller.api.reasons import ConditionType, Phase, Reason
from controller.api.status import ModelRolloutStatus
from controller.plan import rules_progress, rules_safety, rules_traffic, rules_validity, rules_verify
from controller.plan.conditions import Fact, kstatus_facts, with_facts
from controller.plan.desired import desired_world, holds
from controller.plan.move import MENDED_UNSEEN, RETRY_SOON
from controller.plan.refresh import concluded, refreshed
from controller.plan.rules_command import command
from controller.plan.situation import Decision, Situation
from controller.plan.transitions import LIVE, Event
from controller.plan.windows import window

Rule = Callable[[Situation], Decision | None]

CHAIN: Final[tuple[Rule, ...]] = (
    rules_safety.deletion,
    rules_safety.suspension,
    rules_safety.harm,
    command,
    rules_safety.candidate_removed,
    rules_safety.candidate_unfit,
    rules_safety.candidate_changed,
    rules_safety.analysis_edited,
    rules_safety.record_lost,
    rules_traffic.bootstrap,
    rules_traffic.confirm,
    rules_safety.spec_refused,
    rules_safety.stable_changed,
    rules_safety.stall_over,
    rules_progress.stable_adopted,
    rules_progress.candidate_found,
    rules_verify.refused,
    rules_progress.candidate_ready,
    rules_progress.no_data,
    rules_progress.paused,
    rules_progress.approval,
    rules_validity.held,
    rules_progress.progress,
)
"""What protects users comes before what a person asks, and that before what goes on by itself."""


def decide(situation: Situation) -> Decision:
    """Return what is to be written and done now. Pure: the same situation always gives the same decision."""
    seen = refreshed(situation)
    decision = next((found for rule in CHAIN if (found := rule(seen)) is not None), Decision(status=seen.status))
    status = _concluded(seen, decision)
    desired = desired_world(seen, status) if _steers(seen, status) else None
    return replace(
        decision,
        status=status,
        desired=desired,
        announcements=(*decision.announcements, *rules_verify.restoration(situation.status, seen.status)),
        finalizer=_finalizer(seen, decision, status),
        next_look=_next_look(seen, replace(decision, status=status, desired=desired)),
    )


def _steers(situation: Situation, status: ModelRolloutStatus) -> bool:
    """Whether the route is this rollout's to write.

    It is not when it has given everything back and only waits to go, when it is suspended, or when the route belongs to
    an older rollout: two that write the same route would undo each other's weights for ever.
    """
    if situation.subject.deleting:
        return situation.subject.finalized
    return status.phase is not Phase.SUSPENDED and not situation.world.rivals


def _concluded(situation: Situation, decision: Decision) -> ModelRolloutStatus:
    """Return the decided status with the conditions that follow from it."""
    status = concluded(situation, decision.status)
    now, generation = situation.now, situation.subject.generation
    outcome = with_facts(status, _outcome(decision.event, status), generation=generation, now=now)
    return with_facts(outcome, kstatus_facts(outcome), generation=generation, now=now)


_BEGINNINGS: Final = frozenset({Event.CANDIDATE_FOUND, Event.EPOCH_RESTARTED, Event.RETRY_REQUESTED})


def _outcome(event: Event | None, status: ModelRolloutStatus) -> tuple[Fact, ...]:
    reason, message = status.reason or Reason.ACCEPTED, status.message
    if event in _BEGINNINGS:
        return (
            Fact(ConditionType.PROMOTED, "False", Reason.CANDIDATE_STARTED, message),
            Fact(ConditionType.ROLLED_BACK, "False", Reason.CANDIDATE_STARTED, message),
        )
    if event is Event.PROMOTION_APPLIED:
        return (
            Fact(ConditionType.PROMOTED, "True", reason, message),
            Fact(ConditionType.ROLLED_BACK, "False", reason, message),
        )
    if event is Event.RETURN_APPLIED:
        return (
            Fact(ConditionType.PROMOTED, "False", reason, message),
            Fact(ConditionType.ROLLED_BACK, "True", reason, message),
        )
    return ()


def _finalizer(
    situation: Situation, decision: Decision, status: ModelRolloutStatus
) -> Literal["keep", "add", "remove"]:
    """The finalizer exists only while traffic is diverted; it goes once stable was seen to have all of it."""
    if decision.finalizer != "keep" or not situation.subject.finalized or situation.subject.deleting:
        return decision.finalizer
    traffic = status.traffic
    at_rest = traffic.desired_weight == traffic.applied_weight == 0 and traffic.applied_transition == status.transition
    return "remove" if at_rest else "keep"


def _next_look(situation: Situation, decision: Decision) -> datetime | None:
    """Return when time alone makes a further turn worth while; events of the cluster come on top."""
    status = decision.status
    if decision.next_look is not None:
        return decision.next_look
    if decision.event is not None:
        return situation.now
    if status.phase is Phase.SUSPENDED:
        return None
    looks = (_look_for_mending(situation, status), _look_for_progress(situation, decision))
    return min((look for look in looks if look is not None), default=None)


_UNDER_CHANGE: Final = frozenset({Phase.PROMOTING, Phase.ROLLING_BACK})


def _look_for_mending(situation: Situation, status: ModelRolloutStatus) -> datetime | None:
    refused = situation.problem is not None and not situation.subject.deleting and status.phase not in _UNDER_CHANGE
    return situation.now + MENDED_UNSEEN if refused else None


def _look_for_progress(situation: Situation, decision: Decision) -> datetime | None:
    status, route = decision.status, situation.world.route
    writable = route.problem is None or status.phase in _UNDER_CHANGE
    if decision.desired is not None and writable and not holds(route, decision.desired):
        return situation.now + RETRY_SOON
    if status.phase in LIVE and status.traffic.applied_at is not None:
        return _next_window(situation, status)
    return situation.now + 5 * RETRY_SOON if status.phase is Phase.VERIFYING else None


def _next_window(situation: Situation, status: ModelRolloutStatus) -> datetime | None:
    if status.traffic.applied_at is None:
        return None
    following = window(
        status.window.next,
        transition=status.transition,
        applied_at=status.traffic.applied_at,
        clockwork=situation.clockwork,
    )
    if situation.source_problem is not None:
        return max(following.due, situation.now + 2 * RETRY_SOON)
    return following.due
