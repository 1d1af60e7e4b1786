"""Many runs side by side give the evidence and the decisions of each run alone."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from controller.api.verdicts import Advance, Role
from controller.judge import Arm, History, RatioTest, Trial, Window
from controller.judge.batch.histogram import HistogramBatchTest
from controller.judge.batch.mean import AgreementBatch, MeanBatchTest
from controller.judge.batch.rate import RateBatchTest
from controller.judge.batch.ratio import RatioBatchTest
from controller.judge.batch.trials import BatchDemands, TrialBatch
from controller.judge.kinds.buckets import BucketArm
from controller.judge.kinds.histogram import HistogramTest
from controller.judge.kinds.mean import MeanArm
from controller.judge.kinds.mean_process import MeanTest
from controller.judge.kinds.rate import RateArm
from controller.judge.kinds.rate_process import RateTest
from controller.judge.numbers.vector import BatchWindow

RUNS = 40
SIDES = ("log_worse", "log_restart", "log_catastrophic", "log_not_worse", "log_better")
STEPS = (10, 25, 50)
MARGINS = np.linspace(0.0, 0.03, RUNS)
HISTORY = np.linspace(0, 4000, RUNS)
NAMES = {"errors": 0.02, "accuracy": 0.1, "crashes": 0.01}


def scalar_tests(run: int) -> list[RatioTest]:
    margin, total = float(MARGINS[run]), float(HISTORY[run])
    known = History(total, 0.05 * total) if total else None
    return [
        RatioTest("errors", Role.GUARDRAIL, margin, 60, 2.0, 0.02, STEPS, history=known),
        RatioTest("accuracy", Role.TARGET, margin, 60, steps=STEPS, history=known, must_be_better=True),
        RatioTest("crashes", Role.RED_FLAG, 0.0, 60, threshold=0.05, min_requests=90, steps=STEPS),
    ]


def batch_tests() -> list[RatioBatchTest]:
    return [
        RatioBatchTest(
            metric,
            MARGINS if metric.role.gating else np.zeros(RUNS),
            HISTORY if metric.role.gating else np.zeros(RUNS),
            0.05 * HISTORY if metric.role.gating else np.zeros(RUNS),
        )
        for metric in scalar_tests(0)
    ]


def streams(seed: int, windows: int) -> Iterator[dict[str, BatchWindow]]:
    """Windows of all runs: effective counts at a design effect of 2, some windows empty, some runs worse."""
    rng = np.random.default_rng(seed)
    worse = rng.choice([0.5, 1.0, 1.5, 4.0], RUNS)
    for _ in range(windows):
        made = {}
        for name, rate in NAMES.items():
            n0, n1 = rng.poisson(900, RUNS).astype(float), rng.poisson(100, RUNS).astype(float)
            n0[rng.random(RUNS) < 0.05] = 0.0
            n1[rng.random(RUNS) < 0.05] = 0.0
            k0 = rng.binomial(n0.astype(int), rate)
            k1 = rng.binomial(n1.astype(int), np.minimum(rate * worse, 1.0))
            made[name] = BatchWindow(n0 / 2, k0 / 2, n1 / 2, k1 / 2, n0, n1)
        yield made


def single(window: BatchWindow, run: int) -> Window[Arm]:
    return Window(
        Arm(window.stable_total[run], window.stable_bad[run], window.stable_requests[run]),
        Arm(window.candidate_total[run], window.candidate_bad[run], window.candidate_requests[run]),
    )


def both(seed: int, windows: int) -> Iterator[tuple[TrialBatch, list[Trial]]]:
    batch = TrialBatch.start(batch_tests(), alpha=0.05, min_requests=500)
    trials = [Trial.start(scalar_tests(run), alpha=0.05, min_requests=500) for run in range(RUNS)]
    for window in streams(seed, windows):
        batch = batch.update(window)
        trials = [
            trial.update({name: single(each, run) for name, each in window.items()}) for run, trial in enumerate(trials)
        ]
        yield batch, trials


@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_evidence_as_each_run_alone(seed: int) -> None:
    *_, (batch, trials) = both(seed, 15)

    for name in NAMES:
        found, alone = batch.metrics[name].process, [trial.metrics[name] for trial in trials]
        for side in SIDES:
            assert getattr(found, side) == pytest.approx([getattr(each, side) for each in alone], rel=1e-9, abs=1e-9)
        for step, weight in enumerate(STEPS):
            expected = [each.log_harm[weight] for each in alone]
            assert found.log_harm[step] == pytest.approx(expected, rel=1e-9, abs=1e-9)
        assert batch.metrics[name].log_combined == pytest.approx([each.log_combined for each in alone], abs=1e-9)


def test_the_same_decisions_as_each_run_alone_in_every_window() -> None:
    seen = set()
    for batch, trials in both(3, 20):
        assert batch.worse.tolist() == [trial.worse_at is not None for trial in trials]
        assert batch.not_worse_now.tolist() == [trial.not_worse_now for trial in trials]
        for advance in Advance:
            for step, weight in enumerate(STEPS):
                allowed = [trial.may_enter(weight, advance=advance) for trial in trials]
                assert batch.may_enter(step, advance=advance).tolist() == allowed
                seen.add((advance, any(allowed)))
        seen |= {("worse", any(batch.worse)), ("not worse", any(batch.not_worse_now))}
        seen.add(("flag", any(trial.red_flags for trial in trials)))
    # What never happens proves nothing.
    assert {
        (Advance.BUDGETED, True),
        (Advance.FIXED, True),
        ("worse", True),
        ("not worse", True),
        ("flag", True),
    } <= seen


def test_runs_that_ended_change_nothing_for_the_others() -> None:
    kept = np.arange(RUNS) % 3 != 0
    whole = TrialBatch.start(batch_tests(), alpha=0.05)
    part = whole
    for number, window in enumerate(streams(4, 12)):
        whole = whole.update(window)
        if number == 5:
            part = part.keep(kept)
        part = part.update(window if number < 5 else {name: each.keep(kept) for name, each in window.items()})

    for name in NAMES:
        found, expected = part.metrics[name], whole.metrics[name]
        assert found.log_combined == pytest.approx(expected.log_combined[kept], rel=1e-12)
        assert found.process.log_harm == pytest.approx(expected.process.log_harm[:, kept], rel=1e-12)
    assert part.worse.tolist() == whole.worse[kept].tolist()
    assert part.not_worse_now.tolist() == whole.not_worse_now[kept].tolist()


EDGES = (0.1, 0.2, 0.5, 1.0, 2.0, np.inf)
SHARES = np.array([0.1, 0.4, 0.3, 0.15, 0.05, 0.0])


@pytest.mark.parametrize("known", [0, 40, 5000])
def test_histograms_have_the_same_evidence_as_each_run_alone(known: int) -> None:
    rng = np.random.default_rng(9)
    metric = HistogramTest("latency", Role.TARGET, 0.02, horizon=40, must_be_better=True, steps=STEPS)
    history = rng.poisson(known * np.outer(SHARES, np.linspace(0.0, 2.0, RUNS))).astype(float)
    slower = np.where(np.arange(RUNS) % 3 == 0, 1.4, 0.8)
    candidate_shares = np.outer(SHARES, np.ones(RUNS)) * slower ** np.arange(6)[:, np.newaxis]
    candidate_shares[-1] = np.where(np.arange(RUNS) % 2 == 0, 0.002, 0.0)
    batch = HistogramBatchTest(metric, MARGINS, history).process()
    alone = [
        replace(metric, margin=float(margin), history=BucketArm(tuple(history[:, run]), EDGES)).process(0.05)
        for run, margin in enumerate(MARGINS)
    ]
    for number in range(12):
        stable = rng.poisson(np.outer(SHARES, np.linspace(2, 300, RUNS))).astype(float)
        candidate = rng.poisson(60 * candidate_shares).astype(float)
        if number == 4:
            candidate[:, ::5] = 0.0
        totals = stable.sum(axis=0), candidate.sum(axis=0)
        none = np.zeros(RUNS)
        batch = batch.update(BatchWindow(totals[0], none, totals[1], none, *totals, stable, candidate))
        for run in range(RUNS):
            window = Window(*(BucketArm(tuple(each[:, run]), EDGES) for each in (stable, candidate)))
            if window.comparable:
                alone[run] = alone[run].update(window)

    for side in SIDES:
        assert getattr(batch, side) == pytest.approx([getattr(each, side) for each in alone], rel=1e-8, abs=1e-9), side
    for step in range(len(STEPS)):
        assert batch.log_harm[step] == pytest.approx([each.log_harm[step] for each in alone], rel=1e-8, abs=1e-9)
    kept = np.arange(RUNS) % 2 == 0
    for side in (*SIDES, "log_harm"):
        assert getattr(batch.keep(kept), side) == pytest.approx(getattr(batch, side)[..., kept], rel=1e-12)


@pytest.mark.parametrize("horizon", [1, 2, 7, 60])
def test_means_have_the_same_evidence_as_each_run_alone(horizon: int) -> None:
    metric = MeanTest("cost", Role.TARGET, 0.002, horizon=horizon, must_be_better=True)
    batches = 1.0 + np.arange(RUNS) % 3
    batch = MeanBatchTest(metric, MARGINS, batches).process()
    alone = [
        replace(metric, margin=float(margin), batch=int(size)).process(0.05)
        for margin, size in zip(MARGINS, batches, strict=True)
    ]
    for window in (each["errors"] for each in streams(7, 20)):
        batch = batch.update(window)
        for run in range(RUNS):
            arms = Window(
                MeanArm(window.stable_total[run], window.stable_bad[run]),
                MeanArm(window.candidate_total[run], window.candidate_bad[run]),
            )
            if arms.comparable:
                alone[run] = alone[run].update(arms)

    for side in SIDES:
        assert getattr(batch, side) == pytest.approx([getattr(each, side) for each in alone], rel=1e-8, abs=1e-9)
    assert batch.decisive.tolist() == [each.decisive for each in alone]
    kept = np.arange(RUNS) % 2 == 0
    assert batch.keep(kept).log_restart == pytest.approx(batch.log_restart[kept], rel=1e-12)


@pytest.mark.parametrize("kind", ["ratio", "rate"])
def test_a_margin_of_the_promotion_and_agreement_as_each_run_alone(kind: str) -> None:
    margins, agreeing = MARGINS + 0.005, np.arange(RUNS) % 2 == 0
    promotion = np.where(np.arange(RUNS) % 5 == 0, 0.0, margins * 0.7)
    class_, lines = (RatioTest, np.ones(RUNS)) if kind == "ratio" else (RateTest, 1.0 + margins)
    metric = class_("errors", Role.GUARDRAIL, 0.01, 60)
    alone = [
        Trial.start(
            [replace(metric, margin=float(margin), promotion_margin=float(other), must_agree=bool(agrees))],
            alpha=0.05,
        )
        for margin, other, agrees in zip(margins, promotion, agreeing, strict=True)
    ]
    none = np.zeros(RUNS)
    make = (
        (lambda each: RatioBatchTest(metric, each, none, none)) if kind == "ratio" else partial(RateBatchTest, metric)
    )
    within = margins if kind == "ratio" else none
    demands = BatchDemands(make(promotion), AgreementBatch.start(agreeing, metric, margins=within, lines=lines))
    batch = TrialBatch.start([make(margins)], alpha=0.05, demands={"errors": demands})
    for window in (each["errors"] for each in streams(8, 25)):
        batch = batch.update({"errors": window})
        for run in range(RUNS):
            arms = single(window, run)
            if kind == "rate":
                arms = Window(*(RateArm(arm.bad, arm.exposure, arm.total) for arm in (arms.stable, arms.candidate)))
            alone[run] = alone[run].update({"errors": arms})
        assert batch.worse.tolist() == [each.worse_at is not None for each in alone]
        assert batch.not_worse_now.tolist() == [each.not_worse_now for each in alone]

    found, expected = batch.metrics["errors"], [each.metrics["errors"] for each in alone]
    assert found.log_combined == pytest.approx([each.log_combined for each in expected], rel=1e-8, abs=1e-9)
    assert found.log_not_worse == pytest.approx([each.log_not_worse for each in expected], rel=1e-8, abs=1e-9)
    kept = np.arange(RUNS) % 3 == 0
    assert found.keep(kept).log_not_worse == pytest.approx(found.log_not_worse[kept], rel=1e-12)


def test_without_gating_metrics_only_red_flags_decide() -> None:
    flag = batch_tests()[2]
    trial = TrialBatch.start([flag], alpha=0.05)
    window = next(streams(6, 1))["crashes"]

    trial = trial.update({"crashes": window})

    raised = (window.candidate_bad > 0.05 * window.candidate_total) & (window.candidate_requests >= 90)
    assert trial.worse.tolist() == raised.tolist()
    assert not trial.not_worse_now.any()


def test_rates_have_the_same_evidence_as_each_run_alone() -> None:
    metric = RateTest("exceptions", Role.TARGET, 0.1, horizon=40, must_be_better=True)
    batch = RateBatchTest(metric, MARGINS * 10).process()
    alone = [replace(metric, margin=float(margin)).process(0.05) for margin in MARGINS * 10]
    for window in (each["errors"] for each in streams(5, 15)):
        batch = batch.update(window)
        for run in range(RUNS):
            counts = RateArm(window.stable_bad[run], window.stable_requests[run], window.stable_total[run])
            arm = RateArm(window.candidate_bad[run], window.candidate_requests[run], window.candidate_total[run])
            if Window(counts, arm).comparable:
                alone[run] = alone[run].update(Window(counts, arm))

    for side in SIDES:
        assert getattr(batch, side) == pytest.approx([getattr(each, side) for each in alone], rel=1e-9, abs=1e-9)
    kept = np.arange(RUNS) % 2 == 0
    assert batch.keep(kept).log_restart == pytest.approx(batch.log_restart[kept], rel=1e-12)
