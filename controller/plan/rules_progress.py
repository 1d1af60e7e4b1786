"""The rules of a rollout that goes well or must wait: verify, step, promote, rest."""

from dataclasses import replace

from controller.api.reasons import ConditionType, Phase, Reason
from controller.api.record import FrozenAnalysis
from controller.api.scalars import format_duration
from controller.api.spec import Approval, OnNoData, OnUndecided
from controller.api.status import AnalysisStatus
from controller.plan.calibration import describe_overall
from controller.plan.desired import capacity_for, scaled_by_operator
from controller.plan.epoch import (
    begin_epoch,
    candidate_revision,
    first_page,
    is_rejected,
    next_epoch,
)
from controller.plan.evidence import unproven_metrics
from controller.plan.freeze import freeze
from controller.plan.label_lag import immature
from controller.plan.move import MENDED_UNSEEN, RETRY_SOON, move, wait
from controller.plan.rules_outlook import out_of_reach, warned_of_margin, with_resolution
from controller.plan.rules_safety import data_timed_out, stall
from controller.plan.rules_verify import finished, hindered, proof, unverified
from controller.plan.situation import Decision, Evidence, Situation
from controller.plan.transitions import Event
from controller.plan.words import describe_missing_data, describe_not_worse, describe_progress
from controller.plan.world import Problem


def stable_adopted(situation: Situation) -> Decision | None:
    """At rest, a stable that its owner changed is adopted as soon as it is rolled out."""
    status, live = situation.status, situation.world.stable
    if status.phase not in (Phase.IDLE, Phase.ROLLED_BACK) or status.stable is None or live is None:
        return None
    if live.hash == status.stable.hash or not live.rolled_out:
        return None
    message = f"Stable {live.deployment} changed from {status.stable.hash} to {live.hash}; adopted"
    changed = status.stable.model_copy(update={"hash": live.hash, "images": live.images})
    return move(
        situation, Event.STABLE_ADOPTED, reason=Reason.STABLE_ADOPTED, message=message, changes={"stable": changed}
    )


_TOLD = frozenset({Reason.PROMOTED, Reason.NO_CANDIDATE, Reason.CANDIDATE_GONE})
"""Reasons whose message stays until something else happens."""


def candidate_found(situation: Situation) -> Decision | None:
    """At rest: begin an epoch for a candidate that was not tried, and say why not for the others."""
    status, revision = situation.status, candidate_revision(situation)
    if status.phase not in (Phase.IDLE, Phase.ROLLED_BACK):
        return None
    if revision is None and status.phase is Phase.IDLE and status.reason in _TOLD:
        return Decision(status=status)
    if revision is None:
        stable = status.stable.deployment if status.stable else "stable"
        return wait(
            situation, Reason.NO_CANDIDATE, f"{stable} serves; set spec.candidate.deployment to roll out another"
        )
    rejected = is_rejected(status, revision)
    if rejected is not None:
        return _not_again(
            situation,
            f"{revision.deployment}/{revision.hash} was rejected in epoch {rejected.epoch} "
            f"({rejected.reason}); change it or request retry",
        )
    if status.phase is Phase.ROLLED_BACK and revision.same_as(status.candidate):
        return _not_again(situation, status.message)
    message = (
        f"Epoch {next_epoch(situation)}: preparing {revision.deployment}/{revision.hash} beside {_stable(situation)}"
    )
    return move(
        situation,
        Event.CANDIDATE_FOUND,
        reason=Reason.CANDIDATE_STARTED,
        message=message,
        changes=begin_epoch(situation, revision),
    )


def _not_again(situation: Situation, message: str) -> Decision:
    """Stay at rest; after a roll-back its own sentence stands, also when something else had to be said meanwhile."""
    status = situation.status
    if status.phase is not Phase.ROLLED_BACK:
        return wait(situation, Reason.CANDIDATE_REJECTED, message)
    told = status.condition(ConditionType.ROLLED_BACK)
    return Decision(status=status) if told is None else wait(situation, told.reason, told.message)


