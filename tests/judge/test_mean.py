"""t-mixtures on differences: published values, expectation, invariance, extreme numbers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import nct, norm
from scipy.stats import t as student

from controller.judge._process import Window
from controller.judge.kinds import mean as _mean
from controller.judge.kinds.mean import (
    EFFECT_VARIANCES,
    MeanArm,
    Moments,
    critical_alignment,
    difference,
    log_one_sided,
    log_two_sided,
)
from controller.judge.noise.calibration import batch_length

C35 = (0.02, -0.01, 0.03, 0.01, 0.04, 0.0, 0.02, 0.03, 0.01, 0.02)

alignments = st.floats(min_value=-1.0, max_value=1.0)


def moments_of(values):
    moments = Moments()
    for value in values:
        moments = moments.add(value)
    return moments


def t_of(alignment, count):
    return alignment / math.sqrt(1 - alignment**2) * math.sqrt(count - 1)


def one_sided(count, alignment):
    return float(log_one_sided((count,), (alignment,))[0])


def one_sided_each(monkeypatch, count, alignment):
    """The evidence for each g alone."""
    found = []
    for g in EFFECT_VARIANCES:
        with monkeypatch.context() as patch:
            patch.setattr(_mean, "_G", np.array([g]))
            found.append(math.exp(one_sided(count, alignment)))
    return found


def test_published_values_c35(monkeypatch):
    moments = moments_of(C35)
    alignment = moments.alignment(0.0)

    assert t_of(alignment, 10) == pytest.approx(3.59726264, abs=5e-9)
    expected = [4.51588110, 16.28453134, 27.99655675, 22.58767594]
    assert one_sided_each(monkeypatch, 10, alignment) == pytest.approx(expected, abs=5e-9)
    assert math.exp(one_sided(10, alignment)) == pytest.approx(sum(expected) / 4, rel=1e-9)


def test_the_closed_form_is_the_integral_of_c35(monkeypatch):
    statistic = t_of(moments_of(C35).alignment(0.0), 10)

    def ratio(effect, g):
        prior = 2 * norm.pdf(effect, scale=math.sqrt(g))
        return prior * nct.pdf(statistic, 9, effect * math.sqrt(10)) / student.pdf(statistic, 9)

    integrals = [quad(ratio, 0, 12 * math.sqrt(g), args=(g,), epsabs=1e-12)[0] for g in EFFECT_VARIANCES]
    assert integrals[1] == pytest.approx(16.28453133719375, rel=1e-9)
    assert one_sided_each(monkeypatch, 10, moments_of(C35).alignment(0.0)) == pytest.approx(integrals, rel=1e-8)


def test_published_values_c29():
    # The two-sided form for a regression coefficient: 93 = 92 + 1, and the sample size is (s/se)².
    standard_error, middle = 0.1586, (0.40234 + 1.43026) / 2
    rho = np.array([[1 / (1 + (1.065 / standard_error) ** 2)]])

    def log_evidence(statistic):
        square = statistic**2 / (92 + statistic**2)
        return float(_mean._log_two_sided(np.array([[93.0]]), 1 - square + rho * square, rho)[0, 0])

    assert math.exp(-log_evidence(5.776)) == pytest.approx(5.51e-06, abs=5e-9)
    reach = standard_error * brentq(lambda t: log_evidence(t) - math.log(20), 0, 50)
    assert (middle - reach, middle + reach) == pytest.approx((0.40234, 1.43026), abs=1e-5)
    assert middle == pytest.approx(5.776 * standard_error, abs=5e-4)


@pytest.mark.parametrize("count", [2, 3, 5, 8, 13, 20])
def test_expectation_is_one_on_the_line_and_less_short_of_it(count):
    def expectation(effect):
        def weighted(statistic):
            alignment = statistic / math.sqrt(count - 1 + statistic**2)
            return math.exp(one_sided(count, alignment)) * nct.pdf(statistic, count - 1, effect * math.sqrt(count))

        return quad(weighted, -np.inf, 0, limit=200)[0] + quad(weighted, 0, np.inf, limit=200)[0]

    assert expectation(0.0) == pytest.approx(1.0, abs=1e-6)
    assert expectation(-0.3) < 1.0
    assert expectation(0.3) > 1.0


def cumulative_evidence(values):
    """One-sided evidence after each difference (columns) of each run (rows)."""
    counts = np.arange(1, values.shape[1] + 1)
    means = np.cumsum(values, axis=1) / counts
    lengths = np.sqrt(np.cumsum(values**2, axis=1) / counts)
    rows = log_one_sided(np.broadcast_to(counts, values.shape).ravel(), (means / lengths).ravel())
    return rows.reshape(values.shape)


def test_crossings_under_the_null_are_rarer_than_alpha():
    values = np.random.default_rng(11).normal(size=(1000, 150))
    crossed = (cumulative_evidence(values) >= math.log(20)).any(axis=1).mean()
    assert 0.005 < crossed < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1000)


def test_a_shift_of_a_standard_deviation_is_found_soon():
    values = np.random.default_rng(12).normal(1.0, size=(300, 60))
    found = cumulative_evidence(values) >= math.log(20)
    assert found.any(axis=1).all()
    assert 7 < np.median(found.argmax(axis=1)) < 15


def test_a_single_difference_says_nothing():
    assert log_one_sided((1, 1), (1.0, -1.0)).tolist() == [0.0, 0.0]
    assert log_two_sided((1,), (1.0,)).tolist() == [0.0]


@given(count=st.integers(min_value=2, max_value=10**5), a=alignments, b=alignments)
def test_evidence_grows_with_the_alignment(count, a, b):
    low, high = sorted((a, b))
    assert one_sided(count, low) <= one_sided(count, high) + 1e-7


@given(count=st.integers(min_value=2, max_value=10**5), alignment=alignments)
def test_two_sided_evidence_is_the_mean_of_both_sides(count, alignment):
    both = np.logaddexp(one_sided(count, alignment), one_sided(count, -alignment)) - math.log(2)
    assert float(log_two_sided((count,), (alignment,))[0]) == pytest.approx(both, rel=1e-7, abs=1e-7)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("count", [2, 5, 100, 10**5])
def test_equal_differences_give_finite_evidence(count):
    assert math.isfinite(one_sided(count, 1.0))
    assert math.isfinite(one_sided(count, -1.0))
    assert one_sided(count, -1.0) < one_sided(count, 0.0) < 0 < one_sided(count, 1.0)


@given(st.lists(st.integers(-(10**6), 10**6), min_size=2, max_size=30), st.integers(-1000, 1000))
def test_moments_are_those_of_the_series(values, line):
    moments = moments_of(values)
    above = np.array(values) - line
    assert moments.size == len(values)
    assert moments.mean == pytest.approx(np.mean(values), rel=1e-9, abs=1e-9)
    assert moments.squares == pytest.approx(np.sum((np.array(values) - np.mean(values)) ** 2), rel=1e-6, abs=1e-6)
    expected = above.sum() / math.sqrt(len(values) * float(above @ above)) if above.any() else 0.0
    assert moments.alignment(line) == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert -1.0 <= moments.alignment(line) <= 1.0


def test_a_series_far_from_zero_keeps_its_spread():
    moments = moments_of([1e9 + each for each in C35])
    assert moments.squares == pytest.approx(moments_of(C35).squares, rel=1e-4)


def test_rounding_is_no_difference():
    # 0.1 + 0.2 in one arm and 0.3 in the other, for ever.
    window = Window(stable=MeanArm(1000, 300.0), candidate=MeanArm(100, 100 * (0.1 + 0.2)))
    moments = Moments()
    for _ in range(100):
        value, blur = difference(window)
        moments = moments.add(value, blur=blur)
    assert moments.mean != 0.0
    assert abs(moments.alignment(0.0)) < 1e-3


def test_difference_is_candidate_minus_stable():
    value, blur = difference(Window(stable=MeanArm(10, 20.0), candidate=MeanArm(4, 10.0)))
    assert value == 0.5
    assert blur == pytest.approx((2.5e-9) ** 2)


@pytest.mark.parametrize("count", [5, 6, 10, 50, 1000])
@pytest.mark.parametrize("alpha", [0.2, 0.05, 0.01])
def test_the_critical_alignment_is_where_the_evidence_is_decisive(count, alpha):
    critical = critical_alignment(count, alpha)
    if critical is None:
        assert one_sided(count, 1.0) < -math.log(alpha)
    else:
        assert one_sided(count, critical) == pytest.approx(-math.log(alpha), abs=1e-8)


def test_few_differences_cannot_be_decisive_however_equal():
    assert critical_alignment(3, 0.05) is None
    assert critical_alignment(5, 0.001) is None
    assert critical_alignment(5, 0.05) == pytest.approx(0.9425899, abs=1e-6)


def test_batches_keep_the_error_of_an_autocorrelated_series():
    rng, autocorrelation, windows = np.random.default_rng(13), 0.6, 400
    noise = rng.normal(size=(300, windows))
    series = np.empty_like(noise)
    series[:, 0] = noise[:, 0]
    for t in range(1, windows):
        series[:, t] = autocorrelation * series[:, t - 1] + math.sqrt(1 - autocorrelation**2) * noise[:, t]
    batched = series.reshape(300, -1, batch_length(autocorrelation)).mean(axis=2)

    def crossings(values):
        return (cumulative_evidence(values) >= math.log(20)).any(axis=1).mean()

    assert crossings(series) > 0.2
    assert crossings(batched) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)


@pytest.mark.parametrize(("count", "total"), [(-1, 0), (math.nan, 0), (3, math.inf), (3, math.nan), (math.inf, 1)])
def test_impossible_counts_are_refused(count, total):
    with pytest.raises(ValueError, match="expected a count of at least 0 and a finite sum"):
        MeanArm(count, total)
