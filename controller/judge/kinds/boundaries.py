"""A fixed largest sample with few looks: group-sequential boundaries (F11).

Alpha is spent over the looks by a function fixed in advance; the boundary of each look is the z that paths which have
not crossed before exceed with just the probability that is due. Between looks the score statistic moves like a
Brownian motion, so only the information at the looks matters, not how it was planned (Lan and DeMets 1983). The
probabilities are those of Armitage, McPherson and Rowe (1969), integrated by panels of Gauss–Legendre nodes.

Unlike everything else here this is no e-value: it rests on the normal approximation, and on one largest sample.
Source: Jennison and Turnbull, "Group Sequential Methods", 2000, chapters 7 and 19.
"""

from dataclasses import dataclass, replace
from enum import IntEnum
from functools import lru_cache
from math import ceil, e, floor, inf, isfinite, log, log1p, sqrt
from sys import float_info

import numpy as np
from scipy.special import ndtr, ndtri

from controller.api.analysis import Spending
from controller.judge.numbers.roots import upper_root
from controller.judge.numbers.vector import Floats

__all__ = ["GroupSequential", "Look", "Sides", "boundaries", "constant_boundary", "spent"]

_REACH = 8.0
"""Standard deviations beyond which no path is followed."""

_FARTHEST = 37.0
"""A boundary beyond this cannot be crossed: no float holds its probability."""

_NODES = 16
_PANEL = 3.0
_MOST_PANELS = 64
_TOLERANCE = 1e-11
_LEAST_GROWTH = 1e-3


class Sides(IntEnum):
    """Whether a path crosses above alone, or above and below."""

    ONE = 1
    TWO = 2


def spent(fraction: float, *, alpha: float, spending: Spending) -> float:
    """Alpha that one side may have spent when this part of the largest sample is there; all of it from 1 on.

    Like O'Brien and Fleming's boundaries: 2 − 2Φ(z_{α/2}/√t); like Pocock's: α·ln(1 + (e − 1)t).
    """
    if fraction <= 0.0:
        return 0.0
    if fraction >= 1.0:
        return alpha
    if spending is Spending.POCOCK:
        return alpha * log1p((e - 1.0) * fraction)
    return 2.0 * float(ndtr(ndtri(alpha / 2.0) / sqrt(fraction)))


@lru_cache(maxsize=512)
def boundaries(information: tuple[float, ...], spending: tuple[float, ...], sides: Sides) -> tuple[float, ...]:
    """The z of each look at which the paths have crossed with just the probability that is due; inf for none.

    Args:
        information: information at the looks, increasing from above 0; only its proportions matter.
        spending: alpha that has been spent by each look, per side.
        sides: whether crossing below ends a path too.
    """
    if any(later <= earlier for earlier, later in zip((0.0, *information), information, strict=False)):
        msg = f"expected information that grows from look to look, found {information}"
        raise ValueError(msg)
    paths, found = _Paths.start(), []
    due = [later - earlier for earlier, later in zip((0.0, *spending), spending, strict=False)]
    for look, now in enumerate(information):
        found.append(_boundary(paths, now, due=due[look], sides=sides))
        if look + 1 < len(information):
            paths = paths.after(now, boundary=found[-1], next_step=information[look + 1] - now, sides=sides)
    return tuple(found)


@lru_cache(maxsize=64)
def constant_boundary(looks: int, *, alpha: float, sides: Sides) -> float:
    """Pocock's constant: the z that is the same at each of some evenly spread looks; ``alpha`` over all sides."""

    def shortfall(boundary: float) -> float:
        paths, crossed = _Paths.start(), 0.0
        for look in range(1, looks + 1):
            crossed += paths.crossing(look, boundary=boundary, sides=sides)
            paths = paths.after(look, boundary=boundary, next_step=1.0, sides=sides)
        return log(alpha) - log(crossed)

    found = upper_root(shortfall, low=0.0, high=_REACH, tolerance=_TOLERANCE)
    return inf if found is None else found


def _boundary(paths: "_Paths", information: float, *, due: float, sides: Sides) -> float:
    if due <= 0.0:
        return inf

    def shortfall(boundary: float) -> float:
        crossing = paths.crossing(information, boundary=boundary, sides=sides)
        return log(sides * due) - log(max(crossing, float_info.min))

    found = upper_root(shortfall, low=0.0 if sides is Sides.TWO else -_REACH, high=_FARTHEST, tolerance=_TOLERANCE)
    return inf if found is None else found


@dataclass(frozen=True, slots=True, eq=False)
class _Paths:
    """Where the score statistic is at a look, on the paths that have not crossed: points and their probability."""

    information: float
    points: Floats
    masses: Floats

    @classmethod
    def start(cls) -> "_Paths":
        """At 0, before any information."""
        return cls(0.0, np.zeros(1), np.ones(1))

    def crossing(self, information: float, *, boundary: float, sides: Sides) -> float:
        """Probability of being beyond the boundary at the next look, not having crossed before."""
        step, edge = sqrt(information - self.information), boundary * sqrt(information)
        beyond = ndtr((self.points - edge) / step)
        if sides is Sides.TWO:
            beyond = beyond + ndtr((-edge - self.points) / step)
        return float(self.masses @ beyond)

    def after(self, information: float, *, boundary: float, next_step: float, sides: Sides) -> "_Paths":
        """The paths that do not cross at the next look, by points close enough for the step that follows it."""
        spread, step = sqrt(information), sqrt(information - self.information)
        high = min(boundary, _REACH) * spread
        low = -high if sides is Sides.TWO else -_REACH * spread
        panels = ceil((high - low) / (_PANEL * min(step, sqrt(next_step))))
        points, weights = _panels(low, high, max(1, min(panels, _MOST_PANELS)))
        distances = (points[:, np.newaxis] - self.points) / step
        densities = np.exp(-0.5 * distances**2) @ self.masses / (step * sqrt(2.0 * np.pi))
        return _Paths(information, points, weights * densities)