def _stable(situation: Situation) -> str:
    return situation.status.stable.deployment if situation.status.stable else "stable"


def candidate_ready(situation: Situation) -> Decision | None:
    """Divert the first requests when the candidate is rolled out, has the capacity, and can be judged."""
    status, world = situation.status, situation.world
    if status.phase is not Phase.VERIFYING or world.candidate is None or world.stable is None:
        return None
    weight = situation.spec.strategy.steps[0]
    pending = hindered(situation) or _unprepared(situation, weight) or unverified(situation)
    if pending is not None:
        return pending
    situation = finished(situation)
    if situation.history is None:
        problem = situation.source_problem or Problem(Reason.PROMETHEUS_UNREACHABLE, "Prometheus was not asked yet")
        message = f"No request is diverted before it can be judged: {problem.message}"
        return wait(situation, problem.reason, message, look=situation.now + 5 * RETRY_SOON)
    frozen = freeze(situation, situation.history)
    if isinstance(frozen, Problem):
        look = situation.now + min(situation.clockwork.interval, MENDED_UNSEEN)
        return wait(situation, frozen.reason, frozen.message, look=look)
    steps = situation.spec.strategy.steps
    message = (
        f"Step 1/{len(steps)}: moving {weight} % of requests from {_stable(situation)} to {world.candidate.deployment}"
    )
    analysis = _calibrated(status.analysis, frozen)
    decision = move(
        situation,
        Event.CANDIDATE_READY,
        reason=Reason.STEP_ADVANCED,
        message=message,
        weight=weight,
        changes={
            "step": f"1/{len(steps)}",
            "step_index": 1,
            "analysis": analysis and with_resolution(situation, analysis, frozen),
        },
        finalizer="add",
        opens=first_page(situation, frozen),
    )
    decision = replace(decision, announcements=(*proof(situation), *decision.announcements))
    return warned_of_margin(situation, decision)


def _unprepared(situation: Situation, weight: int) -> Decision | None:
    """Wait while the candidate is not rolled out, or has too few pods for the weight."""
    if situation.world.candidate is None or not situation.world.candidate.rolled_out:
        return wait(situation, Reason.CANDIDATE_NOT_READY, _not_ready(situation))
    missing = _capacity_missing(situation, weight)
    return None if missing is None else wait(situation, Reason.CAPACITY_MISSING, missing)


def _calibrated(analysis: AnalysisStatus | None, frozen: FrozenAnalysis) -> AnalysisStatus | None:
    return analysis and analysis.model_copy(update={"calibration": describe_overall(frozen)})


def _not_ready(situation: Situation) -> str:
    candidate = situation.world.candidate
    if candidate is None:
        return "the candidate does not exist"
    trouble = next((pod.trouble.message for pod in situation.world.candidate_pods if pod.trouble), None)
    hint = f": {trouble}" if trouble else "; see kubectl describe deployment " + candidate.deployment
    return f"Waiting for {candidate.deployment}: {candidate.ready} of {candidate.replicas} pods are ready{hint}"


def _capacity_missing(situation: Situation, weight: int) -> str | None:
    """Say which pods are missing for a weight, where the user sizes the candidate."""
    stable, candidate = situation.world.stable, situation.world.candidate
    if stable is None or candidate is None or scaled_by_operator(situation.spec):
        return None
    needed = capacity_for(situation.spec, weight, stable)
    if candidate.ready >= needed:
        return None
    return (
        f"{weight} % of requests needs {needed} ready pods of {candidate.deployment} (stable has {stable.ready}), "
        f"found {candidate.ready}; scale it up or set spec.candidate.scale to ByWeight"
    )


