"""What stable's own history says about noise, frozen when an epoch begins: from counts to margins and words."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from controller.api.analysis import Noise
from controller.api.kinds import Bounds, Kind
from controller.api.metric import Metric
from controller.api.record import ArmCounts, FrozenAnalysis, FrozenCalibration, FrozenLabels, RecordedWindow
from controller.api.verdicts import Role
from controller.judge import (
    FEWEST_INTERVALS,
    BucketHistory,
    Calibration,
    Dispersion,
    LabelHistory,
    PodHistory,
    Pods,
    calibrate_buckets,
    calibrate_classes,
    calibrate_means,
    calibrate_rates,
    calibrate_shares,
)

__all__ = [
    "NOT_YET_CALIBRATED",
    "Margins",
    "StableHistory",
    "calibrate",
    "calibration_of",
    "describe_calibration",
    "describe_noise",
    "describe_overall",
    "floored",
    "frozen_calibration",
    "inflations",
]

NOT_YET_CALIBRATED: Final = "not yet: the history of stable's pods is read before the first request is diverted"
"""What status says before anything was frozen."""

_LARGEST_SHARE_MARGIN: Final = 0.99
_LONGEST_TEXT: Final = 1024
"""What status has room for."""


@dataclass(frozen=True)
class StableHistory:
    """What stable did before the epoch, in one metric.

    Attributes:
        total: requests, exposure or values.
        amount: bad requests, events, or the sum of the values; 0 for buckets.
        intervals: the same per pod for each interval that ends with the history; None: not known (scrape gap).
        buckets: requests per bucket or class, not cumulative; empty for metrics without.
        edges: upper bounds of the buckets, or names of the classes.
        bucket_intervals: buckets per pod for each interval.
        labels: requests and labels of all pods for each interval, where ``total`` counts labels; else empty.
    """

    total: float
    amount: float = 0.0
    intervals: PodHistory = ()
    buckets: tuple[float, ...] = ()
    edges: tuple[str, ...] = ()
    bucket_intervals: BucketHistory = ()
    labels: LabelHistory = ()


@dataclass(frozen=True, slots=True)
class Margins:
    """The effective margin of each side.

    Attributes:
        roll_back: what a candidate must exceed to be worse.
        promotion: what it must stay below to be not worse; 0: it cannot be shown.
    """

    roll_back: float
    promotion: float


def calibrate(metric: Metric, history: StableHistory | None, pods: Pods) -> Calibration | None:
    """Return the calibration of a metric; None for those that are judged without statistics, and for pairs.

    A pair is its own control: whatever makes a request hard is the same for both answers, so that stable's own noise
    says nothing of it. What still differs between the pods of one model counts as a difference between the models.
    """
    if metric.role is Role.RED_FLAG or metric.kind in (Kind.QUERY, Kind.PAIRED):
        return None
    known = history or StableHistory(total=0.0)
    match metric.kind:
        case Kind.RATE:
            return calibrate_rates(known.intervals, pods)
        case Kind.MEAN:
            bounds = metric.mean.bounds if metric.mean else None
            return calibrate_means(known.intervals, pods) if bounds is None else _bounded(known, bounds, pods)
        case Kind.HISTOGRAM:
            return calibrate_buckets(known.bucket_intervals, pods)
        case Kind.DISTRIBUTION:
            return calibrate_classes(known.bucket_intervals, pods)
        case _:
            return calibrate_shares(known.intervals, pods)


def _bounded(history: StableHistory, bounds: Bounds, pods: Pods) -> Calibration:
    """Calibrate a mean with bounds as a share of its range; pod deviation and floor are in units of the mean again."""
    low, reach = float(bounds.low), float(bounds.high - bounds.low)
    shares = [
        None if each is None else {pod: (n, min(max((s - low * n) / reach, 0.0), n)) for pod, (n, s) in each.items()}
        for each in history.intervals
    ]
    found = calibrate_shares(shares, pods)
    return replace(found, pod_deviation=found.pod_deviation * reach, noise_floor=found.noise_floor * reach)


def floored(margin: float, calibration: Calibration | None, *, noise: Noise, kind: Kind) -> Margins:
    """Return the margins of both sides, none below what the pods' own differences make likely (F12).

    ``Widen`` moves both sides. ``Strict`` moves the roll-back side alone, and the promotion side the other way: what
    the pods could hide counts against the candidate.
    """
    floor = 0.0 if calibration is None else calibration.noise_floor
    widened = max(margin, floor)
    if kind not in (Kind.RATE, Kind.MEAN):
        widened = min(widened, max(margin, _LARGEST_SHARE_MARGIN))
    if noise is Noise.WIDEN or floor == 0.0:
        return Margins(roll_back=widened, promotion=widened)
    return Margins(roll_back=widened, promotion=max(0.0, margin - floor))


def frozen_calibration(
    calibration: Calibration, *, message: str, labels: FrozenLabels | None = None
) -> FrozenCalibration:
    """Return what the record keeps of a calibration."""
    return FrozenCalibration(
        source="Measured" if calibration.measured else "Prior",
        intervals=calibration.intervals,
        pods=calibration.pods,
        design_effect=f"{calibration.design_effect:.6g}",
        intraclass=None if calibration.intraclass is None else f"{calibration.intraclass:.6g}",
        noise_floor=f"{calibration.noise_floor:.6g}",
        autocorrelation=f"{calibration.autocorrelation:.4g}",
        labels=labels,
        message=message,
    )


def calibration_of(frozen: FrozenCalibration | None, kind: Kind) -> Calibration | None:
    """Return the calibration that was frozen, as far as counts of a window need it; None for an uncalibrated metric."""
    if frozen is None:
        return None
    return Calibration(
        measured=frozen.source == "Measured",
        intervals=frozen.intervals,
        pods=frozen.pods,
        design_effect=float(frozen.design_effect),
        intraclass=None if frozen.intraclass is None else float(frozen.intraclass),
        noise_floor=float(frozen.noise_floor),
        autocorrelation=float(frozen.autocorrelation or 0),
        alone=0.0 if kind is Kind.RATE else 1.0,
    )


def inflations(frozen: FrozenAnalysis, windows: Iterable[RecordedWindow]) -> dict[str, float]:
    """Return by how much more the candidate's pods scattered in these windows than calibrated, per metric.

    Metrics in which they did not are absent. What is deflated by it are later windows alone.
    """
    kinds = {metric.name: metric.kind for metric in frozen.analysis.metrics}
    seen: dict[str, Dispersion] = {}
    for window in windows:
        for row in window.rows:
            if row.candidate is not None and row.candidate.scatter is not None and row.metric in kinds:
                seen[row.metric] = seen.get(row.metric, Dispersion()) + _dispersion(row.candidate, kinds[row.metric])
    found = {name: each.inflation for name, each in seen.items()}
    return {name: inflation for name, inflation in found.items() if inflation > 1.0}


def _dispersion(counts: ArmCounts, kind: Kind) -> Dispersion:
    total, bad = float(counts.total), float(counts.bad or 0)
    outcomes = bad if kind is Kind.RATE or total <= 0.0 else bad * (1.0 - bad / total)
    return Dispersion(
        squares=float(counts.scatter or 0),
        expected=float(counts.expected_scatter or 0),
        degrees=max(0, (counts.pods or 1) - 1),
        outcomes=outcomes,
    )


def describe_calibration(metric: Metric, calibration: Calibration, margin: float, margins: Margins) -> str:
    """Say what was measured and what follows, in one line."""
    if not calibration.measured:
        return _prior_in_words(metric, calibration)
    parts = [f"{calibration.intervals} intervals × {calibration.pods} pods"]
    if metric.kind is Kind.MEAN and calibration.intraclass is None:
        parts.insert(0, "each window counts as one observation")
    else:
        parts[0] = f"design effect {calibration.design_effect:.1f} from {parts[0]}"
    if calibration.batch > 1 and calibration.intraclass is None:
        parts.append(f"{calibration.batch} windows are taken together, as neighbouring ones resemble each other")
    if calibration.pod_deviation > 0.0:
        parts.append(f"pods differ by {_amount(calibration.pod_deviation, metric)}")
    parts += _widening(metric, calibration, margin, margins)
    return ", ".join(parts)


def describe_noise(frozen: FrozenCalibration | None, inflation: float) -> str | None:
    """Say what was frozen, and by how much more the candidate's pods scatter; None for an uncalibrated metric."""
    if frozen is None or inflation <= 1.0:
        return None if frozen is None else frozen.message
    return (
        f"{frozen.message}; the candidate's pods scatter {inflation:.1f} times as much as that, so its requests count "
        "for less"
    )


