"""Two answers held against each other: the same for both orders of asking, exact where numbers are."""

import json
import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.api.verify import Tolerance
from controller.plan.verify.findings import JsonValue
from controller.plan.verify.golden.comparison import difference, exactly, within
from controller.plan.verify.golden.mismatch import shown
from controller.plan.verify.nesting import DEEPEST, deeper_than

NUMBERS = st.integers() | st.floats(allow_nan=False)
SCALARS = st.none() | st.booleans() | NUMBERS | st.text(max_size=5)
VALUES: st.SearchStrategy[JsonValue] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


def words(found: JsonValue, expected: JsonValue, tolerance: Tolerance | None = None) -> str:
    agree = exactly if tolerance is None else within(tolerance)
    return str(difference(found, expected, agree=agree, path="answer") or "")


def tolerance(*, atol: str = "0", rtol: str = "0") -> Tolerance:
    return Tolerance(atol=Decimal(atol), rtol=Decimal(rtol))


@given(VALUES)
def test_a_value_equals_itself_after_a_journey_through_json(value: JsonValue) -> None:
    assert words(json.loads(json.dumps(value)), value) == ""


@given(VALUES, VALUES)
def test_whether_two_values_differ_does_not_depend_on_their_order(one: JsonValue, other: JsonValue) -> None:
    assert bool(words(one, other)) == bool(words(other, one))


@given(VALUES, VALUES)
def test_values_without_a_difference_are_written_alike_or_are_the_same_number(one: JsonValue, other: JsonValue) -> None:
    if words(one, other) == "":
        assert one == other


@given(st.lists(NUMBERS, min_size=1, max_size=6), st.data())
def test_the_first_number_that_differs_is_named(numbers: list[int | float], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(numbers) - 1))
    changed: list[JsonValue] = [*numbers]
    changed[at] = "text"
    assert words(changed, [*numbers]).startswith(f'answer[{at}] is "text", expected ')


@given(
    expected=st.decimals(min_value=-1000, max_value=1000, places=3),
    steps=st.integers(min_value=-3, max_value=3),
)
def test_the_edge_of_the_tolerance_is_inside_as_it_is_written(expected: Decimal, steps: int) -> None:
    found = expected + steps * Decimal("0.1")
    near = words(float(found), float(expected), tolerance(atol="0.2"))
    assert (near == "") == (abs(steps) <= 2)


def test_the_tolerance_grows_with_the_expected_number_not_with_the_found_one() -> None:
    assert words(110, 100, tolerance(rtol="0.1")) == ""
    assert words(100, 111.2, tolerance(rtol="0.1")) != ""


@pytest.mark.parametrize(
    ("found", "expected", "sentence"),
    [
        (True, 1, "answer is true, expected 1"),
        (0, False, "answer is 0, expected false"),
        ("1", 1, 'answer is "1", expected 1'),
        (None, 0, "answer is null, expected 0"),
        (math.nan, math.nan, "answer is NaN, expected NaN"),
        ([1, 2], [1], "answer is a list of 2 entries: [1, 2], expected a list of 1 entry: [1]"),
        ([[1], [2]], [1, 2], "answer[0] is [1], expected 1"),
        ({"a": 1}, {"b": 1}, "answer.b is missing, expected 1"),
        ({"a": 1, "b c": 2}, {"a": 1}, "answer['b c'] is 2, expected nothing"),
        (2**53 + 1, float(2**53), "answer is 9007199254740993, expected 9007199254740992.0"),
    ],
)
def test_differences_in_words(found: JsonValue, expected: JsonValue, sentence: str) -> None:
    assert words(found, expected) == sentence


def test_one_and_one_point_zero_are_the_same_number() -> None:
    assert words([1, {"a": 2.0}], [1.0, {"a": 2}]) == ""


@pytest.mark.parametrize(
    ("found", "expected", "same"),
    [
        (math.nan, math.nan, True),
        (math.nan, 1.0, False),
        (1.0, math.nan, False),
        (math.inf, math.inf, True),
        (math.inf, -math.inf, False),
        (1e308, math.inf, False),
        (10**400, 10**400 + 1, True),
        (10**400, 1.0, False),
        (math.inf, 10**400, False),
    ],
)
def test_numbers_beyond_the_finite_agree_only_with_their_like(
    found: int | float, expected: int | float, same: bool
) -> None:
    assert (words(found, expected, tolerance(atol="5", rtol="0.5")) == "") is same


def test_halves_of_characters_can_be_printed() -> None:
    assert words(json.loads('"\\ud800"'), "x") == 'answer is "\ufffd", expected "x"'
    assert words({json.loads('"\\ud800"'): 1}, {}) == "answer['\ufffd'] is 1, expected nothing"


def test_long_values_are_cut_in_the_middle() -> None:
    assert len(shown(["x" * 10_000])) < 90


@given(st.integers(0, 2 * DEEPEST))
def test_depth_is_counted_without_recursion(depth: int) -> None:
    nested: JsonValue = 1
    for _ in range(depth):
        nested = [nested]
    assert deeper_than(nested, DEEPEST) == (depth > DEEPEST)
