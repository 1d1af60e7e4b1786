"""Fine differences on real requests: as accurate, 4 points less accurate, and as accurate but slower.

All three rollouts run at the same time, each in its own namespace. Nobody knows yet how much pods differ, so a request
counts for half, and two points of accuracy take some thousand of them.
"""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import pytest

from tests.e2e.scene import Json, Scene, rollout, route

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

PATIENCE: Final = 720.0
"""Seconds; nine of ten runs take less than half of that."""

LOOKUP_MS: Final = 40
EDGE: Final = "above 0.05"
"""The edge between the two models' look-ups of 40 and 52 ms, in the server's histogram."""

ERRORS: Final[Json] = {"name": "errors", "preset": "mlr/errors", "margin": {"absolute": "0.02"}}
ACCURACY: Final[Json] = {"name": "accuracy", "preset": "mlr/accuracy", "margin": {"absolute": "0.02"}}
LATENCY: Final[Json] = {
    "name": "latency",
    "histogram": {"buckets": "mlr_request_duration_seconds_bucket"},
    "margin": {"absolute": "0.1"},
}


@dataclass(frozen=True)
class Candidate:
    """One candidate against v1, with half of the requests."""

    version: str
    rate: float
    metrics: tuple[Json, ...]


CANDIDATES: Final = (
    Candidate("same", rate=60, metrics=(ERRORS, ACCURACY, LATENCY)),
    Candidate("weaker", rate=100, metrics=(ERRORS, ACCURACY | {"weight": "3"})),
    Candidate("slow", rate=40, metrics=(ERRORS, LATENCY)),
)


@dataclass(frozen=True)
class Course:
    """How a rollout went."""

    seen: tuple[Json, ...]
    """Every status while windows were judged."""
    final: Json
    messages: dict[str, str]
    """Of the newest event by reason."""

    @property
    def metrics(self) -> dict[str, Json]:
        """The metrics of the status in which the verdict fell, by name."""
        return {each["name"]: each for each in self.final["analysis"]["metrics"]}

    @property
    def forecasts(self) -> set[str]:
        """Everything that was forecast for all metrics together."""
        return {analysis["forecast"] for each in self.seen if "forecast" in (analysis := each["analysis"])}


def run(scene: Scene, candidate: Candidate) -> Course:
    """Roll the candidate out and look until it is promoted or taken back."""
    scene.deploy(v1=1, **{candidate.version: 1}, lookup_ms=LOOKUP_MS)
    scene.apply(route(scene, "v1", candidate.version))
    spec: dict[str, Any] = {
        "strategy": {"steps": [50], "deadline": "1h"},
        "analysis": {"metrics": list(candidate.metrics)},
    }
    seen: list[Json] = []

    def over(scene: Scene) -> bool:
        status = scene.status
        if status.get("phase") == "Progressing" and status["analysis"].get("metrics"):
            seen.append(status)
        return bool(status.get("history"))

    with scene.client(rate=candidate.rate, connections="keepalive"):
        scene.apply(rollout(candidate.version, **spec))
        scene.wait("a verdict", over, seconds=PATIENCE)
    events = [each for each in scene.get_all("events") if each["involvedObject"]["kind"] == "ModelRollout"]
    return Course(tuple(seen), scene.status, {each["reason"]: each["message"] for each in events})


@pytest.fixture(scope="module")
def courses(operator: Scene) -> Iterator[dict[str, Future[Course]]]:
    """All rollouts, under way."""
    own = time.time_ns() % 10**9
    scenes = {each.version: Scene(operator.layout, f"judging-{each.version}-{own}") for each in CANDIDATES}
    for scene in scenes.values():
        scene.kubectl("create", "namespace", scene.namespace)
    with ThreadPoolExecutor(len(CANDIDATES)) as pool:
        yield {each.version: pool.submit(run, scenes[each.version], each) for each in CANDIDATES}
    for scene in scenes.values():
        scene.kubectl("delete", "namespace", scene.namespace, "--wait=false")


def percent(text: str) -> float:
    return float(text.removesuffix("%"))


def test_as_accurate_a_model_is_promoted(courses: dict[str, Future[Course]]) -> None:
    course = courses["same"].result()
    assert course.final["history"][0]["outcome"] == "Promoted"
    assert course.final["stable"]["deployment"] == "digits-same"
    assert {name: each["verdict"] for name, each in course.metrics.items()} == dict.fromkeys(
        ("errors", "accuracy", "latency"), "NotWorse"
    )
    assert percent(course.metrics["accuracy"]["interval"][1]) < 4
    assert any(forecast.startswith("NotWorse in ≈") for forecast in course.forecasts), course.forecasts


def test_four_points_less_accurate_a_model_is_taken_back(courses: dict[str, Future[Course]]) -> None:
    course = courses["weaker"].result()
    assert course.final["history"][0]["outcome"] == "RolledBack"
    assert course.final["rejected"][0]["deployment"] == "digits-weaker"
    accuracy = course.metrics["accuracy"]
    assert percent(accuracy["difference"]) > 2
    assert percent(accuracy["interval"][0]) > 0
    assert course.metrics["errors"]["rates"] == {"stable": "0.0000%", "candidate": "0.0000%"}
    assert course.messages["JudgedWorse"].startswith("Worse: accuracy")
    told = "Worse, if the difference of accuracy stays"
    assert any(forecast.startswith(told) for forecast in course.forecasts), course.forecasts


def test_slower_a_model_without_errors_is_taken_back_by_its_histogram(courses: dict[str, Future[Course]]) -> None:
    course = courses["slow"].result()
    assert course.final["history"][0]["outcome"] == "RolledBack"
    latency = course.metrics["latency"]
    assert latency["kind"] == "histogram"
    assert f"shares {EDGE}," in latency["note"]
    assert percent(latency["difference"]) > 10
    assert course.metrics["errors"]["rates"] == {"stable": "0.0000%", "candidate": "0.0000%"}
    assert course.messages["JudgedWorse"].startswith(f"Worse: latency {EDGE}")


@pytest.mark.parametrize("candidate", CANDIDATES, ids=lambda candidate: candidate.version)
def test_status_tells_what_the_verdict_rests_on(courses: dict[str, Future[Course]], candidate: Candidate) -> None:
    course = courses[candidate.version].result()
    assert "history says too little about" in course.final["analysis"]["calibration"]
    assert course.forecasts
    for name, metric in course.metrics.items():
        assert metric["kind"] == ("histogram" if name == "latency" else "ratio")
        assert metric["calibration"].startswith("design effect 2 assumed")
        low, high = map(percent, metric["interval"])
        assert low <= percent(metric["difference"]) <= high
        assert int(metric["requests"]["candidate"]) > 0
        assert any("forecast" in each for status in course.seen for each in status["analysis"]["metrics"])
