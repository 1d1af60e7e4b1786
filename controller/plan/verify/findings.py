"""What checks find: the common currency between the probes, the comparisons, status and the record."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from controller.api.status import EnvironmentPair
from controller.api.verdicts import CheckState
from controller.plan.world import ArmName

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]
"""A JSON document, as ``json.loads`` gives it."""

LONGEST_TEXT: Final = 400
"""Characters of ``found`` and ``expected``; longer ones are cut, because status is read by people."""

_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"


class Part(StrEnum):
    """The parts of ``spec.verify``; the first word of every check's name."""

    SMOKE = "smoke"
    PARITY = "parity"
    PROVENANCE = "provenance"
    REPRODUCTION = "reproduction"
    PIPELINE = "pipeline"


@dataclass(frozen=True)
class Finding:
    """What one check found.

    ``name`` is ``<part>/<check>`` or ``<part>/<component>/<check>``; ``found`` and ``expected`` are for people and cut
    to ``LONGEST_TEXT``; ``seconds`` is how long it took.
    """

    name: str
    state: CheckState
    found: str = ""
    expected: str = ""
    seconds: float = 0.0

    def __post_init__(self) -> None:
        """Cut what would be too long for status."""
        for field in ("found", "expected"):
            object.__setattr__(self, field, shortened(getattr(self, field)))


def shortened(text: str, longest: int = LONGEST_TEXT) -> str:
    """Return the text on one line, cut in the middle where it is too long: both ends tell most.

    What pods and Jobs say goes into status and onto terminals: halves of characters, which JSON allows and the API
    refuses, and control characters are replaced.
    """
    line = "".join(each if each.isprintable() else _REPLACEMENT for each in " ".join(text.split()))
    if len(line) <= longest:
        return line
    half = (longest - 3) // 2
    return f"{line[:half]} … {line[-half:]}"


@dataclass(frozen=True)
class CheckKey:
    """One piece of work that is done once: the same key never runs twice in a process, nor again once in status.

    ``of`` is the hash of the revision and of all that the outcome depends on in the spec; ``subject`` tells apart what
    is checked more than once: a pod's uid, with ``#<windows>`` for a repetition of the golden requests.
    """

    part: Part
    arm: ArmName
    of: str
    subject: str = ""


@dataclass(frozen=True)
class Outcome:
    """What a piece of work found; ``fingerprint`` is the hash of the rounded answers to the golden requests."""

    findings: tuple[Finding, ...]
    at: datetime
    fingerprint: str | None = None
    sent: int = 0
    """Smoke only: inference requests that the pod answered."""
    sent_to_stable: int = 0
    """Smoke only: those that stable's pod answered, to compare with."""
    environment: EnvironmentPair | None = None
    """Parity only: what was compared."""

    @property
    def failed(self) -> Finding | None:
        """The first finding that failed."""
        return first_failed(self.findings)


def first_failed(findings: Iterable[Finding]) -> Finding | None:
    """Return the first finding that failed, or None."""
    return next((each for each in findings if each.state is CheckState.FAILED), None)
