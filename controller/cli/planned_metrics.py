"""From a spec's metrics and the traffic that was stated to metrics that can be simulated."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from controller.api.kinds import Better
from controller.api.spec import Metric, ModelRolloutSpec, Superiority
from controller.api.verdicts import Kind, Role
from controller.cli.simulated_metric import PlannedMetric
from controller.cli.traffic import Effect, TrafficModel
from controller.judge import (
    DistributionTest,
    GroupTest,
    HistogramTest,
    MeanScale,
    MeanTest,
    MetricTest,
    PairTest,
    QueryTest,
    RateTest,
    RatioTest,
)
from controller.plan.counters import LE, margin_of

__all__ = ["ASSUMED_LEVELS", "EVERY", "TrafficOptions", "planned_metric"]

T = TypeVar("T")

EVERY: Final = ""
"""The name under which stands what was stated for all metrics that have nothing of their own."""

_CELLS: Final = (0.1,) * 10
"""Stable's share of each bucket or class of a distribution, where none were stated: deciles."""

ASSUMED_LEVELS: Final[Mapping[Kind, float]] = {
    Kind.RATIO: 0.01,
    Kind.RATE: 0.01,
    Kind.MEAN: 1.0,
    Kind.HISTOGRAM: 0.12,
    Kind.DISTRIBUTION: _CELLS[0],
    Kind.PAIRED: 0.1,
}
"""Stable's level of a metric for which none was stated; of a mean with bounds it is the middle. A query has none."""

_SPREAD: Final = 0.6
"""Standard deviation of the logarithms of a histogram's values, where none was stated."""

_SHARES: Final = (Kind.RATIO, Kind.DISTRIBUTION, Kind.PAIRED)
"""Kinds whose level is a share."""


@dataclass(frozen=True)
class TrafficOptions:
    """The traffic as it was stated. Mappings go by metric, with the empty name for all others.

    Attributes:
        like: what holds where nothing else is stated.
        rates: stable's level.
        requests: expected requests per window, of both arms together.
        deviations: standard deviation of the single values of a mean or query, in its unit; of a histogram's
            logarithms.
        shares: stable's share of each bucket or class of a distribution; in proportion, of any sum.
        discordance: share of the pairs in which one arm alone is wrong, as long as both are alike.
        effects: what the candidate makes of the level; none at all: the scenarios that every rollout has.
        windows: windows after which a run ends; None: at the deadline.
        history: windows of stable before the first.
        attempt: how many times this candidate has been tried, this one included.
    """

    like: TrafficModel
    rates: Mapping[str, float] = field(default_factory=dict)
    requests: Mapping[str, float] = field(default_factory=dict)
    deviations: Mapping[str, float] = field(default_factory=dict)
    shares: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    discordance: Mapping[str, float] = field(default_factory=dict)
    effects: Mapping[str, Effect] = field(default_factory=dict)
    windows: int | None = None
    history: int = 200
    attempt: int = 1


