"""Every kind of metric from a real Prometheus that scrapes real exporters.

Two windows are told: one with requests, and one in which the candidate's process begins again, and the comparer's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from wsgiref.simple_server import WSGIServer

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary, start_http_server

from controller.api.reasons import Reason
from controller.api.record import Row
from controller.api.spec import Labels
from controller.api.verdicts import Kind
from controller.observe.evidence import MetricQuestion, PrometheusEvidence, Question
from controller.observe.prometheus import PrometheusServer
from controller.plan.windows import Window
from controller.plan.world import Pod
from tests.observe.conftest import PrometheusProcess, now, wait_until
from tests.observe.faulty import body, faulty_server

STABLE, CANDIDATE = "slow-7c5ddbdf54-bbbbb", "slow-v2-5d59d67564-x2x2x"
COMPARER = "comparer-0"
SCRAPE = timedelta(seconds=1.5)
ALIVE = 4

RATE = MetricQuestion("retries", "retries_total", "asked_total", allow_absent=False, kind=Kind.RATE)
MEAN = MetricQuestion("cost", "cost_sum", "cost_count", allow_absent=True, kind=Kind.MEAN)
HISTOGRAM = MetricQuestion("latency", "", "latency_seconds_bucket", allow_absent=True, kind=Kind.HISTOGRAM)
CLASSES = MetricQuestion(
    "classes", "", "predictions_total", allow_absent=True, kind=Kind.DISTRIBUTION, label="predicted"
)
DRIFT = MetricQuestion("drift", "", "latency_seconds_bucket", allow_absent=True, kind=Kind.DISTRIBUTION)
PAIRED = MetricQuestion("mirrored", "", "mlr_pair_total", allow_absent=True, kind=Kind.PAIRED)
MEMORY = MetricQuestion(
    "memory", "", "", allow_absent=True, kind=Kind.QUERY, query="max(memory_bytes{{{selector}}}) / 1e6"
)


class Server:
    """A pod of a model server that exports more than counters of requests."""

    def __init__(
        self, pod: str, *, namespace: str = "shop", port: int = 0, edges: tuple[float, ...] = (0.1, 0.5)
    ) -> None:
        self.labels = {"namespace": namespace, "pod": pod}
        self.silent = False
        registry = CollectorRegistry()
        self._asked = Counter("asked", "Requests.", registry=registry)
        self._retries = Counter("retries", "Retries.", registry=registry)
        self._cost = Summary("cost", "What they cost; less than nothing is possible.", registry=registry)
        self._latency = Histogram("latency_seconds", "How long they took.", buckets=edges, registry=registry)
        self._predictions = Counter("predictions", "What was answered.", ["predicted"], registry=registry)
        self._pairs = Counter("mlr_pair", "Pairs.", ["stable", "candidate"], registry=registry)
        self.memory = Gauge("memory_bytes", "Memory.", registry=registry)
        self.waiting = Gauge("waiting", "Requests that wait.", registry=registry)
        self._server: WSGIServer
        self._server, self._thread = start_http_server(port, addr="127.0.0.1", registry=registry)
        self.port = self._server.server_port
        self.address = f"127.0.0.1:{self.port}"

    def serve(self, *latencies: float, cost: float = 0.0, retries: int = 0, answer: str = "cat") -> None:
        """Serve a request per latency."""
        for each in latencies:
            self._asked.inc()
            self._latency.observe(each)
            self._cost._sum.inc(cost)  # a summary of values below 0 is what falls
            self._cost._count.inc(1)
            self._predictions.labels(answer).inc()
        self._retries.inc(retries)

    def compare(self, *, right: int = 0, candidate: int = 0, stable: int = 0, both: int = 0) -> None:
        """Count pairs in which no answer, only the candidate's, only stable's, and both were wrong."""
        cells = {("correct", "correct"): right, ("correct", "incorrect"): candidate}
        cells |= {("incorrect", "correct"): stable, ("incorrect", "incorrect"): both}
        for labels, amount in cells.items():
            if amount:
                self._pairs.labels(*labels).inc(amount)

    def end(self) -> None:
        """Let the process end."""
        if not self.silent:
            self.silent = True
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()


@dataclass(frozen=True)
class Story:
    """The windows, and a port to ask about them."""

    server: PrometheusServer
    beginning: datetime
    busy: tuple[datetime, datetime]
    reborn: tuple[datetime, datetime]

    def ask(self, edges: tuple[datetime, datetime], *metrics: MetricQuestion, question: Question) -> Row:
        """Return the row of the last metric in a window."""
        window = Window(transition=1, number=0, start=edges[0], end=edges[1], due=edges[1])
        return PrometheusEvidence(self.server).window(window, replace(question, metrics=metrics)).rows[-1]


def _edge(prometheus: PrometheusProcess) -> datetime:
    """Return an edge that has all of the pods' samples before it."""
    begin = time.time()
    query = f"count((timestamp(up) > {begin}) and (up == 1))"
    wait_until(lambda: prometheus.value(query) == ALIVE, lambda: f"not all of the {ALIVE} pods are scraped")
    return now()


