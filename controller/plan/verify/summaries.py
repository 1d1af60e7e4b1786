"""What a Job reports: one JSON object in the termination message of its container."""

import json
from typing import Final, NoReturn

from controller.plan.verify.findings import JsonValue, shortened
from controller.plan.verify.nesting import deeper_than

SUMMARY_BYTES: Final = 4096
"""What Kubernetes keeps of a container's termination message."""
DEEPEST: Final = 16
"""How deep the object may be nested."""

_SHOWN: Final = 120

Summary = dict[str, JsonValue]


class SummaryError(Exception):
    """A Job's message is no summary; the message says what was expected, what was found and what to do."""


def read_summary(text: str) -> Summary:
    """Return the object that a Job reported.

    Raises:
        SummaryError: it is no JSON object, too large, too deep, or holds NaN or an infinity.
    """
    if not text.strip():
        msg = "expected a JSON object as the termination message, found none; write it to /dev/termination-log"
        raise SummaryError(msg)
    if len(text.encode(errors="replace")) > SUMMARY_BYTES:
        msg = f"expected a summary of at most {SUMMARY_BYTES} bytes, found more; report totals instead of rows"
        raise SummaryError(msg)
    try:
        found = json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        msg = f"expected a summary nested at most {DEEPEST} deep, found {shortened(text, _SHOWN)!r}"
        raise SummaryError(msg) from None
    except ValueError as error:
        msg = f"expected a JSON object as the termination message, found {shortened(text, _SHOWN)!r} ({error})"
        raise SummaryError(msg) from None
    if not isinstance(found, dict):
        msg = f"expected a JSON object as the termination message, found {shortened(text, _SHOWN)!r}"
        raise SummaryError(msg)
    if deeper_than(found, DEEPEST):
        msg = f"expected a summary nested at most {DEEPEST} deep, found {shortened(text, _SHOWN)!r}"
        raise SummaryError(msg)
    return found


def _no_constant(name: str) -> NoReturn:
    msg = f"{name} is no JSON; report null, or leave the key out"
    raise ValueError(msg)
