"""Logarithms of tails that no float can hold."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import betainc, betaln, stdtr

from controller.judge.numbers.tails import log_beta_cdf, log_student_cdf


def log_cdf(x, freedom):
    (value,) = log_student_cdf(np.array([x]), np.array([float(freedom)]))
    return float(value)


def by_quadrature(x, freedom):
    """Log P(T ≤ x) for x < 0, integrating the density relative to what it is at x."""
    power = (freedom + 1) / 2
    width = 1 / (power * 2 * abs(x) / (freedom + x * x))

    def relative(step):
        beyond = x - width * step
        return width * math.exp(power * (math.log1p(x * x / freedom) - math.log1p(beyond * beyond / freedom)))

    area, _ = quad(relative, 0, np.inf, epsabs=0, epsrel=1e-12, limit=500)
    return math.log(area) - power * math.log1p(x * x / freedom) - betaln(freedom / 2, 0.5) - 0.5 * math.log(freedom)


@pytest.mark.parametrize("freedom", [1, 2, 5, 20, 500, 10_000])
@pytest.mark.parametrize("x", [-0.5, -3.0, -30.0, -36.0, -41.0, -1e3, -1e6])
def test_far_tails_are_right_where_no_float_holds_them(x, freedom):
    assert log_cdf(x, freedom) == pytest.approx(by_quadrature(x, freedom), rel=1e-10)


def test_the_tail_of_two_degrees_is_known():
    # F(x) = ½ + x/(2√(2 + x²)), which is 1/(2x²) far out.
    assert log_cdf(-1e9, 2) == pytest.approx(-math.log(2e18), rel=1e-12)
    assert log_cdf(1.0, 2) == pytest.approx(math.log(0.5 + 1 / (2 * math.sqrt(3))), rel=1e-12)
    assert log_cdf(0.0, 7) == pytest.approx(-math.log(2), rel=1e-15)
    assert log_cdf(1e9, 500) == 0.0


def test_a_tail_below_any_float_stays_finite():
    assert stdtr(100_000, -60.0) == 0.0
    assert log_cdf(-60.0, 100_000) == pytest.approx(by_quadrature(-60.0, 100_000), rel=1e-9)
    assert math.isfinite(log_cdf(-1e9, 1_000_000))


@given(freedom=st.sampled_from([1, 3, 30, 300, 10**5]), data=st.data())
def test_the_two_ways_of_computing_it_meet(freedom, data):
    x = -math.exp(data.draw(st.floats(min_value=-3, max_value=12)))
    closer, further = log_cdf(x * (1 - 1e-3), freedom), log_cdf(x * (1 + 1e-3), freedom)
    assert further < log_cdf(x, freedom) < closer
    # The slope of ln F by ln|x| is between 0 and the far one; a step where the ways meet would break it.
    assert closer - further < 2e-3 * 1.01 * (freedom + x * x)


@pytest.mark.parametrize(("x", "a", "b"), [(0.3, 20.0, 10.0), (0.5, 200.0, 100.0), (0.1, 2.0, 7.0), (0.9, 3.0, 3.0)])
def test_log_beta_where_a_float_holds_it(x, a, b):
    assert log_beta_cdf(x, a=a, b=b) == pytest.approx(math.log(betainc(a, b, x)), rel=1e-12)


def test_log_beta_where_none_does():
    assert betainc(5000.0, 10.0, 0.1) == 0.0
    # I_x(a, 1) = x^a, and I_x(a, 2) = x^a·(1 + a(1 − x)).
    assert log_beta_cdf(0.3, a=1e6, b=1.0) == pytest.approx(1e6 * math.log(0.3), rel=1e-12)
    assert log_beta_cdf(0.5, a=1e5, b=2.0) == pytest.approx(1e5 * math.log(0.5) + math.log1p(0.5e5), rel=1e-12)
    # P(Bin(4000, ½) ≤ 1000) is ½^4000 times a sum of whole numbers.
    exact = sum(math.comb(4000, k) for k in range(1001))
    assert log_beta_cdf(0.5, a=3000.0, b=1001.0) == pytest.approx(math.log(exact) - 4000 * math.log(2), rel=1e-12)
    assert math.isfinite(log_beta_cdf(0.5, a=5e8 + 4e5, b=5e8 - 4e5))