@pytest.fixture(scope="module")
def story(prometheus: PrometheusProcess) -> Iterator[Story]:
    """Tell the story; every number below comes back in a test."""
    stable, candidate = Server(STABLE), Server(CANDIDATE, edges=(0.25, 0.5))
    victim = Server("other-7c5ddbdf54-bbbbb", namespace="victim")
    comparer = Server(COMPARER)
    servers = [stable, candidate, victim, comparer]
    prometheus.exporters += servers
    prometheus.discover()
    beginning = now()
    for server in servers:
        server.serve(0.05, 0.7, cost=5.0)
        server.memory.set(3e6)
        if server in (victim, comparer):
            server.compare(right=100)
    victim.memory.set(9e9)
    _edge(prometheus)
    first = _edge(prometheus)
    for waiting in (5, 1, 4, 2, 6):
        stable.waiting.set(waiting)
        _edge(prometheus)
    stable.serve(*[0.05] * 30, *[0.3] * 8, *[0.7] * 2, cost=1.5, retries=3)
    candidate.serve(*[0.2] * 4, *[0.4] * 5, cost=-0.5, retries=14, answer="dog")
    candidate.memory.set(7e6)
    comparer.compare(right=80, candidate=7, stable=3, both=10)
    victim.compare(candidate=1000)
    second = _edge(prometheus)
    candidate.end()
    successor = Server(CANDIDATE, port=candidate.port, edges=(0.25, 0.5))
    successor.serve(0.4, cost=2.0, answer="dog")
    comparer.end()
    reborn = Server(COMPARER, port=comparer.port)
    reborn.compare(right=20, candidate=9)
    prometheus.exporters += [successor, reborn]
    servers += [successor, reborn]
    stable.serve(0.3)
    third = _edge(prometheus)
    port = PrometheusServer("default", prometheus.url, SCRAPE, settle=timedelta(0))
    yield Story(port, beginning, busy=(first, second), reborn=(second, third))
    for each in servers:
        each.end()


@pytest.fixture
def question(story: Story) -> Question:
    def pod(name: str) -> tuple[Pod, ...]:
        return (Pod(name=name, uid=name, ready=True, started_at=story.beginning, ready_at=story.beginning),)

    return Question(
        namespace="shop",
        labels=Labels(),
        metrics=(),
        requests="asked_total",
        stable_deployment="slow",
        candidate_deployment="slow-v2",
        stable_pods=pod(STABLE),
        candidate_pods=pod(CANDIDATE),
        warmup=timedelta(0),
        diverted_at=None,
        weight=10,
    )


def counts(row: Row, *fields: str) -> tuple[tuple[object, ...], tuple[object, ...]]:
    """Some counts of stable and of the candidate."""
    assert row.skipped is None, row.message
    stable, candidate = (tuple(getattr(arm, field) for field in fields) for arm in (row.stable, row.candidate))
    return stable, candidate


