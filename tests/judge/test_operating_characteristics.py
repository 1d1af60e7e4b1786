"""The short version of the simulations behind docs/operating-characteristics.md: bounds hold, the page has their rows.

A bound is broken when chance explains the count with less than 0.1 %. The arrays of the benchmark give the numbers of
the scalar processes.
"""

import math

import numpy as np
import pytest

from controller.api.verdicts import Role
from controller.judge import SampleRatio, Window
from controller.judge.batch import PodCounts
from controller.judge.checks.split import SessionRatio
from controller.judge.kinds.buckets import BucketArm
from controller.judge.kinds.distribution import DistributionTest
from controller.judge.kinds.histogram import HistogramTest
from controller.judge.kinds.mean import MeanArm
from controller.judge.kinds.mean_process import MeanTest
from tests.bench.operating import histograms, splits
from tests.bench.operating.methods import RepeatedZ, Thresholds, TMixture
from tests.bench.operating.tables import Bound, Pace
from tests.bench.operating_characteristics import PAGE, SIMULATIONS


@pytest.mark.parametrize("name", SIMULATIONS)
def test_bounds_hold_and_the_page_has_the_rows(name):
    simulation = SIMULATIONS[name]
    section = simulation.section(simulation.few)
    page = PAGE.read_text(encoding="utf-8")

    assert [each for each in (*section.bounds, *section.paces) if not each.kept] == []
    assert section.bounds or section.paces
    table = page.partition(f"## {section.title}\n")[2].partition("\n## ")[0]
    assert f"| {' | '.join(section.header)} |\n" in table
    for row in section.rows:
        assert f"\n| {row[0]} |" in table
    assert f"{simulation.runs} runs" in " ".join(table.split())


def test_a_broken_bound_is_called_broken():
    assert Bound("", 4, 100).kept
    assert Bound("", 12, 100).kept
    assert not Bound("", 14, 100).kept
    assert not Bound("", 6, 100, highest=0.01).kept
    assert Pace("", 15.5, 0.2, 10.0).kept
    assert not Pace("", 16.0, 0.2, 10.0).kept
    assert not Pace("", math.nan, math.inf, 10.0).kept


RUNS = 3


def test_f3_of_many_runs_is_that_of_one():
    rng = np.random.default_rng(1)
    many = TMixture(RUNS)
    alone = [MeanTest("m", Role.GUARDRAIL, 0.0, 60).process(0.05) for _ in range(RUNS)]
    for _ in range(30):
        stable = PodCounts(rng.poisson(900.0, (2, RUNS)).astype(float), rng.poisson(70.0, (2, RUNS)).astype(float))
        candidate = PodCounts(rng.poisson(200.0, (1, RUNS)).astype(float), rng.poisson(20.0, (1, RUNS)).astype(float))
        many.look(stable, candidate)
        for run in range(RUNS):
            arms = [MeanArm(each.total[:, run].sum(), each.bad[:, run].sum()) for each in (stable, candidate)]
            alone[run] = alone[run].update(Window(*arms))
    assert many.log_evidence == pytest.approx([each.log_worse for each in alone], rel=1e-9, abs=1e-9)
    assert max(each.log_worse for each in alone) > 1


def test_f1_over_edges_and_f4_of_many_runs_are_those_of_one():
    rng = np.random.default_rng(2)
    usual, slower = histograms.shares()[:, np.newaxis], histograms.shares(factor=1.3)[:, np.newaxis]
    history = rng.poisson(4000 * usual, (15, RUNS)).astype(float)
    order, change = histograms.OrderAverage(history), histograms.Multinomial(history)
    known = [BucketArm(tuple(history[:, run]), histograms.EDGES) for run in range(RUNS)]
    ordered = [HistogramTest("h", Role.GUARDRAIL, history=each).process(0.05) for each in known]
    changed = [DistributionTest("d", Role.GUARDRAIL, history=each).process(0.05) for each in known]
    for _ in range(8):
        stable = rng.poisson(180 * usual, (15, RUNS)).astype(float)
        candidate = rng.poisson(20 * slower, (15, RUNS)).astype(float)
        order.look(stable, candidate)
        change.look(stable, candidate)
        for run in range(RUNS):
            window = Window(*(BucketArm(tuple(each[:, run]), histograms.EDGES) for each in (stable, candidate)))
            ordered[run], changed[run] = ordered[run].update(window), changed[run].update(window)
    assert order.log_evidence == pytest.approx([each.log_worse for each in ordered], rel=1e-9)
    assert change.log_evidence == pytest.approx([each.log_worse for each in changed], rel=1e-9)
    assert change.size == pytest.approx([each.size for each in changed], rel=1e-9)
    assert min(each.log_worse for each in ordered) > 1


def test_checks_of_the_shares_of_many_runs_are_those_of_one():
    rng = np.random.default_rng(3)
    many, alone = splits.Checks(RUNS), [(SampleRatio(), SessionRatio()) for _ in range(RUNS)]
    for _ in range(12):
        stable, candidate = rng.poisson(900.0, RUNS).astype(float), rng.poisson(115.0, RUNS).astype(float)
        flags = many.look(stable, candidate)
        for run in range(RUNS):
            counts = {"weight": 10.0, "stable": float(stable[run]), "candidate": float(candidate[run])}
            alone[run] = tuple(each.update(**counts) for each in alone[run])
    assert many.log_evidence == pytest.approx([each[0].log_evidence for each in alone], rel=1e-8)
    assert many.log_sticky == pytest.approx([each[1].log_evidence for each in alone], rel=1e-8)
    assert flags[splits._CHECK].tolist() == [each[0].mismatched for each in alone]
    assert flags[splits._STICKY].tolist() == [each[1].mismatched for each in alone]


def counted(total: float, bad: float) -> PodCounts:
    return PodCounts(np.array([[float(total)]]), np.array([[float(bad)]]))


def test_the_rivals_rules():
    counts = [(100, 2), (100, 0), (0, 0), (100, 3), (100, 9), (100, 2)]
    checks, taken = Thresholds(1, highest=0.01), []
    for total, bad in counts:
        stable, candidate = (
            PodCounts(np.array([[float(n)]]), np.array([[float(k)]])) for n, k in ((900, 9), (total, bad))
        )
        taken.append({name: bool(flags[0]) for name, flags in checks.look(stable, candidate).items()})
    assert [each["Argo-style, failureLimit 0"] for each in taken] == [True] * 6
    assert [each["Argo-style, failureLimit 3"] for each in taken] == [False] * 5 + [True]
    assert not any(each["Flagger-style"] for each in taken)


def test_the_z_test_is_check_case_c49():
    test = RepeatedZ(1)
    flags = test.look(
        PodCounts(np.array([[1800.0]]), np.array([[45.0]])), PodCounts(np.array([[200.0]]), np.array([[12.0]]))
    )

    assert test.statistic[0] == pytest.approx(2.82202245, abs=1e-8)
    assert flags["repeated z-test"][0]
