"""Whole rollouts on pairs of answers, through the real planner, judge and record."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from controller.api.reasons import ConditionType, Phase, Reason
from controller.api.record import ArmCounts, Row
from controller.api.status import MetricStatus
from controller.cli.main import main
from controller.plan.windows import Window
from tests.plan.stage import Stage, Traffic, spec_with

PAIRED = {"name": "mirrored", "paired": {"counter": "mlr_pair_total"}, "margin": {"absolute": "0.02"}}
PAIRS = 400
"""Per window, whatever the weight: mirrored requests are no share of the others."""


def mirrored(*, candidate: float, stable: float, both: float = 0.03) -> Traffic:
    """Pairs in which only the candidate, only stable and both are wrong with these probabilities."""

    def rows(window: Window, _: int) -> tuple[Row, ...]:
        random = np.random.default_rng(int(window.start.timestamp()))
        shares = (candidate, stable, both, 1 - candidate - stable - both)
        up, down, twice, _right = (int(each) for each in random.multinomial(PAIRS, shares))
        counts = {
            arm: ArmCounts(total=str(PAIRS), bad=str(alone + twice), alone=str(alone))
            for arm, alone in (("stable", down), ("candidate", up))
        }
        return (Row(metric="mirrored", **counts),)

    return rows


def staged(traffic: Traffic, **metric: str) -> Stage:
    """A rollout of pairs alone, without any history."""
    return Stage(spec=spec_with(analysis={"metrics": [PAIRED | metric]}), traffic=traffic, history={})


def shown(stage: Stage) -> MetricStatus:
    assert stage.status.analysis is not None
    (metric,) = stage.status.analysis.metrics
    return metric


def test_a_candidate_that_is_alike_is_promoted_without_history() -> None:
    stage = staged(mirrored(candidate=0.02, stable=0.02)).run(600)
    assert (stage.status.phase, stage.weights[-1]) == (Phase.IDLE, 100), stage.status.message
    assert stage.status.history[0].outcome == "Promoted"


def test_a_worse_candidate_is_returned_and_the_sentence_counts_pairs() -> None:
    stage = staged(mirrored(candidate=0.08, stable=0.02)).run(600)
    assert stage.status.rejected[0].reason is Reason.JUDGED_WORSE
    windows = len(stage.records[1].windows)
    assert f"% wrong in {PAIRS * windows} pairs against " in stage.status.message
    assert "margin 2.00%" in stage.status.message


def test_status_says_which_pairs_decide_and_that_nothing_is_calibrated() -> None:
    stage = staged(mirrored(candidate=0.08, stable=0.02)).run(600)
    metric, rows = shown(stage), [window.rows[0] for window in stage.records[1].windows]
    up, down = (sum(int(getattr(row, arm).alone) for row in rows) for arm in ("candidate", "stable"))
    assert metric.note is not None
    assert metric.note.startswith(f"only the candidate was wrong in {up} pairs, only stable in {down}; nothing is cali")
    assert (metric.kind, metric.calibration, metric.margin) == ("paired", None, "0.02")
    assert metric.requests.stable == metric.requests.candidate == str(PAIRS * len(rows))
    assert metric.interval is not None
    assert metric.interval[0].startswith("+")


def test_a_target_may_have_to_be_better() -> None:
    asked = {"role": "Target", "superiority": "Required"}
    alike = staged(mirrored(candidate=0.02, stable=0.02), **asked).run(100)
    assert alike.status.phase is Phase.PROGRESSING
    better = staged(mirrored(candidate=0.01, stable=0.05), **asked).run(600)
    assert better.weights[-1] == 100


def test_the_record_has_all_that_the_verdict_rests_on(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    stage = staged(mirrored(candidate=0.08, stable=0.02)).run(600)
    record = stage.records[1]
    (frozen,) = record.frozen.metrics
    assert (frozen.total, frozen.bad, frozen.margin, frozen.calibration) == ("mlr_pair_total", None, "0.02", None)
    file = tmp_path / "record.json"
    page = {"apiVersion": "modelrollout.dev/v1alpha1", "kind": "RolloutRecord", "spec": record.to_json()}
    file.write_text(json.dumps(page))
    assert main(["judge", "-o", "json", str(file)]) == 2
    (metric,) = json.loads(capsys.readouterr().out)["metrics"]
    live = stage.trials[1][1].metrics["mirrored"]
    assert metric["logEvidence"]["combined"][-1] == live.log_combined
    assert metric["interval"] == list(live.interval or ())


def test_labels_that_are_missing_are_a_state_of_the_metric_and_hold() -> None:
    message = "mlr_pair_total has a series with no label candidate"
    stage = staged(lambda _, __: (Row(metric="mirrored", skipped=Reason.NO_SERIES, message=message),)).run(60)
    assert shown(stage).state is Reason.NO_SERIES
    assert stage.weights == [10]
    available = stage.status.condition(ConditionType.DATA_AVAILABLE)
    assert available is not None
    assert message in available.message


def test_noise_of_the_pods_moves_no_margin_of_pairs() -> None:
    """A strict rollout never stops at a noise floor that was never measured."""
    spec = spec_with(analysis={"metrics": [PAIRED], "noise": "Strict"})
    stage = Stage(spec=spec, traffic=mirrored(candidate=0.02, stable=0.02), history={}).run(600)
    assert stage.weights[-1] == 100
    assert stage.records[1].frozen.metrics[0].promotion_margin is None
