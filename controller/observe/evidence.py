"""Evidence: the counts of both arms in a window, read from Prometheus as raw counters.

One range of raw samples per selector and window, asked for at the window's end, so that whoever asks and whenever gets
the same rows. A row without counts says why: silence is neither good nor bad.
"""

import difflib
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from controller.api.reasons import Reason
from controller.api.record import RecordedWindow, RequestCounts, Row
from controller.api.selectors import Selector, parse_selector
from controller.api.verdicts import Kind
from controller.observe.arms import LONGEST_REACH, Arms, MetricQuestion, PodArms, Question, arms_of
from controller.observe.counters import Accepts, Edges, Series, is_count, is_sum, plain
from controller.observe.history import read_history
from controller.observe.kinds import counting_of
from controller.observe.prometheus import Prometheus, PrometheusServer
from controller.observe.rows import counted, shown, skipped, with_parts
from controller.observe.tally import Counting, Found, Tally, summed, tally
from controller.plan.calibration import StableHistory
from controller.plan.windows import Window
from controller.plan.world import ArmName, Problem

__all__ = ["EvidenceSource", "MetricQuestion", "PrometheusEvidence", "Question"]

PATIENCE_SCRAPES: Final = 2
"""How many scrapes old a sample may be to speak for an edge."""
_LEAD_SCRAPES: Final = PATIENCE_SCRAPES + 1
"""How many scrapes before a window are read: as old as a sample may be, and one for jitter."""

MEMORY: Final = timedelta(days=1)
"""How far back a series may lie to count as one that exists."""

_MOST_VALUES: Final = 10
_LONGEST_VALUE: Final = 64
_UP: Final = Selector(name="up", matchers=())


class EvidenceSource(Protocol):
    """Where the counts come from."""

    def window(self, window: Window, question: Question) -> RecordedWindow:
        """Return the rows of a window.

        Raises:
            SourceError: nothing is known; the window stays pending.
        """

    def history(self, question: Question, *, before: datetime, interval: timedelta) -> dict[str, StableHistory]:
        """Return what stable did until then, in all and per interval of that length.

        A metric without a request is absent, and so is a query.

        Raises:
            SourceError: nothing is known.
        """

    def label_values(self, question: Question, metric: str, *, before: datetime) -> dict[str, tuple[str, ...]]:
        """Return which values the labels of the metric's ``bad`` selector have among the arms' series.

        Raises:
            SourceError: nothing is known.
        """


class PrometheusEvidence:
    """Evidence from one Prometheus server; safe to use from several threads."""

    def __init__(self, server: PrometheusServer) -> None:
        self._server = server
        self._prometheus = Prometheus(server)

    def window(self, window: Window, question: Question) -> RecordedWindow:
        """Return the rows of a window; see ``EvidenceSource``."""
        reading = _Reading(self._prometheus, question, start=window.start, end=window.end)
        rows = tuple(reading.row(metric) for metric in question.metrics)
        requests = reading.requests()
        return RecordedWindow(
            transition=window.transition,
            number=window.number,
            weight=question.weight,
            start=window.start,
            end=window.end,
            observed_weight=observed_weight(requests),
            requests=requests,
            rows=rows,
        )

    def history(self, question: Question, *, before: datetime, interval: timedelta) -> dict[str, StableHistory]:
        """Return what stable did until then; see ``EvidenceSource`` and ``history``."""
        return read_history(self._prometheus, question, before=before, interval=interval)

    def label_values(self, question: Question, metric: str, *, before: datetime) -> dict[str, tuple[str, ...]]:
        """Return at most 10 values per label, those closest to what ``bad`` asks for first; see ``EvidenceSource``.

        When not even the counter's name exists, the values are those of ``__name__``.
        """
        asked = next(each for each in question.metrics if each.name == metric)
        bad = parse_selector(asked.bad)
        series = Selector(name=bad.name, matchers=()) if bad.name else parse_selector(asked.total)
        narrowing = arms_of(question, asked.arms).matchers(*ArmName)
        values = {}
        for matcher in bad.matchers:
            found = self._values(matcher.label, series.narrowed(*narrowing), before)
            if found:
                values[matcher.label] = _closest(found, matcher.value)
        if values:
            return values
        everything = Selector(name="", matchers=()).narrowed(*narrowing)
        return {"__name__": _closest(self._values("__name__", everything, before), bad.name)}

    def _values(self, label: str, selector: str, before: datetime) -> tuple[str, ...]:
        return self._prometheus.label_values(label, selector, start=before - MEMORY, end=before)


