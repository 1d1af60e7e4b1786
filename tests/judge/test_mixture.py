"""Means and mixtures of e-values in logarithms."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.judge._mixture import Plain, Restart, log_add, log_mean

logs = st.lists(st.floats(min_value=-50, max_value=50), min_size=1, max_size=10)


@given(logs)
def test_log_mean_is_the_logarithm_of_the_mean(values):
    expected = math.fsum(math.exp(value) for value in values) / len(values)
    assert log_mean(tuple(values)) == pytest.approx(math.log(expected), abs=1e-9)


def test_log_mean_survives_what_exp_does_not():
    assert log_mean((2000.0, -2000.0)) == pytest.approx(2000 - math.log(2))
    assert log_mean((-math.inf, -math.inf)) == -math.inf
    assert log_mean(()) == 0.0


@given(st.floats(min_value=-600, max_value=600), st.floats(min_value=-600, max_value=600))
def test_log_add(a, b):
    assert log_add(a, b) == pytest.approx(math.log(math.exp(a) + math.exp(b)))
    assert log_add(a, -math.inf) == a


def restart_by_definition(factors, horizon):
    """F6 as it is written: A_j ← (A_j + w_t)·e_jt, E = mean A_j + (1 − Σw)."""
    begun, spent = [0.0] * len(factors[0]), 0.0
    for number, window in enumerate(factors, start=1):
        weight = 0.5 if number == 1 else 0.5 / (horizon - 1) if number <= horizon else 0.0
        spent += weight
        begun = [(value + weight) * factor for value, factor in zip(begun, window, strict=True)]
    return sum(begun) / len(begun) + (1 - spent)


@given(
    st.lists(st.tuples(*[st.floats(min_value=0.01, max_value=100)] * 3), min_size=1, max_size=12),
    st.integers(min_value=2, max_value=9),
)
def test_restart_mixture_is_the_formula(factors, horizon):
    process = Restart.start(3, horizon)
    for window in factors:
        process = process.update(tuple(math.log(factor) for factor in window))

    assert math.exp(process.log_value) == pytest.approx(restart_by_definition(factors, horizon), rel=1e-9)


@pytest.mark.parametrize("horizon", [1, 2, 3, 500])
def test_restart_mixture_of_windows_that_say_nothing_stays_one(horizon):
    process = Restart.start(2, horizon)
    for _ in range(horizon + 3):
        process = process.update((0.0, 0.0))
        assert process.log_value == pytest.approx(0.0, abs=1e-12)


def test_restart_mixture_forgives_a_bad_beginning():
    plain, restart = Plain.start(1), Restart.start(1, 100)
    for factor in [-5.0] * 20 + [1.0] * 10:
        plain, restart = plain.update((factor,)), restart.update((factor,))

    assert plain.log_value == pytest.approx(-90)
    assert restart.log_value > 10 - math.log(2 * 99)


def test_a_horizon_without_windows_is_refused():
    with pytest.raises(ValueError, match="horizon of at least 1 window, found 0"):
        Restart.start(2, 0)
