"""Counters interval by interval: what of them grew in each, where targets were scraped at both of its edges. Pure."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from controller.observe.counters import Edges, Reborn, Scrapes, Series, Target, fell, increase
from controller.observe.tally import PastGrowths, Unknown, whereabouts

__all__ = ["Counters", "Interval", "labels_of"]


@dataclass(frozen=True)
class Counters:
    """Series of one arm in a stretch of time, and when their targets were scraped."""

    scrapes: Scrapes
    pod_label: str
    total: tuple[Series, ...]
    bad: tuple[Series, ...] = ()

    def between(self, edges: Edges, *, warmup: float = 0.0) -> "Interval":
        """Return one interval; a pod takes part when it was first scraped so many seconds before it."""
        scrapes = self.scrapes
        steady = frozenset(
            target
            for pod in scrapes.pods()
            for target in scrapes.targets(pod)
            if all(edges.fresh(scrapes.age(target, edge)) for edge in (edges.start, edges.end))
            and (scrapes.born(pod) or edges.end) + warmup <= edges.start
        )
        return Interval(edges, self.pod_label, steady, self.total, self.bad)

    def grown(self, edges: Edges) -> float | None:
        """Return by how much ``total`` grew, as if scraped at the edges; None: not known.

        Of targets that began or ended inside, what was seen of them.
        """
        targets = (target for pod in self.scrapes.pods() for target in self.scrapes.targets(pod))
        stretches = {target: found for target in targets if (found := self._stretch(target, edges)) is not None}
        if not stretches or any(each.lost for each in self.total):
            return None
        past = PastGrowths(self.scrapes, edges, self.pod_label, self.total)
        own = Interval(edges, self.pod_label, frozenset(stretches), self.total, ()).total
        return sum(past.growth(each) * stretches[past.target(each)] for each in own)

    def _stretch(self, target: Target, edges: Edges) -> float | None:
        """The length of the interval by the time between the scrapes that speak for its edges; None: a gap before it.

        Scrapes are up to one scrape interval off, so that an interval may hold one more of them than the next.
        """
        early, late = (self.scrapes.age(target, edge) for edge in (edges.start, edges.end))
        if early is None or not edges.fresh(early):
            first = self.scrapes.first(target)
            return 1.0 if first is not None and edges.start < first <= edges.end else None
        if late is None or not edges.fresh(late):
            return 1.0 if self.scrapes.inside(target, edges) else None
        length = edges.end - edges.start
        between = length + early - late
        return length / between if between > 0.0 else None


def labels_of(labels: Counters, requests: Counters, edges: Edges) -> tuple[float, float] | None:
    """Return (requests, labels) in an interval, pods that warm up included; None: not known."""
    served, told = requests.grown(edges), labels.grown(edges)
    return None if served is None or told is None else (served, told)


@dataclass(frozen=True)
class Interval:
    """The growth of series in one interval, of the targets that were there all the time; a ``Growths``."""

    edges: Edges
    pod_label: str
    steady: frozenset[Target]
    of_total: tuple[Series, ...]
    of_bad: tuple[Series, ...]

    @property
    def pods(self) -> tuple[str, ...]:
        """The pods that take part."""
        return tuple(sorted({pod for pod, _, _ in self.steady}))

    @property
    def total(self) -> Iterable[Series]:
        """The series of ``total``, cut to the interval."""
        return self._cut(self.of_total)

    @property
    def bad(self) -> Iterable[Series]:
        """The series of ``bad``, cut to the interval."""
        return self._cut(self.of_bad)

    def target(self, series: Series) -> Target:
        """Return where a series comes from."""
        return series.target(self.pod_label)

    def growth(self, series: Series, reborn: Reborn = fell) -> float:
        """Return by how much a series grew.

        Raises:
            Unknown: some of its samples are no counts.
        """
        if series.lost:
            msg = f"samples of {whereabouts(series, self.pod_label)} are no counts"
            raise Unknown(msg)
        # A target that was scraped at the start without the series had counted nothing yet.
        return increase(series.samples, self.edges, unseen=0.0, reborn=reborn) or 0.0

    def _cut(self, series: Iterable[Series]) -> Iterator[Series]:
        """Leave of each series what the interval needs: its last sample before, and those inside."""
        for each in series:
            if self.target(each) in self.steady:
                before = bisect_right(each.samples, self.edges.start, key=_time) - 1
                end = bisect_right(each.samples, self.edges.end, key=_time)
                yield replace(each, samples=each.samples[max(0, before) : end])


def _time(sample: tuple[float, float]) -> float:
    return sample[0]