def no_data(situation: Situation) -> Decision | None:
    """After ``dataTimeout`` without a judged window the policy acts; silence itself never judges."""
    if situation.status.phase is not Phase.PROGRESSING or not data_timed_out(situation):
        return None
    timeout = format_duration(situation.spec.strategy.data_timeout)
    message = f"No window could be judged for {timeout}: {describe_missing_data(situation)}"
    if situation.spec.strategy.on_no_data is OnNoData.WITHDRAW:
        return move(
            situation,
            Event.WITHDRAWN,
            reason=Reason.DATA_TIMED_OUT,
            message=f"{message}; returning all requests to stable",
            weight=0,
            kind="Warning",
        )
    return stall(situation, Reason.DATA_TIMED_OUT, message)


def promotable(situation: Situation, evidence: Evidence) -> bool:
    """Whether the evidence allows a promotion now; a zero that no series ever showed allows none.

    ``minRequests`` is taken from the spec as it stands, because it is no part of the evidence.
    """
    trial = replace(evidence.trial, min_requests=situation.spec.strategy.min_requests)
    proven = trial.worse_at is None and trial.not_worse_now and not unproven_metrics(evidence)
    return proven and immature(evidence) is None


def progress(situation: Situation) -> Decision | None:
    """In Progressing: promote, step or wait, and keep the deadline."""
    status, evidence = situation.status, situation.evidence
    if status.phase is not Phase.PROGRESSING or evidence is None:
        return None
    if not evidence.caught_up:
        # Windows that could not be asked for are asked for again when the next one is due. Others soon, but not at
        # once: what could not be recorded must not be tried without a pause.
        look = situation.now + RETRY_SOON if situation.source_problem is None else None
        return wait(situation, Reason.GATHERING_EVIDENCE, describe_progress(situation), look=look)
    if status.window.in_step >= situation.spec.strategy.min_windows:
        onward = _onward(situation, evidence)
        if onward is not None:
            return onward
    judged = (status.window.counted - _deadline_from(situation)) * evidence.frozen.interval
    if judged >= situation.spec.strategy.deadline:
        return _deadline(situation)
    return out_of_reach(situation) or wait(situation, Reason.GATHERING_EVIDENCE, describe_progress(situation))


def _onward(situation: Situation, evidence: Evidence) -> Decision | None:
    """From a step that has its windows: to the next one, or from the last to the promotion, or what is in the way."""
    if situation.status.step_index < len(evidence.frozen.steps):
        return _advance(situation, evidence) if _may_advance(situation, evidence) else None
    if promotable(situation, evidence):
        return _promote(situation)
    obstacle = _in_the_way(situation, evidence)
    return None if obstacle is None else wait(situation, obstacle.reason, obstacle.message)


def _in_the_way(situation: Situation, evidence: Evidence) -> Problem | None:
    """Say what keeps a model that looks good from its promotion, where more of the same windows would not help."""
    noisy = next((each.test for each in evidence.trial.gating if each.test.promotion_margin == 0.0), None)
    if noisy is not None:
        return Problem(
            Reason.NOISE_ABOVE_MARGIN,
            f"{noisy.name}: pods of stable differ among themselves by more than the margin, so nothing is promoted by "
            "itself (noise: Strict); request promote, run more pods, or set noise: Widen",
        )
    unproven = unproven_metrics(evidence)
    if unproven and evidence.trial.not_worse_now:
        name, hint = unproven[0], evidence.hints.get(unproven[0])
        exist = f" ({hint})" if hint else ""
        return Problem(
            Reason.BAD_SERIES_NEVER_SEEN,
            f"{name}: no series ever matched its bad selector{exist}, so its zero proves nothing; mend the selector or "
            "set allowAbsent",
        )
    if evidence.trial.not_worse_now and (young := immature(evidence)) is not None:
        return young
    for each in evidence.trial.gating:
        fewest, needed = min(each.requests.stable, each.requests.candidate), situation.spec.strategy.min_requests
        if each.not_worse_now and fewest < needed:
            return Problem(
                Reason.TOO_FEW_REQUESTS,
                f"{each.test.name}: not worse, but only {fewest:.0f} of strategy.minRequests {needed} were judged",
            )
    return None


