"""Requests per bucket: cumulative scrapes, edges, categories, and how far two sets of counts are apart."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from controller.judge import Window
from controller.judge.kinds.buckets import (
    BucketArm,
    aligned,
    cells_of,
    common_edges,
    jensen_shannon,
    merge,
    per_bucket,
    stability_index,
    total_variation,
    wasserstein,
)

INF = math.inf
PUBLISHED = (500, 300, 150, 40, 10), (40, 35, 18, 5, 2)

pairs = st.integers(1, 20).flatmap(
    lambda size: st.tuples(
        *[st.lists(st.one_of(st.just(0.0), st.floats(1e-3, 1e9)), min_size=size, max_size=size).filter(any)] * 2
    )
)


def test_published_value_c51():
    stable, candidate = PUBLISHED

    assert stability_index(stable, candidate) == pytest.approx(0.0446544431, abs=5e-11)
    assert jensen_shannon(stable, candidate) == pytest.approx(0.0055566186, abs=5e-11)
    assert total_variation(stable, candidate) == pytest.approx(0.1, abs=1e-15)
    assert wasserstein(stable, candidate) == pytest.approx(0.18, abs=1e-15)


@given(pairs)
def test_sizes_are_finite_symmetric_and_within_their_bounds(both):
    stable, candidate = both
    for measure, largest in (
        (stability_index, INF),
        (jensen_shannon, math.log(2)),
        (total_variation, 1.0),
        (wasserstein, len(stable) - 1),
    ):
        size = measure(stable, candidate)
        assert math.isfinite(size)
        assert -1e-12 <= size <= largest + 1e-9
        assert size == pytest.approx(measure(candidate, stable), rel=1e-9, abs=1e-12)
        assert measure(stable, stable) == pytest.approx(0.0, abs=1e-12)


@given(pairs)
def test_sizes_agree_with_scipy(both):
    stable, candidate = (np.array(arm) / sum(arm) for arm in both)
    places = range(len(stable))

    assert wasserstein(*both) == pytest.approx(wasserstein_distance(places, places, stable, candidate), abs=1e-9)
    assert total_variation(*both) == pytest.approx(np.abs(stable - candidate).sum() / 2)


def test_an_empty_bucket_counts_as_half_a_request_and_one_empty_in_both_as_nothing():
    assert stability_index((100, 0), (90, 10)) == stability_index((100, 0.5), (90, 10))
    assert stability_index((100, 0, 20), (90, 0, 10)) == stability_index((100, 20), (90, 10))
    assert stability_index((1e9, 0), (0, 1e9)) > 10


@pytest.mark.parametrize("measure", [stability_index, jensen_shannon, total_variation, wasserstein])
def test_an_arm_without_requests_has_no_shares(measure):
    with pytest.raises(ValueError, match="expected a request in each arm"):
        measure((0, 0), (3, 4))


def test_cumulative_counters_become_counts_per_bucket():
    assert per_bucket((2, 5, 5, 9), 9) == (2, 3, 0, 4)
    # The second was read before the first had been counted everywhere, the count after one more request.
    assert per_bucket((6, 5, 8), 10) == pytest.approx((6 / 9 * 10, 0, 3 / 9 * 10))
    assert per_bucket((0, 0, 0), 7) == (0, 0, 0)
    assert per_bucket((3, 3), 0) == (0, 0)


@given(st.lists(st.floats(0, 1e12), min_size=1, max_size=20), st.floats(0, 1e12))
def test_repaired_counts_are_counts_and_add_up(cumulative, count):
    found = per_bucket(cumulative, count)

    assert all(part >= 0 for part in found)
    assert sum(found) == pytest.approx(count if any(cumulative) else 0.0)
    straight = list(np.maximum.accumulate(cumulative))
    assert sum(per_bucket(straight, straight[-1])) == pytest.approx(straight[-1])


@pytest.mark.parametrize(("cumulative", "count"), [((), 1), ((1, math.nan), 1), ((-1, 2), 2), ((1, 2), INF)])
def test_impossible_growth_is_refused(cumulative, count):
    with pytest.raises(ValueError, match="expected growth of at least 0"):
        per_bucket(cumulative, count)


def test_merging_adds_up_the_buckets_between_the_edges():
    assert merge((1, 2, 3, 4), (0.1, 0.5, 1, INF), onto=(0.5, INF)) == (3, 7)
    assert merge((1, 2, 3), (0.1, 0.5, INF), onto=(INF,)) == (6,)
    assert merge((0.3, 1e17), (1, INF), onto=(1, INF)) == (0.3, 1e17)


@pytest.mark.parametrize("onto", [(0.2, INF), (0.1, 0.5), ()])
def test_a_bucket_cannot_be_split(onto):
    with pytest.raises(ValueError, match=r"expected edges out of 0.1, 0.5, \+Inf"):
        merge((1, 2, 3), (0.1, 0.5, INF), onto=onto)


@given(st.sets(st.sampled_from(range(12)), min_size=1), st.sets(st.sampled_from(range(12)), min_size=1), st.data())
def test_arms_meet_on_their_common_edges_with_all_their_requests(first, second, data):
    edges = [(*sorted(each), INF) for each in (first, second)]
    arms = [
        BucketArm(tuple(data.draw(st.lists(st.integers(0, 99), min_size=len(e), max_size=len(e)))), e, requests=7)
        for e in edges
    ]
    if not first & second:
        with pytest.raises(ValueError, match="expected a bucket edge that both arms' histograms have"):
            aligned(Window(*arms))
        return
    window = aligned(Window(*arms))

    assert window.stable.edges == window.candidate.edges == (*sorted(first & second), INF)
    for before, after in zip(arms, (window.stable, window.candidate), strict=True):
        assert after.total == before.total
        assert after.exposure == 7
        below = dict(zip(after.edges, np.cumsum(after.counts), strict=True))
        assert below.items() <= dict(zip(before.edges, np.cumsum(before.counts), strict=True)).items()


def test_disjoint_edges_are_named():
    with pytest.raises(ValueError, match=r"stable has 0.1, 0.5, \+Inf, the candidate has 0.25, 1, \+Inf: give both"):
        common_edges((0.1, 0.5, INF), (0.25, 1, INF))
    with pytest.raises(ValueError, match=r"stable has 0.1, \+Inf, the candidate has \+Inf: give both"):
        common_edges((0.1, INF), (INF,))
    assert common_edges((INF,), (INF,)) == (INF,)


def test_categories_must_be_as_many_and_of_one_kind():
    with pytest.raises(ValueError, match="stable has 2 categories, the candidate has 3 categories"):
        aligned(Window(BucketArm((1, 2)), BucketArm((1, 2, 3))))
    with pytest.raises(ValueError, match=r"stable has 2 categories, the candidate has the edges 1, \+Inf"):
        aligned(Window(BucketArm((1, 2)), BucketArm((1, 2), (1, INF))))


def test_label_values_that_nobody_expected_share_a_last_cell():
    assert cells_of({"cat": 3, "dog": 4}, ("dog", "cat", "cow")) == (4, 3, 0, 0)
    assert cells_of({"cat": 3, "eel": 2, "emu": 1}, ("cat",)) == (3, 3)


@pytest.mark.parametrize(
    ("counts", "edges", "message"),
    [
        ((), (), "at least one bucket"),
        ((1, -1), (), "finite counts of at least 0"),
        ((1, math.nan), (), "finite counts of at least 0"),
        ((1, 2), (1, 2, INF), "one upper bound per bucket, found 3 for 2"),
        ((1, 2), (1, 2), r"ascend and end in \+Inf, found 1, 2"),
        ((1, 2, 3), (2, 1, INF), r"found 2, 1, \+Inf"),
        ((1, 2, 3), (1, math.nan, INF), r"found 1, nan, \+Inf"),
    ],
)
def test_impossible_arms_are_refused(counts, edges, message):
    with pytest.raises(ValueError, match=message):
        BucketArm(counts, edges)


def test_an_arm_says_what_it_holds():
    arm = BucketArm((900, 100), requests=2000)

    assert (arm.total, arm.exposure, arm.silent, arm.shown) == (1000, 2000, False, "1000")
    assert BucketArm((0, 0)).silent
