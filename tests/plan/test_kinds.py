"""Whole rollouts on every kind of metric, through the real planner and judge: verdicts, and what status says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from controller.api.reasons import ConditionType, Phase, Reason
from controller.api.record import MOST_BUCKETS, ArmCounts, Row
from controller.api.status import MetricStatus
from controller.plan.calibration import StableHistory
from controller.plan.windows import Window
from tests.plan.stage import Stage, Traffic, spec_with

Json = dict[str, Any]
Draw = Callable[[np.random.Generator, int], ArmCounts]
"""What an arm counts of so many requests."""

REQUESTS = 2000
EDGES = ("0.1", "0.25", "0.5", "1", "+Inf")
CLASSES = ("cat", "dog")


def rollout(metric: Json) -> Json:
    """The spec's analysis with that metric alone."""
    return {"metrics": [{"name": "asked", **metric}]}


RATE = rollout({"rate": {"count": "exceptions_total", "exposure": "requests_total"}, "margin": {"relative": "0.5"}})
COST = rollout({"mean": {"sum": "cost_sum", "count": "cost_count"}, "margin": {"absolute": "1"}})
SCORE = rollout(
    {"mean": {"sum": "score_sum", "count": "score_count", "better": "Higher"}, "margin": {"absolute": "0.03"}}
)
STARS = rollout(
    {
        "mean": {
            "sum": "stars_sum",
            "count": "stars_count",
            "better": "Higher",
            "bounds": {"low": "1", "high": "5"},
        },
        "margin": {"absolute": "0.2"},
    }
)
LATENCY = rollout({"histogram": {"buckets": "latency_bucket"}, "margin": {"absolute": "0.03"}})
MIX = rollout({"distribution": {"buckets": "predictions_total", "label": "class"}, "margin": {"absolute": "0.06"}})


def events(rate: float) -> Draw:
    def draw(random: np.random.Generator, requests: int) -> ArmCounts:
        return ArmCounts(total=str(requests), bad=str(random.poisson(rate * requests)))

    return draw


def values(mean: float, deviation: float) -> Draw:
    def draw(random: np.random.Generator, requests: int) -> ArmCounts:
        total = requests * mean + random.normal(0, deviation * requests**0.5)
        return ArmCounts(total=str(requests), sum=f"{total:.12g}")

    return draw


def buckets(*shares: float) -> Draw:
    def draw(random: np.random.Generator, requests: int) -> ArmCounts:
        return ArmCounts(total=str(requests), buckets=tuple(str(each) for each in random.multinomial(requests, shares)))

    return draw


