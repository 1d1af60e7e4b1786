"""Two JSON values held against each other: the first place where they differ, in words."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import chain
from math import isfinite, isnan

from controller.api.verify import Tolerance
from controller.plan.verify.findings import JsonValue
from controller.plan.verify.golden.mismatch import Mismatch, is_number, member, shown

Number = int | float
Agree = Callable[[Number, Number], bool]
"""Whether a found number agrees with an expected one."""


def exactly(found: Number, expected: Number) -> bool:
    """Whether both are the same number; 1 and 1.0 are, NaN is never."""
    return found == expected


def within(tolerance: Tolerance) -> Agree:
    """Return whether |found - expected| <= atol + rtol * |expected|, counted in decimals as they are written.

    Binary fractions would put 1.1 outside of 1.0 with atol 0.1. What is not finite agrees only with its like.
    """

    def agree(found: Number, expected: Number) -> bool:
        if found == expected:
            return True
        if not (finite(found) and finite(expected)):
            return _is_nan(found) and _is_nan(expected)
        there, here = _decimal(expected), _decimal(found)
        return abs(here - there) <= tolerance.atol + tolerance.rtol * abs(there)

    return agree


def finite(number: Number) -> bool:
    """Whether the number is neither NaN nor infinite; integers of any length are."""
    return isinstance(number, int) or isfinite(number)


def difference(found: JsonValue, expected: JsonValue, *, agree: Agree, path: str) -> Mismatch | None:
    """Return the first place where the values differ in type, shape, names or content; None when nowhere."""
    if is_number(found) and is_number(expected):
        return None if agree(found, expected) else Mismatch(path, shown(found), shown(expected))
    if isinstance(found, list) and isinstance(expected, list):
        return next(_of_lists(found, expected, agree=agree, path=path), None)
    if isinstance(found, dict) and isinstance(expected, dict):
        return next(_of_objects(found, expected, agree=agree, path=path), None)
    if type(found) is type(expected) and found == expected:
        return None
    return Mismatch(path, shown(found), shown(expected))


def _of_lists(found: list[JsonValue], expected: list[JsonValue], *, agree: Agree, path: str) -> Iterator[Mismatch]:
    if len(found) != len(expected):
        yield Mismatch(path, f"{counted(found)}: {shown(found)}", f"{counted(expected)}: {shown(expected)}")
        return
    pairs = zip(found, expected, strict=True)
    for place, (here, there) in enumerate(pairs):
        mismatch = difference(here, there, agree=agree, path=member(path, place))
        if mismatch is not None:
            yield mismatch


def _of_objects(
    found: dict[str, JsonValue], expected: dict[str, JsonValue], *, agree: Agree, path: str
) -> Iterator[Mismatch]:
    missing = (Mismatch(member(path, name), "missing", shown(expected[name])) for name in expected if name not in found)
    added = (Mismatch(member(path, name), shown(found[name]), "nothing") for name in found if name not in expected)
    yield from chain(missing, added)
    for name, there in expected.items():
        mismatch = difference(found[name], there, agree=agree, path=member(path, name))
        if mismatch is not None:
            yield mismatch


def counted(entries: list[JsonValue]) -> str:
    """Return how many entries a list has, in words."""
    return f"a list of {len(entries)} {'entry' if len(entries) == 1 else 'entries'}"


def _decimal(number: Number) -> Decimal:
    return Decimal(number) if isinstance(number, int) else Decimal(repr(number))


def _is_nan(number: Number) -> bool:
    return isinstance(number, float) and isnan(number)
