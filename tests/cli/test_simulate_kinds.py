"""``simulate`` of distributions, pairs, queries and few looks: as the operator judges them, and to the right end."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from controller.api.analysis import Noise
from controller.api.verdicts import Advance, Kind, Role
from controller.cli.latency import EDGES
from controller.cli.main import main
from controller.cli.simulated_metric import PlannedMetric
from controller.cli.simulation import Ending, Plan, simulate
from controller.cli.traffic import Effect, Stream, TrafficModel
from controller.judge import (
    Arm,
    ArmLike,
    BucketArm,
    DistributionTest,
    GroupTest,
    History,
    MetricTest,
    PairArm,
    PairTest,
    QueryArm,
    QueryTest,
    Trial,
    Window,
)
from controller.judge.batch import PodCounts
from controller.judge.noise.calibration import (
    UNCALIBRATED,
    Calibration,
    Pods,
    calibrate_classes,
    calibrate_shares,
)

SCORES = {"name": "scores", "distribution": {"buckets": "score_bucket"}, "margin": {"absolute": "0.03"}}
CLASSES = {"name": "classes", "distribution": {"buckets": "c_total", "label": "class"}, "margin": {"absolute": "0.03"}}
PAIRS = {"name": "pairs", "paired": {"counter": "mlr_pair_total"}, "margin": {"absolute": "0.02"}}
ERRORS = {"name": "errors", "ratio": {"bad": "bad_total", "total": "all_total"}, "margin": {"absolute": "0.02"}}
MEMORY = {"name": "memory", "query": "max(x{{{selector}}})", "role": "RedFlag", "threshold": "8"}
LOOKS = {"groupSequential": {"maxRequests": 8000}}


def spec(*metrics: object, **analysis: object) -> dict[str, object]:
    return {
        "stable": {"deployment": "fraud-v1"},
        "candidate": {"deployment": "fraud-v2"},
        "traffic": {"gateway": {"httpRoute": "fraud"}},
        "strategy": {"deadline": "30m", "steps": [10, 50]},
        "analysis": {"metrics": list(metrics)} | analysis,
    }


def run(
    folder: Path, capsys: pytest.CaptureFixture[str], what: dict[str, object], *words: object
) -> tuple[int, str, str]:
    file = folder / "mro.yaml"
    file.write_text(yaml.safe_dump({"apiVersion": "modelrollout.dev/v1alpha1", "kind": "ModelRollout", "spec": what}))
    code = main(["simulate", str(file), "--jobs", "1", *map(str, words)])
    out, err = capsys.readouterr()
    return code, out, err


def shares(out: str) -> dict[str, tuple[float, float]]:
    found = json.loads(out)["scenarios"]
    return {each["name"]: (each["rolledBack"]["share"], each["promoted"]["share"]) for each in found}


@pytest.mark.parametrize(
    ("metric", "analysis", "clear"),
    [
        (SCORES, {}, "scores clearly changed"),
        (CLASSES, {}, "classes clearly changed"),
        (PAIRS, {}, "pairs 2 margins worse"),
        (ERRORS, LOOKS, "errors 2 margins worse"),
    ],
)
def test_an_unchanged_model_stays_and_a_clear_effect_is_found(metric, analysis, clear, tmp_path, capsys):
    what = spec(metric, **analysis)
    own = {"errors": ("--rate", "errors=0.05"), "classes": ("--shares", "classes=6,3,1")}.get(metric["name"], ())
    code, out, err = run(tmp_path, capsys, what, "--requests", 2000, "--runs", 60, "-o", "json", *own)

    assert (code, err) == (0, "")
    found, name = shares(out), metric["name"]
    assert found["equal"][0] <= 0.05
    assert found["equal"][1] > 0.9
    assert found[f"{name} on the margin"][0] <= 0.05
    assert found[f"{name} on the margin"][1] <= 0.1
    assert found[clear][0] > 0.9
    assert found[f"{name} catastrophic"] == (1, 0)
    assert found["better"][0] == 0


STEPS = (10, 50)
SHARES = (0.3, 0.4, 0.2, 0.1)
Arms = Callable[[Calibration, PodCounts], ArmLike]


def _buckets(edges: tuple[float, ...]) -> Arms:
    def arm(calibration: Calibration, counts: PodCounts) -> BucketArm:
        worth, _ = calibration.effective(_cells(counts))
        total = float(counts.total.sum())
        buckets = counts.buckets.sum(axis=(1, 2)) * (worth / total)
        return BucketArm(tuple(buckets.tolist()), edges, requests=total)

    return arm


def _ratio(calibration: Calibration, counts: PodCounts) -> Arm:
    total, bad = calibration.effective(_cells(counts))
    return Arm(total, bad, float(counts.total.sum()))


def _pair(_: Calibration, counts: PodCounts) -> PairArm:
    return PairArm(*(float(each.sum()) for each in (counts.total, counts.bad, counts.alone)))


def _value(_: Calibration, counts: PodCounts) -> QueryArm:
    return QueryArm(float(counts.bad.sum()))


def _cells(counts: PodCounts) -> list[tuple[float, float]]:
    return list(zip(counts.total[:, 0], counts.bad[:, 0], strict=True))


def _intervals(history: PodCounts) -> list[PodCounts]:
    return [
        PodCounts(
            history.total[number],
            history.bad[number],
            None if history.buckets is None else history.buckets[:, number],
        )
        for number in range(len(history.total))
    ]


def _resolved(planned: PlannedMetric, history: PodCounts, arm: Arms) -> tuple[MetricTest, Calibration]:
    """The test of a single run, as an epoch resolves it."""
    past = _intervals(history)
    if planned.traffic.kind is Kind.DISTRIBUTION:
        pods = [{str(pod): tuple(each.buckets[:, pod, 0]) for pod in range(3)} for each in past]
        found = calibrate_classes(pods, Pods(3, 1))
        arms = [arm(found, each) for each in past]
        known = BucketArm(tuple(np.sum([each.counts for each in arms], axis=0).tolist()), arms[0].edges)
        margin = max(planned.absolute, found.noise_floor)
        return replace(planned.test, margin=margin, history=known), found
    if planned.traffic.kind is Kind.RATIO:
        found = calibrate_shares(
            [{str(pod): cell for pod, cell in enumerate(_cells(each))} for each in past], Pods(3, 1)
        )
        sums = [found.effective(_cells(each)) for each in past]
        known = History(sum(total for total, _ in sums), sum(bad for _, bad in sums))
        return replace(planned.test, margin=max(planned.absolute, found.noise_floor), history=known), found
    return replace(planned.test, margin=planned.absolute or 0.0), UNCALIBRATED


def followed(one: Plan, seed: np.random.SeedSequence, arm: Arms) -> tuple[int, int, int]:
    """The same run by the judge of one rollout, and by the words of the design: ending, windows, step."""
    (planned,) = one.metrics
    stream = Stream.start(planned.traffic, runs=1, rng=np.random.default_rng(seed))
    counts = planned.traffic.kind not in (Kind.PAIRED, Kind.QUERY)
    test, calibration = _resolved(planned, stream.history(one.history if counts else 0), arm)
    trial = Trial.start([test], alpha=one.alpha, min_requests=one.min_requests)
    step = in_step = 0
    for number in range(one.windows):
        arms = stream.window(number, np.array([float(STEPS[step])]))
        trial = trial.update({test.name: Window(*(arm(calibration, each) for each in arms))})
        in_step += 1
        if trial.worse_at is not None:
            return Ending.ROLLED_BACK, number + 1, step + 1
        if in_step >= 3 and step == len(STEPS) - 1 and trial.not_worse_now:
            return Ending.PROMOTED, number + 1, step + 1
        if in_step >= 3 and step < len(STEPS) - 1 and trial.may_enter(STEPS[step + 1], advance=one.advance):
            step, in_step = step + 1, 0
    return Ending.UNDECIDED, one.windows, step + 1


def _distribution(edges: tuple[float, ...]) -> tuple[PlannedMetric, Arms]:
    test = DistributionTest("scores", Role.GUARDRAIL, horizon=40, floor=0.05)
    traffic = TrafficModel(
        SHARES[0], 1500.0, kind=Kind.DISTRIBUTION, cells=SHARES, stable_pods=3, intraclass=0.004, pod_deviation=0.05
    )
    planned = PlannedMetric(test, 0.04, None, Noise.WIDEN, traffic, ordered=bool(edges))
    return planned, _buckets(edges)


def _looks() -> tuple[PlannedMetric, Arms]:
    test = GroupTest("errors", Role.GUARDRAIL, horizon=40, steps=STEPS, max_requests=6000, looks=4)
    traffic = TrafficModel(0.08, 1500.0, stable_pods=3, intraclass=0.004, season=0.3)
    return PlannedMetric(test, 0.02, None, Noise.WIDEN, traffic), _ratio


def _pairs() -> tuple[PlannedMetric, Arms]:
    test = PairTest("pairs", Role.TARGET, horizon=40, must_be_better=True)
    traffic = TrafficModel(0.1, 400.0, kind=Kind.PAIRED, discordance=0.1, season=0.3)
    return PlannedMetric(test, 0.02, None, Noise.WIDEN, traffic), _pair


UNCHANGED, WORSE, MUCH, BETTER = (Effect(each) for each in (0.0, 0.02, 0.25, -0.04))


@pytest.mark.parametrize("advance", list(Advance))
@pytest.mark.parametrize(
    ("made", "endings"),
    [
        (_distribution(EDGES[:3] + EDGES[-1:]), {Ending.ROLLED_BACK, Ending.PROMOTED}),
        (_distribution(()), {Ending.ROLLED_BACK, Ending.PROMOTED}),
        (_looks(), {Ending.ROLLED_BACK, Ending.PROMOTED, Ending.UNDECIDED}),
        (_pairs(), {Ending.ROLLED_BACK, Ending.PROMOTED, Ending.UNDECIDED}),
    ],
    ids=["buckets", "classes", "looks", "pairs"],
)
def test_each_run_is_what_the_operator_would_have_done(made, endings, advance):
    found = set()
    planned, arm = made
    for number, effect in enumerate([UNCHANGED, WORSE, MUCH, BETTER] * 3):
        changed = replace(planned, traffic=replace(planned.traffic, effect=effect))
        one = Plan((changed,), 0.05, STEPS, advance, 3, 400, 40, 60)
        seed = np.random.SeedSequence(5, spawn_key=(number,))
        outcome = simulate(one, runs=1, seed=seed)
        ended = (int(outcome.endings[0]), int(outcome.windows[0]), int(outcome.steps[0]))
        assert ended == followed(one, seed, arm)
        found.add(ended[0])
    assert endings <= found


def test_a_query_flags_as_soon_as_a_value_is_above_its_threshold():
    traffic = TrafficModel(6.0, 1000.0, kind=Kind.QUERY, deviation=0.8)
    planned = PlannedMetric(QueryTest("memory", Role.RED_FLAG, threshold=8.0), None, None, Noise.WIDEN, traffic)
    found = set()
    for number in range(8):
        one, seed = Plan((planned,), 0.05, STEPS, Advance.FIXED, 3, 400, 60, 60), np.random.SeedSequence(number)
        outcome = simulate(one, runs=1, seed=seed)
        ended = (int(outcome.endings[0]), int(outcome.windows[0]), int(outcome.steps[0]))
        assert ended == followed(one, seed, _value)
        found.add(ended[0])
    assert found == {Ending.ROLLED_BACK, Ending.UNDECIDED}


def test_a_query_without_a_level_is_left_out_and_said_to_be(tmp_path, capsys):
    words = ("--runs", 20, "--effect", "errors=+0.0", "-o", "json")
    code, out, err = run(tmp_path, capsys, spec(ERRORS, MEMORY), *words)

    assert code == 0
    assert err.startswith("note: metric memory is not simulated (a query, of which no level is stated: --rate memory=")
    assert [each["name"] for each in json.loads(out)["scenarios"][0]["metrics"]] == ["errors"]
    code, out, err = run(tmp_path, capsys, spec(ERRORS, MEMORY), "--rate", "memory=9", *words)
    assert (code, err) == (0, "")
    assert shares(out)["as stated"] == (1, 0)


def test_what_was_stated_is_shown(tmp_path, capsys):
    words = ("--shares", "classes=6,3,1", "--rate", "memory=6", "--deviation", "memory=0.5", "--runs", 3)
    more = ("--rate", "pairs=0.2", "--discordance", "0.05", "--effect", "classes=+0.1", "--effect", "memory=x1.2")
    what = spec(SCORES, CLASSES, PAIRS, ERRORS, MEMORY, **LOOKS)
    _, out, _ = run(tmp_path, capsys, what, *words, *more)

    pairs = "  pairs: Guardrail, stable's share of wrong answers 0.2, margin 0.02, 1000 pairs per window, "
    pairs += "0.05 of them discordant"
    assert out.splitlines()[1:7] == [
        "  ratios at 5 looks, the last at 8000 requests of the candidate (OBrienFleming)",
        "  scores: Guardrail, stable's share of the first cell 0.1, margin 0.03, 1000 requests per window",
        "  classes: Guardrail, stable's share of the first cell 0.6, margin 0.03, 1000 requests per window",
        pairs,
        "  errors: Guardrail, stable's rate 0.01, margin 0.02, 1000 requests per window",
        "  memory: RedFlag, value 6, deviation 0.5, threshold 8",
    ]
    _, out, _ = run(tmp_path, capsys, what, *words, *more, "-o", "json")
    (scenario,) = json.loads(out)["scenarios"]
    assert [each["candidateRate"] for each in scenario["metrics"]] == pytest.approx([0.1, 0.7, 0.2, 0.01, 7.2])


@pytest.mark.parametrize(
    ("metric", "words", "message"),
    [
        (CLASSES, ("--shares", "classes=1"), "expected two to 100 numbers above 0 such as 0.7,0.2,0.1, found '1'"),
        (CLASSES, ("--shares", "1,0"), "expected two to 100 numbers above 0 such as 0.7,0.2,0.1, found '0'"),
        (CLASSES, ("--rate", "1.2"), "--rate: expected a level of classes above 0 and below 1, found 1.2"),
        (CLASSES, ("--shares", "x=1,2"), "--shares: expected one of the metrics classes, found x"),
        (PAIRS, ("--discordance", "0.3"), "--discordance: expected at most 0.2 of pairs"),
        (PAIRS, ("--discordance", "1"), "expected a share above 0 and below 1 such as 0.01, found '1'"),
    ],
)
def test_what_does_not_fit_is_said(metric, words, message, tmp_path, capsys):
    try:
        code, _, err = run(tmp_path, capsys, spec(metric), *words)
    except SystemExit as ended:
        code, err = ended.code, capsys.readouterr().err
    assert code == 1
    assert message in err
