"""The rules that come first: deletion, suspension, harm, and what changed under the rollout.

Each is a pure function of the situation that returns a decision, or None to let the next rule speak.
"""

from datetime import timedelta

from controller.api.reasons import Phase, Reason
from controller.api.status import RedFlag
from controller.api.verdicts import Verdict
from controller.plan.desired import desired_world, weights_are
from controller.plan.epoch import begin_epoch, candidate_revision, frozen_hash, with_rejection
from controller.plan.label_lag import known_labels, maturity
from controller.plan.move import RETRY_SOON, move, wait
from controller.plan.redflags import red_flag
from controller.plan.situation import Decision, Situation
from controller.plan.transitions import LIVE, Event, allowed
from controller.plan.words import describe_worse


def deletion(situation: Situation) -> Decision | None:
    """Put traffic back to stable, then let the object go. Needs no record, so terminating namespaces are no trap."""
    subject, status = situation.subject, situation.status
    if not subject.deleting:
        return None
    if not subject.finalized:
        return Decision(status=status)
    if not is_diverted(situation) or not _returnable(situation):
        return Decision(status=status, finalizer="remove")
    if status.phase is Phase.ROLLING_BACK:
        return wait(situation, Reason.DELETED, "Returning all requests to stable before the object goes")
    message = f"ModelRollout deleted at {status.traffic.applied_weight} %: returning all requests to stable"
    return move(situation, Event.DELETION_BEGAN, reason=Reason.DELETED, message=message, weight=0, closes="Withdrawn")


def _returnable(situation: Situation) -> bool:
    """Whether requests can be given back: not without the route, nor where it belongs to an older rollout by now.

    A Service cannot be made to pick the pods of a stable that is gone, either; an HTTPRoute can, its Service may live.
    """
    world = situation.world
    stable_can_be_picked = world.stable is not None or situation.spec.traffic.service is None
    return world.route.exists and not world.rivals and stable_can_be_picked


def is_diverted(situation: Situation) -> bool:
    """Whether some requests may go, or may have been meant to go, to the candidate."""
    desired = desired_world(situation, situation.status)
    if desired is None:
        return False
    return desired.weight > 0 or not weights_are(situation.world.route, desired)


def suspension(situation: Situation) -> Decision | None:
    """Act on nothing while ``spec.suspend`` is set."""
    status = situation.status
    suspended = status.phase is Phase.SUSPENDED
    if situation.spec.suspend and not suspended:
        message = f"Suspended by spec.suspend; {status.traffic.applied_weight} % of requests stay on the candidate"
        return move(
            situation,
            Event.SUSPEND_SET,
            reason=Reason.ROLLOUT_SUSPENDED,
            message=message,
            changes={"held_from": status.phase},
        )
    if situation.spec.suspend:
        return Decision(status=status)
    if suspended:
        return move(
            situation,
            Event.SUSPEND_CLEARED,
            reason=Reason.ACCEPTED,
            message="spec.suspend was cleared; going on where the rollout stood",
            changes={"phase": status.held_from, "held_from": None},
        )
    return None


def harm(situation: Situation) -> Decision | None:
    """Red flags first, then the judge's *worse*: back to stable at once, and the revision is rejected."""
    status = situation.status
    if status.phase not in LIVE | {Phase.PROMOTING} or status.candidate is None:
        return None
    flag = red_flag(situation)
    if flag is not None:
        return _roll_back(
            situation,
            flag.reason,
            flag.message,
            flags=(RedFlag(reason=flag.reason, message=flag.message[:1024], at=situation.now),),
        )
    if situation.evidence is not None and situation.evidence.trial.verdict is Verdict.WORSE:
        return _roll_back(situation, Reason.JUDGED_WORSE, describe_worse(situation.evidence), flags=())
    return None


