"""The formulas for many runs give the numbers of those for one."""

import warnings
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.judge import Arm, Window
from controller.judge._mixture import Plain, Restart
from controller.judge.kinds import ratio as one
from controller.judge.numbers import vector as many

MARGINS = (0.0, 1e-6, 0.0025, 0.01, 0.3, 0.9, 0.99)
RATES = (1e-9, 1e-4, 0.005, 0.08, 0.5, 0.95, 1 - 1e-9)
COUNTS = ((1800, 9, 200, 3), (1, 0, 1, 1), (50, 50, 10, 10), (10**9, 10**6, 10**8, 10**5), (37.25, 0.5, 4.125, 4.125))


def batch(*counts: tuple[float, float, float, float]) -> many.BatchWindow:
    n0, k0, n1, k1 = (np.array(column, dtype=float) for column in zip(*counts, strict=True))
    return many.BatchWindow(n0, k0, n1, k1, n0, n1)


def single(counts: tuple[float, float, float, float]) -> Window[Arm]:
    n0, k0, n1, k1 = counts
    return Window(Arm(n0, k0), Arm(n1, k1))


@pytest.mark.parametrize("side", ["worse_alternatives", "not_worse_alternatives"])
@pytest.mark.parametrize("counts", COUNTS)
@pytest.mark.parametrize("margin", MARGINS)
def test_f1_for_every_rate_at_once(side: str, counts: tuple[float, float, float, float], margin: float) -> None:
    rates, margins = np.array(RATES), np.full(len(RATES), margin)
    alternatives = getattr(many, side)(rates, margins)
    logs = many.log_factors(
        batch(*[counts] * len(RATES)),
        rates=rates,
        margins=np.broadcast_to(margins, alternatives.shape),
        alternatives=alternatives,
    )

    for run, rate in enumerate(RATES):
        bets = getattr(one, side)(rate, margin)
        expected = one.log_factors(single(counts), rate=rate, margin=margin, alternatives=bets)
        assert alternatives[:, run] == pytest.approx(bets, rel=1e-14)
        # A billion requests: the sum of terms of that size is exact to some 1e-16 of them.
        assert logs[:, run] == pytest.approx(expected, rel=1e-9, abs=1e-9 + 1e-14 * counts[0])


@given(
    rate=st.floats(1e-6, 1 - 1e-6),
    margin=st.floats(0, 0.5),
    total=st.integers(1, 10**6),
    share=st.floats(0.01, 0.99),
    bad=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_f1_for_any_window(rate: float, margin: float, total: int, share: float, bad: tuple[float, float]) -> None:
    counts = (total * (1 - share), total * (1 - share) * bad[0], total * share, total * share * bad[1])
    rates, margins = np.array([rate]), np.array([margin])
    for side in ("worse_alternatives", "not_worse_alternatives"):
        alternatives = getattr(many, side)(rates, margins)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            logs = many.log_factors(
                batch(counts), rates=rates, margins=np.full(alternatives.shape, margin), alternatives=alternatives
            )
        bets = getattr(one, side)(rate, margin)
        expected = one.log_factors(single(counts), rate=rate, margin=margin, alternatives=bets)
        assert logs[:, 0] == pytest.approx(expected, rel=1e-9, abs=1e-9 + 1e-12 * total)


def test_better_alternatives_are_those_of_one_run() -> None:
    found = many.better_alternatives(np.array(RATES))

    for run, rate in enumerate(RATES):
        assert found[:, run] == pytest.approx(one.better_alternatives(rate), rel=1e-14)


def test_a_window_without_one_arm_bets_nothing() -> None:
    rates, margins = np.array([0.1, 0.1]), np.array([0.01, 0.01])
    alternatives = many.worse_alternatives(rates, margins)
    window = batch((100, 10, 0, 0), (0, 0, 100, 10))

    logs = many.log_factors(window, rates=rates, margins=np.full(alternatives.shape, 0.01), alternatives=alternatives)

    assert not logs.any()
    assert not window.comparable.any()


@pytest.mark.parametrize("horizon", [1, 2, 7, 100])
def test_mixtures_are_those_of_one_run(horizon: int) -> None:
    rng = np.random.default_rng(5)
    runs, size = 3, 4
    plain, restart = np.zeros((size, runs)), many.RestartBatch.start(size, horizon, runs=runs)
    singles = [(Plain.start(size), Restart.start(size, horizon)) for _ in range(runs)]
    for _ in range(12):
        factors, counted = rng.normal(size=(size, runs)), rng.random(runs) < 0.7
        factors[:, ~counted] = 0.0
        plain, restart = plain + factors, restart.update(factors, counted)
        for run in np.flatnonzero(counted):
            row = tuple(float(factor) for factor in factors[:, run])
            singles[run] = tuple(process.update(row) for process in singles[run])
        assert many.log_means(plain) == pytest.approx([each[0].log_value for each in singles], abs=1e-12)
        assert restart.log_value == pytest.approx([each[1].log_value for each in singles], abs=1e-12)


def test_runs_that_are_kept_go_on_as_before() -> None:
    restart = many.RestartBatch.start(2, 5, runs=3).update(np.array([[log(2), 0.0, -1.0]] * 2), np.ones(3, dtype=bool))

    kept = restart.keep(np.array([True, False, True]))

    assert kept.log_value.tolist() == restart.log_value[[0, 2]].tolist()
