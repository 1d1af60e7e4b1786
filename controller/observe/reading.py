"""One stretch of time as Prometheus has it: the rows of metrics, all requests, and why something is not known."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from controller.api.kinds import PAIR_LABELS
from controller.api.reasons import Reason
from controller.api.record import RequestCounts, Row
from controller.api.selectors import Matcher, Selector, parse_selector
from controller.api.verdicts import Kind
from controller.judge import PerArm
from controller.observe.arms import LONGEST_REACH, Arms, MetricQuestion, PodArms, Question, arms_of
from controller.observe.counters import Accepts, Edges, Series, is_count, is_sum, plain
from controller.observe.gauges import native_histogram, no_counter
from controller.observe.kinds import counting_of
from controller.observe.paired import Comparer
from controller.observe.prometheus import Prometheus
from controller.observe.queries import query_row
from controller.observe.rows import counted, shown, skipped, with_parts
from controller.observe.tally import Counting, Found, Tally, summed, tally
from controller.plan.counters import LE
from controller.plan.world import ArmName, Problem

__all__ = ["MEMORY", "PATIENCE_SCRAPES", "Reading"]

PATIENCE_SCRAPES: Final = 2
"""How many scrapes old a sample may be to speak for an edge."""
_LEAD_SCRAPES: Final = PATIENCE_SCRAPES + 1
"""How many scrapes before a window are read: as old as a sample may be, and one for jitter."""

MEMORY: Final = timedelta(days=1)
"""How far back a series may lie to count as one that exists."""

_ENDINGS: Final = ("_bucket", "_sum", "_count")
"""Of the names of a classic histogram's counters."""
_UP: Final = Selector(name="up", matchers=())


class Reading:
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

    @property
    def start(self) -> datetime:
        """Where it begins."""
        return self._start

    @property
    def end(self) -> datetime:
        """Where it ends."""
        return self._end

    @property
    def length(self) -> timedelta:
        """How long it is."""
        return self._end - self._start

    def row(self, metric: MetricQuestion) -> Row:
        """Return the counts of a metric, or why there are none."""
        question = self._question
        if metric.kind is Kind.QUERY:
            return query_row(self._prometheus, question, metric, start=self._start, end=self._end)
        arms = Comparer(question) if metric.kind is Kind.PAIRED else arms_of(question, metric.arms)
        found = self._found(metric, arms)
        if not found.total:
            return skipped(metric, self._absent(metric, arms))
        uncountable = self._uncountable(metric, found)
        if uncountable is not None:
            return skipped(metric, uncountable)

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

    def served(self) -> PerArm | None:
        """Return the requests of both arms' pods that count, or None when they are not known."""
        counts = self._requests_of(self._question)
        return None if counts is None else PerArm(summed(counts.stable).total, summed(counts.candidate).total)

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
        served = self.served()
        if served is None or not served.candidate:
            return None
        return Problem(
            Reason.METRIC_LOST,
            f"the candidate served {plain(served.candidate)} requests and has no series of {shown(metric.total)}, "
            "which stable exports; check whether the new version still exports it under this name",
        )

    def _found(self, metric: MetricQuestion, arms: Arms) -> Found:
        total, bad = self._selected(metric, arms)
        return Found(total=total, bad=bad, up=self._up(arms))

    def _selected(self, metric: MetricQuestion, arms: Arms, *only: ArmName) -> tuple[tuple[Series, ...], ...]:
        """Return the series of the metric's ``total`` and of its ``bad``, if it has one."""
        total = self._series(metric.total, arms, *only, among=metric.among)
        if not metric.bad:
            return total, ()
        keep = is_sum if metric.kind is Kind.MEAN else is_count
        return total, self._series(metric.bad, arms, *only, keep=keep, among=metric.among)

    def _up(self, arms: Arms) -> tuple[Series, ...]:
        """Return when pods were scraped with success: a counter that then has no series has counted nothing yet."""
        if not isinstance(arms, PodArms):
            return ()
        found = self._range(_UP.narrowed(*arms.matchers(*ArmName)))
        return tuple(replace(each, samples=tuple(s for s in each.samples if s[1] == 1)) for each in found)

    def _series(
        self,
        selector: str,
        arms: Arms,
        *only: ArmName,
        keep: Accepts = is_count,
        among: tuple[Matcher, ...] = (),
    ) -> tuple[Series, ...]:
        return self._range(parse_selector(selector).narrowed(*among, *arms.matchers(*(only or ArmName))), keep)

    def _range(self, narrowed: str, keep: Accepts = is_count) -> tuple[Series, ...]:
        if (narrowed, keep) not in self._known:
            reach = self._end - self._start + _LEAD_SCRAPES * self._scrape
            reach += min(self._question.warmup, LONGEST_REACH)
            milliseconds = round(reach.total_seconds() * 1000)
            found = self._prometheus.instant(f"{narrowed}[{milliseconds}ms]", self._end, keep=keep)
            self._known[narrowed, keep] = found
        return self._known[narrowed, keep]

    def _uncountable(self, metric: MetricQuestion, found: Found) -> Problem | None:
        """Tell series that no counter can have; a mean's sum may do whatever it likes."""
        counters = () if metric.kind is Kind.MEAN else found.bad
        native = native_histogram((*found.total, *found.bad))
        return native or no_counter(self._prometheus, total=found.total, bad=counters)

    def _without_ending(self, selector: str, arms: Arms) -> tuple[Series, ...]:
        """Return what has the name of a classic histogram's counter without its ending: a native one, if there is."""
        asked = parse_selector(selector)
        name = next((asked.name.removesuffix(end) for end in _ENDINGS if asked.name.endswith(end)), None)
        if name is None:
            return ()
        matchers = tuple(matcher for matcher in asked.matchers if matcher.label != LE)
        return self._range(Selector(name=name, matchers=matchers).narrowed(*arms.matchers(*ArmName)))

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
        native = native_histogram(self._without_ending(metric.total, arms))
        if native is not None:
            return native
        if self._exists(metric.total, arms):
            message = f"Prometheus has no sample of {selector} around this window, but had before; was it down?"
            return Problem(Reason.SCRAPE_GAP, message)
        return Problem(
            Reason.NO_SERIES,
            f"no series of {selector} for either arm in namespace {question.namespace}; check the counter's name, and "
            f"that Prometheus scrapes {_exporter(metric, question)}",
        )


def _exporter(metric: MetricQuestion, question: Question) -> str:
    """Say what must be scraped, and which labels its series must have."""
    if metric.kind is Kind.PAIRED:
        labels = ", ".join((question.labels.namespace, *PAIR_LABELS))
        return f"what compares the arms' answers, with the labels {labels}"
    told_by = metric.arms.label if metric.arms else question.labels.pod
    return f"the pods and sets the labels {question.labels.namespace} and {told_by}"
