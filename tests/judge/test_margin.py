"""What is settled before the first window."""

import math
from decimal import Decimal

import pytest

from controller.judge import History, alpha_for_attempt, resolve_margin

HISTORY = History(40_000, 200)


@pytest.mark.parametrize(
    ("absolute", "relative", "history", "expected"),
    [
        ("0.01", None, None, 0.01),
        ("0", None, None, 0.0),
        (None, "0.5", HISTORY, 0.0025),
        ("0.01", "0.5", HISTORY, 0.01),
        ("0.001", "0.5", HISTORY, 0.0025),
        (None, "0.5", History(10, 0), 0.0),
    ],
)
def test_the_larger_margin_counts(absolute, relative, history, expected):
    found = resolve_margin(absolute and Decimal(absolute), relative and Decimal(relative), history)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("absolute", "relative", "history", "message"),
    [
        (None, None, HISTORY, "expected a margin, absolute or relative; found neither"),
        (None, "0.5", None, "needs stable's history"),
        ("0.01", "0.5", History(0, 0), "needs stable's history"),
        ("1", None, None, "below 1, found 1"),
        (None, "300", HISTORY, "below 1, found 1.5"),
    ],
)
def test_margins_that_cannot_be_resolved_are_refused(absolute, relative, history, message):
    with pytest.raises(ValueError, match=message):
        resolve_margin(absolute and Decimal(absolute), relative and Decimal(relative), history)


def test_trying_again_spends_no_more_than_alpha_in_total():
    spent = [alpha_for_attempt(0.05, attempt) for attempt in range(1, 200_001)]

    assert spent[0] == pytest.approx(0.05 * 6 / math.pi**2)
    assert spent[2] == pytest.approx(spent[0] / 9)
    assert 0.0499 < sum(spent) < 0.05
    with pytest.raises(ValueError, match="attempt of 1 or more, found 0"):
        alpha_for_attempt(0.05, 0)
