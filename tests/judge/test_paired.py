"""One window of pairs: published values, exact validity by enumeration, extreme numbers."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import comb

from controller.judge._mixture import Plain, log_mean
from controller.judge._process import Window
from controller.judge.kinds.paired import BETS, PairArm, log_factors, log_mcnemar

lines = st.floats(min_value=-0.95, max_value=0.95)


def pairs(total, *, candidate, stable, both=0):
    return Window(PairArm(total, stable + both, stable), PairArm(total, candidate + both, candidate))


def test_published_values_c37():
    assert math.exp(log_mcnemar(10, 10)) == pytest.approx(0.270260, abs=5e-7)
    assert math.exp(log_mcnemar(3, 0)) == pytest.approx(3.75, rel=1e-12)
    assert 2 * 0.25 * (1 - 1 / 16) * 8 == 3.75


@pytest.mark.parametrize(("worse", "better"), [(0, 0), (1, 0), (0, 1), (7, 3), (12, 40)])
def test_it_is_the_mixture_over_the_shares_above_one_half(worse, better):
    mixture, _ = quad(lambda p: 2 * (2 * p) ** worse * (2 - 2 * p) ** better, 0.5, 1, epsrel=1e-12)
    assert math.exp(log_mcnemar(worse, better)) == pytest.approx(mixture, rel=1e-9)


@pytest.mark.parametrize("discordant", range(21))
def test_mcnemars_expectation_is_at_most_one_wherever_the_null_holds(discordant):
    k = np.arange(discordant + 1)
    evidence = np.array([math.exp(log_mcnemar(each, discordant - each)) for each in k])
    for p in np.linspace(0, 0.5, 51):
        chances = comb(discordant, k) * p**k * (1 - p) ** (discordant - k)
        assert float(chances @ evidence) <= 1 + 1e-9
    assert float(comb(discordant, k) * 0.5**discordant @ evidence) == pytest.approx(1.0, abs=1e-12)
    if discordant:
        assert float(comb(discordant, k) * 0.6**k * 0.4 ** (discordant - k) @ evidence) > 1.0


def evidence_table(total, line):
    return {
        (up, down): math.exp(log_mean(log_factors(pairs(total, candidate=up, stable=down), line=line)))
        for up, down in product(range(total + 1), repeat=2)
        if up + down <= total
    }


def expectation(table, total, *, up, down):
    level = max(0.0, 1 - up - down)
    return sum(
        value * math.comb(total, i) * math.comb(total - i, j) * up**i * down**j * level ** (total - i - j)
        for (i, j), value in table.items()
    )


@pytest.mark.parametrize("total", [1, 5, 20])
@pytest.mark.parametrize("line", [-0.3, -0.01, 0.0, 0.01, 0.2, 0.7])
def test_expectation_is_at_most_one_wherever_the_difference_is_within_the_line(total, line):
    table = evidence_table(total, line)
    reached = 0.0
    for down in np.linspace(0, 1, 21):
        for short in (0.0, 0.01, 0.1, 0.5):
            up = down + line - short
            if up >= 0 and up + down <= 1:
                found = expectation(table, total, up=up, down=down)
                assert found <= 1 + 1e-9
                reached = max(reached, found)
    assert reached == pytest.approx(1.0, abs=1e-9)
    assert expectation(table, total, up=min(1.0, max(0.0, line) + 0.25), down=0.0) > 1.0


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 300), lines)
def test_one_more_wrong_answer_of_the_candidate_never_speaks_for_it(candidate, stable, level, line):
    total = candidate + stable + level + 1
    fewer, more = (pairs(total, candidate=candidate + extra, stable=stable) for extra in (0, 1))
    assert all(b > a for a, b in zip(log_factors(fewer, line=line), log_factors(more, line=line), strict=True))
    assert log_mcnemar(candidate + 1, stable) > log_mcnemar(candidate, stable) > log_mcnemar(candidate, stable + 1)


def test_what_both_get_wrong_says_nothing():
    assert log_factors(pairs(100, candidate=3, stable=2, both=50), line=0.01) == log_factors(
        pairs(100, candidate=3, stable=2), line=0.01
    )


@given(
    st.sampled_from([0, 1, 10**5, 10**9]),
    st.sampled_from([0, 1, 10**5, 10**9]),
    st.sampled_from([-1 + 1e-9, -0.5, 0.0, 0.5, 1 - 1e-9]),
)
def test_extreme_numbers_give_finite_evidence(candidate, stable, line):
    assert math.isfinite(log_mcnemar(candidate, stable))
    factors = log_factors(pairs(2 * 10**9, candidate=candidate, stable=stable), line=line)
    assert len(factors) == len(BETS)
    assert all(math.isfinite(factor) for factor in factors)
    assert math.isfinite(Plain.start(len(BETS)).update(factors).log_value)


def test_far_tails_keep_their_digits():
    # ∫ 2(2 − 2p)^m dp from ½ to 1 is 1/(m + 1).
    assert log_mcnemar(0, 10**6) == pytest.approx(-math.log(10**6 + 1), abs=1e-6)
    assert log_mcnemar(10**9, 10**9) == pytest.approx(math.log(math.sqrt(math.pi / 2 / 2e9)), abs=1e-4)


@pytest.mark.parametrize(
    ("total", "bad", "alone"), [(5, 6, 1), (5, 2, 3), (5, 2, -1), (math.inf, 1, 1), (5, math.nan, 1)]
)
def test_impossible_counts_are_refused(total, bad, alone):
    with pytest.raises(ValueError, match="expected 0 <= alone <= bad <= total"):
        PairArm(total, bad, alone)
