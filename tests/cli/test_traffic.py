"""Simulated traffic has the rates, the noise and the changes that it was asked for."""

import math

import numpy as np
import pytest
from scipy.special import ndtr

from controller.api.verdicts import Kind
from controller.cli.latency import EDGES, bucket_shares, factor_of
from controller.cli.traffic import Effect, Stream, TrafficModel

RUNS = 400


def stream(**fields: object) -> Stream:
    model = TrafficModel(**{"base": 0.1, "requests": 2000.0, "windows": 100} | fields)
    return Stream.start(model, runs=RUNS, rng=np.random.default_rng(11))


def rates(traffic: Stream, number: int, weight: float = 50.0) -> tuple[float, float]:
    stable, candidate = (arm.summed() for arm in traffic.window(number, np.full(RUNS, weight)))
    return stable.bad.sum() / stable.total.sum(), candidate.bad.sum() / candidate.total.sum()


@pytest.mark.parametrize("weight", [5.0, 50.0])
def test_requests_follow_the_weight(weight):
    stable, candidate = stream(stable_pods=4, candidate_pods=2).window(0, np.full(RUNS, weight))

    assert stable.total.shape == (4, RUNS)
    assert candidate.total.shape == (2, RUNS)
    assert stable.total.sum() / RUNS == pytest.approx(2000 * (1 - weight / 100), rel=0.01)
    assert candidate.total.sum() / RUNS == pytest.approx(2000 * weight / 100, rel=0.01)
    assert stable.total.sum(axis=0).var() == pytest.approx(2000 * (1 - weight / 100), rel=0.3)  # Poisson


@pytest.mark.parametrize(
    ("effect", "expected"), [(Effect(), 0.1), (Effect(absolute=0.05), 0.15), (Effect(factor=3), 0.3), (Effect(-1), 0)]
)
def test_the_effect_is_the_candidates_alone_and_begins_at_its_onset(effect, expected):
    traffic = stream(effect=effect, onset=10)

    assert rates(traffic, 9) == pytest.approx((0.1, 0.1), rel=0.02)
    assert rates(traffic, 10) == pytest.approx((0.1, expected), rel=0.02, abs=1e-12)


def test_drift_moves_both_arms_evenly_and_not_the_history():
    traffic = stream(drift=3.0)

    assert rates(traffic, 0) == pytest.approx((0.1, 0.1), rel=0.02)
    assert rates(traffic, 50) == pytest.approx((0.2, 0.2), rel=0.02)
    assert rates(traffic, 99) == pytest.approx((0.3, 0.3), rel=0.02)
    before = traffic.history(3)
    assert before.bad.sum() / before.total.sum() == pytest.approx(0.1, rel=0.02)


def test_seasons_swing_by_their_amplitude_and_cancel_over_runs():
    stable, candidate = stream(season=0.8, requests=20_000.0).window(7, np.full(RUNS, 50.0))
    shares = (stable.bad / stable.total).mean(axis=0)

    assert shares.mean() == pytest.approx(0.1, rel=0.15)
    assert shares.max() == pytest.approx(0.18, rel=0.1)
    assert shares.min() == pytest.approx(0.02, rel=0.2)
    assert np.corrcoef(shares, (candidate.bad / candidate.total)[0])[0, 1] > 0.95


@pytest.mark.parametrize("intraclass", [0.0, 0.005, 0.02])
def test_the_intraclass_correlation_makes_the_design_effect(intraclass):
    history = stream(intraclass=intraclass, stable_pods=2, requests=400.0).history(40)
    scatter = ((history.bad - 0.1 * history.total) ** 2 / (history.total * 0.09)).mean()

    assert scatter == pytest.approx(1 + 199 * intraclass, rel=0.05)


