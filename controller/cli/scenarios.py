"""What ``simulate`` is to try: from a ModelRollout and the stated traffic to plans that can be run."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from controller.api.kinds import Better
from controller.api.spec import Metric, ModelRolloutSpec, Superiority
from controller.api.verdicts import Kind, Role
from controller.cli.latency import factor_of
from controller.cli.simulated_metric import PlannedMetric
from controller.cli.simulation import Plan
from controller.cli.traffic import Effect, TrafficModel
from controller.judge import (
    HistogramTest,
    MeanScale,
    MeanTest,
    MetricTest,
    RateTest,
    RatioTest,
    alpha_for_attempt,
)
from controller.plan.counters import margin_of

__all__ = ["ASSUMED_LEVELS", "Scenario", "TrafficOptions", "left_out", "scenarios"]

ASSUMED_LEVELS: Final[Mapping[Kind, float]] = {
    Kind.RATIO: 0.01,
    Kind.RATE: 0.01,
    Kind.MEAN: 1.0,
    Kind.HISTOGRAM: 0.12,
}
"""Stable's level of a metric for which none was stated; of a mean with bounds it is the middle."""

_SPREAD: Final = 0.6
"""Standard deviation of the logarithms of a histogram's values, where none was stated."""

_CATASTROPHE: Final = 20
_MOST_ABOVE: Final = 0.5
_EVERY: Final = ""