def test_events_by_exposure(story: Story, question: Question) -> None:
    row = story.ask(story.busy, RATE, question=question)
    assert counts(row, "total", "bad") == (("40", "3"), ("9", "14"))
    assert row.bad_seen is True


def test_the_sum_of_values_below_zero(story: Story, question: Question) -> None:
    row = story.ask(story.busy, MEAN, question=question)
    assert counts(row, "total", "sum", "bad") == (("40", "60", None), ("9", "-4.5", None))


def test_a_process_that_begins_again_counts_its_whole_sum(story: Story, question: Question) -> None:
    """It had 5 + 9·(−0.5) + 5 before, and 2 after: lower, but no loss of 3.5."""
    row = story.ask(story.reborn, MEAN, question=question)
    assert counts(row, "total", "sum") == (("1", "0"), ("1", "2"))


def test_buckets_on_the_bounds_that_both_arms_have(story: Story, question: Question) -> None:
    row = story.ask(story.busy, HISTOGRAM, question=question)
    assert row.edges == ("0.5", "+Inf")
    assert counts(row, "total", "buckets") == (("40", ("38", "2")), ("9", ("9", "0")))


@pytest.mark.parametrize("metric", [HISTOGRAM, CLASSES, MEAN])
def test_the_weight_is_seen_by_whatever_counts_requests(
    story: Story, question: Question, metric: MetricQuestion
) -> None:
    window = Window(transition=1, number=0, start=story.busy[0], end=story.busy[1], due=story.busy[1])
    asked = replace(question, metrics=(MEMORY, metric), requests=None)
    recorded = PrometheusEvidence(story.server).window(window, asked)
    assert recorded.requests is not None
    assert (recorded.requests.stable, recorded.requests.candidate) == ("40", "9")
    assert recorded.observed_weight == "18.4"


def test_buckets_of_a_process_that_begins_again(story: Story, question: Question) -> None:
    row = story.ask(story.reborn, DRIFT, question=question)
    assert counts(row, "total", "buckets") == (("1", ("1", "0")), ("1", ("1", "0")))


def test_bounds_that_differ_altogether_are_named(story: Story, question: Question) -> None:
    apart = replace(HISTOGRAM, total='latency_seconds_bucket{le!="0.5"}')
    row = story.ask(story.busy, apart, question=question)
    assert row.skipped is Reason.EDGES_DIFFER
    assert "stable has 0.1, +Inf, the candidate has 0.25, +Inf" in row.message


def test_classes_of_both_arms(story: Story, question: Question) -> None:
    row = story.ask(story.busy, CLASSES, question=question)
    assert row.edges == ("cat", "dog")
    assert counts(row, "total", "buckets") == (("40", ("40", "0")), ("9", ("0", "9")))


def test_pairs_of_the_comparer_in_the_rollouts_namespace(story: Story, question: Question) -> None:
    """All cells with a wrong answer were born in the window, and another namespace had many more."""
    row = story.ask(story.busy, RATE, PAIRED, question=question)
    assert counts(row, "total", "bad", "alone") == (("100", "13", "3"), ("100", "17", "7"))


def test_a_comparer_that_begins_again_counts_its_wrong_pairs_anew(story: Story, question: Question) -> None:
    """It had 7 pairs in which only the candidate was wrong, and has 9: these are 9 and not 2."""
    row = story.ask(story.reborn, PAIRED, question=question)
    assert counts(row, "total", "bad", "alone") == (("29", "0", "0"), ("29", "9", "9"))


@pytest.mark.parametrize(
    ("counter", "said"),
    [
        ("asked_total", "asked_total has a series with no label stable and no label candidate; expected the labels"),
        ("mlr_pairs_total", "what compares the arms' answers, with the labels namespace, stable, candidate"),
        ('mlr_pair_total{pod="nobody"}', "no series of mlr_pair_total"),
    ],
)
def test_what_counts_no_pairs_says_which_labels_are_expected(
    story: Story, question: Question, counter: str, said: str
) -> None:
    row = story.ask(story.busy, replace(PAIRED, total=counter), question=question)
    assert row.skipped is Reason.NO_SERIES
    assert said in row.message


