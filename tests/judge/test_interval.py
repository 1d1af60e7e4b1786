"""The confidence interval of the difference."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.judge import Arm, Window
from controller.judge.kinds.interval import DifferenceInterval, _bets, _Counts, _log_factors, difference_grid
from controller.judge.kinds.ratio import log_factors, worse_alternatives


@pytest.mark.parametrize("margin", [0.0, 1e-6, 0.0025, 0.01, 0.3, 0.95])
def test_grid(margin):
    grid = np.array(difference_grid(margin))

    assert grid.size == 41
    assert (np.diff(grid) > 0).all()
    assert (grid == -grid[::-1]).all()
    assert margin in grid
    assert -1 < grid[0] < grid[-1] < 1


@given(
    rate=st.floats(1e-4, 1 - 1e-4),
    margin=st.sampled_from([0.0, 0.0025, 0.05, 0.5]),
    n0=st.integers(1, 5000),
    n1=st.integers(1, 5000),
    shares=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_array_and_single_window_agree(rate, margin, n0, n1, shares):
    k0, k1 = int(n0 * shares[0]), int(n1 * shares[1])
    bets = _bets(difference_grid(margin))
    (found,) = _log_factors([_Counts(n0, k0, n1, k1, rate)], bets=bets)
    sides = [(rate, Window(Arm(n0, k0), Arm(n1, k1))), (1 - rate, Window(Arm(n0, n0 - k0), Arm(n1, n1 - k1)))]

    for side, (guess, window) in enumerate(sides):
        for at, delta in enumerate(bets.grid):
            if delta >= 0 and guess + delta < 0.999:
                start = bets.fractions.size + at - 20
                expected = log_factors(
                    window, rate=guess, margin=float(delta), alternatives=worse_alternatives(guess, float(delta))
                )
                assert found[side, start::21] == pytest.approx(expected, rel=1e-6, abs=1e-6)


def intervals(seed, p0, p1, *, windows, margin=0.01, n=(1800, 200)):
    rng = np.random.default_rng(seed)
    interval, bad, total = DifferenceInterval.start(margin, 0.05), 0.5, 1.0
    for _ in range(windows):
        window = Window(Arm(n[0], int(rng.binomial(n[0], p0))), Arm(n[1], int(rng.binomial(n[1], p1))))
        interval = interval.update(window, bad / total)
        bad, total = bad + window.stable.bad, total + window.stable.total
        yield interval.bounds


@pytest.mark.parametrize(("p0", "p1"), [(0.08, 0.08), (0.08, 0.12), (0.12, 0.08), (0.005, 0.005), (0.005, 0.1), (0, 0)])
def test_interval_covers_the_truth_and_shrinks(p0, p1):
    misses, widths = 0, []
    for seed in range(12):
        previous = (-1.0, 1.0)
        for low, high in intervals(seed, p0, p1, windows=60):
            assert previous[0] <= low
            assert high <= previous[1]
            previous = (low, high)
        misses += not previous[0] <= p1 - p0 <= previous[1]
        widths.append(previous[1] - previous[0])
    assert misses <= 3  # at most 10 % each; more than 3 of 12 has probability 2.6 %, and the seeds are fixed
    assert np.mean(widths) < 0.075


def test_interval_misses_the_truth_no_more_often_than_allowed():
    runs = 150
    missed = sum(
        any(not low <= 0.0 <= high for low, high in intervals(seed, 0.3, 0.3, windows=40, n=(50, 50)))
        for seed in range(runs)
    )
    assert missed <= 26  # 2α = 10 % of 150; the 99.9 % quantile of the binomial


@settings(max_examples=20)
@given(st.integers(0, 1000), st.floats(0.01, 0.5))
def test_interval_is_mirrored_when_bad_and_good_change_places(seed, rate):
    rng = np.random.default_rng(seed)
    here, there = DifferenceInterval.start(0.02, 0.05), DifferenceInterval.start(0.02, 0.05)
    for _ in range(3):
        k0, k1 = int(rng.binomial(2000, rate)), int(rng.binomial(500, rate / 2))
        here = here.update(Window(Arm(2000, k0), Arm(500, k1)), rate)
        there = there.update(Window(Arm(2000, 2000 - k0), Arm(500, 500 - k1)), 1 - rate)

    assert here.bounds == pytest.approx((-there.bounds[1], -there.bounds[0]))


def test_a_wrong_guess_of_stables_rate_widens_the_interval_but_never_stops_it():
    interval = DifferenceInterval.start(0.02, 0.05).update(Window(Arm(900, 45), Arm(100, 30)), 0.005)

    low, high = interval.bounds
    assert low >= 0.02
    assert high > 0.25


def test_an_interval_is_left_as_it_was():
    first = DifferenceInterval.start(0.01, 0.05).update(Window(Arm(900, 9), Arm(900, 9)), 0.01)
    before = first.bounds
    first.update(Window(Arm(90_000, 900), Arm(90_000, 2700)), 0.01)

    assert first.bounds == before
    assert DifferenceInterval.start(0.01, 0.05).bounds == (-1.0, 1.0)


@settings(max_examples=25)
@given(
    st.integers(0, 1000), st.integers(1, 40), st.sets(st.integers(0, 39)), st.floats(0, 1), st.sampled_from([0.0, 0.01])
)
def test_it_does_not_matter_when_the_bounds_are_read(seed, windows, read, rate, margin):
    rng = np.random.default_rng(seed)
    often, once = DifferenceInterval.start(margin, 0.05), DifferenceInterval.start(margin, 0.05)
    for number in range(windows):
        window = Window(Arm(900, int(rng.binomial(900, rate))), Arm(100, int(rng.binomial(100, rate))))
        often, once = often.update(window, 0.05), once.update(window, 0.05)
        if number in read:
            assert len(often.bounds) == 2

    assert often.bounds == once.bounds
    assert (often._said.state.refuted == once._said.state.refuted).all()
    kept = min(often._said.state.bets.odds.size, once._said.state.bets.odds.size)
    assert (often._said.state.logs[:, -kept:] == once._said.state.logs[:, -kept:]).all()


def test_bounds_between_two_readings_can_still_be_read():
    windows = [Window(Arm(900, 45), Arm(100, bad)) for bad in (30, 40, 2)]
    course = [DifferenceInterval.start(0.02, 0.05)]
    for window in windows:
        course.append(course[-1].update(window, 0.05))

    expected = []
    for length in range(4):
        interval = DifferenceInterval.start(0.02, 0.05)
        for window in windows[:length]:
            interval = interval.update(window, 0.05)
        expected.append(interval.bounds)
    assert [interval.bounds for interval in reversed(course)] == expected[::-1]


@pytest.mark.parametrize(("p0", "p1", "margin"), [(0.08, 0.08, 0.01), (0.005, 0.1, 0.0025), (0.5, 0.1, 0.3)])
def test_forgetting_what_is_settled_changes_nothing(p0, p1, margin):
    rng, bets = np.random.default_rng(0), _bets(difference_grid(margin))
    interval, logs = DifferenceInterval.start(margin, 0.05), np.zeros((2, bets.margins.size))
    refuted = np.zeros((2, bets.grid.size), dtype=bool)
    for _ in range(40):
        counts = _Counts(900, int(rng.binomial(900, p0)), 100, int(rng.binomial(100, p1)), p0)
        interval = interval.update(Window(Arm(*counts[:2]), Arm(*counts[2:4])), p0)
        logs = logs + _log_factors([counts], bets=bets)[0]
        refuted |= bets.evidence(logs[np.newaxis])[0] >= np.log(20)

    low, high = interval.bounds
    assert (interval._said.state.refuted == refuted).all()
    assert interval._said.state.bets.grid.size < bets.grid.size
    assert low == bets.grid[refuted[0].argmin() - 1]
    assert high == -bets.grid[refuted[1].argmin() - 1]
