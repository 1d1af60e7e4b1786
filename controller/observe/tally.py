"""From the series of one metric in one window to counts per arm and pod, or why there are none. Pure.

Which series of an arm count is the same for every kind of metric; what their growth amounts to differs, and is a
``Counting``: here for two counters and for means, in ``buckets`` for histograms and classes.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from controller.api.reasons import Reason
from controller.observe.arms import Arms, Census
from controller.observe.counters import (
    Edges,
    End,
    Reborn,
    Sample,
    Scrapes,
    Series,
    Target,
    age,
    falls,
    fell,
    increase,
    reborn_at,
)
from controller.plan.world import ArmName, Problem


@dataclass(frozen=True)
class Found:
    """What Prometheus has for one metric: all of it, of both arms; ``up`` tells when pods were scraped at all."""

    total: tuple[Series, ...]
    bad: tuple[Series, ...] = ()
    up: tuple[Series, ...] = ()


@dataclass(frozen=True)
class Count:
    """What was counted in a window.

    Attributes:
        total: requests, exposure or values: what the rest is set against.
        bad: bad requests among them, events of a rate, or the sum of a mean's values.
        buckets: requests per bucket or class, not cumulative.
        alone: pairs of answers in which only this arm's was wrong; ``bad`` are all of its wrong ones.
    """

    total: float = 0.0
    bad: float = 0.0
    buckets: tuple[float, ...] = ()
    alone: float = 0.0


PerPod = Mapping[str, Count]
"""Counts by the pod label's value; empty name where series carry none."""


@dataclass(frozen=True)
class Tally:
    """Counts of both arms by pod; ``edges`` are the upper bounds of the buckets or the names of the classes."""

    stable: PerPod
    candidate: PerPod
    edges: tuple[str, ...] = ()


class Unknown(Exception):  # noqa: N818  it is an answer, no failure
    """The growth of a counter in the window cannot be known; the message says why."""


class Growths(Protocol):
    """The series of one arm that count, and how much each of them grew."""

    @property
    def pods(self) -> tuple[str, ...]:
        """The pods that are counted, with or without a series."""

    @property
    def total(self) -> Iterable[Series]:
        """The counted series of the metric's ``total``."""

    @property
    def bad(self) -> Iterable[Series]:
        """The counted series of the metric's ``bad``."""

    def target(self, series: Series) -> Target:
        """Return where a series comes from."""

    def growth(self, series: Series, reborn: Reborn = fell) -> float:
        """Return by how much a series grew.

        Raises:
            Unknown: nobody can tell.
        """


class Counting(Protocol):
    """What the growth of the arms' series amounts to, for one kind of metric."""

    def __call__(self, arms: Mapping[ArmName, Growths], /) -> Tally | Problem:
        """Return the counts per pod, or why the window cannot be judged; an arm that is not asked for has no pods.

        Raises:
            Unknown: the growth of a series is not known.
        """


def pairs(arms: Mapping[ArmName, Growths]) -> Tally:
    """Count two counters: requests and the bad ones among them, or exposure and events."""
    return _tallied({arm: _paired(growths, {}) for arm, growths in arms.items()})


def means(arms: Mapping[ArmName, Growths]) -> Tally | Problem:
    """Count values and their sum; the sum may fall by itself, and begins again when the count of the values does."""
    counts = {arm: _paired(growths, _rebirths(growths)) for arm, growths in arms.items()}
    for arm, pods in counts.items():
        values = sum(each.total for each in pods.values())
        if values and not any(True for _ in arms[arm].bad):
            return Problem(
                Reason.NO_SERIES,
                f"{arm} counted {values:.0f} values and has no series of their sum; check the selector of mean.sum",
            )
    return _tallied(counts)


