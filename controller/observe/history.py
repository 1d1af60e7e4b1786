"""Stable's own history: what it did before an epoch, in all, and per pod and interval (for calibration).

Read from raw counters in slices, which bounds each answer. Intervals are as long as the windows will be. A pod takes
part in an interval when it was scraped at both edges and had been there for the warm-up; an interval in which no pod
did, or in which a counter's growth is not known, is left out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import accumulate, pairwise
from typing import Final

from controller.api.reasons import Reason
from controller.api.selectors import Selector, parse_selector
from controller.api.verdicts import Kind
from controller.judge import FEWEST_INTERVALS, PodHistory
from controller.observe.arms import LONGEST_REACH, Arms, MetricQuestion, PodArms, Question, arms_of
from controller.observe.counters import Accepts, Edges, Scrapes, Series, is_count, is_sum
from controller.observe.gauges import no_counter
from controller.observe.intervals import Counters, Interval, labels_of
from controller.observe.kinds import counting_of
from controller.observe.labels import labelled_requests
from controller.observe.prometheus import Prometheus, SourceError
from controller.observe.tally import Count, Counting, PastGrowths, PerPod, Unknown, summed
from controller.plan.calibration import StableHistory
from controller.plan.counters import LE
from controller.plan.world import ArmName, Problem

__all__ = ["LONGEST", "MOST_INTERVALS", "MOST_QUERIES", "SHORTEST", "SLICE", "read_history"]

MOST_INTERVALS: Final = 200
"""Intervals that a calibration rests on, at most."""
LONGEST: Final = timedelta(days=1)
"""How far back it reaches, at most."""
SHORTEST: Final = timedelta(hours=1)
"""How far back stable's level is taken from, at least."""
SLICE: Final = timedelta(hours=1)
"""What one query covers, or one interval where that is longer."""
MOST_QUERIES: Final = 240
"""Queries for one history; with many metrics it reaches less far back."""

_WITHOUT_HISTORY: Final = frozenset({Kind.QUERY, Kind.PAIRED})
"""Kinds that say nothing of stable alone."""

_PATIENCE_SCRAPES: Final = 2
_LEAD_SCRAPES: Final = _PATIENCE_SCRAPES + 1
_UP: Final = Selector(name="up", matchers=())


def read_history(
    prometheus: Prometheus, question: Question, *, before: datetime, interval: timedelta
) -> dict[str, StableHistory]:
    """Return what stable did until ``before``, per metric; one without a request, queries and pairs are absent.

    Raises:
        SourceError: nothing is known.
    """
    asked = tuple(metric for metric in question.metrics if metric.kind not in _WITHOUT_HISTORY)
    if not asked:
        return {}
    gathered = {metric.name: _Gathered(metric) for metric in asked}
    last = before - prometheus.server.settle
    for edges in _slices(last, interval, queries=len(_selectors(question, asked)) + 1):
        stretch = _Stretch(prometheus, question, edges=edges, calibrated_from=last - _reach(interval))
        for metric in asked:
            stretch.add_to(gathered[metric.name], metric)
    found = {name: each.history() for name, each in gathered.items()}
    return {name: each for name, each in found.items() if each.total > 0.0}


def _selectors(question: Question, metrics: Sequence[MetricQuestion]) -> set[str]:
    """Return what is asked for in each slice, besides when pods were scraped."""
    counters = (labelled_requests(question, metric) for metric in metrics)
    return {s for m in metrics for s in (m.total, m.bad)} | {counter[0] for counter in counters if counter}


