"""What a turn sees, written into status: evidence and windows before any rule speaks, conditions after one did."""

from dataclasses import replace
from datetime import datetime

from controller.api.reasons import ConditionType, Phase, Reason
from controller.api.record import RecordedWindow
from controller.api.status import ModelRolloutStatus, Revision, WindowStatus
from controller.plan.acceptance import problem_with, route_name
from controller.plan.conditions import Fact, truth, with_facts
from controller.plan.desired import desired_world, fence_is, weights_are
from controller.plan.evidence import counts, describe, gating_names
from controller.plan.rules_outlook import margin_out_of_reach, with_outlook
from controller.plan.rules_verify import verified
from controller.plan.situation import Evidence, Situation
from controller.plan.transitions import LIVE, UNDER_WAY
from controller.plan.validity import doubt, holding
from controller.plan.verify.table import with_checks
from controller.plan.words import describe_missing_data, missing_rows


def refreshed(situation: Situation) -> Situation:
    """Return the situation with its status brought up to what was seen."""
    situation = replace(situation, problem=problem_with(situation))
    situation = replace(situation, status=_named(situation))
    situation = replace(situation, status=with_checks(situation))
    if situation.evidence is not None and situation.status.analysis is not None and situation.status.phase in LIVE:
        situation = replace(situation, status=_with_evidence(situation, situation.evidence))
        return with_outlook(situation)
    return situation


def concluded(situation: Situation, status: ModelRolloutStatus) -> ModelRolloutStatus:
    """Return a decided status with the answers that follow from it, so that one write tells the whole of a decision."""
    if status.backup is not None:
        status = status.model_copy(update={"backup": _backup(situation, status.backup)})
    situation = replace(situation, status=status)
    facts = (
        _accepted(situation),
        _traffic(situation),
        _data(situation),
        _backup_ready(situation),
        *verified(situation),
        *_outcome(situation),
    )
    return with_facts(status, facts, generation=situation.subject.generation, now=situation.now)


def _named(situation: Situation) -> ModelRolloutStatus:
    """Return the status with the model version that the spec gives the candidate now."""
    status, version = situation.status, situation.spec.model.version
    if status.candidate is None or status.candidate.model_version == version or status.phase not in UNDER_WAY:
        return status
    return status.model_copy(update={"candidate": status.candidate.model_copy(update={"model_version": version})})


def _with_evidence(situation: Situation, evidence: Evidence) -> ModelRolloutStatus:
    status, analysis = situation.status, situation.status.analysis
    if analysis is None:
        return status
    metrics = describe(evidence)
    observed = [w.observed_weight for w in evidence.windows if w.transition == status.transition and w.observed_weight]
    reachable = situation.world.route.reachable
    return status.model_copy(
        update={
            "window": _window_status(status, evidence),
            "analysis": analysis.model_copy(
                update={"verdict": evidence.trial.verdict, "validity": doubt(evidence), "metrics": metrics}
            ),
            "traffic": status.traffic.model_copy(
                update={
                    "observed_weight": observed[-1] if observed else status.traffic.observed_weight,
                    "reachable_weight": None if reachable is None else f"{reachable:.1f}",
                }
            ),
        }
    )


def _window_status(status: ModelRolloutStatus, evidence: Evidence) -> WindowStatus:
    gating = gating_names(evidence.frozen)
    counted = [window for window in evidence.windows if counts(window, gating)]
    current = [window for window in evidence.windows if window.transition == status.transition]
    return WindowStatus(
        number=len(evidence.windows),
        counted=len(counted),
        in_step=sum(1 for window in counted if window.transition == status.transition),
        next=max((window.number + 1 for window in current), default=0),
        last_counted_at=_last_counted(evidence.windows, gating),
    )


def _last_counted(windows: tuple[RecordedWindow, ...], gating: frozenset[str]) -> datetime | None:
    """Return the end of the newest window of the metric that was judged longest ago: the weakest one decides."""
    ends = [
        max((w.end for w in windows for row in w.rows if row.metric == name and row.skipped is None), default=None)
        for name in gating
    ]
    known = [end for end in ends if end is not None]
    return min(known) if known and len(known) == len(ends) else None


def _backup(situation: Situation, backup: Revision) -> Revision:
    live = situation.world.backup
    ready = live is not None and live.deployment == backup.deployment and live.hash == backup.hash and live.rolled_out
    return backup.model_copy(update={"ready": ready})


