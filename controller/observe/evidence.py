"""Evidence: the counts of both arms in a window, read from Prometheus as raw counters.

One range of raw samples per selector and window, asked for at the window's end, so that whoever asks and whenever gets
the same rows. A row without counts says why: silence is neither good nor bad.
"""

import difflib
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from controller.api.reasons import Reason
from controller.api.record import ArmCounts, RecordedWindow, Row
from controller.api.selectors import Selector, parse_selector
from controller.observe.arms import LONGEST_REACH, Arms, MetricQuestion, PodArms, Question, arms_of
from controller.observe.counters import Edges, Scrapes, Series, increase, plain
from controller.observe.prometheus import Prometheus, PrometheusServer, SourceError
from controller.observe.tally import Count, Found, PerPod, Tally, overshoot, summed, tally
from controller.plan.windows import Window
from controller.plan.world import ArmName, Problem

__all__ = ["EvidenceSource", "MetricQuestion", "PrometheusEvidence", "Question"]

PATIENCE_SCRAPES: Final = 2
"""How many scrapes old a sample may be to speak for an edge."""
_LEAD_SCRAPES: Final = PATIENCE_SCRAPES + 1
"""How many scrapes before a window are read: as old as a sample may be, and one for jitter."""

MEMORY: Final = timedelta(days=1)
"""How far back a series may lie to count as one that exists."""
SLICE: Final = timedelta(hours=1)
"""History is read in slices of this length, which bounds each answer."""

_MOST_VALUES: Final = 10
_LONGEST_VALUE: Final = 64
_SHOWN_SELECTOR: Final = 200
_LONGEST_MESSAGE: Final = 1024
"""What a row may hold; label values, which are part of some messages, have no bound of their own."""

_SILENCE: Final = {
    (True, True): (Reason.NO_TRAFFIC, "neither arm got a request in the window; check that clients send any"),
    (True, False): (Reason.NO_STABLE_TRAFFIC, "stable got no request in the window, so nothing can be compared"),
    (False, True): (Reason.NO_CANDIDATE_TRAFFIC, "the candidate got no request in the window; check the route"),
}
"""By whether stable and the candidate were without requests."""

_UP: Final = Selector(name="up", matchers=())


class EvidenceSource(Protocol):
    """Where the counts come from."""

    def window(self, window: Window, question: Question) -> RecordedWindow:
        """Return the rows of a window.

        Raises:
            SourceError: nothing is known; the window stays pending.
        """

    def history(self, question: Question, *, before: datetime, span: timedelta) -> dict[str, tuple[float, float]]:
        """Return stable's (total, bad) per metric in the span before; a metric without a request is absent.

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
        return RecordedWindow(
            transition=window.transition,
            number=window.number,
            weight=question.weight,
            start=window.start,
            end=window.end,
            observed_weight=reading.observed_weight(),
            rows=rows,
        )

    def history(self, question: Question, *, before: datetime, span: timedelta) -> dict[str, tuple[float, float]]:
        """Return stable's counts in the span before; see ``EvidenceSource``."""
        counts: dict[str, tuple[float, float]] = {}
        for start, end in _slices(before - span, before):
            reading = _Reading(self._prometheus, question, start=start, end=end)
            for metric in question.metrics:
                total, bad = reading.stable_counts(metric)
                earlier = counts.get(metric.name, (0.0, 0.0))
                counts[metric.name] = (earlier[0] + total, earlier[1] + bad)
        return {name: (total, min(bad, total)) for name, (total, bad) in counts.items() if total > 0}

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
        self._known: dict[str, tuple[Series, ...]] = {}

    def row(self, metric: MetricQuestion) -> Row:
        """Return the counts of a metric, or why there are none."""
        question = self._question
        arms = arms_of(question, metric.arms)
        found = self._found(metric, arms)
        if not found.total:
            return _skipped(metric, self._absent(metric, arms))
        counts = tally(found, arms, edges=self._edges, pod_label=question.labels.pod)
        if isinstance(counts, Problem):
            return _skipped(metric, counts)
        return _counted(metric, counts, bad_seen=self._bad_seen(metric, found, arms))

    def observed_weight(self) -> str | None:
        """Return the candidate's percent of all requests, or None when there were none or they are not known.

        All requests count, also those of pods that still warm up.
        """
        question = replace(self._question, warmup=timedelta(0), diverted_at=None)
        counter = question.requests or question.metrics[0].total
        told = next((metric.arms for metric in question.metrics if metric.total == counter), None)
        arms = arms_of(question, told)
        found = Found(total=self._series(counter, arms), up=self._up(arms))
        counts = tally(found, arms, edges=self._edges, pod_label=question.labels.pod)
        if isinstance(counts, Problem):
            return None
        candidate, stable = summed(counts.candidate).total, summed(counts.stable).total
        return None if candidate + stable == 0 else plain(round(100 * candidate / (candidate + stable), 1))

    def stable_counts(self, metric: MetricQuestion) -> tuple[float, float]:
        """Return stable's (total, bad), without asking whether every scrape was made.

        Raises ``SourceError`` when a series holds nothing but values that are no counts: no window could be judged.

        A series counts from zero when its target had been scraped without it, else from its first sample on, because
        its process may be older.
        """
        arms = arms_of(self._question, metric.arms)
        selectors = (metric.total, metric.bad)
        found = [self._series(selector, arms, ArmName.STABLE) for selector in selectors]
        pod_label = self._question.labels.pod
        scrapes = Scrapes((series for each in found for series in each), pod_label=pod_label)
        total, bad = (sum(self._growth(series, scrapes, pod_label) for series in each) for each in found)
        return total, bad

    def _growth(self, series: Series, scrapes: Scrapes, pod_label: str) -> float:
        if not series.samples:
            if series.lost:
                raise SourceError(Reason.PROMETHEUS_ANSWER_INVALID, _no_counts(series, pod_label))
            return 0.0
        begun, value = series.samples[0]
        scraped = scrapes.first(series.target(pod_label))
        unseen = 0.0 if scraped is not None and scraped < begun else value
        return increase(series.samples, self._edges, unseen=unseen) or 0.0

    def _found(self, metric: MetricQuestion, arms: Arms) -> Found:
        return Found(total=self._series(metric.total, arms), bad=self._series(metric.bad, arms), up=self._up(arms))

    def _up(self, arms: Arms) -> tuple[Series, ...]:
        """Return when pods were scraped with success: a counter that then has no series has counted nothing yet."""
        if not isinstance(arms, PodArms):
            return ()
        found = self._range(_UP.narrowed(*arms.matchers(*ArmName)))
        return tuple(replace(each, samples=tuple(s for s in each.samples if s[1] == 1)) for each in found)

    def _series(self, selector: str, arms: Arms, *only: ArmName) -> tuple[Series, ...]:
        return self._range(parse_selector(selector).narrowed(*arms.matchers(*(only or ArmName))))

    def _range(self, narrowed: str) -> tuple[Series, ...]:
        if narrowed not in self._known:
            reach = self._end - self._start + _LEAD_SCRAPES * self._scrape
            reach += min(self._question.warmup, LONGEST_REACH)
            milliseconds = round(reach.total_seconds() * 1000)
            self._known[narrowed] = self._prometheus.instant(f"{narrowed}[{milliseconds}ms]", self._end)
        return self._known[narrowed]

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
        question, selector = self._question, _shown(metric.total)
        if self._exists(metric.total, arms):
            message = f"Prometheus has no sample of {selector} around this window, but had before; was it down?"
            return Problem(Reason.SCRAPE_GAP, message)
        labels = metric.arms.label if metric.arms else question.labels.pod
        return Problem(
            Reason.NO_SERIES,
            f"no series of {selector} for either arm in namespace {question.namespace}; check the counter's name, and "
            f"that Prometheus scrapes the pods and sets the labels {question.labels.namespace} and {labels}",
        )


