"""What a metric reads: its selectors, by kind, with its preset's where it has one."""

from dataclasses import dataclass

from controller.api.presets import LATENCIES, PRESETS
from controller.api.spec import Margin, Metric, Ratio
from controller.api.verdicts import Kind

__all__ = ["LE", "Counters", "absence_allowed", "counters_of", "margin_of"]

LE = "le"
"""The label that tells the buckets of a classic histogram."""


@dataclass(frozen=True)
class Counters:
    """The selectors of a metric.

    Attributes:
        total: of what the rest is set against: requests, exposure, values, the buckets, or the pairs; empty for a
            query.
        bad: of bad requests, events or the sum of the values; empty for buckets, pairs and queries.
        label: of buckets: the label that tells them.
        query: PromQL of one arm, with the place for its selector.
        bounds: of a mean: between which numbers every value lies, where that is known.
    """

    total: str = ""
    bad: str = ""
    label: str = LE
    query: str = ""
    bounds: tuple[float, float] | None = None


def counters_of(metric: Metric) -> Counters:
    """Return the selectors of a metric.

    Raises:
        KeyError: the preset is unknown; ``acceptance`` tells before.
    """
    if metric.rate is not None:
        return Counters(total=metric.rate.exposure, bad=metric.rate.count)
    if metric.mean is not None:
        bounds = metric.mean.bounds
        reach = None if bounds is None else (float(bounds.low), float(bounds.high))
        return Counters(total=metric.mean.count, bad=metric.mean.sum, bounds=reach)
    ratio = _ratio(metric)
    return _single(metric) if ratio is None else Counters(total=ratio.total, bad=ratio.bad)


def margin_of(metric: Metric) -> Margin | None:
    """Return the margin that the spec gives, or else the preset; None without either, or with an unknown preset."""
    if metric.margin is not None or metric.preset is None:
        return metric.margin
    preset = LATENCIES.get(metric.preset) or PRESETS.get(metric.preset)
    return None if preset is None else preset.margin


def absence_allowed(metric: Metric) -> bool:
    """Whether the ``bad`` series may never have existed; what has none proves what it proves without."""
    if metric.kind not in (Kind.RATIO, Kind.RATE):
        return True
    return metric.preset is not None if metric.allow_absent is None else metric.allow_absent


def _ratio(metric: Metric) -> Ratio | None:
    if metric.preset is None:
        return metric.ratio
    return None if metric.preset in LATENCIES else PRESETS[metric.preset].ratio


def _single(metric: Metric) -> Counters:
    """Return what a metric reads that has no more than one selector."""
    if metric.preset is not None:
        return Counters(total=LATENCIES[metric.preset].histogram.buckets)
    if metric.histogram is not None:
        return Counters(total=metric.histogram.buckets)
    if metric.distribution is not None:
        return Counters(total=metric.distribution.buckets, label=metric.distribution.label)
    if metric.paired is not None:
        return Counters(total=metric.paired.counter)
    if metric.query is not None:
        return Counters(query=metric.query)
    msg = f"metric {metric.name} has neither preset nor counters"
    raise AssertionError(msg)
