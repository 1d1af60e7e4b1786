"""Simulated traffic has the rates, the noise and the changes that it was asked for."""

import numpy as np
import pytest

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