def _counted(metric: MetricQuestion, counts: Tally, *, bad_seen: bool | None) -> Row:
    """Return a row with counts; one without requests in an arm is skipped, but shows what the other arm had."""
    stable, candidate = summed(counts.stable), summed(counts.candidate)
    reason, message = _SILENCE.get((stable.total == 0, candidate.total == 0), (None, ""))
    if reason is None:
        message = _remarks(metric, counts, bad_seen=bad_seen)
    return Row(
        metric=metric.name,
        stable=_arm_counts(counts.stable),
        candidate=_arm_counts(counts.candidate),
        bad_seen=bad_seen,
        skipped=reason,
        message=message[:_LONGEST_MESSAGE],
    )


def _skipped(metric: MetricQuestion, problem: Problem) -> Row:
    return Row(metric=metric.name, skipped=problem.reason, message=problem.message[:_LONGEST_MESSAGE])


def _arm_counts(pods: PerPod) -> ArmCounts:
    raw, effective = summed(pods), _effective(pods)
    return ArmCounts(
        total=plain(raw.total),
        bad=plain(raw.bad),
        effective_total=plain(effective.total),
        effective_bad=plain(effective.bad),
        pods=len(pods),
    )


def _effective(pods: PerPod) -> Count:
    """Return the counts that the judge uses; the one place where those of each pod will be deflated."""
    return summed(pods)


def _remarks(metric: MetricQuestion, counts: Tally, *, bad_seen: bool | None) -> str:
    remarks = [
        f"{arm} had {plain(excess)} more bad requests than requests, which were cut: either the two counters were not "
        "read in one moment, or bad selects what total does not"
        for arm, excess in (
            (ArmName.STABLE, overshoot(counts.stable)),
            (ArmName.CANDIDATE, overshoot(counts.candidate)),
        )
        if excess
    ]
    if bad_seen is False:
        remarks.append(f"no series ever matched {_shown(metric.bad)}, so that 0 bad requests prove nothing")
    return "; ".join(remarks)


def _slices(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    while start < end:
        yield start, min(end, start + SLICE)
        start += SLICE


def _closest(values: tuple[str, ...], wanted: str) -> tuple[str, ...]:
    wanted = wanted.strip('"')
    ranked = sorted(values, key=lambda value: (-difflib.SequenceMatcher(None, wanted, value).ratio(), value))
    return tuple(value[:_LONGEST_VALUE] for value in ranked[:_MOST_VALUES])


def _no_counts(series: Series, pod_label: str) -> str:
    name, pod = series.labels.get("__name__", "the counter"), series.labels.get(pod_label)
    where = f"{name} at pod {pod}" if pod else name
    return (
        f"none of the {series.lost} samples of {where} is a count (they are NaN, infinite, negative or above 2^53); "
        "check what it exports"
    )


def _shown(selector: str) -> str:
    return selector if len(selector) <= _SHOWN_SELECTOR else f"{selector[:_SHOWN_SELECTOR]}…"
