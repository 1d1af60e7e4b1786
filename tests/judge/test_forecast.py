"""Forecasts against the published table, against simulated runs of the real processes, and at the edges."""

from math import ceil, inf, log

import numpy as np
import pytest

from controller.api.verdicts import Role
from controller.judge import (
    Evidence,
    Expected,
    History,
    MetricTest,
    PerArm,
    RatioTest,
    Window,
    WindowLike,
    forecast,
    hardest_share,
    resolvable_margin,
)
from controller.judge.batch import BatchWindow, RatioBatchTest
from controller.judge.kinds.buckets import BucketArm
from controller.judge.kinds.group_process import GroupTest
from controller.judge.kinds.histogram import HistogramTest
from controller.judge.kinds.mean import MeanArm
from controller.judge.kinds.mean_process import MeanTest
from controller.judge.kinds.query import QueryTest
from controller.judge.kinds.rate import RateArm
from controller.judge.kinds.rate_process import RateTest

ALPHA = 0.05


def ratio(margin: float, *, base: float = 0.08, **more) -> RatioTest:
    return RatioTest("m", Role.GUARDRAIL, margin, history=History(40_000, 40_000 * base), **more)


def expected(stable: float, candidate: float, *, requests: float = 200, share: float = 0.1) -> Expected:
    return Expected(PerArm(stable, candidate), PerArm(requests * (1 - share), requests * share))


TABLE = [
    (0.001, 0.0025, 3600),
    (0.001, 0.005, 1400),
    (0.001, 0.01, 600),
    (0.005, 0.0025, 9900),
    (0.005, 0.005, 3000),
    (0.005, 0.01, 1000),
    (0.02, 0.01, 2400),
    (0.02, 0.02, 730),
    (0.02, 0.04, 240),
    (0.08, 0.01, 7800),
    (0.08, 0.02, 2000),
    (0.08, 0.04, 560),
]
"""Statistics §2.4: bad rate, gap to the margin line, candidate requests at 10 %; good for 35 %."""


@pytest.mark.parametrize(("base", "gap", "published"), TABLE)
def test_requests_until_not_worse_are_those_of_the_published_table(base, gap, published):
    found = forecast(ratio(gap, base=base), expected(base, base))

    assert 20 * found.until_not_worse(ALPHA) == pytest.approx(published, rel=0.35)


@pytest.mark.parametrize(("base", "gap", "published"), [row for row in TABLE if row[0] * 2 >= row[1]])
def test_requests_until_worse_are_those_of_the_published_table(base, gap, published):
    """Of its cells those that its normal approximation can hold for: the rate at most trebles."""
    found = forecast(ratio(0.0, base=base), expected(base, base + gap))

    assert 20 * found.until_worse(ALPHA) == pytest.approx(published, rel=0.35)


def simulated(p0: float, p1: float, margin: float, *, requests: float, runs: int = 150) -> float:
    """Mean windows until the verdict of the side on which the difference lies."""
    rng = np.random.default_rng(20)
    test = RatioTest("m", Role.GUARDRAIL, margin, horizon=720)
    known = rng.binomial(40_000, p0, runs).astype(float)
    process = RatioBatchTest(test, np.full(runs, margin), np.full(runs, 40_000.0), known).process()
    taken = np.zeros(runs)
    for number in range(1, 2000):
        n0, n1 = (rng.poisson(requests * share, runs) for share in (0.9, 0.1))
        k0, k1 = rng.binomial(n0, p0), rng.binomial(n1, p1)
        process = process.update(BatchWindow(*(np.asarray(each, float) for each in (n0, k0, n1, k1, n0, n1))))
        worse = np.logaddexp(process.log_restart, process.log_catastrophic) - log(2)
        evidence = process.log_not_worse if p1 - p0 < margin else worse
        taken = np.where((taken == 0) & (evidence >= -log(ALPHA)), number, taken)
        if taken.all():
            return float(taken.mean())
    pytest.fail("a run stayed undecided")


@pytest.mark.parametrize(
    ("p0", "p1", "margin", "requests"),
    [
        (0.005, 0.015, 0.0, 200),
        (0.08, 0.12, 0.0, 200),
        (0.005, 0.015, 0.0025, 200),
        (0.08, 0.12, 0.01, 200),
        (0.001, 0.0075, 0.0025, 200),
        (0.08, 0.08, 0.01, 2000),
        (0.08, 0.07, 0.01, 2000),
        (0.005, 0.005, 0.0025, 2000),
        (0.02, 0.02, 0.02, 200),
        (0.001, 0.001, 0.005, 200),
    ],
)
def test_forecasts_are_what_simulated_runs_need(p0, p1, margin, requests):
    found = forecast(ratio(margin, base=p0, horizon=720), expected(p0, p1, requests=requests))
    windows = found.until_not_worse(ALPHA) if p1 - p0 < margin else found.until_worse(ALPHA)

    assert windows == pytest.approx(simulated(p0, p1, margin, requests=requests), rel=0.3)


