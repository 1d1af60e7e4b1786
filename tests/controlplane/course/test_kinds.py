"""Other metrics than ratios through the whole operator: a slower model goes back, wrong input gets its name."""

import json
from typing import Any

import pytest

from controller.cli.main import main
from tests.controlplane.course.counters import Model
from tests.controlplane.course.scene import Course, condition

pytestmark = pytest.mark.controlplane

Json = dict[str, Any]

STEPS = {"strategy": {"interval": "1s", "steps": [10, 50], "minWindows": 2}}
LATENCY: Json = {"histogram": {"buckets": "latency_seconds_bucket"}, "margin": {"absolute": "0.02"}}
PAIRS: Json = {"paired": {"counter": "mlr_pair_total"}, "margin": {"absolute": "0.01"}}
SLOWER = Model(requests=2000.0, latency=(0.4, 0.3, 0.2, 0.1))
STEADY = Model(requests=2000.0)
COMPARED = Model(
    requests=2000.0,
    further=tuple(
        ("mlr_pair_total", {"stable": stable, "candidate": candidate}, share)
        for stable, candidate, share in (
            ("correct", "correct", 0.9),
            ("correct", "incorrect", 0.06),
            ("incorrect", "correct", 0.02),
            ("incorrect", "incorrect", 0.02),
        )
    ),
)
"""What compares the answers is scraped along with stable here; its pairs are told by their namespace alone."""
OTHER_EDGES = Model(requests=2000.0, edges=("1", "2", "3", "+Inf"))


def judged_by(*metrics: Json) -> Json:
    """The changes to a rollout so that those metrics are what it is judged by."""
    return {**STEPS, "analysis": {"metrics": [{"name": f"asked-{n}", **each} for n, each in enumerate(metrics)]}}


@pytest.fixture(scope="module")
def stage(course: Course) -> Course:
    """All rollouts at once."""
    course.stage("same", good=STEADY, candidate=STEADY)
    course.stage("slower", good=STEADY, candidate=SLOWER)
    course.stage("edges", good=STEADY, candidate=OTHER_EDGES)
    course.stage("gauge", good=STEADY, candidate=STEADY)
    course.stage("mirrored", good=COMPARED, candidate=STEADY)
    course.stage("unpaired", good=STEADY, candidate=STEADY)
    course.operator.start()
    course.roll_out("same", judged_by(LATENCY))
    course.roll_out("slower", judged_by(LATENCY))
    course.roll_out("edges", judged_by(LATENCY))
    course.roll_out("mirrored", judged_by(PAIRS))
    course.roll_out("unpaired", judged_by({**PAIRS, "paired": {"counter": "requests_total"}}))
    waiting = {"rate": {"count": "requests_waiting", "exposure": "requests_total"}, "margin": {"relative": "0.5"}}
    course.roll_out("gauge", judged_by(waiting))
    return course


def test_a_candidate_of_the_same_latency_is_promoted(stage: Course) -> None:
    status = stage.until("same", lambda status: bool(status.get("history")))
    assert status["history"][0]["outcome"] == "Promoted"


def test_a_slower_candidate_goes_back_and_the_status_says_where_it_is_slower(stage: Course) -> None:
    status = stage.until_phase("slower", "RolledBack")
    assert "Worse: asked-0 above 0.1: " in status["message"]
    (metric,) = status["analysis"]["metrics"]
    assert (metric["kind"], metric["verdict"]) == ("histogram", "Worse")
    assert metric["note"].startswith("both rates are shares above 0.1")
    assert stage.weights("slower") == {"slower-v1": 100, "slower-v2": 0}


def test_the_record_holds_the_buckets_and_gives_the_same_verdict(
    stage: Course, capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    stage.until_phase("slower", "RolledBack")
    row = stage.windows("slower")[0]["rows"][0]
    assert row["edges"] == ["0.1", "0.25", "0.5", "+Inf"]
    assert sum(map(float, row["candidate"]["buckets"])) == pytest.approx(float(row["candidate"]["total"]))
    page = stage.kubectl("get", "rrec", "slower-1-0", "--output=json")
    file = tmp_path_factory.mktemp("record") / "slower.json"
    file.write_text(page)
    assert main(["judge", "-o", "json", str(file)]) == 2
    assert json.loads(capsys.readouterr().out)["verdict"] == "Worse"


def test_bounds_that_differ_are_named_and_the_weight_is_held(stage: Course) -> None:
    status = stage.until("edges", lambda status: condition(status, "DataAvailable").get("reason") == "EdgesDiffer")
    assert "stable has 0.1, 0.25, 0.5, +Inf, the candidate has 1, 2, 3, +Inf" in status["message"]
    assert status["analysis"]["metrics"][0]["state"] == "EdgesDiffer"
    assert stage.seen_weights("edges") == [0, 10]


def test_a_gauge_is_told_before_any_request_is_diverted(stage: Course) -> None:
    status = stage.until("gauge", lambda status: status.get("reason") == "NotACounter")
    assert "metric asked-0: requests_waiting fell" in status["message"]
    assert "its pods say that it is a gauge: name a counter" in status["message"]
    assert stage.seen_weights("gauge") == [0]


def test_pairs_in_which_the_candidate_alone_is_wrong_take_it_back(
    stage: Course, capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    status = stage.until_phase("mirrored", "RolledBack")
    assert "Worse: asked-0 8.0" in status["message"]
    assert "% wrong in " in status["message"]
    (metric,) = status["analysis"]["metrics"]
    assert metric["note"].startswith("only the candidate was wrong in ")
    row = stage.windows("mirrored")[0]["rows"][0]
    for arm, wrong, alone in (("stable", 0.04, 0.02), ("candidate", 0.08, 0.06)):
        counts = {key: float(value) for key, value in row[arm].items()}
        assert counts == {
            "total": pytest.approx(2000, rel=0.3),
            "bad": pytest.approx(wrong * counts["total"], abs=3),
            "alone": pytest.approx(alone * counts["total"], abs=3),
        }
    file = tmp_path_factory.mktemp("record") / "mirrored.json"
    file.write_text(stage.kubectl("get", "rrec", "mirrored-1-0", "--output=json"))
    assert main(["judge", "-o", "json", str(file)]) == 2
    assert json.loads(capsys.readouterr().out)["verdict"] == "Worse"


def test_a_counter_without_the_labels_of_a_pair_is_named_and_the_weight_is_held(stage: Course) -> None:
    status = stage.until("unpaired", lambda status: condition(status, "DataAvailable").get("reason") == "NoSeries")
    assert "requests_total has a series with no label stable and no label candidate" in status["message"]
    assert status["analysis"]["metrics"][0]["state"] == "NoSeries"
    assert stage.seen_weights("unpaired") == [0, 10]