def test_pods_differ_lastingly():
    history = stream(pod_deviation=0.2, stable_pods=5, requests=50_000.0).history(20)
    shares = history.bad.sum(axis=0) / history.total.sum(axis=0)
    logits = np.log(shares / (1 - shares))

    assert logits.std() == pytest.approx(0.2, rel=0.05)


def test_no_history_is_no_windows():
    assert stream().history(0).total.shape == (0, 9, RUNS)


def test_runs_that_are_kept_keep_their_pods():
    traffic = stream(pod_deviation=1.0, requests=50_000.0, stable_pods=2)
    kept = np.arange(RUNS) < 10
    before = traffic.history(5)

    after = traffic.keep(kept).history(5)

    own = [(each.bad.sum(axis=0) / each.total.sum(axis=0)) for each in (before, after)]
    assert own[1] == pytest.approx(own[0][:, kept], rel=0.2)


@pytest.mark.parametrize(("kind", "deviation"), [(Kind.RATE, 1.0), (Kind.MEAN, 0.5), (Kind.MEAN, 2.0)])
def test_rates_and_means_have_their_level_and_scatter(kind, deviation):
    traffic = stream(kind=kind, base=3.0, requests=100.0, stable_pods=2, deviation=deviation, effect=Effect(factor=2.0))
    stable, candidate = traffic.window(0, np.full(RUNS, 50.0))
    history = traffic.history(40)
    per_request = (history.bad - 3.0 * history.total) ** 2 / np.maximum(history.total, 1)

    assert stable.bad.sum() / stable.total.sum() == pytest.approx(3.0, rel=0.02)
    assert candidate.bad.sum() / candidate.total.sum() == pytest.approx(6.0, rel=0.02)
    variance = 3.0 if kind is Kind.RATE else (3.0 * deviation) ** 2
    assert per_request.mean() == pytest.approx(variance, rel=0.05)


@pytest.mark.parametrize("kind", [Kind.RATE, Kind.MEAN, Kind.HISTOGRAM])
def test_the_intraclass_correlation_of_other_kinds(kind):
    correlation, size = 0.05, 50
    traffic = stream(kind=kind, base=0.1, requests=2.0 * size, stable_pods=2, intraclass=correlation, deviation=1.0)
    history = traffic.history(60)
    amount = history.bad if history.buckets is None else history.buckets[0:6].sum(axis=0)
    level = amount.sum() / history.total.sum()
    unit = {Kind.RATE: level, Kind.MEAN: level**2, Kind.HISTOGRAM: level * (1 - level)}[kind]
    scatter = ((amount - level * history.total) ** 2).mean() / (unit * size)

    assert scatter == pytest.approx(1 + size * correlation, rel=0.1)


def test_histograms_are_lognormal_around_their_median():
    traffic = stream(kind=Kind.HISTOGRAM, base=0.1, deviation=0.6, effect=Effect(factor=2.5), stable_pods=1)
    stable, candidate = traffic.window(0, np.full(RUNS, 50.0))

    below = stable.buckets.sum(axis=(1, 2)).cumsum() / stable.total.sum()
    assert below[EDGES.index(0.1)] == pytest.approx(0.5, abs=0.01)
    assert below[EDGES.index(0.25)] == pytest.approx(ndtr(math.log(2.5) / 0.6), abs=0.01)
    slower = candidate.buckets.sum(axis=(1, 2)).cumsum() / candidate.total.sum()
    assert slower[EDGES.index(0.25)] == pytest.approx(0.5, abs=0.01)
    assert stable.buckets.sum(axis=0) == pytest.approx(stable.total)


@pytest.mark.parametrize("share", [0.02, 0.3, -0.05])
def test_the_factor_moves_that_share_beyond_an_edge(share):
    factor = factor_of(share, median=0.12, spread=0.6)
    before, after = (bucket_shares(np.array([0.12 * each]), 0.6)[:, 0] for each in (1.0, factor))
    above = (after - before)[::-1].cumsum()

    assert max(above, key=abs) == pytest.approx(share, rel=1e-6)