def _roll_back(situation: Situation, reason: Reason, why: str, *, flags: tuple[RedFlag, ...]) -> Decision:
    status = situation.status
    name = status.candidate.deployment if status.candidate else "the candidate"
    return move(
        situation,
        Event.HARM_FOUND,
        reason=reason,
        message=f"{why}; returning all requests from {name} to stable",
        weight=0,
        kind="Warning",
        changes={"red_flags": flags, "rejected": with_rejection(status, reason)},
    )


def candidate_unfit(situation: Situation) -> Decision | None:
    """Withdraw from a candidate that is gone or has not one ready pod: its share of the requests would fail."""
    status, candidate = situation.status, situation.world.candidate
    if status.phase not in LIVE or status.candidate is None:
        return None
    if candidate is None or candidate.ready > 0:
        return None
    message = f"Deployment {candidate.deployment} has no ready pod; returning all requests to stable"
    return move(
        situation, Event.WITHDRAWN, reason=Reason.CANDIDATE_NOT_READY, message=message, weight=0, kind="Warning"
    )


def candidate_removed(situation: Situation) -> Decision | None:
    """The spec names no candidate any more, or its Deployment is gone."""
    status, spec = situation.status, situation.spec
    if status.candidate is None or status.phase not in LIVE | {Phase.VERIFYING, Phase.ROLLED_BACK}:
        return None
    named = spec.candidate is not None and (
        status.stable is None or spec.candidate.deployment != status.stable.deployment
    )
    if named and (situation.world.candidate is not None or status.phase is Phase.ROLLED_BACK):
        return None
    why = "Deployment of the candidate is gone" if named else "spec names no candidate other than stable"
    at_rest = status.phase is Phase.ROLLED_BACK
    return move(
        situation,
        Event.CANDIDATE_REMOVED,
        reason=Reason.CANDIDATE_GONE,
        message=f"{why}; all requests go to stable",
        weight=None if at_rest else 0,
        changes={"candidate": None} if at_rest else {},
    )


def candidate_changed(situation: Situation) -> Decision | None:
    """Another template or Deployment in mid-rollout: a new epoch from step 0."""
    status, revision = situation.status, candidate_revision(situation)
    if status.phase not in LIVE | {Phase.VERIFYING} or status.candidate is None or revision is None:
        return None
    other_arm = (revision.deployment, revision.service) != (status.candidate.deployment, status.candidate.service)
    if revision.same_as(status.candidate) and not other_arm:
        return None
    if other_arm and status.traffic.desired_weight > 0:
        # The old candidate must be seen without requests before the route is written for another one.
        message = (
            f"The candidate is now {revision.deployment}; returning all requests from {status.candidate.deployment}"
        )
        return move(situation, Event.WITHDRAWN, reason=Reason.CANDIDATE_CHANGED, message=message, weight=0)
    message = (
        f"Candidate changed from {status.candidate.deployment}/{status.candidate.hash} to "
        f"{revision.deployment}/{revision.hash}: epoch {status.epoch + 1} begins from step 0"
    )
    return _restart(situation, Reason.CANDIDATE_CHANGED, message)


def analysis_edited(situation: Situation) -> Decision | None:
    """Analysis, steps, interval and harm budget are frozen: an edit begins a new epoch, at a stricter error bound."""
    status = situation.status
    if status.phase not in LIVE | {Phase.VERIFYING} or status.analysis is None:
        return None
    if status.analysis.frozen == frozen_hash(situation.spec):
        return None
    message = (
        f"analysis, or strategy.steps, interval or harmBudget, was edited: epoch {status.epoch + 1} begins from step 0"
    )
    return _restart(situation, Reason.ANALYSIS_EDITED, message)


def record_lost(situation: Situation) -> Decision | None:
    """Somebody deleted the record: without its frozen analysis nothing can be judged, so a new epoch begins."""
    status = situation.status
    if status.phase not in LIVE or status.analysis is None or situation.evidence is not None:
        return None
    message = f"The RolloutRecord of epoch {status.epoch} is gone: epoch {status.epoch + 1} begins from step 0"
    return _restart(situation, Reason.RECORD_LOST, message)