def _accepted(situation: Situation) -> Fact:
    problem, status = situation.problem, situation.status
    if problem is not None:
        return Fact(ConditionType.SPEC_ACCEPTED, "False", problem.reason, problem.message)
    if status.reason is Reason.MARGIN_NOT_RESOLVABLE:
        return Fact(ConditionType.SPEC_ACCEPTED, "False", status.reason, status.message)
    accepted = Fact(ConditionType.SPEC_ACCEPTED, "True", Reason.ACCEPTED, "The spec can be carried out")
    return margin_out_of_reach(situation) or accepted


def _traffic(situation: Situation) -> Fact:
    status, route = situation.status, situation.world.route
    desired, name = desired_world(situation, status), route_name(situation.spec)
    if desired is None:
        return Fact(ConditionType.TRAFFIC_APPLIED, "True", Reason.ACCEPTED, f"{name} was never changed")
    if not route.exists:
        return Fact(ConditionType.TRAFFIC_APPLIED, "False", Reason.ROUTE_MISSING, f"{name} does not exist")
    if not fence_is(route, desired):
        if route.fence is not None and route.fence.uid == desired.uid and route.fence.transition > desired.transition:
            message = f"{name} was written by transition {route.fence.transition}, newer than {desired.transition}"
            return Fact(ConditionType.TRAFFIC_APPLIED, "False", Reason.STALE_TRANSITION, message)
        message = f"{name} is to be set to {desired.weight} % (transition {desired.transition})"
        return Fact(ConditionType.TRAFFIC_APPLIED, "False", Reason.WEIGHT_PENDING, message)
    if not weights_are(route, desired):
        message = f"{name} was edited by someone else; {desired.weight} % for the candidate is being written again"
        return Fact(ConditionType.TRAFFIC_APPLIED, "False", Reason.ROUTE_EDITED, message)
    message = f"{name} holds transition {desired.transition}"
    return Fact(ConditionType.TRAFFIC_APPLIED, "True", Reason.WEIGHT_APPLIED, message)


def _data(situation: Situation) -> Fact:
    evidence, problem = situation.evidence, situation.source_problem
    live = situation.status.phase in LIVE
    if problem is not None and (live or situation.status.phase is Phase.VERIFYING):
        return Fact(ConditionType.DATA_AVAILABLE, "False", problem.reason, problem.message)
    if not live or evidence is None or not evidence.windows:
        return Fact(ConditionType.DATA_AVAILABLE, "Unknown", Reason.NO_WINDOW_YET, "No window was due yet")
    held = holding(evidence) if evidence.trial.invalid else None
    if held is not None:
        return Fact(ConditionType.DATA_AVAILABLE, "False", held.reason, held.message)
    missing = missing_rows(evidence)
    if missing and missing[0].skipped is not None:
        return Fact(ConditionType.DATA_AVAILABLE, "False", missing[0].skipped, describe_missing_data(situation))
    return Fact(ConditionType.DATA_AVAILABLE, "True", Reason.COUNTED, "The newest window was judged")


def _backup_ready(situation: Situation) -> Fact:
    status = situation.status
    backup = status.backup
    if backup is None:
        return Fact(ConditionType.BACKUP_READY, "False", Reason.NO_BACKUP_YET, "Nothing was promoted yet")
    if status.candidate is not None and status.candidate.deployment == backup.deployment:
        message = (
            f"Deployment {backup.deployment}, which held the backup, is the candidate now; stable is what it returns to"
        )
        return Fact(ConditionType.BACKUP_READY, "False", Reason.BACKUP_REPLACED, message)
    live = situation.world.backup
    if live is None or live.hash != backup.hash:
        found = "is gone" if live is None else f"changed from {backup.hash} to {live.hash}"
        return Fact(
            ConditionType.BACKUP_READY, "False", Reason.BACKUP_REPLACED, f"Deployment {backup.deployment} {found}"
        )
    if not backup.ready:
        message = f"Deployment {backup.deployment} has {live.ready} of {live.replicas} pods ready"
        return Fact(ConditionType.BACKUP_READY, "False", Reason.BACKUP_NOT_READY, message)
    return Fact(ConditionType.BACKUP_READY, "True", Reason.BACKUP_WARM, f"{backup.deployment} is warm")


def _outcome(situation: Situation) -> tuple[Fact, ...]:
    """Promoted and RolledBack speak of the newest epoch: false until it ends, then what it ended with."""
    status = situation.status
    if status.condition(ConditionType.PROMOTED) is not None:
        return ()
    message = "No epoch has ended yet"
    return (
        Fact(ConditionType.PROMOTED, truth(value=False), Reason.NO_CANDIDATE, message),
        Fact(ConditionType.ROLLED_BACK, truth(value=False), Reason.NO_CANDIDATE, message),
    )
