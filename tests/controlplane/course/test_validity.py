"""Comparisons that may not be trusted, with a whole operator: the weight is held, and status says why in numbers."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from controller.observe.cluster import RECORDS
from tests.cluster.layout import SOURCE
from tests.controlplane.course.counters import RATIO, Model
from tests.controlplane.course.scene import QUICK, Course, condition, merged

pytestmark = pytest.mark.controlplane

Json = dict[str, Any]

ERRORS: Final = {"name": "errors", "ratio": RATIO, "margin": {"absolute": "0.02"}}
ACCURACY: Final = {
    "name": "accuracy",
    "ratio": {"bad": 'feedback_total{result="wrong"}', "total": "feedback_total"},
    "margin": {"absolute": "0.02"},
}


def feedback(coverage: float) -> tuple[tuple[str, Json, float], ...]:
    """Counters of labels for that share of the requests, one in ten of them wrong."""
    results = {"right": 0.9, "wrong": 0.1}
    return tuple(("feedback_total", {"result": result}, coverage * share) for result, share in results.items())


def countries(**bad: float) -> tuple[tuple[str, Json, float], ...]:
    """Counters of requests by country; nine of ten are from ``de``."""
    sizes = {"de": 0.9, "fr": 0.1}
    return tuple(
        ("by_country_total", {"country": country, "code": code}, sizes[country] * share)
        for country, rate in bad.items()
        for code, share in (("200", 1 - rate), ("500", rate))
    )


BY_COUNTRY: Final = {
    "name": "errors",
    "ratio": {"bad": 'by_country_total{code="500"}', "total": "by_country_total"},
    "margin": {"absolute": "0.02"},
    "slices": ["country"],
}

SCENES: Final[dict[str, tuple[Model, Model, list[Json]]]] = {
    "skewed": (Model(), Model(requests=150_000), [ERRORS]),
    "lost": (Model(further=feedback(0.5)), Model(), [ERRORS, ACCURACY]),
    "unlabelled": (Model(further=feedback(0.5)), Model(further=feedback(0.2)), [ERRORS, ACCURACY]),
    "sliced": (
        Model(further=countries(de=0.02, fr=0.02)),
        Model(further=countries(de=0.02, fr=0.12)),
        [BY_COUNTRY],
    ),
}
"""Stable, the candidate and the metrics; in none of them is the candidate worse over all requests."""

REASONS: Final = {
    "skewed": "SampleRatioMismatch",
    "lost": "MetricLost",
    "unlabelled": "LabelsDiffer",
    "sliced": "SliceWorse",
}


LATE: Final = Model(further=feedback(0.5), late=6.0)
"""Half of its requests get a label, six seconds later."""


@pytest.fixture(scope="module")
def held(course: Course) -> Course:
    """All scenes, each until its reason is told."""
    course.operator.start()
    for name, (stable, candidate, metrics) in SCENES.items():
        course.stage(name, good=stable, candidate=candidate)
        course.roll_out(name, merged(QUICK, {"analysis": {"metrics": metrics}}))
    course.stage("late", good=LATE, candidate=LATE)
    course.roll_out("late", merged(QUICK, {"analysis": {"metrics": [ERRORS, ACCURACY]}}))
    for name, reason in REASONS.items():
        course.until(name, has(reason))
        course.until_told(name, reason)
    return course


def has(reason: str) -> Callable[[Json], bool]:
    return lambda status: status.get("reason") == reason


@pytest.mark.parametrize("name", SCENES)
def test_weight_is_held_and_nothing_is_promoted(held: Course, name: str) -> None:
    before = held.status(name)["window"]["number"]
    status = held.until(name, lambda status: status["window"]["number"] >= before + 3)
    assert (status["phase"], status["reason"]) == ("Progressing", REASONS[name])
    assert held.seen_weights(name) == [0, 25]
    assert [each["reason"] for each in held.events(name)].count(REASONS[name]) == 1


def test_wrong_share_is_told_in_numbers(held: Course) -> None:
    status = held.status("skewed")
    assert "the candidate got 33.3% of " in status["message"]
    assert "instead of 25.0%" in status["message"]
    assert status["analysis"]["verdict"] == "Invalid"
    assert status["analysis"]["validity"].startswith("Invalid: the candidate got 33.3%")
    assert condition(status, "DataAvailable")["reason"] == "SampleRatioMismatch"


def test_lost_metric_is_told_with_what_to_look_at(held: Course) -> None:
    status = held.status("lost")
    assert "accuracy: stable exports it, the candidate, which serves requests, has not for " in status["message"]
    verdicts = {each["name"]: each["verdict"] for each in status["analysis"]["metrics"]}
    assert verdicts == {"errors": "NotWorse", "accuracy": "Invalid"}
    rows = [row for window in held.windows("lost") for row in window["rows"] if row["metric"] == "accuracy"]
    assert {row["skipped"] for row in rows} == {"MetricLost"}


def test_different_labels_are_told_with_both_coverages(held: Course) -> None:
    status = held.status("unlabelled")
    assert "labels for 20.0% of the candidate's" in status["message"]
    assert "and 50.0% of stable's" in status["message"]


def test_late_labels_are_waited_for(held: Course) -> None:
    """Stable's first seconds told how late they come: requests that had no label yet."""
    held.until("late", lambda status: bool(status.get("history")))
    pages = (each["spec"] for each in held.cluster.list(RECORDS, held.namespace))
    (page,) = (page for page in pages if page["rollout"] == "late")
    _, accuracy = page["frozen"]["metrics"]
    assert accuracy["calibration"]["labels"]["half"] == "6s"
    assert "labels for 50% of the requests, half of them come within 6s" in accuracy["calibration"]["message"]
    assert "set labelDelay: 10s, and cohort" in accuracy["calibration"]["message"]
    rows = [row for window in page["windows"] for row in window["rows"] if row["metric"] == "accuracy"]
    young = [row.get("skipped") == "LabelsImmature" or "labelsMature" in row for row in rows]
    assert sum(young) >= 5
    assert young == sorted(young, reverse=True)
    assert float(rows[-1]["candidate"]["requests"]) > 0.0
    assert held.seen_weights("late") == [0, 25, 100]


def test_worse_slice_is_named(held: Course) -> None:
    status = held.status("sliced")
    assert "errors is worse where country is 'fr': 12.0" in status["message"]
    (metric,) = status["analysis"]["metrics"]
    assert [(each["label"], each["value"]) for each in metric["slices"]] == [("country", "fr")]
    assert metric["state"] == "SliceWorse"
    assert status["analysis"]["verdict"] == "Undecided"


@pytest.mark.parametrize("name", SCENES)
def test_record_gives_the_same_verdict_offline(held: Course, name: str, tmp_path: Path) -> None:
    pages = held.kubectl("get", "rrec", "--selector", f"modelrollout.dev/rollout={name}", "--output", "yaml")
    record = tmp_path / "record.yaml"
    record.write_text(pages)
    command = [sys.executable, "-m", "controller", "judge", str(record), "-o", "json"]
    judged = subprocess.run(command, cwd=SOURCE.parent.parent, capture_output=True, text=True, check=False)
    assert judged.returncode == 3, judged.stderr
    assert json.loads(judged.stdout)["verdict"] == held.status(name)["analysis"]["verdict"]
