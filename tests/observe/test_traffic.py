"""The last day's traffic, from a real Prometheus that has a past."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from controller.api.spec import Labels
from controller.api.verdicts import Kind
from controller.observe.evidence import MetricQuestion, PrometheusEvidence, Question
from controller.observe.prometheus import PrometheusServer, SourceError
from tests.observe.backfill import Level, Past
from tests.observe.conftest import PrometheusProcess
from tests.observe.faulty import body, faulty_server, matrix

SCRAPE = timedelta(seconds=30)
END = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=5)
POD_A, POD_B, OTHER = "fraud-7c5ddbdf54-bbbbb", "fraud-7c5ddbdf54-ccccc", "fraud-v2-7c5ddbdf54-ddddd"


def growing(per_second: float, *, since: timedelta = timedelta(hours=26)) -> Level:
    return lambda moment: None if moment < END - since else per_second * (moment - END + since).total_seconds()


def restarted(per_second: float, *, at: timedelta) -> Level:
    def level(moment: datetime) -> float:
        begun = END - at if moment >= END - at else END - timedelta(hours=26)
        return per_second * (moment - begun).total_seconds()

    return level


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusProcess]:
    folder = tmp_path_factory.mktemp("past")
    past = Past(END - timedelta(hours=26), END, SCRAPE)
    past.pod(POD_A, {"requests_total": ({}, growing(3.0))}, namespace="shop")
    past.pod(POD_B, {"requests_total": ({}, restarted(2.0, at=timedelta(hours=5)))}, namespace="shop")
    past.pod(OTHER, {"requests_total": ({}, growing(1.0))}, namespace="shop")
    past.pod("fraud-7c5ddbdf54-xxxxx", {"requests_total": ({}, growing(50.0))}, namespace="elsewhere")
    past.pod(POD_A, {"young_total": ({}, growing(4.0, since=timedelta(minutes=25)))}, namespace="shop")
    for edge, rate in (("0.1", 1.0), ("1", 2.0), ("+Inf", 2.5)):
        past.add("seconds_bucket", growing(rate), namespace="shop", pod=POD_A, le=edge, job="pods", instance=POD_A)
    past.write(folder)
    process = PrometheusProcess(folder)
    process.start()
    try:
        yield process
    finally:
        process.stop()


def metric(total: str, *, kind: Kind = Kind.RATIO) -> MetricQuestion:
    return MetricQuestion(name=total, bad="bad_total", total=total, allow_absent=True, kind=kind)


def question(*metrics: MetricQuestion) -> Question:
    return Question(
        namespace="shop",
        labels=Labels(),
        metrics=metrics,
        requests=None,
        stable_deployment="fraud",
        candidate_deployment="fraud-v2",
        stable_pods=(),
        candidate_pods=(),
        warmup=timedelta(0),
        diverted_at=None,
        weight=0,
    )


def traffic(url: str, *metrics: MetricQuestion) -> dict[str, float]:
    server = PrometheusServer("test", url, SCRAPE, settle=timedelta(0))
    return PrometheusEvidence(server).traffic(question(*metrics), before=END)


def test_both_arms_pods_of_the_namespace_over_the_day(past: PrometheusProcess) -> None:
    assert traffic(past.url, metric("requests_total")) == {"requests_total": pytest.approx(6.0, rel=0.02)}


def test_a_service_of_25_minutes_is_not_spread_over_a_day(past: PrometheusProcess) -> None:
    assert traffic(past.url, metric("young_total")) == {"young_total": pytest.approx(4.0, rel=0.15)}


def test_cumulative_buckets_are_counted_once(past: PrometheusProcess) -> None:
    asked = metric("seconds_bucket", kind=Kind.HISTOGRAM)
    assert traffic(past.url, asked) == {"seconds_bucket": pytest.approx(2.5, rel=0.02)}


def test_what_had_no_traffic_is_absent_and_queries_are_not_asked(past: PrometheusProcess) -> None:
    silent, query = metric("nothing_total"), metric("", kind=Kind.QUERY)
    assert traffic(past.url, silent, query) == {}


def test_the_answers_are_small_and_few() -> None:
    with faulty_server() as server:
        server.answer = body(matrix())
        traffic(server.url, metric("requests_total"), MetricQuestion("m", "x", "requests_total", allow_absent=True))
        queries = [form["query"][0] for _, form in server.asked]

    assert [query.rpartition("[")[2] for query in queries] == ["86400s:900s]", "3600s:120s]"]
    assert all(query.startswith("sum(rate(") for query in queries)


def test_an_unreachable_server_is_a_source_error() -> None:
    with pytest.raises(SourceError):
        traffic("http://127.0.0.1:9", metric("requests_total"))
