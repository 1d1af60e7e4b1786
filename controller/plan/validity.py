"""Whether the comparison may be trusted: from the record to the judge's circumstances, and back to words.

What is told here never moves requests by itself: an invalid comparison holds the weight, and so does a part of the
requests in which the candidate is worse.
"""

import re
from collections.abc import Iterator
from typing import Final

from controller.api.reasons import Reason
from controller.api.record import ArmCounts, FrozenLabels, RecordedWindow, Row
from controller.api.spec import Metric, ModelRolloutSpec, Sessions
from controller.api.status import ArmPair, SliceStatus
from controller.api.verdicts import Kind, ShareCheck
from controller.judge import Arm, Circumstances, Coverage, RateArm, Slice, SliceEvidence, Split, Trial, Window
from controller.judge import Evidence as MetricEvidence
from controller.plan.counters import counters_of
from controller.plan.figures import e_value
from controller.plan.label_lag import explain_lag, known_labels
from controller.plan.situation import Evidence
from controller.plan.world import Problem

__all__ = [
    "circumstances",
    "coverage_note",
    "doubt",
    "holding",
    "latency_metrics",
    "share_check",
    "slice_statuses",
]

_LONGEST: Final = 1024

_LOOK_AT: Final = {
    ShareCheck.INDEPENDENT: (
        "look at the route for another rule or filter that sends requests to one arm, at clients that keep their "
        "session (traffic.sessions: Sticky) or retry, and whether traffic.requests counts every request once"
    ),
    ShareCheck.STICKY: (
        "look at the route for another rule or filter that sends requests to one arm, at sessions that outlive a "
        "window, and whether traffic.requests counts every request once"
    ),
    ShareCheck.ADVISORY: "a Service spreads connections, not requests: look for clients that keep theirs open",
}


_VOID: Final = (
    "the arms' latencies are not comparable, because their resources or their load per pod differ (see "
    "status.verification.environment.differences); give both the same, or put the group into verify.parity.allowDiff"
)


def latency_metrics(spec: ModelRolloutSpec) -> tuple[str, ...]:
    """Return the metrics that measure time: histograms, and means or ratios whose counter is named in seconds."""
    return tuple(metric.name for metric in spec.analysis.metrics if _measures_time(metric))


def _measures_time(metric: Metric) -> bool:
    if metric.kind is Kind.HISTOGRAM:
        return True
    timed = re.compile(r"_(seconds|milliseconds|ms|duration|latency)(_|\b)")
    return metric.kind is Kind.MEAN and timed.search(counters_of(metric).bad) is not None


def share_check(spec: ModelRolloutSpec) -> ShareCheck:
    """Return how the candidate's share of the requests is held against the weight of this rollout's router."""
    if spec.traffic.service is not None:
        return ShareCheck.ADVISORY
    return ShareCheck.STICKY if spec.traffic.sessions is Sessions.STICKY else ShareCheck.INDEPENDENT


def circumstances(window: RecordedWindow) -> Circumstances:
    """Return what a recorded window tells the judge besides the counts of its metrics."""
    requests = window.requests
    split = (
        None if requests is None else Split(float(requests.weight), float(requests.stable), float(requests.candidate))
    )
    labels = {row.metric: counted for row in window.rows if (counted := _labels(row)) is not None}
    return Circumstances(
        split=split,
        labels=labels,
        lost=frozenset(row.metric for row in window.rows if row.skipped is Reason.METRIC_LOST),
        slices={row.metric: _slices(row) for row in window.rows if row.slices},
    )


def _labels(row: Row) -> Window[RateArm] | None:
    stable, candidate = row.stable, row.candidate
    if stable is None or candidate is None or stable.requests is None or candidate.requests is None:
        return None
    return Window(
        stable=RateArm(count=float(stable.total), exposure=float(stable.requests)),
        candidate=RateArm(count=float(candidate.total), exposure=float(candidate.requests)),
    )


def _slices(row: Row) -> dict[Slice, Window[Arm]]:
    return {(each.label, each.value): Window(_arm(each.stable), _arm(each.candidate)) for each in row.slices}


def _arm(counts: ArmCounts) -> Arm:
    total, bad = counts.effective_total or counts.total, counts.effective_bad or counts.bad or "0"
    return Arm(total=float(total), bad=float(bad), requests=float(counts.total))


