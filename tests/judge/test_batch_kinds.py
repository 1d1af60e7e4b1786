"""Distributions, pairs, looks and queries of many runs side by side: the evidence of each run alone."""

from dataclasses import replace

import numpy as np
import pytest

from controller.api.analysis import Spending
from controller.api.verdicts import Role
from controller.judge import Arm, BucketArm, Evidence, History, PairArm, Trial, Window
from controller.judge._process import Process
from controller.judge.batch import BatchWindow, above_edges, within_cells
from controller.judge.batch.calibration import BatchCalibration, PodCounts
from controller.judge.batch.distribution import DistributionBatchTest
from controller.judge.batch.group import GroupBatchTest
from controller.judge.batch.paired import PairBatchTest
from controller.judge.batch.query import QueryBatchTest
from controller.judge.batch.ratio import RatioBatchTest
from controller.judge.batch.trials import BatchProcess, TrialBatch
from controller.judge.kinds.distribution import DistributionTest
from controller.judge.kinds.group_process import GroupTest
from controller.judge.kinds.paired_process import PairTest
from controller.judge.kinds.query import QueryArm, QueryTest
from controller.judge.noise.calibration import Pods, calibrate_classes

RUNS = 40
SIDES = ("log_worse", "log_restart", "log_catastrophic", "log_not_worse", "log_better")
MARGINS = np.linspace(0.0, 0.06, RUNS)
KEPT = np.arange(RUNS) % 2 == 0
EDGES = (0.1, 0.2, 0.5, 1.0, np.inf)
SHARES = np.array([0.1, 0.4, 0.3, 0.2, 0.0])


def same(batch: BatchProcess, alone: list[Process]) -> None:
    for side in SIDES:
        assert getattr(batch, side) == pytest.approx([getattr(each, side) for each in alone], rel=1e-8, abs=1e-9), side
        assert getattr(batch.keep(KEPT), side) == pytest.approx(getattr(batch, side)[KEPT], rel=1e-12, abs=1e-12), side
    assert batch.decisive.tolist() == [each.decisive for each in alone]
    assert batch.keep(KEPT).decisive.tolist() == batch.decisive[KEPT].tolist()


@pytest.mark.parametrize("edges", [EDGES, ()])
@pytest.mark.parametrize("known", [0, 3000])
def test_distributions(edges: tuple[float, ...], known: int) -> None:
    rng = np.random.default_rng(3)
    metric = DistributionTest("scores", Role.GUARDRAIL, 0.02, horizon=30, floor=0.05)
    history = rng.poisson(known * np.outer(SHARES, np.linspace(0.0, 2.0, RUNS))).astype(float)
    tilt = np.where(np.arange(RUNS) % 3 == 0, 1.4, 1.0) ** np.arange(5)[:, np.newaxis]
    shares = np.outer(SHARES, np.ones(RUNS)) * tilt
    shares[-1] = np.where(np.arange(RUNS) % 4 == 0, 0.003, 0.0)
    batch = DistributionBatchTest(metric, MARGINS, history, above_edges if edges else within_cells).process()
    alone = [
        replace(metric, margin=float(margin), history=BucketArm(tuple(history[:, run]), edges)).process(0.05)
        for run, margin in enumerate(MARGINS)
    ]
    for number in range(12):
        stable = rng.poisson(np.outer(SHARES, np.linspace(2, 900, RUNS))).astype(float)
        candidate = rng.poisson(150 * shares).astype(float)
        if number == 4:
            candidate[:, ::5] = 0.0
        totals, none = (stable.sum(axis=0), candidate.sum(axis=0)), np.zeros(RUNS)
        batch = batch.update(BatchWindow(totals[0], none, totals[1], none, *totals, stable, candidate))
        for run in range(RUNS):
            window = Window(*(BucketArm(tuple(each[:, run]), edges) for each in (stable, candidate)))
            if window.comparable:
                alone[run] = alone[run].update(window)
    same(batch, alone)
    assert 0 < sum(batch.decisive) < RUNS
    assert len(batch.log_harm) == 0


@pytest.mark.parametrize("better", [False, True])
def test_pairs(better: bool) -> None:
    rng = np.random.default_rng(4)
    metric = PairTest("accuracy", Role.TARGET, 0.02, horizon=30, must_be_better=better)
    batch = PairBatchTest(metric, MARGINS).process()
    alone = [replace(metric, margin=float(margin)).process(0.05) for margin in MARGINS]
    for number in range(12):
        up, down, both, right = (
            rng.poisson(each, RUNS).astype(float) for each in (np.linspace(1, 30, RUNS), 10, 20, 300)
        )
        if number == 4:
            for each in (up, down, both, right):
                each[::5] = 0.0
        total = up + down + both + right
        counts = (total, down + both, total, up + both, total, total)
        batch = batch.update(BatchWindow(*counts, stable_alone=down, candidate_alone=up))
        for run in range(RUNS):
            arms = [PairArm(total[run], part[run] + both[run], part[run]) for part in (down, up)]
            window = Window(*arms)
            if window.comparable:
                alone[run] = alone[run].update(window)
    same(batch, alone)


