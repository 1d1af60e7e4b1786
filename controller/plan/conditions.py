"""Conditions: one answer per question, with the generation that it speaks of."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from controller.api.reasons import ConditionType, Phase, Reason
from controller.api.status import Condition, ModelRolloutStatus

Truth = Literal["True", "False", "Unknown"]


@dataclass(frozen=True)
class Fact:
    """The present answer to one question."""

    type: ConditionType
    status: Truth
    reason: Reason
    message: str = ""


def truth(value: bool) -> Truth:  # noqa: FBT001  (a conversion, it switches no behaviour)
    """Return a boolean the way conditions spell it."""
    return "True" if value else "False"


def with_facts(
    status: ModelRolloutStatus, facts: tuple[Fact, ...], *, generation: int, now: datetime
) -> ModelRolloutStatus:
    """Return the status with these answers; ``lastTransitionTime`` moves only when an answer changed."""
    known = {condition.type: condition for condition in status.conditions}
    for fact in facts:
        known[fact.type] = _condition(fact, known.get(fact.type), generation=generation, now=now)
    current = {
        kind: condition.model_copy(update={"observed_generation": generation}) for kind, condition in known.items()
    }
    ordered = tuple(current[kind] for kind in ConditionType if kind in current)
    return status.model_copy(update={"conditions": ordered, "observed_generation": generation})


def _condition(fact: Fact, before: Condition | None, *, generation: int, now: datetime) -> Condition:
    same = before is not None and before.status == fact.status
    return Condition(
        type=fact.type,
        status=fact.status,
        reason=fact.reason,
        message=fact.message[:4096],
        last_transition_time=before.last_transition_time if same and before is not None else now,
        observed_generation=generation,
    )


_AT_REST = frozenset({Phase.IDLE, Phase.ROLLED_BACK, Phase.STALLED, Phase.SUSPENDED})
_FAILED = frozenset({Phase.ROLLED_BACK, Phase.STALLED})
_BLIND = frozenset({Reason.PROMETHEUS_UNREACHABLE, Reason.PROMETHEUS_ANSWER_INVALID, Reason.INVALID_SPEC})
"""Why no request may be diverted yet, and a person has to look."""


def kstatus_facts(status: ModelRolloutStatus) -> tuple[Fact, ...]:
    """Return Ready, Reconciling and Stalled as kstatus reads them, from phase and SpecAccepted.

    RolledBack counts as stalled although traffic is safe: tools that wait for a deployment must see that it failed.
    """
    accepted = status.condition(ConditionType.SPEC_ACCEPTED)
    refused = accepted is not None and accepted.status == "False"
    phase = status.phase or Phase.IDLE
    blind = phase is Phase.VERIFYING and status.reason in _BLIND
    stalled = refused or blind or phase in _FAILED
    ready = phase is Phase.IDLE and not refused
    reason = accepted.reason if refused and accepted else status.reason or Reason.ACCEPTED
    message = status.message
    return (
        Fact(ConditionType.READY, truth(ready), reason, message),
        Fact(ConditionType.RECONCILING, truth(phase not in _AT_REST and not refused), reason, message),
        Fact(ConditionType.STALLED, truth(stalled), reason, message),
    )
