"""Roots of increasing functions."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.judge.numbers.roots import upper_root


@given(st.integers(-900, 900), st.sampled_from([1, 3, 7]), st.floats(min_value=0.01, max_value=1e3))
def test_the_root_is_found_from_above(thousandths, power, scale):
    root = thousandths / 1000
    found = upper_root(
        lambda x: scale * (x - root) * (abs(x - root) ** (power - 1)), low=-1.0, high=1.0, tolerance=1e-6
    )
    assert found >= root
    assert scale * (found - root) ** power <= 1e-6 or found - root <= 1e-6


def test_a_steep_function_takes_few_steps():
    calls = []

    def excess(x):
        calls.append(x)
        return math.exp(x) - 5.0

    assert upper_root(excess, low=0.0, high=20.0, tolerance=1e-10) == pytest.approx(math.log(5.0), abs=1e-9)
    assert len(calls) < 80


def test_the_ends_of_the_bracket():
    assert upper_root(lambda x: x - 3.0, low=0.0, high=2.0, tolerance=1e-9) is None
    assert upper_root(lambda x: x + 3.0, low=0.0, high=2.0, tolerance=1e-9) == 0.0
