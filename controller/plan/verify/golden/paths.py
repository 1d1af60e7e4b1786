"""Paths into an answer: ``$`` followed by ``.name``, ``['any name']``, ``[0]`` or ``[*]``, and nothing more.

A path with ``[*]`` selects several values; what is expected must hold of every one, and there must be one.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from controller.plan.verify.findings import JsonValue
from controller.plan.verify.golden.comparison import counted
from controller.plan.verify.golden.mismatch import ExpectationError, Mismatch, member, shown

_STEP: Final = re.compile(
    r"""\.(?P<name>[A-Za-z_][A-Za-z0-9_-]*)|\['(?P<single>[^']*)'\]|\["(?P<double>[^"]*)"\]"""
    r"""|\[(?P<place>[0-9]{1,7})\]|\[(?P<every>\*)\]"""
)
_MOST_SELECTED: Final = 10_000
"""Values of one path; more would take long to check and tell no more."""


class Every(Enum):
    """``[*]``: each entry of a list or an object."""

    EVERY = auto()


_Step = str | int | Every


@dataclass(frozen=True)
class JsonPath:
    """A path that was read."""

    text: str
    steps: tuple[_Step, ...]

    def select(self, document: JsonValue) -> tuple[tuple[str, JsonValue], ...] | Mismatch:
        """Return the selected values, each with its own path; or why there are none."""
        found: tuple[tuple[str, JsonValue], ...] = (("$", document),)
        for step in self.steps:
            following: list[tuple[str, JsonValue]] = []
            for path, value in found:
                inner = _entered(path, value, step)
                if isinstance(inner, Mismatch):
                    return inner
                following += inner
            if len(following) > _MOST_SELECTED:
                return Mismatch(self.text, f"{len(following)} values", f"at most {_MOST_SELECTED}")
            found = tuple(following)
        return found


def parse_path(text: str) -> JsonPath:
    """Read a path.

    Raises:
        ExpectationError: with the place that cannot be read, and what can be written.
    """
    steps: list[_Step] = []
    at = 1
    while text.startswith("$") and at < len(text):
        step = _STEP.match(text, at)
        if step is None:
            break
        steps.append(_step(step))
        at = step.end()
    if text.startswith("$") and at == len(text):
        return JsonPath(text, tuple(steps))
    place = at + 1 if text.startswith("$") else 1
    msg = (
        f"path {text!r} cannot be read from character {place} on; a path is $ followed by .name, ['any name'], [0] or "
        "[*], as in $.predictions[0]; filters, .., negative and ranged places are not supported"
    )
    raise ExpectationError(msg)


def _step(step: re.Match[str]) -> _Step:
    if step["every"] is not None:
        return Every.EVERY
    if step["place"] is not None:
        return int(step["place"])
    return next(each for each in (step["name"], step["single"], step["double"]) if each is not None)


def _entered(path: str, value: JsonValue, step: _Step) -> list[tuple[str, JsonValue]] | Mismatch:
    if isinstance(step, Every):
        return _all_entries(path, value)
    if isinstance(step, int):
        if not isinstance(value, list):
            return Mismatch(path, shown(value), "a list")
        return [(member(path, step), value[step])] if step < len(value) else _beyond(path, value, step)
    if not isinstance(value, dict):
        return Mismatch(path, shown(value), f"an object with {step!r}")
    if step not in value:
        names = ", ".join(list(value)[:10]) or "nothing"
        return Mismatch(member(path, step), f"missing (there is {names})", "present")
    return [(member(path, step), value[step])]


def _all_entries(path: str, value: JsonValue) -> list[tuple[str, JsonValue]] | Mismatch:
    if not isinstance(value, list | dict):
        return Mismatch(path, shown(value), "a list")
    if not value:
        return Mismatch(path, "empty", "at least one entry")
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    return [(member(path, key), inner) for key, inner in entries]


def _beyond(path: str, value: list[JsonValue], place: int) -> Mismatch:
    return Mismatch(path, counted(value), f"an entry at {place}, counted from 0")
