"""Calibration: what the pods' history says about noise, against models whose answer is known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.judge.noise.calibration import (
    FEWEST_INTERVALS,
    PRIOR_DESIGN_EFFECT,
    UNCALIBRATED,
    Calibration,
    Pods,
    batch_length,
    calibrate_buckets,
    calibrate_classes,
    calibrate_means,
    calibrate_rates,
    calibrate_shares,
)
from controller.judge.noise.dispersion import Dispersion
from controller.judge.noise.scatter import autocorrelation, design, lasting_variance, levels, share_variance

NINE_AND_ONE = Pods(stable=9, candidate=1)


def history_of(totals, amounts):
    """Blocks of arrays of shape (intervals, pods)."""
    return [
        {f"pod-{i}": (float(n), float(k)) for i, (n, k) in enumerate(zip(sizes, counts, strict=True))}
        for sizes, counts in zip(totals, amounts, strict=True)
    ]


def binomial_history(rng, *, intervals=200, pods=9, requests=200, rates=0.08):
    totals = rng.poisson(requests, (intervals, pods))
    return history_of(totals, rng.binomial(totals, np.broadcast_to(rates, totals.shape)))


def beta_rates(rng, mean, *, intraclass, shape):
    concentration = 1 / intraclass - 1
    return rng.beta(mean * concentration, (1 - mean) * concentration, shape)


def scatter_of(history):
    return design([each for each in levels(history) if each], share_variance, alone=1.0)


@pytest.mark.parametrize("rate", [0.001, 0.08, 0.5, 0.95])
@pytest.mark.parametrize("season", [0.0, 0.8], ids=["flat", "season"])
def test_independent_requests_scatter_by_one(rate, season):
    rng = np.random.default_rng(1)
    moving = 0.5 * rate * (1 + season * np.sin(np.arange(200) * 2 * math.pi / 100))[:, np.newaxis]

    found = scatter_of(binomial_history(rng, rates=moving))

    assert found.factor == pytest.approx(1.0, abs=3 * found.error)
    assert found.size == pytest.approx(200, rel=0.02)


@pytest.mark.parametrize("intraclass", [0.005, 0.02, 0.1])
@pytest.mark.parametrize("rate", [0.005, 0.08])
def test_the_correlation_of_beta_binomial_pods_is_found(intraclass, rate):
    rng = np.random.default_rng(2)
    rates = beta_rates(rng, rate, intraclass=intraclass, shape=(200, 9))

    found = scatter_of(binomial_history(rng, rates=rates))
    calibration = calibrate_shares(binomial_history(rng, rates=rates), NINE_AND_ONE)

    assert (found.factor - 1) / (found.size - 1) == pytest.approx(intraclass, rel=0.3)
    assert intraclass * 0.8 < calibration.intraclass < intraclass * 1.6
    assert calibration.design_effect == pytest.approx(1 + (found.size - 1) * calibration.intraclass, rel=0.2)


def test_the_correlation_is_found_when_pods_get_unlike_numbers_of_requests():
    rng = np.random.default_rng(3)
    totals = rng.poisson(np.array([20, 50, 100, 400, 1000]), (400, 5))
    amounts = rng.binomial(totals, beta_rates(rng, 0.1, intraclass=0.01, shape=totals.shape))

    found = scatter_of(history_of(totals, amounts))

    assert (found.factor - 1) / (found.size - 1) == pytest.approx(0.01, rel=0.25)


def test_the_upper_bound_covers_the_truth_in_most_histories():
    below = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        rates = beta_rates(rng, 0.08, intraclass=0.01, shape=(60, 4))
        calibration = calibrate_shares(binomial_history(rng, intervals=60, pods=4, rates=rates), NINE_AND_ONE)
        below += calibration.intraclass < 0.01

    # 95 % of histories are meant to be above; 12 % is what a bound of 5 % exceeds in one of 20,000 sets of 200.
    assert below / 200 < 0.12


def test_what_independent_requests_cost_is_little():
    found = [calibrate_shares(binomial_history(np.random.default_rng(s)), NINE_AND_ONE) for s in range(20)]

    assert np.mean([each.design_effect for each in found]) < 1.1
    assert all(1.0 <= each.design_effect < 1.2 for each in found)


def test_few_outcomes_widen_the_bound():
    rng = np.random.default_rng(4)
    rare, common = (scatter_of(binomial_history(rng, rates=rate)) for rate in (0.0001, 0.2))

    assert common.error == pytest.approx(math.sqrt(2 / 1600), rel=0.02)
    assert rare.error > 3 * common.error


@pytest.mark.parametrize(
    "history",
    [
        [],
        [None] * 60,
        [{"a": (100.0, 5.0)}] * 60,
        [{"a": (100.0, 5.0), "b": (0.0, 0.0)}] * 60,
        [{"a": (100.0, 5.0), "b": (100.0, 7.0)}] * (FEWEST_INTERVALS - 1),
        [{"a": (100.0, 0.0), "b": (100.0, 0.0)}] * 60,
        [{"a": (100.0, 100.0), "b": (100.0, 100.0)}] * 60,
        [{"a": (0.5, 0.25), "b": (0.5, 0.25)}] * 60,
    ],
    ids=["nothing", "gaps", "one pod", "one active", "49 intervals", "rate 0", "rate 1", "less than one request"],
)
def test_too_little_history_gives_the_prior(history):
    calibration = calibrate_shares(history, NINE_AND_ONE)

    assert not calibration.measured
    assert calibration.design_effect_of(1.0) == calibration.design_effect_of(1e6) == PRIOR_DESIGN_EFFECT
    assert (calibration.noise_floor, calibration.autocorrelation, calibration.batch) == (0.0, 0.0, 1)


def test_fifty_intervals_of_two_pods_are_enough():
    calibration = calibrate_shares([{"a": (100.0, 5.0), "b": (100.0, 5.0)}] * FEWEST_INTERVALS, NINE_AND_ONE)

    assert (calibration.measured, calibration.intervals, calibration.pods) == (True, FEWEST_INTERVALS, 2)
    assert calibration.design_effect == 1.0


def test_a_pod_without_requests_takes_part_in_nothing():
    rng = np.random.default_rng(5)
    history = binomial_history(rng, intervals=80, pods=3)
    silent = [{**each, "silent": (0.0, 0.0), "late": (0.0, 3.0)} for each in history]

    assert calibrate_shares(silent, NINE_AND_ONE) == calibrate_shares(history, NINE_AND_ONE)


def test_effective_counts_of_each_pod():
    calibration = Calibration(measured=True, intraclass=0.01)

    total, bad = calibration.effective([(101.0, 10.0), (1.0, 1.0), (0.0, 0.0)])

    assert total == pytest.approx(101 / 2 + 1)
    assert bad == pytest.approx(10 / 2 + 1)
    assert calibration.effective([(101.0, 10.0)], inflation=2.0) == pytest.approx((101 / 4, 10 / 4))
    assert Calibration().effective([(100.0, 10.0), (20.0, 4.0)]) == (60.0, 7.0)
    assert calibration.effective([]) == (0.0, 0.0)


def test_effective_size_of_what_is_pooled():
    calibration = Calibration(measured=True, intraclass=0.01)

    assert calibration.effective_size([101.0, 101.0]) == pytest.approx(calibration.effective([(101.0, 0.0)] * 2)[0])
    # Of unlike pods, the large ones make the pooled share noisier than the sum of what each is worth.
    assert calibration.effective_size([1001.0, 1.0]) == pytest.approx(1002 * 1002 / (1001 * 11 + 1))
    assert calibration.effective_size([1001.0, 1.0]) < calibration.effective([(1001.0, 0.0), (1.0, 0.0)])[0]
    assert calibration.effective_size([101.0], inflation=2.0) == pytest.approx(101 / 4)
    assert calibration.effective_size([]) == calibration.effective_size([0.0]) == 0.0


def test_uncalibrated_counts_stay_as_they_are():
    assert UNCALIBRATED.effective([(7.0, 3.0), (5.0, 5.0)]) == (12.0, 8.0)
    assert UNCALIBRATED.effective_size([7.0, 5.0]) == 12.0


@pytest.mark.parametrize("wrong", [{"design_effect": 0.5}, {"noise_floor": -0.1}, {"intraclass": math.nan}])
def test_a_calibration_that_would_add_evidence_is_refused(wrong):
    with pytest.raises(ValueError, match="at least 1"):
        Calibration(**wrong)


def test_noise_floor_of_persistent_pod_differences():
    # Statistics §4.5: logit sd 0.1 at accuracy 92 % and 1 + 9 pods: 1.26 points.
    floors = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        odds = 0.08 / 0.92 * np.exp(rng.normal(0, 0.1, 9))
        floors.append(calibrate_shares(binomial_history(rng, rates=odds / (1 + odds)), NINE_AND_ONE).noise_floor)

    assert np.mean(floors) == pytest.approx(0.0126, rel=0.12)
    assert Pods(stable=6, candidate=4).noise_floor(1.0) == pytest.approx(1.645 * math.sqrt(1 / 4 + 1 / 6))


def test_sampling_noise_is_no_pod_difference():
    found = [lasting_variance(levels(binomial_history(np.random.default_rng(s)))) for s in range(200)]

    # A pod's rate over 200 intervals of 200 requests varies by 0.08 · 0.92 / 40,000 by chance alone.
    assert np.mean(found) < 0.4 * 0.08 * 0.92 / 40_000


def test_passing_shocks_are_no_lasting_difference():
    floors = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rates = beta_rates(rng, 0.08, intraclass=0.02, shape=(200, 9))
        floors.append(calibrate_shares(binomial_history(rng, rates=rates), NINE_AND_ONE).noise_floor)

    # A pod's mean of 200 shocks of sd 0.038 varies by 0.0027 by chance, which as a floor would be 0.0047.
    assert np.mean(floors) < 0.6 * 0.0047


def test_shocks_that_last_deflate_further():
    rng = np.random.default_rng(6)
    state, rates = np.zeros(9), []
    for _ in range(400):
        state = 0.6 * state + rng.normal(0, 0.8, 9)
        rates.append(0.08 * np.exp(0.5 * state) / (0.92 + 0.08 * np.exp(0.5 * state)))
    lasting = binomial_history(rng, intervals=400, rates=np.array(rates))
    order = rng.permutation(400)

    slow = calibrate_shares(lasting, NINE_AND_ONE)
    shuffled = calibrate_shares([lasting[i] for i in order], NINE_AND_ONE)

    assert slow.autocorrelation > 0.3
    assert shuffled.autocorrelation < 0.1
    ratio = (1 + slow.autocorrelation) / (1 - slow.autocorrelation)
    assert slow.design_effect == pytest.approx(shuffled.design_effect * ratio, rel=0.25)


def test_batch_length_per_published_autocorrelation():
    # Statistics F6b: φ .3 → 10, .6 → 20, .9 → 95.
    assert [batch_length(each) for each in (0.3, 0.6, 0.9)] == [10, 20, 95]
    assert (batch_length(0.0), batch_length(-0.4), batch_length(1.0)) == (1, 1, 95)


@pytest.mark.parametrize("strength", [0.3, 0.6, 0.9])
def test_autocorrelation_of_pods_deviations(strength):
    rng = np.random.default_rng(7)
    state = rng.normal(0, 1, 5)
    values = []
    for _ in range(600):
        state = strength * state + rng.normal(0, math.sqrt(1 - strength**2), 5)
        values.append(50 + state)
    season = 20 * np.sin(np.arange(600) / 40)[:, np.newaxis] + np.arange(5)

    found = autocorrelation(levels(history_of(np.ones((600, 5)), np.array(values) + season)))

    assert found == pytest.approx(strength, abs=0.08)


def test_gaps_are_no_neighbours():
    # Neighbours agree, but every second interval is unknown.
    pairs = [{"a": (1.0, sign), "b": (1.0, -sign)} for sign in (1.0, 1.0, -1.0, -1.0) * 20]
    gaps = [None if number % 2 else each for number, each in enumerate(pairs)]

    assert autocorrelation(levels(pairs)) == 0.0
    assert autocorrelation(levels([each for each in pairs for _ in range(5)])) > 0.7
    assert autocorrelation(levels(gaps)) == 0.0


def test_means_are_not_deflated_but_have_a_floor():
    rng = np.random.default_rng(8)
    totals = rng.poisson(100, (200, 4))
    shifts = np.array([-0.3, -0.1, 0.1, 0.3])
    calibration = calibrate_means(
        history_of(totals, totals * (5 + shifts) + rng.normal(0, 2, totals.shape) * np.sqrt(totals)), NINE_AND_ONE
    )

    assert calibration.measured
    assert calibration.design_effect_of(1e6) == 1.0
    assert calibration.pod_deviation == pytest.approx(np.std(shifts, ddof=1), rel=0.1)
    assert calibration.batch == 1


def test_the_mean_of_a_single_pod_still_has_an_autocorrelation():
    rng = np.random.default_rng(9)
    state, series = 0.0, []
    for _ in range(300):
        state = 0.7 * state + rng.normal()
        series.append({"only": (10.0, 10 * (100 + state))})

    calibration = calibrate_means(series, Pods(stable=1, candidate=1))

    assert not calibration.measured
    assert calibration.design_effect_of(10.0) == 1.0
    assert calibration.autocorrelation == pytest.approx(0.7, abs=0.1)
    assert calibrate_means(series[:40], Pods(stable=1, candidate=1)).batch == 1


def test_rates_are_set_against_poisson_counts():
    rng = np.random.default_rng(10)
    exposure = rng.uniform(50, 150, (300, 6))
    quiet = calibrate_rates(history_of(exposure, rng.poisson(0.3 * exposure)), NINE_AND_ONE)
    shocks = rng.gamma(10, 0.1, exposure.shape)
    noisy = calibrate_rates(history_of(exposure, rng.poisson(0.3 * exposure * shocks)), NINE_AND_ONE)

    assert quiet.design_effect < 1.2
    # Var = μ + μ²/10, so the design effect of an exposure of 100 is 1 + 30/10.
    assert noisy.design_effect_of(100.0) == pytest.approx(4.0, rel=0.2)


def test_the_unit_of_exposure_does_not_matter_and_the_floor_is_relative():
    rng = np.random.default_rng(11)
    exposure = rng.uniform(50, 150, (300, 6))
    counts = rng.poisson(0.3 * exposure * np.array([0.8, 0.9, 1.0, 1.0, 1.1, 1.2]))
    seconds = calibrate_rates(history_of(exposure * 3600, counts), NINE_AND_ONE)
    hours = calibrate_rates(history_of(exposure, counts), NINE_AND_ONE)

    assert hours.design_effect_of(100.0) == pytest.approx(seconds.design_effect_of(360_000.0))
    assert hours.noise_floor == pytest.approx(seconds.noise_floor)
    assert hours.pod_deviation == pytest.approx(np.std([0.8, 0.9, 1.0, 1.0, 1.1, 1.2], ddof=1), rel=0.15)


def bucket_history(rng, *, shares, intervals=100, pods=4, requests=300):
    return [
        {f"pod-{i}": tuple(map(float, rng.multinomial(requests, shares(i, t)))) for i in range(pods)}
        for t in range(intervals)
    ]


def test_buckets_take_the_worst_edge():
    rng = np.random.default_rng(12)
    slow = beta_rates(rng, 0.1, intraclass=0.03, shape=(100, 4))
    history = bucket_history(rng, shares=lambda i, t: (0.5, 0.5 - slow[t, i], slow[t, i]))
    tail = [{pod: (sum(c), c[2]) for pod, c in each.items()} for each in history]

    assert calibrate_buckets(history, NINE_AND_ONE).intraclass == calibrate_shares(tail, NINE_AND_ONE).intraclass
    assert calibrate_classes(history, NINE_AND_ONE).intraclass >= calibrate_buckets(history, NINE_AND_ONE).intraclass


def test_edges_that_hardly_anything_passes_do_not_vote():
    rng = np.random.default_rng(13)
    history = bucket_history(rng, shares=lambda _i, _t: (0.5, 0.4, 0.1))
    rare = [{pod: (*c, 0.0) for pod, c in each.items()} for each in history]
    rare[7] = {**rare[7], "pod-0": (*rare[7]["pod-0"][:3], 15.0)}

    assert calibrate_buckets(rare, NINE_AND_ONE).design_effect < 1.5


@pytest.mark.parametrize("history", [[], [None], [{"a": (10.0,), "b": (12.0,)}] * 60, [{"a": (9.0, 0.0)}] * 60])
def test_buckets_without_anything_to_compare_give_the_prior(history):
    assert not calibrate_buckets(history, NINE_AND_ONE).measured
    assert calibrate_buckets(history, NINE_AND_ONE).design_effect == PRIOR_DESIGN_EFFECT


def test_a_candidate_that_scatters_like_stable_is_not_inflated():
    inflated = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        rates = beta_rates(rng, 0.08, intraclass=0.01, shape=(40, 3))
        calibration = Calibration(measured=True, intraclass=0.01)
        windows = binomial_history(rng, intervals=40, pods=3, rates=rates)
        seen = sum((Dispersion.of_shares(each, calibration) for each in windows), Dispersion())
        inflated += seen.inflation > 1.0

    assert inflated / 200 < 0.12


@pytest.mark.parametrize("calibration", [Calibration(), Calibration(measured=True, intraclass=0.005)])
def test_a_candidate_that_scatters_more_is_inflated(calibration):
    rng = np.random.default_rng(14)
    rates = beta_rates(rng, 0.08, intraclass=0.05, shape=(60, 3))
    windows = binomial_history(rng, intervals=60, pods=3, rates=rates)

    seen = sum((Dispersion.of_shares(each, calibration) for each in windows), Dispersion())

    assert seen.inflation == pytest.approx((1 + 199 * 0.05) / calibration.design_effect_of(200), rel=0.25)


def test_dispersion_of_what_cannot_disperse():
    assert Dispersion().inflation == 1.0
    assert Dispersion.of_shares({"only": (100.0, 50.0)}, Calibration()) == Dispersion()
    assert Dispersion.of_shares({"a": (100.0, 0.0), "b": (100.0, 0.0)}, Calibration()) == Dispersion()
    assert Dispersion.of_shares({}, Calibration()) == Dispersion()
    assert Dispersion.of_rates({"a": (10.0, 40.0), "b": (10.0, 0.0)}, Calibration()).inflation > 5.0


sizes = st.one_of(st.just(0.0), st.floats(min_value=1e-3, max_value=1e9), st.integers(1, 10**9).map(float))
cells = st.tuples(sizes, st.floats(min_value=0.0, max_value=1.0)).map(lambda pair: (pair[0], pair[0] * pair[1]))
intervals = st.one_of(st.none(), st.dictionaries(st.sampled_from("abcd"), cells, max_size=4))


@given(st.lists(intervals, min_size=1, max_size=6), st.integers(1, 30), cells)
def test_whatever_the_history_the_calibration_is_usable(blocks, repeats, cell):
    history = blocks * repeats
    for calibrate in (calibrate_shares, calibrate_rates, calibrate_means):
        calibration = calibrate(history, NINE_AND_ONE)
        total, bad = calibration.effective([cell])

        assert math.isfinite(calibration.noise_floor)
        assert 1.0 <= calibration.design_effect_of(cell[0]) < math.inf
        assert 0.0 <= bad <= total * (1 + 1e-12) <= cell[0] * (1 + 1e-9)
        assert 1 <= calibration.batch <= 95


@given(st.lists(intervals, min_size=50, max_size=70))
def test_the_names_of_pods_do_not_matter(history):
    renamed = [
        None if e is None else {{"a": "z", "b": "y", "c": "x", "d": "w"}[p]: c for p, c in e.items()} for e in history
    ]

    one, other = (calibrate_shares(each, NINE_AND_ONE) for each in (history, renamed))

    assert one.design_effect == pytest.approx(other.design_effect, rel=1e-6)
    assert one.noise_floor == pytest.approx(other.noise_floor, rel=1e-3, abs=1e-9)
