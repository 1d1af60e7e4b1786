"""Histograms: the same as F1 at every edge, which edges share, exact validity, power, numerical safety."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import bdtr

from controller.api.verdicts import Role, Verdict
from controller.judge import Arm, PerArm, Trial, Window
from controller.judge._mixture import Plain, Restart, log_mean
from controller.judge.kinds.buckets import BucketArm
from controller.judge.kinds.histogram import HistogramTest
from controller.judge.kinds.interval import DifferenceInterval
from controller.judge.kinds.ratio import (
    better_alternatives,
    log_factors,
    not_worse_alternatives,
    worse_alternatives,
)

INF = math.inf
DEFAULTS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, INF)


def histogram(**changes):
    values = {"name": "latency", "role": Role.TARGET, "margin": 0.02} | changes
    return HistogramTest(**values)


def window(stable, candidate, edges):
    return Window(BucketArm(tuple(stable), edges), BucketArm(tuple(candidate), edges))


def fold(process, windows):
    with np.errstate(all="raise"):
        for each in windows:
            process = process.update(each)
    return process


def numbers(process):
    return (
        process.log_worse,
        process.log_restart,
        process.log_catastrophic,
        process.log_not_worse,
        process.log_better,
    )


def above(arm, edge):
    total = sum(arm.counts)
    return Arm(total, min(sum(count for count, at in zip(arm.counts, arm.edges, strict=True) if at > edge), total))


class Reference:
    """The definition, edge by edge, by the scalar functions of a single ratio metric."""

    def __init__(self, test, edges, *, worse, better):
        self.test, self.edges, self.at = test, edges, {"worse": worse, "better": better}
        known = {edge: above(test.history, edge) for edge in edges}
        self.known = {edge: (arm.total, arm.bad) for edge, arm in known.items()}
        self.margins = {
            edge: max(test.margin, min(8 * test.margin, (1 - arm.bad / arm.total) / 2)) for edge, arm in known.items()
        }
        self.worse = {edge: Plain.start(10) for edge in worse}
        self.restart = {edge: Restart.start(10, test.horizon) for edge in worse}
        self.catastrophic = {edge: Plain.start(10) for edge in worse}
        self.not_worse = {edge: Plain.start(6) for edge in edges}
        self.better = {edge: Plain.start(10) for edge in better}

    def update(self, window):
        for edge in self.edges:
            seen = Window(above(window.stable, edge), above(window.candidate, edge))
            total, bad = self.known[edge]
            rate = (0.5 + bad) / (1 + total)
            self.known[edge] = (total + seen.stable.total, bad + seen.stable.bad)
            sides = (
                (self.worse, self.test.margin, worse_alternatives),
                (self.restart, self.test.margin, worse_alternatives),
                (self.catastrophic, self.margins[edge], worse_alternatives),
                (self.not_worse, self.test.margin, not_worse_alternatives),
                (self.better, 0.0, lambda rate, _: better_alternatives(rate)),
            )
            for processes, margin, choose in sides:
                if edge in processes:
                    factors = log_factors(seen, rate=rate, margin=margin, alternatives=choose(rate, margin))
                    processes[edge] = processes[edge].update(factors)

    def numbers(self):
        mean = (self.worse, self.restart, self.catastrophic)
        means = [log_mean(tuple(process.log_value for process in each.values())) for each in mean]
        least = min(process.log_value for process in self.not_worse.values())
        return (*means, least, log_mean(tuple(process.log_value for process in self.better.values())))


@pytest.mark.parametrize("margin", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("n", [(60, 7), (1800, 200), (50_000, 50_000)])
def test_every_number_is_that_of_the_scalar_formulas_edge_by_edge(margin, n):
    edges, shares = (1, 2, 3, 4, INF), np.array([0.45, 0.3, 0.15, 0.07, 0.03])
    rng = np.random.default_rng(7)
    test = histogram(margin=margin, history=BucketArm((450, 300, 150, 70, 30), edges), must_be_better=True)
    process, reference = test.process(0.05), Reference(test, edges[:-1], worse=edges[:-1], better=edges[:-1])
    for _ in range(5):
        seen = window(rng.multinomial(n[0], shares), rng.multinomial(n[1], shares[::-1]), edges)
        process = fold(process, [seen])
        reference.update(seen)

        assert numbers(process) == pytest.approx(reference.numbers(), rel=1e-10, abs=1e-10)


def test_rates_and_interval_are_those_of_the_edge_that_differs_most():
    edges = (1, 2, 3, INF)
    windows = [window((900, 500, 300, 100), (60, 50, 70, 20), edges)] * 6
    process = fold(histogram(history=BucketArm((900, 500, 300, 100), edges)).process(0.05), windows)

    interval, known = DifferenceInterval.start(0.02, 0.05 / 3), Arm(1800, 400)
    for each in windows:
        interval = interval.update(
            Window(above(each.stable, 2), above(each.candidate, 2)), (0.5 + known.bad) / (1 + known.total)
        )
        known = Arm(known.total + 1800, known.bad + 400)
    assert process.edge == 2
    assert process.rates == PerArm(pytest.approx(400 / 1800), pytest.approx(90 / 200))
    assert process.interval == interval.bounds
    assert 0.02 < process.interval[0] < 0.2 < process.interval[1]


def test_idle_edges_dilute_nothing():
    few, many = (0.1, 0.5, 1, 2, INF), (0.01, 0.02, 0.1, 0.5, 1, 2, 5, 10, 20, INF)

    def with_idle(counts):
        return (0, 0, *counts, 0, 0, 0)

    history = (300, 500, 150, 50, 0)
    windows = [((300, 450, 200, 50, 0), (20, 40, 20, 15, 5))] * 4
    narrow = histogram(history=BucketArm(history, few), must_be_better=True).process(0.05)
    wide = histogram(history=BucketArm(with_idle(history), many), must_be_better=True).process(0.05)
    narrow = fold(narrow, [window(*each, few) for each in windows])
    wide = fold(wide, [window(*map(with_idle, each), many) for each in windows])

    assert numbers(wide)[:3] == pytest.approx(numbers(narrow)[:3])
    assert wide.log_worse > 1
    # No edge with evidence of its own blocks: one that nothing exceeds is quickly shown to be no worse.
    assert wide.log_not_worse == pytest.approx(narrow.log_not_worse)


@pytest.mark.parametrize(
    ("history", "margin", "worse", "better"),
    [
        ((0, 0, 600, 399, 1, 0, 0), 0.02, (3, 4, 5), (2, 3, 4)),
        ((0, 15, 600, 384, 1, 0, 0), 0.02, (3, 4, 5), (1, 2, 3, 4)),
        ((0, 15, 600, 384, 1, 0, 0), 0.0, (2, 3, 4, 5), (1, 2, 3, 4)),
        ((0, 0, 0, 0, 0, 0, 1000), 0.02, (6,), (6,)),
        ((1000, 0, 0, 0, 0, 0, 0), 0.02, (1,), (1,)),
        ((10, 10, 10, 10, 10, 10, 10), 0.02, (1, 2, 3, 4, 5, 6), (1, 2, 3, 4, 5, 6)),
    ],
)
def test_history_settles_which_edges_share(history, margin, worse, better):
    edges = (1, 2, 3, 4, 5, 6, INF)
    history = tuple(count * 10 for count in history)
    test = histogram(margin=margin, history=BucketArm(history, edges), must_be_better=True)
    process, reference = test.process(0.05), Reference(test, edges[:-1], worse=worse, better=better)
    seen = window((100, 150, 400, 250, 60, 30, 10), (10, 10, 40, 20, 10, 5, 5), edges)
    reference.update(seen)

    assert numbers(fold(process, [seen])) == pytest.approx(reference.numbers(), rel=1e-10, abs=1e-10)


def test_an_outlier_nobody_has_seen_before_is_found():
    history = BucketArm((900, 3100, 0, 0, 0), (0.1, 0.5, 1, 5, INF))
    windows = [window((400, 1400, 0, 0, 0), (43, 147, 0, 10, 0), history.edges)] * 3
    process = fold(histogram(margin=0.0, history=history).process(0.05), windows)

    assert process.log_worse > math.log(20)
    assert process.edge == 0.5


def test_without_history_only_disasters_are_bet_on_until_a_hundred_requests_of_stable_are_known():
    edges = (1, 2, INF)
    equal, disaster = window((50, 20, 10), (15, 6, 3), edges), window((50, 20, 10), (0, 0, 24), edges)
    start = histogram(must_be_better=True).process(0.05)

    assert fold(start, [disaster]).log_catastrophic > math.log(20)
    waiting = fold(start, [equal, equal])
    assert (waiting.log_worse, waiting.log_restart, waiting.log_better) == (0, 0, 0)
    assert waiting.log_not_worse != 0
    assert waiting.log_catastrophic != 0
    betting = fold(waiting, [disaster])
    assert betting.log_worse > 1
    assert betting.log_better < 0


def test_edges_are_those_that_history_and_arms_share():
    history = BucketArm((500, 300, 150, 50), (1, 2, 3, INF))
    seen = Window(
        BucketArm((300, 200, 200, 150, 150), (0.5, 1, 2, 4, INF)), BucketArm((60, 20, 10, 10), (1, 2, 8, INF))
    )
    process = fold(histogram(history=history).process(0.05), [seen])
    merged = fold(
        histogram(history=history.onto((1, 2, INF))).process(0.05),
        [window((500, 200, 300), (60, 20, 20), (1, 2, INF))],
    )

    assert numbers(process) == numbers(merged)
    unlike = fold(histogram(history=BucketArm((50, 60), (9, INF))).process(0.05), [seen])
    assert numbers(unlike) == numbers(fold(histogram().process(0.05), [seen]))


def test_an_edge_that_a_window_lacks_bets_nothing_in_it():
    edges, history = (1, 2, INF), BucketArm((700, 200, 100), (1, 2, INF))
    before = fold(histogram(history=history).process(0.05), [window((700, 200, 100), (70, 20, 10), edges)])
    after = fold(before, [window((700, 300), (70, 30), (1, INF))])
    other = fold(before, [window((650, 350), (60, 40), (5, INF))])

    assert numbers(after) != numbers(before)
    assert numbers(other)[:2] != (0, 0)
    # Nothing was asked in the last window: everything but the reserve of the restart mixture stands still.
    assert (other.log_worse, other.log_not_worse, other.rates) == (
        before.log_worse,
        before.log_not_worse,
        before.rates,
    )


def test_disjoint_edges_are_refused_and_a_single_bucket_says_nothing():
    with pytest.raises(ValueError, match=r"stable has 1, \+Inf, the candidate has 2, \+Inf"):
        histogram().process(0.05).update(Window(BucketArm((1, 2), (1, INF)), BucketArm((1, 2), (2, INF))))
    alone = fold(histogram().process(0.05), [window((900,), (100,), (INF,))] * 3)
    assert numbers(alone) == (0, 0, 0, 0, 0)
    assert (alone.rates, alone.interval, alone.edge) == (None, None, None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"margin": 1.0}, "latency: expected a margin of at least 0 and below 1, found 1"),
        ({"role": Role.RED_FLAG, "threshold": 0.5}, "a histogram has no single level"),
        ({"history": BucketArm((1, 2, 3))}, "expected a history with edges, found 3 categories"),
        ({"horizon": 0}, "a horizon of at least 1 window"),
    ],
)
def test_impossible_tests_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        histogram(**changes)


def compositions(total, cells):
    if cells == 1:
        return [(total,)]
    return [(first, *rest) for first in range(total + 1) for rest in compositions(total - first, cells - 1)]


def probability(counts, shares):
    coefficient, left = 1, sum(counts)
    for count in counts:
        coefficient *= math.comb(left, count)
        left -= count
    return coefficient * math.prod(share**count for share, count in zip(shares, counts, strict=True))


OUTCOMES = list(itertools.product(compositions(3, 3), compositions(2, 3)))


@pytest.fixture(scope="module")
def tree():
    """The evidence after every pair of windows of 3 and 2 requests in 3 buckets: first, second, process."""
    edges, history = (1, 2, INF), BucketArm((70, 40, 10), (1, 2, INF))
    start = histogram(margin=0.2, horizon=3, history=history, must_be_better=True).process(0.05)
    windows = [window(*counts, edges) for counts in OUTCOMES]
    return np.exp([[numbers(first.update(each)) for each in windows] for first in map(start.update, windows)])


def expectations(tree, points):
    """E[e] of every process when window t has the shares ``points[t]`` of stable and the candidate."""
    first, second = (
        np.array([probability(stable, p) * probability(candidate, q) for stable, candidate in OUTCOMES])
        for p, q in points
    )
    return np.einsum("i,j,ijk->k", first, second, tree)


SIMPLEX = [np.array(point) / 5 for point in compositions(5, 3)]


def exceedances(shares):
    return np.array([shares[1] + shares[2], shares[2]])


def test_expectation_is_at_most_one_wherever_the_null_holds(tree):
    for p, q in itertools.product(SIMPLEX[::2], SIMPLEX):
        apart = exceedances(q) - exceedances(p)
        worse, restart, catastrophic, not_worse, better = expectations(tree, [(p, q), (p, q)])
        if (apart <= 0.2 + 1e-12).all():
            assert max(worse, restart, catastrophic) <= 1 + 1e-9
        if (apart >= 0.2 - 1e-12).any():
            assert not_worse <= 1 + 1e-9
        if (apart >= -1e-12).all():
            assert better <= 1 + 1e-9


def test_the_enumeration_could_fail(tree):
    p, q = np.array([0.8, 0.1, 0.1]), np.array([0.1, 0.1, 0.8])

    assert min(expectations(tree, [(p, q), (p, q)])[:3]) > 1.2
    assert expectations(tree, [(q, p), (q, p)])[4] > 1.2
    assert expectations(tree, [(p, p), (p, p)])[3] > 1.01


def test_the_null_may_move_between_windows(tree):
    drift = [(np.array([0.6, 0.4, 0.0]), np.array([0.4, 0.4, 0.2])), (np.array([0.2, 0.2, 0.6]),) * 2]

    assert max(expectations(tree, drift)[:3]) <= 1 + 1e-9


def latencies(rng, size, *, slower=1.0, outliers=0.0):
    seconds = 0.12 * slower * np.exp(0.6 * rng.standard_normal(size))
    seconds[: rng.binomial(size, outliers)] = 1.5
    places = np.searchsorted(DEFAULTS, seconds)
    return BucketArm(tuple(np.bincount(places, minlength=len(DEFAULTS)).astype(float)), DEFAULTS)


def traffic(seed, **candidate):
    rng = np.random.default_rng(seed)
    while True:
        total = int(rng.poisson(200))
        share = int(rng.binomial(total, 0.1))
        yield Window(latencies(rng, total - share), latencies(rng, share, **candidate))


def windows_to_worse(seed, *, looks, known=True, margin=0.0, **candidate):
    history = latencies(np.random.default_rng(seed + 10**6), 4000) if known else None
    process = histogram(margin=margin, history=history).process(0.05)
    for look, seen in zip(range(1, looks + 1), traffic(seed, **candidate), strict=False):
        process = process.update(seen)
        if process.log_worse >= math.log(20):
            return look
    return INF


def tolerated(runs):
    return next(k for k in range(runs + 1) if bdtr(k, runs, 0.05) >= 0.999)


def test_a_shift_of_30_percent_is_found_as_soon_as_in_table_4_8():
    taken = np.array([windows_to_worse(seed, looks=100, slower=1.3) for seed in range(60)])
    error = taken.std() / math.sqrt(taken.size)

    assert abs(taken.mean() - 4.9) <= 4 * error + 0.1 * 4.9


def test_rare_outliers_are_found_as_soon_as_in_table_4_8():
    taken = np.array([windows_to_worse(seed, looks=100, outliers=0.03) for seed in range(30)])

    assert taken.mean() <= 13.7


@pytest.mark.parametrize("known", [True, False])
def test_equal_arms_are_rarely_called_worse(known):
    runs = 50
    false = sum(math.isfinite(windows_to_worse(seed, looks=60, known=known)) for seed in range(runs))

    assert false <= tolerated(runs)


def test_the_interval_of_whichever_edge_is_shown_covers_the_truth():
    runs, missed = 40, 0
    for seed in range(runs):
        process = histogram().process(0.05)
        for _, seen in zip(range(20), traffic(seed), strict=False):
            process = process.update(seen)
        low, high = process.interval
        missed += not low <= 0.0 <= high
        assert high - low < 1.0

    assert missed <= tolerated(runs)


def test_a_trial_rolls_back_a_slower_candidate_and_promotes_an_equal_one():
    def judged(**candidate):
        history = latencies(np.random.default_rng(5), 40_000)
        trial = Trial.start([histogram(history=history, margin=0.08)], alpha=0.05)
        for _, seen in zip(range(60), traffic(3, **candidate), strict=False):
            trial = trial.update({"latency": seen})
        return trial

    assert judged(slower=1.3).verdict is Verdict.WORSE
    assert judged().verdict is Verdict.NOT_WORSE


def climbed(*, looks=20, read=False, **candidate):
    history = latencies(np.random.default_rng(5), 40_000)
    process = histogram(history=history, margin=0.03, steps=(10, 25, 50)).process(0.05)
    for _, seen in zip(range(looks), traffic(3, **candidate), strict=False):
        process = process.update(seen)
        if read:
            assert len(process.log_harm) == 3
    return process


def test_harm_is_not_worse_at_the_margin_that_the_weight_leaves():
    process = climbed(slower=1.1)
    for step, harm in zip((10, 25, 50), process.log_harm, strict=True):
        alone = histogram(history=process.test.history, margin=0.03 * 100 / step).process(0.05)
        for _, seen in zip(range(20), traffic(3, slower=1.1), strict=False):
            alone = alone.update(seen)
        assert harm == pytest.approx(alone.log_not_worse, rel=1e-12)


def test_when_harm_is_read_changes_nothing():
    assert climbed(read=True).log_harm == climbed().log_harm
    assert climbed(looks=0).log_harm == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(("slower", "entered"), [(1.0, True), (1.3, False)])
def test_a_slow_candidate_waits_where_it_does_little_harm(slower, entered):
    """At 25 % up to 12 points more may be above an edge; a shift of 30 % brings 17, and of 0 none."""
    needed = math.log(20)
    assert [harm >= needed for harm in climbed(slower=slower).log_harm] == [True, entered, False]


arms = st.integers(2, 6).flatmap(
    lambda size: st.lists(
        st.tuples(*[st.lists(st.sampled_from([0, 1, 0.3, 250, 10**9]), min_size=size, max_size=size).filter(any)] * 2),
        min_size=1,
        max_size=4,
    )
)


@settings(max_examples=60)
@given(arms, st.sampled_from([0.0, 1e-6, 0.02, 0.5, 0.999]), st.sampled_from([None, 0, 1, 10**9]), st.integers(1, 3))
def test_extreme_counts_give_finite_numbers(seen, margin, known, horizon):
    edges = (*range(len(seen[0][0]) - 1), INF)
    history = None if known is None else BucketArm((*(0,) * (len(edges) - 1), known), edges)
    test = histogram(margin=margin, history=history, horizon=horizon, must_be_better=True)
    process = fold(test.process(0.05), [window(*each, edges) for each in seen])
    with np.errstate(all="raise"):
        low, high = process.interval

    assert all(math.isfinite(number) for number in numbers(process))
    assert -1 <= low <= 1
    assert -1 <= high <= 1
    assert 0 <= process.rates.stable <= 1
    assert 0 <= process.rates.candidate <= 1


def test_ten_thousand_windows_give_finite_numbers():
    edges = (1, 2, INF)
    windows = [window((9e8, 9e7, 1e7), (9e7, 9e6, 1e6), edges), window((0, 0, 5), (0, 4, 0), edges)]
    process = fold(histogram(must_be_better=True).process(0.05), itertools.islice(itertools.cycle(windows), 10_000))

    assert all(math.isfinite(number) for number in numbers(process))
    assert process.log_worse < 0 < process.log_not_worse


@settings(max_examples=25)
@given(arms, st.integers(0, 4))
def test_replay_is_bit_for_bit_what_it_was(seen, stop):
    edges = (*range(len(seen[0][0]) - 1), INF)
    windows = [window(*each, edges) for each in seen]
    start = histogram(must_be_better=True).process(0.05)
    watched = start
    for each in windows:
        watched = watched.update(each)
        assert watched.interval is not None
    replayed = fold(fold(start, windows[:stop]), windows[stop:])

    assert replayed == watched
    assert (replayed.rates, replayed.interval, replayed.edge) == (watched.rates, watched.interval, watched.edge)
    assert start == histogram(must_be_better=True).process(0.05)
