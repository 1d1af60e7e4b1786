"""From the series of one metric in one window to counts per arm and pod, or why there are none. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from controller.api.reasons import Reason
from controller.observe.arms import Arms, Census
from controller.observe.counters import Edges, End, Scrapes, Series, age, increase
from controller.plan.world import ArmName, Problem


@dataclass(frozen=True)
class Found:
    """What Prometheus has for one metric: all of it, of both arms; ``up`` tells when pods were scraped at all."""

    total: tuple[Series, ...]
    bad: tuple[Series, ...] = ()
    up: tuple[Series, ...] = ()


@dataclass(frozen=True)
class Count:
    """Requests and the bad ones among them."""

    total: float = 0.0
    bad: float = 0.0


PerPod = Mapping[str, Count]
"""Counts by the pod label's value; empty name where series carry none."""


@dataclass(frozen=True)
class Tally:
    """Counts of both arms by pod."""

    stable: PerPod
    candidate: PerPod


class _Unknown(Exception):  # noqa: N818  it is an answer, no failure
    """The growth of a counter in the window cannot be known."""


def tally(found: Found, arms: Arms, *, edges: Edges, pod_label: str) -> Tally | Problem:
    """Return the counts of a window, or why the window cannot be judged."""
    scrapes = Scrapes((*found.total, *found.bad, *found.up), pod_label=pod_label)
    total, bad = _by_arm(found.total, arms), _by_arm(found.bad, arms)
    censuses = {arm: arms.census(arm, total=total[arm], scrapes=scrapes, edges=edges) for arm in ArmName}
    problem = _warming(censuses) or _gap(censuses)
    if problem is not None:
        return problem
    counts = {}
    for arm, census in censuses.items():
        counting = _Counting(census=census, scrapes=scrapes, edges=edges, pod_label=pod_label)
        try:
            counts[arm] = counting.per_pod(total[arm], bad[arm])
        except _Unknown as unknown:
            return Problem(Reason.SCRAPE_GAP, str(unknown))
    return Tally(stable=counts[ArmName.STABLE], candidate=counts[ArmName.CANDIDATE])


def summed(pods: PerPod) -> Count:
    """Return an arm's counts.

    The two counters of a pod are not read in one moment, so that a bad request may be seen before its total; over a
    whole arm that is evened out, and what is left is cut, because no judge can use more bad requests than requests.
    """
    total, bad = (sum(getattr(each, field) for each in pods.values()) for field in ("total", "bad"))
    return Count(total=total, bad=min(bad, total))


def overshoot(pods: PerPod) -> float:
    """Return by how much an arm's bad requests exceed its requests."""
    return max(0.0, sum(each.bad - each.total for each in pods.values()))


@dataclass(frozen=True)
class _Counting:
    """Counts the series of one arm."""

    census: Census
    scrapes: Scrapes
    edges: Edges
    pod_label: str

    def per_pod(self, total: Iterable[Series], bad: Iterable[Series]) -> PerPod:
        totals, bads = dict(self._summed(total)), dict(self._summed(bad))
        pods = sorted({pod for pod, _, _ in self.census.counted})
        return {pod: Count(total=totals.get(pod, 0.0), bad=bads.get(pod, 0.0)) for pod in pods}

    def _summed(self, series: Iterable[Series]) -> Iterator[tuple[str, float]]:
        growth: dict[str, float] = {}
        for each in series:
            target = each.target(self.pod_label)
            if target in self.census.counted:
                growth[target[0]] = growth.get(target[0], 0.0) + self._growth(each)
        return iter(growth.items())

    def _growth(self, series: Series) -> float:
        target, edges = series.target(self.pod_label), self.edges
        self._check_loss(series)
        known = target[0] in self.census.from_zero or edges.fresh(self.scrapes.age(target, edges.start))
        growth = increase(series.samples, edges, unseen=0.0 if known else None)
        if growth is None:
            msg = (
                f"a series of {_where(series, self.pod_label)} appeared in the window, and its process is older: how "
                "much of it belongs to the window is not known"
            )
            raise _Unknown(msg)
        return growth

    def _check_loss(self, series: Series) -> None:
        """A sample that is no count is as good as none, so that such a series must be fresh by itself."""
        times = tuple(time for time, _ in series.samples)
        stale = any(not self.edges.fresh(age(times, self.edges.at(end))) for end in End)
        if series.lost and stale:
            msg = (
                f"{series.lost} samples of {_where(series, self.pod_label)} are no counts (NaN, infinite, negative or "
                "above 2^53); check what it exports"
            )
            raise _Unknown(msg)


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


def _where(series: Series, pod_label: str) -> str:
    pod, job, instance = series.target(pod_label)
    name = series.labels.get("__name__", "the counter")
    return f"{name} at pod {pod}" if pod else f"{name} at target {instance or job or 'without labels'}"
