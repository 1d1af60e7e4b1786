"""The rule of a rollout whose evidence may not be used for going on: hold the weight and say why."""

from dataclasses import replace

from controller.api.reasons import Phase, Reason
from controller.api.spec import OnUndecided
from controller.plan.move import wait
from controller.plan.rules_safety import stall
from controller.plan.situation import Announcement, Decision, Evidence, Situation
from controller.plan.validity import holding


def held(situation: Situation) -> Decision | None:
    """In Progressing: hold while the comparison is invalid, or the candidate is worse in a part of the requests.

    The deadline still comes. Its policies Hold and Withdraw are kept; Promote is taken as Hold, because what could not be
    compared is promoted by nobody but a person.
    """
    status, evidence = situation.status, situation.evidence
    if status.phase is not Phase.PROGRESSING or evidence is None or not evidence.caught_up:
        return None
    problem = holding(evidence.trial)
    if problem is None:
        return None
    if deadline_passed(situation, evidence):
        if situation.spec.strategy.on_undecided is OnUndecided.WITHDRAW:
            return None
        message = f"No verdict before the deadline: {problem.message}; request promote, abort, or resume"
        return stall(situation, Reason.DEADLINE_PASSED, message)
    decision = wait(situation, problem.reason, f"{problem.message}; holding {status.traffic.applied_weight} %")
    if status.reason is problem.reason:
        return decision
    return replace(decision, announcements=(Announcement("Warning", problem.reason, problem.message),))


def deadline_passed(situation: Situation, evidence: Evidence) -> bool:
    """Whether the judged windows that count for the deadline are as long as it together."""
    analysis = situation.status.analysis
    counted = situation.status.window.counted - (analysis.deadline_from if analysis else 0)
    return counted * evidence.frozen.interval >= situation.spec.strategy.deadline
