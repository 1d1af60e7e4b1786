"""Behavioural fingerprints: the same model restarted has the same one, a different model another.

Rounding alone cannot give that: a number beside the edge between two rounded values falls to either side when a
thread sums in another order. So every number is rounded on four grids, each shifted by a quarter of a step, and a
fingerprint is four hashes. An edge of one grid lies in the middle of a cell of another, and two fingerprints are of
the same model when they agree on any one grid.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from math import asinh, floor, isfinite
from typing import Final, Protocol

from controller.plan.verify.findings import JsonValue
from controller.plan.verify.golden.mismatch import is_number

GRIDS: Final = 4
STEP: Final = 1e-3
"""Width of a cell: relative to the number, about three significant digits."""

SMALLEST: Final = 0.1
"""Numbers closer to zero are rounded to STEP * SMALLEST: 1e-7, which may be left of a sum, and 0 are the same."""

_DIGITS: Final = 16
"""Hex digits of the hash on one grid."""


class _Hash(Protocol):
    def update(self, token: bytes, /) -> None: ...


def fingerprint(answers: Iterable[tuple[str, JsonValue]]) -> str:
    """Return the fingerprint of answers, each with the name of its golden case: 64 hex digits, 16 per grid.

    Answers are taken one after the other, so none is kept; their order counts.
    """
    hashes = [hashlib.sha256() for _ in range(GRIDS)]
    for name, answer in answers:
        _feed(hashes, json.dumps(name))
        _walk(hashes, answer)
    return "".join(each.hexdigest()[:_DIGITS] for each in hashes)


def same_model(one: str, other: str) -> bool:
    """Whether two fingerprints agree on one grid at least; to be used instead of ``==``."""
    return any(a == b for a, b in zip(_parts(one), _parts(other), strict=False))


def _parts(text: str) -> list[str]:
    return [text[at : at + _DIGITS].lower() for at in range(0, len(text) - _DIGITS + 1, _DIGITS)]


def _walk(hashes: Sequence[_Hash], value: JsonValue) -> None:
    """Feed the value with every number replaced by its cell; the order of names in objects does not count."""
    if isinstance(value, dict):
        _feed(hashes, "{")
        for name in sorted(value):
            _feed(hashes, json.dumps(name))
            _walk(hashes, value[name])
        _feed(hashes, "}")
    elif isinstance(value, list):
        _feed(hashes, "[")
        for inner in value:
            _walk(hashes, inner)
        _feed(hashes, "]")
    elif is_number(value):
        for grid, each in enumerate(hashes):
            each.update(f"{_cell(value, grid)},".encode())
    else:
        _feed(hashes, json.dumps(value))


def _feed(hashes: Sequence[_Hash], token: str) -> None:
    for each in hashes:
        each.update(f"{token},".encode())


def _cell(number: float, grid: int) -> str:
    """Return the cell of a number on a scale that is linear near zero and logarithmic beyond.

    A whole number beyond 1 stands for itself: classes 50,000 and 50,001 are not nearly the same. The eighth keeps 0,
    which models answer more often than anything else, away from the edges of every grid.
    """
    if isinstance(number, int) and abs(number) > 1:
        return f"={number}"
    scaled = asinh(number / SMALLEST) / STEP
    return f"~{floor(scaled + 1 / 8 + grid / GRIDS)}" if isfinite(scaled) else str(scaled)
