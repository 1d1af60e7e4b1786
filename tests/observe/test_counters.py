"""How much a counter grew between two edges, and how counts are written."""

from itertools import accumulate, pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.observe.counters import Edges, Sample, Scrapes, Series, increase, is_count, plain

GROWTHS = st.lists(st.integers(0, 50), min_size=1, max_size=12)


def edges(start: float, end: float, patience: float = 30) -> Edges:
    return Edges(start=start, end=end, patience=patience)


def one_life(growths: list[int], *, begin: int = 0) -> list[Sample]:
    return [(float(begin + second), float(value)) for second, value in enumerate(accumulate(growths))]


@st.composite
def lives(draw: st.DrawFn) -> tuple[list[Sample], float]:
    """Samples of a process that began again several times, each time visibly, and all that it ever counted."""
    samples: list[Sample] = []
    everything = 0.0
    for growths in draw(st.lists(GROWTHS, min_size=1, max_size=5)):
        life = one_life(growths, begin=len(samples))
        if samples and life[0][1] >= samples[-1][1]:
            continue  # a rebirth that no one can see
        samples += life
        everything += life[-1][1]
    return samples, everything


@given(lives())
def test_a_counter_that_was_born_inside_counts_all_of_its_lives(found: tuple[list[Sample], float]) -> None:
    samples, everything = found
    assert increase(samples, edges(-1, len(samples)), unseen=0.0) == everything


@given(GROWTHS, st.integers(0, 12), st.integers(0, 12))
def test_within_one_life_the_growth_is_the_difference_of_the_readings_at_the_edges(
    growths: list[int], one: int, other: int
) -> None:
    start, end = sorted((one, other))
    last = len(growths) - 1
    values = list(accumulate(growths))
    expected = values[min(end, last)] - values[min(start, last)]
    assert increase(one_life(growths), edges(start, end)) == expected


@given(lives(), st.data())
def test_windows_that_touch_share_no_request_and_lose_none(
    found: tuple[list[Sample], float], data: st.DataObject
) -> None:
    samples, _ = found
    cuts = sorted(data.draw(st.lists(st.floats(-1, len(samples) + 1), min_size=2, max_size=6)))
    parts = []
    for start, end in pairwise(cuts):
        known = None if any(time <= start for time, _ in samples) else 0.0
        parts.append(increase(samples, edges(start, end), unseen=known))
    first = None if any(time <= cuts[0] for time, _ in samples) else 0.0
    assert sum(part or 0.0 for part in parts) == increase(samples, edges(cuts[0], cuts[-1]), unseen=first)


@given(lives(), st.randoms(use_true_random=False), st.data())
def test_order_and_duplicates_of_samples_change_nothing(
    found: tuple[list[Sample], float],
    random: Random,
    data: st.DataObject,
) -> None:
    samples, _ = found
    twice = samples + data.draw(st.lists(st.sampled_from(samples)))
    random.shuffle(twice)
    window = edges(0.5, len(samples) - 0.5)
    assert increase(twice, window, unseen=0.0) == increase(samples, window, unseen=0.0)


@given(lives(), st.floats(-2, 20), st.floats(0, 20))
def test_growth_is_never_negative(found: tuple[list[Sample], float], start: float, length: float) -> None:
    growth = increase(found[0], edges(start, start + length), unseen=0.0)
    assert growth is not None
    assert growth >= 0


@pytest.mark.parametrize(
    ("samples", "growth"),
    [
        pytest.param([(0, 5), (10, 9)], 4, id="plain"),
        pytest.param([(-10, 1), (0, 5), (10, 9)], 4, id="the last sample before the start is the base"),
        pytest.param([(0, 5), (10, 2)], 2, id="after a reset everything is growth"),
        pytest.param([(0, 5), (4, 8), (7, 1), (10, 4)], 7, id="reset inside"),
        pytest.param([(-20, 9), (-10, 2), (10, 4)], 2, id="a reset before the start does not matter"),
        pytest.param([(0, 5), (10, 9), (10.1, 90)], 4, id="what comes after the end does not matter"),
        pytest.param([(0, 5)], 0, id="nothing new"),
        pytest.param([], 0, id="no samples"),
        pytest.param([(11, 7)], 0, id="only later samples"),
        pytest.param([(3, 7)], None, id="appeared inside, nobody knows from where"),
    ],
)
def test_increase(samples: list[Sample], growth: float | None) -> None:
    assert increase(samples, edges(0, 10)) == growth


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), -1.0, 2.0**53 + 2])
def test_what_no_counter_can_have_is_no_count(value: float) -> None:
    assert not is_count(value)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0"),
        (1800.0, "1800"),
        (0.1 + 0.2, "0.3"),
        (2.5, "2.5"),
        (1e15, "1000000000000000"),
        (2.0**53, "9007199254740992"),
        (1e-7, "0"),
        (100.0, "100"),
    ],
)
def test_counts_are_written_without_exponent(number: float, text: str) -> None:
    assert plain(number) == text


def test_a_target_is_as_fresh_as_the_newest_sample_of_any_of_its_series() -> None:
    labels = {"pod": "a", "job": "j", "instance": "i"}
    scrapes = Scrapes(
        [Series(labels | {"x": "1"}, ((0, 1), (10, 1))), Series(labels | {"x": "2"}, ((20, 1),))], pod_label="pod"
    )
    (target,) = scrapes.targets("a")
    assert scrapes.age(target, 25) == 5
    assert scrapes.age(target, 15) == 5
    assert scrapes.age(target, -1) is None
    assert scrapes.born("a") == 0
    assert scrapes.inside(target, edges(10, 20))
    assert not scrapes.inside(target, edges(20, 30))