class _Reading:
    """One stretch of time, read once per selector."""

    def __init__(self, prometheus: Prometheus, question: Question, *, start: datetime, end: datetime) -> None:
        self._prometheus = prometheus
        self._question = question
        self._start = start
        self._end = end
        self._scrape = prometheus.server.scrape
        patience = PATIENCE_SCRAPES * self._scrape
        self._edges = Edges(start.timestamp(), end.timestamp(), patience.total_seconds())
        self._known: dict[tuple[str, Accepts], tuple[Series, ...]] = {}

    def row(self, metric: MetricQuestion) -> Row:
        """Return the counts of a metric, or why there are none."""
        question = self._question
        arms = arms_of(question, metric.arms)
        found = self._found(metric, arms)
        if not found.total:
            return skipped(metric, self._absent(metric, arms))

        def measure(counting: Counting) -> Tally | Problem:
            return tally(found, arms, edges=self._edges, pod_label=question.labels.pod, counting=counting)

        counts = measure(counting_of(metric))
        if isinstance(counts, Problem):
            return skipped(metric, counts)
        row = counted(metric, counts, bad_seen=self._bad_seen(metric, found, arms))
        if row.skipped is Reason.NO_CANDIDATE_TRAFFIC:
            lost = self._lost(metric, found, arms)
            return row if lost is None else skipped(metric, lost)
        return with_parts(row, metric, measure)

    def requests(self) -> RequestCounts | None:
        """Return all requests of both arms, or None when they are not known; also those of pods that still warm up."""
        question = replace(self._question, warmup=timedelta(0), diverted_at=None)
        counts = self._requests_of(question)
        if counts is None:
            return None
        meant = float(question.weight) if question.reachable is None else question.reachable
        stable, candidate = summed(counts.stable).total, summed(counts.candidate).total
        return RequestCounts(stable=plain(stable), candidate=plain(candidate), weight=plain(meant))

    def _requests_of(self, question: Question) -> Tally | None:
        counter = question.requests_counter()
        if counter is None:
            return None
        arms = arms_of(question, counter[1])
        found = Found(total=self._series(counter[0], arms), up=self._up(arms))
        counts = tally(found, arms, edges=self._edges, pod_label=question.labels.pod)
        return None if isinstance(counts, Problem) else counts

    def _lost(self, metric: MetricQuestion, found: Found, arms: Arms) -> Problem | None:
        """Tell a candidate that stopped exporting a metric from one that gets no requests."""
        counter = self._question.requests_counter()
        exported = any(arms.arm(each.labels) is ArmName.CANDIDATE for each in found.total)
        if exported or counter is None or counter[0] == metric.total:
            return None
        requests = self._requests_of(self._question)
        served = 0.0 if requests is None else summed(requests.candidate).total
        if not served:
            return None
        return Problem(
            Reason.METRIC_LOST,
            f"the candidate served {plain(served)} requests and has no series of {shown(metric.total)}, which stable "
            "exports; check whether the new version still exports it under this name",
        )

    def _found(self, metric: MetricQuestion, arms: Arms) -> Found:
        total, bad = self._selected(metric, arms)
        return Found(total=total, bad=bad, up=self._up(arms))

    def _selected(self, metric: MetricQuestion, arms: Arms, *only: ArmName) -> tuple[tuple[Series, ...], ...]:
        """Return the series of the metric's ``total`` and of its ``bad``, if it has one."""
        total = self._series(metric.total, arms, *only)
        if not metric.bad:
            return total, ()
        keep = is_sum if metric.kind is Kind.MEAN else is_count
        return total, self._series(metric.bad, arms, *only, keep=keep)

    def _up(self, arms: Arms) -> tuple[Series, ...]:
        """Return when pods were scraped with success: a counter that then has no series has counted nothing yet."""
        if not isinstance(arms, PodArms):
            return ()
        found = self._range(_UP.narrowed(*arms.matchers(*ArmName)))
        return tuple(replace(each, samples=tuple(s for s in each.samples if s[1] == 1)) for each in found)

    def _series(self, selector: str, arms: Arms, *only: ArmName, keep: Accepts = is_count) -> tuple[Series, ...]:
        return self._range(parse_selector(selector).narrowed(*arms.matchers(*(only or ArmName))), keep)

    def _range(self, narrowed: str, keep: Accepts = is_count) -> tuple[Series, ...]:
        if (narrowed, keep) not in self._known:
            reach = self._end - self._start + _LEAD_SCRAPES * self._scrape
            reach += min(self._question.warmup, LONGEST_REACH)
            milliseconds = round(reach.total_seconds() * 1000)
            found = self._prometheus.instant(f"{narrowed}[{milliseconds}ms]", self._end, keep=keep)
            self._known[narrowed, keep] = found
        return self._known[narrowed, keep]

    def _exists(self, selector: str, arms: Arms) -> bool:
        """Whether any series of the arms matched the selector within ``MEMORY``; costs no samples."""
        narrowed = parse_selector(selector).narrowed(*arms.matchers(*ArmName))
        return bool(self._prometheus.label_values("__name__", narrowed, start=self._end - MEMORY, end=self._end))

    def _bad_seen(self, metric: MetricQuestion, found: Found, arms: Arms) -> bool | None:
        if found.bad:
            return True
        return None if metric.allow_absent else self._exists(metric.bad, arms)

    def _absent(self, metric: MetricQuestion, arms: Arms) -> Problem:
        """Tell a counter that nobody exports from one that Prometheus did not scrape for a while."""
        question, selector = self._question, shown(metric.total)
        if self._exists(metric.total, arms):
            message = f"Prometheus has no sample of {selector} around this window, but had before; was it down?"
            return Problem(Reason.SCRAPE_GAP, message)
        labels = metric.arms.label if metric.arms else question.labels.pod
        return Problem(
            Reason.NO_SERIES,
            f"no series of {selector} for either arm in namespace {question.namespace}; check the counter's name, and "
            f"that Prometheus scrapes the pods and sets the labels {question.labels.namespace} and {labels}",
        )


def observed_weight(requests: RequestCounts | None) -> str | None:
    """Return the candidate's percent of all requests, or None when there were none or they are not known."""
    if requests is None:
        return None
    candidate, total = float(requests.candidate), float(requests.stable) + float(requests.candidate)
    return plain(round(100 * candidate / total, 1)) if total else None


def _closest(values: tuple[str, ...], wanted: str) -> tuple[str, ...]:
    wanted = wanted.strip('"')
    ranked = sorted(values, key=lambda value: (-difflib.SequenceMatcher(None, wanted, value).ratio(), value))
    return tuple(value[:_LONGEST_VALUE] for value in ranked[:_MOST_VALUES])