def tally(found: Found, arms: Arms, *, edges: Edges, pod_label: str, counting: Counting = pairs) -> Tally | Problem:
    """Return the counts of a window, or why the window cannot be judged."""
    scrapes = Scrapes((*found.total, *found.bad, *found.up), pod_label=pod_label)
    total, bad = _by_arm(found.total, arms), _by_arm(found.bad, arms)
    censuses = {arm: arms.census(arm, total=total[arm], scrapes=scrapes, edges=edges) for arm in ArmName}
    problem = _warming(censuses) or _gap(censuses)
    if problem is not None:
        return problem
    growths = {
        arm: _InWindow(census, scrapes, edges, pod_label, of_total=total[arm], of_bad=bad[arm])
        for arm, census in censuses.items()
    }
    try:
        return counting(growths)
    except Unknown as unknown:
        return Problem(Reason.SCRAPE_GAP, str(unknown))


def summed(pods: PerPod) -> Count:
    """Return an arm's counts.

    The two counters of a pod are not read in one moment, so that a bad request may be seen before its total; over a
    whole arm that is evened out, and whoever needs ``bad`` within ``total`` cuts what is left.
    """
    counts = tuple(pods.values())
    total, bad, alone = (sum(getattr(each, field) for each in counts) for field in ("total", "bad", "alone"))
    buckets = zip(*(each.buckets for each in counts), strict=True)
    return Count(total=total, bad=bad, buckets=tuple(sum(bucket) for bucket in buckets), alone=alone)


def overshoot(pods: PerPod) -> float:
    """Return by how much an arm's bad requests exceed its requests."""
    return max(0.0, sum(each.bad - each.total for each in pods.values()))


@dataclass(frozen=True)
class PastGrowths:
    """The growth of stable's series in a stretch of the past, without asking whether every scrape was made.

    A series counts from zero when its target had been scraped without it, else from its first sample on, because its
    process may be older.
    """

    scrapes: Scrapes
    edges: Edges
    pod_label: str
    total: tuple[Series, ...]
    bad: tuple[Series, ...] = ()

    @property
    def pods(self) -> tuple[str, ...]:
        """The pods that have a series."""
        return tuple(sorted({self.target(each)[0] for each in (*self.total, *self.bad)}))

    def target(self, series: Series) -> Target:
        """Return where a series comes from."""
        return series.target(self.pod_label)

    def growth(self, series: Series, reborn: Reborn = fell) -> float:
        """Return by how much a series grew.

        Raises:
            Unknown: it holds nothing but values that are no counts: no window could be judged.
        """
        if not series.samples:
            if series.lost:
                msg = (
                    f"none of the {series.lost} samples of {whereabouts(series, self.pod_label)} is a count (they are "
                    "NaN, infinite, negative or above 2^53); check what it exports"
                )
                raise Unknown(msg)
            return 0.0
        begun, value = series.samples[0]
        scraped = self.scrapes.first(self.target(series))
        unseen = 0.0 if scraped is not None and scraped < begun else value
        return increase(series.samples, self.edges, unseen=unseen, reborn=reborn) or 0.0


@dataclass(frozen=True)
class _InWindow:
    """The growth of an arm's series between the edges of a window."""

    census: Census
    scrapes: Scrapes
    edges: Edges
    pod_label: str
    of_total: tuple[Series, ...]
    of_bad: tuple[Series, ...]

    @property
    def pods(self) -> tuple[str, ...]:
        return tuple(sorted({pod for pod, _, _ in self.census.counted}))

    @property
    def total(self) -> Iterator[Series]:
        return self._counted(self.of_total)

    @property
    def bad(self) -> Iterator[Series]:
        return self._counted(self.of_bad)

    def target(self, series: Series) -> Target:
        return series.target(self.pod_label)

    def growth(self, series: Series, reborn: Reborn = fell) -> float:
        target, edges = self.target(series), self.edges
        self._check_loss(series)
        known = target[0] in self.census.from_zero or edges.fresh(self.scrapes.age(target, edges.start))
        growth = increase(series.samples, edges, unseen=0.0 if known else None, reborn=reborn)
        if growth is None:
            msg = (
                f"a series of {whereabouts(series, self.pod_label)} appeared in the window, and its process is older: "
                "how much of it belongs to the window is not known"
            )
            raise Unknown(msg)
        return growth

    def _counted(self, series: Iterable[Series]) -> Iterator[Series]:
        return (each for each in series if self.target(each) in self.census.counted)

    def _check_loss(self, series: Series) -> None:
        """A sample that is no count is as good as none, so that such a series must be fresh by itself."""
        times = tuple(time for time, _ in series.samples)
        stale = any(not self.edges.fresh(age(times, self.edges.at(end))) for end in End)
        if series.lost and stale:
            msg = (
                f"{series.lost} samples of {whereabouts(series, self.pod_label)} are no counts (NaN, infinite, "
                "negative or above 2^53); check what it exports"
            )
            raise Unknown(msg)


