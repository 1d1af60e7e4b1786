"""What ``simulate`` is to try: from a ModelRollout and the stated traffic to plans that can be run."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from controller.api.spec import Metric, ModelRolloutSpec
from controller.api.verdicts import Role
from controller.cli.simulation import Plan, PlannedMetric
from controller.cli.traffic import Effect, TrafficModel
from controller.judge import MetricTest, RatioTest, alpha_for_attempt
from controller.plan.epoch import resolve

__all__ = ["ASSUMED_RATE", "Scenario", "TrafficOptions", "scenarios"]

ASSUMED_RATE: Final = 0.01
"""Stable's rate of a metric for which none was stated."""

_CATASTROPHE: Final = 20
_EVERY: Final = ""


@dataclass(frozen=True)
class TrafficOptions:
    """The traffic as it was stated. Mappings go by metric, with the empty name for all others.

    Attributes:
        like: what holds where nothing else is stated.
        rates: stable's rate of bad requests.
        requests: expected requests per window, of both arms together.
        effects: what the candidate makes of the rate; none at all: the scenarios that every rollout has.
        windows: windows after which a run ends; None: at the deadline.
        history: windows of stable before the first.
        attempt: how many times this candidate has been tried, this one included.
    """

    like: TrafficModel
    rates: Mapping[str, float] = field(default_factory=dict)
    requests: Mapping[str, float] = field(default_factory=dict)
    effects: Mapping[str, Effect] = field(default_factory=dict)
    windows: int | None = None
    history: int = 200
    attempt: int = 1


@dataclass(frozen=True)
class Scenario:
    """A plan under a name."""

    name: str
    plan: Plan


def scenarios(spec: ModelRolloutSpec, options: TrafficOptions) -> tuple[Scenario, ...]:
    """The plans to run: the stated effect, or the default set.

    Raises:
        ValueError: an option names a metric that the spec does not have, or one that cannot be simulated.
    """
    plan = _plan(spec, options)
    _require_known(plan, options)
    if options.effects:
        return (Scenario("as stated", _with_effects(plan, options.effects)),)
    return tuple(_default_scenarios(plan))


def _plan(spec: ModelRolloutSpec, options: TrafficOptions) -> Plan:
    strategy = spec.strategy
    deadline = math.ceil(strategy.deadline / strategy.interval)
    windows = deadline if options.windows is None else min(options.windows, deadline)
    metrics = [each for each in spec.analysis.metrics if each.role is not Role.WATCH]
    return Plan(
        metrics=tuple(_planned(metric, spec, options, windows=windows) for metric in metrics),
        alpha=alpha_for_attempt(float(spec.analysis.alpha), options.attempt),
        steps=strategy.steps,
        advance=strategy.advance,
        min_windows=strategy.min_windows,
        min_requests=strategy.min_requests,
        windows=windows,
        history=options.history,
    )


def _planned(metric: Metric, spec: ModelRolloutSpec, options: TrafficOptions, *, windows: int) -> PlannedMetric:
    strategy = spec.strategy
    _, margin, _ = resolve(metric)
    test = RatioTest(
        name=metric.name,
        role=metric.role,
        margin=0.0 if margin is None else float(margin.absolute or 0),
        horizon=max(2, math.ceil(strategy.deadline / strategy.interval)),
        harm_budget=None if strategy.harm_budget is None else float(strategy.harm_budget),
        steps=strategy.steps,
        threshold=None if metric.threshold is None else float(metric.threshold),
        min_requests=metric.min_requests or 0,
    )
    traffic = replace(
        options.like,
        base=_stated(options.rates, metric.name, options.like.base),
        requests=_stated(options.requests, metric.name, options.like.requests),
        windows=windows,
    )
    return PlannedMetric(test, 0.0 if margin is None else float(margin.relative or 0), traffic)


def _stated(values: Mapping[str, float], name: str, otherwise: float) -> float:
    return values.get(name, values.get(_EVERY, otherwise))


def _require_known(plan: Plan, options: TrafficOptions) -> None:
    known = {each.test.name for each in plan.metrics}
    for words, values in (("--rate", options.rates), ("--requests", options.requests), ("--effect", options.effects)):
        unknown = sorted(set(values) - known - {_EVERY})
        if unknown:
            msg = f"{words}: expected one of the metrics {', '.join(sorted(known))}, found {', '.join(unknown)}"
            raise ValueError(msg)


def _default_scenarios(plan: Plan) -> Iterator[Scenario]:
    gating = [each for each in plan.metrics if each.test.role.gating]
    yield Scenario("equal", plan)
    for each in gating:
        margin, name = _margin(each), each.test.name
        for words, margins in (("on the margin", 1), ("2 margins worse", 2), ("catastrophic", _CATASTROPHE)):
            room = (1.0 - each.traffic.base) / 2
            effect = Effect(absolute=min(margins * margin, max(room, margin)))
            yield Scenario(f"{name} {words}", _with_effects(plan, {name: effect}))
    better = {each.test.name: Effect(absolute=-min(_margin(each), each.traffic.base / 2)) for each in gating}
    yield Scenario("better", _with_effects(plan, better))


def _margin(planned: PlannedMetric) -> float:
    """The margin before it is widened to the noise floor, which differs from run to run."""
    return max(planned.test.margin, planned.relative_margin * planned.traffic.base)


def _with_effects(plan: Plan, effects: Mapping[str, Effect]) -> Plan:
    """The plan with these effects; one for all metrics means all that decide."""
    every = effects.get(_EVERY, Effect())
    return replace(plan, metrics=tuple(_affected(each, effects, every) for each in plan.metrics))


def _affected(planned: PlannedMetric, effects: Mapping[str, Effect], every: Effect) -> PlannedMetric:
    test: MetricTest = planned.test
    effect = effects.get(test.name, every if test.role.gating else Effect())
    return replace(planned, traffic=replace(planned.traffic, effect=effect))
