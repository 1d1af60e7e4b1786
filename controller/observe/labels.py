"""Metrics that count labels: what became known of requests, later than they were served.

Labels that come at different speed for different outcomes, or for different arms, must not be compared as they arrive.
Two ways lead round that:

- With a cohort label, each label tells when its prediction was made. Time is cut into cohorts as long as
  ``labelDelay``, numbered from the Unix epoch; the label's value is that number modulo 8. A cohort is ripe one
  ``labelDelay`` after its end, when the youngest of its requests are that old. The window in which it becomes ripe
  holds its counts, and no other does: each cohort is judged once, with labels of equal age in both arms.
- Without one, the labels that arrive are compared, from one ``labelDelay`` after a change of the weight on: from then
  on both arms' labels are of the same mixture of ages.

In both cases the record keeps for how many requests the labels were, so that the judge sees when the arms differ.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import ceil, floor
from typing import Final

from controller.api.reasons import Reason
from controller.api.record import ArmCounts, Row
from controller.api.scalars import format_duration
from controller.api.selectors import Matcher, quoted
from controller.api.spec import ArmLabels
from controller.api.verdicts import Kind
from controller.judge import PerArm
from controller.observe.arms import MetricQuestion, Question
from controller.observe.counters import plain
from controller.observe.reading import Reading
from controller.observe.rows import skipped
from controller.plan.world import Problem

__all__ = ["COHORTS", "Cohort", "labelled_requests", "ripening", "row_of"]

COHORTS: Final = 8
"""Values of a cohort label: so that labels up to seven times ``labelDelay`` late are not taken for those of another."""

Read = Callable[[Question, datetime, datetime], Reading]
"""Reads another stretch of time than the window's."""


@dataclass(frozen=True)
class Cohort:
    """The requests of one stretch of time, by when they were served."""

    number: int
    length: timedelta

    @property
    def value(self) -> str:
        """The cohort label's value."""
        return str(self.number % COHORTS)

    @property
    def start(self) -> datetime:
        """When its first prediction can have been made."""
        return datetime.fromtimestamp(self.number * self.length.total_seconds(), UTC)

    @property
    def end(self) -> datetime:
        """When its last prediction was made."""
        return self.start + self.length

    @property
    def ripe(self) -> datetime:
        """When all of its requests are as old as labels take."""
        return self.end + self.length


def ripening(start: datetime, end: datetime, *, length: timedelta) -> Cohort | None:
    """Return the newest cohort that becomes ripe after ``start`` and until ``end``, or None."""
    newest = Cohort(floor(end.timestamp() / length.total_seconds()) - 2, length)
    return newest if newest.ripe > start else None


def row_of(metric: MetricQuestion, question: Question, reading: Reading, read: Read) -> Row:
    """Return the row of a metric in the window that ``reading`` reads, or why it has no counts."""
    if metric.label_delay is None:
        return _as_they_come(metric, question, reading, settled=reading.length)
    if metric.cohort is not None:
        return _of_cohort(metric, question, reading, read)
    mature = (question.applied_at or reading.start) + metric.label_delay
    if reading.start < mature:
        late, delay = f"{mature:%H:%M:%S}", format_duration(metric.label_delay)
        message = f"labels take up to {delay}, so that until {late} those of both arms are not equally old"
        return skipped(metric, Problem(Reason.LABELS_IMMATURE, message))
    return _as_they_come(metric, question, reading, settled=timedelta(0))


def _as_they_come(metric: MetricQuestion, question: Question, reading: Reading, *, settled: timedelta) -> Row:
    """Return the row of all labels that arrived; of how many requests they are is told once both arms' are as old.

    That is ``settled`` after a change of the weight, and after the time that history says labels take. Until then the
    arm that got more requests has fewer labels for them, or none, and that means nothing.
    """
    row, since, mature = reading.row(metric), _since_change(question, reading), _matures(metric, question)
    if mature is None or reading.start >= mature:
        return _covered(row, metric, question, reading if since >= settled else None)
    if row.skipped in (Reason.NO_CANDIDATE_TRAFFIC, Reason.METRIC_LOST):
        message = f"labels take up to {format_duration(metric.label_lag)}, so that the candidate's may come until"
        return skipped(metric, Problem(Reason.LABELS_IMMATURE, f"{message} {mature:%H:%M:%S}"))
    return row if row.skipped is not None else row.model_copy(update={"labels_mature": mature})


def _matures(metric: MetricQuestion, question: Question) -> datetime | None:
    """Return when all labels are of requests since the weight changed, as far as history tells."""
    return question.applied_at + metric.label_lag if question.applied_at and metric.label_lag else None


def labelled_requests(question: Question, metric: MetricQuestion) -> tuple[str, ArmLabels | None] | None:
    """Return the counter of the requests whose labels a metric counts, and how its arms are told apart.

    None where it counts requests itself, or none are counted.
    """
    counter = question.requests_counter()
    return None if metric.kind is not Kind.RATIO or counter is None or counter[0] == metric.total else counter


def _since_change(question: Question, reading: Reading) -> timedelta:
    return reading.start - question.applied_at if question.applied_at else timedelta(0)


def _of_cohort(metric: MetricQuestion, question: Question, reading: Reading, read: Read) -> Row:
    if metric.label_delay is None or metric.cohort is None:
        msg = "a metric without a cohort label has no cohorts"
        raise AssertionError(msg)
    cohort = ripening(reading.start, reading.end, length=metric.label_delay)
    since = question.applied_at or reading.start
    if cohort is None or cohort.start < since:
        following = _following(since, reading.end, metric.label_delay)
        message = (
            f"the next requests whose labels are old enough are those from {following.start:%H:%M:%S} to "
            f"{following.end:%H:%M:%S}; they are judged at {following.ripe:%H:%M:%S}"
        )
        return skipped(metric, Problem(Reason.LABELS_IMMATURE, message))
    own = Matcher(label=metric.cohort, operator="=", value=quoted(cohort.value))
    row = read(question, cohort.start, cohort.ripe).row(replace(metric, among=(own,)))
    covered = _covered(row, metric, question, read(question, cohort.start, cohort.end))
    told = f'{metric.cohort}="{cohort.value}": requests from {cohort.start:%H:%M:%S} to {cohort.end:%H:%M:%S}'
    return covered.model_copy(update={"message": "; ".join(text for text in (told, covered.message) if text)[:1024]})


def _following(since: datetime, end: datetime, length: timedelta) -> Cohort:
    """Return the first cohort that began after ``since`` and becomes ripe after ``end``."""
    step = length.total_seconds()
    return Cohort(max(ceil(since.timestamp() / step), floor(end.timestamp() / step) - 1), length)


def _covered(row: Row, metric: MetricQuestion, question: Question, requests: Reading | None) -> Row:
    """Return the row with the requests that its labels are set against; None: they cannot be told."""
    if labelled_requests(question, metric) is None or requests is None:
        return row
    served = requests.served()
    if served is None or row.stable is None or row.candidate is None:
        return row
    return _silent(row, served).model_copy(
        update={"stable": _of(row.stable, served.stable), "candidate": _of(row.candidate, served.candidate)}
    )


def _silent(row: Row, served: PerArm) -> Row:
    """Say that requests were served where only the metric's own counter stood still."""
    if row.skipped is not Reason.NO_CANDIDATE_TRAFFIC or not served.candidate:
        return row
    message = f"the candidate served {plain(served.candidate)} requests, of which this metric counted none"
    return row.model_copy(update={"message": message})


def _of(counts: ArmCounts, requests: float) -> ArmCounts:
    return counts.model_copy(update={"requests": plain(requests)})