def _may_advance(situation: Situation, evidence: Evidence) -> bool:
    following = evidence.frozen.steps[situation.status.step_index]
    return evidence.trial.may_enter(following, advance=situation.spec.strategy.advance)


def _deadline_from(situation: Situation) -> int:
    return situation.status.analysis.deadline_from if situation.status.analysis else 0


def _advance(situation: Situation, evidence: Evidence) -> Decision:
    index, steps = situation.status.step_index, evidence.frozen.steps
    weight = steps[index]
    missing = _capacity_missing(situation, weight)
    if missing is not None:
        return wait(situation, Reason.CAPACITY_MISSING, missing)
    return move(
        situation,
        Event.STEP_PASSED,
        reason=Reason.STEP_ADVANCED,
        message=f"Step {index + 1}/{len(steps)}: {steps[index - 1]} % to {weight} %. {describe_progress(situation)}",
        weight=weight,
        changes={"step": f"{index + 1}/{len(steps)}", "step_index": index + 1},
    )


def _promote(situation: Situation) -> Decision:
    missing = _capacity_missing(situation, 100)
    if missing is not None:
        return wait(situation, Reason.CAPACITY_MISSING, missing)
    why = describe_not_worse(situation)
    if situation.spec.strategy.approval is Approval.MANUAL:
        message = f"{why}; request promote to go on, or abort"
        return move(situation, Event.APPROVAL_NEEDED, reason=Reason.APPROVAL_REQUIRED, message=message)
    return _promotion(situation, Reason.NOT_WORSE, why)


def _promotion(situation: Situation, reason: Reason, why: str) -> Decision:
    name = situation.status.candidate.deployment if situation.status.candidate else "the candidate"
    message = f"{why}; moving all requests to {name}"
    return move(situation, Event.PROMOTION_DECIDED, reason=reason, message=message, weight=100)


def _deadline(situation: Situation) -> Decision:
    strategy, weight = situation.spec.strategy, situation.status.traffic.applied_weight
    passed = f"Undecided after {format_duration(strategy.deadline)} of judged time"
    if strategy.on_undecided is OnUndecided.PROMOTE:
        missing = _capacity_missing(situation, 100)
        if missing is not None:
            return wait(situation, Reason.CAPACITY_MISSING, missing)
        return _promotion(situation, Reason.DEADLINE_PASSED, passed)
    if strategy.on_undecided is OnUndecided.WITHDRAW:
        message = f"{passed}; returning all requests to stable"
        return move(situation, Event.WITHDRAWN, reason=Reason.DEADLINE_PASSED, message=message, weight=0)
    return stall(
        situation,
        Reason.DEADLINE_PASSED,
        f"{passed}; holding {weight} %: request promote, abort, or resume (the deadline starts anew)",
    )


def paused(situation: Situation) -> Decision | None:
    """While a person holds the weight: say so again once nothing else stands in the way."""
    status = situation.status
    if status.phase is not Phase.PAUSED or status.reason is Reason.REQUESTED:
        return None
    message = f"Paused at {status.traffic.applied_weight} %; red flags and Worse still act; request resume to go on"
    return wait(situation, Reason.REQUESTED, message)


def approval(situation: Situation) -> Decision | None:
    """While a person is asked: go back when the evidence no longer suffices, or approval is no longer wanted."""
    status, evidence = situation.status, situation.evidence
    if status.phase is not Phase.AWAITING_APPROVAL or evidence is None:
        return None
    manual = situation.spec.strategy.approval is Approval.MANUAL
    if manual and promotable(situation, evidence):
        return wait(situation, Reason.APPROVAL_REQUIRED, f"{describe_not_worse(situation)}; request promote, or abort")
    message = "The evidence no longer suffices for a promotion" if manual else "Approval is no longer required"
    return move(situation, Event.APPROVAL_OUTDATED, reason=Reason.GATHERING_EVIDENCE, message=message)
