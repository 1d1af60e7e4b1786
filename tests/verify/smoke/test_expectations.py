"""Each kind of expectation, held against answers that pass and answers that only look like it."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.api.verify import Expectation
from controller.plan.verify.findings import JsonValue
from controller.plan.verify.golden import ExpectationError, requirement


def words(expectation: dict[str, Any], output: JsonValue, body: JsonValue = None) -> str:
    """Return the sentence about an answer that is not as expected; empty when it is."""
    found = requirement(Expectation.model_validate(expectation)).mismatch(output=output, body=body)
    return str(found or "")


def refusal(expectation: dict[str, Any]) -> str:
    with pytest.raises(ExpectationError) as caught:
        requirement(Expectation.model_validate(expectation))
    return str(caught.value)


@pytest.mark.parametrize(
    ("expectation", "output"),
    [
        ({"equals": "[1, 2]"}, [1.0, 2]),
        ({"equals": '"cat"'}, "cat"),
        ({"equals": "null"}, None),
        ({"approx": {"value": "[1.0, [2]]", "atol": "0.1"}}, [1.1, [1.9]]),
        ({"approx": {"value": '{"p": 1, "label": "cat"}', "rtol": "0.1"}}, {"p": 1.1, "label": "cat"}),
        ({"oneOf": ['"cat"', '"dog"']}, "dog"),
        ({"oneOf": ["1", "[2]"]}, [2.0]),
        ({"argmaxEquals": 2}, [0.1, 0.2, 0.7]),
        ({"argmaxEquals": 2}, [[0.1, 0.2, 0.7]]),
        ({"argmaxEquals": 0}, [3]),
        ({"topK": {"k": 2, "contains": [2, 0]}}, [0.3, 0.1, 0.6]),
        ({"topK": {"k": 2, "contains": [1]}}, [0.3, 0.3, 0.1]),
        ({"topK": {"k": 3, "contains": [1]}}, [0.3, 0.1, 0.6]),
        ({"range": {"min": "0", "max": "1"}}, [0, 1, 0.5]),
        ({"range": {"min": "-1.5"}}, {"a": [-1.5], "label": "x"}),
        ({"finite": True}, [[1, 2.5], {"score": -1}]),
        ({"finite": True}, 10**400),
        ({"jsonSchema": '{"type": "array", "items": {"type": "number"}, "minItems": 1}'}, [1.5]),
        ({"regex": "^par"}, "paris"),
        ({"regex": "is$"}, ["paris"]),
        ({"regex": "(?i)PARIS"}, "in paris, of course"),
    ],
)
def test_answers_as_expected(expectation: dict[str, Any], output: JsonValue) -> None:
    assert words(expectation, output) == ""


@pytest.mark.parametrize(
    ("expectation", "output", "sentence"),
    [
        ({"equals": "5"}, 3, "answer is 3, expected 5"),
        ({"equals": "1"}, True, "answer is true, expected 1"),
        ({"equals": "[1]"}, [math.nan], "answer[0] is NaN, expected 1"),
        (
            {"approx": {"value": "[1]", "atol": "0.1"}},
            [1.2],
            "answer[0] is 1.2, expected 1 within atol 0.1 and rtol 0",
        ),
        ({"approx": {"value": "1", "atol": "9"}}, "1", 'answer is "1", expected 1 within atol 9 and rtol 0'),
        ({"approx": {"value": "1", "atol": "9"}}, math.nan, "answer is NaN, expected 1 within atol 9 and rtol 0"),
        ({"approx": {"value": "1", "rtol": "9"}}, math.inf, "answer is Infinity, expected 1 within atol 0 and rtol 9"),
        ({"approx": {"value": "1", "atol": "9"}}, [1], "answer is [1], expected 1 within atol 9 and rtol 0"),
        ({"oneOf": ['"cat"', "1"]}, "1", 'answer is "1", expected one of "cat", 1'),
        ({"argmaxEquals": 1}, [0.9, 0.1], "answer is largest at 0 (0.9), expected largest at 1 (1 has 0.1)"),
        ({"argmaxEquals": 5}, [0.9, 0.1], "answer is largest at 0 (0.9), expected largest at 5 (there are 2 scores)"),
        (
            {"argmaxEquals": 0},
            [0.5, 0.5, 0],
            "answer is largest at 0 and 1 alike (0.5), expected largest at 0 (0 has 0.5)",
        ),
        (
            {"argmaxEquals": 0},
            [1, math.nan],
            "answer is a list of 2 entries with NaN, expected a list of scores, each a finite number",
        ),
        ({"argmaxEquals": 0}, [[1, 2], [2, 1]], "answer is a list of 2 entries with [1, 2], expected a list of scores"),
        ({"argmaxEquals": 0}, [], "answer is [], expected a list of scores"),
        ({"argmaxEquals": 0}, 5, "answer is 5, expected a list of scores"),
        ({"argmaxEquals": 0}, [True, False], "answer is a list of 2 entries with true, expected a list of scores"),
        (
            {"topK": {"k": 1, "contains": [1]}},
            [0.6, 0.4],
            "answer is largest at 0 (1 has 0.4), expected 1 among the 1 largest",
        ),
        (
            {"topK": {"k": 2, "contains": [1]}},
            [0.3, 0.3, 0.3],
            "answer is largest at 0 and 1 (1 has 0.3), expected 1 among the 2 largest",
        ),
        (
            {"topK": {"k": 5, "contains": [0]}},
            [0.6, 0.4],
            "answer is a list of 2 scores, expected at least 5, to have 5 largest",
        ),
        (
            {"topK": {"k": 1, "contains": [7]}},
            [0.6, 0.4],
            "answer is largest at 0 (there are 2 scores), expected 7 among the 1 largest",
        ),
        ({"range": {"max": "1"}}, [0.5, 1.5], "answer[1] is 1.5, expected a number of at most 1"),
        (
            {"range": {"min": "0", "max": "1"}},
            {"p": math.nan},
            "answer.p is NaN, expected a number of at least 0 and at most 1",
        ),
        ({"range": {"min": "0"}}, ["0.5"], 'answer is ["0.5"] without a number, expected a number of at least 0'),
        ({"finite": True}, [1, math.inf], "answer[1] is Infinity, expected a finite number"),
        ({"finite": True}, [1, "NaN"], 'answer[1] is "NaN", expected a finite number'),
        ({"finite": True}, [1, "-Infinity"], 'answer[1] is "-Infinity", expected a finite number'),
        ({"finite": True}, [1, None], "answer[1] is null, expected a finite number"),
        ({"finite": True}, [], "answer is [] without a number, expected a finite number"),
        ({"finite": True}, ["1.5"], 'answer is ["1.5"] without a number, expected a finite number'),
        ({"finite": True}, True, "answer is true without a number, expected a finite number"),
        ({"regex": "^par"}, "in paris", 'answer is "in paris", expected a text that matches ^par'),
        ({"regex": "1"}, 1, "answer is 1, expected a text that matches 1"),
    ],
)
def test_answers_that_are_not(expectation: dict[str, Any], output: JsonValue, sentence: str) -> None:
    assert words(expectation, output).startswith(sentence)


def test_a_path_looks_at_the_whole_body_and_names_the_place() -> None:
    body: JsonValue = {"predictions": [3], "scores": [[0.2, 0.8]]}
    assert words({"path": "$.predictions[0]", "equals": "5"}, None, body) == "$.predictions[0] is 3, expected 5"
    assert words({"path": "$.scores[0]", "argmaxEquals": 1}, None, body) == ""
    assert words({"path": "$.labels", "finite": True}, None, body).startswith("$.labels is missing")


def test_a_path_with_a_star_must_hold_of_each_and_of_one_at_least() -> None:
    body: JsonValue = {"p": [{"score": 0.5}, {"score": 1.5}], "none": []}
    assert words({"path": "$.p[*].score", "range": {"max": "2"}}, None, body) == ""
    assert words({"path": "$.p[*].score", "range": {"max": "1"}}, None, body).startswith("$.p[1].score is 1.5")
    assert words({"path": "$.none[*]", "range": {"max": "1"}}, None, body).startswith("$.none is empty")


@pytest.mark.parametrize(
    ("expectation", "sentence"),
    [
        ({"equals": "[NaN]"}, "expected value holds NaN at $[0], which is no JSON and equal to nothing; leave it out"),
        ({"approx": {"value": "-Infinity"}}, "expected value holds -Infinity at $"),
        ({"approx": {"value": '"cat"'}}, 'approx holds no number: "cat"; use equals'),
        ({"oneOf": ["1", "NaN"]}, "expected value holds NaN"),
        ({"equals": "[" * 70 + "]" * 70}, "expected value is nested more than 64 levels deep"),
        ({"range": {"min": "2", "max": "1"}}, "range is empty: min 2 is larger than max 1"),
        ({"topK": {"k": 1, "contains": [0, 1]}}, "topK names 2 positions, which cannot all be among the 1 largest"),
        ({"regex": "("}, "expression '(' is none of RE2's: missing ): ("),
        ({"regex": "(?=a)"}, "expression '(?=a)' is none of RE2's: invalid perl operator"),
        ({"regex": "((((a{99}){99}){99}){99})"}, "is none of RE2's: invalid repetition size: {99}"),
        ({"path": "predictions", "finite": True}, "path 'predictions' cannot be read from character 1 on"),
    ],
)
def test_expectations_that_cannot_be_meant(expectation: dict[str, Any], sentence: str) -> None:
    assert sentence in refusal(expectation)


def test_expressions_that_need_centuries_elsewhere_end() -> None:
    assert words({"regex": "^(a+)+$"}, "a" * 1_000_000 + "b").endswith("expected a text that matches ^(a+)+$")
    assert words({"regex": "(x+x+)+y"}, "x" * 100_000).endswith("expected a text that matches (x+x+)+y")


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=8), st.integers(0, 9))
def test_the_largest_is_at_one_place_or_at_none(scores: list[float], place: int) -> None:
    passes = words({"argmaxEquals": place}, [*scores]) == ""
    assert passes == (place < len(scores) and all(scores[place] > s for i, s in enumerate(scores) if i != place))


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=8),
    st.integers(1, 8),
    st.randoms(use_true_random=False),
)
def test_top_k_holds_for_every_way_of_breaking_ties(scores: list[int], k: int, random: Any) -> None:
    order = sorted(range(len(scores)), key=lambda at: (-scores[at], random.random()))
    for place in range(len(scores)):
        if words({"topK": {"k": k, "contains": [place]}}, [*scores]) == "":
            assert place in order[:k]


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=3), st.lists, max_leaves=10))
def test_what_is_finite_can_be_written_as_json(value: JsonValue) -> None:
    if words({"finite": True}, value) == "":
        json.dumps(value, allow_nan=False)
