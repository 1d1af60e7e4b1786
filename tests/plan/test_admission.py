"""What an epoch says of its margins as it begins: with the last day's traffic, before the first request is diverted."""

from datetime import timedelta

import pytest

from controller.api.reasons import ConditionType, Phase, Reason
from controller.api.status import Condition, StepForecast
from controller.plan.admission import describe_unresolved, unresolved
from tests.plan.stage import Stage, row, spec_with, steady

STRATEGY = {"interval": "30s", "steps": [10, 25, 50], "deadline": "6h"}


def begun(per_second: float | None, **strategy: object) -> Stage:
    """A rollout of which the first weight is on its way; margin 2 points at 8 %."""
    daily = None if per_second is None else {"accuracy": per_second}
    stage = Stage(spec=spec_with(strategy=STRATEGY | strategy), daily=daily, traffic=steady(0.08, 0.08))
    return stage.run(until=lambda stage: stage.status.phase is Phase.PROGRESSING)


def accepted(stage: Stage) -> Condition:
    condition = stage.status.condition(ConditionType.SPEC_ACCEPTED)
    assert condition is not None
    return condition


def resolution(stage: Stage) -> tuple[StepForecast, ...]:
    assert stage.status.analysis is not None
    return stage.status.analysis.resolution


def warnings(stage: Stage) -> list[str]:
    return [each.message for each in stage.announcements if each.reason is Reason.MARGIN_OUT_OF_REACH]


def test_every_step_is_forecast() -> None:
    stage = begun(20.0)
    steps = resolution(stage)

    assert [(each.weight, each.metric) for each in steps] == [(10, "accuracy"), (25, "accuracy"), (50, "accuracy")]
    times = [each.time.total_seconds() for each in steps if each.time is not None]
    assert times == sorted(times, reverse=True)
    # 1768 effective requests of the candidate at alpha 0.05 (2 % margin, 8 %); alpha 0.0304 and a design effect add
    assert 1768 / 2 < times[0] < 4 * 1768 / 2
    assert accepted(stage).reason is Reason.ACCEPTED
    assert warnings(stage) == []


def test_too_little_traffic_is_warned_of_and_nothing_else() -> None:
    stage = begun(0.02)

    condition = accepted(stage)
    assert (condition.status, condition.reason) == ("True", Reason.MARGIN_OUT_OF_REACH)
    assert condition.message.startswith("With the last day's traffic the margin of accuracy needs ≈ ")
    assert " at 10 %, ≈ " in condition.message
    assert " at 50 %, even if both models are equal; the deadline is 6h: take a larger margin" in condition.message
    (warning,) = warnings(stage)
    assert warning == condition.message
    assert [each.kind for each in stage.announcements if each.reason is Reason.MARGIN_OUT_OF_REACH] == ["Warning"]
    assert stage.weights == [10]


def test_the_warning_stays_for_the_epoch_and_goes_with_it() -> None:
    stage = begun(0.02)
    stage.run(turns=6)
    assert accepted(stage).reason is Reason.MARGIN_OUT_OF_REACH
    assert len(warnings(stage)) == 1

    stage.run(turns=400, until=lambda stage: stage.status.phase is Phase.IDLE)
    assert accepted(stage).reason is Reason.ACCEPTED


def test_a_longer_deadline_takes_the_warning_away() -> None:
    stage = begun(0.02)
    stage.spec = spec_with(strategy=STRATEGY | {"deadline": "2000h"})
    stage.turn()

    assert accepted(stage).reason is Reason.ACCEPTED


@pytest.mark.parametrize("per_second", [None, 0.0])
def test_without_known_traffic_nothing_is_forecast(per_second: float | None) -> None:
    stage = begun(per_second) if per_second is None else begun_without_metric()

    assert resolution(stage) == ()
    assert accepted(stage).reason is Reason.ACCEPTED


def begun_without_metric() -> Stage:
    stage = Stage(spec=spec_with(strategy=STRATEGY), daily={}, traffic=steady(0.08, 0.08))
    return stage.run(until=lambda stage: stage.status.phase is Phase.PROGRESSING)


def test_the_metric_that_needs_most_is_named() -> None:
    second = {"name": "errors", "ratio": {"bad": "e", "total": "t"}, "margin": {"absolute": "0.001"}}
    first = {"name": "accuracy", "ratio": {"bad": "b", "total": "t"}, "margin": {"absolute": "0.02"}}
    stage = Stage(
        spec=spec_with(strategy=STRATEGY, analysis={"metrics": [first, second]}),
        daily={"accuracy": 20.0, "errors": 20.0},
        traffic=lambda _window, _weight: (row((900, 72), (100, 8)), row((900, 9), (100, 1), "errors")),
    )
    stage.history = {**stage.history, "errors": stage.history["accuracy"]}
    stage.run(until=lambda stage: stage.status.phase is Phase.PROGRESSING)

    assert {each.metric for each in resolution(stage)} == {"errors"}


def test_any_step_in_time_is_enough() -> None:
    steps = [StepForecast(weight=10, metric="m", time=timedelta(hours=9)), StepForecast(weight=50, metric="m")]
    assert unresolved(steps, timedelta(hours=6))
    assert not unresolved(steps, timedelta(hours=10))
    assert not unresolved((), timedelta(hours=1))
    assert "needs ≈ 9 h at 10 %, never at 50 %, even if" in describe_unresolved(steps, timedelta(hours=6))


def test_of_many_steps_the_first_and_the_last_are_shown() -> None:
    steps = [StepForecast(weight=each, metric="m", time=timedelta(hours=90 - each)) for each in range(5, 60, 5)]
    text = describe_unresolved(steps, timedelta(hours=6))

    assert [part.split(" %")[0] for part in text.split(" at ")[1:]] == ["5", "45", "50", "55"]
