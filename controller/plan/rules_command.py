"""Commands of people: each request is answered once, in ``status.lastRequest``."""

from collections.abc import Callable
from typing import Final

from controller.api.command import Command, parse_command
from controller.api.reasons import Action, Phase, Reason
from controller.api.status import LastRequest, ModelRolloutStatus
from controller.plan.desired import capacity_needed, scaled_by_operator
from controller.plan.epoch import begin_epoch, candidate_revision, without_rejection
from controller.plan.move import move
from controller.plan.situation import Announcement, Decision, Situation
from controller.plan.transitions import Event, allowed

Handler = Callable[[Situation, Command, str], "Decision | str"]


def command(situation: Situation) -> Decision | None:
    """Answer a new request: carry it out, or refuse it and say why."""
    annotation, last = situation.subject.request, situation.status.last_request
    if annotation is None:
        return None
    try:
        asked = parse_command(annotation)
    except ValueError as error:
        return None if last is not None and last.message == str(error) else _refuse(situation, None, str(error))
    if last is not None and last.id == asked.id:
        return None
    return _answer(situation, asked)


def _answer(situation: Situation, asked: Command) -> Decision:
    epoch = situation.status.epoch
    if asked.epoch != epoch:
        return _refuse(situation, asked, f"the request is for epoch {asked.epoch}, the present one is {epoch}")
    by = f" ({asked.reason})" if asked.reason else ""
    result = _HANDLERS[asked.action](situation, asked, by)
    if isinstance(result, str):
        return _refuse(situation, asked, result)
    answer = LastRequest(
        id=asked.id, action=asked.action, accepted=True, message=result.status.message, at=situation.now
    )
    status = result.status.model_copy(update={"last_request": answer})
    return Decision(
        status=status,
        event=result.event,
        announcements=(
            Announcement("Normal", Reason.REQUEST_ACCEPTED, f"{asked.action} was requested{by}"),
            *result.announcements,
        ),
        note=result.note,
        closes=result.closes,
    )


def _refuse(situation: Situation, asked: Command | None, why: str) -> Decision:
    answer = LastRequest(
        id=asked.id if asked else "",
        action=asked.action if asked else None,
        accepted=False,
        message=why[:1024],
        at=situation.now,
    )
    status = situation.status.model_copy(update={"last_request": answer})
    name = asked.action if asked else "a request"
    told = Announcement("Warning", Reason.REQUEST_REFUSED, f"{name}: {why}")
    # The refusal took the turn of whatever would have gone on by itself.
    return Decision(status=status, announcements=(told,), next_look=situation.now)


def _promote(situation: Situation, _: Command, by: str) -> Decision | str:
    status, stable, candidate = situation.status, situation.world.stable, situation.world.candidate
    if not allowed(status.phase, Event.PROMOTION_DECIDED):
        return _not_in(status, "promote")
    if stable is None or candidate is None:
        return "promote needs both Deployments, stable's and the candidate's"
    if not scaled_by_operator(situation.spec) and candidate.ready < capacity_needed(100, stable):
        needed = capacity_needed(100, stable)
        return f"promote needs {needed} ready pods of the candidate, found {candidate.ready}"
    message = f"Promotion was requested{by}: all requests go to {candidate.deployment}"
    return move(situation, Event.PROMOTION_DECIDED, reason=Reason.REQUESTED, message=message, weight=100)


def _abort(situation: Situation, _: Command, by: str) -> Decision | str:
    if not allowed(situation.status.phase, Event.WITHDRAWN):
        return _not_in(situation.status, "abort")
    message = f"Abort was requested{by}: returning all requests to stable"
    return move(situation, Event.WITHDRAWN, reason=Reason.REQUESTED, message=message, weight=0)


def _retry(situation: Situation, _: Command, by: str) -> Decision | str:
    status, revision = situation.status, candidate_revision(situation)
    if not allowed(status.phase, Event.RETRY_REQUESTED):
        return _not_in(status, "retry")
    if revision is None:
        return "retry needs a candidate: spec.candidate must name a Deployment other than stable"
    changes = begin_epoch(situation, revision) | {"rejected": without_rejection(status, revision)}
    return move(
        situation,
        Event.RETRY_REQUESTED,
        reason=Reason.REQUESTED,
        message=f"Retry was requested{by}: epoch {status.epoch + 1} begins for {revision.deployment}/{revision.hash}",
        weight=0 if status.traffic.desired_weight > 0 else None,
        changes=changes,
        closes="Superseded" if status.phase not in (Phase.IDLE, Phase.ROLLED_BACK) else None,
    )


def _pause(situation: Situation, _: Command, by: str) -> Decision | str:
    status = situation.status
    if not allowed(status.phase, Event.PAUSE_REQUESTED):
        return _not_in(status, "pause")
    message = f"Paused{by} at {status.traffic.desired_weight} %; red flags and Worse still act"
    return move(situation, Event.PAUSE_REQUESTED, reason=Reason.REQUESTED, message=message)


def _resume(situation: Situation, _: Command, by: str) -> Decision | str:
    status = situation.status
    if not allowed(status.phase, Event.RESUME_REQUESTED) or status.analysis is None:
        return _not_in(status, "resume")
    analysis = status.analysis.model_copy(update={"deadline_from": status.window.counted})
    return move(
        situation,
        Event.RESUME_REQUESTED,
        reason=Reason.REQUESTED,
        message=f"Resumed{by} at {status.traffic.desired_weight} %; the deadline starts anew",
        changes={"analysis": analysis},
    )


def _drill(_: Situation, __: Command, ___: str) -> Decision | str:
    return "drill is not supported yet"


def _not_in(status: ModelRolloutStatus, what: str) -> str:
    return f"{what} is not possible in phase {status.phase}"


_HANDLERS: Final[dict[Action, Handler]] = {
    Action.PROMOTE: _promote,
    Action.ABORT: _abort,
    Action.RETRY: _retry,
    Action.PAUSE: _pause,
    Action.RESUME: _resume,
    Action.DRILL: _drill,
}
