"""From the frozen analysis and the record to what the judge wants, by the kind of a metric: tests and windows."""

from collections.abc import Mapping
from math import inf
from typing import Final, TypedDict

from controller.api.record import ArmCounts, FrozenAnalysis, FrozenMetric, Row
from controller.api.spec import Metric, Superiority
from controller.api.verdicts import Kind, Role
from controller.judge import (
    Arm,
    ArmLike,
    BucketArm,
    DistributionTest,
    GroupTest,
    HistogramTest,
    History,
    MeanScale,
    MeanTest,
    MetricTest,
    PairArm,
    PairTest,
    QueryArm,
    QueryTest,
    RateArm,
    RateTest,
    RatioTest,
    Window,
    WindowLike,
    cells_of,
)
from controller.plan.calibration import calibration_of
from controller.plan.counters import LE

__all__ = ["OTHERS", "test_of", "window_of"]

OTHERS: Final = "others"
"""What the classes are called that stable did not have when the epoch began, as one."""

_LARGEST_SHARE_MARGIN: Final = 0.99
_LARGEST_RATE_MARGIN: Final = 1e6
"""Beyond these, margins allow everything; the judge takes no larger ones."""

_WITHOUT_HISTORY: Final[Mapping[Kind, type[MetricTest]]] = {
    Kind.RATE: RateTest,
    Kind.PAIRED: PairTest,
    Kind.QUERY: QueryTest,
}
"""Kinds whose test learns nothing from what stable did before."""


class _Shared(TypedDict):
    name: str
    role: Role
    margin: float
    promotion_margin: float | None
    horizon: int
    weight: float
    threshold: float | None
    min_requests: int
    must_be_better: bool
    must_agree: bool


def test_of(metric: Metric, resolved: FrozenMetric, frozen: FrozenAnalysis) -> MetricTest:
    """Return what is to be tested about a metric, from what was frozen when the epoch began."""
    shared = _shared(metric, resolved, frozen)
    match metric.kind:
        case Kind.RATE | Kind.PAIRED | Kind.QUERY:
            return _WITHOUT_HISTORY[metric.kind](**shared)
        case Kind.MEAN:
            return _mean_test(metric, resolved, frozen, shared=shared)
        case Kind.HISTOGRAM:
            return HistogramTest(**shared, history=_past_buckets(metric, resolved), steps=frozen.steps)
        case Kind.DISTRIBUTION:
            floor = 0.0 if metric.distribution is None else float(metric.distribution.floor)
            return DistributionTest(**shared, history=_past_buckets(metric, resolved), floor=floor)
        case _:
            return _ratio_test(metric, resolved, frozen, shared=shared)


def window_of(metric: Metric, resolved: FrozenMetric, row: Row) -> WindowLike | None:
    """Return what the judge reads of a row: effective counts of both arms; None where it was skipped."""
    if row.skipped is not None or row.stable is None or row.candidate is None:
        return None
    if _has_classes(metric) and not resolved.edges:
        return None  # Classes that are not known before the window cannot be bet on in it.
    stable, candidate = (_arm(metric, resolved, counts, row.edges or ()) for counts in (row.stable, row.candidate))
    return Window(stable=stable, candidate=candidate)


def _shared(metric: Metric, resolved: FrozenMetric, frozen: FrozenAnalysis) -> _Shared:
    scale = _scale(metric)
    margin, promotion = float(resolved.margin) / scale.room, resolved.promotion_margin
    if metric.kind is Kind.MEAN and scale.bounds is not None:
        margin = min(margin, _LARGEST_SHARE_MARGIN)
    if metric.kind is Kind.RATE:
        margin = min(margin, _LARGEST_RATE_MARGIN)
    calibration = resolved.calibration
    return _Shared(
        name=metric.name,
        role=metric.role,
        margin=margin,
        promotion_margin=None if promotion is None else min(float(promotion) / scale.room, margin),
        horizon=frozen.horizon,
        weight=float(metric.weight),
        threshold=None if metric.threshold is None else scale.judged_level(float(metric.threshold)),
        min_requests=metric.min_requests or 0,
        must_be_better=metric.superiority is Superiority.REQUIRED,
        must_agree=calibration is not None and calibration.source == "Prior",
    )


def _ratio_test(metric: Metric, resolved: FrozenMetric, frozen: FrozenAnalysis, *, shared: _Shared) -> RatioTest:
    """Judged at every window, or at few looks where the analysis fixes a largest sample; red flags at every window."""
    budget = None if frozen.harm_budget is None else float(frozen.harm_budget)
    design, past = frozen.analysis.group_sequential, _past(resolved)
    if design is None or not metric.role.gating:
        return RatioTest(**shared, history=past, harm_budget=budget, steps=frozen.steps)
    everything = sum(each.weight for each in frozen.analysis.metrics if each.role.gating)
    return GroupTest(
        **shared,
        history=past,
        harm_budget=budget,
        steps=frozen.steps,
        max_requests=design.max_requests,
        looks=design.looks,
        spending=design.spending,
        share=float(metric.weight / everything),
    )


