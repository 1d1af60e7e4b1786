"""How far the pods of one arm lie apart within an interval: the sums of squares behind calibration (F5, F6b, F12).

Pods are compared with the mean of all pods in the same interval and with nothing else, so that whatever moves all of
them (season, load, drift) cancels. A cell is what one pod did in one interval: its size (requests, exposure, values)
and its amount (bad requests, events, the sum of the values).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt

__all__ = [
    "QUANTILE",
    "Cell",
    "Level",
    "PodHistory",
    "autocorrelation",
    "design",
    "lasting_variance",
    "levels",
    "poisson_variance",
    "share_variance",
]

QUANTILE = 1.645
"""One-sided 95 % of the normal distribution."""

Cell = tuple[float, float]
"""(size, amount) of one pod in one interval."""

PodHistory = Sequence[Mapping[str, Cell] | None]
"""Cells by pod for each interval in the order of time; None for an interval that is not known."""

Variance = Callable[[float, float], float]
"""Variance of one unit of size, from the level and the size of the whole interval."""


@dataclass(frozen=True, slots=True)
class Level:
    """One interval with at least two active pods.

    Attributes:
        size: size of all pods together.
        level: amount by size, of all pods together.
        pods: (name, size, amount beyond what the level gives it) of each active pod.
    """

    size: float
    level: float
    pods: tuple[tuple[str, float, float], ...]

    @property
    def squares(self) -> float:
        """Squares of what lies beyond the level, each by the size of its cell."""
        return sum(beyond * beyond / size for _, size, beyond in self.pods)

    @property
    def between(self) -> float:
        """How much size the pods have to be compared with each other: N − Σn²/N; (M−1)·n for M pods alike."""
        return self.size - sum(size * size for _, size, _ in self.pods) / self.size


@dataclass(frozen=True, slots=True)
class Design:
    """Variance of cells against what independent units would give.

    Attributes:
        factor: the ratio of both (φ of F5), 1 for independent units.
        error: its relative standard error, if the units are independent.
        size: mean size of a cell, as the factor weights it (n̄).
    """

    factor: float
    error: float
    size: float


def levels(history: PodHistory) -> tuple[Level | None, ...]:
    """Return the intervals in their order; None for one in which fewer than two pods were active."""
    return tuple(None if each is None else _level(each) for each in history)


def _level(cells: Mapping[str, Cell]) -> Level | None:
    active = [(pod, size, amount) for pod, (size, amount) in sorted(cells.items()) if size > 0.0]
    size = sum(each for _, each, _ in active)
    if len(active) < 2:
        return None
    level = sum(amount for _, _, amount in active) / size
    return Level(size=size, level=level, pods=tuple((pod, n, amount - n * level) for pod, n, amount in active))


def share_variance(level: float, size: float, /) -> float:
    """Variance of one request that is bad or not, as the rate of so many tells it without bias."""
    return level * (1.0 - level) * size / (size - 1.0) if size > 1.0 else 0.0


def poisson_variance(level: float, _size: float, /) -> float:
    """Variance of the events of one unit of exposure."""
    return level


def design(history: Sequence[Level], variance: Variance, *, alone: float) -> Design | None:
    """Return how the cells scatter; None where all outcomes were alike, which says nothing about scatter.

    Each interval is set against its own level, so that neither season nor drift counts as scatter. The standard error
    is √(2/df) of F5, with what rare outcomes add to it: with few of them, few pairs of them can tell.
    """
    squares = unit = between = outcomes = 0.0
    degrees = cells = 0
    for each in history:
        of_one = variance(each.level, each.size)
        squares += each.squares
        unit += (len(each.pods) - 1) * of_one
        between += (each.between - (len(each.pods) - 1) * alone) * of_one
        outcomes += each.size * of_one
        degrees += len(each.pods) - 1
        cells += len(each.pods)
    if unit <= 0.0:
        return None
    return Design(
        factor=squares / unit,
        error=sqrt((2.0 + cells / outcomes) / degrees),
        size=alone + max(0.0, between / unit),
    )


def lasting_variance(history: Sequence[Level]) -> float:
    """Return the variance of the pods' levels over the history, what chance gives them taken off (σ² of F12).

    Analysis of variance: squares of the pods' mean deviations, less as many as the deviations around these would make.
    """
    sizes, beyond = _per_pod(history)
    total = sum(sizes.values())
    degrees = sum(len(each.pods) - 1 for each in history) - (len(sizes) - 1)
    lasting = sum(beyond[pod] * beyond[pod] / size for pod, size in sizes.items())
    passing = max(0.0, sum(each.squares for each in history) - lasting)
    between = total - sum(size * size for size in sizes.values()) / total if total else 0.0
    if degrees < 1 or between <= 0.0:
        return 0.0
    return max(0.0, (lasting - (len(sizes) - 1) * passing / degrees) / between)


def autocorrelation(history: Sequence[Level | None]) -> float:
    """Return how alike a pod's deviations in neighbouring intervals are (F6b), its lasting one taken off.

    0 where that could be chance: below the 95 % bound of independent intervals.
    """
    known = [each for each in history if each is not None]
    sizes, beyond = _per_pod(known)
    series = [None if each is None else _standardised(each, sizes, beyond) for each in history]
    squares = [value * value for each in series if each is not None for value in each.values()]
    products = [
        value * after[pod]
        for before, after in pairwise(series)
        if before is not None and after is not None
        for pod, value in before.items()
        if pod in after
    ]
    scale = sum(squares)
    if not products or scale <= 0.0:
        return 0.0
    free = sum(max(1, len(each.pods) - 1) for each in known) / sum(len(each.pods) for each in known)
    found = (sum(products) / len(products)) / (scale / len(squares))
    return min(found, 1.0) if found > QUANTILE / sqrt(len(products) * free) else 0.0


def _standardised(interval: Level, sizes: Mapping[str, float], beyond: Mapping[str, float]) -> dict[str, float]:
    return {pod: (more - size * beyond[pod] / sizes[pod]) / sqrt(size) for pod, size, more in interval.pods}


def _per_pod(history: Sequence[Level]) -> tuple[dict[str, float], dict[str, float]]:
    sizes: dict[str, float] = {}
    beyond: dict[str, float] = {}
    for each in history:
        for pod, size, more in each.pods:
            sizes[pod] = sizes.get(pod, 0.0) + size
            beyond[pod] = beyond.get(pod, 0.0) + more
    return sizes, beyond
