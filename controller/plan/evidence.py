"""From the record to the judge and back: the trial of an epoch, and what status says about it."""

from collections.abc import Iterable

from controller.api.reasons import Reason
from controller.api.record import FrozenAnalysis, RecordedWindow, Row
from controller.api.status import ArmPair, EvidenceStatus, MetricStatus, SliceStatus
from controller.api.verdicts import Kind
from controller.judge import Evidence as MetricEvidence
from controller.judge import Trial, WindowLike
from controller.plan.calibration import describe_noise, inflations
from controller.plan.counters import absence_allowed
from controller.plan.figures import Figures, e_value
from controller.plan.kinds import test_of, window_of
from controller.plan.situation import Evidence
from controller.plan.validity import circumstances, coverage_note, slice_statuses

_MOST_SHOWN = 20
_LONGEST_NOTE = 1024


def start_trial(frozen: FrozenAnalysis) -> Trial:
    """Return the trial of an epoch before its first window, from what was frozen when it began."""
    resolved = {metric.metric: metric for metric in frozen.metrics}
    tests = [test_of(metric, resolved[metric.name], frozen) for metric in frozen.analysis.metrics]
    return Trial.start(
        tests,
        alpha=float(frozen.alpha),
        min_requests=frozen.min_requests,
        share_check=frozen.share_check,
        void=frozenset(frozen.void),
    )


def judged(trial: Trial, windows: Iterable[RecordedWindow], *, frozen: FrozenAnalysis) -> Trial:
    """Return the trial after further recorded windows."""
    for window in windows:
        trial = trial.update(judged_counts(window, frozen=frozen), circumstances(window))
    return trial


def judged_counts(window: RecordedWindow, *, frozen: FrozenAnalysis) -> dict[str, WindowLike | None]:
    """Return what the judge reads of a recorded window: effective counts per metric, None where it was skipped."""
    metrics = {metric.name: metric for metric in frozen.analysis.metrics}
    resolved = {metric.metric: metric for metric in frozen.metrics}
    return {row.metric: window_of(metrics[row.metric], resolved[row.metric], row) for row in window.rows}


def counts(window: RecordedWindow, gating: frozenset[str]) -> bool:
    """Whether at least one gating metric was judged in the window."""
    return any(row.metric in gating and row.skipped is None for row in window.rows)


def gating_names(frozen: FrozenAnalysis) -> frozenset[str]:
    """Return the names of the metrics that decide."""
    return frozenset(metric.name for metric in frozen.analysis.metrics if metric.role.gating)


def unproven_metrics(evidence: Evidence) -> tuple[str, ...]:
    """Return the gating metrics whose ``bad`` series was never seen, where that is not allowed."""
    metrics = evidence.frozen.analysis.metrics
    return tuple(m.name for m in metrics if m.role.gating and not absence_allowed(m) and never_seen(evidence, m.name))


def describe(evidence: Evidence) -> tuple[MetricStatus, ...]:
    """Return what status says about each metric."""
    newest = {row.metric: row for row in evidence.windows[-1].rows} if evidence.windows else {}
    unproven, inflated = unproven_metrics(evidence), inflations(evidence.frozen, evidence.windows)
    return tuple(
        _metric_status(
            evidence.trial,
            each,
            figures=Figures.of(evidence.frozen, name),
            inflation=inflated.get(name, 1.0),
            row=newest.get(name),
            unproven=name in unproven,
        )
        for name, each in evidence.trial.metrics.items()
    )


def never_seen(evidence: Evidence, metric: str) -> bool:
    """Whether no series ever matched the metric's ``bad`` selector: then its zero proves nothing."""
    rows = [row for window in evidence.windows for row in window.rows if row.metric == metric and row.skipped is None]
    return bool(rows) and not any(row.bad_seen for row in rows)


def _metric_status(
    trial: Trial,
    each: MetricEvidence,
    *,
    figures: Figures,
    inflation: float,
    row: Row | None,
    unproven: bool,
) -> MetricStatus:
    rates, difference, interval = each.shown_rates, each.shown_difference, each.shown_interval
    frozen, judged_once = figures.resolved, each.windows > 0
    slices = tuple(slice_statuses(trial, each.test.name))
    remarks = () if row is None or row.skipped is not None else (row.message, _until_mature(row))
    covered = coverage_note(trial, each, labels=frozen.calibration.labels if frozen.calibration else None)
    note = "; ".join(filter(None, (figures.note(each), covered, *remarks)))
    return MetricStatus(
        name=each.test.name,
        kind=figures.metric.kind,
        role=each.test.role,
        verdict=each.verdict,
        rates=ArmPair(stable=figures.level(rates.stable), candidate=figures.level(rates.candidate))
        if rates
        else ArmPair(),
        difference=None if difference is None else figures.difference(difference),
        interval=tuple(figures.bound(bound) for bound in interval) if judged_once and interval else None,
        evidence=EvidenceStatus(
            worse=e_value(each.log_combined), not_worse=e_value(each.log_not_worse), needed=f"{1 / each.alpha:.4g}"
        ),
        requests=ArmPair(stable=f"{each.requests.stable:.0f}", candidate=f"{each.requests.candidate:.0f}"),
        margin=figures.margin(each) if figures.metric.kind is Kind.RATE else frozen.margin,
        calibration=describe_noise(frozen.calibration, inflation),
        slices=slices[:_MOST_SHOWN],
        note=note[:_LONGEST_NOTE] or None,
        state=_state(each, row, unproven=unproven, slices=slices),
    )


def _until_mature(row: Row) -> str | None:
    if row.labels_mature is None:
        return None
    return (
        f"{Reason.LABELS_IMMATURE}: until {row.labels_mature:%H:%M:%S} the labels of both arms differ in age, so "
        "for how many requests they are is not compared"
    )


def _state(each: MetricEvidence, row: Row | None, *, unproven: bool, slices: tuple[SliceStatus, ...]) -> Reason:
    """Why the newest window was not counted, or what stands against the metric although it was."""
    if row is None:
        return Reason.NO_WINDOW_YET
    if each.doubt is not None or row.skipped is not None:
        return each.doubt or row.skipped or Reason.COUNTED
    if row.labels_mature is not None:
        return Reason.LABELS_IMMATURE
    if unproven:
        return Reason.BAD_SERIES_NEVER_SEEN
    if each.test.promotion_margin == 0.0:
        return Reason.NOISE_ABOVE_MARGIN
    return Reason.SLICE_WORSE if slices else Reason.COUNTED