def folded(test: MetricTest, window: WindowLike, *, side: str) -> int:
    """Windows until that side's verdict in windows that are all alike."""
    evidence = Evidence.start(test, ALPHA)
    for number in range(1, 5000):
        evidence = evidence.update(window)
        if (evidence.log_not_worse if side == "not worse" else evidence.log_combined) >= -log(ALPHA):
            return number
    pytest.fail("no verdict")


@pytest.mark.parametrize(
    ("level", "side"), [(0.02, "not worse"), (0.018, "not worse"), (0.04, "worse"), (0.3, "worse")]
)
def test_a_rate_is_forecast_as_its_process_runs(level, side):
    test = RateTest("m", Role.GUARDRAIL, 0.25, horizon=500)
    found = forecast(test, Expected(PerArm(0.02, level), PerArm(1800, 200)))
    windows = found.until_not_worse(ALPHA) if side == "not worse" else found.until_worse(ALPHA)
    window = Window(RateArm(36, 1800), RateArm(200 * level, 200))

    assert ceil(windows) == pytest.approx(folded(test, window, side=side), abs=1)


@pytest.mark.parametrize(("level", "margin"), [(10.0, 1.0), (10.0, 0.5), (12.0, 1.0), (14.0, 1.0)])
def test_a_mean_is_forecast_from_the_scatter_of_its_windows(level, margin):
    side = "not worse" if level - 10.0 < margin else "worse"
    test = MeanTest("m", Role.GUARDRAIL, margin, horizon=500)
    taken = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        evidence, number = Evidence.start(test, ALPHA), 0
        while (evidence.log_not_worse if side == "not worse" else evidence.log_combined) < -log(ALPHA):
            means = (10.0 + rng.normal(0, 1.5), level + rng.normal(0, 1.5))
            evidence = evidence.update(Window(*(MeanArm(100, 100 * mean) for mean in means)))
            number += 1
        taken.append(number)
    found = forecast(test, Expected(PerArm(10.0, level), PerArm(100, 100), deviation=1.5 * 2**0.5))
    windows = found.until_not_worse(ALPHA) if side == "not worse" else found.until_worse(ALPHA)

    assert windows == pytest.approx(np.mean(taken), rel=0.35)


def test_a_histogram_is_forecast_at_one_edge():
    edge = forecast(HistogramTest("m", Role.GUARDRAIL, 0.02), expected(0.5, 0.5))
    share = forecast(RatioTest("m", Role.GUARDRAIL, 0.02), expected(0.5, 0.5))

    assert edge.until_not_worse(ALPHA) == pytest.approx(share.until_not_worse(ALPHA))


EDGES = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, inf)
SHARES = (0.1, 0.3, 0.25, 0.15, 0.12, 0.05, 0.02, 0.01)
SLOWER = (0.05, 0.2, 0.25, 0.2, 0.17, 0.08, 0.03, 0.02)


def buckets(rng: np.random.Generator, requests: int, shares: tuple[float, ...]) -> BucketArm:
    return BucketArm(tuple(rng.multinomial(requests, shares).astype(float).tolist()), EDGES)