def whereabouts(series: Series, pod_label: str) -> str:
    """Say which counter of which pod a series is."""
    pod, job, instance = series.target(pod_label)
    return f"{series.name} at pod {pod}" if pod else f"{series.name} at target {instance or job or 'without labels'}"


_Rebirths = Mapping[frozenset[tuple[str, str]], Reborn]
"""When the process of a series began again, by the series' labels without its name."""


def _paired(growths: Growths, rebirths: _Rebirths) -> PerPod:
    total = _per_pod(growths, ((each, fell) for each in growths.total))
    bad = _per_pod(growths, ((each, rebirths.get(_labels(each), fell)) for each in growths.bad))
    return {pod: Count(total=total.get(pod, 0.0), bad=bad.get(pod, 0.0)) for pod in growths.pods}


def _per_pod(growths: Growths, series: Iterable[tuple[Series, Reborn]]) -> dict[str, float]:
    grown: dict[str, float] = {}
    for each, reborn in series:
        pod, _, _ = growths.target(each)
        grown[pod] = grown.get(pod, 0.0) + growths.growth(each, reborn)
    return grown


def _rebirths(growths: Growths) -> _Rebirths:
    """Tell for each sum when it began again: with the count that has its labels, or the ones of its target.

    Where no count has a sum's labels, other series of the target may have begun again without it; then only a sum
    that fell in the same moment did.
    """
    counts = tuple(growths.total)
    own = {_labels(each): reborn_at(falls(each.samples)) for each in counts}
    of_target: dict[Target, list[float]] = {}
    for each in counts:
        of_target.setdefault(growths.target(each), []).extend(falls(each.samples))
    return {
        _labels(each): own.get(_labels(each)) or _both(reborn_at(of_target.get(growths.target(each), ())))
        for each in growths.bad
    }


def _both(reborn: Reborn) -> Reborn:
    def fell_then(before: Sample, after: Sample) -> bool:
        return fell(before, after) and reborn(before, after)

    return fell_then


def _labels(series: Series) -> frozenset[tuple[str, str]]:
    return frozenset((label, value) for label, value in series.labels.items() if label != "__name__")


def _tallied(pods: Mapping[ArmName, PerPod]) -> Tally:
    return Tally(stable=pods.get(ArmName.STABLE, {}), candidate=pods.get(ArmName.CANDIDATE, {}))


def _by_arm(series: Iterable[Series], arms: Arms) -> dict[ArmName, tuple[Series, ...]]:
    given = [(arms.arm(each.labels), each) for each in series]
    return {arm: tuple(each for found, each in given if found is arm) for arm in ArmName}


def _warming(censuses: Mapping[ArmName, Census]) -> Problem | None:
    cold = [arm for arm, each in censuses.items() if each.warming and not each.counted and each.gap is None]
    if not cold:
        return None
    names = " and ".join(cold)
    return Problem(Reason.WARMING_UP, f"no pod of {names} had ended its warm-up when the window began")


def _gap(censuses: Mapping[ArmName, Census]) -> Problem | None:
    gaps = (each.gap for each in censuses.values() if each.gap is not None)
    return next((Problem(Reason.SCRAPE_GAP, gap) for gap in gaps), None)
