"""What an epoch can resolve, forecast as it begins: with the last day's traffic, at every step, before the deadline."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from math import ceil, inf
from typing import Final

from controller.api.record import FrozenAnalysis, FrozenMetric
from controller.api.scalars import LONGEST, format_duration
from controller.api.spec import Metric
from controller.api.status import StepForecast
from controller.judge import Expected, HistogramTest, MetricTest, PerArm, RatioTest, forecast, hardest_share
from controller.plan.amounts import about_time
from controller.plan.calibration import calibration_of
from controller.plan.kinds import test_of
from controller.plan.world import World

__all__ = ["describe_unresolved", "step_forecasts", "unresolved"]

_MOST_SHOWN: Final = 4


def step_forecasts(frozen: FrozenAnalysis, traffic: Mapping[str, float], world: World) -> tuple[StepForecast, ...]:
    """Return for every step what the metric that needs most would need there until ``NotWorse``, if both are equal.

    Args:
        frozen: what the epoch is judged by.
        traffic: requests per second of both arms together, per metric.
        world: for the pods, over which the requests spread.
    """
    resolved = {each.metric: each for each in frozen.metrics}
    found = []
    for step in frozen.steps:
        times = {
            metric.name: time
            for metric in frozen.analysis.metrics
            if metric.role.gating and metric.name in traffic
            for time in _time(metric, resolved[metric.name], frozen, step=step, rate=traffic[metric.name], world=world)
        }
        if times:
            slowest = max(times, key=lambda name: times[name])
            found.append(StepForecast(weight=step, metric=slowest, time=_duration(times[slowest])))
    return tuple(found)


def _duration(seconds: float) -> timedelta | None:
    """None is never: what would take longer than the longest duration."""
    return timedelta(seconds=round(seconds)) if seconds <= LONGEST.total_seconds() else None


def _time(
    metric: Metric, resolved: FrozenMetric, frozen: FrozenAnalysis, *, step: int, rate: float, world: World
) -> tuple[float, ...]:
    """Seconds until ``NotWorse`` at a step; nothing for a metric without forecast."""
    test = test_of(metric, resolved, frozen)
    level = _level(test, resolved)
    if level is None:
        return ()
    both = rate * frozen.interval.total_seconds()
    sizes = PerArm(both * (100 - step) / 100, both * step / 100)
    found = forecast(test, Expected(PerArm(level, level), _effective(metric, resolved, sizes, _pods(world, step))))
    if found is None or test.must_be_better:
        return ()
    windows = found.until_not_worse(float(frozen.alpha))
    return (inf if windows == inf else ceil(windows) * frozen.interval.total_seconds(),)


def _pods(world: World, step: int) -> PerArm:
    """Stable's pods as they are, the candidate's as many as a step needs."""
    stable = world.stable.ready if world.stable else 1
    candidate = world.candidate.ready if world.candidate else 1
    return PerArm(max(1, stable), max(1, candidate, ceil(step * stable / 100)))


def _effective(metric: Metric, resolved: FrozenMetric, sizes: PerArm, pods: PerArm) -> PerArm:
    calibration = calibration_of(resolved.calibration, metric.kind)
    if calibration is None:
        return sizes
    return PerArm(
        sizes.stable / calibration.design_effect_of(sizes.stable / pods.stable),
        sizes.candidate / calibration.design_effect_of(sizes.candidate / pods.candidate),
    )


def _level(test: MetricTest, resolved: FrozenMetric) -> float | None:
    """Stable's level in its history; of a histogram the share above the edge that is hardest to compare at."""
    if isinstance(test, RatioTest):
        return None if test.history is None else test.history.rate
    if isinstance(test, HistogramTest):
        return None if test.history is None else hardest_share(test.history.counts)
    total, amount = float(resolved.history_total or 0), float(resolved.history_bad or 0)
    return amount / total if total > 0.0 else None


def unresolved(steps: Sequence[StepForecast], deadline: timedelta) -> bool:
    """Whether there is no step at which the margins would be resolved before the deadline."""
    return bool(steps) and all(each.time is None or each.time > deadline for each in steps)


def describe_unresolved(steps: Sequence[StepForecast], deadline: timedelta) -> str:
    """Say what each step would need, against the deadline, and what to do."""
    shown = steps if len(steps) <= _MOST_SHOWN else (steps[0], *steps[1 - _MOST_SHOWN :])
    times = ", ".join(f"{_shown(each)} at {each.weight} %" for each in shown)
    names = ", ".join(dict.fromkeys(each.metric for each in shown))
    return (
        f"With the last day's traffic the margin of {names} needs {times}, even if both models are equal; the deadline "
        f"is {format_duration(deadline)}: take a larger margin, a longer strategy.deadline or larger strategy.steps"
    )


def _shown(step: StepForecast) -> str:
    return "never" if step.time is None else f"≈ {about_time(step.time)}"
