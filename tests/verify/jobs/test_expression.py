"""Expectations in CEL: what holds, what is refused and where, what is said of it, and that none costs much."""

import json
from typing import Final

import pytest

from controller.plan.verify.expression import LONGEST, MOST_STEPS, ExpressionError, check_expression, judge
from controller.plan.verify.summaries import SUMMARY_BYTES, Summary, read_summary

SUMMARY: Final[Summary] = {
    "rows": 950,
    "columns": {"age": {"nullRate": 0.02}, "income": {"nullRate": 0}, "null-rate": 3},
    "schema": {"age": "int", "income": "float"},
    "sizes": [1, 2, 30],
    "size": 4,
    "int": 3,
    "null-rate": 0.1,
    "nothing": None,
    "huge": 10**30,
}

HOLDS: Final = (
    "rows >= 950",
    "rows > 949.5",
    "columns.age.nullRate <= 0.02",
    "columns.income.nullRate <= 0.01",
    'schema == {"income": "float", "age": "int"}',
    'columns["null-rate"] == 3',
    'summary["null-rate"] < 1 && summary["int"] == 3',
    "sizes.all(each, each > 0) && rows > 0",
    "sizes.exists(each, each == 30)",
    "size(sizes) == 3 && sizes[0] == 1",
    "size == 4",
    "has(columns.age) && !has(columns.height)",
    "nothing == null",
    "huge > 1000000",
    "double(rows) * 0.1 < 96.0",
    'schema.age.startsWith("in")',
)


@pytest.mark.parametrize("text", HOLDS)
def test_holds(text: str) -> None:
    check_expression(text)
    assert judge(text, SUMMARY).holds, judge(text, SUMMARY).found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("rows >= 1000", "rows = 950"),
        ("columns.age.nullRate <= 0.01", "columns.age.nullRate = 0.02"),
        ('schema == {"age": "rows"}', 'schema = {"age": "int", "income": "float"}'),
        ("rows > 1000 || sizes[2] < 20", "rows = 950, sizes[2] = 30"),
        ("sizes.all(rows, rows < 10)", "sizes = [1, 2, 30], rows = 950"),
        ("heights.mean > 3", "the summary has no heights; it has: "),
        ("columns.height.nullRate < 0.1", "columns has no height; it has: age, income, null-rate"),
        ("rows.mean > 3", "rows is 950, which has no mean"),
        ("sizes[7] == 1", "sizes is [1, 2, 30], which has no 7"),
        ("rows > 'a'", "No matching overloads found : _>_(int64, string); rows = 950"),
        ("rows / 0 == 1", "divide by zero; rows = 950"),
        ("rows", "expected true or false, found 950; compare it with something; rows = 950"),
    ],
)
def test_what_does_not_hold_shows_its_operands_or_the_key_that_is_missing(text: str, found: str) -> None:
    judged = judge(text, SUMMARY)
    assert not judged.holds
    assert judged.found.startswith(found)


REFUSED: Final = (
    ("rows >=", "at character 8: Syntax error: mismatched input '<EOF>'"),
    ("rows >= 1 rows", "at character 11: Syntax error"),
    ("rows >= 1\n&& rows ! 3", "at line 2, character 9: Syntax error"),
    ('1 + "a" == 2', "at character 3: found no matching overload for '_+_'"),
    ("sizes.map(each, each + 1) == sizes", "at character 10: undeclared reference to 'map'"),
    ("sizes.filter(each, each > 1) == sizes", "undeclared reference to 'filter'"),
    ('schema.age.matches("(a*)*b")', "at character 19: undeclared reference to 'matches'"),
    ("load('x') == 1", "at character 5: undeclared reference to 'load'"),
    ("sizes.all(a, sizes.exists(b, a == b))", "at character 20: exists is a second loop"),
    ("(" * 60 + "true" + ")" * 60, "recursion limit exceeded"),
    ("!(" * 40 + "true" + ")" * 40, "recursion limit exceeded"),
    ("rows" + ".rows" * 60 + " == 1", "Exceeded max recursion depth"),
    ("+".join(["rows"] * 60) + " > 1", "Exceeded max recursion depth"),
    ("true || " * 100 + "true", f"expected an expression of at most {LONGEST} characters, found 804"),
    ("rows\0 > 3", "at character 5: Syntax error: token recognition error"),
    ("'\ud800' == 'a'", "half of a surrogate pair"),
    ("", "at character 1: Syntax error"),
)


@pytest.mark.parametrize(("text", "problem"), REFUSED)
def test_what_cannot_be_used_is_refused_with_its_position(text: str, problem: str) -> None:
    with pytest.raises(ExpressionError) as refusal:
        check_expression(text)
    assert problem in str(refusal.value)
    assert judge(text, SUMMARY).found == str(refusal.value)
    assert not judge(text, SUMMARY).holds


def test_names_that_will_not_be_there_are_refused_where_they_are_known() -> None:
    check_expression("ingest.rows > 3", frozenset({"ingest"}))
    with pytest.raises(ExpressionError, match=r"at character 6: undeclared reference to 'train\.rows'"):
        check_expression("train.rows > 3", frozenset({"ingest"}))


LARGEST: Final[Summary] = {"l": [1] * 1300, "s": "x" * 170}

EXPLODING: Final = (
    "l.all(a," + "&&".join(["l==l"] * 80) + ")",
    "l.all(a,[" + ",".join(["l"] * 200) + "]==[])",
    "[[" + ",".join(["l"] * 60) + "]].all(x," + "&&".join(["x==x"] * 40) + ")",
    "l.exists(a,a==2||" + "||".join(["s==s+s"] * 50) + ")",
)


@pytest.mark.parametrize("text", EXPLODING)
def test_the_costliest_expressions_over_the_largest_summary_are_refused(text: str) -> None:
    assert len(json.dumps(LARGEST)) <= SUMMARY_BYTES
    assert len(text) <= LONGEST
    judged = judge(text, LARGEST)
    assert not judged.holds
    assert judged.found.startswith((f"expected at most {MOST_STEPS} steps", "Exceeded max recursion depth"))


@pytest.mark.parametrize("text", ["l.all(a, a == 1)", "l.all(a, a >= 1 && a <= 3) || size(l) == 0", "l == l && s == s"])
def test_a_plain_loop_over_a_long_list_is_not(text: str) -> None:
    assert judge(text, {"l": [1] * 600, "s": "x" * 170}).holds


def test_as_much_as_the_limit_lets_through_ends() -> None:
    """The dearest that is let through: comparisons of the whole list, in a loop over it that goes to its end."""
    text = "l.all(a," + "&&".join(["l==l"] * 83) + ")"
    assert judge(text, {"l": [1] * 150}).holds
    assert judge(text, {"l": [1] * 256}).found.startswith("expected at most")


def test_values_that_cel_has_no_number_for_are_compared_as_doubles() -> None:
    summary = read_summary('{"n": -18446744073709551616, "far": 1' + "0" * 400 + "}")
    assert judge("n < 0 && far > 1.0", summary).holds


def test_a_text_of_half_a_character_is_a_finding_and_no_crash() -> None:
    assert not judge("s == 'a'", read_summary('{"s": "\\ud800"}')).holds