def _panels(low: float, high: float, size: int) -> tuple[Floats, Floats]:
    """Points and weights that integrate over [low, high] by panels."""
    nodes, weights = _legendre()
    half = 0.5 * (high - low) / size
    middles = low + half * (2.0 * np.arange(size) + 1.0)
    return (middles[:, np.newaxis] + half * nodes).ravel(), np.tile(half * weights, size)


@lru_cache(maxsize=1)
def _legendre() -> tuple[Floats, Floats]:
    return np.polynomial.legendre.leggauss(_NODES)


@dataclass(frozen=True, slots=True)
class Look:
    """One look that was taken.

    Attributes:
        requests: how much of the sample there was.
        information: variance of the score statistic, in any unit that stays the same.
        z: the score statistic in standard deviations; large speaks against the hypothesis.
        boundary: the z that it would have had to reach.
    """

    requests: float
    information: float
    z: float
    boundary: float

    @property
    def crossed(self) -> bool:
        """Whether the boundary was reached."""
        return self.z >= self.boundary


@dataclass(frozen=True, slots=True)
class GroupSequential:
    """A one-sided test with a fixed largest sample and few looks; ``update`` returns it after one more window.

    P(crossing ever although the hypothesis holds) ≤ alpha, as far as the normal approximation carries. A look is taken
    with the first window that reaches the next of the evenly spread sample sizes; how far beyond does not matter, for
    alpha is spent by the sample that is there. Looks that would follow closer than half of their distance are left out.

    The last look is taken with the window that reaches the largest sample, and spends what is left of alpha. If that
    window overran it, its boundary is that of the information it has. After it nothing is tested any more: more
    requests, however many, decide nothing, and ``exhausted`` says so.

    Attributes:
        alpha: error probability of the whole test.
        max_requests: requests of the candidate at the last look.
        looks: how many looks are planned, evenly spread.
        spending: how alpha is spent over them.
        taken: the looks so far.
    """

    alpha: float
    max_requests: float
    looks: int = 5
    spending: Spending = Spending.O_BRIEN_FLEMING
    taken: tuple[Look, ...] = ()

    def __post_init__(self) -> None:
        demands = (
            (0.0 < self.alpha < 1.0, f"an alpha between 0 and 1, found {self.alpha:g}"),
            (isfinite(self.max_requests) and self.max_requests > 0, f"a largest sample, found {self.max_requests:g}"),
            (self.looks >= 1, f"at least 1 look, found {self.looks}"),
        )
        for met, demand in demands:
            if not met:
                msg = f"expected {demand}"
                raise ValueError(msg)

    @property
    def crossed(self) -> bool:
        """Whether a boundary was reached; it stays."""
        return bool(self.taken) and self.taken[-1].crossed

    @property
    def exhausted(self) -> bool:
        """Whether the last look was taken: nothing is decided any more."""
        return bool(self.taken) and self._last(self.taken[-1].requests)

    @property
    def next_look(self) -> float | None:
        """Requests at which the next look is due; None after the last one and after a crossing."""
        if self.crossed or self.exhausted:
            return None
        done = self.taken[-1].requests / self.max_requests if self.taken else 0.0
        return min(1.0, (floor(done * self.looks + 0.5) + 1) / self.looks) * self.max_requests

    def update(self, *, requests: float, information: float, z: float) -> "GroupSequential":
        """The test after a window, all numbers cumulative; the same where no look is due.

        A look without more information than the one before cannot decide and is put off, unless it is the last.
        """
        due = self.next_look
        if due is None or requests < due:
            return self
        known = self.taken[-1].information if self.taken else 0.0
        if information > known * (1.0 + _LEAST_GROWTH):
            return self._looked(Look(requests, information, z, self._boundary(requests, information)))
        return self._looked(Look(requests, known, z, inf)) if self._last(requests) else self

    def _boundary(self, requests: float, information: float) -> float:
        amounts = tuple(look.information for look in self.taken)
        spending = tuple(self._spent(look.requests) for look in self.taken)
        return boundaries((*amounts, information), (*spending, self._spent(requests)), Sides.ONE)[-1]

    def _spent(self, requests: float) -> float:
        fraction = 1.0 if self._last(requests) else requests / self.max_requests
        return spent(fraction, alpha=self.alpha, spending=self.spending)

    def _last(self, requests: float) -> bool:
        """Whether no look can follow one at this sample: it is closer to the largest than a quarter of a step."""
        return requests >= self.max_requests * (1.0 - 0.25 / self.looks)

    def _looked(self, look: Look) -> "GroupSequential":
        return replace(self, taken=(*self.taken, look))