def _prior_in_words(metric: Metric, calibration: Calibration) -> str:
    found = f"{calibration.intervals} of {FEWEST_INTERVALS} intervals with two pods or more"
    if metric.kind is Kind.MEAN and calibration.design_effect == 1.0:
        return f"too little history ({found}): no noise floor, each window counts as one observation"
    if calibration.intervals >= FEWEST_INTERVALS:
        found = f"{calibration.intervals} intervals in which all outcomes were alike"
    assumed = (
        f"design effect {calibration.design_effect:.0f} assumed, as history says too little ({found}); no noise floor"
    )
    if metric.kind in (Kind.HISTOGRAM, Kind.DISTRIBUTION):
        return assumed
    return f"{assumed}, and both verdicts also need the differences between windows to agree"


def _widening(metric: Metric, calibration: Calibration, margin: float, margins: Margins) -> list[str]:
    """Say which margin is another than what the spec gives."""
    if margins.promotion < margin:
        floor = _amount(calibration.noise_floor, metric)
        if margins.promotion <= 0.0:
            return [f"noise floor {floor} above the margin {_amount(margin, metric)}: no automatic promotion (Strict)"]
        return [f"promotion needs the margin less the noise floor: {_amount(margins.promotion, metric)} (Strict)"]
    if margins.roll_back > margin:
        return [f"margin widened {_bare(margin, metric)} → {_amount(margins.roll_back, metric)}"]
    return []


def _amount(number: float, metric: Metric) -> str:
    unit = {Kind.RATE: " %", Kind.MEAN: ""}.get(metric.kind, " points")
    return f"{_bare(number, metric)}{unit}"


def _bare(number: float, metric: Metric) -> str:
    return f"{number if metric.kind is Kind.MEAN else 100 * number:.2g}"


def describe_overall(frozen: FrozenAnalysis) -> str:
    """Say for all metrics together what is allowed for noise."""
    known = {each.metric: each.calibration for each in frozen.metrics if each.calibration is not None}
    measured = {name: each for name, each in known.items() if each.source == "Measured"}
    if not known:
        return "no metric needs it"
    margins = {each.metric: each.margin for each in frozen.metrics}
    parts = []
    if measured:
        worst = max(measured, key=lambda name: float(measured[name].design_effect))
        effect = float(measured[worst].design_effect)
        parts.append(
            f"measured for {len(measured)} of {len(known)} metrics, largest design effect {effect:.1f} ({worst})"
        )
    assumed = [name for name in known if name not in measured]
    if assumed:
        parts.append(f"history says too little about {', '.join(assumed)}: prior")
    widened = [name for name, each in known.items() if each.noise_floor == margins[name] != "0"]
    if widened:
        parts.append(f"margin widened for {', '.join(widened)}")
    return "; ".join(parts)[:_LONGEST_TEXT]
