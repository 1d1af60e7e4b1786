"""How late labels come, as stable's history told when the epoch began: what is frozen, what follows, and in words."""

from collections.abc import Mapping
from datetime import timedelta
from math import ceil
from typing import Final

from controller.api.metric import Metric
from controller.api.reasons import Reason
from controller.api.record import FrozenAnalysis, FrozenLabels
from controller.api.scalars import format_duration
from controller.judge import LabelHistory, measure_label_lag
from controller.plan.amounts import about_time
from controller.plan.situation import Evidence
from controller.plan.world import Problem

__all__ = ["describe_labels", "explain_lag", "frozen_labels", "immature", "known_labels", "maturity"]

_SECOND: Final = timedelta(seconds=1)
_MOST_LABELS: Final = 1.1
"""Labels by request, above which they are none: what counts more often than requests is no label of them."""


def frozen_labels(history: LabelHistory, interval: timedelta) -> FrozenLabels | None:
    """Return what the record keeps of the delay of labels; None where nothing counts labels, or too few are known."""
    found = measure_label_lag(history)
    if found is None or found.coverage > _MOST_LABELS:
        return None
    told = found.longest is not None
    return FrozenLabels(
        intervals=found.intervals,
        coverage=f"{found.coverage:.4g}",
        half=_rounded(found.half * interval) if told else None,
        most=_rounded(found.most * interval) if told else None,
        least=_rounded(found.least * interval),
        longest=None if found.longest is None else _rounded(found.longest * interval),
    )


def _rounded(span: timedelta) -> timedelta:
    return round(span / _SECOND) * _SECOND


def maturity(labels: FrozenLabels | None) -> timedelta:
    """Return how long after a change of the weight both arms' labels are of different ages, as far as that is known."""
    if labels is None:
        return timedelta(0)
    return labels.least if labels.longest is None else labels.longest


def describe_labels(metric: Metric, labels: FrozenLabels | None, *, interval: timedelta) -> str:
    """Say what was measured, and what to set where the spec does not go with it; empty without labels."""
    if labels is None:
        return ""
    parts = (_measured(labels, interval), _advice(metric, labels, interval))
    return "; ".join(part for part in parts if part)


def _measured(labels: FrozenLabels, interval: timedelta) -> str:
    covered = f"labels for {float(labels.coverage):.0%} of the requests"
    rests = f"measured over {labels.intervals} intervals"
    if labels.half is None or labels.most is None or labels.longest is None:
        if labels.least > interval:
            return f"{covered}, 95 % of them more than {about_time(labels.least)} after the requests ({rests})"
        return (
            f"{covered}; how late they come cannot be told from {labels.intervals} intervals: it takes traffic that "
            "changes, so set labelDelay if they take longer than a window"
        )
    if labels.longest <= interval:
        return f"{covered}, within {format_duration(interval)} of them ({rests})"
    span = format_duration(labels.most)
    if labels.least != labels.longest:
        span += f" (between {format_duration(labels.least)} and {format_duration(labels.longest)})"
    return f"{covered}, half of them come within {format_duration(labels.half)}, 95 % within {span}, {rests}"


def _advice(metric: Metric, labels: FrozenLabels, interval: timedelta) -> str:
    """Compare with the lower end, so that nothing is advised against that may be right."""
    if metric.label_delay is not None:
        if metric.label_delay >= labels.least:
            return ""
        return f"labelDelay {format_duration(metric.label_delay)} is shorter than that: set {_enough(labels)}"
    if max(labels.least, labels.most or labels.least) <= interval:
        return ""
    return (
        "labels are compared as they arrive, those of requests before a change of the weight among them: set "
        f"labelDelay: {_enough(labels)}, and cohort"
    )


def _enough(labels: FrozenLabels) -> str:
    """Return a labelDelay with which nearly all labels come in time, rounded up."""
    if labels.longest is None:
        return f"more than {format_duration(labels.least)}"
    seconds = labels.longest / _SECOND
    step = 10 if seconds <= 600 else 60
    return format_duration(timedelta(seconds=max(1, ceil(seconds / step)) * step))


def known_labels(frozen: FrozenAnalysis) -> Mapping[str, FrozenLabels]:
    """Return what is known per metric."""
    return {
        each.metric: each.calibration.labels
        for each in frozen.metrics
        if each.calibration is not None and each.calibration.labels is not None
    }


def explain_lag(labels: FrozenLabels | None) -> str:
    """Say why lateness does not explain that the arms have labels for different shares; empty where that is open."""
    if labels is None or labels.longest is None:
        return ""
    return (
        f"Before the epoch stable's came for {float(labels.coverage):.0%} of its requests, 95 % of them within "
        f"{format_duration(labels.longest)}, which was waited for. "
    )


def immature(evidence: Evidence) -> Problem | None:
    """Say which gating metric's newest labels are not of the same ages in both arms: a promotion waits for them."""
    gating = {each.test.name for each in evidence.trial.gating}
    for row in evidence.windows[-1].rows if evidence.windows else ():
        if row.metric in gating and row.skipped is None and row.labels_mature is not None:
            return Problem(
                Reason.LABELS_IMMATURE,
                f"{row.metric}: not worse so far, but the labels of both arms are of different ages until "
                f"{row.labels_mature:%H:%M:%S}",
            )
    return None
