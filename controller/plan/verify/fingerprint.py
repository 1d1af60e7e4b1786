"""Behavioural fingerprints: the same model restarted has the same one, a different model another.

Rounding alone cannot give that: a number beside the edge between two rounded values falls to either side when a
thread sums in another order. So every number is rounded on four grids, each shifted by a quarter of a step, and a
fingerprint is four hashes. An edge of one grid lies in the middle of a cell of another, and two fingerprints are of
the same model when they agree on any one grid.
"""

import hashlib
import json
from collections.abc import Mapping
from math import asinh, floor, isfinite
from typing import Final

from controller.plan.verify.findings import JsonValue
from controller.plan.verify.golden.mismatch import is_number

GRIDS: Final = 4
STEP: Final = 1e-3
"""Width of a cell: relative to the number, about three significant digits."""

SMALLEST: Final = 1e-3
"""Numbers closer to zero are rounded to STEP * SMALLEST: 1e-17 and 0 are the same answer."""

_DIGITS: Final = 16
"""Hex digits of the hash on one grid."""


def fingerprint(answers: Mapping[str, JsonValue]) -> str:
    """Return the fingerprint of answers by golden case: 64 hex digits, 16 per grid."""
    return "".join(_hash(answers, grid) for grid in range(GRIDS))


def same_model(one: str, other: str) -> bool:
    """Whether two fingerprints agree on one grid at least; to be used instead of ``==``."""
    return any(a == b for a, b in zip(_parts(one), _parts(other), strict=False))


def _parts(text: str) -> list[str]:
    return [text[at : at + _DIGITS].lower() for at in range(0, len(text) - _DIGITS + 1, _DIGITS)]


def _hash(answers: Mapping[str, JsonValue], grid: int) -> str:
    cells = {name: _celled(answer, grid) for name, answer in answers.items()}
    return hashlib.sha256(json.dumps(cells, sort_keys=True).encode()).hexdigest()[:_DIGITS]


def _celled(value: JsonValue, grid: int) -> JsonValue:
    """Return the value with every number replaced by its cell; the order of names in objects does not count."""
    if isinstance(value, dict):
        return {name: _celled(inner, grid) for name, inner in value.items()}
    if isinstance(value, list):
        return [_celled(inner, grid) for inner in value]
    return _cell(value, grid) if is_number(value) else value


def _cell(number: float, grid: int) -> JsonValue:
    """Return the cell of a number on a scale that is linear near zero and logarithmic beyond.

    A whole number beyond 1 stands for itself: classes 50,000 and 50,001 are not nearly the same. The eighth keeps 0,
    which models answer more often than anything else, away from the edges of every grid.
    """
    if isinstance(number, int) and abs(number) > 1:
        return ["exactly", str(number)]
    scaled = asinh(number / SMALLEST) / STEP
    if not isfinite(scaled):
        return ["beyond", str(scaled)]
    return ["near", floor(scaled + 1 / 8 + grid / GRIDS)]
