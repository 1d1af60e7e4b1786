"""Distributions: F4 and its exact validity, the floor, "not worse" share by share, power, numerical safety."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import bdtr

from controller.api.verdicts import Role, Verdict
from controller.judge import Arm, Evidence, PerArm, Window
from controller.judge._mixture import Plain, Restart
from controller.judge.kinds.buckets import BucketArm, stability_index
from controller.judge.kinds.distribution import DistributionTest, log_factor
from controller.judge.kinds.interval import DifferenceInterval
from controller.judge.kinds.ratio import log_factors, not_worse_alternatives

INF = math.inf
DEFAULTS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, INF)


def distribution(**changes):
    values = {"name": "scores", "role": Role.GUARDRAIL, "margin": 0.05} | changes
    return DistributionTest(**values)


def window(stable, candidate, edges=()):
    return Window(BucketArm(tuple(stable), edges), BucketArm(tuple(candidate), edges))


def fold(process, windows):
    with np.errstate(all="raise"):
        for each in windows:
            process = process.update(each)
    return process


def numbers(process):
    return process.log_worse, process.log_restart, process.log_catastrophic, process.log_not_worse


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


SIMPLEX = [np.array(point) / 10 for point in compositions(10, 3)]
GUESSES = [
    (np.array([0.6, 0.3, 0.1]), np.array([0.2, 0.3, 0.5])),
    (np.array([0.98, 0.01, 0.01]), np.array([0.01, 0.01, 0.98])),
    (np.array([1 / 3] * 3), np.array([0.5, 0.25, 0.25])),
]


@pytest.mark.parametrize(("n0", "n1"), [(12, 8), (18, 2), (1, 1)])
@pytest.mark.parametrize("guesses", GUESSES)
def test_expectation_is_at_most_one_wherever_both_arms_are_alike(n0, n1, guesses):
    stable, candidate = compositions(n0, 3), compositions(n1, 3)
    evidence = np.exp([[log_factor((np.array(a), np.array(b)), guesses) for b in candidate] for a in stable])
    nearest = (n0 * guesses[0] + n1 * guesses[1]) / (n0 + n1)

    def expectation(shares):
        left, right = (np.array([probability(counts, shares) for counts in arm]) for arm in (stable, candidate))
        return left @ evidence @ right

    assert max(expectation(shares) for shares in SIMPLEX) <= 1 + 1e-9
    # The bound is reached, so that the enumeration could fail.
    assert expectation(nearest) == pytest.approx(1.0, abs=1e-9)


OUTCOMES = list(itertools.product(compositions(3, 3), compositions(2, 3)))


@pytest.fixture(scope="module", params=[(), (1, 2, INF)], ids=["categories", "edges"])
def tree(request):
    """The evidence after every pair of windows of 3 and 2 requests in 3 cells: first, second, process."""
    edges = request.param
    start = distribution(margin=0.2, horizon=3, history=BucketArm((7, 4, 1), edges)).process(0.05)
    windows = [window(*counts, edges) for counts in OUTCOMES]
    return edges, np.exp([[numbers(first.update(each)) for each in windows] for first in map(start.update, windows)])


def expectations(values, points):
    """E[e] of every process when window t has the shares ``points[t]`` of stable and the candidate."""
    first, second = (
        np.array([probability(stable, p) * probability(candidate, q) for stable, candidate in OUTCOMES])
        for p, q in points
    )
    return np.einsum("i,j,ijk->k", first, second, values)


def test_every_process_is_valid_over_windows_that_it_learns_from(tree):
    edges, values = tree
    for p, q in itertools.product(SIMPLEX[::3], repeat=2):
        assert max(expectations(values, [(p, p), (q, q)])[:3]) <= 1 + 1e-9
        apart = np.abs(np.cumsum(p - q)[:-1] if edges else p - q).max()
        if apart >= 0.2 - 1e-12:
            assert expectations(values, [(p, q), (p, q)])[3] <= 1 + 1e-9
    far = np.array([0.9, 0.1, 0.0]), np.array([0.0, 0.1, 0.9])
    assert expectations(values, [far, far])[0] > 1.05
    alike = np.array([1.0, 0.0, 0.0])
    assert expectations(values, [(alike, alike)] * 2)[3] > 1.05


def test_processes_follow_the_formulas():
    history, rng = np.array([50.0, 30.0, 20.0]), np.random.default_rng(3)
    test = distribution(history=BucketArm((50, 30, 20)), horizon=4)
    process, plain, restart = test.process(0.05), Plain.start(1), Restart.start(1, 4)
    known, seen = history.copy(), np.zeros(3)
    for _ in range(5):
        counts = rng.multinomial(90, (0.5, 0.3, 0.2)), rng.multinomial(30, (0.2, 0.3, 0.5))
        stable = (1 / 3 + known) / (1 + known.sum())
        candidate = (seen + 50 * stable) / (seen.sum() + 50)
        mixed = (90 * stable + 30 * candidate) / 120
        factor = float((counts[0] * np.log(stable / mixed) + counts[1] * np.log(candidate / mixed)).sum())
        plain, restart = plain.update((factor,)), restart.update((factor,))
        known, seen = known + counts[0], seen + counts[1]
        process = fold(process, [window(*counts)])

        assert process.log_worse == pytest.approx(plain.log_value, rel=1e-10, abs=1e-10)
        assert process.log_restart == pytest.approx(restart.log_value, rel=1e-10, abs=1e-10)
        assert process.log_catastrophic == process.log_worse
    assert process.log_worse > math.log(20)
    assert (process.log_better, process.log_harm) == (0, ())


@pytest.mark.parametrize("edges", [(), (1, 2, INF)])
def test_not_worse_is_the_least_evidence_over_shares_and_directions(edges):
    history, rng = (500, 300, 200), np.random.default_rng(3)
    process = distribution(history=BucketArm(history, edges)).process(0.05)

    def shares(counts):
        parts = np.cumsum(counts[::-1])[::-1][1:] if edges else np.array(counts)
        return np.concatenate([parts, sum(counts) - parts]).astype(float)

    known, total = shares(history), 1000.0
    processes = [Plain.start(6) for _ in known]
    for _ in range(4):
        counts = rng.multinomial(900, (0.5, 0.3, 0.2)), rng.multinomial(300, (0.5, 0.3, 0.2))
        process = fold(process, [window(*counts, edges)])
        for at, (bad0, bad1) in enumerate(zip(*map(shares, counts), strict=True)):
            rate = (0.5 + known[at]) / (1 + total)
            seen = Window(Arm(900, bad0), Arm(300, bad1))
            factors = log_factors(seen, rate=rate, margin=0.05, alternatives=not_worse_alternatives(rate, 0.05))
            processes[at] = processes[at].update(factors)
        known, total = known + shares(counts[0]), total + 900

        least = min(each.log_value for each in processes)
        assert process.log_not_worse == pytest.approx(least, rel=1e-10, abs=1e-10)


def test_a_change_below_the_floor_decides_nothing_however_certain():
    small = [window((52_000, 48_000), (48_000, 52_000))] * 8
    large = [window((6_000, 4_000), (400, 600))] * 8

    below = fold(Evidence.start(distribution(), 0.05), small)
    assert below.process.size == pytest.approx(stability_index((52, 48), (48, 52)))
    assert below.process.log_worse > 100
    assert not below.process.decisive
    assert below.log_combined <= 0
    assert below.verdict is Verdict.NOT_WORSE  # 4 points apart, with a margin of 5
    assert fold(Evidence.start(distribution(floor=0.005), 0.05), small).verdict is Verdict.WORSE
    assert fold(Evidence.start(distribution(), 0.05), large).verdict is Verdict.WORSE


def test_the_size_weighs_windows_alike_so_that_a_ramp_under_drift_shows_no_change():
    ramp = [window((9000, 900), (1000, 100)), window((500, 500), (500, 500)), window((10, 90), (900, 8100))]
    process = fold(distribution().process(0.05), ramp)

    assert process.size == pytest.approx(0.0, abs=1e-12)
    assert not process.decisive
    assert process.rates.stable == pytest.approx(process.rates.candidate)


def test_rates_and_interval_are_those_of_the_share_that_differs_most():
    categories = fold(distribution().process(0.05), [window((500, 300, 200), (57, 10, 33))] * 5)
    assert (categories.cell, categories.edge) == (1, None)
    assert categories.rates == PerArm(pytest.approx(0.3), pytest.approx(0.1))

    edges = (0.3, 0.7, INF)
    windows = [window((500, 300, 200), (20, 50, 30), edges)] * 5
    histogram = fold(distribution(history=BucketArm((50, 30, 20), edges)).process(0.05), windows)
    interval, bad, total = DifferenceInterval.start(0.05, 0.05 / 2), 50, 100
    for _ in windows:
        interval = interval.update(Window(Arm(1000, 500), Arm(100, 80)), (0.5 + bad) / (1 + total))
        bad, total = bad + 500, total + 1000
    assert (histogram.cell, histogram.edge) == (0, 0.3)
    assert histogram.rates == PerArm(pytest.approx(0.5), pytest.approx(0.8))
    assert histogram.interval == interval.bounds
    assert histogram.interval[0] > 0.1


def test_cells_are_those_that_history_and_arms_share():
    history = BucketArm((50, 30, 15, 5), (1, 2, 3, INF))
    seen = Window(BucketArm((30, 20, 20, 30), (0.5, 1, 2, INF)), BucketArm((60, 20, 10, 10), (1, 2, 8, INF)))
    process = fold(distribution(history=history).process(0.05), [seen, seen])
    shared = window((50, 20, 30), (60, 20, 20), (1, 2, INF))
    merged = fold(distribution(history=history.onto((1, 2, INF))).process(0.05), [shared, shared])

    assert numbers(process) == numbers(merged)
    assert process.log_worse != 0
    unlike = fold(distribution(history=BucketArm((50, 60), (9, INF))).process(0.05), [seen, seen])
    assert numbers(unlike) == numbers(fold(distribution().process(0.05), [seen, seen]))
    assert fold(process, [window((5, 5), (3, 3), (2, INF))]) is process


def test_other_buckets_than_before_are_refused_and_a_single_cell_says_nothing():
    started = fold(distribution().process(0.05), [window((5, 5), (3, 3))])
    with pytest.raises(ValueError, match="expected 2 buckets of the same kind as before, found 3"):
        started.update(window((5, 5, 5), (3, 3, 3)))
    with pytest.raises(ValueError, match="expected 2 buckets of the same kind as before, found 2"):
        started.update(window((5, 5), (3, 3), (1, INF)))
    with pytest.raises(ValueError, match="expected 2 categories as in the history, found 3"):
        distribution(history=BucketArm((1, 2))).process(0.05).update(window((5, 5, 5), (3, 3, 3)))
    alone = fold(distribution().process(0.05), [window((900,), (100,))] * 3)
    assert numbers(alone) == (0, 0, 0, 0)
    assert (alone.rates, alone.interval, alone.cell, alone.decisive) == (None, None, None, False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"margin": 1.0}, "scores: expected a margin of at least 0 and below 1, found 1"),
        ({"floor": -0.1}, "expected a floor of at least 0, found -0.1"),
        ({"floor": INF}, "expected a floor of at least 0, found inf"),
        ({"role": Role.RED_FLAG, "threshold": 0.5}, "a distribution has no single level"),
        ({"role": Role.TARGET, "must_be_better": True}, "expected no superiority"),
        ({"horizon": 0}, "a horizon of at least 1 window"),
    ],
)
def test_impossible_tests_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        distribution(**changes)


def latencies(rng, size, *, slower=1.0, outliers=0.0):
    seconds = 0.12 * slower * np.exp(0.6 * rng.standard_normal(size))
    seconds[: rng.binomial(size, outliers)] = 1.5
    places = np.searchsorted(DEFAULTS, seconds)
    return BucketArm(tuple(np.bincount(places, minlength=len(DEFAULTS)).astype(float)), DEFAULTS)


def windows_to_changed(seed, *, looks, known=True, **candidate):
    rng = np.random.default_rng(seed)
    process = distribution(history=latencies(rng, 4000) if known else None).process(0.05)
    for look in range(1, looks + 1):
        total = int(rng.poisson(200))
        share = int(rng.binomial(total, 0.1))
        process = process.update(Window(latencies(rng, total - share), latencies(rng, share, **candidate)))
        if process.log_worse >= math.log(20):
            return look
    return INF


@pytest.mark.parametrize(
    ("candidate", "published"), [({"slower": 1.3}, 6.0), ({"outliers": 0.03}, 8.7)], ids=["slower", "outliers"]
)
def test_changes_are_found_as_soon_as_in_table_4_8(candidate, published):
    taken = np.array([windows_to_changed(seed, looks=150, **candidate) for seed in range(60)])
    error = taken.std() / math.sqrt(taken.size)

    assert abs(taken.mean() - published) <= 4 * error + 0.1 * published


@pytest.mark.parametrize("known", [True, False])
def test_equal_arms_are_rarely_called_changed(known):
    runs = 50
    false = sum(math.isfinite(windows_to_changed(seed, looks=60, known=known)) for seed in range(runs))

    assert false <= next(k for k in range(runs + 1) if bdtr(k, runs, 0.05) >= 0.999)


arms = st.integers(2, 6).flatmap(
    lambda size: st.lists(
        st.tuples(*[st.lists(st.sampled_from([0, 1, 0.3, 250, 10**9]), min_size=size, max_size=size).filter(any)] * 2),
        min_size=1,
        max_size=4,
    )
)


def edges_for(seen, *, ordered):
    return (*range(len(seen[0][0]) - 1), INF) if ordered else ()


@settings(max_examples=60)
@given(arms, st.booleans(), st.sampled_from([0.0, 1e-6, 0.02, 0.5, 0.999]), st.sampled_from([None, 0, 10**9]))
def test_extreme_counts_give_finite_numbers(seen, ordered, margin, known):
    edges = edges_for(seen, ordered=ordered)
    history = None if known is None else BucketArm((known, *(0,) * (len(seen[0][0]) - 1)), edges)
    start = distribution(margin=margin, history=history, horizon=2).process(0.05)
    process = fold(start, [window(*each, edges) for each in seen])
    with np.errstate(all="raise"):
        low, high = process.interval

    assert all(math.isfinite(number) for number in (*numbers(process), process.size))
    assert -1 <= low <= 1
    assert -1 <= high <= 1
    assert 0 <= process.rates.stable <= 1
    assert 0 <= process.rates.candidate <= 1


def test_ten_thousand_windows_give_finite_numbers():
    windows = [window((9e8, 9e7, 1e7), (9e7, 9e6, 1e6)), window((0, 0, 5), (0, 4, 0))]
    process = fold(distribution().process(0.05), itertools.islice(itertools.cycle(windows), 10_000))

    assert all(math.isfinite(number) for number in (*numbers(process), process.size))
    assert process.log_not_worse > 1e5


@settings(max_examples=25)
@given(arms, st.booleans(), st.integers(0, 4))
def test_replay_is_bit_for_bit_what_it_was(seen, ordered, stop):
    windows = [window(*each, edges_for(seen, ordered=ordered)) for each in seen]
    start = distribution().process(0.05)
    watched = start
    for each in windows:
        watched = watched.update(each)
        assert watched.interval is not None
    replayed = fold(fold(start, windows[:stop]), windows[stop:])

    assert replayed == watched
    assert (replayed.rates, replayed.interval, replayed.size) == (watched.rates, watched.interval, watched.size)
    assert start == distribution().process(0.05)
