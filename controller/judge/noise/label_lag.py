"""How late labels come after their requests: measured from both counters, although a label does not name its request.

Only what requests do from interval to interval can show it: a busy one is followed by many labels. So the labels of an
interval are explained by its requests and those before, l = c·(k ∗ r) + b·(share of k that reaches back before the
history), by weighted least squares over a grid of k: all at once after a delay, evenly until twice the delay, or as the
sum of 1, 4 or 16 exponential waits. c is the coverage, b what the requests before the history still bring.

- Those k that fit almost as well as the best (likelihood region, 99 %, by the residuals' own variance, inflated for
  their autocorrelation as in F6b) give the range of what may be true.
- Where a straight line explains the labels almost as well as the best k does, the requests tell nothing of the delay:
  even traffic, or labels that take longer than the history is long. Then there is no upper end.

What that assumes: coverage and delays stay as they are, and traffic does not repeat itself within a delay.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from controller.judge.noise.calibration import FEWEST_INTERVALS

__all__ = ["LabelHistory", "LabelLag", "measure_label_lag"]

LabelHistory = Sequence[tuple[float, float] | None]
"""(requests, labels) of each interval in the order of time; None: not known."""

Floats = NDArray[np.float64]

_ALMOST: Final = 9.21
"""χ² with two degrees of freedom, 99 %: delay and spread are both sought, by ks that are never quite the true one."""
_TELLING: Final = 16.3
"""χ² with three degrees of freedom, 99.9 %: what the best k must explain beyond a straight line."""
_STEP: Final = 0.1
_RATIO: Final = 1.08
_UNEVEN: Final = 0.01
"""Share of the labels by which intervals must differ: less may come from the moments of scrapes, in both counters."""
_LARGEST_AUTOCORRELATION: Final = 0.9
_FEWEST_LABELS: Final = 20.0
_SINGULAR: Final = 1e-9


@dataclass(frozen=True, slots=True)
class LabelLag:
    """What history tells about labels; delays are in intervals.

    Attributes:
        intervals: how many it rests on.
        coverage: labels per request.
        half: half of the labels come within that, in the k that fits best.
        most: 95 % of them come within that, in the k that fits best.
        least: the lower end of ``most`` among all k that fit.
        longest: its upper end; None: history cannot tell it, and ``half`` and ``most`` mean nothing.
    """

    intervals: int
    coverage: float
    half: float
    most: float
    least: float
    longest: float | None


Reached = Callable[[Floats, float], Floats]
"""The integral, from 0 to x, of the share of labels that came within x when they take so long on average."""


@dataclass(frozen=True, slots=True)
class _Spread:
    """How the delays of labels are spread, with median and 95 % quantile as multiples of the mean."""

    reached: Reached
    half: float
    most: float


def _all_at_once(x: Floats, mean: float) -> Floats:
    return np.maximum(0.0, x - mean)


def _evenly(x: Floats, mean: float) -> Floats:
    """From at once to twice the mean."""
    inside = np.clip(x, 0.0, 2.0 * mean)
    return np.asarray(inside * inside / (4.0 * mean) + np.maximum(0.0, x - 2.0 * mean))


def _waits(number: int) -> Reached:
    """The sum of so many exponential waits."""

    def below(waits: int, y: Floats) -> Floats:
        term, total = np.ones_like(y), np.ones_like(y)
        for each in range(1, waits):
            term = term * y / each
            total = total + term
        return np.asarray(1.0 - np.exp(-y) * total)

    def reached(x: Floats, mean: float) -> Floats:
        after = np.maximum(0.0, x)
        y = after * (number / mean)
        return np.asarray(after * below(number, y) - mean * below(number + 1, y))

    return reached


_AT_ONCE: Final = _Spread(_all_at_once, half=1.0, most=1.0)
_SPREADS: Final = (
    _Spread(_evenly, half=1.0, most=1.9),
    _Spread(_waits(16), half=0.979, most=1.444),
    _Spread(_waits(4), half=0.918, most=1.938),
    _Spread(_waits(1), half=0.693, most=2.996),
)


@dataclass(frozen=True, slots=True)
class _Grid:
    """Every k: its median and 95 % quantile, and in a row which share of the labels comes how many intervals later."""

    half: Floats
    most: Floats
    shares: Floats


@lru_cache(maxsize=1)
def _grid(intervals: int) -> _Grid:
    """Means up to half the history; requests come evenly within an interval.

    Labels that come all at once show it within a fraction of an interval; spread ones only in proportion.
    """
    x, reach = np.arange(-1.0, intervals + 1.0), intervals / 2.0
    sharp = [(_AT_ONCE, mean) for mean in np.arange(0.0, reach, _STEP)]
    number = int(np.log(reach / _STEP) / np.log(_RATIO))
    spread = [(each, _STEP * _RATIO**power) for each in _SPREADS for power in range(number)]
    every = sharp + spread
    return _Grid(
        half=np.array([each.half * mean for each, mean in every]),
        most=np.array([each.most * mean for each, mean in every]),
        shares=np.array([np.diff(each.reached(x, mean), 2) for each, mean in every]),
    )


def measure_label_lag(history: LabelHistory) -> LabelLag | None:
    """Return how late labels come; None with fewer than 50 known intervals or 20 labels."""
    known = [at for at, each in enumerate(history) if each is not None]
    if len(known) < FEWEST_INTERVALS:
        return None
    flow = _Flow.of(history[known[0] : known[-1] + 1])
    if flow.labels.sum() < _FEWEST_LABELS or flow.known_requests <= 0.0:
        return None
    grid = _grid(len(flow.requests))
    coverage, left = flow.explained(grid.shares)
    squares = np.square(left) @ flow.weights
    best = int(np.argmin(squares))
    beyond, noise = squares - squares[best], flow.noise(left[best])
    told = flow.straight - squares[best] > max(_TELLING * noise, flow.uneven)
    near = grid.most[beyond <= (_ALMOST * noise if told else max(_TELLING * noise, flow.uneven))]
    return LabelLag(
        intervals=len(known),
        coverage=float(coverage[best]) if told else float(flow.labels.sum() / flow.known_requests),
        half=float(grid.half[best]),
        most=float(grid.most[best]),
        least=float(near.min()),
        longest=float(near.max()) if told else None,
    )


@dataclass(frozen=True, slots=True)
class _Flow:
    """Requests and labels side by side; labels of unknown intervals have no weight, requests are the mean there."""

    requests: Floats
    labels: Floats
    weights: Floats

    @classmethod
    def of(cls, history: LabelHistory) -> "_Flow":
        """From intervals of which the first and the last are known."""
        requests = np.array([np.nan if each is None else each[0] for each in history])
        labels = np.array([0.0 if each is None else each[1] for each in history])
        unknown = np.isnan(requests)
        mean = float(requests[~unknown].mean())
        requests[unknown] = mean
        # Counts scatter by their size, which the requests shortly before tell without looking at the labels.
        around = np.convolve(requests, np.full(10, 0.1))[: len(requests)]
        weights = np.where(unknown, 0.0, 2.0 * mean / (mean + around + 1e-9))
        return cls(requests, labels, weights)

    @property
    def known_requests(self) -> float:
        """Requests of the known intervals."""
        return float(self.requests[self.weights > 0.0].sum())

    @property
    def straight(self) -> float:
        """Weighted squares that a straight line leaves."""
        root, time = np.sqrt(self.weights), np.linspace(-1.0, 1.0, len(self.labels))
        line = np.stack([root, root * time], axis=1)
        left = root * self.labels - line @ np.linalg.lstsq(line, root * self.labels, rcond=None)[0]
        return float(left @ left)

    @property
    def uneven(self) -> float:
        """Weighted squares that intervals alike may differ by."""
        return float(self.weights @ np.square(_UNEVEN * self.labels))

    def explained(self, shares: Floats) -> tuple[Floats, Floats]:
        """Return for each k the coverage c and what is left of the labels; neither c nor b is negative."""
        count = len(self.requests)
        earlier = np.subtract.outer(np.arange(count), np.arange(count))
        own = shares @ np.where(earlier >= 0, self.requests[earlier], 0.0).T
        before = 1.0 - np.minimum(1.0, np.cumsum(shares, axis=1))
        c, b = _not_negative(own, before, self.labels, self.weights)
        return c, self.labels - c[:, None] * own - b[:, None] * before

    def noise(self, left: Floats) -> float:
        """Return the variance of what is left, where neighbouring intervals are independent; 1 at least, for counts."""
        scaled = np.sqrt(self.weights) * left
        squares, count = float(scaled @ scaled), int((self.weights > 0.0).sum())
        alike = float(scaled[1:] @ scaled[:-1]) / squares if squares > 0.0 else 0.0
        alike = min(max(0.0, alike), _LARGEST_AUTOCORRELATION)
        return max(1.0, squares / max(1, count - 4)) * (1.0 + alike) / (1.0 - alike)


def _not_negative(x: Floats, z: Floats, y: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return, row by row, the c, b ≥ 0 for which c·x + b·z is closest to y."""
    xx, xz, zz = (x * x) @ weights, (x * z) @ weights, (z * z) @ weights
    xy, zy = x @ (weights * y), z @ (weights * y)
    determinant = xx * zz - xz * xz
    apart = determinant > _SINGULAR * xx * zz
    c, b = (_by(up, determinant, apart) for up in (xy * zz - zy * xz, zy * xx - xy * xz))
    only_x, only_z = _by(xy, xx, xx > 0.0), _by(zy, zz, zz > 0.0)
    fits, first = apart & (c >= 0.0) & (b >= 0.0), only_x * xy >= only_z * zy
    return np.where(fits, c, np.where(first, only_x, 0.0)), np.where(fits, b, np.where(first, 0.0, only_z))


def _by(dividend: Floats, divisor: Floats, where: NDArray[np.bool_]) -> Floats:
    return np.divide(dividend, divisor, out=np.zeros_like(dividend), where=where)
