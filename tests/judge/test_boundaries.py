"""Group-sequential boundaries: published values, probabilities by other means, looks that come as they come."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, norm

from controller.api.spec import Spending
from controller.judge.kinds.boundaries import GroupSequential, Look, Sides, boundaries, constant_boundary, spent

OBF, POCOCK = Spending.O_BRIEN_FLEMING, Spending.POCOCK


def planned(fractions, *, alpha, spending, sides):
    fractions = tuple(fractions)
    return boundaries(
        fractions, tuple(spent(each, alpha=alpha / sides, spending=spending) for each in fractions), sides
    )


def evenly(looks):
    return [(look + 1) / looks for look in range(looks)]


@pytest.mark.parametrize(("looks", "published"), [(2, 2.1783), (3, 2.2895), (5, 2.4132), (10, 2.5550), (20, 2.6720)])
def test_published_constants_of_pocock_c38(looks, published):
    assert constant_boundary(looks, alpha=0.05, sides=Sides.TWO) == pytest.approx(published, abs=5e-5)


def test_published_boundaries_of_lan_and_demets_c40():
    found = planned(evenly(5), alpha=0.05, spending=OBF, sides=Sides.TWO)
    assert found == pytest.approx([4.87688, 3.35701, 2.68028, 2.28982, 2.03103], abs=5e-6)


def test_one_look_is_the_plain_test():
    for spending in Spending:
        for alpha in (0.01, 0.05, 0.5):
            one = planned([1.0], alpha=alpha, spending=spending, sides=Sides.ONE)
            two = planned([1.0], alpha=alpha, spending=spending, sides=Sides.TWO)
            assert one == pytest.approx([norm.isf(alpha)], abs=1e-9)
            assert two == pytest.approx([norm.isf(alpha / 2)], abs=1e-9)
    assert constant_boundary(1, alpha=0.05, sides=Sides.ONE) == pytest.approx(norm.isf(0.05), abs=1e-9)


@pytest.mark.parametrize("spending", list(Spending))
def test_alpha_is_spent_from_none_to_all(spending):
    amounts = [spent(each / 100, alpha=0.05, spending=spending) for each in range(120)]
    assert amounts == sorted(amounts)
    assert amounts[0] == 0.0
    assert amounts[100] == amounts[119] == 0.05
    assert spent(1 - 1e-12, alpha=0.05, spending=spending) == pytest.approx(0.05)
    assert spent(0.5, alpha=0.05, spending=POCOCK) == pytest.approx(0.05 * math.log(1 + (math.e - 1) / 2))
    assert spent(0.25, alpha=0.05, spending=OBF) == pytest.approx(2 * norm.sf(norm.isf(0.025) * 2))


@pytest.mark.parametrize("first", [0.02, 0.3, 0.7, 0.999])
@pytest.mark.parametrize("sides", list(Sides))
def test_two_looks_against_the_bivariate_normal(first, sides):
    low, high = planned([first, 1.0], alpha=0.05, spending=POCOCK, sides=sides)
    joint = multivariate_normal([0, 0], [[1, math.sqrt(first)], [math.sqrt(first), 1]])
    below = [-low, -high] if sides is Sides.TWO else None
    assert 1 - joint.cdf([low, high], lower_limit=below) == pytest.approx(0.05, abs=1e-6)


def crossings(information, bounds, *, sides, paths=200_000):
    rng = np.random.default_rng(31)
    steps = np.sqrt(np.diff([0.0, *information]))
    z = np.cumsum(rng.normal(size=(paths, len(steps))) * steps, axis=1) / np.sqrt(information)
    return ((np.abs(z) if sides is Sides.TWO else z) >= bounds).any(axis=1).mean()


@pytest.mark.parametrize("sides", list(Sides))
@pytest.mark.parametrize("spending", list(Spending))
def test_simulated_paths_cross_as_often_as_they_should(sides, spending):
    information = [0.11, 0.13, 0.4, 0.41, 0.8, 1.0]
    bounds = planned(information, alpha=0.05, spending=spending, sides=sides)
    assert crossings(information, bounds, sides=sides) == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / 200_000))
    constant = [constant_boundary(4, alpha=0.05, sides=sides)] * 4
    assert crossings(evenly(4), constant, sides=sides) == pytest.approx(0.05, abs=0.002)


@given(st.sampled_from([1e-6, 0.3, 1e9]))
def test_only_the_proportions_of_the_information_matter(unit):
    spending = (0.001, 0.02, 0.05)
    here = boundaries((0.2, 0.5, 1.0), spending, Sides.ONE)
    assert boundaries((0.2 * unit, 0.5 * unit, unit), spending, Sides.ONE) == pytest.approx(here, abs=1e-9)


def test_fifty_looks_are_bounded_by_one_look_and_by_all_of_them():
    for spending in Spending:
        bounds = planned(evenly(50), alpha=0.05, spending=spending, sides=Sides.ONE)
        assert all(norm.isf(0.05) < bound for bound in bounds)
        assert crossings(evenly(50), bounds, sides=Sides.ONE, paths=50_000) == pytest.approx(0.05, abs=0.004)


def test_where_nothing_is_due_nothing_crosses():
    assert boundaries((0.5, 1.0), (0.0, 0.05), Sides.ONE)[0] == math.inf
    assert planned([1e-4, 1.0], alpha=0.05, spending=OBF, sides=Sides.ONE)[0] > 30
    assert boundaries((0.5, 1.0), (0.05, 0.05), Sides.ONE)[1] == math.inf


def test_information_that_does_not_grow_is_refused():
    with pytest.raises(ValueError, match="expected information that grows from look to look"):
        boundaries((0.5, 0.5), (0.01, 0.02), Sides.ONE)


def after(test, *windows):
    for requests, z in windows:
        test = test.update(requests=requests, information=requests / 7, z=z)
    return test


def design(**more):
    return GroupSequential(**({"alpha": 0.05, "max_requests": 1000, "looks": 5} | more))


def test_looks_are_taken_when_they_are_due():
    test = design()
    assert test.next_look == 200
    test = after(test, (50, 9.0), (199, 9.0))
    assert test.taken == ()
    test = after(test, (203, 0.3), (390, 0.4), (400, 0.5))
    assert [look.requests for look in test.taken] == [203, 400]
    assert test.taken[0].boundary == pytest.approx(
        planned([0.203, 1.0], alpha=0.05, spending=OBF, sides=Sides.ONE)[0], abs=1e-9
    )


def test_a_jump_takes_one_look_and_a_late_one_leaves_out_the_next():
    assert [look.requests for look in after(design(), (750, 0.0)).taken] == [750]
    assert after(design(), (650, 0.0)).next_look == 800
    assert after(design(), (750, 0.0)).next_look == 1000
    assert after(design(), (290, 0.0)).next_look == 400
    assert after(design(), (310, 0.0)).next_look == 600


def test_a_crossing_stays():
    test = after(design(), (200, 5.0))
    assert test.crossed
    assert test.next_look is None
    assert after(test, (400, -5.0), (5000, 0.0)) == test


def test_planned_looks_have_the_published_boundaries():
    test = after(design(alpha=0.025), *((200 * look, 0.0) for look in range(1, 6)))
    # One side of C40.
    assert [look.boundary for look in test.taken] == pytest.approx(
        [4.87688, 3.35701, 2.68028, 2.28982, 2.03103], abs=5e-6
    )
    assert test.exhausted
    assert not test.crossed


def test_the_last_look_spends_everything_however_far_it_overran():
    test = after(design(), (400, 0.0), (1700, 0.0))
    expected = boundaries((400, 1700), (spent(0.4, alpha=0.05, spending=OBF), 0.05), Sides.ONE)
    assert test.taken[-1].boundary == pytest.approx(expected[-1], abs=1e-9)
    assert test.exhausted
    assert test.next_look is None


def test_after_the_last_look_nothing_is_decided():
    test = after(design(), (1000, 0.0))
    assert after(test, (2000, 50.0)) == test
    assert not test.crossed


def test_a_look_just_before_the_last_is_the_last():
    test = after(design(), (960, 0.0))
    assert test.exhausted
    assert test.taken[0].boundary == pytest.approx(norm.isf(0.05), abs=1e-9)


def test_without_information_a_look_is_put_off_and_the_last_decides_nothing():
    test = design().update(requests=300, information=0.0, z=0.0)
    assert test.taken == ()
    assert test.update(requests=310, information=2.0, z=0.0).taken[0].requests == 310
    ended = test.update(requests=1000, information=0.0, z=0.0)
    assert ended.exhausted
    assert ended.taken == (Look(1000, 0.0, 0.0, math.inf),)
    assert not ended.crossed


@pytest.mark.parametrize("spending", list(Spending))
def test_false_crossings_stay_at_alpha_with_uneven_windows_and_an_overrun(spending):
    rng, alpha, crossed, runs = np.random.default_rng(33), 0.05, 0, 1500
    sizes = [np.cumsum(rng.integers(60, 400, size=12)) for _ in range(12)]
    for run in range(runs):
        test, score, before = design(alpha=alpha, spending=spending), 0.0, 0
        for requests in sizes[run % 12]:
            score, before = score + rng.normal() * math.sqrt(requests - before), int(requests)
            test = test.update(requests=before, information=float(before), z=score / math.sqrt(before))
        crossed += test.crossed
    assert 0.025 < crossed / runs < alpha + 3 * math.sqrt(alpha * (1 - alpha) / runs)


@given(st.lists(st.integers(1, 400), min_size=1, max_size=40), st.integers(1, 12), st.sampled_from(list(Spending)))
def test_looks_are_few_and_their_alpha_is_spent_in_order(sizes, looks, spending):
    test = design(looks=looks, spending=spending)
    totals = np.cumsum(sizes).tolist()
    test = after(test, *((total, 0.0) for total in totals))

    assert len(test.taken) <= looks
    assert all(later.requests > earlier.requests for earlier, later in pairwise(test.taken))
    assert test.exhausted == (totals[-1] >= 1000 or (test.taken != () and test.next_look is None))
    assert after(design(looks=looks, spending=spending), *((total, 0.0) for total in totals)) == test


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"alpha": 0.0}, "expected an alpha between 0 and 1, found 0"),
        ({"max_requests": 0}, "expected a largest sample, found 0"),
        ({"looks": 0}, "expected at least 1 look, found 0"),
    ],
)
def test_designs_that_cannot_be_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        design(**wrong)