def test_pairs_want_windows_of_pairs() -> None:
    window = BatchWindow(*[np.ones(RUNS)] * 6)
    with pytest.raises(TypeError, match="expected a window of pairs"):
        PairBatchTest(PairTest("accuracy", Role.GUARDRAIL, 0.02), MARGINS).process().update(window)


def counted(rng: np.random.Generator) -> BatchWindow:
    """Both arms at a design effect of 2; the candidate's rates rise from run to run, and some windows are empty."""
    n0, n1 = rng.poisson(900, RUNS).astype(float), rng.poisson(200, RUNS).astype(float)
    n1[rng.random(RUNS) < 0.05] = 0.0
    k0 = rng.binomial(n0.astype(int), 0.05)
    k1 = rng.binomial(n1.astype(int), np.linspace(0.0, 0.15, RUNS))
    return BatchWindow(n0 / 2, k0 / 2, n1 / 2, k1 / 2, n0, n1)


@pytest.mark.parametrize("spending", list(Spending))
def test_few_looks(spending: Spending) -> None:
    rng = np.random.default_rng(5)
    metric = GroupTest(
        "errors", Role.TARGET, 0.02, 40, must_be_better=True, steps=(10, 50), max_requests=2500, spending=spending
    )
    none = np.zeros(RUNS)
    batch = GroupBatchTest(metric, RatioBatchTest(metric, MARGINS, none + 1000, none + 50), 0.05).process()
    known = History(1000.0, 50.0)
    alone = [replace(metric, margin=float(margin), history=known).process(0.05) for margin in MARGINS]
    for _ in range(16):
        window = counted(rng)
        batch = batch.update(window)
        for run in range(RUNS):
            arms = Window(
                Arm(window.stable_total[run], window.stable_bad[run], window.stable_requests[run]),
                Arm(window.candidate_total[run], window.candidate_bad[run], window.candidate_requests[run]),
            )
            if arms.comparable:
                alone[run] = alone[run].update(arms)
        same(batch, alone)
        same(batch.keep(np.ones(RUNS, dtype=bool)), alone)
    for step in range(2):
        assert batch.log_harm[step] == pytest.approx([each.log_harm[step] for each in alone], rel=1e-9, abs=1e-9)
    assert all(0 < sum(getattr(batch, side) > 0.0) < RUNS for side in ("log_worse", "log_not_worse", "log_better"))


def test_queries_raise_their_flags_and_say_nothing_else() -> None:
    rng = np.random.default_rng(6)
    metric = QueryTest("memory", Role.RED_FLAG, threshold=2.0)
    batch = TrialBatch.start([QueryBatchTest(metric, np.zeros(RUNS))], alpha=0.05)
    alone = [Trial.start([metric], alpha=0.05) for _ in range(RUNS)]
    one = np.ones(RUNS)
    for _ in range(5):
        values = rng.normal(-1.0, 1.5, RUNS)
        batch = batch.update({"memory": BatchWindow(one, values, one, values, one, one)})
        alone = [
            each.update({"memory": Window(QueryArm(value), QueryArm(value))})
            for each, value in zip(alone, values, strict=True)
        ]
    assert batch.worse.tolist() == [each.worse_at is not None for each in alone]
    assert 0 < sum(batch.worse) < RUNS
    assert not batch.not_worse_now.any()
    process = batch.keep(KEPT).metrics["memory"].process
    assert Evidence.start(metric, 0.05).log_combined == 0.0
    for side in SIDES:
        assert getattr(process, side).tolist() == [0.0] * sum(KEPT)


def test_cells_are_calibrated_as_the_worst_of_them() -> None:
    rng = np.random.default_rng(7)
    shares = rng.dirichlet(40 * np.array([0.2, 0.5, 0.295, 0.005]), size=(80, 4, 3)).transpose(3, 0, 1, 2)
    buckets = rng.poisson(120 * shares).astype(float)
    history = PodCounts(buckets.sum(axis=0), np.zeros(buckets.shape[1:]), buckets)
    found = BatchCalibration.of_classes(history, stable_pods=4, candidate_pods=1)
    for run in range(3):
        past = [
            {str(pod): tuple(buckets[:, interval, pod, run]) for pod in range(4)} for interval in range(len(shares[0]))
        ]
        alone = calibrate_classes(past, Pods(4, 1))
        assert alone.measured
        assert found.intraclass[run] == pytest.approx(alone.intraclass, rel=1e-9)
        assert found.noise_floor[run] == pytest.approx(alone.noise_floor, rel=1e-9)
