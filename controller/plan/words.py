"""Sentences for status and events: what was found, against what, and what a person can do."""

from controller.api.reasons import Reason
from controller.api.record import Row
from controller.judge import Evidence as MetricEvidence
from controller.plan.figures import Figures, e_value
from controller.plan.situation import Evidence, Situation


def describe_worse(evidence: Evidence) -> str:
    """Say which metric speaks most for *worse*, with its numbers."""
    worst = max(evidence.trial.gating, key=lambda each: each.log_combined)
    figures = Figures.of(evidence.frozen, worst.test.name)
    evidence_value = e_value(worst.log_combined)
    return f"Worse: {figures.numbers(worst)}, margin {figures.margin(worst)}, evidence {evidence_value}"


def describe_not_worse(situation: Situation) -> str:
    """Say what the promotion rests on."""
    evidence = situation.evidence
    if evidence is None:
        return "Not worse"
    return "Not worse: " + "; ".join(
        f"{_numbers(evidence, each)}, evidence {e_value(each.log_not_worse)} of {1 / each.alpha:.3g}"
        for each in evidence.trial.gating
    )


def describe_progress(situation: Situation) -> str:
    """Say where the comparison stands, in one line."""
    status, evidence = situation.status, situation.evidence
    name = status.candidate.deployment if status.candidate else "the candidate"
    head = f"{status.traffic.applied_weight} % of requests on {name}"
    if situation.source_problem is not None:
        return f"{head}; windows wait: {situation.source_problem.message}"
    if evidence is None or not evidence.windows:
        return f"{head}; waiting for the first window"
    missing = missing_rows(evidence)
    if missing:
        return f"{head}; {_missing(missing[0])}"
    parts = [
        f"{_numbers(evidence, each)} (worse {e_value(each.log_combined)}, not worse {e_value(each.log_not_worse)} "
        f"of {1 / each.alpha:.3g})"
        for each in evidence.trial.gating
    ]
    return f"{head}; " + "; ".join(parts)


def describe_missing_data(situation: Situation) -> str:
    """Say why the newest window could not be judged, and what to check."""
    if situation.source_problem is not None:
        return situation.source_problem.message
    evidence = situation.evidence
    missing = missing_rows(evidence) if evidence is not None else ()
    return _missing(missing[0]) if missing else "no window has been due yet"


def missing_rows(evidence: Evidence) -> tuple[Row, ...]:
    """Return the gating metrics that the newest window could not judge."""
    if not evidence.windows:
        return ()
    gating = {each.test.name for each in evidence.trial.gating}
    return tuple(row for row in evidence.windows[-1].rows if row.metric in gating and row.skipped is not None)


_ADVICE = {
    Reason.NO_SERIES: "check the selector, and that Prometheus scrapes the pods with namespace and pod labels",
    Reason.NO_TRAFFIC: "send requests through the route",
    Reason.NO_CANDIDATE_TRAFFIC: "check that the router honours the weight",
    Reason.NO_STABLE_TRAFFIC: "check that stable's pods are scraped and get requests",
    Reason.SCRAPE_GAP: "check the Prometheus target of that pod",
}


def _missing(row: Row) -> str:
    advice = _ADVICE.get(row.skipped) if row.skipped else None
    text = f"{row.metric}: {row.skipped}" + (f": {row.message}" if row.message else "")
    return f"{text}; {advice}" if advice and "check" not in row.message else text


def _numbers(evidence: Evidence, each: MetricEvidence) -> str:
    return Figures.of(evidence.frozen, each.test.name).numbers(each)
