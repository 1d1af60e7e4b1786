"""The table of transitions, as data: from which phases an event may come, where it leads and what is written.

``decide`` picks at most one event a turn and looks it up here; an event that the table does not hold for the present
phase is a bug and raises. The page ``docs/states.md`` is printed from this table.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from controller.api.reasons import Phase

IDLE, VERIFYING, PROGRESSING = Phase.IDLE, Phase.VERIFYING, Phase.PROGRESSING
PAUSED, AWAITING, PROMOTING = Phase.PAUSED, Phase.AWAITING_APPROVAL, Phase.PROMOTING
ROLLING_BACK, ROLLED_BACK = Phase.ROLLING_BACK, Phase.ROLLED_BACK
STALLED, SUSPENDED = Phase.STALLED, Phase.SUSPENDED

HOLDING: Final = frozenset({PAUSED, AWAITING, STALLED})
"""Phases that keep the weight and stop the deadline; red flags and Worse still act."""

LIVE: Final = HOLDING | {PROGRESSING}
"""Phases in which the candidate serves a part of the requests and windows are judged."""

UNDER_WAY: Final = LIVE | {VERIFYING, PROMOTING, ROLLING_BACK}
"""Phases of an epoch that has not ended."""


class Event(StrEnum):
    """What can happen to a rollout."""

    BOOTSTRAPPED = "Bootstrapped"
    STABLE_ADOPTED = "StableAdopted"
    CANDIDATE_FOUND = "CandidateFound"
    CANDIDATE_READY = "CandidateReady"
    VERIFICATION_FAILED = "VerificationFailed"
    WEIGHT_APPLIED = "WeightApplied"
    STEP_PASSED = "StepPassed"
    APPROVAL_NEEDED = "ApprovalNeeded"
    APPROVAL_OUTDATED = "ApprovalOutdated"
    PROMOTION_DECIDED = "PromotionDecided"
    PROMOTION_APPLIED = "PromotionApplied"
    HARM_FOUND = "HarmFound"
    WITHDRAWN = "Withdrawn"
    RETURN_APPLIED = "ReturnApplied"
    EPOCH_RESTARTED = "EpochRestarted"
    CANDIDATE_REMOVED = "CandidateRemoved"
    STALL_BEGAN = "StallBegan"
    STALL_ENDED = "StallEnded"
    PAUSE_REQUESTED = "PauseRequested"
    RESUME_REQUESTED = "ResumeRequested"
    RETRY_REQUESTED = "RetryRequested"
    SUSPEND_SET = "SuspendSet"
    SUSPEND_CLEARED = "SuspendCleared"
    DELETION_BEGAN = "DeletionBegan"


class IllegalTransitionError(Exception):
    """An event was chosen that the table does not hold for the phase."""


@dataclass(frozen=True)
class Transition:
    """One line of the table.

    ``target`` is the phase afterwards; None returns to ``status.heldFrom`` or stays. ``weight`` says what happens to
    the desired weight in words, ``writes`` what else status gets.
    """

    sources: frozenset[Phase | None]
    event: Event
    target: Phase | None
    weight: str
    writes: str


def _line(sources: Iterable[Phase | None], event: Event, target: Phase | None, *rest: str) -> Transition:
    weight, writes = rest
    return Transition(sources=frozenset(sources), event=event, target=target, weight=weight, writes=writes)


_RESTING = {IDLE, ROLLED_BACK}
_ANY: Final[frozenset[Phase | None]] = frozenset({None, *Phase})

TABLE: Final[tuple[Transition, ...]] = (
    _line({None}, Event.BOOTSTRAPPED, IDLE, "0", "stable, from the route's memory or the spec"),
    _line({STALLED}, Event.BOOTSTRAPPED, IDLE, "0", "stable, after the route was put right"),
    _line({None, STALLED}, Event.STALL_BEGAN, STALLED, "kept", "reason; nothing is written to the route"),
    _line(_RESTING, Event.STABLE_ADOPTED, None, "0", "stable's new hash"),
    _line(_RESTING, Event.CANDIDATE_FOUND, VERIFYING, "0", "epoch + 1, candidate, attempt"),
    _line({VERIFYING}, Event.CANDIDATE_READY, PROGRESSING, "first step", "transition + 1, finalizer, record page 0"),
    _line({VERIFYING}, Event.VERIFICATION_FAILED, ROLLING_BACK, "0", "transition + 1, rejected; nobody was served"),
    _line(LIVE | {VERIFYING}, Event.WEIGHT_APPLIED, None, "kept", "applied weight and moment: windows begin"),
    _line({PROGRESSING}, Event.STEP_PASSED, PROGRESSING, "next step", "transition + 1"),
    _line({PROGRESSING}, Event.APPROVAL_NEEDED, AWAITING, "kept", "reason"),
    _line({AWAITING}, Event.APPROVAL_OUTDATED, PROGRESSING, "kept", "evidence no longer suffices"),
    _line({PROGRESSING}, Event.PROMOTION_DECIDED, PROMOTING, "100", "transition + 1"),
    _line(HOLDING, Event.PROMOTION_DECIDED, PROMOTING, "100", "transition + 1, on a person's request"),
    _line(
        {PROMOTING}, Event.PROMOTION_APPLIED, IDLE, "0 (roles swapped)", "stable, backup, history; finalizer removed"
    ),
    _line(LIVE | {PROMOTING}, Event.HARM_FOUND, ROLLING_BACK, "0", "transition + 1, rejected, red flags"),
    _line(LIVE | {VERIFYING, PROMOTING}, Event.WITHDRAWN, ROLLING_BACK, "0", "transition + 1"),
    _line({ROLLING_BACK}, Event.RETURN_APPLIED, ROLLED_BACK, "0", "history; finalizer removed"),
    _line(
        LIVE | {VERIFYING},
        Event.EPOCH_RESTARTED,
        VERIFYING,
        "0",
        "epoch + 1, candidate, attempt; transition + 1",
    ),
    _line(LIVE | {VERIFYING}, Event.CANDIDATE_REMOVED, ROLLING_BACK, "0", "transition + 1"),
    _line({ROLLED_BACK}, Event.CANDIDATE_REMOVED, IDLE, "0", "candidate cleared"),
    _line({PROGRESSING, AWAITING}, Event.STALL_BEGAN, STALLED, "kept", "reason"),
    _line({STALLED}, Event.STALL_ENDED, PROGRESSING, "kept", "reason"),
    _line({PROGRESSING, AWAITING}, Event.PAUSE_REQUESTED, PAUSED, "kept", "reason"),
    _line({PAUSED, STALLED}, Event.RESUME_REQUESTED, PROGRESSING, "kept", "the deadline starts anew"),
    _line({ROLLED_BACK, IDLE}, Event.RETRY_REQUESTED, VERIFYING, "0", "epoch + 1, rejection lifted"),
    _line(LIVE, Event.RETRY_REQUESTED, VERIFYING, "0", "epoch + 1, rejection lifted; transition + 1"),
    _line(_ANY - {SUSPENDED}, Event.SUSPEND_SET, SUSPENDED, "kept", "heldFrom; acts on nothing"),
    _line({SUSPENDED}, Event.SUSPEND_CLEARED, None, "kept", "back to heldFrom"),
    _line(_ANY - {ROLLING_BACK}, Event.DELETION_BEGAN, ROLLING_BACK, "0", "transition + 1 if diverted"),
)


def lookup(phase: Phase | None, event: Event) -> Transition:
    """Return the line for an event in a phase.

    Raises:
        IllegalTransitionError: when the table holds no such line.
    """
    for line in TABLE:
        if line.event is event and phase in line.sources:
            return line
    msg = f"event {event} may not happen in phase {phase}"
    raise IllegalTransitionError(msg)


def allowed(phase: Phase | None, event: Event) -> bool:
    """Whether the table holds a line for the event in the phase."""
    return any(line.event is event and phase in line.sources for line in TABLE)
