"""Red flags: an ordered chain of pure checks that need no statistics; the first that finds something decides."""

from collections.abc import Callable

from controller.api.reasons import Reason
from controller.api.record import ArmCounts, RecordedWindow, Row
from controller.api.spec import Metric
from controller.api.verdicts import Kind, Role
from controller.plan.rules_verify import smoke_failed
from controller.plan.situation import Situation
from controller.plan.world import Problem

ALL_BAD_REQUESTS = 20
"""Requests in a window from which on "every one of them was bad" needs no statistics."""

Check = Callable[[Situation], Problem | None]


def red_flag(situation: Situation) -> Problem | None:
    """Return the first red flag, or None."""
    return next((flag for check in CHECKS if (flag := check(situation)) is not None), None)


def _pod_in_trouble(situation: Situation) -> Problem | None:
    candidate, live = situation.status.candidate, situation.world.candidate
    if candidate is None or live is None or candidate.deployment != live.deployment:
        return None
    return next((pod.trouble for pod in situation.world.candidate_pods if pod.trouble is not None), None)


def _every_request_bad(situation: Situation) -> Problem | None:
    evidence = situation.evidence
    if evidence is None:
        return None
    metrics = evidence.frozen.analysis.metrics
    decisive = {each.name for each in metrics if each.role is not Role.WATCH and each.kind is Kind.RATIO}
    for window in evidence.windows:
        for row in window.rows:
            if row.metric in decisive and row.candidate is not None and _all_bad(row):
                return Problem(
                    Reason.ALL_REQUESTS_BAD,
                    f"{row.metric}: all {row.candidate.total} requests of the candidate were bad in {_when(window)}",
                )
    return None


def _all_bad(row: Row) -> bool:
    """Every request of the candidate was bad, and not every one of stable's: an outage of both is no model's fault."""
    if row.candidate is None or row.stable is None:
        return False
    requests, bad = float(row.candidate.total), float(row.candidate.bad or 0)
    both = float(row.stable.bad or 0) >= float(row.stable.total) > 0
    return requests >= ALL_BAD_REQUESTS and bad >= requests and not both


def _threshold_exceeded(situation: Situation) -> Problem | None:
    evidence = situation.evidence
    if evidence is None:
        return None
    metrics = {metric.name: metric for metric in evidence.frozen.analysis.metrics}
    for name in evidence.trial.red_flags:
        at = evidence.trial.metrics[name].flagged_at
        window = evidence.windows[at] if at is not None else evidence.windows[-1]
        counts = next((row.candidate for row in window.rows if row.metric == name), None)
        found = _found(metrics[name], counts) if counts else "the candidate"
        return Problem(
            Reason.THRESHOLD_EXCEEDED,
            f"{name}: {found} in {_when(window)}, the threshold is {_threshold(metrics[name])}",
        )
    return None


def _found(metric: Metric, counts: ArmCounts) -> str:
    total = float(counts.total)
    match metric.kind:
        case Kind.RATE:
            return f"{float(counts.bad or 0) / total:.4g} ({counts.bad} by {counts.total} of exposure)"
        case Kind.MEAN:
            return f"{float(counts.sum or 0) / total:.4g} on average of {counts.total}"
        case Kind.QUERY:
            return f"{float(counts.value or 0):.6g}"
        case _:
            return f"{counts.bad} of {counts.total} requests"


def _threshold(metric: Metric) -> str:
    threshold = float(metric.threshold or 0)
    return f"{threshold:.2%}" if metric.kind is Kind.RATIO else f"{threshold:.6g}"


def _when(window: RecordedWindow) -> str:
    return f"window {window.start:%H:%M:%S} to {window.end:%H:%M:%S}"


CHECKS: tuple[Check, ...] = (smoke_failed, _pod_in_trouble, _every_request_bad, _threshold_exceeded)
"""What acts fastest comes first."""