def traffic(stable: Draw, candidate: Draw, *, edges: tuple[str, ...] | None = None) -> Traffic:
    """What a metric's counters say, window by window; the seed is the window's start."""

    def rows(window: Window, weight: int) -> tuple[Row, ...]:
        random = np.random.default_rng(int(window.start.timestamp()))
        counts = {
            "stable": stable(random, REQUESTS * (100 - weight) // 100),
            "candidate": candidate(random, REQUESTS * weight // 100),
        }
        return (Row(metric="asked", edges=edges, bad_seen=True, **counts),)

    return rows


def history(draw: Draw, *, edges: tuple[str, ...] = ()) -> dict[str, StableHistory]:
    """What stable counted before the epoch, as quiet pods do."""
    found = draw(np.random.default_rng(1), 60_000)
    counts = tuple(float(each) for each in found.buckets or ())
    amount = float(found.bad or found.sum or 0)
    pods = [f"v1-{number}" for number in range(3)]
    cells = dict.fromkeys(pods, (60000 / 180, amount / 180))
    per_pod = {pod: tuple(each / 180 for each in counts) for pod in pods}
    return {
        "asked": StableHistory(
            total=60_000,
            amount=amount,
            intervals=() if counts else (cells,) * 60,
            buckets=counts,
            edges=edges,
            bucket_intervals=(per_pod,) * 60 if counts else (),
        )
    }


def staged(analysis: Json, stable: Draw, candidate: Draw, *, edges: tuple[str, ...] = ()) -> Stage:
    """A rollout of that metric, ready to run."""
    return Stage(
        spec=spec_with(analysis=analysis),
        traffic=traffic(stable, candidate, edges=edges or None),
        history=history(stable, edges=edges),
    )


def shown(stage: Stage) -> MetricStatus:
    """What status says about the metric."""
    assert stage.status.analysis is not None
    (metric,) = stage.status.analysis.metrics
    return metric


FAST = buckets(0.6, 0.25, 0.1, 0.04, 0.01)
SLOWER = buckets(0.48, 0.29, 0.15, 0.06, 0.02)
KINDS = {
    "rate": (RATE, events(0.02), events(0.02), events(0.05), ()),
    "mean": (COST, values(12, 6), values(12, 6), values(16, 6), ()),
    "mean that should be high": (SCORE, values(0.9, 0.2), values(0.9, 0.2), values(0.8, 0.2), ()),
    "mean with bounds": (STARS, values(4.2, 0.8), values(4.25, 0.8), values(3.6, 0.9), ()),
    "histogram": (LATENCY, FAST, FAST, SLOWER, EDGES),
    "distribution": (MIX, buckets(0.7, 0.3), buckets(0.7, 0.3), buckets(0.45, 0.55), CLASSES),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_candidate_that_is_alike_is_promoted(kind: str) -> None:
    analysis, stable, alike, _, edges = KINDS[kind]
    stage = staged(analysis, stable, alike, edges=edges).run(600)
    assert (stage.status.phase, stage.weights[-1]) == (Phase.IDLE, 100), stage.status.message
    assert stage.status.history[0].outcome == "Promoted"


@pytest.mark.parametrize("kind", KINDS)
def test_a_candidate_that_is_worse_is_returned(kind: str) -> None:
    analysis, stable, _, worse, edges = KINDS[kind]
    stage = staged(analysis, stable, worse, edges=edges).run(600)
    assert (stage.status.phase, stage.weights[-1]) == (Phase.ROLLED_BACK, 0), stage.status.message
    assert stage.status.rejected[0].reason is Reason.JUDGED_WORSE
    assert "Worse: asked" in stage.status.message


TOLD = {
    "rate": ("rate", " by ", "margin +0.5 × stable's rate", "×"),
    "mean": ("mean", "on average of", "margin 1,", "+"),
    "mean that should be high": ("mean", "on average of", "margin 0.03,", "-"),
    "mean with bounds": ("mean", "on average of", "margin 0.2,", "-"),
    "histogram": ("histogram", "asked above 0.1: ", "margin 3.00%,", "+"),
    "distribution": ("distribution", "asked in 'cat': ", "margin 6.00%,", "-"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_are_told_in_the_unit_of_the_metric(kind: str) -> None:
    analysis, stable, _, worse, edges = KINDS[kind]
    stage = staged(analysis, stable, worse, edges=edges).run(600)
    name, numbers, margin, sign = TOLD[kind]
    metric = shown(stage)
    assert metric.kind == name
    assert numbers in stage.status.message
    assert margin in stage.status.message
    assert metric.interval is None or metric.interval[0].startswith(sign)
    if kind == "rate":
        assert metric.margin == "+0.5 × stable's rate"


def test_the_level_of_a_mean_is_that_of_its_values_whatever_way_is_good() -> None:
    stage = staged(SCORE, values(0.9, 0.2), values(0.8, 0.2)).run(600)
    metric = shown(stage)
    stable, candidate = float(metric.rates.stable or 0), float(metric.rates.candidate or 0)
    assert stable == pytest.approx(0.9, abs=0.02)
    assert candidate == pytest.approx(0.8, abs=0.03)
    assert float(metric.difference or 0) == pytest.approx(candidate - stable, abs=1e-4)


def test_a_mean_with_bounds_is_shown_in_its_unit() -> None:
    bounded = staged(STARS, values(4.2, 0.5), values(4.2, 0.5)).run(600)
    rates = shown(bounded).rates
    assert float(rates.stable or 0) == pytest.approx(4.2, abs=0.05)


def test_status_tells_where_a_histogram_differs_most() -> None:
    stage = staged(LATENCY, FAST, SLOWER, edges=EDGES).run(600)
    metric = shown(stage)
    assert metric.note == "both rates are shares above 0.1, where the arms differ most"
    assert (metric.rates.stable or "").endswith("%")


def test_status_tells_how_large_the_change_of_a_distribution_is() -> None:
    stage = staged(MIX, buckets(0.7, 0.3), buckets(0.45, 0.55), edges=CLASSES).run(600)
    assert "the population stability index is 0.2" in (shown(stage).note or "")


def test_a_small_change_of_a_distribution_is_certain_and_returns_nothing() -> None:
    """A stability index of 0.02: found, and below the floor."""
    stage = staged(MIX, buckets(0.7, 0.3), buckets(0.64, 0.36), edges=CLASSES).run(300)
    assert 0 not in stage.weights[1:]


def test_classes_that_only_the_candidate_has_count_as_one() -> None:
    stable, strange = buckets(0.7, 0.3, 0.0), buckets(0.5, 0.2, 0.3)
    stage = staged(MIX, stable, strange, edges=(*CLASSES, "new"))
    known = history(buckets(0.7, 0.3), edges=CLASSES)
    stage.history = known
    stage.run(600)
    assert stage.status.phase is Phase.ROLLED_BACK
    assert "in 'others'" in stage.status.message


def test_classes_must_be_known_before_the_first_request_is_diverted() -> None:
    stage = staged(MIX, buckets(0.7, 0.3), buckets(0.7, 0.3), edges=CLASSES)
    stage.history = {}
    stage.run(20)
    assert stage.status.reason is Reason.NO_STABLE_TRAFFIC
    assert "its classes (label class) are not known" in stage.status.message
    assert stage.weights == []


def test_more_classes_than_can_be_compared_are_refused_before_the_epoch() -> None:
    many = tuple(f"user-{number}" for number in range(MOST_BUCKETS + 1))
    stage = staged(MIX, buckets(0.7, 0.3), buckets(0.7, 0.3), edges=CLASSES)
    stage.history = {"asked": StableHistory(total=1000, buckets=(1.0,) * len(many), edges=many)}
    stage.run(20)
    assert stage.status.reason is Reason.TOO_MANY_VALUES
    assert "65 classes in the label class, at most 64" in stage.status.message


@pytest.mark.parametrize(
    "reason", [Reason.NOT_A_COUNTER, Reason.EDGES_DIFFER, Reason.NATIVE_HISTOGRAM, Reason.TOO_MANY_VALUES]
)
def test_wrong_input_is_a_state_of_the_metric_and_holds(reason: Reason) -> None:
    stage = staged(LATENCY, FAST, FAST, edges=EDGES)
    stage.traffic = lambda _window, _weight: (Row(metric="asked", skipped=reason, message="mend it"),)
    stage.run(60)
    assert shown(stage).state is reason
    assert stage.weights == [10]
    available = stage.status.condition(ConditionType.DATA_AVAILABLE)
    assert available is not None
    assert (available.status, available.reason) == ("False", reason)
    assert "mend it" in available.message


def test_events_that_were_never_seen_promote_nothing_unless_that_is_allowed() -> None:
    """The selector of a rate's events may be mistyped, as that of bad requests."""
    never = staged(RATE, events(0.02), events(0.0))
    drawn = never.traffic
    never.traffic = lambda window, weight: tuple(
        each.model_copy(update={"bad_seen": False}) for each in drawn(window, weight)
    )
    never.run(80)
    assert 100 not in never.weights
    assert shown(never).state is Reason.BAD_SERIES_NEVER_SEEN
    (metric,) = RATE["metrics"]
    never.spec = spec_with(analysis={"metrics": [{**metric, "allowAbsent": True}]})
    assert never.run(300).weights[-1] == 100


def test_a_margin_that_allows_everything_is_no_failure() -> None:
    (metric,) = RATE["metrics"]
    endless = {"metrics": [{**metric, "margin": {"relative": "999999999999999"}}]}
    assert staged(endless, events(0.02), events(0.9)).run(100).weights[-1] == 100


def flagged(metric: Json, counts: ArmCounts, *, stable: ArmCounts) -> Stage:
    """A rollout of a latency histogram with a red flag beside it."""
    analysis = {"metrics": [*LATENCY["metrics"], {"name": "flag", "role": "RedFlag", **metric}]}
    stage = staged(analysis, FAST, FAST, edges=EDGES)
    plain = stage.traffic
    stage.traffic = lambda window, weight: (
        *plain(window, weight),
        Row(metric="flag", stable=stable, candidate=counts, bad_seen=True),
    )
    return stage.run(30)


@pytest.mark.parametrize(
    ("metric", "counts", "told"),
    [
        (
            {**RATE["metrics"][0], "threshold": "1.5", "minRequests": 10},
            ArmCounts(total="50", bad="100"),
            "flag: 2 (100 by 50 of exposure) in window",
        ),
        (
            {**COST["metrics"][0], "threshold": "20", "minRequests": 10},
            ArmCounts(total="50", sum="1100"),
            "flag: 22 on average of 50 in window",
        ),
        (
            {**SCORE["metrics"][0], "threshold": "0.5", "minRequests": 10},
            ArmCounts(total="50", sum="20"),
            "flag: 0.4 on average of 50 in window",
        ),
        (
            {**STARS["metrics"][0], "threshold": "3", "minRequests": 10},
            ArmCounts(total="50", sum="100"),
            "flag: 2 on average of 50 in window",
        ),
        (
            {"query": "max(memory{{{selector}}})", "threshold": "8000000000"},
            ArmCounts(total="1", value="9000000000"),
            "flag: 9e+09 in window",
        ),
    ],
    ids=["rate", "mean", "low mean", "low mean with bounds", "query"],
)
def test_a_level_beyond_the_threshold_is_a_red_flag(metric: Json, counts: ArmCounts, told: str) -> None:
    wanted = {key: value for key, value in metric.items() if key not in ("name", "margin")}
    stage = flagged(wanted, counts, stable=counts)
    assert stage.weights == [10, 0]
    flag = stage.status.red_flags[0]
    assert flag.reason is Reason.THRESHOLD_EXCEEDED
    assert told in flag.message


def test_a_query_within_its_threshold_is_only_shown() -> None:
    query = {"query": "max(memory{{{selector}}})", "threshold": "8000000000"}
    stage = flagged(query, ArmCounts(total="1", value="7e9"), stable=ArmCounts(total="1", value="6.5e9"))
    assert stage.weights[:2] == [10, 25]
    assert stage.status.analysis is not None
    flag = stage.status.analysis.metrics[1]
    assert (flag.kind, flag.rates.stable, flag.rates.candidate) == ("query", "6.5e+09", "7e+09")
    assert flag.interval is None


def test_a_query_that_could_select_other_series_is_not_accepted() -> None:
    query = {"name": "flag", "role": "RedFlag", "query": "max(a{{{selector}}}) + secret", "threshold": "1"}
    stage = Stage(spec=spec_with(analysis={"metrics": [*LATENCY["metrics"], query]}))
    stage.run(5)
    accepted = stage.status.condition(ConditionType.SPEC_ACCEPTED)
    assert accepted is not None
    assert (accepted.status, accepted.reason) == ("False", Reason.QUERY_INVALID)
    assert "metric flag: the query must hold {{selector}} in each selector; secret" in accepted.message
    assert stage.weights == []
