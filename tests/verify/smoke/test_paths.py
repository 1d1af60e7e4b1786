"""Paths into an answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.plan.verify.findings import JsonValue
from controller.plan.verify.golden.mismatch import ExpectationError, Mismatch
from controller.plan.verify.golden.paths import parse_path

DOCUMENT: JsonValue = {"outputs": [{"data": [1, 2], "a b": 3}, {"data": [4]}], "none": [], "model-name": "m"}


def selected(path: str) -> list[tuple[str, JsonValue]]:
    found = parse_path(path).select(DOCUMENT)
    assert not isinstance(found, Mismatch), str(found)
    return list(found)


def missed(path: str) -> str:
    found = parse_path(path).select(DOCUMENT)
    assert isinstance(found, Mismatch)
    return str(found)


def test_every_form() -> None:
    assert selected("$") == [("$", DOCUMENT)]
    assert selected("$.outputs[0].data[1]") == [("$.outputs[0].data[1]", 2)]
    assert selected("$.outputs[0]['a b']") == [("$.outputs[0]['a b']", 3)]
    assert selected('$["model-name"]') == selected("$.model-name") == [("$.model-name", "m")]
    assert selected("$.outputs[*].data[*]") == [
        ("$.outputs[0].data[0]", 1),
        ("$.outputs[0].data[1]", 2),
        ("$.outputs[1].data[0]", 4),
    ]


def test_what_is_not_there_is_told_with_what_is() -> None:
    assert missed("$.predictions[0]") == (
        "$.predictions is missing (there is outputs, none, model-name), expected present"
    )
    assert missed("$.outputs[2]") == "$.outputs is a list of 2 entries, expected an entry at 2, counted from 0"
    assert missed("$.outputs.data").endswith("expected an object with 'data'")
    assert missed("$.none[*]") == "$.none is empty, expected at least one entry"
    assert missed("$.model-name[0]") == '$.model-name is "m", expected a list'
    assert missed("$.outputs[0].data[0][*]") == "$.outputs[0].data[0] is 1, expected a list"


def test_a_path_that_selects_too_much_says_so() -> None:
    many: JsonValue = [[0] * 200] * 200
    found = parse_path("$[*][*]").select(many)
    assert str(found) == "$[*][*] is 40000 values, expected at most 10000"


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("predictions", 1),
        ("$..a", 2),
        ("$.a[-1]", 4),
        ("$.a[0:2]", 4),
        ("$.a[?(@.b)]", 4),
        ("$.a.*", 4),
        ("$.a[", 4),
        ("$['a", 2),
        ("$a", 2),
        ("$.", 2),
        ("$ ", 2),
    ],
)
def test_what_is_not_supported_is_refused_with_its_place(path: str, place: int) -> None:
    with pytest.raises(ExpectationError, match=rf"cannot be read from character {place} on; a path is \$ followed by"):
        parse_path(path)


@given(st.text(alphabet="$.[]*'\"ab0-: ", max_size=12))
def test_any_text_is_refused_or_read_in_full(text: str) -> None:
    try:
        path = parse_path(text)
    except ExpectationError:
        return
    assert path.text == text
    assert len(path.steps) >= text.count("]")
