"""The delay of labels in the course of a rollout: what is frozen and said, and what waits for it."""

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from controller.api.reasons import Phase, Reason
from controller.api.record import FrozenLabels, Row
from controller.api.status import MetricStatus
from controller.judge import LabelHistory
from controller.observe.arms import Question
from controller.observe.questions import calibrated, metric_question
from controller.plan.calibration import StableHistory
from controller.plan.label_lag import maturity
from controller.plan.windows import Window
from tests.plan.stage import START, Stage, Traffic, quiet_history, row, spec_with

INTERVAL = timedelta(seconds=10)
METRIC: dict[str, Any] = {
    "name": "accuracy",
    "ratio": {"bad": "bad_total", "total": "all_total"},
    "margin": {"absolute": "0.02"},
    "allowAbsent": True,
}


def labelled(late: int, *, coverage: float = 0.9, even: bool = False) -> LabelHistory:
    """Requests by chance, and labels of all of them so many intervals later."""
    rng = np.random.default_rng(1)
    requests = np.full(400, 1000.0) if even else rng.poisson(1000.0 * np.exp(rng.normal(0.0, 0.3, 400)))
    labels = np.round(coverage * np.roll(requests, late))
    return [(float(r), float(n)) for r, n in zip(requests[200:], labels[200:], strict=True)]


def history(labels: LabelHistory) -> StableHistory:
    quiet = quiet_history()
    return StableHistory(quiet.total, quiet.amount, quiet.intervals, labels=labels)


def begun(labels: LabelHistory, *, strategy: dict[str, Any] | None = None, **metric: Any) -> Stage:
    """A rollout at its first step, before the first window."""
    spec = spec_with(
        analysis={"metrics": [METRIC | metric]}, strategy={"interval": "10s", "steps": [10, 50]} | (strategy or {})
    )
    return Stage(spec=spec, history={"accuracy": history(labels)}).run(
        until=lambda stage: stage.status.phase is Phase.PROGRESSING
    )


def frozen(stage: Stage) -> FrozenLabels | None:
    calibration = stage.records[1].frozen.metrics[0].calibration
    assert calibration is not None
    return calibration.labels


def said(stage: Stage) -> str:
    calibration = stage.records[1].frozen.metrics[0].calibration
    assert calibration is not None
    assert shown(stage).calibration == calibration.message
    return calibration.message


def shown(stage: Stage) -> MetricStatus:
    stage.run(until=lambda stage: bool(stage.status.analysis and stage.status.analysis.metrics))
    assert stage.status.analysis is not None
    return stage.status.analysis.metrics[0]


def test_delay_is_frozen_and_status_says_what_to_set() -> None:
    stage = begun(labelled(6))
    found = frozen(stage)
    assert found is not None
    assert (found.intervals, found.half, found.most) == (200, timedelta(minutes=1), timedelta(minutes=1))
    assert float(found.coverage) == pytest.approx(0.9, rel=0.01)
    assert "; labels for 90% of the requests, half of them come within 1m, 95 % within 1m" in said(stage)
    assert "measured over 200 intervals; labels are compared as they arrive" in said(stage)
    assert said(stage).endswith("set labelDelay: 1m, and cohort")


@pytest.mark.parametrize(("delay", "advice"), [("30s", "labelDelay 30s is shorter than that: set 1m"), ("2m", "")])
def test_label_delay_is_held_against_what_was_measured(delay: str, advice: str) -> None:
    text = said(begun(labelled(6), labelDelay=delay))
    assert text.endswith(advice or "measured over 200 intervals")


def test_labels_that_come_with_their_requests_need_nothing() -> None:
    text = said(begun(labelled(0)))
    assert text.endswith("labels for 90% of the requests, within 10s of them (measured over 200 intervals)")


def test_even_traffic_cannot_tell_and_says_so() -> None:
    stage = begun(labelled(6, even=True))
    found = frozen(stage)
    assert found is not None
    assert (found.half, found.most, found.longest) == (None, None, None)
    assert maturity(found) == timedelta(0)
    assert "how late they come cannot be told from 200 intervals: it takes traffic that changes" in said(stage)
    assert "set labelDelay if they take longer than a window" in said(stage)


