"""Counters interval by interval: what scrapes that fit no interval, births, ends and gaps make of them."""

import pytest

from controller.observe.counters import Edges, Sample, Scrapes, Series
from controller.observe.intervals import Counters, labels_of

SCRAPE, PATIENCE = 20.0, 40.0


def counters(*samples: tuple[Sample, ...], lost: int = 0) -> Counters:
    """One counter per pod."""
    series = tuple(
        Series({"__name__": "requests_total", "pod": f"pod-{number}"}, each, lost=lost)
        for number, each in enumerate(samples)
    )
    return Counters(Scrapes(series, pod_label="pod"), "pod", series)


def steady(start: float, end: float, *, begun: float = 0.0) -> tuple[Sample, ...]:
    """Ten a second, scraped every 20 seconds."""
    return tuple((at, begun + 10.0 * at) for at in range(int(start), int(end) + 1, int(SCRAPE)))


def edges(start: float, end: float) -> Edges:
    return Edges(start, end, PATIENCE)


@pytest.mark.parametrize("start", [100.0, 107.0, 130.0, 133.0])
def test_intervals_with_one_scrape_more_have_the_same_growth(start: float) -> None:
    found = counters(steady(0, 400), steady(0, 400, begun=5e6))
    assert found.grown(edges(start, start + 30.0)) == pytest.approx(600.0)


def test_of_a_pod_that_begins_inside_counts_what_was_seen() -> None:
    """It had counted before its first scrape, of which nobody knows when."""
    found = counters(steady(0, 400), steady(120, 400, begun=5e6))
    assert found.grown(edges(100.0, 160.0)) == pytest.approx(600.0 + 400.0)


def test_of_a_pod_that_ends_inside_counts_what_was_seen() -> None:
    found = counters(steady(0, 400), steady(0, 120))
    assert found.grown(edges(100.0, 170.0)) == pytest.approx(700.0 + 200.0)


def test_after_a_gap_a_pod_does_not_count_until_the_next_interval() -> None:
    gap = tuple(sample for sample in steady(0, 400) if not 100 < sample[0] < 240)
    found = counters(steady(0, 400), gap)
    assert found.grown(edges(180.0, 260.0)) == pytest.approx(800.0)
    assert found.grown(edges(260.0, 340.0)) == pytest.approx(1600.0)


def test_where_no_pod_counts_or_samples_are_no_counts_nothing_is_known() -> None:
    assert counters(steady(0, 100)).grown(edges(200.0, 260.0)) is None
    assert counters(steady(0, 400), lost=1).grown(edges(100.0, 160.0)) is None


def test_a_process_that_begins_again_loses_nothing_that_was_scraped() -> None:
    again = tuple((at, value if at < 200 else value - 1990.0) for at, value in steady(0, 400))
    assert counters(again).grown(edges(160.0, 240.0)) == pytest.approx(400.0 - 200.0 + 10.0 + 400.0)


def test_labels_are_known_where_both_are() -> None:
    requests, labels = counters(steady(0, 400)), counters(steady(200, 400))
    assert labels_of(labels, requests, edges(100.0, 160.0)) is None
    assert labels_of(labels, requests, edges(300.0, 360.0)) == pytest.approx((600.0, 600.0))