def planned_metric(
    metric: Metric, spec: ModelRolloutSpec, options: TrafficOptions, *, windows: int
) -> PlannedMetric | None:
    """Return what is simulated of a metric; None where it is only watched, or a query without a stated level.

    Raises:
        ValueError: what was stated does not fit it.
    """
    if metric.role is Role.WATCH or (metric.kind is Kind.QUERY and metric.name not in options.rates):
        return None
    margin = margin_of(metric)
    planned = PlannedMetric(
        test=_test(metric, spec),
        absolute=None if margin is None or margin.absolute is None else float(margin.absolute),
        relative=None if margin is None or margin.relative is None else float(margin.relative),
        noise=spec.analysis.noise,
        traffic=_traffic(metric, options, windows=windows),
        higher_is_better=metric.mean is not None and metric.mean.better is Better.HIGHER,
        ordered=metric.distribution is not None and metric.distribution.label == LE,
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


def _traffic(metric: Metric, options: TrafficOptions, *, windows: int) -> TrafficModel:
    level = _level(metric, options)
    return replace(
        options.like,
        base=level,
        requests=_stated(options.requests, metric.name, options.like.requests),
        kind=metric.kind,
        deviation=_deviation(metric, options, level),
        cells=_cells(metric, options, level) if metric.kind is Kind.DISTRIBUTION else (),
        discordance=_discordance(metric, options, level) if metric.kind is Kind.PAIRED else 0.0,
        windows=windows,
    )


def _deviation(metric: Metric, options: TrafficOptions, level: float) -> float:
    """As the traffic wants it: of a mean as a share of it."""
    match metric.kind:
        case Kind.HISTOGRAM:
            return _stated(options.deviations, metric.name, _SPREAD)
        case Kind.QUERY:
            return _stated(options.deviations, metric.name, 0.0)
        case _:
            return _stated(options.deviations, metric.name, level) / level


def _cells(metric: Metric, options: TrafficOptions, level: float) -> tuple[float, ...]:
    """The first has the level, the others share the rest in proportion."""
    others = _stated(options.shares, metric.name, _CELLS)[1:]
    return (level, *((1.0 - level) * share / sum(others) for share in others))


def _discordance(metric: Metric, options: TrafficOptions, level: float) -> float:
    rarer = min(level, 1.0 - level)
    stated = _stated(options.discordance, metric.name, rarer)
    if stated > 2.0 * rarer:
        msg = (
            f"--discordance: expected at most {2.0 * rarer:g} of {metric.name}, twice the rarer answer of an arm; "
            f"found {stated:g}"
        )
        raise ValueError(msg)
    return stated


def _test(metric: Metric, spec: ModelRolloutSpec) -> MetricTest:
    strategy, scale = spec.strategy, _scale(metric)
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
    if metric.kind is Kind.RATIO:
        return _at_looks(ratio, spec)
    return replace(ratio, harm_budget=None) if scale.bounds is not None else _of_kind(metric, ratio)


def _of_kind(metric: Metric, like: RatioTest) -> MetricTest:
    kind = _TESTS[metric.kind]
    test: MetricTest = kind(
        name=like.name,
        role=like.role,
        horizon=like.horizon,
        weight=like.weight,
        threshold=like.threshold,
        min_requests=like.min_requests,
        must_be_better=like.must_be_better,
    )
    if isinstance(test, DistributionTest) and metric.distribution is not None:
        return replace(test, floor=float(metric.distribution.floor))
    return replace(test, steps=like.steps) if isinstance(test, HistogramTest) else test


def _at_looks(ratio: RatioTest, spec: ModelRolloutSpec) -> RatioTest:
    """Judged at few looks where the analysis fixes a largest sample, as the operator does it."""
    design = spec.analysis.group_sequential
    if design is None or not ratio.role.gating:
        return ratio
    everything = sum(float(each.weight) for each in spec.analysis.metrics if each.role.gating)
    return GroupTest(
        name=ratio.name,
        role=ratio.role,
        horizon=ratio.horizon,
        weight=ratio.weight,
        harm_budget=ratio.harm_budget,
        steps=ratio.steps,
        must_be_better=ratio.must_be_better,
        unit=ratio.unit,
        max_requests=design.max_requests,
        looks=design.looks,
        spending=design.spending,
        share=ratio.weight / everything,
    )


_TESTS: Final[Mapping[Kind, type[RateTest | MeanTest | HistogramTest | DistributionTest | PairTest | QueryTest]]] = {
    Kind.RATE: RateTest,
    Kind.MEAN: MeanTest,
    Kind.HISTOGRAM: HistogramTest,
    Kind.DISTRIBUTION: DistributionTest,
    Kind.PAIRED: PairTest,
    Kind.QUERY: QueryTest,
}


def _scale(metric: Metric) -> MeanScale:
    mean = metric.mean
    if mean is None:
        return MeanScale()
    bounds = None if mean.bounds is None else (float(mean.bounds.low), float(mean.bounds.high))
    return MeanScale(better=mean.better, bounds=bounds)


def _level(metric: Metric, options: TrafficOptions) -> float:
    low, high = _scale(metric).bounds or (0.0, 1.0 if metric.kind in _SHARES else math.inf)
    level = _stated(options.rates, metric.name, _assumed_level(metric, options, (low, high)))
    if not low < level < high:
        bounds = f"above {low:g}" if math.isinf(high) else f"above {low:g} and below {high:g}"
        msg = f"--rate: expected a level of {metric.name} {bounds}, found {level:g}"
        raise ValueError(msg)
    return level


def _assumed_level(metric: Metric, options: TrafficOptions, bounds: tuple[float, float]) -> float:
    match metric.kind:
        case Kind.DISTRIBUTION:
            shares = _stated(options.shares, metric.name, _CELLS)
            return shares[0] / sum(shares)
        case Kind.MEAN if not math.isinf(bounds[1]):
            return (bounds[0] + bounds[1]) / 2
        case _:
            return ASSUMED_LEVELS.get(metric.kind, 1.0)


def _as_shares(planned: PlannedMetric, scale: MeanScale) -> PlannedMetric:
    """A mean with bounds as it is judged: as a share of its range; single values are its ends, the worst case."""
    level = planned.traffic.base
    absolute = max(planned.absolute or 0.0, (planned.relative or 0.0) * abs(level)) / scale.room
    traffic = replace(planned.traffic, base=scale.judged_level(level), kind=Kind.RATIO)
    return replace(planned, absolute=absolute, relative=None, traffic=traffic, higher_is_better=False)


def _stated(values: Mapping[str, T], name: str, otherwise: T) -> T:
    return values.get(name, values.get(EVERY, otherwise))
