"""The page of states: the table of transitions as the planner holds it, and what the words of status mean."""

from collections.abc import Iterator, Mapping
from typing import Final, TypeVar

from controller.api.reasons import Phase
from controller.plan.transitions import TABLE, Event, Transition, lookup
from docs.markdown import NOTE, code, table
from docs.meanings import CONDITIONS, PHASES, REASONS

_INTRODUCTION: Final = """\
# States

A ModelRollout is in one phase at a time (`status.phase`). Each turn of the operator looks at the world and chooses at
most one event; this table says in which phases the event may happen, where it leads and what is written. The table is
data: the operator looks events up in it, and an event that it does not hold for the present phase is refused as a bug.

Rules are asked in a fixed order: what protects users (deletion, suspension, harm) comes before what a person requests,
and that before what goes on by itself. A change of the weight is a *transition* with a number: the intent is written to
status first, then to the route together with the number, and windows are counted only once the route was seen to hold
it. So a process that dies between two writes is continued by the next one, and each step happens once.
"""

_ABOUT_REASONS: Final = """\
One list serves conditions, skipped windows, events and decisions. What to do about those that need a person:
[troubleshooting.md](troubleshooting.md).
"""

_DRAWN: Final[tuple[tuple[Phase | None, Event], ...]] = (
    (None, Event.BOOTSTRAPPED),
    (Phase.IDLE, Event.CANDIDATE_FOUND),
    (Phase.ROLLED_BACK, Event.CANDIDATE_FOUND),
    (Phase.VERIFYING, Event.CANDIDATE_READY),
    (Phase.PROGRESSING, Event.STEP_PASSED),
    (Phase.PROGRESSING, Event.APPROVAL_NEEDED),
    (Phase.PROGRESSING, Event.PROMOTION_DECIDED),
    (Phase.AWAITING_APPROVAL, Event.PROMOTION_DECIDED),
    (Phase.PROMOTING, Event.PROMOTION_APPLIED),
    (Phase.PROGRESSING, Event.HARM_FOUND),
    (Phase.PROGRESSING, Event.WITHDRAWN),
    (Phase.ROLLING_BACK, Event.RETURN_APPLIED),
    (Phase.PROGRESSING, Event.PAUSE_REQUESTED),
    (Phase.PAUSED, Event.RESUME_REQUESTED),
    (Phase.PROGRESSING, Event.STALL_BEGAN),
    (Phase.STALLED, Event.STALL_ENDED),
)
"""The usual course; all arrows would hide it."""

_RARELY_LEFT_OUT: Final = 3
"""With at most so many phases left out, a long list of sources is written as "any but"."""


def states_page() -> str:
    """Return docs/states.md."""
    return "\n".join(
        (
            NOTE,
            _INTRODUCTION,
            _diagram(),
            "The picture shows the usual course. The same events may also come in other phases, as the table says.\n",
            "## Phases\n",
            table(("Phase", "Meaning"), _words(PHASES)),
            "## Transitions\n",
            "*Weight* is the percent of requests that the candidate is to get. *kept* changes nothing.\n",
            _transitions(),
            "## Conditions\n",
            "Each answers one question, with the generation that it speaks of.\n",
            table(("Condition", "Meaning"), _words(CONDITIONS)),
            "## Reasons\n",
            _ABOUT_REASONS,
            *(f"### {group}\n\n{table(('Reason', 'Meaning'), _words(words))}" for group, words in REASONS.items()),
        )
    )


_Word = TypeVar("_Word", bound=str)


def _words(meanings: Mapping[_Word, str]) -> Iterator[tuple[str, str]]:
    return ((code(word), meaning) for word, meaning in meanings.items())


def _transitions() -> str:
    rows = (
        (code(line.event), _sources(line), _target(line), line.weight, line.writes)
        for line in sorted(TABLE, key=lambda line: list(Event).index(line.event))
    )
    return table(("Event", "From", "To", "Weight", "Written"), rows)


def _sources(line: Transition) -> str:
    missing = [phase for phase in (None, *Phase) if phase not in line.sources]
    if len(missing) <= _RARELY_LEFT_OUT:
        return f"any but {', '.join(map(_phase, missing))}" if missing else "any"
    return ", ".join(_phase(phase) for phase in (None, *Phase) if phase in line.sources)


def _target(line: Transition) -> str:
    if line.target is not None:
        return _phase(line.target)
    return "where it was held from" if line.event is Event.SUSPEND_CLEARED else "the same"


def _phase(phase: Phase | None) -> str:
    return "(new)" if phase is None else code(phase)


def _diagram() -> str:
    return "\n".join(("```mermaid", "stateDiagram-v2", *_arrows(), "```\n"))


def _arrows() -> Iterator[str]:
    for source, event in _DRAWN:
        target = lookup(source, event).target
        yield f"    {source or '[*]'} --> {target or source}: {event}"
