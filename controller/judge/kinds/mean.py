"""One-sided t-mixtures on the differences between the arms' means (F3), and what they need to know of a series.

The unit is a window (or a batch of windows, F6b): d is the candidate's mean minus stable's. Nothing is assumed about
the requests within a window; over windows the differences are taken as independent and roughly normal, with a spread
that nobody needs to know. The effect, in units of that spread, gets a normal prior of variance g, cut to the side of
the alternative; four values of g are mixed.

Everything about n differences enters as one number, their alignment c = Σd/√(n·Σd²): +1 where all are equal and
above 0, −1 where below, 0 where they cancel. With ρ = 1/(1 + ng), and the F3 of the reference in these terms,

    two-sided  ln E = ½ ln ρ − ½n ln(1 − (1 − ρ)c²)
    one-sided  ln E = ln 2 + that + ln F(n·√(gρ)·c/√(1 − (1 − ρ)c²)),  F Student's distribution with n degrees

which cannot overflow, whatever the unit of the metric, and is finite where the spread is 0.

Source: Lindon, Ham, Tingley and Bojinov, "Anytime-valid linear models and regression adjusted causal inference",
2022; Pérez-Ortiz, Lardy, de Heide and Grünwald, "E-statistics, group invariance and anytime-valid testing", AoS 2024.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import exp, hypot, isfinite, log, sqrt
from typing import NamedTuple

import numpy as np

from controller.judge._process import Window
from controller.judge.numbers.roots import upper_root
from controller.judge.numbers.tails import log_student_cdf
from controller.judge.numbers.vector import Floats, log_means

__all__ = [
    "EFFECT_VARIANCES",
    "MeanArm",
    "Moments",
    "critical_alignment",
    "difference",
    "log_one_sided",
    "log_two_sided",
]

EFFECT_VARIANCES = (0.05, 0.25, 1.0, 4.0)
"""Prior variances g of the effect in units of the spread, mixed evenly."""

ROUNDING = 1e-9
"""Differences below this part of the means are rounding in the counters, not differences."""

_G = np.array(EFFECT_VARIANCES)
_LARGEST = 1e100
_TOLERANCE = 1e-10


@dataclass(frozen=True, slots=True)
class MeanArm:
    """What one arm did in one window.

    Attributes:
        count: number of observations, 0 or more.
        sum: their sum, in the unit of the metric and of its margin; higher is worse.
    """

    count: float
    sum: float

    def __post_init__(self) -> None:
        if not (isfinite(self.count) and self.count >= 0.0 and abs(self.sum) <= _LARGEST):
            msg = f"expected a count of at least 0 and a finite sum, found count={self.count!r}, sum={self.sum!r}"
            raise ValueError(msg)

    @property
    def mean(self) -> float:
        """Sum by count; only where there is a count."""
        return self.sum / self.count

    @property
    def exposure(self) -> float:
        """Number of observations."""
        return self.count

    @property
    def silent(self) -> bool:
        """Whether nothing was observed."""
        return not self.count > 0.0

    @property
    def shown(self) -> str:
        """Sum by count."""
        return f"{self.sum:g}/{self.count:g}"


class Moments(NamedTuple):
    """Size, mean and sum of squared deviations of a series."""

    size: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, value: float, *, blur: float = 0.0) -> "Moments":
        """The moments with one more value, by Welford's method; ``blur`` is the square of its rounding."""
        size = self.size + 1
        gap = value - self.mean
        mean = self.mean + gap / size
        return Moments(size, mean, self.squares + gap * (value - mean) + blur)

    def alignment(self, line: float) -> float:
        """How much of the series lies above the line: c of the values minus the line, in [−1, 1]; 0 for nothing."""
        above = sqrt(self.size) * (self.mean - line)
        length = hypot(above, sqrt(self.squares))
        return above / length if length > 0.0 else 0.0


def log_one_sided(counts: Sequence[int] | Floats, alignments: Sequence[float] | Floats) -> Floats:
    """Natural log evidence that the mean difference is above 0, for each series of that many differences.

    0 for a single difference: it has no spread to be compared with.
    """
    n, c = _columns(counts, alignments)
    rest, rho = _rest(n, c)
    tails = log_student_cdf(n * np.sqrt(_G * rho) * c / np.sqrt(rest), np.broadcast_to(n, rest.shape))
    return np.where(n[:, 0] > 1.0, log_means((_log_two_sided(n, rest, rho) + log(2.0) + tails).T), 0.0)


def log_two_sided(counts: Sequence[int] | Floats, alignments: Sequence[float] | Floats) -> Floats:
    """Natural log evidence that the mean difference is not 0, for each series of that many differences."""
    n, c = _columns(counts, alignments)
    rest, rho = _rest(n, c)
    return np.where(n[:, 0] > 1.0, log_means(_log_two_sided(n, rest, rho).T), 0.0)


def _columns(counts: Sequence[int] | Floats, alignments: Sequence[float] | Floats) -> tuple[Floats, Floats]:
    return np.array(counts, dtype=np.float64)[:, np.newaxis], np.array(alignments)[:, np.newaxis]


def _rest(n: Floats, c: Floats) -> tuple[Floats, Floats]:
    """1 − (1 − ρ)c² and ρ, per series and g."""
    rho = 1.0 / (1.0 + n * _G)
    # As a sum: where c² is nearly 1, ρ is what remains.
    return (1.0 - c * c) + rho * (c * c), rho


def _log_two_sided(n: Floats, rest: Floats, rho: Floats) -> Floats:
    logs: Floats = 0.5 * np.log(rho) - 0.5 * n * np.log(rest)
    return logs


@lru_cache(maxsize=8192)
def critical_alignment(count: int, alpha: float) -> float | None:
    """The alignment at which the one-sided evidence of so many differences is 1/α; None where none reaches it.

    The evidence grows with the alignment. For a single g it is between once and twice the two-sided evidence, which
    solves in closed form; that brackets the root.
    """
    needed = -log(alpha)
    low, high = _two_sided_root(count, needed - log(2.0)), _two_sided_root(count, needed + log(len(EFFECT_VARIANCES)))

    def excess(alignment: float) -> float:
        return float(log_one_sided((count,), (alignment,))[0]) - needed

    return upper_root(excess, low=low, high=high, tolerance=_TOLERANCE)


def _two_sided_root(count: int, log_evidence: float) -> float:
    """The smallest alignment at which the two-sided evidence for one of the g is that large; 1 if there is none."""
    squares = []
    for g in EFFECT_VARIANCES:
        rho = 1.0 / (1.0 + count * g)
        squares.append((1.0 - exp((log(rho) - 2.0 * log_evidence) / count)) / (1.0 - rho))
    return sqrt(min(1.0, max(0.0, min(squares))))


def difference(window: Window[MeanArm]) -> tuple[float, float]:
    """Candidate's mean minus stable's in one window, and the square of what may be rounding in it."""
    stable, candidate = window.stable.mean, window.candidate.mean
    return candidate - stable, (ROUNDING * max(abs(stable), abs(candidate))) ** 2