@dataclass(frozen=True)
class TrafficOptions:
    """The traffic as it was stated. Mappings go by metric, with the empty name for all others.

    Attributes:
        like: what holds where nothing else is stated.
        rates: stable's level.
        requests: expected requests per window, of both arms together.
        deviations: standard deviation of the single values of a mean, in its unit; of a histogram's logarithms.
        effects: what the candidate makes of the level; none at all: the scenarios that every rollout has.
        windows: windows after which a run ends; None: at the deadline.
        history: windows of stable before the first.
        attempt: how many times this candidate has been tried, this one included.
    """

    like: TrafficModel
    rates: Mapping[str, float] = field(default_factory=dict)
    requests: Mapping[str, float] = field(default_factory=dict)
    deviations: Mapping[str, float] = field(default_factory=dict)
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
        ValueError: nothing that decides can be simulated, or an option does not fit the metrics.
    """
    if spec.analysis.group_sequential is not None:
        msg = "spec.analysis.groupSequential: looks at a fixed sample are not simulated; take it out for a simulation"
        raise ValueError(msg)
    plan = _plan(spec, options)
    _require_known(plan, options)
    if options.effects:
        return (Scenario("as stated", _with_effects(plan, options.effects)),)
    return tuple(_default_scenarios(plan))


def left_out(spec: ModelRolloutSpec) -> tuple[str, ...]:
    """Names of the metrics that would decide something and are not simulated."""
    return tuple(each.name for each in spec.analysis.metrics if each.role is not Role.WATCH and not _simulated(each))


def _simulated(metric: Metric) -> bool:
    return metric.role is not Role.WATCH and metric.kind in ASSUMED_LEVELS


def _plan(spec: ModelRolloutSpec, options: TrafficOptions) -> Plan:
    strategy = spec.strategy
    deadline = math.ceil(strategy.deadline / strategy.interval)
    windows = deadline if options.windows is None else min(options.windows, deadline)
    metrics = [each for each in spec.analysis.metrics if _simulated(each)]
    if not any(each.role.gating for each in metrics):
        found = ", ".join(f"{each.name} ({each.kind})" for each in spec.analysis.metrics)
        msg = (
            "expected a Guardrail or Target of a kind that can be simulated, which distributions, pairs and queries "
            f"are not; found {found}"
        )
        raise ValueError(msg)
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
    margin = margin_of(metric)
    level = _level(metric, options)
    requests = _stated(options.requests, metric.name, options.like.requests)
    deviation = _stated(options.deviations, metric.name, _SPREAD if metric.kind is Kind.HISTOGRAM else level)
    planned = PlannedMetric(
        test=_test(metric, spec),
        absolute=None if margin is None or margin.absolute is None else float(margin.absolute),
        relative=None if margin is None or margin.relative is None else float(margin.relative),
        noise=spec.analysis.noise,
        traffic=replace(
            options.like,
            base=level,
            requests=requests,
            kind=metric.kind,
            deviation=deviation if metric.kind is Kind.HISTOGRAM else deviation / level,
            windows=windows,
        ),
        higher_is_better=metric.mean is not None and metric.mean.better is Better.HIGHER,
    )
    if (
        planned.absolute is None
        and planned.relative is not None
        and metric.kind is not Kind.RATE
        and not options.history
    ):
        msg = f"--history: the margin of {metric.name} is a relative one, which needs windows before the first; found 0"
        raise ValueError(msg)
    return planned if _scale(metric).bounds is None else _as_shares(planned, _scale(metric))


def _test(metric: Metric, spec: ModelRolloutSpec) -> MetricTest:
    strategy = spec.strategy
    scale = _scale(metric)
    ratio = RatioTest(
        name=metric.name,
        role=metric.role,
        horizon=max(2, math.ceil(strategy.deadline / strategy.interval)),
        weight=float(metric.weight),
        harm_budget=None if strategy.harm_budget is None else float(strategy.harm_budget),
        steps=strategy.steps,
        threshold=None if metric.threshold is None else scale.judged_level(float(metric.threshold)),
        min_requests=metric.min_requests or 0,
        must_be_better=metric.superiority is Superiority.REQUIRED,
        unit=scale.unit,
    )
    if metric.kind is Kind.RATIO or scale.bounds is not None:
        return ratio if metric.kind is Kind.RATIO else replace(ratio, harm_budget=None)
    return _TESTS[metric.kind](
        name=ratio.name,
        role=ratio.role,
        horizon=ratio.horizon,
        weight=ratio.weight,
        threshold=ratio.threshold,
        min_requests=ratio.min_requests,
        must_be_better=ratio.must_be_better,
    )


_TESTS: Final[Mapping[Kind, type[RateTest | MeanTest | HistogramTest]]] = {
    Kind.RATE: RateTest,
    Kind.MEAN: MeanTest,
    Kind.HISTOGRAM: HistogramTest,
}


def _scale(metric: Metric) -> MeanScale:
    mean = metric.mean
    if mean is None:
        return MeanScale()
    bounds = None if mean.bounds is None else (float(mean.bounds.low), float(mean.bounds.high))
    return MeanScale(better=mean.better, bounds=bounds)


def _level(metric: Metric, options: TrafficOptions) -> float:
    low, high = _scale(metric).bounds or (0.0, 1.0 if metric.kind is Kind.RATIO else math.inf)
    assumed = ASSUMED_LEVELS[metric.kind] if math.isinf(high) or metric.kind is Kind.RATIO else (low + high) / 2
    level = _stated(options.rates, metric.name, assumed)
    if not low < level < high:
        bounds = f"above {low:g}" if math.isinf(high) else f"above {low:g} and below {high:g}"
        msg = f"--rate: expected a level of {metric.name} {bounds}, found {level:g}"
        raise ValueError(msg)
    return level


def _as_shares(planned: PlannedMetric, scale: MeanScale) -> PlannedMetric:
    """A mean with bounds as it is judged: as a share of its range; single values are its ends, the worst case."""
    level = planned.traffic.base
    absolute = max(planned.absolute or 0.0, (planned.relative or 0.0) * abs(level)) / scale.room
    traffic = replace(planned.traffic, base=scale.judged_level(level), kind=Kind.RATIO)
    return replace(planned, absolute=absolute, relative=None, traffic=traffic, higher_is_better=False)


def _stated(values: Mapping[str, float], name: str, otherwise: float) -> float:
    return values.get(name, values.get(_EVERY, otherwise))


def _require_known(plan: Plan, options: TrafficOptions) -> None:
    known = {each.test.name for each in plan.metrics}
    stated = {
        "--rate": options.rates,
        "--requests": options.requests,
        "--deviation": options.deviations,
        "--effect": options.effects,
    }
    for words, values in stated.items():
        unknown = sorted(set(values) - known - {_EVERY})
        if unknown:
            msg = f"{words}: expected one of the metrics {', '.join(sorted(known))}, found {', '.join(unknown)}"
            raise ValueError(msg)


def _default_scenarios(plan: Plan) -> Iterator[Scenario]:
    gating = [each for each in plan.metrics if each.test.role.gating]
    yield Scenario("equal", plan)
    for each in gating:
        for words, margins in (("on the margin", 1), ("2 margins worse", 2), ("catastrophic", _CATASTROPHE)):
            changed = replace(each, traffic=replace(each.traffic, effect=_worse(each, margins)))
            yield Scenario(f"{each.test.name} {words}", _with(plan, {each.test.name: changed}))
    better = {each.test.name: replace(each, traffic=replace(each.traffic, effect=_worse(each, -1))) for each in gating}
    yield Scenario("better", _with(plan, better))


def _worse(planned: PlannedMetric, margins: int) -> Effect:
    """An effect of so many margins, before those are widened to the noise floor; a ratio keeps some room."""
    margin, base = planned.margin, planned.traffic.base
    match planned.traffic.kind:
        case Kind.RATE:
            return Effect(factor=1.0 + margins * margin if margins > 0 else 1.0 / (1.0 + margin))
        case Kind.HISTOGRAM:
            share = max(min(margins * margin, _MOST_ABOVE), -_MOST_ABOVE)
            return Effect(factor=factor_of(share, median=base, spread=planned.traffic.deviation))
        case Kind.MEAN:
            return Effect(absolute=-margins * margin if planned.higher_is_better else margins * margin)
        case _:
            room = max((1.0 - base) / 2, margin)
            return Effect(absolute=max(min(margins * margin, room), -base / 2))


def _with(plan: Plan, changed: Mapping[str, PlannedMetric]) -> Plan:
    return replace(plan, metrics=tuple(changed.get(each.test.name, each) for each in plan.metrics))


def _with_effects(plan: Plan, effects: Mapping[str, Effect]) -> Plan:
    """The plan with these effects; one for all metrics means all that decide."""
    every = effects.get(_EVERY, Effect())
    return replace(plan, metrics=tuple(_affected(each, effects, every) for each in plan.metrics))


def _affected(planned: PlannedMetric, effects: Mapping[str, Effect], every: Effect) -> PlannedMetric:
    effect = effects.get(planned.test.name, every if planned.test.role.gating else Effect())
    unit, base = planned.test.unit, planned.traffic.base
    if planned.traffic.kind is Kind.RATIO:  # stated in the metric's own unit
        level = unit.level(base)
        moved = level * effect.factor + effect.absolute
        effect = effect if level == base else Effect(absolute=(moved - level) / (unit.one - unit.zero))
    return replace(planned, traffic=replace(planned.traffic, effect=effect))
