"""``plan-size``: the published table, a ModelRollout's own metrics, and options that do not fit."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.cli.main import main

ROLLOUT: dict[str, Any] = {
    "apiVersion": "modelrollout.dev/v1alpha1",
    "kind": "ModelRollout",
    "metadata": {"name": "fraud"},
    "spec": {
        "stable": {"deployment": "v1"},
        "candidate": {"deployment": "v2"},
        "traffic": {"gateway": {"httpRoute": "fraud"}},
        "strategy": {"steps": [10, 50], "interval": "1m", "deadline": "2h", "minRequests": 5000, "minWindows": 4},
        "analysis": {
            "alpha": "0.1",
            "metrics": [
                {"name": "errors", "preset": "mlserver/errors"},
                {
                    "name": "timeouts",
                    "rate": {"count": "a_total", "exposure": "b_total"},
                    "margin": {"relative": "0.5"},
                },
                {"name": "cost", "mean": {"sum": "c_sum", "count": "c_count"}, "margin": {"absolute": "0.2"}},
                {
                    "name": "score",
                    "mean": {"sum": "s_sum", "count": "s_count", "bounds": {"low": "0", "high": "10"}},
                    "margin": {"absolute": "0.4"},
                },
                {"name": "latency", "histogram": {"buckets": "l_bucket"}, "margin": {"absolute": "0.02"}},
                {"name": "drift", "distribution": {"buckets": "d_bucket"}, "margin": {"absolute": "0.05"}},
                {"name": "mirrored", "paired": {"counter": "mlr_pair_total"}, "margin": {"absolute": "0.01"}},
                {"name": "seen", "ratio": {"bad": "x", "total": "y"}, "margin": {"absolute": "0.1"}, "role": "Watch"},
            ],
        },
    },
}
LEVELS = ["--rate", "errors=0.004", "--rate", "timeouts=0.01", "--rate", "score=5", "--rate", "latency=0.5"]
STATED = [*LEVELS, "--rps", "50", "--rps", "cost=10", "--deviation", "3"]


@pytest.fixture
def rollout(tmp_path: Path) -> Path:
    path = tmp_path / "rollout.yaml"
    path.write_text(yaml.safe_dump(ROLLOUT))
    return path


def planned(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main(["plan-size", *words, "-o", "json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    report: dict[str, Any] = json.loads(out)
    return report


@pytest.mark.parametrize(
    ("rate", "margin", "published"),
    [(0.001, 0.0025, 3600), (0.005, 0.005, 3000), (0.02, 0.01, 2400), (0.08, 0.01, 7800), (0.08, 0.04, 560)],
)
def test_plain_options_give_the_published_table(
    rate: float, margin: float, published: int, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--rate", str(rate), "--margin", str(margin), "--rps", "10", "--weight", "10", "--interval", "1s"]
    report = planned(capsys, *options)
    (metric,) = report["metrics"]
    (step,) = metric["steps"]

    assert step["notWorse"]["requests"] == pytest.approx(published, rel=0.35)
    assert step["notWorse"]["seconds"] == pytest.approx(step["notWorse"]["requests"], abs=1)
    assert report["alpha"] == pytest.approx(0.05 * 6 / math.pi**2)


def test_every_step_and_what_makes_it_longer(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--rate", "0.08", "--margin", "0.01", "--rps", "20"]
    plain = planned(capsys, *options)["metrics"][0]["steps"]
    deflated = planned(capsys, *options, "--design-effect", "3")["metrics"][0]["steps"]
    again = planned(capsys, *options, "--attempt", "4")["metrics"][0]["steps"]

    assert [step["weight"] for step in plain] == [5, 10, 25, 50]
    assert plain[0]["notWorse"]["seconds"] > 4 * plain[3]["notWorse"]["seconds"]
    assert plain[0]["smallestMargin"] > plain[3]["smallestMargin"]
    for less, three, more in zip(plain, deflated, again, strict=True):
        assert three["notWorse"]["requests"] == pytest.approx(3 * less["notWorse"]["requests"], rel=0.05)
        assert more["notWorse"]["requests"] > 1.3 * less["notWorse"]["requests"]
        assert three["smallestMargin"] > 1.5 * less["smallestMargin"]


def test_the_smallest_margin_is_resolved_just_in_time(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--rate", "0.02", "--rps", "5", "--weight", "10", "--deadline", "3h"]
    margin = planned(capsys, *options, "--margin", "0.005")["metrics"][0]["steps"][0]["smallestMargin"]
    step = planned(capsys, *options, "--margin", f"{1.001 * margin:.9f}")["metrics"][0]["steps"][0]
    smaller = planned(capsys, *options, "--margin", f"{0.95 * margin:.9f}")["metrics"][0]["steps"][0]

    assert 0.95 * 3 * 3600 <= step["notWorse"]["seconds"] <= 3 * 3600
    assert (step["beforeDeadline"], smaller["beforeDeadline"]) == (True, False)


def test_a_file_says_everything_but_the_traffic(rollout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = planned(capsys, str(rollout), *STATED)
    metrics = {each["name"]: each for each in report["metrics"]}

    assert list(metrics) == ["errors", "timeouts", "cost", "score", "latency", "drift", "mirrored"]
    assert report["alpha"] == pytest.approx(0.1 * 6 / math.pi**2)
    assert metrics["errors"]["margin"] == pytest.approx(0.0025)
    assert metrics["timeouts"]["margin"] == 0.5
    assert metrics["score"]["margin"] == pytest.approx(0.04)
    assert "a change of a distribution" in metrics["drift"]["forecast"]
    assert "in how many pairs one answer alone is wrong" in metrics["mirrored"]["forecast"]
    for name in ("errors", "timeouts", "cost", "score", "latency"):
        steps = metrics[name]["steps"]
        assert all(step["worse"] for step in steps), metrics[name]
        assert [step["weight"] for step in steps] == [10, 50]
        assert steps[0]["worse"]["windows"] > steps[1]["worse"]["windows"] >= 1
        # minWindows, and minRequests in both arms
        assert steps[1]["notWorse"]["windows"] >= 4
        assert steps[0]["notWorse"]["requests"] >= 5000


def test_other_metrics_make_worse_take_longer_and_not_worse_not(
    rollout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = tmp_path / "alone.yaml"
    analysis = {"alpha": "0.1", "metrics": ROLLOUT["spec"]["analysis"]["metrics"][:1]}
    alone.write_text(yaml.safe_dump({**ROLLOUT, "spec": {**ROLLOUT["spec"], "analysis": analysis}}))
    among_others = planned(capsys, str(rollout), *STATED)["metrics"][0]["steps"][0]
    by_itself = planned(capsys, str(alone), "--rate", "0.004", "--rps", "50")["metrics"][0]["steps"][0]

    assert among_others["worse"]["windows"] > 1.2 * by_itself["worse"]["windows"]
    assert among_others["notWorse"] == by_itself["notWorse"]


def test_the_table_warns_when_the_deadline_is_too_short(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan-size", "--rate", "0.005", "--margin", "0.0025", "--rps", "0.5"]) == 0
    out = capsys.readouterr().out

    assert "cannot be resolved within the deadline of 6h, not even at 50 %" in out
    assert "stable 0.5 %, margin 0.25 points" in out
    assert main(["plan-size", "--rate", "0.005", "--margin", "0.0025", "--rps", "50"]) == 0
    assert "cannot be resolved" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rate", "0.1", "--rps", "1"], "--margin: expected how much worse than stable is tolerated"),
        (["--margin", "0.1", "--rps", "1"], "--rate: expected the share of bad requests, at least 0 and below 1"),
        (["--margin", "0.1", "--rps", "1", "--rate", "1.5"], "for metric; found 1.5"),
        (["--margin", "0.1", "--rate", "0.1"], "--rps: expected the requests per second for metric, found none"),
        (["--margin", "2", "--rate", "0.1", "--rps", "1"], "expected an effective margin of at least 0 and below 1"),
        (["--margin", "1", "--rps", "1", "--kind", "mean"], "--deviation: expected the standard deviation"),
        (["--margin", "0.1", "--rps", "1", "--rate", "x=0.1"], "--rate: expected one of no name: there is no file"),
        (["--margin", "0.1", "--rate", "0.1", "--rps", "1", "--deadline", "10s"], "--deadline: expected more than one"),
    ],
)
def test_options_that_do_not_fit(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan-size", *words]) == 1
    out, err = capsys.readouterr()

    assert out == ""
    assert err.startswith("error: ")
    assert message in err


def test_beside_a_file_its_own_margin_counts(rollout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan-size", str(rollout), *STATED, "--margin", "0.1"]) == 1
    assert "--margin: expected no such option beside a file" in capsys.readouterr().err
    assert main(["plan-size", str(rollout), *STATED, "--rate", "seen=0.1"]) == 1
    assert (
        "--rate: expected one of errors, timeouts, cost, score, latency, drift, mirrored; found seen"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("steps", ["0", "100", "ten", "5,,10", "2.5"])
def test_steps_are_percents(steps: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["plan-size", "--rate", "0.1", "--margin", "0.1", "--rps", "1", "--steps", steps])

    assert ended.value.code == 1
    assert "expected whole percents above 0 and below 100 such as 5,10,25,50" in capsys.readouterr().err


def test_a_file_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan-size", str(tmp_path / "none.yaml"), "--rps", "1"]) == 1
    assert "expected a file that can be read, found: No such file" in capsys.readouterr().err


def test_fixed_looks_have_no_forecast(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    analysis = ROLLOUT["spec"]["analysis"] | {"groupSequential": {"maxRequests": 9000}}
    path = tmp_path / "rollout.yaml"
    path.write_text(yaml.safe_dump({**ROLLOUT, "spec": {**ROLLOUT["spec"], "analysis": analysis}}))

    assert main(["plan-size", str(path), *STATED]) == 0
    assert "decided after 9000 requests of the candidate at last" in capsys.readouterr().out
