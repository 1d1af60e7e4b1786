"""What ``plan-size`` forecasts: the metrics with the traffic that was stated, and a verdict's need at every weight."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from math import ceil, inf, sqrt
from typing import Final

from controller.api.spec import GroupSequential, Metric, ModelRolloutSpec
from controller.api.verdicts import Kind, Role
from controller.judge import (
    Expected,
    HistogramTest,
    History,
    MeanTest,
    MetricTest,
    PerArm,
    RateTest,
    RatioTest,
    forecast,
    resolvable_margin,
    resolve_margin,
    resolve_mean_margin,
    resolve_rate_margin,
)
from controller.plan.counters import margin_of

__all__ = ["PLANNED_KINDS", "Need", "Plan", "PlannedMetric", "StepPlan", "planned_metric", "planned_metrics"]

PLANNED_KINDS: Final = (Kind.RATIO, Kind.RATE, Kind.MEAN, Kind.HISTOGRAM)
"""Kinds that have a forecast."""

Stated = Mapping[str, Mapping[str, float]]
"""Values by option and metric, with the empty name for all others."""

_EVERY: Final = ""
_KNOWN: Final = 1e6
"""Requests of stable that are taken to be known before the epoch: its rate is stated, after all."""


@dataclass(frozen=True)
class PlannedMetric:
    """One metric and its traffic.

    Attributes:
        kind: what it is made of.
        test: what is tested; None where there is no forecast, and ``unplanned`` says why.
        level: stable's level.
        per_second: requests of both arms together.
        deviation: means: standard deviation of single values.
        design_effect: requests that are worth one independent one.
    """

    name: str
    kind: Kind
    test: MetricTest | None
    level: float = 0.0
    per_second: float = 0.0
    deviation: float | None = None
    design_effect: float = 1.0
    unplanned: str = ""

    def expected(self, weight: int, *, interval: timedelta, worse: float = 0.0) -> Expected:
        """A window at that weight; the candidate's level is stable's, made worse by so many margins."""
        both = self.per_second * interval.total_seconds()
        raw = PerArm(both * (100 - weight) / 100, both * weight / 100)
        exposure = PerArm(raw.stable / self.design_effect, raw.candidate / self.design_effect)
        scatter = None
        if self.deviation is not None:
            scatter = self.deviation * sqrt(1.0 / exposure.stable + 1.0 / exposure.candidate)
        return Expected(PerArm(self.level, self._worse(worse)), exposure, scatter)

    def _worse(self, margins: float) -> float:
        margin = margins * (self.test.margin if self.test is not None else 0.0)
        if self.kind is Kind.RATE:
            return self.level * (1.0 + margin)
        return self.level + margin if self.kind is Kind.MEAN else min(self.level + margin, 1.0)


@dataclass(frozen=True)
class Need:
    """What a verdict needs: windows (infinite: it never comes), requests of the candidate, and time."""

    windows: float
    requests: float
    time: float
    """Seconds."""


@dataclass(frozen=True)
class StepPlan:
    """What one metric needs at one weight.

    Attributes:
        weight: percent of the requests for the candidate.
        not_worse: until ``NotWorse``, when the candidate is like stable.
        worse: until ``Worse``, when it is worse by two margins.
        smallest_margin: the smallest that can be resolved before the deadline; None: none can.
    """

    weight: int
    not_worse: Need
    worse: Need
    smallest_margin: float | None


@dataclass(frozen=True)
class Plan:
    """All that a forecast rests on."""

    metrics: tuple[PlannedMetric, ...]
    alpha: float
    steps: tuple[int, ...]
    interval: timedelta
    deadline: timedelta
    min_windows: int
    min_requests: int

    def step(self, metric: PlannedMetric, test: MetricTest, weight: int) -> StepPlan:
        """What one metric needs at one weight."""
        equal = metric.expected(weight, interval=self.interval)
        worse = metric.expected(weight, interval=self.interval, worse=2.0)
        raw = metric.per_second * self.interval.total_seconds() * min(weight, 100 - weight) / 100
        fewest = max(float(self.min_windows), self.min_requests / raw)
        gating = [each.test for each in self.metrics if each.test is not None]
        share = test.weight / sum(each.weight for each in gating)
        to_worse, to_not_worse = forecast(test, worse), forecast(test, equal)
        if to_worse is None or to_not_worse is None:
            msg = f"metric {metric.name} has no forecast"
            raise AssertionError(msg)
        return StepPlan(
            weight=weight,
            not_worse=self._need(metric, weight, windows=max(to_not_worse.until_not_worse(self.alpha), fewest)),
            worse=self._need(metric, weight, windows=max(to_worse.until_worse(self.alpha, share=share), 1.0)),
            smallest_margin=resolvable_margin(test, equal, windows=self.deadline / self.interval, alpha=self.alpha),
        )

    def _need(self, metric: PlannedMetric, weight: int, *, windows: float) -> Need:
        if windows == inf:
            return Need(inf, inf, inf)
        whole = float(ceil(windows))
        seconds = whole * self.interval.total_seconds()
        return Need(whole, seconds * metric.per_second * weight / 100, seconds)


def planned_metric(kind: str, *, margin: float | None, stated: Stated) -> PlannedMetric:
    """The one metric that plain options describe.

    Raises:
        ValueError: an option is missing or does not fit.
    """
    if margin is None:
        msg = "--margin: expected how much worse than stable is tolerated (or a file that says it), found none"
        raise ValueError(msg)
    _require_known(stated, ())
    chosen = Kind(kind)
    level = _level(chosen, "metric", stated)
    return _planned(chosen, _test(chosen, "metric", margin=margin, weight=1.0, level=level), level, stated)


def planned_metrics(spec: ModelRolloutSpec, *, stated: Stated) -> tuple[PlannedMetric, ...]:
    """The metrics of the spec that decide.

    Raises:
        ValueError: an option is missing, does not fit, or names a metric that does not decide.
    """
    gating = [each for each in spec.analysis.metrics if each.role.gating]
    _require_known(stated, tuple(each.name for each in gating))
    return tuple(_of_spec(metric, stated, looks=spec.analysis.group_sequential) for metric in gating)


_UNPLANNED: Final = {
    Kind.DISTRIBUTION: "what a change of a distribution looks like is not known beforehand",
    Kind.PAIRED: "in how many pairs one answer alone is wrong is not known beforehand",
}


def _unplanned(metric: Metric, looks: GroupSequential | None) -> str | None:
    """Say why a metric has no forecast, if it has none."""
    if metric.kind is Kind.RATIO and looks is not None:
        return (
            f"analysis.groupSequential fixes it: decided after {looks.max_requests} requests of the candidate at last"
        )
    return None if metric.kind in PLANNED_KINDS else _UNPLANNED.get(metric.kind, "there is no test")


def _of_spec(metric: Metric, stated: Stated, *, looks: GroupSequential | None) -> PlannedMetric:
    unplanned = _unplanned(metric, looks)
    if unplanned is not None:
        return PlannedMetric(metric.name, metric.kind, None, unplanned=unplanned)
    level = _level(metric.kind, metric.name, stated)
    bounds = None if metric.mean is None else metric.mean.bounds
    try:
        margin = _margin(metric, level)
        if bounds is not None:
            # The judge takes a bounded mean as a share of its range.
            span = float(bounds.high - bounds.low)
            level, margin = (level - float(bounds.low)) / span, margin / span
        kind = metric.kind if bounds is None else Kind.RATIO
        test = _test(kind, metric.name, margin=margin, weight=float(metric.weight), level=level)
    except ValueError as error:
        msg = str(error)
        raise ValueError(msg if msg.startswith("metric ") else f"metric {metric.name}: {msg}") from None
    return _planned(kind, test, level, stated)


def _margin(metric: Metric, level: float) -> float:
    margin = margin_of(metric)
    if margin is None:
        msg = f"expected a margin or a known preset, found preset {metric.preset}"
        raise ValueError(msg)
    if metric.kind is Kind.RATE:
        return resolve_rate_margin(margin.absolute, margin.relative, level)
    if metric.kind is Kind.MEAN:
        return resolve_mean_margin(margin.absolute, margin.relative, level)
    return resolve_margin(margin.absolute, margin.relative, History(_KNOWN, _KNOWN * level))


def _test(kind: Kind, name: str, *, margin: float, weight: float, level: float) -> MetricTest:
    if kind is Kind.RATE:
        return RateTest(name, Role.GUARDRAIL, margin, weight=weight)
    if kind is Kind.MEAN:
        return MeanTest(name, Role.GUARDRAIL, margin, weight=weight)
    if kind is Kind.HISTOGRAM:
        return HistogramTest(name, Role.GUARDRAIL, margin, weight=weight)
    return RatioTest(name, Role.GUARDRAIL, margin, weight=weight, history=History(_KNOWN, _KNOWN * level))


def _planned(kind: Kind, test: MetricTest, level: float, stated: Stated) -> PlannedMetric:
    deviation = _find(stated, "--deviation", test.name)
    if kind is Kind.MEAN and deviation is None:
        msg = f"--deviation: expected the standard deviation of single values for {test.name}, found none"
        raise ValueError(msg)
    per_second = _find(stated, "--rps", test.name)
    if per_second is None:
        msg = f"--rps: expected the requests per second for {test.name}, found none"
        raise ValueError(msg)
    return PlannedMetric(
        name=test.name,
        kind=kind,
        test=test,
        level=level,
        per_second=per_second,
        deviation=deviation if kind is Kind.MEAN else None,
        design_effect=_find(stated, "--design-effect", test.name) or 1.0,
    )


_LEVELS: Final = {
    Kind.RATIO: "the share of bad requests, at least 0 and below 1",
    Kind.RATE: "stable's events per exposure, above 0",
    Kind.HISTOGRAM: "the share of requests above the edge in question (0.5 needs most), above 0 and below 1",
}


def _level(kind: Kind, name: str, stated: Stated) -> float:
    level = _find(stated, "--rate", name)
    if kind is Kind.MEAN:
        return level or 0.0
    lowest_fits = kind is Kind.RATIO
    fits = level is not None and (level > 0 or lowest_fits) and (level < 1 or kind is Kind.RATE)
    if level is None or not fits:
        found = "none" if level is None else f"{level:g}"
        msg = f"--rate: expected {_LEVELS[kind]}, for {name}; found {found}"
        raise ValueError(msg)
    return level


def _find(stated: Stated, option: str, name: str) -> float | None:
    values = stated.get(option, {})
    return values.get(name, values.get(_EVERY))


def _require_known(stated: Stated, names: tuple[str, ...]) -> None:
    for option, values in stated.items():
        unknown = sorted(set(values) - {*names, _EVERY})
        if unknown:
            known = ", ".join(names) or "no name: there is no file"
            msg = f"{option}: expected one of {known}; found {', '.join(unknown)}"
            raise ValueError(msg)
