"""Calibrating many runs side by side gives what each run's history gives alone."""

import numpy as np
import pytest

from controller.judge.batch.calibration import BatchCalibration, PodCounts
from controller.judge.noise.calibration import (
    Calibration,
    Pods,
    calibrate_buckets,
    calibrate_means,
    calibrate_rates,
    calibrate_shares,
)

RUNS = 30


def history(seed: int, *, intervals: int = 80, pods: int = 4) -> PodCounts:
    """Pods that differ, shocks of their own that last for some intervals, some silent; worse from run to run."""
    rng = np.random.default_rng(seed)
    noise = np.linspace(0.0, 1.0, RUNS)
    total = rng.poisson(np.geomspace(0.3, 300, RUNS), size=(intervals, pods, RUNS))
    total[rng.random(total.shape) < 0.1] = 0
    lasting = rng.normal(size=(1, pods, RUNS))
    shocks = rng.normal(size=(intervals, pods, RUNS))
    shocks[1:] += 0.5 * shocks[:-1]
    logit = -3.0 + noise * 0.3 * lasting + noise * 0.5 * shocks
    return PodCounts(total.astype(float), rng.binomial(total, 1 / (1 + np.exp(-logit))).astype(float))


def alone(counts: PodCounts, run: int) -> list[dict[str, tuple[float, float]]]:
    intervals, pods, _ = counts.total.shape
    return [
        {f"pod-{pod}": (counts.total[interval, pod, run], counts.bad[interval, pod, run]) for pod in range(pods)}
        for interval in range(intervals)
    ]


@pytest.mark.parametrize(
    ("together", "one"), [(BatchCalibration.of_shares, calibrate_shares), (BatchCalibration.of_rates, calibrate_rates)]
)
@pytest.mark.parametrize("shape", [(80, 4), (80, 2), (49, 4), (80, 1), (0, 4)])
def test_each_run_is_calibrated_as_alone(together, one, shape):
    counts = history(7, intervals=shape[0], pods=shape[1])

    found = together(counts, stable_pods=shape[1], candidate_pods=2)
    expected: list[Calibration] = [one(alone(counts, run), Pods(shape[1], 2)) for run in range(RUNS)]

    assert found.intraclass == pytest.approx(
        [np.nan if each.intraclass is None else each.intraclass for each in expected], rel=1e-9, abs=1e-12, nan_ok=True
    )
    assert found.noise_floor == pytest.approx([each.noise_floor for each in expected], rel=1e-9, abs=1e-12)
    if shape == (80, 4):
        assert any(each.autocorrelation > 0 for each in expected)
        assert any(each.noise_floor > 0 for each in expected)
        assert not all(each.measured for each in expected[:1])


@pytest.mark.parametrize("shape", [(80, 4), (49, 4), (80, 1), (0, 4)])
def test_means_are_calibrated_as_alone(shape):
    counts = history(10, intervals=shape[0], pods=shape[1])

    found = BatchCalibration.of_means(counts, stable_pods=shape[1], candidate_pods=2)
    expected = [calibrate_means(alone(counts, run), Pods(shape[1], 2)) for run in range(RUNS)]

    assert found.noise_floor == pytest.approx([each.noise_floor for each in expected], rel=1e-9, abs=1e-12)
    assert found.batches.tolist() == [each.batch for each in expected]
    assert not found.assumed.any()
    if shape == (80, 4):
        assert max(each.batch for each in expected) > 1


@pytest.mark.parametrize("shape", [(80, 4), (49, 4), (80, 1)])
def test_buckets_are_calibrated_as_alone(shape):
    edges = [history(seed, intervals=shape[0], pods=shape[1]).bad for seed in (11, 12, 13)]
    buckets = np.stack([*edges, np.where(np.arange(RUNS) % 2 == 0, 0.0, edges[0])])
    counts = PodCounts(buckets.sum(axis=0), np.zeros_like(edges[0]), buckets)

    found = BatchCalibration.of_buckets(counts, stable_pods=shape[1], candidate_pods=2)
    expected = [
        calibrate_buckets(
            [
                {str(pod): tuple(buckets[:, interval, pod, run]) for pod in range(shape[1])}
                for interval in range(shape[0])
            ],
            Pods(shape[1], 2),
        )
        for run in range(RUNS)
    ]

    assert found.intraclass == pytest.approx(
        [np.nan if each.intraclass is None else each.intraclass for each in expected], rel=1e-9, abs=1e-12, nan_ok=True
    )
    assert found.noise_floor == pytest.approx([each.noise_floor for each in expected], rel=1e-9, abs=1e-12)
    effective = found.effective(PodCounts(counts.total[0], counts.bad[0], buckets[:, 0]))
    for run in range(RUNS):
        totals = counts.total[0, :, run]
        worth = expected[run].effective([(total, 0.0) for total in totals])[0] / max(totals.sum(), 1.0)
        assert effective.buckets[:, run] == pytest.approx(worth * buckets[:, 0, :, run].sum(axis=1), rel=1e-9)


def test_counts_are_deflated_as_alone():
    counts = history(8)
    found = BatchCalibration.of_shares(counts, stable_pods=4, candidate_pods=1)
    window = PodCounts(counts.total[0] * 3, counts.bad[0] * 3)

    effective = found.effective(window)

    for run in range(RUNS):
        calibration = calibrate_shares(alone(counts, run), Pods(4, 1))
        cells = list(zip(window.total[:, run], window.bad[:, run], strict=True))
        assert (effective.total[run], effective.bad[run]) == pytest.approx(calibration.effective(cells), rel=1e-9)


def test_runs_that_are_kept_stay_as_they_were():
    found = BatchCalibration.of_shares(history(9), stable_pods=4, candidate_pods=1)
    kept = np.arange(RUNS) % 2 == 0

    assert found.keep(kept).noise_floor.tolist() == found.noise_floor[kept].tolist()
    assert found.keep(kept).intraclass.tolist() == pytest.approx(found.intraclass[kept].tolist(), nan_ok=True)
