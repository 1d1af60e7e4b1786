"""``simulate``: its rules are the operator's, its figures do not depend on the machine, its errors say what to do."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from controller.api.analysis import Noise
from controller.api.verdicts import Advance, Role
from controller.cli import simulate as command
from controller.cli.main import main
from controller.cli.simulated_metric import PlannedMetric
from controller.cli.simulation import Ending, Plan, simulate
from controller.cli.simulation_report import share_bounds
from controller.cli.traffic import Effect, Stream, TrafficModel
from controller.judge import Arm, History, RatioTest, Trial, Window
from controller.judge.batch import PodCounts
from controller.judge.noise.calibration import Calibration, Pods, calibrate_shares

ROOT = Path(__file__).resolve().parents[2]
SPEC = {
    "stable": {"deployment": "fraud-v1"},
    "candidate": {"deployment": "fraud-v2"},
    "traffic": {"gateway": {"httpRoute": "fraud"}},
    "strategy": {"deadline": "30m", "steps": [10, 50]},
    "analysis": {
        "metrics": [
            {"name": "errors", "preset": "mlserver/errors"},
            {"name": "accuracy", "ratio": {"bad": "wrong_total", "total": "all_total"}, "margin": {"absolute": "0.02"}},
        ]
    },
}


def written(folder: Path, spec: object = SPEC, kind: str = "ModelRollout") -> Path:
    file = folder / "mro.yaml"
    file.write_text(yaml.safe_dump({"apiVersion": "modelrollout.dev/v1alpha1", "kind": kind, "spec": spec}))
    return file


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main(["simulate", *map(str, words)])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_line_per_scenario_and_nothing_else_without_a_terminal(tmp_path, capsys):
    options = ("--rate", "errors=0.005", "--rate", "0.08", "--requests", "2000", "--runs", "40", "--jobs", "1")
    code, out, err = run(capsys, written(tmp_path), *options)

    assert (code, err) == (0, "")
    assert out.startswith("40 runs of at most 60 windows, seed 1; steps 10, 50 % (Budgeted); alpha 0.0304 per side\n")
    assert "errors: Guardrail, stable's rate 0.005, margin 0.0025" in out
    assert "accuracy: Guardrail, stable's rate 0.08, margin 0.02, 2000 requests per window" in out
    names = [line.partition("  ")[0] for line in out.splitlines()]
    assert {"equal", "better", "errors on the margin", "accuracy 2 margins worse", "accuracy catastrophic"} <= set(
        names
    )


def test_the_example_on_the_page_is_what_it_prints(monkeypatch, capsys):
    page = (ROOT / "docs/simulation.md").read_text(encoding="utf-8")
    (printed,) = re.findall(r"^\$ python -m controller (simulate .*?)```", page, re.M | re.S)
    command, *lines = printed.splitlines()
    monkeypatch.chdir(ROOT)

    code = main([*command.split(), "--runs", "20", "--jobs", "1"])

    out = capsys.readouterr().out.splitlines()
    assert code == 0
    assert [out[0].partition(" ")[2], *out[1:5]] == [lines[0].partition(" ")[2], *lines[1:5]]
    assert [line.partition("  ")[0] for line in out] == [line.partition("  ")[0] for line in [out[0], *lines[1:]]]


def test_good_models_are_promoted_and_bad_ones_taken_back(tmp_path, capsys):
    options = ("--rate", "errors=0.005", "--rate", "0.08", "--requests", "2000", "--runs", "60", "--jobs", "1")
    _, out, _ = run(capsys, written(tmp_path), *options, "-o", "json")
    report = json.loads(out)

    shares = {each["name"]: (each["rolledBack"]["share"], each["promoted"]["share"]) for each in report["scenarios"]}
    assert shares["better"] == (0, 1)
    assert shares["errors catastrophic"] == shares["accuracy catastrophic"] == (1, 0)
    assert shares["accuracy 2 margins worse"][0] > 0.9
    assert shares["equal"][1] > 0.9
    catastrophe = next(each for each in report["scenarios"] if each["name"] == "accuracy catastrophic")
    assert catastrophe["rolledBack"]["windows"]["mean"] < 2
    assert catastrophe["rolledBack"]["candidateRequests"]["mean"] < 600
    assert catastrophe["promoted"]["windows"] is None
    assert catastrophe["metrics"][1]["candidateRate"] == pytest.approx(0.48)


def test_the_number_of_processes_changes_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "_RUNS_PER_PART", 10)
    options = (written(tmp_path), "--effect", "accuracy=+0.1", "--effect", "errors=x2", "--runs", "25", "-o", "json")

    one, two = (run(capsys, *options, "--jobs", jobs) for jobs in (1, 2))

    assert one == two
    (scenario,) = json.loads(one[1])["scenarios"]
    assert [each["candidateRate"] for each in scenario["metrics"]] == pytest.approx([0.02, 0.11])
    assert run(capsys, *options, "--jobs", 1, "--seed", 2)[1] != one[1]


def test_progress_is_shown_on_a_terminal(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)

    _, _, err = run(capsys, written(tmp_path), "--effect", "+0.3", "--runs", "3", "--jobs", "1")

    assert err == "\rsimulated 3 of 3 runs\n"


@pytest.mark.parametrize(
    ("content", "words", "message"),
    [
        ((SPEC, "Deployment"), (), "expected one object of kind ModelRollout, found 0 among: Deployment"),
        ((None, "ModelRollout"), (), "spec: "),
        ((SPEC | {"analysis": {}}, "ModelRollout"), (), "spec.analysis.metrics: expected this key, found none"),
        ((SPEC | {"analysis": 3}, "ModelRollout"), (), "spec.analysis: expected an object, found 3"),
        ((SPEC | {"analysis": {"metrics": []}}, "ModelRollout"), (), "metrics: expected at least 1 entry, found 0"),
        ((SPEC,), ("--rate", "acuracy=0.1"), "--rate: expected one of the metrics accuracy, errors, found acuracy"),
        ((SPEC,), ("--rate", "1.5"), "--rate: expected a level of errors above 0 and below 1, found 1.5"),
        ((SPEC,), ("--effect", "x=x2"), "--effect: expected one of the metrics accuracy, errors, found x"),
    ],
)
def test_what_cannot_be_simulated_is_said(tmp_path, capsys, content, words, message):
    file = written(tmp_path, *content)
    code, out, err = run(capsys, file, *words)

    assert (code, out) == (1, "")
    assert err.startswith(f"error: {file}: ")
    assert message in err


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "expected a file that can be read, found: No such file"), (b"a: [", "expected YAML"), (b"\xff", "UTF-8")],
)
def test_what_cannot_be_read_is_said(tmp_path, capsys, content, message):
    file = tmp_path / "mro.yaml"
    if content is not None:
        file.write_bytes(content)

    code, out, err = run(capsys, file)

    assert (code, out) == (1, "")
    assert message in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--rate", "errors=0"), "expected a number above 0 and at most 1e9, found '0'"),
        (("--effect", "errors=0.1"), "expected a change such as +0.02, -0.01 or x3, found '0.1'"),
        (("--effect", "errors=xx"), "expected a change such as +0.02, -0.01 or x3, found 'x'"),
        (("--runs", "0"), "expected a whole number above 0, found '0'"),
        (("--stable-pods", "1001"), "expected a whole number from 1 to 1000, found '1001'"),
        (("--season", "1"), "expected a number of at least 0 and below 1, found '1'"),
        (("--requests", "errors=nan"), "expected a number above 0 and at most 1e9, found 'nan'"),
    ],
)
def test_options_say_what_they_expect(tmp_path, capsys, words, message):
    with pytest.raises(SystemExit) as ended:
        main(["simulate", str(written(tmp_path)), *words])

    assert ended.value.code == 1
    assert message in capsys.readouterr().err


STEPS = (10, 25, 50)


def plan(effect: Effect, advance: Advance) -> Plan:
    test = RatioTest("accuracy", Role.GUARDRAIL, horizon=60, steps=STEPS)
    traffic = TrafficModel(0.08, 1500.0, effect, stable_pods=3, intraclass=0.004, pod_deviation=0.1, season=0.3)
    return Plan((PlannedMetric(test, 0.02, 0.3, Noise.WIDEN, traffic),), 0.05, STEPS, advance, 3, 400, 60, 60)


def followed(one: Plan, seed: np.random.SeedSequence) -> tuple[int, int, int]:
    """The same run by the judge of one rollout, and by the words of the design: ending, windows, step."""
    (metric,) = one.metrics
    stream = Stream.start(metric.traffic, runs=1, rng=np.random.default_rng(seed))
    before = stream.history(one.history)
    cells = [_cells(PodCounts(*each)) for each in zip(before.total, before.bad, strict=True)]
    calibration = calibrate_shares([{str(pod): cell for pod, cell in enumerate(each)} for each in cells], Pods(3, 1))
    effective = [calibration.effective(each) for each in cells]
    known = History(sum(total for total, _ in effective), sum(bad for _, bad in effective))
    margin = max(0.02, 0.3 * before.bad.sum() / before.total.sum(), calibration.noise_floor)
    test = RatioTest("accuracy", Role.GUARDRAIL, margin, 60, steps=STEPS, history=known)
    trial = Trial.start([test], alpha=0.05, min_requests=400)
    step = in_step = 0
    for number in range(one.windows):
        stable, candidate = stream.window(number, np.array([float(STEPS[step])]))
        trial = trial.update({"accuracy": Window(_arm(calibration, stable), _arm(calibration, candidate))})
        in_step += 1
        if trial.worse_at is not None:
            return Ending.ROLLED_BACK, number + 1, step + 1
        if in_step >= 3 and step == len(STEPS) - 1 and trial.not_worse_now:
            return Ending.PROMOTED, number + 1, step + 1
        if in_step >= 3 and step < len(STEPS) - 1 and trial.may_enter(STEPS[step + 1], advance=one.advance):
            step, in_step = step + 1, 0
    return Ending.UNDECIDED, one.windows, step + 1


def _cells(counts: PodCounts) -> list[tuple[float, float]]:
    return list(zip(counts.total[:, 0], counts.bad[:, 0], strict=True))


def _arm(calibration: Calibration, counts: PodCounts) -> Arm:
    total, bad = calibration.effective(_cells(counts))
    return Arm(total, bad, float(counts.total.sum()))


@pytest.mark.parametrize("advance", list(Advance))
def test_each_run_is_what_the_operator_would_have_done(advance):
    found = set()
    for number, effect in enumerate([Effect(), Effect(0.02), Effect(0.1), Effect(-0.03), Effect(0.05)] * 4):
        seed, one = np.random.SeedSequence(3, spawn_key=(number,)), plan(effect, advance)
        outcome = simulate(one, runs=1, seed=seed)
        ended = (int(outcome.endings[0]), int(outcome.windows[0]), int(outcome.steps[0]))
        assert ended == followed(one, seed)
        found.add(ended[0])
    assert found == {Ending.ROLLED_BACK, Ending.PROMOTED, Ending.UNDECIDED}


@pytest.mark.parametrize(("count", "low", "high"), [(0, 0.0, 0.0362), (5, 0.0164, 0.1128), (100, 0.9638, 1.0)])
def test_bounds_of_a_share_are_those_of_clopper_and_pearson(count, low, high):
    assert share_bounds(count, 100) == pytest.approx((low, high), abs=1e-4)


KINDS = {
    "events": {"rate": {"count": "exceptions_total", "exposure": "requests_total"}, "margin": {"relative": "0.5"}},
    "cost": {"mean": {"sum": "cost_sum", "count": "cost_count"}, "margin": {"relative": "0.1"}},
    "gain": {"mean": {"sum": "g_sum", "count": "g_count", "better": "Higher"}, "margin": {"absolute": "0.1"}},
    "latency": {"histogram": {"buckets": "latency_bucket"}, "margin": {"absolute": "0.03"}},
    "score": {
        "mean": {"sum": "s_sum", "count": "s_count", "better": "Higher", "bounds": {"low": "1", "high": "5"}},
        "margin": {"absolute": "0.4"},
    },
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_that_can_be_simulated(name, tmp_path, capsys):
    spec = SPEC | {"analysis": {"metrics": [{"name": name} | KINDS[name]]}}
    more = {"gain": ("--deviation", "gain=0.5"), "score": ("--rate", "score=4.2")}.get(name, ())
    options = ("--requests", "2000", "--runs", "30", "--jobs", "1", "-o", "json", *more)
    code, out, err = run(capsys, written(tmp_path, spec), *options)

    assert (code, err) == (0, "")
    scenarios = {each["name"]: each for each in json.loads(out)["scenarios"]}
    shares = {key: (each["rolledBack"]["share"], each["promoted"]["share"]) for key, each in scenarios.items()}
    assert shares[f"{name} catastrophic"] == (1, 0)
    assert shares["better"] == (0, 1)
    assert shares[f"{name} 2 margins worse"][0] > 0.9
    assert shares[f"{name} on the margin"][0] < 0.2
    (metric,) = scenarios[f"{name} 2 margins worse"]["metrics"]
    expected = {
        "events": (0.01, 0.02, 0.5),
        "cost": (1, 1.2, 0.1),
        "gain": (1, 0.8, 0.1),
        "latency": (0.12, 0.132, 0.03),
        "score": (4.2, 3.4, 0.4),
    }
    assert (metric["rate"], metric["candidateRate"], metric["margin"]) == pytest.approx(expected[name], rel=0.05)


def test_an_effect_is_in_the_unit_of_the_metric(tmp_path, capsys):
    spec = SPEC | {"analysis": {"metrics": [{"name": "score"} | KINDS["score"]]}}
    for effect, expected in (("-1.2", 3.0), ("x0.5", 2.1), ("+0.3", 4.5)):
        options = ("--rate", "4.2", "--effect", effect, "--runs", "5", "--jobs", "1", "-o", "json")
        _, out, _ = run(capsys, written(tmp_path, spec), *options)
        (scenario,) = json.loads(out)["scenarios"]
        assert scenario["metrics"][0]["candidateRate"] == pytest.approx(expected)


@pytest.mark.parametrize(("noise", "promoted"), [("Widen", True), ("Strict", False)])
def test_pods_that_differ_widen_the_margin_or_stop_the_promotion(noise, promoted, tmp_path, capsys):
    spec = SPEC | {"analysis": {"noise": noise, "metrics": [SPEC["analysis"]["metrics"][1]]}}
    options = ("--rate", "0.1", "--requests", "5000", "--pod-deviation", "0.5", "--stable-pods", "3")
    _, out, _ = run(capsys, written(tmp_path, spec), *options, "--runs", "30", "--effect", "x0.5", "-o", "json")

    (scenario,) = json.loads(out)["scenarios"]
    assert scenario["metrics"][0]["margin"] > 0.03
    assert (scenario["promoted"]["share"] > 0.5) is promoted


def test_without_history_the_windows_must_agree_with_the_counts(tmp_path, capsys):
    strategy = SPEC["strategy"] | {"advance": "Fixed", "steps": [10]}
    spec = SPEC | {"strategy": strategy, "analysis": {"metrics": [SPEC["analysis"]["metrics"][1]]}}
    traffic = ("--rate", "0.08", "--requests", "2000", "--intraclass", "0.05", "--history", "0")
    shares = {}
    for effect in ("+0.02", "+0.2"):
        options = (*traffic, "--effect", effect, "--runs", "150", "--jobs", "1", "-o", "json")
        _, out, _ = run(capsys, written(tmp_path, spec), *options)
        shares[effect] = json.loads(out)["scenarios"][0]["rolledBack"]["share"]

    # On the margin, with a design effect of 11 where 2 is assumed: by the counts alone it would be every second.
    assert shares["+0.02"] <= 0.05
    assert shares["+0.2"] == 1
