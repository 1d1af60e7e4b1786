"""What ``plan-size`` found, for people and for programs."""

import json
from collections.abc import Iterator
from math import inf

from controller.api.scalars import format_duration
from controller.api.verdicts import Kind
from controller.cli.planning import Need, Plan, PlannedMetric, StepPlan
from controller.judge import MetricTest
from controller.plan.amounts import about_requests, about_time, points

__all__ = ["as_json", "as_text"]

_COLUMNS = "  {:>8}  {:>30}  {:>30}  {:>16}\n"


def as_json(plan: Plan) -> str:
    """One object with a list of metrics; null where a verdict never comes or no margin can be resolved."""
    report = {
        "alpha": plan.alpha,
        "intervalSeconds": plan.interval.total_seconds(),
        "deadlineSeconds": plan.deadline.total_seconds(),
        "metrics": [_metric_as_json(plan, metric) for metric in plan.metrics],
    }
    return json.dumps(report, allow_nan=False) + "\n"


def _metric_as_json(plan: Plan, metric: PlannedMetric) -> dict[str, object]:
    if metric.test is None:
        return {"name": metric.name, "kind": metric.kind, "forecast": f"none: {metric.unplanned}"}
    return {
        "name": metric.name,
        "kind": metric.kind,
        "rate": metric.level,
        "margin": metric.test.margin,
        "requestsPerSecond": metric.per_second,
        "designEffect": metric.design_effect,
        "steps": [_step_as_json(plan, plan.step(metric, metric.test, weight)) for weight in plan.steps],
    }


def _step_as_json(plan: Plan, step: StepPlan) -> dict[str, object]:
    return {
        "weight": step.weight,
        "notWorse": _need_as_json(step.not_worse),
        "worse": _need_as_json(step.worse),
        "smallestMargin": step.smallest_margin,
        "beforeDeadline": step.not_worse.time <= plan.deadline.total_seconds(),
    }


def _need_as_json(need: Need) -> dict[str, object] | None:
    if need.windows == inf:
        return None
    return {"windows": need.windows, "requests": round(need.requests), "seconds": need.time}


def as_text(plan: Plan) -> str:
    """A table per metric, and whether the last step can be passed in time."""
    return "\n".join("".join(_metric_as_text(plan, metric)) for metric in plan.metrics) + "\n" + _footnote(plan)


def _metric_as_text(plan: Plan, metric: PlannedMetric) -> Iterator[str]:
    if metric.test is None:
        yield f"{metric.name} ({metric.kind}): no forecast; {metric.unplanned}\n"
        return
    yield f"{_headline(metric, metric.test)}\n"
    yield _COLUMNS.format("weight", "NotWorse, when equal", "Worse, when 2 margins worse", "smallest margin")
    steps = [plan.step(metric, metric.test, weight) for weight in plan.steps]
    for step in steps:
        margin = "none" if step.smallest_margin is None else _amount(metric.kind, step.smallest_margin)
        yield _COLUMNS.format(f"{step.weight} %", _need(step.not_worse), _need(step.worse), margin)
    if steps[-1].not_worse.time > plan.deadline.total_seconds():
        yield (
            f"  The margin cannot be resolved within the deadline of {format_duration(plan.deadline)}, not even at "
            f"{steps[-1].weight} %: take a larger margin, a longer deadline or larger steps.\n"
        )


def _headline(metric: PlannedMetric, test: MetricTest) -> str:
    level = f"{100 * metric.level:.4g} %" if metric.kind in (Kind.RATIO, Kind.HISTOGRAM) else f"{metric.level:g}"
    effect = "" if metric.design_effect == 1 else f", design effect {metric.design_effect:g}"
    return (
        f"{metric.name} ({metric.kind}): stable {level}, margin {_amount(metric.kind, test.margin)}, "
        f"{metric.per_second:g} per second{effect}"
    )


def _amount(kind: Kind, margin: float) -> str:
    if kind is Kind.RATE:
        return f"{100 * margin:.3g} %"
    return f"{margin:.3g}" if kind is Kind.MEAN else points(margin)


def _need(need: Need) -> str:
    return "never" if need.windows == inf else f"{about_requests(need.requests)} requests, {about_time(need.time)}"


def _footnote(plan: Plan) -> str:
    return (
        f"Requests are the candidate's; smallest margin: by the deadline of {format_duration(plan.deadline)}. "
        f"alpha {plan.alpha:.3g}: evidence {1 / plan.alpha:.3g} decides, looked at every "
        f"{format_duration(plan.interval)}.\n"
    )
