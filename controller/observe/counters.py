"""Counters: from raw samples to how much they grew between two edges, and when their targets were scraped.

Pure. Times are Unix seconds, counts are floats as Prometheus keeps them. ``rate()`` and ``increase()`` are not used
because they extrapolate to the edges: they return fractions, and count a request in two windows or in none.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise
from math import isfinite
from typing import Final

Sample = tuple[float, float]
"""(Unix seconds, value)."""

Target = tuple[str, str, str]
"""(pod, job, instance): what Prometheus scrapes at one address; one process, reborn or not."""

LARGEST_COUNT: Final = 2.0**53
"""Above it a float no longer counts one by one."""

LARGEST_SUM: Final = 1e100
"""What no sum of values ever reaches."""

Accepts = Callable[[float], bool]
"""Which values samples of a series may have."""

_DECIMALS: Final = 6


@dataclass(frozen=True)
class Series:
    """One series with its samples.

    ``lost`` of them were no number that it may have and are left out; ``native`` ones were whole histograms.
    """

    labels: Mapping[str, str]
    samples: tuple[Sample, ...]
    lost: int = 0
    native: int = 0

    @property
    def name(self) -> str:
        """The metric's name; Prometheus always gives one."""
        return self.labels.get("__name__", "the counter")

    def target(self, pod_label: str) -> Target:
        """Return where the series comes from."""
        labels = self.labels
        return (labels.get(pod_label, ""), labels.get("job", ""), labels.get("instance", ""))


class End(StrEnum):
    """The two ends of a window."""

    START = "start"
    END = "end"


@dataclass(frozen=True)
class Edges:
    """The stretch of time that is counted, and how old a sample may be to speak for an edge; seconds."""

    start: float
    end: float
    patience: float

    def at(self, end: End) -> float:
        """Return when that end is."""
        return self.start if end is End.START else self.end

    def fresh(self, age: float | None) -> bool:
        """Whether a sample of that age speaks for an edge; None is one that does not exist."""
        return age is not None and age <= self.patience


def is_count(value: float) -> bool:
    """Whether a counter can have that value: NaN, infinities, negative and inexact numbers are scrape loss."""
    return isfinite(value) and 0 <= value <= LARGEST_COUNT


def is_sum(value: float) -> bool:
    """Whether a sum of values can be that: a finite number, negative ones included."""
    return abs(value) <= LARGEST_SUM


def fell(before: Sample, after: Sample) -> bool:
    """Whether a counter began again between two samples: it can fall in no other way."""
    return after[1] < before[1]


def reborn_at(times: Iterable[float]) -> "Reborn":
    """Return what tells that a process began again by when its other counters fell.

    For sums of values that may be negative: such a sum falls by itself, and after a new beginning it may be higher.
    """
    ascending = tuple(sorted(times))

    def began_again(before: Sample, after: Sample) -> bool:
        position = bisect_right(ascending, before[0])
        return position < len(ascending) and ascending[position] <= after[0]

    return began_again


Reborn = Callable[[Sample, Sample], bool]
"""Whether the process began again between two neighbouring samples."""


def falls(samples: Iterable[Sample]) -> tuple[float, ...]:
    """Return the times of the samples that lie below their predecessor."""
    return tuple(after[0] for before, after in pairwise(sorted(set(samples))) if fell(before, after))


def increase(
    samples: Iterable[Sample], edges: Edges, *, unseen: float | None = None, reborn: Reborn = fell
) -> float | None:
    """Return how much a counter grew from its last sample at or before the start to that at or before the end.

    Where its process began again, all of the value is growth. ``unseen`` is the value at the start for a counter
    without a sample there: 0 when it is known not to have existed, None when nobody knows; then the answer is None as
    soon as it has samples inside.
    """
    before = None if unseen is None else (edges.start, unseen)
    growth = 0.0
    for sample in sorted(set(samples)):
        time, reading = sample
        if time > edges.end:
            break
        if time > edges.start:
            if before is None:
                return None
            growth += reading if reborn(before, sample) else reading - before[1]
        before = sample
    return growth


class Scrapes:
    """When each target was scraped with success, as any of its series shows."""

    def __init__(self, series: Iterable[Series], *, pod_label: str) -> None:
        times: dict[Target, set[float]] = {}
        for each in series:
            times.setdefault(each.target(pod_label), set()).update(time for time, _ in each.samples)
        self._times = {target: tuple(sorted(seen)) for target, seen in times.items()}
        self._of_pod: dict[str, tuple[Target, ...]] = {}
        for target in self._times:
            self._of_pod[target[0]] = (*self._of_pod.get(target[0], ()), target)

    def targets(self, pod: str) -> tuple[Target, ...]:
        """Return the targets of a pod, scraped with success or not."""
        return self._of_pod.get(pod, ())

    def pods(self) -> frozenset[str]:
        """Return the pods that have a target."""
        return frozenset(self._of_pod)

    def age(self, target: Target, edge: float) -> float | None:
        """Return how many seconds before the edge the target was last scraped; None: not seen before it."""
        return age(self._times.get(target, ()), edge)

    def inside(self, target: Target, edges: Edges) -> bool:
        """Whether the target was scraped after the start and until the end."""
        return any(edges.start < time <= edges.end for time in self._times.get(target, ()))

    def first(self, target: Target) -> float | None:
        """Return when the target was first scraped with success, as far back as the samples reach."""
        return next(iter(self._times.get(target, ())), None)

    def born(self, pod: str) -> float | None:
        """Return when the pod was first scraped with success, as far back as the samples reach."""
        firsts = (self.first(target) for target in self.targets(pod))
        return min((time for time in firsts if time is not None), default=None)


def age(times: tuple[float, ...], edge: float) -> float | None:
    """Return the seconds from the newest of ascending times at or before the edge to the edge, or None."""
    position = bisect_right(times, edge)
    return edge - times[position - 1] if position else None


def plain(number: float) -> str:
    """Write a count without exponent, and without decimals where it is whole."""
    text = format(Decimal(repr(round(number, _DECIMALS))), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def exact(number: float) -> str:
    """Write a sum of values as exactly as a float knows it, with an exponent where it needs one."""
    return format(number, ".15g")
