"""Stable's history against a server that holds series of our making and answers range selectors over them."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler

import pytest

from controller.api.spec import ArmLabels, Labels
from controller.api.verdicts import Kind
from controller.observe.evidence import MetricQuestion, PrometheusEvidence, Question
from controller.observe.history import MOST_QUERIES
from controller.observe.prometheus import PrometheusServer, SourceError
from controller.plan.calibration import StableHistory
from controller.plan.world import Pod
from tests.observe.faulty import FaultyServer, body, faulty_server, matrix

END = datetime(2026, 1, 1, 12, tzinfo=UTC)
SCRAPE = 15.0
INTERVAL = timedelta(seconds=60)
POD_A, POD_B = "fraud-7c5ddbdf54-bbbbb", "fraud-7c5ddbdf54-ccccc"
LIVE = Pod(name=POD_A, uid="a", ready=True, ready_at=END - timedelta(days=1))

ACCURACY = MetricQuestion("accuracy", 'wrong_total{kind="any"}', "answers_total", allow_absent=False)
COST = MetricQuestion("cost", "cost_sum", "cost_count", allow_absent=True, kind=Kind.MEAN)
LATENCY = MetricQuestion("latency", "", "seconds_bucket", allow_absent=True, kind=Kind.HISTOGRAM)
CLASSES = MetricQuestion("classes", "", "answers_total", allow_absent=True, kind=Kind.DISTRIBUTION, label="class")

Level = Callable[[float], float | None]
"""A counter's value so many seconds before the end (negative numbers); None: no sample."""


