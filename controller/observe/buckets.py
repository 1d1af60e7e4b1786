"""Buckets: what the growth of a histogram's or a classes' series amounts to, per pod. Pure.

A classic histogram is a series per upper bound ``le``, cumulative; what the judge compares are counts per bucket on
the bounds that every series of both arms has. A counter with a label of few values, one per class, needs no bounds:
the classes that were seen in either arm are its buckets.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf, isfinite
from typing import Final

from controller.api.reasons import Reason
from controller.api.record import MOST_BUCKETS
from controller.judge import common_edges, per_bucket
from controller.observe.counters import Series, falls, reborn_at
from controller.observe.tally import Count, Counting, Growths, PerPod, Tally
from controller.plan.counters import LE
from controller.plan.world import ArmName, Problem

__all__ = ["classes", "histograms"]

LONGEST_CLASS: Final = 64
"""Characters of a class's name; classes that are alike up to there are one."""

_SHOWN: Final = 5


@dataclass(frozen=True)
class _Ladder:
    """The bounds of one histogram of one pod, and by how much each grew."""

    pod: str
    cumulative: Mapping[float, float]


def histograms(arms: Mapping[ArmName, Growths]) -> Tally | Problem:
    """Count the requests per bucket of classic histograms, on the bounds that all of them have."""
    unlabelled = next((each for growths in arms.values() for each in growths.total if _bound(each) is None), None)
    if unlabelled is not None:
        found = unlabelled.labels.get(LE)
        return Problem(
            Reason.NO_SERIES,
            f"{unlabelled.name} has no bound in the label le (found {found!r}); name the _bucket series of a classic "
            "histogram",
        )
    ladders = {arm: _ladders(growths) for arm, growths in arms.items()}
    edges = _common(ladders)
    if isinstance(edges, Problem):
        return edges
    per_arm = {arm: _bucketed(growths.pods, ladders[arm], edges) for arm, growths in arms.items()}
    return _tallied(per_arm, tuple(format_edge(edge) for edge in edges))


def classes(label: str) -> Counting:
    """Return what counts the requests per value of the label; a class that a pod never counted is 0 there."""

    def count(arms: Mapping[ArmName, Growths]) -> Tally | Problem:
        series = [each for growths in arms.values() for each in growths.total]
        if series and not any(each.labels.get(label) for each in series):
            return Problem(
                Reason.NO_SERIES,
                f"no series of {series[0].name} has the label {label}; name the label that tells the classes",
            )
        names = sorted({_class(each, label) for each in series})
        if len(names) > MOST_BUCKETS:
            return _too_many(f"{len(names)} classes in the label {label} ({', '.join(names[:_SHOWN])} …)")
        per_arm = {arm: _classified(growths, label, names) for arm, growths in arms.items()}
        return _tallied(per_arm, tuple(names))

    return count


def format_edge(edge: float) -> str:
    """Write an upper bound as Prometheus does."""
    return "+Inf" if edge == inf else f"{edge:.15g}"


def _bound(series: Series) -> float | None:
    try:
        bound = float(series.labels.get(LE, ""))
    except ValueError:
        return None
    return bound if isfinite(bound) or bound == inf else None


def _ladders(growths: Growths) -> tuple[_Ladder, ...]:
    """Take the histograms of an arm apart; all counters of one begin again together, also those that do not fall."""
    rungs: dict[frozenset[tuple[str, str]], list[tuple[float, Series]]] = {}
    for each in growths.total:
        bound = _bound(each)
        if bound is not None:
            own = frozenset((name, value) for name, value in each.labels.items() if name != LE)
            rungs.setdefault(own, []).append((bound, each))
    return tuple(_ladder(growths, each) for each in rungs.values())


def _ladder(growths: Growths, rungs: Iterable[tuple[float, Series]]) -> _Ladder:
    rungs = tuple(rungs)
    reborn = reborn_at(time for _, series in rungs for time in falls(series.samples))
    pod, _, _ = growths.target(rungs[0][1])
    return _Ladder(pod, {bound: growths.growth(series, reborn) for bound, series in rungs})


def _common(ladders: Mapping[ArmName, tuple[_Ladder, ...]]) -> tuple[float, ...] | Problem:
    """Return the bounds that every histogram of every arm has; an arm without any has those of the other."""
    own = [_shared(each) for each in ladders.values() if each]
    if not own:
        return ()
    try:
        edges = common_edges(own[0], own[-1])
    except ValueError as error:
        return Problem(Reason.EDGES_DIFFER, str(error))
    if len(edges) < 2 or edges[-1] != inf:
        listed = ", ".join(format_edge(edge) for edge in edges) or "none"
        return Problem(
            Reason.EDGES_DIFFER,
            f"the pods' histograms need a finite bucket edge and +Inf in common; common to all of them is: {listed}",
        )
    if len(edges) > MOST_BUCKETS:
        return _too_many(f"{len(edges)} buckets")
    return edges


def _shared(ladders: tuple[_Ladder, ...]) -> tuple[float, ...]:
    first, *others = (set(each.cumulative) for each in ladders)
    return tuple(sorted(first.intersection(*others)))


def _bucketed(pods: Iterable[str], ladders: tuple[_Ladder, ...], edges: tuple[float, ...]) -> PerPod:
    cumulative = {pod: [0.0] * len(edges) for pod in pods}
    for ladder in ladders:
        grown = cumulative[ladder.pod]
        cumulative[ladder.pod] = [sofar + ladder.cumulative[edge] for sofar, edge in zip(grown, edges, strict=True)]
    return {pod: _count(per_bucket(grown, grown[-1]) if grown else ()) for pod, grown in cumulative.items()}


def _classified(growths: Growths, label: str, names: list[str]) -> PerPod:
    counts = {pod: dict.fromkeys(names, 0.0) for pod in growths.pods}
    for each in growths.total:
        pod, _, _ = growths.target(each)
        counts[pod][_class(each, label)] += growths.growth(each)
    return {pod: _count(tuple(grown.values())) for pod, grown in counts.items()}


def _class(series: Series, label: str) -> str:
    return series.labels.get(label, "")[:LONGEST_CLASS]


def _count(buckets: tuple[float, ...]) -> Count:
    return Count(total=sum(buckets), buckets=buckets)


def _tallied(pods: Mapping[ArmName, PerPod], edges: tuple[str, ...]) -> Tally:
    return Tally(stable=pods.get(ArmName.STABLE, {}), candidate=pods.get(ArmName.CANDIDATE, {}), edges=edges)


def _too_many(what: str) -> Problem:
    return Problem(
        Reason.TOO_MANY_VALUES,
        f"found {what}, at most {MOST_BUCKETS} can be compared; narrow the selector, or group the values in the "
        "exporter",
    )
