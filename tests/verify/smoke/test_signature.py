"""Differences of two signatures: which ones clients would trip over."""

import pytest

from controller.plan.verify.signature import Direction, SignaturePart, signature_changes

IN, OUT = Direction.INPUT, Direction.OUTPUT


def part(name: str = "x", datatype: str = "FP32", *shape: int) -> SignaturePart:
    return SignaturePart(name, datatype, shape)


def shapes(direction: str, new: str, old: str) -> str:
    return f"{direction} x FP32{new} has another shape than stable's x FP32{old}"


@pytest.mark.parametrize(
    ("direction", "stable", "candidate", "sentence", "breaking"),
    [
        (IN, part("age"), part("years"), "input age FP32 of stable is missing; the candidate has years FP32", True),
        (OUT, part("p"), part("q"), "output p FP32 of stable is missing; the candidate has q FP32", True),
        (IN, part("x", "FP32"), part("x", "FP64"), "input x is FP64, stable's is FP32", True),
        (IN, part("x", "FP32", -1, 2), part("x", "FP32", -1, 3), shapes("input", "[any, 3]", "[any, 2]"), True),
        (IN, part("x", "FP32", 1, 2), part("x", "FP32", -1, 2), shapes("input", "[any, 2]", "[1, 2]"), False),
        (IN, part("x", "FP32", -1, 2), part("x", "FP32", 1, 2), shapes("input", "[1, 2]", "[any, 2]"), True),
        (OUT, part("x", "FP32", -1), part("x", "FP32", 3), shapes("output", "[3]", "[any]"), False),
        (OUT, part("x", "FP32", 3), part("x", "FP32", -1), shapes("output", "[any]", "[3]"), True),
        (OUT, part("x", "FP32", 3), part("x", "FP32", 3, 1), shapes("output", "[3, 1]", "[3]"), True),
    ],
)
def test_one_change(
    direction: Direction, stable: SignaturePart, candidate: SignaturePart, sentence: str, breaking: bool
) -> None:
    first = signature_changes(direction, stable=[stable], candidate=[candidate])[0]
    assert (first.words, first.breaking) == (sentence, breaking)


def test_what_is_added_breaks_nothing_but_a_new_input_is_marked() -> None:
    for direction in Direction:
        (change,) = signature_changes(direction, stable=[part("a")], candidate=[part("b"), part("a")])
        assert change.words == f"{direction} b FP32 is new"
        assert not change.breaking
        assert change.added_input is (direction is IN)


def test_the_order_of_tensors_and_what_is_unknown_change_nothing() -> None:
    both = [part("a"), part("b", "FP64", 1)]
    assert signature_changes(IN, stable=both, candidate=both[::-1]) == ()
    assert signature_changes(IN, stable=both, candidate=[part("a", "FP32", 5), part("b", "FP64")]) == ()
    assert signature_changes(IN, stable=[], candidate=both) == ()
    assert signature_changes(IN, stable=both, candidate=[]) == ()
