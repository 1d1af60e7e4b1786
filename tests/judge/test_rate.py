"""One window of a rate metric: published values, exact validity by enumeration, invariance, extreme numbers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import comb

from controller.judge._mixture import Plain, log_mean
from controller.judge._process import Window
from controller.judge.kinds.rate import RateArm, better_ratios, log_factors, not_worse_ratios, worse_ratios
from controller.judge.kinds.ratio import MARGIN_FRACTIONS, ODDS_RATIOS

lines = st.floats(min_value=1.0, max_value=50.0)
exposures = st.floats(min_value=1e-3, max_value=1e6)
counts = st.integers(min_value=0, max_value=1000)


def window(k0, k1, *, exposures):
    return Window(RateArm(k0, exposures[0]), RateArm(k1, exposures[1]))


def one_factor(seen, *, line, alternative):
    (factor,) = log_factors(seen, line=line, alternatives=(alternative,))
    return factor


def test_published_values_c34():
    block, process, found = window(9, 3, exposures=(1800, 200)), Plain.start(len(ODDS_RATIOS)), []
    for _ in range(5):
        process = process.update(log_factors(block, line=1.0, alternatives=worse_ratios(1.0)))
        found.append(math.exp(process.log_value))

    assert found == pytest.approx([1.75960565, 3.86995787, 9.26720135, 23.46354566, 61.6663401], rel=5e-9)


@pytest.mark.parametrize("blocks", [1, 2, 7, 30])
def test_published_value_c26(blocks):
    table = window(0, 1, exposures=(1, 1))
    assert math.exp(blocks * one_factor(table, line=1.0, alternative=3.0)) == pytest.approx(1.5**blocks)


def test_alternatives_follow_the_formula():
    assert [ratio / 1.25 for ratio in worse_ratios(1.25)] == pytest.approx(list(ODDS_RATIOS))
    assert [1 / ratio for ratio in better_ratios(1.0)] == pytest.approx(list(ODDS_RATIOS))
    assert not_worse_ratios(4.0) == pytest.approx([0.25, 0.5, 1.0, math.sqrt(2), 2.0, 4**0.75])
    assert not_worse_ratios(1.001) == pytest.approx([1 + 0.001 * each for each in MARGIN_FRACTIONS], abs=1e-6)


def test_on_the_line_nothing_is_bet():
    assert log_factors(window(5, 50, exposures=(90, 10)), line=1.0, alternatives=not_worse_ratios(1.0)) == (0.0,) * 6


@pytest.mark.parametrize(("count", "exposure"), [(-1, 5), (math.nan, 5), (3, math.inf), (3, -1), (math.inf, 1)])
def test_impossible_counts_are_refused(count, exposure):
    with pytest.raises(ValueError, match="expected a count and an exposure of at least 0, both finite"):
        RateArm(count, exposure)


def test_effective_exposure_is_what_is_compared():
    arm = RateArm(3, 200, effective=100)
    assert (arm.exposure, arm.total, arm.shown) == (200, 100, "3/100")
    assert RateArm(0, 200, effective=0.0).silent
    assert not RateArm(0, 200).silent


NULLS = {
    "worse": (worse_ratios, (1.0, 0.999, 0.9, 0.5, 0.1, 1e-6)),
    "not worse": (not_worse_ratios, (1.0, 1.001, 1.1, 2.0, 10.0, 1e6)),
    "better": (better_ratios, (1.0, 1.001, 1.1, 2.0, 10.0, 1e6)),
}


def evidence(k0, k1, *, exposures, line, alternatives):
    return math.exp(log_mean(log_factors(window(k0, k1, exposures=exposures), line=line, alternatives=alternatives)))


def binomial(n, p):
    k = np.arange(n + 1)
    return comb(n, k) * p**k * (1 - p) ** (n - k)


@pytest.mark.parametrize("side", NULLS)
@pytest.mark.parametrize("line", [1.0, 1.05, 1.5, 4.0])
@pytest.mark.parametrize("shares", [(1, 1), (9, 1), (1800, 200), (0.3, 2.5)])
def test_given_all_events_the_expectation_is_at_most_one(side, line, shares):
    choose, nulls = NULLS[side]
    for events in range(21):
        table = [
            evidence(events - k1, k1, exposures=shares, line=line, alternatives=choose(line))
            for k1 in range(events + 1)
        ]
        for ratio in (line * factor for factor in nulls):
            share = shares[1] * ratio / (shares[1] * ratio + shares[0])
            assert float(binomial(events, share) @ table) <= 1 + 1e-9


@pytest.mark.parametrize("side", NULLS)
@pytest.mark.parametrize("line", [1.0, 1.05, 1.5, 4.0])
@pytest.mark.parametrize(("n0", "n1"), [(3, 2), (1, 19), (15, 5), (20, 20)])
def test_of_independent_requests_the_expectation_is_at_most_one_on_any_line(side, line, n0, n1):
    choose, nulls = NULLS[side]
    table = np.array(
        [
            [evidence(k0, k1, exposures=(n0, n1), line=line, alternatives=choose(line)) for k1 in range(n1 + 1)]
            for k0 in range(n0 + 1)
        ]
    )
    for p0 in np.linspace(0, 1, 41):
        for p1 in (line * p0 * factor for factor in nulls):
            if p1 <= 1:
                assert float(binomial(n0, p0) @ table @ binomial(n1, p1)) <= 1 + 1e-9


def test_the_bound_is_reached_so_that_the_enumeration_could_fail():
    table = [evidence(12 - k1, k1, exposures=(9, 1), line=1.5, alternatives=worse_ratios(1.5)) for k1 in range(13)]
    on_the_line, beyond = (ratio / (ratio + 9) for ratio in (1.5, 2.5))

    assert float(binomial(12, on_the_line) @ table) == pytest.approx(1.0, abs=1e-12)
    assert float(binomial(12, beyond) @ table) > 1.1


@given(
    blocks=st.lists(st.tuples(counts, counts, exposures, exposures), min_size=1, max_size=8),
    line=lines,
    data=st.data(),
)
def test_the_order_of_windows_does_not_matter(blocks, line, data):
    shuffled = data.draw(st.permutations(blocks))
    values = []
    for order in (blocks, shuffled):
        process = Plain.start(len(ODDS_RATIOS))
        for k0, k1, n0, n1 in order:
            process = process.update(
                log_factors(window(k0, k1, exposures=(n0, n1)), line=line, alternatives=worse_ratios(line))
            )
        values.append(process.log_value)
    assert values[0] == pytest.approx(values[1], rel=1e-9, abs=1e-9)


@given(k0=counts, k1=counts, n0=exposures, n1=exposures, line=lines)
def test_splitting_a_window_changes_nothing(k0, k1, n0, n1, line):
    whole, half = window(2 * k0, 2 * k1, exposures=(2 * n0, 2 * n1)), window(k0, k1, exposures=(n0, n1))
    twice = [2 * factor for factor in log_factors(half, line=line, alternatives=worse_ratios(line))]
    assert log_factors(whole, line=line, alternatives=worse_ratios(line)) == pytest.approx(twice, rel=1e-9, abs=1e-9)


@given(k0=counts, k1=counts, n0=exposures, n1=exposures, line=lines)
def test_one_more_event_of_the_candidate_never_speaks_for_it(k0, k1, n0, n1, line):
    fewer, more = (window(k0, k1 + extra, exposures=(n0, n1)) for extra in (0, 1))
    for choose, sign in ((worse_ratios, 1), (not_worse_ratios, -1), (better_ratios, -1)):
        before, after = (log_factors(seen, line=line, alternatives=choose(line)) for seen in (fewer, more))
        assert all(sign * (b - a) >= -1e-9 for a, b in zip(before, after, strict=True))


@given(
    counted=st.tuples(st.sampled_from([0, 1, 1e9, 1e12]), st.sampled_from([0, 1, 1e9, 1e12])),
    exposed=st.tuples(st.sampled_from([1e-12, 1.0, 1e9, 1e15]), st.sampled_from([1e-12, 1.0, 1e9, 1e15])),
    line=st.sampled_from([1.0, 1 + 1e-12, 1.5, 1e6]),
)
def test_extreme_numbers_give_finite_evidence(counted, exposed, line):
    seen = window(*counted, exposures=exposed)
    for choose in (worse_ratios, not_worse_ratios, better_ratios):
        factors = log_factors(seen, line=line, alternatives=choose(line))
        assert all(math.isfinite(factor) for factor in factors)
        assert math.isfinite(Plain.start(len(factors)).update(factors).log_value)


def test_many_events_keep_their_digits():
    # With equal rates each alternative loses K·KL; next to the line that is tiny beside K.
    seen = window(9e8, 1e8, exposures=(9e9, 1e9))
    step = 1e-5
    loss = 1e9 * (math.log1p(0.1 * step) - 0.1 * math.log1p(step))
    assert one_factor(seen, line=1.0, alternative=1.0 + step) == pytest.approx(-loss, rel=1e-4)
