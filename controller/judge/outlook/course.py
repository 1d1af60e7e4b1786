"""The course of evidence over windows that are all alike: how much there is after so many, and when it is enough."""

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, expm1, inf, log, log1p
from typing import Protocol

from controller.judge._mixture import log_add, log_mean

__all__ = ["Both", "Combined", "Course", "Lines", "Rising", "Shared", "restarted"]

_HALVINGS = 7
_MOST_DOUBLINGS = 60
_NEARLY_LEVEL = 1e-9
_SLOWEST = 1e-12
"""Growth per window below which it is rounding."""


class Course(Protocol):
    """How the evidence of one process goes on."""

    def until(self, needed: float, *, known: float) -> float:
        """Windows from log evidence ``known`` to ``needed``; infinite where it never comes.

        Evidence below 1 lags behind a course that begins now, and first has to be made good.
        """


@dataclass(frozen=True, slots=True)
class Lines:
    """The mean of bets of which each grows evenly; ``slopes`` is the logarithms' growth per window."""

    slopes: tuple[float, ...]

    def at(self, windows: float) -> float:
        """Log evidence after so many windows from the first."""
        return log_mean(tuple(windows * slope for slope in self.slopes))

    def until(self, needed: float, *, known: float) -> float:
        """See ``Course``."""
        return _until(self.at, needed, known=known, fastest=max(self.slopes), parts=len(self.slopes))


@dataclass(frozen=True, slots=True)
class Combined:
    """What a roll-back rests on: half of the bets mixed over the window of onset, half of the catastrophic ones.

    Attributes:
        worse: growth per window of the bets on "worse than the margin".
        catastrophic: the same at the catastrophic margin.
        horizon: windows over which a late onset is looked for.
    """

    worse: tuple[float, ...]
    catastrophic: tuple[float, ...]
    horizon: int

    def at(self, windows: float) -> float:
        """Log evidence after so many windows from the first."""
        catastrophic = log_mean(tuple(windows * slope for slope in self.catastrophic))
        return log_mean((restarted(self.worse, windows=windows, horizon=self.horizon), catastrophic))

    def until(self, needed: float, *, known: float) -> float:
        """See ``Course``."""
        fastest, parts = max(*self.worse, *self.catastrophic), 4 * len(self.worse)
        return _until(self.at, needed, known=known, fastest=fastest, parts=parts)


@dataclass(frozen=True, slots=True)
class Rising:
    """Evidence of which nothing is known but that it rises from some window on, or never.

    Attributes:
        at: log evidence after so many windows from the first.
        first: windows before which it decides nothing.
    """

    at: Callable[[float], float]
    first: float

    def until(self, needed: float, *, known: float) -> float:
        """See ``Course``; ``known`` below 0 counts as 0, because nothing says how fast that is made good."""
        whole = self._when(needed)
        return whole if known <= 0.0 or whole == inf else max(whole - self._when(known), 0.0)

    def _when(self, needed: float) -> float:
        low, high = 0.0, self.first
        for _ in range(_MOST_DOUBLINGS):
            if self.at(high) >= needed:
                break
            low, high = high, 2.0 * high
        else:
            return inf
        return high if low == 0.0 else _bisected(self.at, needed, low=low, high=high)


@dataclass(frozen=True, slots=True)
class Both:
    """Two courses that must both get there: the smaller of two e-values is what counts."""

    one: Course
    other: Course

    def until(self, needed: float, *, known: float) -> float:
        """See ``Course``."""
        return max(self.one.until(needed, known=known), self.other.until(needed, known=known))


@dataclass(frozen=True, slots=True)
class Shared:
    """A course that is averaged with others which say less: it needs more, by ``cost``, and has more than is seen."""

    own: Course
    cost: float

    def until(self, needed: float, *, known: float) -> float:
        """See ``Course``."""
        if known >= needed:
            return 0.0
        return self.own.until(needed + self.cost, known=known + self.cost if known > 0.0 else known)


def _until(at: Callable[[float], float], needed: float, *, known: float, fastest: float, parts: int) -> float:
    """A mean of ``parts`` is at most its fastest part, and at least that by their number: that brackets the root."""
    if known >= needed:
        return 0.0
    if fastest <= _SLOWEST:
        return inf

    def when(evidence: float) -> float:
        return _bisected(at, evidence, low=evidence / fastest, high=(evidence + log(parts)) / fastest)

    return when(needed) - known / fastest if known <= 0.0 else max(when(needed) - when(known), 0.0)


def _bisected(at: Callable[[float], float], needed: float, *, low: float, high: float) -> float:
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if at(middle) >= needed else (middle, high)
    return high


def restarted(slopes: tuple[float, ...], *, windows: float, horizon: int) -> float:
    """What ``Restart`` has after so many windows in which the logarithm of each bet grew by its slope."""
    if windows <= 0.0:
        return 0.0
    each = 0.5 / (horizon - 1) if horizon > 1 else 0.0
    later = max(min(windows, horizon) - 1.0, 0.0)
    begun = log_mean(tuple(_begun(slope, windows=windows, later=later, each=each) for slope in slopes))
    return log_add(begun, _log(0.5 if horizon == 1 else each * (horizon - 1.0 - later)))


def _begun(slope: float, *, windows: float, later: float, each: float) -> float:
    """One bet: half of it from the first window on, a share of it from each ``later`` one."""
    first = log(0.5) + windows * slope
    if later <= 0.0 or each == 0.0:
        return first
    return log_add(first, log(each) + (windows - 1.0 - later) * slope + _log_sum(slope, later))


def _log_sum(slope: float, terms: float) -> float:
    """Logarithm of e^slope + e^(2·slope) + … of so many terms; a fraction of a term counts as that."""
    if abs(slope * terms) < _NEARLY_LEVEL:
        return log(terms)
    if slope < 0.0:
        return slope + log(expm1(slope * terms) / expm1(slope))
    return slope * terms + log1p(-exp(-slope * terms)) - log1p(-exp(-slope))


def _log(weight: float) -> float:
    return log(weight) if weight > 0.0 else -inf
