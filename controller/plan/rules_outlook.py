"""What a forecast is told for: in status, and where it says that no verdict will come before the deadline.

It changes no weight. At the deadline ``onUndecided`` acts, whatever was forecast.
"""

from dataclasses import replace

from controller.api.reasons import ConditionType, Reason
from controller.api.record import FrozenAnalysis
from controller.api.status import AnalysisStatus
from controller.plan.admission import describe_unresolved, step_forecasts, unresolved
from controller.plan.conditions import Fact
from controller.plan.move import wait
from controller.plan.outlook import outlooks
from controller.plan.reach import describe_metric, describe_overall, reach
from controller.plan.situation import Announcement, Decision, Situation
from controller.plan.transitions import UNDER_WAY

__all__ = ["margin_out_of_reach", "out_of_reach", "warned_of_margin", "with_outlook", "with_resolution"]


def with_outlook(situation: Situation) -> Situation:
    """Return the situation with the forecasts in its status, and with the reason why none is to be waited for."""
    status, analysis, evidence = situation.status, situation.status.analysis, situation.evidence
    if analysis is None or evidence is None:
        return situation
    found = outlooks(evidence)
    held = reach(
        evidence,
        found,
        strategy=situation.spec.strategy,
        counted=status.window.counted - analysis.deadline_from,
        known=status.reason is Reason.VERDICT_OUT_OF_REACH,
    )
    sentence, interval = describe_overall(evidence, found, held), evidence.frozen.interval
    metrics = tuple(
        each.model_copy(
            update={"forecast": describe_metric(found[each.name], interval) if each.name in found else None}
        )
        for each in analysis.metrics
    )
    updated = analysis.model_copy(update={"forecast": sentence, "metrics": metrics})
    return replace(
        situation,
        status=status.model_copy(update={"analysis": updated}),
        out_of_reach=None if held.missed is None else sentence,
    )


def out_of_reach(situation: Situation) -> Decision | None:
    """Say that no verdict is to be expected before the deadline; as an event only once in an epoch."""
    status, analysis = situation.status, situation.status.analysis
    if situation.out_of_reach is None or analysis is None:
        return None
    name = status.candidate.deployment if status.candidate else "the candidate"
    decision = wait(
        situation,
        Reason.VERDICT_OUT_OF_REACH,
        f"{status.traffic.applied_weight} % of requests on {name}; {situation.out_of_reach}; send more requests, take "
        "a larger margin or larger steps (a new epoch), or extend strategy.deadline; else strategy.onUndecided "
        f"({situation.spec.strategy.on_undecided}) applies",
    )
    if analysis.out_of_reach_since is not None:
        return decision
    since = analysis.model_copy(update={"out_of_reach_since": status.window.counted})
    return replace(
        decision,
        status=decision.status.model_copy(update={"analysis": since}),
        announcements=(Announcement("Warning", Reason.VERDICT_OUT_OF_REACH, decision.status.message),),
    )


def with_resolution(situation: Situation, analysis: AnalysisStatus, frozen: FrozenAnalysis) -> AnalysisStatus:
    """Return the analysis with what each step would need, where the traffic of the last day is known."""
    steps = step_forecasts(frozen, situation.traffic or {}, situation.world)
    return analysis.model_copy(update={"resolution": steps})


def margin_out_of_reach(situation: Situation) -> Fact | None:
    """Accept the spec with a warning while no step would resolve the margins before the deadline as it stands now."""
    analysis, deadline = situation.status.analysis, situation.spec.strategy.deadline
    if analysis is None or situation.status.phase not in UNDER_WAY or not unresolved(analysis.resolution, deadline):
        return None
    message = describe_unresolved(analysis.resolution, deadline)
    return Fact(ConditionType.SPEC_ACCEPTED, "True", Reason.MARGIN_OUT_OF_REACH, message)


def warned_of_margin(situation: Situation, decision: Decision) -> Decision:
    """Return the decision that begins the epoch, with the same warning as an event."""
    fact = margin_out_of_reach(replace(situation, status=decision.status))
    if fact is None:
        return decision
    warning = Announcement("Warning", fact.reason, fact.message)
    return replace(decision, announcements=(*decision.announcements, warning))