@dataclass
class Storage:
    """Series by selector name, scraped every 15 seconds; each pod a little later than the one before."""

    server: FaultyServer
    series: list[tuple[str, Mapping[str, str], Level]] = field(default_factory=list)

    def add(self, name: str, pod: str, level: Level, **labels: str) -> None:
        """Add a counter of a pod."""
        identity = {"__name__": name, "namespace": "shop", "pod": pod, "job": "pods", "instance": pod}
        self.series.append((name, {**identity, **labels}, level))

    def up(self, *pods: str) -> None:
        """Say that the pods were scraped all the time."""
        for pod in pods:
            self.add("up", pod, lambda _: 1.0)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer a range selector, as Prometheus does, with the samples in the range."""
        _, form = self.server.asked[-1]
        name, milliseconds = re.fullmatch(r"(\w+)\{.*\}\[(\d+)ms\]", form["query"][0]).groups()
        until = float(form["time"][0]) - END.timestamp()
        found = []
        for own, labels, level in self.series:
            values = [
                [END.timestamp() + at, f"{value:g}"]
                for at in _scrapes(until - int(milliseconds) / 1000, until, labels["pod"])
                if (value := level(at)) is not None
            ]
            if own == name and values:
                found.append({"metric": labels, "values": values})
        body(matrix(*found))(request)


def _scrapes(start: float, end: float, pod: str) -> Iterator[float]:
    offset = 3.0 if pod == POD_A else 7.0
    number = int((start - offset) // SCRAPE) + 1
    while (at := number * SCRAPE + offset) <= end:
        yield at
        number += 1


@pytest.fixture
def storage() -> Iterator[Storage]:
    with faulty_server() as server:
        found = Storage(server)
        server.answer = found.answer
        yield found


def growing(per_minute: float, *, since: float = -(10**9), begun: float = 0.0) -> Level:
    """A counter that grows evenly, born so many seconds before the end."""
    return lambda at: None if at < since else begun + per_minute * (at + 90_000) / 60


def question(*metrics: MetricQuestion, warmup: float = 0.0) -> Question:
    return Question(
        namespace="shop",
        labels=Labels(),
        metrics=metrics,
        requests=None,
        stable_deployment="fraud",
        candidate_deployment="fraud-v2",
        stable_pods=(),
        candidate_pods=(),
        warmup=timedelta(seconds=warmup),
        diverted_at=None,
        weight=0,
    )


def history(storage: Storage, asked: Question, interval: timedelta = INTERVAL) -> Mapping[str, StableHistory]:
    server = PrometheusServer("test", storage.server.url, timedelta(seconds=SCRAPE), settle=timedelta(0))
    return PrometheusEvidence(server).history(asked, before=END, interval=interval)


def two_pods(storage: Storage) -> None:
    storage.up(POD_A, POD_B)
    storage.add("answers_total", POD_A, growing(40))
    storage.add("answers_total", POD_B, growing(80))
    storage.add("wrong_total", POD_A, growing(4), kind="any")
    storage.add("wrong_total", POD_B, growing(4), kind="any")


def test_each_interval_has_the_counts_of_each_pod(storage: Storage) -> None:
    two_pods(storage)

    found = history(storage, question(ACCURACY))["accuracy"]

    assert len(found.intervals) == 200
    assert all(
        each == {POD_A: (pytest.approx(40), pytest.approx(4)), POD_B: (pytest.approx(80), pytest.approx(4))}
        for each in found.intervals
    )
    # 200 minutes are read in slices of an hour; each slice grows from the last sample before it.
    assert (found.total, found.amount) == (pytest.approx(200 * 120, rel=0.01), pytest.approx(200 * 8, rel=0.01))


def test_short_intervals_are_two_hundred_of_an_hour(storage: Storage) -> None:
    two_pods(storage)

    found = history(storage, question(ACCURACY), timedelta(seconds=15))["accuracy"]

    assert len(found.intervals) == 200
    assert found.total == pytest.approx(60 * 120, rel=0.01)


def test_long_intervals_reach_back_a_day(storage: Storage) -> None:
    two_pods(storage)

    found = history(storage, question(ACCURACY), timedelta(minutes=25))["accuracy"]

    assert len(found.intervals) == 57
    assert found.intervals[0] == {POD_A: pytest.approx((1000, 100)), POD_B: pytest.approx((2000, 100))}


@pytest.mark.parametrize("interval", [timedelta(minutes=29), timedelta(hours=5)])
def test_intervals_too_long_to_calibrate_with_are_not_asked_for(storage: Storage, interval: timedelta) -> None:
    two_pods(storage)

    found = history(storage, question(ACCURACY), interval)["accuracy"]

    assert found.intervals == ()
    assert found.total == pytest.approx(max(interval, timedelta(hours=1)) / timedelta(minutes=1) * 120, rel=0.5)
    assert len(storage.server.asked) <= 9


def test_many_metrics_are_not_many_more_queries(storage: Storage) -> None:
    two_pods(storage)
    asked = [replace(ACCURACY, name=f"m{i}", total=f"t{i}_total", bad=f"b{i}_total") for i in range(20)]

    history(storage, question(*asked), timedelta(minutes=25))

    assert 41 < len(storage.server.asked) <= MOST_QUERIES


def test_a_restart_loses_nothing_that_was_scraped(storage: Storage) -> None:
    storage.up(POD_A, POD_B)
    storage.add("answers_total", POD_A, growing(40))
    storage.add("answers_total", POD_B, lambda at: 80 * (at + 90_000) / 60 if at < -600 else 80 * (at + 600) / 60)

    found = history(storage, question(ACCURACY))["accuracy"]

    counts = [each[POD_B][0] for each in found.intervals if each is not None]
    # Of one interval, what was counted between the last scrape and the restart is gone.
    assert sum(counts) == pytest.approx(200 * 80, abs=40)
    assert max(counts) < 81


def test_an_interval_without_scrapes_is_left_out_and_a_pod_that_misses_some_too(storage: Storage) -> None:
    outage = range(-1860, -1560)
    storage.add("up", POD_A, lambda at: None if -1560 <= at < -1200 or int(at) in outage else 1.0)
    storage.add("up", POD_B, lambda at: None if int(at) in outage else 1.0)
    storage.add("answers_total", POD_A, lambda at: None if -1860 <= at < -1200 else 40 * (at + 90_000) / 60)
    storage.add("answers_total", POD_B, lambda at: None if int(at) in outage else 80 * (at + 90_000) / 60)

    found = history(storage, question(ACCURACY))["accuracy"].intervals

    of_minute = {-60 * (len(found) - number): each for number, each in enumerate(found)}
    assert of_minute[-1740] is None
    assert of_minute[-1440] == {POD_B: (pytest.approx(80), 0.0)}
    assert of_minute[-600] == {POD_A: (pytest.approx(40), 0.0), POD_B: (pytest.approx(80), 0.0)}


def test_a_failed_scrape_is_no_scrape(storage: Storage) -> None:
    storage.add("up", POD_A, lambda at: 0.0 if at > -600 else 1.0)
    storage.up(POD_B)
    storage.add("answers_total", POD_A, lambda at: None if at > -600 else 40 * (at + 90_000) / 60)
    storage.add("answers_total", POD_B, growing(80))

    found = history(storage, question(ACCURACY))["accuracy"].intervals

    assert found[-1] == {POD_B: (pytest.approx(80), 0.0)}


def test_a_pod_takes_part_once_it_is_warm(storage: Storage) -> None:
    storage.up(POD_B)
    storage.add("up", POD_A, lambda at: 1.0 if at >= -900 else None)
    storage.add("answers_total", POD_A, lambda at: 40 * (at + 900) / 60 if at >= -900 else None)
    storage.add("answers_total", POD_B, growing(80))

    found = history(storage, question(ACCURACY, warmup=120))["accuracy"].intervals

    first = next(number for number, each in enumerate(found) if each is not None and POD_A in each)
    # Born 15 minutes before the end and scraped at once; warm two minutes later.
    assert len(found) - first == 12


def test_a_bad_series_that_begins_counts_from_zero(storage: Storage) -> None:
    storage.up(POD_A, POD_B)
    storage.add("answers_total", POD_A, growing(40))
    storage.add("answers_total", POD_B, growing(80))
    storage.add("wrong_total", POD_A, lambda at: 5.0 if at >= -90 else None, kind="any")

    found = history(storage, question(ACCURACY))["accuracy"]

    assert found.intervals[-2] == {POD_A: (pytest.approx(40), 5.0), POD_B: (pytest.approx(80), 0.0)}
    assert found.intervals[-1] == {POD_A: (pytest.approx(40), 0.0), POD_B: (pytest.approx(80), 0.0)}
    assert found.amount == 5.0


def test_interval_whose_counters_are_no_numbers_is_left_out(storage: Storage) -> None:
    two_pods(storage)
    storage.add("answers_total", POD_B, lambda at: float("nan") if at < -7000 else 1.0, path="/odd")

    found = history(storage, question(ACCURACY))["accuracy"]

    assert found.intervals[0] is None
    assert found.intervals[-1] is not None


def test_counters_that_never_are_numbers_are_refused(storage: Storage) -> None:
    storage.up(POD_A)
    storage.add("answers_total", POD_A, lambda _: float("nan"))

    with pytest.raises(SourceError, match="check what it exports"):
        history(storage, question(ACCURACY))


def test_pods_of_others_do_not_take_part(storage: Storage) -> None:
    two_pods(storage)
    storage.add("answers_total", "fraud-v2-5d59d67564-x2x2x", growing(1000))

    found = history(storage, question(ACCURACY))["accuracy"]

    assert found.intervals[-1] is not None
    assert set(found.intervals[-1]) == {POD_A, POD_B}


def test_pods_of_an_earlier_template_do_not_take_part(storage: Storage) -> None:
    two_pods(storage)
    asked = replace(question(ACCURACY), stable_pods=(LIVE,))
    before = history(storage, asked)
    earlier = "fraud-5d4f8c9b7d-bbbbb"
    storage.add("answers_total", earlier, growing(60))
    storage.add("wrong_total", earlier, growing(60), kind="any")
    storage.up(earlier)
    assert history(storage, asked) == before


def test_arms_by_label_have_the_pods_of_their_series(storage: Storage) -> None:
    storage.add("answers_total", "collector-0", growing(100), version="1")
    asked = replace(ACCURACY, arms=ArmLabels(label="version", stable="1", candidate="2"))

    found = history(storage, question(asked))["accuracy"]

    assert found.intervals[-1] == {"collector-0": (pytest.approx(100), 0.0)}


def test_sums_of_values_may_fall(storage: Storage) -> None:
    storage.up(POD_A)
    storage.add("cost_count", POD_A, growing(60))
    storage.add("cost_sum", POD_A, lambda at: -2.0 * (at + 90_000))

    found = history(storage, question(COST))["cost"]

    assert found.intervals[-1] == {POD_A: (pytest.approx(60), pytest.approx(-120))}
    assert found.amount / found.total == pytest.approx(-2)


def buckets(storage: Storage, pod: str, bounds: Mapping[str, float]) -> None:
    for bound, per_minute in bounds.items():
        storage.add("seconds_bucket", pod, growing(per_minute), le=bound)


def test_histograms_are_on_the_bounds_that_all_pods_have(storage: Storage) -> None:
    storage.up(POD_A, POD_B)
    buckets(storage, POD_A, {"0.1": 10, "0.5": 30, "+Inf": 40})
    buckets(storage, POD_B, {"0.1": 20, "0.2": 30, "0.5": 60, "+Inf": 80})

    found = history(storage, question(LATENCY))["latency"]

    assert found.edges == ("0.1", "0.5", "+Inf")
    assert found.buckets == pytest.approx([200 * each for each in (30, 60, 30)], rel=0.01)
    assert found.bucket_intervals[-1] == {POD_A: pytest.approx((10, 20, 10)), POD_B: pytest.approx((20, 40, 20))}
    assert found.total == pytest.approx(200 * 120, rel=0.01)


def test_bounds_that_only_some_of_the_time_had_are_joined(storage: Storage) -> None:
    storage.up(POD_A)
    buckets(storage, POD_A, {"0.1": 10, "0.5": 30, "+Inf": 40})
    storage.add("seconds_bucket", POD_A, growing(20, since=-3600), le="0.2")

    found = history(storage, question(LATENCY))["latency"]

    assert found.edges == ("0.1", "0.5", "+Inf")
    assert found.bucket_intervals[-1] == {POD_A: pytest.approx((10, 20, 10))}


def test_classes_that_any_pod_ever_had(storage: Storage) -> None:
    storage.up(POD_A, POD_B)
    storage.add("answers_total", POD_A, growing(30), **{"class": "cat"})
    storage.add("answers_total", POD_B, growing(20), **{"class": "dog"})
    storage.add("answers_total", POD_B, lambda at: 7.0 if at >= -90 else None, **{"class": "eel"})

    found = history(storage, question(CLASSES))["classes"]

    assert found.edges == ("cat", "dog", "eel")
    assert found.buckets == pytest.approx((200 * 30, 200 * 20, 7), rel=0.01)
    assert found.bucket_intervals[0] == {POD_A: pytest.approx((30, 0, 0)), POD_B: pytest.approx((0, 20, 0))}
    assert found.bucket_intervals[-2] == {POD_A: pytest.approx((30, 0, 0)), POD_B: pytest.approx((0, 20, 7))}


def test_what_had_no_request_is_absent_and_queries_are_not_asked(storage: Storage) -> None:
    storage.up(POD_A)
    storage.add("answers_total", POD_A, lambda _: 12.0)
    query = MetricQuestion("gpu", "", "", allow_absent=True, kind=Kind.QUERY, query="max(gpu{{{selector}}})")

    assert history(storage, question(ACCURACY, query)) == {}
    assert history(storage, question(query)) == {}
    assert not any("gpu" in json.dumps(form) for _, form in storage.server.asked)


def test_every_query_is_confined_to_stable(storage: Storage) -> None:
    two_pods(storage)

    history(storage, question(ACCURACY, COST))

    queries: Sequence[str] = [form["query"][0] for _, form in storage.server.asked]
    assert all('namespace="shop",pod=~"fraud-[' in query for query in queries)
    assert not any("fraud-v2" in query for query in queries)
