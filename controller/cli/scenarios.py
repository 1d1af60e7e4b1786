"""What ``simulate`` is to try: from a ModelRollout and the stated traffic to plans that can be run."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from controller.api.spec import ModelRolloutSpec
from controller.api.verdicts import Kind, Role
from controller.cli.latency import factor_of
from controller.cli.planned_metrics import EVERY, TrafficOptions, planned_metric
from controller.cli.simulated_metric import PlannedMetric
from controller.cli.simulation import Plan
from controller.cli.traffic import Effect
from controller.judge import DistributionTest, alpha_for_attempt

__all__ = ["Scenario", "left_out", "scenarios"]

_CATASTROPHE: Final = 20
_MOST_ABOVE: Final = 0.5
_HALVINGS: Final = 60


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
    plan = _plan(spec, options)
    _require_known(plan, options)
    if options.effects:
        return (Scenario("as stated", _with_effects(plan, options.effects)),)
    return tuple(_default_scenarios(plan))


def left_out(spec: ModelRolloutSpec, plan: Plan) -> tuple[str, ...]:
    """Names of the metrics that would decide something and are not simulated: queries without a stated level."""
    known = {each.test.name for each in plan.metrics}
    return tuple(each.name for each in spec.analysis.metrics if each.role is not Role.WATCH and each.name not in known)


def _plan(spec: ModelRolloutSpec, options: TrafficOptions) -> Plan:
    strategy = spec.strategy
    deadline = math.ceil(strategy.deadline / strategy.interval)
    windows = deadline if options.windows is None else min(options.windows, deadline)
    metrics = [planned_metric(metric, spec, options, windows=windows) for metric in spec.analysis.metrics]
    return Plan(
        metrics=tuple(metric for metric in metrics if metric is not None),
        alpha=alpha_for_attempt(float(spec.analysis.alpha), options.attempt),
        steps=strategy.steps,
        advance=strategy.advance,
        min_windows=strategy.min_windows,
        min_requests=strategy.min_requests,
        windows=windows,
        history=options.history,
    )


def _require_known(plan: Plan, options: TrafficOptions) -> None:
    known = {each.test.name for each in plan.metrics}
    stated = {
        "--rate": options.rates,
        "--requests": options.requests,
        "--deviation": options.deviations,
        "--shares": options.shares,
        "--discordance": options.discordance,
        "--effect": options.effects,
    }
    for words, values in stated.items():
        unknown = sorted(set(values) - known - {EVERY})
        if unknown:
            msg = f"{words}: expected one of the metrics {', '.join(sorted(known))}, found {', '.join(unknown)}"
            raise ValueError(msg)


def _default_scenarios(plan: Plan) -> Iterator[Scenario]:
    gating = [each for each in plan.metrics if each.test.role.gating]
    yield Scenario("equal", plan)
    for each in gating:
        for words, effect in _changes(each):
            changed = replace(each, traffic=replace(each.traffic, effect=effect))
            yield Scenario(f"{each.test.name} {words}", _with(plan, {each.test.name: changed}))
    better = {each.test.name: replace(each, traffic=replace(each.traffic, effect=_worse(each, -1))) for each in gating}
    yield Scenario("better", _with(plan, better))


def _changes(planned: PlannedMetric) -> Iterator[tuple[str, Effect]]:
    """What is tried with one metric; a distribution only counts as changed beyond its floor."""
    yield "on the margin", _worse(planned, 1)
    if planned.traffic.kind is Kind.DISTRIBUTION:
        clear = max(_worse(planned, 2).absolute, _beyond_floor(planned))
        yield "clearly changed", Effect(absolute=clear)
        yield "catastrophic", Effect(absolute=max(clear, _worse(planned, _CATASTROPHE).absolute))
    else:
        yield "2 margins worse", _worse(planned, 2)
        yield "catastrophic", _worse(planned, _CATASTROPHE)


def _beyond_floor(planned: PlannedMetric) -> float:
    """What more in the first cell of a distribution makes its stability index twice the floor, if anything does."""
    base, floor = planned.traffic.base, planned.test.floor if isinstance(planned.test, DistributionTest) else 0.0
    low, high = 0.0, 1.0 - base
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        ratio = (base + middle) / base * (1.0 - base) / max(1.0 - base - middle, 1e-300)
        low, high = (middle, high) if middle * math.log(ratio) < 2 * floor else (low, middle)
    return high


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
        case Kind.DISTRIBUTION if margins < 0:
            return Effect()
        case _:
            room = max((1.0 - base) / 2, margin)
            return Effect(absolute=max(min(margins * margin, room), -base / 2))


def _with(plan: Plan, changed: Mapping[str, PlannedMetric]) -> Plan:
    return replace(plan, metrics=tuple(changed.get(each.test.name, each) for each in plan.metrics))


def _with_effects(plan: Plan, effects: Mapping[str, Effect]) -> Plan:
    """The plan with these effects; one for all metrics means all that decide."""
    every = effects.get(EVERY, Effect())
    return replace(plan, metrics=tuple(_affected(each, effects, every) for each in plan.metrics))


def _affected(planned: PlannedMetric, effects: Mapping[str, Effect], every: Effect) -> PlannedMetric:
    effect = effects.get(planned.test.name, every if planned.test.role.gating else Effect())
    unit, base = planned.test.unit, planned.traffic.base
    if planned.traffic.kind is Kind.RATIO:  # stated in the metric's own unit
        level = unit.level(base)
        moved = level * effect.factor + effect.absolute
        effect = effect if level == base else Effect(absolute=(moved - level) / (unit.one - unit.zero))
    return replace(planned, traffic=replace(planned.traffic, effect=effect))
