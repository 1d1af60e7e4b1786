"""From counts to a row of the record: what the judge reads back, and what a person should know of it. Pure."""

from controller.api.reasons import Reason
from controller.api.record import ArmCounts, Row, SliceCounts
from controller.api.verdicts import Kind
from controller.judge import UNCALIBRATED, Dispersion
from controller.observe.arms import MetricQuestion
from controller.observe.counters import exact, plain
from controller.observe.slices import Measure, parts
from controller.observe.tally import PerPod, Tally, overshoot, summed
from controller.plan.world import ArmName, Problem

__all__ = ["counted", "shown", "skipped", "with_parts"]

_SHOWN_SELECTOR = 200
_LONGEST_MESSAGE = 1024
"""What a row may hold; label values, which are part of some messages, have no bound of their own."""

_NO_PAIRS = (
    "no pair of answers was counted in the window; check that requests are mirrored, and what compares the answers"
)
_SILENCE = {
    (True, True): (Reason.NO_TRAFFIC, "neither arm got a request in the window; check that clients send any"),
    (True, False): (Reason.NO_STABLE_TRAFFIC, "stable got no request in the window, so nothing can be compared"),
    (False, True): (Reason.NO_CANDIDATE_TRAFFIC, "the candidate got no request in the window; check the route"),
}
"""By whether stable and the candidate were without requests."""


def counted(metric: MetricQuestion, counts: Tally, *, bad_seen: bool | None) -> Row:
    """Return a row with counts; one without requests in an arm is skipped, but shows what the other arm had."""
    stable, candidate = summed(counts.stable), summed(counts.candidate)
    reason, message = _SILENCE.get((stable.total == 0, candidate.total == 0), (None, ""))
    if reason is not None and metric.kind is Kind.PAIRED:
        message = _NO_PAIRS
    if reason is None:
        message = _remarks(metric, counts, bad_seen=bad_seen)
    return Row(
        metric=metric.name,
        stable=_arm_counts(metric, counts.stable),
        candidate=_arm_counts(metric, counts.candidate, inflation=metric.inflation).model_copy(
            update=_scatter(metric, counts.candidate)
        ),
        edges=counts.edges or None,
        bad_seen=bad_seen,
        skipped=reason,
        message=message[:_LONGEST_MESSAGE],
    )


def with_parts(row: Row, metric: MetricQuestion, measure: Measure) -> Row:
    """Return a counted row with the metric's slices."""
    if row.skipped is not None or not metric.slices:
        return row
    found, remark = parts(metric, measure)
    slices = tuple(
        SliceCounts(
            label=part.label,
            value=part.value,
            stable=_arm_counts(metric, part.counts.stable),
            candidate=_arm_counts(metric, part.counts.candidate, inflation=metric.inflation),
        )
        for part in found
    )
    message = "; ".join(text for text in (row.message, remark) if text)
    return row.model_copy(update={"slices": slices, "message": message[:_LONGEST_MESSAGE]})


def skipped(metric: MetricQuestion, problem: Problem) -> Row:
    """Return a row without counts."""
    return Row(metric=metric.name, skipped=problem.reason, message=problem.message[:_LONGEST_MESSAGE])


def shown(selector: str) -> str:
    """Return a selector, shortened for a message."""
    return selector if len(selector) <= _SHOWN_SELECTOR else f"{selector[:_SHOWN_SELECTOR]}…"


def _arm_counts(metric: MetricQuestion, pods: PerPod, *, inflation: float = 1.0) -> ArmCounts:
    raw = summed(pods)
    match metric.kind:
        case Kind.PAIRED:
            # They are of no pod of an arm, and not deflated: see ``calibrate``.
            return ArmCounts(total=plain(raw.total), bad=plain(raw.bad), alone=plain(raw.alone))
        case Kind.MEAN:
            counts = ArmCounts(total=plain(raw.total), sum=exact(raw.bad))
        case Kind.HISTOGRAM | Kind.DISTRIBUTION:
            counts = ArmCounts(total=plain(raw.total), buckets=tuple(plain(each) for each in raw.buckets))
        case Kind.RATIO:
            counts = ArmCounts(total=plain(raw.total), bad=plain(min(raw.bad, raw.total)))
        case _:
            counts = ArmCounts(total=plain(raw.total), bad=plain(raw.bad))
    return counts.model_copy(update={"pods": len(pods), **_effective(metric, pods, inflation)})


def _effective(metric: MetricQuestion, pods: PerPod, inflation: float) -> dict[str, str]:
    """Return the counts that the judge uses: those of each pod, deflated by its design effect (F5)."""
    calibration = metric.calibration or UNCALIBRATED
    if metric.kind in (Kind.RATIO, Kind.RATE):
        total, bad = calibration.effective(((each.total, each.bad) for each in pods.values()), inflation=inflation)
        if metric.kind is Kind.RATIO:
            # No judge of a ratio can use more bad requests than requests.
            bad = min(bad, total)
        return {"effective_total": plain(total), "effective_bad": plain(bad)}
    size = calibration.effective_size((each.total for each in pods.values()), inflation=inflation)
    return {"effective_total": plain(size)}


def _scatter(metric: MetricQuestion, pods: PerPod) -> dict[str, str]:
    """Return how far the candidate's pods lie apart, for what the next windows make of it."""
    if metric.calibration is None or metric.kind not in (Kind.RATIO, Kind.RATE):
        return {}
    cells = {pod: (each.total, each.bad) for pod, each in pods.items()}
    measured = Dispersion.of_shares if metric.kind is Kind.RATIO else Dispersion.of_rates
    found = measured(cells, metric.calibration)
    if not found.degrees:
        return {}
    return {"scatter": f"{found.squares:.6g}", "expected_scatter": f"{found.expected:.6g}"}


def _remarks(metric: MetricQuestion, counts: Tally, *, bad_seen: bool | None) -> str:
    excesses = (
        (ArmName.STABLE, overshoot(counts.stable)),
        (ArmName.CANDIDATE, overshoot(counts.candidate)),
    )
    remarks = [
        f"{arm} had {plain(excess)} more bad requests than requests, which were cut: either the two counters were not "
        "read in one moment, or bad selects what total does not"
        for arm, excess in excesses
        if excess and metric.kind is Kind.RATIO
    ]
    if bad_seen is False:
        remarks.append(f"no series ever matched {shown(metric.bad)}, so that its 0 proves nothing")
    return "; ".join(remarks)
