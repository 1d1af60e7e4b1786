"""Expectations of numbers: finite, in a range, the largest at a place, places among the largest."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Final

from controller.api.verify import NumberRange, TopK
from controller.plan.verify.findings import JsonValue
from controller.plan.verify.golden.comparison import Number, counted, finite
from controller.plan.verify.golden.mismatch import ExpectationError, Mismatch, is_number, member, shown

Test = Callable[[JsonValue, str], Mismatch | None]
"""What must hold of the value at a path; None when it does."""

_NOT_FINITE_WORDS: Final = frozenset({"nan", "inf", "infinity", "+inf", "-inf", "+infinity", "-infinity"})
"""How servers write numbers that JSON has no words for, when they write them as texts."""


def finite_numbers() -> Test:
    """Return the test that every number is finite, and that there is one.

    ``null`` and texts such as "NaN" count as numbers that are not: that is how servers write them.
    """

    def test(value: JsonValue, path: str) -> Mismatch | None:
        return _each_number(value, path, holds=lambda _: True, expected="a finite number")

    return test


def numbers_between(bounds: NumberRange) -> Test:
    """Return the test that every number lies within the bounds, both included, and that there is one."""
    least, most = bounds.min, bounds.max
    if least is not None and most is not None and least > most:
        msg = f"range is empty: min {least} is larger than max {most}"
        raise ExpectationError(msg)
    words = " and ".join(
        [f"at least {least}"] * (least is not None) + [f"at most {most}"] * (most is not None),
    )

    def holds(number: Number) -> bool:
        exact = Decimal(number) if isinstance(number, int) else Decimal(repr(number))
        return (least is None or exact >= least) and (most is None or exact <= most)

    return lambda value, path: _each_number(value, path, holds=holds, expected=f"a number of {words}")


def largest_at(place: int) -> Test:
    """Return the test that the largest of a list of scores is at the place, and nowhere else.

    A tie fails: a model that answers the same score for everything would pass otherwise.
    """

    def test(value: JsonValue, path: str) -> Mismatch | None:
        scores = _scores(value, path)
        if isinstance(scores, Mismatch):
            return scores
        largest = max(scores)
        places = [at for at, score in enumerate(scores) if score == largest]
        if places == [place]:
            return None
        where = f"at {places[0]}" if len(places) == 1 else f"at {_listed(places)} alike"
        found = f"largest {where} ({shown(largest)})"
        return Mismatch(path, found, f"largest at {place}{_value_at(scores, place)}")

    return test


def among_largest(top: TopK) -> Test:
    """Return the test that the positions are among the k largest of a list of scores, however ties are broken."""
    if len(set(top.contains)) > top.k:
        msg = f"topK names {len(set(top.contains))} positions, which cannot all be among the {top.k} largest"
        raise ExpectationError(msg)

    def test(value: JsonValue, path: str) -> Mismatch | None:
        scores = _scores(value, path)
        if isinstance(scores, Mismatch):
            return scores
        if top.k > len(scores):
            return Mismatch(path, f"a list of {len(scores)} scores", f"at least {top.k}, to have {top.k} largest")
        order = sorted(range(len(scores)), key=lambda at: scores[at], reverse=True)
        for place in top.contains:
            if place >= len(scores) or sum(score >= scores[place] for score in scores) > top.k:
                found = f"largest at {_listed(order[: top.k])}{_value_at(scores, place)}"
                return Mismatch(path, found, f"{place} among the {top.k} largest")
        return None

    return test


def _each_number(value: JsonValue, path: str, *, holds: Callable[[Number], bool], expected: str) -> Mismatch | None:
    numbers = 0
    for where, leaf in leaves(value, path):
        if is_number(leaf):
            numbers += 1
            if not finite(leaf) or not holds(leaf):
                return Mismatch(where, shown(leaf), expected)
        elif leaf is None or (isinstance(leaf, str) and leaf.strip().lower() in _NOT_FINITE_WORDS):
            return Mismatch(where, shown(leaf), expected)
    return None if numbers else Mismatch(path, f"{shown(value)} without a number", expected)


def leaves(value: JsonValue, path: str) -> Iterator[tuple[str, JsonValue]]:
    """Return what is neither list nor object, each with its path."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, member(path, name))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from leaves(inner, member(path, place))
    else:
        yield path, value


def innermost(value: JsonValue) -> JsonValue:
    """Return the content of lists that hold nothing but one list or text: a batch of one, as most servers answer."""
    while isinstance(value, list) and len(value) == 1 and isinstance(value[0], list | str):
        value = value[0]
    return value


def _scores(value: JsonValue, path: str) -> list[Number] | Mismatch:
    inner = innermost(value)
    if not isinstance(inner, list) or not inner:
        return Mismatch(path, shown(value), "a list of scores")
    scores = [each for each in inner if is_number(each) and finite(each)]
    if len(scores) == len(inner):
        return scores
    wrong = next(each for each in inner if not (is_number(each) and finite(each)))
    return Mismatch(path, f"{counted(inner)} with {shown(wrong)}", "a list of scores, each a finite number")


def _listed(places: list[int]) -> str:
    texts = [str(each) for each in places[:10]] + ["…"] * (len(places) > 10)
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def _value_at(scores: list[Number], place: int) -> str:
    return f" ({place} has {shown(scores[place])})" if place < len(scores) else f" (there are {len(scores)} scores)"