@pytest.mark.parametrize(("candidate", "margin", "requests"), [(SHARES, 0.05, 2000), (SLOWER, 0.04, 400)])
def test_a_histogram_is_forecast_as_simulated_runs_go(candidate, margin, requests):
    history = BucketArm(tuple(40_000 * share for share in SHARES), EDGES)
    test = HistogramTest("m", Role.GUARDRAIL, margin, history=history, horizon=500)
    equal, taken = candidate is SHARES, []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        evidence, number = Evidence.start(test, ALPHA), 0
        while (evidence.log_not_worse if equal else evidence.log_combined) < -log(ALPHA):
            arms = (buckets(rng, requests * 9 // 10, SHARES), buckets(rng, requests // 10, candidate))
            evidence, number = evidence.update(Window(*arms)), number + 1
        taken.append(number)
    above = [1 - np.cumsum(shares)[:-1] for shares in (SHARES, candidate)]
    worst = int(np.argmax(above[1] - above[0]))
    levels = [float(shares[worst]) for shares in above]
    found = forecast(test, expected(*levels, requests=requests))
    windows = found.until_not_worse(ALPHA) if equal else found.until_worse(ALPHA)

    assert windows == pytest.approx(np.mean(taken), rel=0.35)


def test_the_hardest_share_is_the_one_next_to_one_half():
    assert hardest_share((10.0, 30.0, 25.0, 35.0)) == 0.6
    assert hardest_share((0.0, 0.0)) is None
    assert hardest_share(()) is None


def test_on_the_line_and_on_the_other_side_of_it_nothing_is_to_be_expected():
    on_the_line = forecast(ratio(0.01), expected(0.08, 0.09))
    assert on_the_line.until_not_worse(ALPHA) == on_the_line.until_worse(ALPHA) == inf
    assert forecast(ratio(0.01), expected(0.08, 0.2)).until_not_worse(ALPHA) == inf
    assert forecast(ratio(0.01), expected(0.08, 0.07)).until_worse(ALPHA) == inf
    assert forecast(ratio(0.0), expected(0.08, 0.07)).until_not_worse(ALPHA) == inf


def test_what_costs_more_takes_longer():
    worse, equal = (forecast(ratio(0.01), expected(0.08, level)) for level in (0.12, 0.08))
    halved = forecast(ratio(0.01), expected(0.08, 0.08, requests=100))

    assert worse.until_worse(ALPHA, share=0.25) > 1.2 * worse.until_worse(ALPHA)
    assert equal.until_not_worse(ALPHA / 10) > 1.2 * equal.until_not_worse(ALPHA)
    assert halved.until_not_worse(ALPHA) == pytest.approx(2 * equal.until_not_worse(ALPHA), rel=0.01)


def test_superiority_is_waited_for_too():
    asked = RatioTest("m", Role.TARGET, 0.02, history=History(40_000, 3200), must_be_better=True)
    better, equal = (forecast(asked, expected(0.08, level)) for level in (0.06, 0.08))

    assert equal.until_not_worse(ALPHA) == inf
    assert forecast(ratio(0.02), expected(0.08, 0.06)).until_not_worse(ALPHA) < better.until_not_worse(ALPHA) < inf


def test_a_stricter_promotion_is_waited_for_longer_and_one_that_cannot_be_for_ever():
    plain = forecast(ratio(0.02), expected(0.08, 0.08))
    strict, closed = (forecast(ratio(0.02, promotion_margin=margin), expected(0.08, 0.08)) for margin in (0.01, 0.0))

    assert strict.until_not_worse(ALPHA) == forecast(ratio(0.01), expected(0.08, 0.08)).until_not_worse(ALPHA)
    assert strict.until_not_worse(ALPHA) > 2 * plain.until_not_worse(ALPHA)
    assert closed.until_not_worse(ALPHA) == inf


@pytest.mark.parametrize("kind", ["ratio", "rate"])
def test_agreement_is_waited_for_too(kind):
    level, margin = (0.08, 0.02) if kind == "ratio" else (0.08, 0.25)
    kinds = {"ratio": RatioTest, "rate": RateTest}
    asked = kinds[kind]("m", Role.GUARDRAIL, margin, must_agree=True)
    windows = Expected(PerArm(level, level), PerArm(18_000, 2000), deviation=0.01)
    scattered = Expected(windows.levels, windows.exposure, deviation=0.04)
    known = [forecast(asked, each).until_not_worse(ALPHA) for each in (windows, scattered)]
    alone = forecast(kinds[kind]("m", Role.GUARDRAIL, margin), windows).until_not_worse(ALPHA)

    assert alone < 5 <= known[0] < known[1]
    mean = Expected(PerArm(level * (1 + margin if kind == "rate" else 1), level), windows.exposure, deviation=0.04)
    compared = MeanTest("m", Role.WATCH, margin if kind == "ratio" else 0.0)
    assert known[1] == forecast(compared, mean).until_not_worse(ALPHA)


@pytest.mark.parametrize("base", [0.0, 1e-6, 0.5, 0.9])
def test_the_margin_that_can_be_resolved_takes_just_the_time_there_is(base):
    windows = 720
    margin = resolvable_margin(ratio(0.5, base=base), expected(base, base), windows=windows, alpha=ALPHA)
    assert margin is not None
    taken = forecast(ratio(margin, base=base), expected(base, base)).until_not_worse(ALPHA)

    assert 0.97 * windows <= taken <= windows


def test_with_too_few_requests_no_margin_can_be_resolved():
    assert resolvable_margin(ratio(0.5), expected(0.08, 0.08, requests=0.01), windows=10, alpha=ALPHA) is None


def test_kinds_without_a_forecast_and_windows_without_requests():
    assert forecast(QueryTest("m", Role.WATCH), expected(0.1, 0.1)) is None
    assert forecast(GroupTest("m", Role.WATCH, 0.01), expected(0.1, 0.1)) is None
    assert forecast(MeanTest("m", Role.WATCH, 1.0), expected(0.1, 0.1)) is None
    with pytest.raises(ValueError, match="expected requests per window above 0 in both arms, found"):
        forecast(ratio(0.01), expected(0.08, 0.08, share=0.0))