def _mean_test(
    metric: Metric, resolved: FrozenMetric, frozen: FrozenAnalysis, *, shared: _Shared
) -> MeanTest | RatioTest:
    """Values with bounds are judged as shares of their range (F1), others by the differences of windows (F3)."""
    scale, calibration = _scale(metric), calibration_of(resolved.calibration, metric.kind)
    if scale.bounds is None:
        return MeanTest(**shared, unit=scale.unit, batch=1 if calibration is None else calibration.batch)
    return RatioTest(**shared, unit=scale.unit, history=_past_shares(scale, resolved), steps=frozen.steps)


def _past_shares(scale: MeanScale, resolved: FrozenMetric) -> History | None:
    if resolved.history_total is None or resolved.history_bad is None or float(resolved.history_total) <= 0.0:
        return None
    total, amount = float(resolved.history_total), float(resolved.history_bad)
    past = _mean_arm(scale, total, amount, design_effect=_design_effect(resolved))
    return History(past.total, past.bad) if isinstance(past, Arm) else None


def _past(resolved: FrozenMetric) -> History | None:
    """Stable's counts before the epoch, worth as much as the design effect leaves of them."""
    if resolved.history_total is None or resolved.history_bad is None:
        return None
    effect = _design_effect(resolved)
    return History(float(resolved.history_total) / effect, float(resolved.history_bad) / effect)


def _design_effect(resolved: FrozenMetric) -> float:
    return 1.0 if resolved.calibration is None else float(resolved.calibration.design_effect)


def _past_buckets(metric: Metric, resolved: FrozenMetric) -> BucketArm | None:
    if resolved.history_buckets is None or not resolved.edges:
        return None
    effect = _design_effect(resolved)
    counts = tuple(float(count) / effect for count in resolved.history_buckets)
    if _has_classes(metric):
        return BucketArm((*counts, 0.0))
    return BucketArm(counts, _edges(resolved.edges))


def _arm(metric: Metric, resolved: FrozenMetric, counts: ArmCounts, edges: tuple[str, ...]) -> ArmLike:
    total = float(counts.total)
    effective = float(counts.effective_total or counts.total)
    bad = float(counts.effective_bad or counts.bad or 0)
    match metric.kind:
        case Kind.RATE:
            return RateArm(count=bad, exposure=total, effective=effective)
        case Kind.MEAN:
            deflation = total / effective if effective > 0.0 else 1.0
            return _mean_arm(_scale(metric), total, float(counts.sum or 0), design_effect=deflation)
        case Kind.HISTOGRAM | Kind.DISTRIBUTION:
            return _bucket_arm(metric, resolved, counts, edges)
        case Kind.PAIRED:
            return PairArm(total, bad, float(counts.alone or 0))
        case Kind.QUERY:
            return QueryArm(float(counts.value or 0))
        case _:
            return Arm(total=effective, bad=bad, requests=total)


def _bucket_arm(metric: Metric, resolved: FrozenMetric, counts: ArmCounts, edges: tuple[str, ...]) -> BucketArm:
    total = float(counts.total)
    worth = float(counts.effective_total or counts.total) / total if total > 0.0 else 1.0
    buckets = tuple(worth * float(count) for count in counts.buckets or ())
    if not _has_classes(metric):
        return BucketArm(buckets, _edges(edges), requests=total)
    known = cells_of(dict(zip(edges, buckets, strict=True)), resolved.edges or ())
    return BucketArm(known, requests=total)


def _mean_arm(scale: MeanScale, count: float, total: float, *, design_effect: float = 1.0) -> ArmLike:
    """Return what is judged of values and their sum.

    A sum that is a little beyond what the bounds allow is cut: rows with one that is far beyond are skipped.
    """
    low, high = scale.bounds or (-inf, inf)
    within = min(max(total, low * count), high * count) if count > 0.0 else 0.0
    return scale.arm(count, within, design_effect=design_effect)


def _scale(metric: Metric) -> MeanScale:
    mean = metric.mean
    if mean is None:
        return MeanScale()
    bounds = None if mean.bounds is None else (float(mean.bounds.low), float(mean.bounds.high))
    return MeanScale(better=mean.better, bounds=bounds)


def _has_classes(metric: Metric) -> bool:
    return metric.distribution is not None and metric.distribution.label != LE


def _edges(texts: tuple[str, ...]) -> tuple[float, ...]:
    return tuple(float(text) for text in texts)
