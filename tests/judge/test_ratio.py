"""One window of a ratio metric: published values, the projection, exact validity by enumeration."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import comb

from controller.judge._mixture import Plain, log_mean
from controller.judge.kinds.ratio import (
    MARGIN_FRACTIONS,
    ODDS_RATIOS,
    Arm,
    History,
    Window,
    _iterated,
    log_factors,
    not_worse_alternatives,
    projections,
    worse_alternatives,
)

rates = st.floats(min_value=1e-4, max_value=1 - 1e-4)
margins = st.floats(min_value=1e-4, max_value=0.9)
totals = st.integers(min_value=1, max_value=100_000)


def one_factor(window, *, rate, margin, alternative):
    (factor,) = log_factors(window, rate=rate, margin=margin, alternatives=(alternative,))
    return factor


def test_published_value_c31():
    window = Window(stable=Arm(3, 1), candidate=Arm(2, 2))

    assert projections(0.1, (0.4,), margin=0.0, weights=(3, 2)) == pytest.approx((0.22,), abs=1e-15)
    assert math.exp(one_factor(window, rate=0.1, margin=0.0, alternative=0.4)) == pytest.approx(2.00054237, abs=5e-9)


def test_published_value_c28():
    # Beta(1,1) predictive: both rates ½ before the first block, 1/3 and 2/3 after it.
    block = Window(stable=Arm(1, 0), candidate=Arm(1, 1))
    first = one_factor(block, rate=1 / 2, margin=0.0, alternative=1 / 2)
    second = one_factor(block, rate=1 / 3, margin=0.0, alternative=2 / 3)

    assert math.exp(first) == pytest.approx(1.0)
    assert math.exp(first + second) == pytest.approx(16 / 9)


def test_guess_of_stables_rate():
    assert History(0, 0).expected_rate == 0.5
    assert History(0, 0).rate is None
    assert History(199, 9).learn(Arm(800, 40)) == History(999, 49)
    assert History(999, 49).expected_rate == pytest.approx(0.0495)
    assert History(1000, 50).rate == 0.05


def test_alternatives_follow_the_formula():
    worse = worse_alternatives(0.08, 0.01)
    odds = [alternative / (1 - alternative) / (0.09 / 0.91) for alternative in worse]

    assert odds == pytest.approx(list(ODDS_RATIOS))
    assert not_worse_alternatives(0.08, 0.01) == pytest.approx([0.07, 0.075, 0.08, 0.0825, 0.085, 0.0875])


def test_alternatives_at_the_edges_stay_rates_or_bet_nothing():
    window = Window(stable=Arm(100, 99), candidate=Arm(100, 100))

    assert log_factors(window, rate=0.95, margin=0.1, alternatives=worse_alternatives(0.95, 0.1)) == (0.0,) * 10
    assert log_factors(window, rate=0.3, margin=0.0, alternatives=not_worse_alternatives(0.3, 0.0)) == (0.0,) * 6
    assert all(0 < alternative < 1 for alternative in not_worse_alternatives(0.001, 0.01))
    assert all(0 < alternative < 1 for alternative in not_worse_alternatives(0.9, 0.5))


@pytest.mark.parametrize(("total", "bad"), [(1, 2), (1, -1), (math.nan, 0), (math.inf, 1), (10, math.nan)])
def test_impossible_counts_are_refused(total, bad):
    with pytest.raises(ValueError, match="expected 0 <= bad <= total"):
        Arm(total, bad)


@given(rate=rates, margin=margins, n0=totals, n1=totals, data=st.data())
def test_projection_is_the_root_of_the_formula(rate, margin, n0, n1, data):
    choose = data.draw(st.sampled_from([worse_alternatives, not_worse_alternatives]))
    alternative = data.draw(st.sampled_from(choose(rate, margin)))
    if alternative == rate + margin or min(alternative, 1 - alternative) < 1e-6:
        return

    def slope(s):
        stable = n0 * ((1 - rate) / (1 - s) - rate / s)
        return stable + n1 * ((1 - alternative) / (1 - s - margin) - alternative / (s + margin))

    bracket = max(min(rate, alternative - margin), 1e-14), min(max(rate, alternative - margin), 1 - margin - 1e-14)
    expected = brentq(slope, *bracket, xtol=1e-16, rtol=1e-14) if slope(bracket[0]) < 0 < slope(bracket[1]) else None

    (found,) = projections(rate, (alternative,), margin=margin, weights=(n0, n1))
    assert bracket[0] * (1 - 1e-9) <= found <= bracket[1] + 1e-12
    if expected is not None:
        assert found == pytest.approx(expected, rel=1e-9)


edges = st.floats(-9, -0.01).map(lambda power: 10**power)


@given(rate=st.one_of(edges, edges.map(lambda x: 1 - x)), margin=edges, n0=edges, n1=edges, data=st.data())
def test_closed_form_is_as_exact_as_newtons_method_at_the_edges_too(rate, margin, n0, n1, data):
    choose = data.draw(st.sampled_from([worse_alternatives, not_worse_alternatives]))
    alternative = data.draw(st.sampled_from(choose(rate, margin)))
    expected = _iterated(rate, alternative, margin=margin, weights=(n0, n1))
    if alternative == rate + margin or expected <= 0.0 or expected + margin >= 1.0:
        return

    (found,) = projections(rate, (alternative,), margin=margin, weights=(n0, n1))
    assert found == pytest.approx(expected, rel=1e-12, abs=0)


def expectation(evidence, n0, n1, p0, p1):
    """E[e] of a table of e-values by (bad of stable, bad of candidate) under the rates p0 and p1."""

    def binomial(n, p):
        k = np.arange(n + 1)
        return comb(n, k) * p**k * (1 - p) ** (n - k)

    return float(binomial(n0, p0) @ evidence @ binomial(n1, p1))


def table(n0, n1, *, rate, margin, alternatives):
    return np.array(
        [
            [
                math.exp(
                    log_mean(
                        log_factors(
                            Window(Arm(n0, k0), Arm(n1, k1)), rate=rate, margin=margin, alternatives=alternatives
                        )
                    )
                )
                for k1 in range(n1 + 1)
            ]
            for k0 in range(n0 + 1)
        ]
    )


@pytest.mark.parametrize(("n0", "n1"), [(3, 2), (1, 19), (15, 5), (10, 10)])
@pytest.mark.parametrize("margin", [0.0, 0.01, 0.2, 0.7])
@pytest.mark.parametrize("rate", [0.01, 0.25, 0.9])
def test_expectation_is_at_most_one_wherever_the_null_holds(n0, n1, margin, rate):
    worse = table(n0, n1, rate=rate, margin=margin, alternatives=worse_alternatives(rate, margin))
    not_worse = table(n0, n1, rate=rate, margin=margin, alternatives=not_worse_alternatives(rate, margin))

    for p0 in np.linspace(0, 1, 41):
        line = min(p0 + margin, 1.0)
        for p1 in (line, line * 0.9, line / 2, 0.0):
            assert expectation(worse, n0, n1, p0, p1) <= 1 + 1e-9
        if p0 + margin <= 1:
            for p1 in (line, 1 - (1 - line) * 0.9, (1 + line) / 2, 1.0):
                assert expectation(not_worse, n0, n1, p0, p1) <= 1 + 1e-9


def test_the_bound_is_reached_so_that_the_enumeration_could_fail():
    worse = table(15, 5, rate=0.25, margin=0.2, alternatives=(0.8,))
    (s,) = projections(0.25, (0.8,), margin=0.2, weights=(15, 5))

    assert expectation(worse, 15, 5, s, s + 0.2) == pytest.approx(1.0, abs=1e-12)
    assert expectation(worse, 15, 5, s, s + 0.3) > 1.1


@given(rate=rates, alternative=rates, n0=totals, n1=totals, data=st.data())
def test_splitting_a_window_in_equal_halves_changes_nothing_at_margin_zero(rate, alternative, n0, n1, data):
    k0, k1 = data.draw(st.integers(0, n0)), data.draw(st.integers(0, n1))
    whole = Window(Arm(2 * n0, 2 * k0), Arm(2 * n1, 2 * k1))
    half = Window(Arm(n0, k0), Arm(n1, k1))

    twice = 2 * one_factor(half, rate=rate, margin=0.0, alternative=alternative)
    assert one_factor(whole, rate=rate, margin=0.0, alternative=alternative) == pytest.approx(twice, rel=1e-9, abs=1e-6)


@given(rate=rates, margin=margins, n0=totals, n1=totals, data=st.data())
def test_one_more_bad_candidate_request_never_speaks_for_the_candidate(rate, margin, n0, n1, data):
    k0, k1 = data.draw(st.integers(0, n0)), data.draw(st.integers(0, n1 - 1))
    fewer, more = (Window(Arm(n0, k0), Arm(n1, k1 + extra)) for extra in (0, 1))

    for alternative in worse_alternatives(rate, margin):
        args = {"rate": rate, "margin": margin, "alternative": alternative}
        assert one_factor(more, **args) >= one_factor(fewer, **args) - 1e-6
    for alternative in not_worse_alternatives(rate, margin):
        args = {"rate": rate, "margin": margin, "alternative": alternative}
        assert one_factor(more, **args) <= one_factor(fewer, **args) + 1e-6


@given(
    rate=st.floats(min_value=5e-10, max_value=1 - 5e-10),
    margin=st.floats(min_value=0.0, max_value=0.999999),
    n0=st.sampled_from([1, 20, 10**4, 10**9]),
    n1=st.sampled_from([1, 20, 10**4, 10**9]),
    shares=st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 1.0])),
)
def test_extreme_counts_and_margins_give_finite_evidence(rate, margin, n0, n1, shares):
    window = Window(Arm(n0, n0 * shares[0]), Arm(n1, n1 * shares[1]))
    for choose, count in ((worse_alternatives, len(ODDS_RATIOS)), (not_worse_alternatives, len(MARGIN_FRACTIONS))):
        factors = log_factors(window, rate=rate, margin=margin, alternatives=choose(rate, margin))
        assert len(factors) == count
        assert all(math.isfinite(factor) for factor in factors)
        assert math.isfinite(Plain.start(count).update(factors).log_value)