def _restart(situation: Situation, reason: Reason, message: str) -> Decision:
    revision = candidate_revision(situation)
    if revision is None:
        return wait(situation, reason, message, look=situation.now + RETRY_SOON)
    diverted = situation.status.traffic.desired_weight > 0
    return move(
        situation,
        Event.EPOCH_RESTARTED,
        reason=reason,
        message=message,
        weight=0 if diverted else None,
        changes=begin_epoch(situation, revision),
        closes="Superseded",
    )


def stable_changed(situation: Situation) -> Decision | None:
    """Stable's template was changed by others: hold the weight; nothing can be compared until it returns."""
    status, live = situation.status, situation.world.stable
    if status.phase not in LIVE | {Phase.VERIFYING} or status.stable is None or live is None:
        return None
    if live.hash == status.stable.hash:
        return None
    if status.phase is Phase.VERIFYING:
        message = f"Stable {live.deployment} changed to {live.hash} before any request was diverted: a new epoch begins"
        return _restart(situation, Reason.STABLE_CHANGED, message)
    message = (
        f"Deployment {live.deployment}, which is stable, changed from {status.stable.hash} to {live.hash}; the weight "
        "is held until it returns, or request retry for a new epoch against it"
    )
    return stall(situation, Reason.STABLE_CHANGED, message)


def spec_refused(situation: Situation) -> Decision | None:
    """What only the cluster can tell stands against the spec: hold, and say what to mend."""
    problem, phase = situation.problem, situation.status.phase
    if problem is None or phase in (Phase.ROLLING_BACK, Phase.PROMOTING):
        return None
    return stall(situation, problem.reason, problem.message)


def stall(situation: Situation, reason: Reason, message: str) -> Decision:
    """Hold the weight and say why; phases that serve nobody, or are held already, only say it."""
    if allowed(situation.status.phase, Event.STALL_BEGAN) and situation.status.phase is not Phase.STALLED:
        return move(situation, Event.STALL_BEGAN, reason=reason, message=message, kind="Warning")
    return wait(situation, reason, message)


_MENDED_BY_PERSON = frozenset({Reason.DEADLINE_PASSED})


def stall_over(situation: Situation) -> Decision | None:
    """Go on when the cause of a stall is gone; a deadline only ends by a person's word."""
    status = situation.status
    if status.phase is not Phase.STALLED or status.reason in _MENDED_BY_PERSON or status.stable is None:
        return None
    if status.reason is Reason.DATA_TIMED_OUT and data_timed_out(situation):
        return None
    message = f"{status.reason} is over; going on at {status.traffic.applied_weight} %"
    return move(situation, Event.STALL_ENDED, reason=Reason.GATHERING_EVIDENCE, message=message)


def data_timed_out(situation: Situation) -> bool:
    """Whether no window could be judged for ``dataTimeout``, beyond what labels take to come.

    Known once every due window was looked at, or when Prometheus was asked and did not answer.
    """
    status = situation.status
    since = max(
        (moment for moment in (status.traffic.applied_at, status.window.last_counted_at) if moment), default=None
    )
    pending = situation.evidence is not None and not situation.evidence.caught_up
    if since is None or (pending and situation.source_problem is None):
        return False
    return situation.now - since >= situation.spec.strategy.data_timeout + _labels_take(situation)


_COHORTS_UNTIL_RIPE = 3
"""After a change of the weight: at most one until the first begins, itself, and as long again for its labels."""


def _labels_take(situation: Situation) -> timedelta:
    """Return for how long a metric that decides may have nothing to judge, because labels come late."""
    known = {} if situation.evidence is None else known_labels(situation.evidence.frozen)
    delays = [
        max(
            (metric.label_delay or timedelta(0)) * (_COHORTS_UNTIL_RIPE if metric.cohort else 1),
            maturity(known.get(metric.name)),
        )
        for metric in situation.spec.analysis.metrics
        if metric.role.gating
    ]
    return max(delays, default=timedelta(0))
