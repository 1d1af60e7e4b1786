"""Expectations of golden requests, made ready to be held against answers."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from controller.api.verify import Approx, Expectation
from controller.plan.verify.findings import JsonValue
from controller.plan.verify.golden.comparison import difference, exactly, finite, within
from controller.plan.verify.golden.mismatch import ExpectationError, Mismatch, is_number, shown
from controller.plan.verify.golden.numbers import (
    Test,
    among_largest,
    finite_numbers,
    largest_at,
    leaves,
    numbers_between,
)
from controller.plan.verify.golden.paths import JsonPath, parse_path
from controller.plan.verify.golden.texts import text_matching
from controller.plan.verify.nesting import DEEPEST, deeper_than

OUTPUT: Final = "answer"
"""The root of what the model answered, without the protocol's envelope; ``$`` is the root of the whole body."""


@dataclass(frozen=True)
class Requirement:
    """An expectation that was read: where it looks, and what must hold there."""

    path: JsonPath | None
    test: Test

    def mismatch(self, *, output: JsonValue, body: JsonValue) -> Mismatch | None:
        """Return where the answer is not as expected; ``body`` is looked at where the expectation has a path."""
        if self.path is None:
            return self.test(output, OUTPUT)
        selected = self.path.select(body)
        if isinstance(selected, Mismatch):
            return selected
        found = (self.test(value, where) for where, value in selected)
        return next((each for each in found if each is not None), None)


def requirement(expectation: Expectation) -> Requirement:
    """Read an expectation.

    Raises:
        ExpectationError: with what is wrong with its path, expression, schema or numbers.
    """
    path = parse_path(expectation.path) if expectation.path else None
    return Requirement(path, next(_tests(expectation)))


def _tests(expectation: Expectation) -> Iterator[Test]:
    if expectation.equals is not None:
        yield _equal_to(expectation.equals)
    if expectation.approx is not None:
        yield _near(expectation.approx)
    if expectation.one_of is not None:
        yield _one_of(expectation.one_of)
    if expectation.argmax_equals is not None:
        yield largest_at(expectation.argmax_equals)
    if expectation.top_k is not None:
        yield among_largest(expectation.top_k)
    if expectation.range is not None:
        yield numbers_between(expectation.range)
    if expectation.finite is not None:
        yield finite_numbers()
    if expectation.json_schema is not None:
        yield _obeying(expectation.json_schema)
    if expectation.regex is not None:
        yield text_matching(expectation.regex)


def _obeying(schema: str) -> Test:
    from controller.plan.verify.golden.schema import obeying  # noqa: PLC0415  (2 MiB, which only schemas need)

    return obeying(_parsed(schema))


def _equal_to(text: str) -> Test:
    expected = _parsed(text)
    return lambda value, path: difference(value, expected, agree=exactly, path=path)


def _near(approx: Approx) -> Test:
    expected, agree = _parsed(approx.value), within(approx)
    if not any(is_number(leaf) for _, leaf in leaves(expected, "$")):
        msg = f"approx holds no number: {shown(expected)}; use equals for anything else"
        raise ExpectationError(msg)
    allowed = f" within atol {approx.atol} and rtol {approx.rtol}"

    def test(value: JsonValue, path: str) -> Mismatch | None:
        mismatch = difference(value, expected, agree=agree, path=path)
        return mismatch and Mismatch(mismatch.path, mismatch.found, mismatch.expected + allowed)

    return test


def _one_of(texts: tuple[str, ...]) -> Test:
    choices = [_parsed(text) for text in texts]

    def test(value: JsonValue, path: str) -> Mismatch | None:
        if any(difference(value, choice, agree=exactly, path=path) is None for choice in choices):
            return None
        listed = ", ".join(shown(choice, 40) for choice in choices[:5]) + ", …" * (len(choices) > 5)
        return Mismatch(path, shown(value), f"one of {listed}")

    return test


def _parsed(text: str) -> JsonValue:
    """Read an expected value; NaN and infinities are refused, because no answer can be near them."""
    try:
        value: JsonValue = json.loads(text)
    except (ValueError, RecursionError) as error:
        msg = f"expected value is no JSON ({error}): {text[:80]!r}"
        raise ExpectationError(msg) from None
    if deeper_than(value, DEEPEST):
        msg = f"expected value is nested more than {DEEPEST} levels deep"
        raise ExpectationError(msg)
    for path, leaf in leaves(value, "$"):
        if is_number(leaf) and not finite(leaf):
            msg = f"expected value holds {shown(leaf)} at {path}, which is no JSON and equal to nothing; leave it out"
            raise ExpectationError(msg)
    return value
