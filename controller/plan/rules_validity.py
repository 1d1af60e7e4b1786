"""The rule of a rollout whose evidence may not be used for going on: hold the weight and say why."""

from dataclasses import replace

from controller.api.reasons import Phase, Reason
from controller.api.spec import OnUndecided
from controller.plan.move import RETRY_SOON, wait
from controller.plan.rules_safety import stall
from controller.plan.situation import Announcement, Decision, Evidence, Situation
from controller.plan.validity import holding
from controller.plan.world import Problem


def held(situation: Situation) -> Decision | None:
    """In Progressing: hold while the comparison is invalid, or the candidate is worse in a part of the requests.

    The deadline still comes. Its policies Hold and Withdraw are kept; Promote is taken as Hold, because what could not
    be compared is promoted by nobody but a person.
    """
    status, evidence = situation.status, situation.evidence
    if status.phase is not Phase.PROGRESSING or evidence is None:
        return None
    problem = holding(evidence)
    if problem is None:
        return None
    if evidence.caught_up and deadline_passed(situation, evidence):
        if situation.spec.strategy.on_undecided is OnUndecided.WITHDRAW:
            return None
        message = f"No verdict before the deadline: {problem.message}; request promote, abort, or resume"
        return stall(situation, Reason.DEADLINE_PASSED, message)
    decision = _wait(situation, evidence, problem)
    if status.reason is problem.reason:
        return decision
    return replace(decision, announcements=(Announcement("Warning", problem.reason, problem.message),))


def _wait(situation: Situation, evidence: Evidence, problem: Problem) -> Decision:
    """Hold for the same reason while windows are pending, too: it would else be told again after each of them."""
    held = f"{problem.message}; holding {situation.status.traffic.applied_weight} %"
    if evidence.caught_up:
        return wait(situation, problem.reason, held)
    source = situation.source_problem
    if source is None:
        return wait(situation, problem.reason, held, look=situation.now + RETRY_SOON)
    return wait(situation, problem.reason, f"{held}; windows wait: {source.message}")


def deadline_passed(situation: Situation, evidence: Evidence) -> bool:
    """Whether the judged windows that count for the deadline are as long as it together."""
    analysis = situation.status.analysis
    counted = situation.status.window.counted - (analysis.deadline_from if analysis else 0)
    return counted * evidence.frozen.interval >= situation.spec.strategy.deadline