def holding(evidence: Evidence) -> Problem | None:
    """Say what holds the weight although the evidence might allow more: the comparison is invalid, or a slice worse."""
    trial, labels = evidence.trial, known_labels(evidence.frozen)
    if trial.validity.mismatched:
        return Problem(Reason.SAMPLE_RATIO_MISMATCH, f"Invalid: {_shares(trial)}")
    for each in trial.doubtful:
        if each.doubt is Reason.METRIC_LOST:
            return Problem(Reason.METRIC_LOST, f"Invalid: {_lost(trial, each)}")
        if each.doubt is Reason.ENVIRONMENTS_DIFFER:
            return Problem(each.doubt, f"Invalid: {each.test.name}: {_VOID}")
        if each.doubt is not None:
            return Problem(each.doubt, f"Invalid: {coverage_note(trial, each, labels=labels.get(each.test.name))}")
    slices = [_slice(trial, name, part) for name, parts in trial.worse_slices.items() for part in parts]
    if slices:
        return Problem(
            Reason.SLICE_WORSE,
            f"{'; '.join(slices)}: no promotion while the candidate is worse there; mend it, or request promote or "
            "abort",
        )
    return None


def doubt(evidence: Evidence) -> str | None:
    """Say what speaks against the comparison: what makes it invalid, or what a person should only know."""
    problem, trial = holding(evidence), evidence.trial
    if problem is not None and trial.invalid:
        return problem.message[:_LONGEST]
    advisory = trial.validity.check is ShareCheck.ADVISORY and trial.validity.split.mismatched
    return f"Valid, but {_shares(trial)}"[:_LONGEST] if advisory else None


def _shares(trial: Trial) -> str:
    shares, check = trial.validity.split.shares, trial.validity.check
    return (
        f"the candidate got {shares.found / shares.total:.1%} of {shares.total:.0f} requests instead of "
        f"{shares.wanted / shares.total:.1%}: the arms may serve different requests; {_LOOK_AT[check]}"
    )


def _lost(trial: Trial, each: MetricEvidence) -> str:
    windows = trial.validity.lost[each.test.name]
    return (
        f"{each.test.name}: stable exports it, the candidate, which serves requests, has not for {windows} windows; "
        "look whether the new version still exports the counter under this name, and is scraped"
    )


def coverage_note(trial: Trial, each: MetricEvidence, *, labels: FrozenLabels | None = None) -> str | None:
    """Say for which share of its requests each arm got labels; None for a metric that counts no labels.

    ``labels`` is what history told about them: a difference that stays after labels had their time is none of age.
    """
    coverage = trial.validity.coverage.get(each.test.name)
    if coverage is None or not min(coverage.stable.exposure, coverage.candidate.exposure) > 0:
        return None
    stable, candidate = coverage.stable, coverage.candidate
    text = (
        f"{each.test.name}: labels for {candidate.count / candidate.exposure:.1%} of the candidate's "
        f"{candidate.exposure:.0f} requests and {stable.count / stable.exposure:.1%} of stable's {stable.exposure:.0f}"
    )
    if not coverage.differs:
        return text
    return (
        f"{text}: what is compared are different parts of the requests; look whether the answers of both arms reach "
        f"who labels them. {explain_lag(labels)}{_lag(coverage)}If labels are only late, set labelDelay, and cohort"
    )


def _lag(coverage: Coverage) -> str:
    behind = coverage.behind
    if behind is None:
        return ""
    when = "later" if behind > 0 else "earlier"
    return f"If none are lost, the candidate's come {abs(behind):.1f} windows {when} than stable's. "


def _slice(trial: Trial, name: str, part: Slice) -> str:
    found = trial.slices.parts[name][part]
    rates = found.rates
    numbers = "" if rates is None else f" {rates.candidate:.2%} against {rates.stable:.2%}"
    label, value = part
    return f"{name} is worse where {label} is {value!r}:{numbers}, margin {found.margin:.2%}"


def slice_statuses(trial: Trial, name: str) -> Iterator[SliceStatus]:
    """Yield what status says about the parts of a metric's requests in which the candidate is worse."""
    for part in trial.worse_slices.get(name, ()):
        yield _slice_status(part, trial.slices.parts[name][part])


def _slice_status(part: Slice, found: SliceEvidence) -> SliceStatus:
    rates, (label, value) = found.rates, part
    return SliceStatus(
        label=label,
        value=value,
        rates=ArmPair(stable=f"{rates.stable:.4%}", candidate=f"{rates.candidate:.4%}") if rates else ArmPair(),
        evidence=e_value(found.log_worse),
    )
