"""How late labels come, from a real Prometheus that has a past: scrapes fit no interval, a process begins again."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from math import exp

import pytest

from controller.api.spec import Labels
from controller.judge import LabelHistory, measure_label_lag
from controller.observe.evidence import MetricQuestion, PrometheusEvidence, Question
from controller.observe.prometheus import PrometheusServer
from tests.observe.backfill import Level, Past
from tests.observe.conftest import PrometheusProcess

SCRAPE, INTERVAL = timedelta(seconds=20), timedelta(seconds=30)
LONG = timedelta(hours=2)
END = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
SECONDS = int(LONG.total_seconds())
PODS = [f"fraud-v1-7c5ddbdf54-{end}" for end in ("bbbbb", "ccccc")]
COVERAGE, LAG = 0.7, 75
REBORN = SECONDS - 2400
"""Second of the past in which the process of one pod begins again."""

ERRORS = MetricQuestion("errors", 'requests_total{code="500"}', "requests_total", allow_absent=True)
ACCURACY = MetricQuestion("accuracy", 'feedback_total{result="wrong"}', "feedback_total", allow_absent=True)


def busy(seed: str) -> list[int]:
    """Requests of each second: by chance, with minutes that are busier than others."""
    chance = random.Random(seed)
    levels = [5.0 * exp(chance.gauss(0.0, 0.5)) for _ in range(SECONDS // 40 + 1)]
    return [round(chance.expovariate(1.0 / levels[second // 40])) for second in range(SECONDS)]


def counter(grown: list[int], *, reborn: int | None = None) -> Level:
    """A counter that grows by so much in each second, and begins again once."""
    values = [0, *accumulate(grown)]

    def level(moment: datetime) -> float:
        second = min(SECONDS, max(0, int((moment - END + LONG).total_seconds())))
        return float(values[second] - (values[reborn] if reborn is not None and second >= reborn else 0))

    return level


def labels_of(requests: list[int]) -> list[int]:
    """A share of them gets a label, within ten seconds around the delay."""
    chance = random.Random(7)
    labels = [0] * (SECONDS + LAG + 10)
    for second, count in enumerate(requests):
        for _ in range(count):
            if chance.random() < COVERAGE:
                labels[second + LAG + chance.randint(-5, 5)] += 1
    return labels[:SECONDS]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusProcess]:
    folder = tmp_path_factory.mktemp("labels")
    past = Past(END - LONG, END, SCRAPE)
    for number, name in enumerate(PODS):
        served, reborn = busy(name), REBORN if number else None
        counters = {
            "requests_total": ({"code": "200"}, counter(served, reborn=reborn)),
            "feedback_total": ({"result": "right"}, counter(labels_of(served), reborn=reborn)),
        }
        past.pod(name, counters, namespace="shop")
        even = {
            "requests_total": ({"code": "200"}, counter([10] * SECONDS)),
            "feedback_total": ({"result": "right"}, counter([7] * SECONDS)),
        }
        past.pod(name, even, namespace="even")
    past.write(folder)
    process = PrometheusProcess(folder)
    process.start()
    try:
        yield process
    finally:
        process.stop()


def histories(prometheus: PrometheusProcess, *metrics: MetricQuestion, namespace: str) -> dict[str, LabelHistory]:
    question = Question(
        namespace=namespace,
        labels=Labels(),
        metrics=metrics,
        requests=None,
        stable_deployment="fraud-v1",
        candidate_deployment="fraud-v2",
        stable_pods=(),
        candidate_pods=(),
        warmup=timedelta(seconds=60),
        diverted_at=None,
        weight=0,
    )
    source = PrometheusEvidence(PrometheusServer("past", prometheus.url, SCRAPE, settle=timedelta(0)))
    found = source.history(question, before=END, interval=INTERVAL)
    return {name: each.labels for name, each in found.items()}


def test_the_delay_of_labels_is_measured(prometheus: PrometheusProcess) -> None:
    known = histories(prometheus, ERRORS, ACCURACY, namespace="shop")["accuracy"]

    found = measure_label_lag(known)

    assert len(known) == 200
    assert found is not None
    assert found.longest is not None
    assert found.half * INTERVAL == pytest.approx(timedelta(seconds=LAG), abs=timedelta(seconds=6))
    assert found.least * INTERVAL <= timedelta(seconds=LAG + 8)
    assert found.longest * INTERVAL <= timedelta(seconds=LAG + 40)
    assert found.coverage == pytest.approx(COVERAGE, rel=0.03)


def test_requests_and_labels_are_counted_of_all_pods(prometheus: PrometheusProcess) -> None:
    known = histories(prometheus, ERRORS, ACCURACY, namespace="even")["accuracy"]

    # Two pods with 10 requests a second, whether one scrape lies in the interval or two.
    assert sum(each is not None for each in known) == 200
    assert all(each == pytest.approx((600.0, 420.0)) for each in known)


def test_even_traffic_tells_no_delay(prometheus: PrometheusProcess) -> None:
    found = measure_label_lag(histories(prometheus, ERRORS, ACCURACY, namespace="even")["accuracy"])

    assert found is not None
    assert (found.longest, found.least) == (None, 0.0)
    assert found.coverage == pytest.approx(0.7)


def test_what_counts_requests_has_no_labels(prometheus: PrometheusProcess) -> None:
    assert histories(prometheus, ERRORS, namespace="shop")["errors"] == ()
    assert histories(prometheus, ERRORS, ACCURACY, namespace="shop")["errors"] == ()
