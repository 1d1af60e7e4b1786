"""What is settled when the first request is about to be diverted: margins, calibration, history, error bound."""

import math
from collections.abc import Mapping

from controller.api.kinds import Kind
from controller.api.metric import Metric
from controller.api.reasons import Reason
from controller.api.record import MOST_BUCKETS, FrozenAnalysis, FrozenMetric
from controller.api.spec import Margin
from controller.judge import History, Pods, resolve_margin, resolve_mean_margin, resolve_rate_margin
from controller.plan.calibration import (
    Margins,
    StableHistory,
    calibrate,
    describe_calibration,
    floored,
    frozen_calibration,
)
from controller.plan.counters import LE, counters_of, margin_of
from controller.plan.label_lag import describe_labels, frozen_labels
from controller.plan.situation import Situation
from controller.plan.validity import latency_metrics, share_check
from controller.plan.world import Problem

__all__ = ["MIN_EVENTS", "MIN_HISTORY", "freeze"]

MIN_HISTORY = 100
"""Requests of stable below which its rate says too little to be a relative margin's base."""
MIN_EVENTS = 20
"""Events of stable below which its rate says too little to make an absolute margin a relative one."""


def freeze(situation: Situation, history: Mapping[str, StableHistory]) -> FrozenAnalysis | Problem:
    """Resolve the analysis of the epoch that is about to serve; a problem where a margin cannot be resolved."""
    spec, analysis = situation.spec, situation.status.analysis
    if analysis is None:
        msg = "an analysis cannot be frozen before its epoch began"
        raise AssertionError(msg)
    metrics: list[FrozenMetric] = []
    for metric in spec.analysis.metrics:
        found = _frozen_metric(metric, history.get(metric.name), situation)
        if isinstance(found, Problem):
            return found
        metrics.append(found)
    strategy = spec.strategy
    return FrozenAnalysis(
        hash=analysis.frozen,
        attempt=analysis.attempt,
        alpha=analysis.alpha,
        steps=strategy.steps,
        interval=strategy.interval,
        horizon=max(2, math.ceil(strategy.deadline / strategy.interval)),
        min_requests=strategy.min_requests,
        harm_budget=None if strategy.harm_budget is None else str(strategy.harm_budget),
        share_check=share_check(spec),
        void=latency_metrics(spec) if _latency_void(situation) else (),
        analysis=spec.analysis,
        metrics=tuple(metrics),
    )


def _latency_void(situation: Situation) -> bool:
    known = situation.status.verification
    return known is not None and known.environment is not None and known.environment.latency_void is not None


def _frozen_metric(metric: Metric, history: StableHistory | None, situation: Situation) -> FrozenMetric | Problem:
    unfit = _unfit_classes(metric, history)
    if unfit is not None:
        return unfit
    counters = counters_of(metric)
    margin = _margin(metric, margin_of(metric), history)
    if isinstance(margin, Problem):
        return margin
    calibration = calibrate(metric, history, _pods(situation))
    margins = floored(margin, calibration, noise=situation.spec.analysis.noise, kind=metric.kind)
    message = "" if calibration is None else describe_calibration(metric, calibration, margin, margins)
    interval = situation.spec.strategy.interval
    labels = frozen_labels(() if history is None else history.labels, interval)
    message = "; ".join(filter(None, (message, describe_labels(metric, labels, interval=interval))))
    return FrozenMetric(
        metric=metric.name,
        margin=f"{margins.roll_back:.6g}",
        promotion_margin=_other(margins),
        bad=counters.bad or None,
        total=counters.total or None,
        calibration=None if calibration is None else frozen_calibration(calibration, message=message, labels=labels),
        **_frozen_history(history),
    )


def _unfit_classes(metric: Metric, history: StableHistory | None) -> Problem | None:
    """Classes are fixed before the first window: those that stable has; the candidate's others count as one."""
    if metric.distribution is None or metric.distribution.label == LE:
        return None
    label, classes = metric.distribution.label, () if history is None else history.edges
    if len(classes) > MOST_BUCKETS:
        return Problem(
            Reason.TOO_MANY_VALUES,
            f"metric {metric.name}: stable has {len(classes)} classes in the label {label}, at most {MOST_BUCKETS} can "
            "be compared; narrow the selector, or group the values in the exporter",
        )
    if classes or not metric.role.gating:
        return None
    return Problem(
        Reason.NO_STABLE_TRAFFIC,
        f"metric {metric.name}: stable counted nothing before the epoch, so that its classes (label {label}) are not "
        "known; wait for traffic, and check the selector of distribution.buckets",
    )


def _other(margins: Margins) -> str | None:
    return None if margins.promotion == margins.roll_back else f"{margins.promotion:.6g}"


def _frozen_history(history: StableHistory | None) -> dict[str, str | tuple[str, ...] | None]:
    if history is None:
        return {}
    return {
        "history_total": f"{history.total:.15g}",
        "history_bad": None if history.buckets else f"{history.amount:.15g}",
        "history_buckets": tuple(f"{count:.15g}" for count in history.buckets) or None,
        "edges": history.edges or None,
    }


def _pods(situation: Situation) -> Pods:
    """The pods that each arm begins with: with more of them later, the floor is on the safe side."""
    stable, candidate = situation.world.stable, situation.world.candidate
    return Pods(stable=stable.ready if stable else 1, candidate=candidate.ready if candidate else 1)


def _margin(metric: Metric, margin: Margin | None, history: StableHistory | None) -> float | Problem:
    """Return the margin as the spec gives it, in the unit in which the metric's kind is judged.

    What would be set against a rate of stable that hardly anything is known about is left out, if something is left.
    """
    if margin is None:
        return 0.0
    known = history is not None and _tells_enough(metric.kind, history)
    absolute = margin.absolute if known or metric.kind is not Kind.RATE else None
    relative = margin.relative if known or metric.kind is Kind.RATE else None
    if absolute is None and relative is None:
        return _unknown_base(metric, history)
    try:
        match metric.kind:
            case Kind.RATE:
                return resolve_rate_margin(absolute, relative, _level(history))
            case Kind.MEAN:
                return resolve_mean_margin(absolute, relative, _level(history))
            case _:
                return resolve_margin(absolute, relative, History(history.total, history.amount) if history else None)
    except ValueError as error:
        return Problem(Reason.MARGIN_NOT_RESOLVABLE, f"metric {metric.name}: {error}")


def _tells_enough(kind: Kind, history: StableHistory) -> bool:
    return history.amount >= MIN_EVENTS if kind is Kind.RATE else history.total >= MIN_HISTORY


def _level(history: StableHistory | None) -> float | None:
    return history.amount / history.total if history is not None and history.total > 0.0 else None


def _unknown_base(metric: Metric, history: StableHistory | None) -> Problem:
    if metric.kind is Kind.RATE:
        needs, found = f"margin.absolute needs at least {MIN_EVENTS} events", history.amount if history else 0
        instead = "margin.relative"
    else:
        needs, found = f"margin.relative needs at least {MIN_HISTORY} requests", history.total if history else 0
        instead = "margin.absolute"
    return Problem(
        Reason.MARGIN_NOT_RESOLVABLE,
        f"metric {metric.name}: {needs} of stable before the epoch, found {found:.0f}; wait for traffic or add "
        f"{instead}",
    )
