"""The delay of labels, measured on histories whose delay is known, and what must not be read into others."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from controller.judge import LabelHistory, LabelLag, measure_label_lag
from docs.generate import ROOT

PAGE = ROOT / "docs" / "calibration.md"
BEFORE, INTERVALS, COVERAGE = 300, 200, 0.8
Delays = Callable[[np.random.Generator, int], NDArray[np.float64]]
Traffic = Callable[[np.random.Generator], NDArray[np.float64]]
TIME = np.arange(BEFORE + INTERVALS)

DELAYS: dict[str, tuple[Delays, float, float]] = {
    "at once": (lambda _, n: np.zeros(n), 0.0, 0.0),
    "sharp": (lambda _, n: np.full(n, 1.3), 1.3, 1.3),
    "late": (lambda _, n: np.full(n, 30.0), 30.0, 30.0),
    "evenly": (lambda rng, n: rng.uniform(0.0, 12.0, n), 6.0, 11.4),
    "waiting": (lambda rng, n: rng.exponential(5.0, n), 3.5, 15.0),
    "in four steps": (lambda rng, n: rng.gamma(4.0, 2.0, n), 7.3, 15.5),
}
"""How long labels take, in intervals, with the median and the 95 % quantile."""


def bursts(rng: np.random.Generator) -> NDArray[np.float64]:
    return 400.0 * np.exp(rng.normal(0.0, 0.4, TIME.size))


def wander(rng: np.random.Generator) -> NDArray[np.float64]:
    return np.asarray(400.0 * np.exp(np.cumsum(rng.normal(0.0, 0.05, TIME.size)) % 1.0))


def season(_: np.random.Generator) -> NDArray[np.float64]:
    return 400.0 * (1.0 + 0.5 * np.sin(2.0 * np.pi * TIME / 170.0))


def birth(_: np.random.Generator) -> NDArray[np.float64]:
    return np.where(TIME < BEFORE, 0.0, 400.0)


TRAFFIC: dict[str, Traffic] = {"bursts": bursts, "wander": wander, "season": season, "birth": birth}
"""Expected requests in an interval."""


def history(traffic: Traffic, delays: Delays, *, seed: int = 1, coverage: float = COVERAGE) -> LabelHistory:
    """Requests come by chance, each of them gets a label with probability ``coverage``, so late as ``delays`` says."""
    rng = np.random.default_rng(seed)
    requests = rng.poisson(traffic(rng))
    labelled = rng.binomial(requests, coverage)
    served = np.repeat(TIME, labelled) + rng.random(labelled.sum())
    arrived = np.floor(served + delays(rng, served.size)).astype(int)
    labels = np.bincount(arrived, minlength=TIME.size)[: TIME.size]
    return [(float(r), float(n)) for r, n in zip(requests[BEFORE:], labels[BEFORE:], strict=True)]


def measured(known: LabelHistory) -> LabelLag:
    found = measure_label_lag(known)
    assert found is not None
    return found


@pytest.mark.parametrize("delays", DELAYS)
@pytest.mark.parametrize("traffic", TRAFFIC)
def test_known_delays_are_found(traffic: str, delays: str) -> None:
    late, half, most = DELAYS[delays]

    found = measured(history(TRAFFIC[traffic], late))

    assert found.longest is not None
    assert found.coverage == pytest.approx(COVERAGE, rel=0.06)
    assert found.half == pytest.approx(half, rel=0.25, abs=0.3)
    assert found.most == pytest.approx(most, rel=0.25, abs=0.4)
    assert found.least <= 1.1 * most + 0.2
    assert found.longest >= 0.9 * most - 0.2


def test_the_range_holds_the_truth() -> None:
    late, _, most = DELAYS["waiting"]
    found = [measured(history(wander, late, seed=seed)) for seed in range(40)]
    told = [each for each in found if each.longest is not None]
    assert len(told) >= 35
    assert sum(each.least <= most <= (each.longest or 0.0) for each in told) >= 0.85 * len(told)


TOLD: dict[str, Traffic] = {
    "even but for chance": lambda _: np.full(TIME.size, 400.0),
    "bursts: every interval by a factor of 1.5 up or down": bursts,
    "wandering slowly": wander,
    "a season of 170 intervals": season,
    "stable's first intervals": birth,
}


@pytest.mark.parametrize("name", TOLD)
def test_figures_of_the_page(name: str) -> None:
    found = [measured(history(TOLD[name], DELAYS["waiting"][0], seed=seed)) for seed in range(40)]
    told = [(each.least, each.longest) for each in found if each.longest is not None]
    least, longest = np.median(told, axis=0)
    assert f"| {name} | {len(told)} of 40 | {least:.0f} to {longest:.0f} |" in PAGE.read_text()


def test_chance_alone_tells_a_sharp_delay() -> None:
    """Even traffic of independent requests is not even in each interval."""
    found = measured(history(lambda _: np.full(TIME.size, 400.0), DELAYS["late"][0]))
    assert found.longest is not None
    assert (found.half, found.most) == (pytest.approx(30.0, abs=0.2), pytest.approx(30.0, abs=0.2))


@pytest.mark.parametrize("jitter", [0.0, 0.001, 0.003])
def test_constant_traffic_tells_nothing(jitter: float) -> None:
    """A machine that sends requests by the clock; both counters are read a little early or late."""
    rng = np.random.default_rng(2)
    reading = 1.0 + rng.normal(0.0, 1.0, INTERVALS) * jitter
    found = measured([(round(1000.0 * each), round(800.0 * each)) for each in reading])
    assert found.longest is None
    assert found.least == 0.0
    assert found.coverage == pytest.approx(0.8, rel=0.01)


def test_labels_that_have_nothing_to_do_with_the_requests_are_rarely_given_a_delay() -> None:
    rng = np.random.default_rng(3)
    told = 0
    for _ in range(100):
        requests, labels = rng.poisson(bursts(rng)[:INTERVALS]), rng.poisson(300.0, INTERVALS)
        found = measured([(float(r), float(n)) for r, n in zip(requests, labels, strict=True)])
        told += found.longest is not None
    assert told <= 3


def test_labels_later_than_history_is_long_have_a_lower_end_only() -> None:
    found = measured(history(bursts, lambda _, n: np.full(n, 290.0)))
    assert found.longest is None
    assert found.least > 5.0


def test_coverage_that_drifts_widens_the_range() -> None:
    plain = history(bursts, DELAYS["waiting"][0])
    rng = np.random.default_rng(4)
    pace = np.exp(0.3 * np.cumsum(rng.normal(0.0, 0.2, INTERVALS)))
    drifting = [(r, round(n * p)) for (r, n), p in zip((each for each in plain if each), pace, strict=True)]
    sharp, vague = measured(plain), measured(drifting)
    assert sharp.longest is not None
    assert vague.longest is None or vague.longest - vague.least > 2.0 * (sharp.longest - sharp.least)


def test_intervals_that_are_not_known_do_no_harm() -> None:
    rng = np.random.default_rng(5)
    late, half, most = DELAYS["in four steps"]
    gaps = rng.random(INTERVALS) < 0.1
    known = [None if gap else each for gap, each in zip(gaps, history(bursts, late), strict=True)]
    found = measured([None, None, *known, None])
    assert found.intervals == INTERVALS - gaps.sum()
    assert (found.half, found.most) == (pytest.approx(half, rel=0.3), pytest.approx(most, rel=0.3))


def test_what_came_before_the_history_is_allowed_for() -> None:
    """Twice the traffic until the history begins: its labels still come in the first intervals."""

    def fallen(_: np.random.Generator) -> NDArray[np.float64]:
        return np.where(TIME < BEFORE, 800.0, 400.0)

    late, half, most = DELAYS["in four steps"]
    found = measured(history(fallen, late))
    assert (found.half, found.most) == (pytest.approx(half, rel=0.25), pytest.approx(most, rel=0.25))
    assert found.coverage == pytest.approx(COVERAGE, rel=0.05)


@pytest.mark.parametrize(
    "known",
    [
        [],
        [None] * 200,
        [(400.0, 320.0)] * 49 + [None] * 100,
        [(400.0, 0.0)] * 200,
        [(0.0, 0.0)] * 200,
        [(0.0, 5.0)] * 200,
    ],
)
def test_too_little_history_says_nothing(known: LabelHistory) -> None:
    assert measure_label_lag(known) is None


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e6, 1e12])
def test_sizes_at_the_edge_are_finite(size: float) -> None:
    rng = np.random.default_rng(6)
    requests = size * rng.random(60)
    found = measure_label_lag([(float(r), float(r)) for r in requests])
    if size * 30 < 20:
        assert found is None
        return
    assert found is not None
    assert np.isfinite([found.coverage, found.half, found.most, found.least]).all()
