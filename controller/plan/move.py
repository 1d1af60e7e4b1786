"""How a decision is written down: one event through the table, or none and only what is being waited for."""

from datetime import datetime, timedelta
from typing import Any, Literal

from controller.api.reasons import Phase, Reason
from controller.api.record import RecordedDecision
from controller.api.status import ModelRolloutStatus
from controller.plan.situation import Announcement, Decision, Situation
from controller.plan.transitions import HOLDING, Event, lookup

RETRY_SOON = timedelta(seconds=1)
"""When the cluster sends no event for what is waited for."""

MENDED_UNSEEN = timedelta(seconds=30)
"""When to look again at what stands against a spec: autoscalers, other people's pods and traffic send no event."""


def move(
    situation: Situation,
    event: Event,
    *,
    reason: Reason,
    message: str,
    weight: int | None = None,
    kind: Literal["Normal", "Warning"] = "Normal",
    told: tuple[Reason, str] | None = None,
    changes: dict[str, Any] | None = None,
    **decision: Any,
) -> Decision:
    """Carry out one event: phase from the table, ``weight`` as a new transition, ``changes`` to the status.

    Every move is announced as a Kubernetes event (as ``told``, where status says something else) and noted in the
    record.
    """
    before = situation.status
    line = lookup(before.phase, event)
    update: dict[str, Any] = {
        "phase": line.target if line.target is not None else before.phase,
        "reason": reason,
        "message": message[:1024],
        **(changes or {}),
    }
    after = _deadline_kept(before, before.model_copy(update=update))
    if weight is not None:
        after = diverted(after, weight)
    return Decision(
        status=after,
        event=event,
        announcements=(Announcement(kind, *(told or (reason, message))),),
        note=_noted(after, at=situation.now, reason=reason, message=message[:1024]),
        **decision,
    )


def _noted(after: ModelRolloutStatus, *, at: datetime, reason: Reason, message: str) -> RecordedDecision:
    """Return the decision as the record keeps it."""
    return RecordedDecision(
        transition=after.transition,
        at=at,
        phase=str(after.phase),
        weight=after.traffic.desired_weight,
        reason=reason,
        message=message,
    )


def _deadline_kept(before: ModelRolloutStatus, after: ModelRolloutStatus) -> ModelRolloutStatus:
    """Stop the deadline while the weight is held: windows that are judged meanwhile do not count for it."""
    analysis, counted = after.analysis, after.window.counted
    if analysis is None or before.analysis is None or before.epoch != after.epoch:
        return after
    if before.phase is Phase.PROGRESSING and after.phase in HOLDING:
        update = {"held_at": counted}
    elif before.phase in HOLDING and after.phase is Phase.PROGRESSING:
        # A person's resume has set it to the present already.
        update = {"deadline_from": min(counted, analysis.deadline_from + counted - analysis.held_at)}
    else:
        return after
    return after.model_copy(update={"analysis": analysis.model_copy(update=update)})


def diverted(status: ModelRolloutStatus, weight: int) -> ModelRolloutStatus:
    """Return the status with one more transition, to ``weight``; its windows count from the beginning."""
    return status.model_copy(
        update={
            "transition": status.transition + 1,
            "traffic": status.traffic.model_copy(update={"desired_weight": weight}),
            "window": status.window.model_copy(update={"in_step": 0, "next": 0}),
        }
    )


def wait(
    situation: Situation,
    reason: Reason,
    message: str,
    *,
    look: datetime | None = None,
) -> Decision:
    """Stay where we are and say what is waited for."""
    status = situation.status.model_copy(update={"reason": reason, "message": message[:1024]})
    return Decision(status=status, next_look=look)
