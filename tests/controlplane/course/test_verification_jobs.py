"""Jobs of a verification run once: two operators work at the same time, one is killed and started again all along."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.layout import Layout
from tests.controlplane.course.laid_out import finish, jobs_of, lay_out, open_job
from tests.controlplane.course.models import Models, double, rows
from tests.controlplane.course.scene import Course, Operator, condition, settings_for

pytestmark = pytest.mark.controlplane

Json = dict[str, Any]

VERIFY = {
    "reproduction": {"jobFrom": "train", "recorded": [{"name": "accuracy", "value": "0.9"}]},
    "pipeline": [
        {"name": "ingest", "jobFrom": "ingest", "exit": ["rows >= 1000"]},
        {"name": "evaluate", "jobFrom": "evaluate", "entry": ["ingest.rows < 5000"]},
    ],
}
REPORTS = {
    "reproduction": {"accuracy": 0.9},
    "pipeline/ingest": {"rows": 1200},
    "pipeline/evaluate": {"accuracy": 0.9},
}
NAMES = ("one", "two", "three")


@pytest.fixture(scope="module")
def second(control_plane: Layout, course: Course, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """Another operator, which works all the time: none of the two knows of the other."""
    settings = settings_for(course.namespace, {name: each.url for name, each in course.counters.items()})
    second = Operator(tmp_path_factory.mktemp("second"), control_plane.kubeconfig, settings)
    second.start()
    yield second
    second.stop()
    assert "The turn failed" not in second.log.read_text(), second.log.read_text()


@pytest.fixture(scope="module")
def models(course: Course, second: Operator) -> Iterator[Models]:
    """All rollouts at once, each Job ended while the first operator is dead."""
    del second
    models = Models(course)
    for job in ("train", "ingest", "evaluate"):
        lay_out(course, job)
    course.operator.start()
    for name in (*NAMES, "again"):
        models.stage(name, candidate=(double,))
        course.roll_out(name, models.spec(verify=VERIFY))
    for task, summary in REPORTS.items():
        for name in NAMES:
            open_job(course, name, task)
        course.operator.kill()
        for name in NAMES:
            finish(course, name, task, json.dumps(summary))
        course.operator.start()
    yield models
    models.rack.end()


def made(course: Course, rollout: str) -> dict[str, int]:
    """Return how many Jobs were made for each task; nobody deletes any."""
    return {task: len(jobs_of(course, rollout, task)) for task in REPORTS}


@pytest.mark.parametrize("name", NAMES)
def test_each_job_is_made_exactly_once(course: Course, models: Models, name: str) -> None:
    del models
    status = course.until_serving(name)
    assert condition(status, "Verified")["status"] == "True"
    assert {row["state"] for row in rows(status).values()} == {"Passed"}
    assert made(course, name) == dict.fromkeys(REPORTS, 1)
    assert status["epoch"] == 1
    assert course.seen_weights(name) == [0, 25]


def test_a_retry_runs_what_failed_in_a_new_job_and_nothing_else(course: Course, models: Models) -> None:
    del models
    for task in ("pipeline/ingest", "pipeline/evaluate"):
        finish(course, "again", task, json.dumps(REPORTS[task]))
    course.until("again", lambda status: rows(status).get("pipeline/evaluate/job", {}).get("state") == "Passed")
    first = finish(course, "again", "reproduction", json.dumps({"accuracy": 0.5}))
    status = course.until_phase("again", "RolledBack")
    assert condition(status, "Verified")["reason"] == "ReproductionFailed"
    assert made(course, "again") == dict.fromkeys(REPORTS, 1)

    course.ask("again", "retry")
    second = finish(course, "again", "reproduction", json.dumps({"accuracy": 0.9}))
    status = course.until_serving("again")
    assert (first != second, status["epoch"]) == (True, 2)
    assert made(course, "again") == {"reproduction": 2, "pipeline/ingest": 1, "pipeline/evaluate": 1}
    assert course.seen_weights("again") == [0, 25]