def test_a_query_is_asked_per_arm_and_sees_nobody_else(story: Story, question: Question) -> None:
    row = story.ask(story.busy, RATE, MEMORY, question=question)
    assert counts(row, "total", "value") == (("1", "3"), ("1", "7"))


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("max by (pod) (nothing{{{selector}}})", "gave nothing for stable"),
        ("latency_seconds_bucket{{{selector}}}", "gave 42, 31, 39 for stable"),
        ("max(memory_bytes{{{selector}}}) / 0", "gave inf for stable"),
        ("nonsense(memory_bytes{{{selector}}})", "unknown function"),
        ("memory_bytes{{{selector}}}[5m]", "neither scalar nor instant vector"),
    ],
)
def test_a_query_that_gives_no_number_is_a_state_of_its_metric_alone(
    story: Story, question: Question, query: str, said: str
) -> None:
    asked = replace(MEMORY, query=query)
    row = story.ask(story.busy, RATE, asked, question=question)
    assert row.skipped is Reason.QUERY_INVALID
    assert said in row.message
    assert story.ask(story.busy, asked, RATE, question=question).skipped is None


def test_a_query_waits_for_warm_pods(story: Story, question: Question) -> None:
    row = story.ask(story.busy, RATE, MEMORY, question=replace(question, warmup=timedelta(minutes=5)))
    assert row.skipped is Reason.WARMING_UP


@pytest.mark.parametrize("metric", [replace(RATE, bad="waiting"), replace(RATE, total="waiting")])
def test_a_gauge_where_a_counter_is_expected(story: Story, question: Question, metric: MetricQuestion) -> None:
    row = story.ask(story.busy, metric, question=question)
    assert row.skipped is Reason.NOT_A_COUNTER
    assert "its pods say that it is a gauge: name a counter" in row.message


def test_a_gauge_that_stands_still(story: Story, question: Question) -> None:
    row = story.ask(story.reborn, replace(RATE, total='memory_bytes{pod=~"slow-7.*"}'), question=question)
    assert row.skipped is Reason.NOT_A_COUNTER
    assert "memory_bytes did not grow" in row.message


def test_a_counter_that_begins_again_is_no_gauge(story: Story, question: Question) -> None:
    assert story.ask(story.reborn, RATE, question=question).skipped is None


def test_history_has_what_each_kind_needs(story: Story, question: Question) -> None:
    asked = replace(question, metrics=(RATE, MEAN, HISTOGRAM, CLASSES, PAIRED, MEMORY))
    found = PrometheusEvidence(story.server).history(asked, before=story.busy[1], interval=timedelta(seconds=2))
    assert set(found) == {"retries", "cost", "latency", "classes"}
    assert (found["retries"].total, found["retries"].amount) == (40, 3)
    assert (found["cost"].total, found["cost"].amount) == (40, 60)
    assert (found["latency"].edges, found["latency"].buckets) == (("0.1", "0.5", "+Inf"), (30, 8, 2))
    assert (found["classes"].edges, found["classes"].buckets) == (("cat",), (40,))


NATIVE = """{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"latency_seconds",
"pod":"slow-7c5ddbdf54-bbbbb"},"histograms":[[%s,{"count":"3","sum":"1","buckets":[[3,"0","1","3"]]}]]}]}}"""


def test_a_native_histogram_is_named_and_what_to_do(story: Story, question: Question) -> None:
    """The server here is too old to have any; the answer is one of a newer."""
    with faulty_server() as server:
        server.answer = body(NATIVE % story.busy[1].timestamp())
        asked = replace(story, server=PrometheusServer("new", server.url, SCRAPE, settle=timedelta(0)))
        row = asked.ask(story.busy, replace(HISTOGRAM, total="latency_seconds"), question=question)
    assert row.skipped is Reason.NATIVE_HISTOGRAM
    assert "name latency_seconds_bucket" in row.message
