"""Calibration in the course of a rollout: what is frozen, what status says, and what follows for the verdict."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from controller.api.analysis import Noise
from controller.api.metric import Metric
from controller.api.reasons import Phase, Reason
from controller.api.record import ArmCounts, FrozenMetric, Row
from controller.api.status import MetricStatus
from controller.api.verdicts import Kind
from controller.judge import Calibration, Pods, RatioTest
from controller.plan.calibration import (
    Margins,
    StableHistory,
    calibrate,
    calibration_of,
    describe_calibration,
    floored,
    frozen_calibration,
    inflations,
)
from controller.plan.evidence import start_trial
from controller.plan.windows import Window
from tests.plan.stage import Stage, quiet_history, spec_with, steady

THREE = Pods(stable=3, candidate=1)


def noisy_history(*, deviation: float = 0.0, shocks: float = 0.0, intervals: int = 120, pods: int = 9) -> StableHistory:
    """Pods at 8 % whose rates differ lastingly (points) and from interval to interval (points); 400 requests each."""
    rng = np.random.default_rng(1)
    lasting = np.linspace(-1, 1, pods) * deviation * np.sqrt(3 * (pods - 1) / (pods + 1))
    rates = np.clip(0.08 + lasting + rng.normal(0, shocks or 1e-9, (intervals, pods)), 0, 1)
    counts = rng.binomial(400, rates)
    blocks = tuple({f"v1-{i}": (400.0, float(k)) for i, k in enumerate(row)} for row in counts)
    return StableHistory(total=400.0 * intervals * pods, amount=float(counts.sum()), intervals=blocks)


def begun(history: StableHistory | None, **analysis: Any) -> Stage:
    """A rollout at its first step, before the first window."""
    spec = spec_with()
    if analysis:
        sections = spec.analysis.to_json() | analysis
        spec = spec_with(analysis=sections)
    stage = Stage(spec=spec, history={} if history is None else {"accuracy": history})
    return stage.run(until=lambda stage: stage.status.phase is Phase.PROGRESSING)


def frozen(stage: Stage) -> FrozenMetric:
    return stage.records[1].frozen.metrics[0]


def shown(stage: Stage) -> MetricStatus:
    stage.run(until=lambda stage: bool(stage.status.analysis and stage.status.analysis.metrics))
    assert stage.status.analysis is not None
    return stage.status.analysis.metrics[0]


def test_before_anything_is_frozen_status_says_so() -> None:
    stage = Stage().run(until=lambda stage: stage.status.epoch == 1)

    assert stage.status.analysis is not None
    assert "not yet" in stage.status.analysis.calibration


def test_quiet_pods_cost_nothing() -> None:
    stage = begun(quiet_history())

    found = frozen(stage).calibration
    assert found is not None
    assert (found.source, found.intervals, found.pods) == ("Measured", 60, 3)
    assert (found.design_effect, found.noise_floor, frozen(stage).margin) == ("1", "0", "0.02")
    assert shown(stage).calibration == "design effect 1.0 from 60 intervals × 3 pods"
    assert stage.status.analysis is not None
    assert stage.status.analysis.calibration == "measured for 1 of 1 metrics, largest design effect 1.0 (accuracy)"


def test_pods_that_scatter_from_interval_to_interval_deflate() -> None:
    stage = begun(noisy_history(shocks=0.02))

    found = frozen(stage).calibration
    assert found is not None
    # Variance of a pod's rate: 0.08 · 0.92 / 400 by chance, 0.02² by the shocks.
    assert float(found.design_effect) == pytest.approx(1 + 0.02**2 / (0.08 * 0.92 / 400), rel=0.25)
    assert float(found.intraclass or 0) == pytest.approx((float(found.design_effect) - 1) / 399, rel=1e-3)
    assert frozen(stage).margin == "0.02"
    assert (shown(stage).calibration or "").startswith(f"design effect {float(found.design_effect):.1f} from 120")


def test_widen_moves_both_sides_and_says_so() -> None:
    stage = begun(noisy_history(deviation=0.02))

    metric = frozen(stage)
    # 1.645 · 2 points · √(1/3 + 1/3)
    assert float(metric.margin) == pytest.approx(1.645 * 0.02 * np.sqrt(2 / 3), rel=0.1)
    assert metric.promotion_margin is None
    assert metric.calibration is not None
    assert metric.calibration.noise_floor == metric.margin
    deviation = float(metric.margin) / 1.645 / np.sqrt(2 / 3)
    text = f"pods differ by {100 * deviation:.2g} points, margin widened 2 → {100 * float(metric.margin):.2g} points"
    assert text in (shown(stage).calibration or "")
    assert stage.status.analysis is not None
    assert "margin widened for accuracy" in stage.status.analysis.calibration


def test_strict_moves_the_sides_apart() -> None:
    stage = begun(noisy_history(deviation=0.01), noise="Strict")

    metric = frozen(stage)
    floor = 1.645 * 0.01 * np.sqrt(2 / 3)
    assert metric.margin == "0.02"
    assert 0.02 - float(metric.promotion_margin or 0) == pytest.approx(floor, rel=0.1)
    assert "promotion needs the margin less the noise floor" in (shown(stage).calibration or "")
    assert stage.run().status.phase is Phase.IDLE
    assert stage.status.reason is Reason.PROMOTED


def test_strict_promotes_nothing_when_noise_is_above_the_margin() -> None:
    stage = begun(noisy_history(deviation=0.02), noise="Strict")
    stage.run(until=lambda stage: stage.status.reason is Reason.NOISE_ABOVE_MARGIN)

    assert frozen(stage).promotion_margin == "0"
    assert "no automatic promotion (Strict)" in (shown(stage).calibration or "")
    assert stage.status.phase is Phase.PROGRESSING
    assert stage.status.step == "3/3"
    assert "noise: Strict" in stage.status.message
    assert shown(stage).state is Reason.NOISE_ABOVE_MARGIN
    assert stage.ask("promote").run().status.reason is Reason.PROMOTED


def test_strict_rolls_back_all_the_same() -> None:
    stage = begun(noisy_history(deviation=0.02), noise="Strict")
    stage.traffic = steady(0.08, 0.20)

    assert stage.run().status.phase is Phase.ROLLED_BACK


@pytest.mark.parametrize("history", [None, quiet_history(intervals=49), quiet_history(pods=1)])
def test_too_little_history_gives_the_prior_and_says_so(history: StableHistory | None) -> None:
    stage = begun(history)

    found = frozen(stage).calibration
    assert found is not None
    assert (found.source, found.design_effect, found.intraclass, found.noise_floor) == ("Prior", "2", None, "0")
    assert "design effect 2 assumed" in (shown(stage).calibration or "")
    assert stage.status.analysis is not None
    assert stage.status.analysis.calibration == "history says too little about accuracy: prior"


def test_with_the_prior_windows_must_agree_but_a_catastrophe_need_not() -> None:
    slow, fast = begun(None), begun(None)
    slow.traffic, fast.traffic = steady(0.08, 0.25), steady(0.08, 0.7)

    for stage in (slow, fast):
        stage.run(until=lambda stage: stage.status.phase is Phase.ROLLED_BACK)

    assert len(slow.records[1].windows) >= 5
    assert len(fast.records[1].windows) <= 2


def test_history_is_worth_what_the_design_effect_leaves() -> None:
    stage = begun(noisy_history(shocks=0.02))
    metric = frozen(stage)
    assert metric.calibration is not None

    test = start_trial(stage.records[1].frozen).metrics["accuracy"].test

    assert isinstance(test, RatioTest)
    assert test.history is not None
    effect = float(metric.calibration.design_effect)
    assert test.history.total == pytest.approx(float(metric.history_total or 0) / effect)
    assert test.history.rate == pytest.approx(0.08, rel=0.05)


def test_edits_of_noise_are_a_new_epoch() -> None:
    stage = begun(quiet_history())
    stage.spec = spec_with(analysis=stage.spec.analysis.to_json() | {"noise": "Strict"})
    stage.run(until=lambda stage: stage.status.epoch == 2)

    assert stage.status.analysis is not None
    assert stage.status.analysis.attempt == 2
    assert float(stage.status.analysis.alpha) == pytest.approx(0.05 * 6 / np.pi**2 / 4, rel=1e-4)


class TestFloor:
    calibration = Calibration(measured=True, intraclass=0.0, noise_floor=0.03)

    @pytest.mark.parametrize(
        ("margin", "noise", "margins"),
        [
            (0.05, Noise.WIDEN, Margins(0.05, 0.05)),
            (0.02, Noise.WIDEN, Margins(0.03, 0.03)),
            (0.05, Noise.STRICT, Margins(0.05, 0.02)),
            (0.02, Noise.STRICT, Margins(0.03, 0.0)),
        ],
    )
    def test_both_sides(self, margin: float, noise: Noise, margins: Margins) -> None:
        found = floored(margin, self.calibration, noise=noise, kind=Kind.RATIO)

        assert (found.roll_back, found.promotion) == pytest.approx((margins.roll_back, margins.promotion))

    def test_a_share_stays_below_one(self) -> None:
        wild = replace(self.calibration, noise_floor=7.0)

        assert floored(0.02, wild, noise=Noise.WIDEN, kind=Kind.RATIO).roll_back == 0.99
        assert floored(0.02, wild, noise=Noise.WIDEN, kind=Kind.MEAN).roll_back == 7.0

    def test_without_calibration_margins_are_as_the_spec_has_them(self) -> None:
        assert floored(0.02, None, noise=Noise.STRICT, kind=Kind.RATIO) == Margins(0.02, 0.02)


def metric(**shape: Any) -> Metric:
    return Metric.model_validate({"name": "m", "margin": {"absolute": "0.1"}} | shape)


class TestKinds:
    def test_a_rates_calibration_is_relative(self) -> None:
        asked = metric(rate={"count": "errors_total", "exposure": "requests_total"})
        blocks = tuple({"a": (100.0, 8.0), "b": (100.0, 12.0)} for _ in range(60))

        found = calibrate(asked, StableHistory(12_000.0, 1_200.0, blocks), THREE)

        assert found is not None
        assert found.alone == 0.0
        assert found.pod_deviation == pytest.approx(np.std([0.8, 1.2], ddof=1), rel=0.05)
        again = calibration_of(frozen_calibration(found, message=""), Kind.RATE)
        assert again is not None
        assert again.design_effect_of(70.0) == pytest.approx(found.design_effect_of(70.0), rel=1e-5)

    def test_a_mean_with_bounds_is_a_share_of_its_range(self) -> None:
        asked = metric(mean={"sum": "score_sum", "count": "score_count", "bounds": {"low": "1", "high": "5"}})
        blocks = tuple({"a": (100.0, 250.0 + t % 7), "b": (100.0, 350.0 - t % 5)} for t in range(60))

        found = calibrate(asked, StableHistory(12_000.0, 36_000.0, blocks), THREE)

        assert found is not None
        assert found.intraclass is not None
        # The pods' means are near 2.53 and 3.48, in the unit of the score.
        assert found.pod_deviation == pytest.approx(0.95 / np.sqrt(2), rel=0.05)

    def test_a_mean_without_bounds_is_not_deflated(self) -> None:
        asked = metric(mean={"sum": "cost_sum", "count": "cost_count"})
        blocks = tuple({"a": (100.0, 250.0 + t % 7), "b": (100.0, 350.0 - t % 5)} for t in range(60))

        found = calibrate(asked, StableHistory(12_000.0, 36_000.0, blocks), THREE)

        assert found is not None
        assert found.design_effect_of(1e6) == 1.0
        assert "each window counts as one observation" in describe_calibration(asked, found, 9.0, Margins(9.0, 9.0))

    @pytest.mark.parametrize("shape", [{"role": "RedFlag", "threshold": "0.5", "minRequests": 20}])
    def test_red_flags_see_raw_counts(self, shape: dict[str, Any]) -> None:
        asked = metric(ratio={"bad": "bad_total", "total": "all_total"}, **shape)

        assert calibrate(asked, quiet_history(), THREE) is None


def scattered(window: Window, weight: int) -> tuple[Row, ...]:
    """Rows of a candidate whose three pods lie four times as far apart as calibrated."""
    del window
    candidate = ArmCounts(
        total=f"{10 * weight}", bad=f"{weight}", effective_total="60", effective_bad="6", pods=3, scatter="4.0",
        expected_scatter="1.0",
    )  # fmt: skip
    return (Row(metric="accuracy", stable=ArmCounts(total="900", bad="72"), candidate=candidate, bad_seen=True),)


def test_a_candidate_that_scatters_more_is_named() -> None:
    stage = begun(quiet_history())
    stage.traffic = scattered
    stage.run(until=lambda stage: len(stage.records[1].windows) >= 12)

    windows = stage.records[1].windows
    assert inflations(stage.records[1].frozen, windows) == {"accuracy": pytest.approx(4.0)}
    assert inflations(stage.records[1].frozen, ()) == {}
    assert "the candidate's pods scatter 4.0 times as much" in (shown(stage).calibration or "")