def test_labels_beyond_history_have_a_lower_end() -> None:
    stage = begun(labelled(190))
    found = frozen(stage)
    assert found is not None
    assert found.longest is None
    assert found.least > INTERVAL
    assert "95 % of them more than" in said(stage)
    assert "set labelDelay: more than" in said(stage)


@pytest.mark.parametrize("labels", [(), labelled(6)[:49], labelled(0, coverage=1.5)])
def test_without_labels_nothing_is_said(labels: LabelHistory) -> None:
    stage = begun(labels)
    assert frozen(stage) is None
    assert "label" not in said(stage)


def test_windows_are_asked_for_with_it() -> None:
    stage = begun(labelled(6))
    question = calibrated(_question(stage), stage.records[1].frozen, ())
    assert question.metrics[0].label_lag == timedelta(minutes=1)


def _question(stage: Stage) -> Question:
    return Question(
        namespace="ns",
        labels=stage.spec.analysis.labels,
        metrics=tuple(metric_question(metric) for metric in stage.spec.analysis.metrics),
        requests=None,
        stable_deployment="v1",
        candidate_deployment="v2",
        stable_pods=(),
        candidate_pods=(),
        warmup=timedelta(0),
        diverted_at=None,
        weight=10,
    )


def maturing(stage_of: list[Stage], *, after: timedelta) -> Traffic:
    """Equal arms; until that long after each change of the weight their labels differ in age."""

    def traffic(window: Window, weight: int) -> tuple[Row, ...]:
        applied = stage_of[0].status.traffic.applied_at or START
        own = 1000 * weight // 100
        found = row((1000 - own, round((1000 - own) * 0.08)), (own, round(own * 0.08)))
        return (found.model_copy(update={"labels_mature": applied + after} if window.start < applied + after else {}),)

    return traffic


def test_steps_are_taken_and_the_promotion_waits_for_labels_of_equal_age() -> None:
    stage = begun(labelled(60), strategy={"minRequests": 100, "minWindows": 2})
    stage.traffic = maturing([stage], after=timedelta(minutes=60))
    stage.run(until=lambda stage: stage.status.reason is Reason.LABELS_IMMATURE)
    assert stage.weights == [10, 50]
    assert stage.status.phase is Phase.PROGRESSING
    assert "accuracy: not worse so far, but the labels of both arms are of different ages until" in stage.status.message
    metric = shown(stage)
    assert metric.state is Reason.LABELS_IMMATURE
    assert "LabelsImmature: until " in (metric.note or "")
    applied = stage.status.traffic.applied_at
    assert applied is not None
    stage.run(600)
    assert stage.weights == [10, 50, 100]
    promoted = stage.records[1].windows[-1]
    assert promoted.start >= applied + timedelta(minutes=60)


def test_labels_that_still_differ_are_told_with_what_was_measured() -> None:
    stage = begun(labelled(6))

    def fewer(_: Window, weight: int) -> tuple[Row, ...]:
        own = 10 * weight
        whole = row((1000 - own, 60), (own * 0.45, own * 0.03))
        assert whole.stable is not None
        assert whole.candidate is not None
        counts = {"stable": (whole.stable, 1000 - own), "candidate": (whole.candidate, own)}
        update = {arm: each.model_copy(update={"requests": f"{n}"}) for arm, (each, n) in counts.items()}
        return (whole.model_copy(update=update),)

    stage.traffic = fewer
    stage.run(60)
    assert stage.status.reason is Reason.LABELS_DIFFER
    assert "Before the epoch stable's came for 90% of its requests, 95 % of them within 1m" in stage.status.message


def test_waiting_for_labels_that_history_calls_late_is_no_silence() -> None:
    """A time-out of five minutes, and ten that labels take."""

    def none_yet(_: Window, __: int) -> tuple[Row, ...]:
        return (Row(metric="accuracy", skipped=Reason.LABELS_IMMATURE, message="labels take up to 10m"),)

    stage = begun(labelled(60), strategy={"dataTimeout": "5m"})
    stage.traffic = none_yet
    stage.run(500, until=lambda stage: stage.status.phase is Phase.STALLED)
    assert stage.status.reason is Reason.DATA_TIMED_OUT
    assert stage.now - (stage.status.traffic.applied_at or stage.now) >= timedelta(minutes=15)
