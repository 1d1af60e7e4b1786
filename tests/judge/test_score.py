"""The stratified score: known values, its variance, Simpson's paradox."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import comb

from controller.judge._process import Window
from controller.judge.kinds.ratio import Arm
from controller.judge.kinds.score import StratifiedScore

totals = st.integers(1, 10**6)
rates = st.floats(0.0, 1.0)


def score_of(*tables):
    score = StratifiedScore()
    for n0, k0, n1, k1 in tables:
        score = score.update(Window(Arm(n0, k0), Arm(n1, k1)))
    return score


def test_one_window_against_the_textbook():
    # Mantel and Haenszel's estimate is the plain difference; c49 gives the pooled z of 2.822, this is the unpooled.
    score = score_of((1800, 45, 200, 12))
    assert score.difference / score.weight == pytest.approx(12 / 200 - 45 / 1800)
    variance = score.information(12 / 200 - 45 / 1800) / score.weight**2
    assert variance == pytest.approx(0.06 * 0.94 / 200 + 0.025 * 0.975 / 1800, rel=1e-9)


@pytest.mark.parametrize(("n0", "n1"), [(1, 1), (3, 2), (9, 1), (6, 6)])
@pytest.mark.parametrize(("p0", "margin"), [(0.1, 0.0), (0.1, 0.05), (0.5, 0.3), (0.9, 0.02)])
def test_the_variance_is_unbiased_in_every_window(n0, n1, p0, margin):
    def binomial(n, p):
        k = np.arange(n + 1)
        return comb(n, k) * p**k * (1 - p) ** (n - k)

    chances = np.outer(binomial(n0, p0), binomial(n1, p0 + margin))
    scores = [[score_of((n0, k0, n1, k1)) for k1 in range(n1 + 1)] for k0 in range(n0 + 1)]
    gaps = np.array([[each.difference - margin * each.weight for each in row] for row in scores])
    guesses = np.array([[margin * each.per_margin + each.constant for each in row] for row in scores])

    assert float((chances * gaps).sum()) == pytest.approx(0.0, abs=1e-12)
    assert float((chances * guesses).sum()) == pytest.approx(float((chances * gaps**2).sum()), rel=1e-9)


def test_a_ramp_with_a_drift_is_no_difference():
    # The rate triples while the weight grows from 10 to 50 percent: pooled, 0.0075 against 0.0125.
    score = score_of((1800, 9, 200, 1), (1000, 15, 1000, 15))
    assert score.z(0.0) == pytest.approx(0.0, abs=1e-12)


def test_the_margin_moves_the_score():
    score = score_of((9000, 450, 1000, 70))
    assert score.z(0.0) > 2.5
    assert score.z(0.02) == pytest.approx(0.0, abs=1e-9)
    assert score.z(0.04) < -2.0


def test_nothing_seen_is_no_evidence():
    assert StratifiedScore().z(0.01) == 0.0
    assert score_of((100, 0, 50, 0)).z(0.0) == 0.0


@given(st.lists(st.tuples(totals, rates, totals, rates), min_size=1, max_size=5), st.floats(0.0, 0.9))
def test_extreme_windows_give_finite_scores(windows, margin):
    score = score_of(*((n0 * 1000, n0 * p0 * 1000, n1 * 1000, n1 * p1 * 1000) for n0, p0, n1, p1 in windows))
    assert math.isfinite(score.z(margin))
    assert score.information(margin) >= 0.0