def _reach(interval: timedelta) -> timedelta:
    """How far back intervals are compared; not at all where there would be too few of them to calibrate with."""
    intervals = min(MOST_INTERVALS, LONGEST // interval)
    return intervals * interval if intervals >= FEWEST_INTERVALS else timedelta(0)


def _slices(last: datetime, interval: timedelta, *, queries: int) -> Iterator[tuple[datetime, ...]]:
    """Yield the edges of the intervals in each slice, oldest first; neighbouring slices share an edge."""
    in_slice = max(1, SLICE // interval)
    wanted = -(-max(SHORTEST, _reach(interval)) // interval)
    intervals = min(wanted, max(1, MOST_QUERIES // queries) * in_slice)
    edges = [last - number * interval for number in range(intervals, -1, -1)]
    for first in range(0, intervals, in_slice):
        yield tuple(edges[first : first + in_slice + 1])


class _Stretch:
    """One slice of history, read once per selector."""

    def __init__(
        self, prometheus: Prometheus, question: Question, *, edges: Sequence[datetime], calibrated_from: datetime
    ) -> None:
        self._prometheus = prometheus
        self._question = question
        self._edges = edges
        self._calibrated_from = calibrated_from
        self._known: dict[tuple[str, Accepts], tuple[Series, ...]] = {}

    def add_to(self, gathered: "_Gathered", metric: MetricQuestion) -> None:
        """Add what stable did in this slice.

        Raises:
            SourceError: nothing is known, or the series are those of a gauge.
        """
        arms = arms_of(self._question, metric.arms)
        total = self._stable(metric.total, arms, is_count)
        bad = self._stable(metric.bad, arms, is_sum if metric.kind is Kind.MEAN else is_count)
        uncountable = no_counter(self._prometheus, total=total, bad=() if metric.kind is Kind.MEAN else bad)
        if uncountable is not None:
            raise SourceError(uncountable.reason, f"metric {metric.name}: {uncountable.message}")
        pod_label = self._question.labels.pod
        scrapes = Scrapes((*total, *bad, *self._up(arms)), pod_label=pod_label)
        counting = counting_of(metric)
        whole = self._between(self._edges[0], self._edges[-1])
        gathered.add_whole(counting, PastGrowths(scrapes, whole, pod_label, total, bad))
        own = Counters(scrapes, pod_label, total, bad)
        requests = self._requests(metric)
        for edges in self._intervals():
            gathered.add_interval(counting, own.between(edges, warmup=self._warmup))
            if requests is not None:
                gathered.labels.append(labels_of(own, requests, edges))

    @property
    def _warmup(self) -> float:
        return min(self._question.warmup, LONGEST_REACH).total_seconds()

    def _intervals(self) -> Iterator[Edges]:
        """Yield those that are compared."""
        for start, end in pairwise(self._edges):
            if start >= self._calibrated_from:
                yield self._between(start, end)

    def _requests(self, metric: MetricQuestion) -> Counters | None:
        """Return the counter of the requests whose labels a metric counts; None: it counts them itself."""
        counter = labelled_requests(self._question, metric)
        if counter is None:
            return None
        arms, pod_label = arms_of(self._question, counter[1]), self._question.labels.pod
        served = self._stable(counter[0], arms, is_count)
        return Counters(Scrapes((*served, *self._up(arms)), pod_label=pod_label), pod_label, served)

    def _between(self, start: datetime, end: datetime) -> Edges:
        patience = _PATIENCE_SCRAPES * self._prometheus.server.scrape
        return Edges(start.timestamp(), end.timestamp(), patience.total_seconds())

    def _stable(self, selector: str, arms: Arms, keep: Accepts) -> tuple[Series, ...]:
        if not selector:
            return ()
        found = self._range(parse_selector(selector).narrowed(*arms.matchers(ArmName.STABLE)), keep)
        own = (each for each in found if arms.arm(each.labels) is ArmName.STABLE)
        return tuple(own) if not isinstance(arms, PodArms) else tuple(filter(self._of_this_revision, own))

    def _of_this_revision(self, series: Series) -> bool:
        """Whether the pod is of a ReplicaSet that still has pods.

        An earlier template was another model, whose noise and level say nothing of this one.
        """
        live = {_replica_set(pod.name) for pod in self._question.stable_pods}
        return not live or _replica_set(series.labels.get(self._question.labels.pod, "")) in live

    def _up(self, arms: Arms) -> tuple[Series, ...]:
        """When pods were scraped with success: a counter that then has no series has counted nothing yet."""
        if not isinstance(arms, PodArms):
            return ()
        found = self._range(_UP.narrowed(*arms.matchers(ArmName.STABLE)), is_count)
        own = filter(self._of_this_revision, found)
        return tuple(replace(each, samples=tuple(s for s in each.samples if s[1] == 1)) for each in own)

    def _range(self, narrowed: str, keep: Accepts) -> tuple[Series, ...]:
        if (narrowed, keep) not in self._known:
            start, end = self._edges[0], self._edges[-1]
            reach = end - start + _LEAD_SCRAPES * self._prometheus.server.scrape
            reach += min(self._question.warmup, LONGEST_REACH)
            milliseconds = round(reach.total_seconds() * 1000)
            found = self._prometheus.instant(f"{narrowed}[{milliseconds}ms]", end, keep=keep)
            self._known[narrowed, keep] = found
        return self._known[narrowed, keep]


def _replica_set(pod: str) -> str:
    """The name of a Deployment's pod without its random end."""
    return pod.rpartition("-")[0]


@dataclass
class _Gathered:
    """What was found of one metric so far."""

    metric: MetricQuestion
    whole: list[tuple[tuple[str, ...], Count]] = field(default_factory=list)
    intervals: list[tuple[tuple[str, ...], PerPod] | None] = field(default_factory=list)
    labels: list[tuple[float, float] | None] = field(default_factory=list)
    trouble: Problem | None = None

    def add_whole(self, counting: Counting, growths: PastGrowths) -> None:
        """Add the sum of one slice; of one that cannot be counted remember why, until a newer one can be."""
        try:
            found = counting({ArmName.STABLE: growths})
        except Unknown as unknown:
            found = Problem(Reason.PROMETHEUS_ANSWER_INVALID, str(unknown))
        if isinstance(found, Problem):
            self.trouble = found
        else:
            self.trouble = None
            self.whole.append((found.edges, summed(found.stable)))

    def add_interval(self, counting: Counting, growths: Interval) -> None:
        """Add one interval; None for one that is not known."""
        try:
            found = counting({ArmName.STABLE: growths}) if growths.steady else None
        except Unknown:
            found = None
        if found is None or isinstance(found, Problem):
            self.intervals.append(None)
        else:
            self.intervals.append((found.edges, found.stable))

    def history(self) -> StableHistory:
        """Return all of it.

        Raises:
            SourceError: the newest series are such that no window could be judged.
        """
        if self.trouble is not None:
            raise SourceError(self.trouble.reason, self.trouble.message)
        total, amount = (sum(getattr(count, part) for _, count in self.whole) for part in ("total", "bad"))
        if self.metric.kind not in (Kind.HISTOGRAM, Kind.DISTRIBUTION):
            amount = min(amount, total) if self.metric.kind is Kind.RATIO else amount
            return StableHistory(total=total, amount=amount, intervals=self._cells(), labels=tuple(self.labels))
        edges = self._common_edges()
        slices = [self._on(edges, own, count.buckets) for own, count in self.whole if own]
        return StableHistory(
            total=total,
            buckets=tuple(sum(column) for column in zip(*slices, strict=True)),
            edges=edges,
            bucket_intervals=tuple(
                None if each is None else {pod: self._on(edges, each[0], c.buckets) for pod, c in each[1].items()}
                for each in self.intervals
            ),
        )

    def _cells(self) -> PodHistory:
        """Return size and amount per pod; at one pod, too, a ratio has no more bad requests than requests."""
        ratio = self.metric.kind is Kind.RATIO
        return tuple(
            None
            if each is None
            else {pod: (c.total, min(c.bad, c.total) if ratio else c.bad) for pod, c in each[1].items()}
            for each in self.intervals
        )

    @property
    def _has_bounds(self) -> bool:
        return self.metric.kind is Kind.HISTOGRAM or self.metric.label == LE

    def _common_edges(self) -> tuple[str, ...]:
        """Bounds that all slices and intervals have; classes that any of them has."""
        layouts = [own for own, _ in self.whole if own] + [each[0] for each in self.intervals if each and each[0]]
        if not layouts:
            return ()
        if not self._has_bounds:
            return tuple(sorted(set().union(*layouts)))
        common = set(layouts[0]).intersection(*layouts)
        return tuple(edge for edge in layouts[0] if edge in common)

    def _on(self, edges: tuple[str, ...], own: tuple[str, ...], counts: tuple[float, ...]) -> tuple[float, ...]:
        """Return counts on the common edges: buckets joined up to the next common bound, classes each alone."""
        if not self._has_bounds:
            known = dict(zip(own, counts, strict=True))
            return tuple(known.get(name, 0.0) for name in edges)
        up_to = dict(zip(own, accumulate(counts), strict=True))
        cumulative = [up_to.get(edge, 0.0) for edge in edges]
        return tuple(above - below for above, below in zip(cumulative, [0.0, *cumulative], strict=False))
