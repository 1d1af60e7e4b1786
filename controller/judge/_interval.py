"""A confidence interval for the difference of the arms' rates that holds at every window at once (F9).

For each δ of a grid, fixed before the first window, two evidence processes run: "the difference is above δ"
and "it is below". The interval ends at the largest δ that is, with all smaller ones, refuted from below, and
mirrored. That takes one null at a time to fail, so the interval misses the truth with at most the error of one
process, at any time and on either side. Bad and good change places for the second side: "below δ" for bad
requests is "above −δ" for good ones; so one computation serves both.

All δ, sides and alternatives of a window are one numpy array: 660 projections at once.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from math import log
from sys import float_info

import numpy as np
from numpy.typing import NDArray

from controller.judge._process import Window
from controller.judge._ratio import (
    MARGIN_FRACTIONS,
    MAX_ITERATIONS,
    ODDS_RATIOS,
    RATE_FLOOR,
    STEP_TOLERANCE,
    Arm,
)

__all__ = ["DifferenceInterval", "difference_grid"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_DEFAULT_UNIT = 0.01
_ROUNDING_TOLERANCE = 1e-3


def difference_grid(margin: float) -> tuple[float, ...]:
    """41 differences, symmetric around 0, the margin among them: finest near it, ``±(1 + margin)/2`` outermost.

    At margin 0 the grid is that of 0.01.
    """
    unit = margin if margin > 0.0 else _DEFAULT_UNIT
    near = np.geomspace(unit / 8, unit, 8)
    far = np.geomspace(unit, (1.0 + unit) / 2, 13)[1:]
    upper = [*(float(x) for x in near[:-1]), unit, *(float(x) for x in far)]
    return (*(-x for x in reversed(upper)), 0.0, *upper)


@dataclass(frozen=True, slots=True, eq=False)
class _Bets:
    """The grid laid out as one row: the six alternatives of each δ < 0, then the ten of each δ ≥ 0."""

    grid: Floats
    margins: Floats
    fractions: Floats
    odds: Floats

    def alternatives(self, rates: Floats) -> Floats:
        """Candidate rates beyond the line, one row per side; the line itself where none is left."""
        split = self.fractions.size
        lines = rates + self.margins
        near = rates + self.fractions * self.margins[:split]
        base = np.minimum(lines[:, split:], 1.0 - RATE_FLOOR)
        odds = base / (1.0 - base) * self.odds
        chosen = np.concatenate([near, odds / (1.0 + odds)], axis=1)
        beyond: Floats = np.maximum(lines, np.clip(chosen, RATE_FLOOR, 1.0 - RATE_FLOOR))
        return beyond

    def evidence(self, logs: Floats) -> Floats:
        """Log evidence per side and δ.

        Half is the mean over δ's own alternatives, half the mean of that over all δ' ≥ δ: "above δ'" is "above δ"
        all the more, and the bets of a small δ grow too slowly when the truth is far above it.
        """
        split = self.fractions.size
        lower = logs[:, :split].reshape(2, -1, len(MARGIN_FRACTIONS))
        upper = logs[:, split:].reshape(2, -1, len(ODDS_RATIOS))
        own = np.concatenate([_log_means(lower), _log_means(upper)], axis=1)
        sums = np.logaddexp.accumulate(own[:, ::-1], axis=1)[:, ::-1]
        merged: Floats = np.logaddexp(own, sums - np.log(np.arange(self.grid.size, 0, -1))) - log(2)
        return merged


@dataclass(frozen=True, slots=True, eq=False)
class DifferenceInterval:
    """The running interval; ``update`` returns the next one and leaves this one as it is.

    Attributes:
        alpha: error probability of each end.
    """

    alpha: float
    _bets: _Bets
    _logs: Floats
    _refuted: Flags = field(repr=False)

    @classmethod
    def start(cls, margin: float, alpha: float) -> "DifferenceInterval":
        """Nothing known: from −1 to 1."""
        bets = _bets(margin)
        logs = np.zeros((2, bets.margins.size))
        return cls(alpha=alpha, _bets=bets, _logs=logs, _refuted=np.zeros((2, bets.grid.size), dtype=bool))

    def update(self, window: Window[Arm], rate: float) -> "DifferenceInterval":
        """The interval after a comparable window; ``rate`` is the guess for stable's, made before it."""
        logs = self._logs + _log_factors(window, rate=rate, bets=self._bets)
        refuted = self._refuted | (self._bets.evidence(logs) >= -log(self.alpha))
        logs.setflags(write=False)
        refuted.setflags(write=False)
        return DifferenceInterval(alpha=self.alpha, _bets=self._bets, _logs=logs, _refuted=refuted)

    @property
    def bounds(self) -> tuple[float, float]:
        """Lower and upper bound of candidate's rate minus stable's, in [−1, 1]."""
        return self._reach(0), -self._reach(1)

    def _reach(self, side: int) -> float:
        row = self._refuted[side]
        refuted = row.size if row.all() else int(np.argmin(row))
        return float(self._bets.grid[refuted - 1]) if refuted else -1.0


@lru_cache(maxsize=256)
def _bets(margin: float) -> _Bets:
    grid = np.array(difference_grid(margin))
    lower = grid[grid < 0.0]
    upper = grid[lower.size :]
    margins = np.concatenate([lower.repeat(len(MARGIN_FRACTIONS)), upper.repeat(len(ODDS_RATIOS))])
    return _Bets(
        grid=grid,
        margins=margins,
        fractions=np.tile(MARGIN_FRACTIONS, lower.size),
        odds=np.tile(ODDS_RATIOS, upper.size),
    )


def _log_factors(window: Window[Arm], *, rate: float, bets: _Bets) -> Floats:
    n0, n1 = window.stable.total, window.candidate.total
    bad0 = np.array([[window.stable.bad], [n0 - window.stable.bad]])
    bad1 = np.array([[window.candidate.bad], [n1 - window.candidate.bad]])
    rates = np.array([[rate], [1.0 - rate]])
    alternatives = bets.alternatives(rates)
    placed = alternatives > rates + bets.margins
    with np.errstate(all="ignore"):  # bets that are not placed may be anything
        s0 = _projections(rates, alternatives, margins=bets.margins, weights=(n0, n1), placed=placed)
        s1 = s0 + bets.margins
        logs = (
            bad1 * np.log(alternatives / s1)
            + (n1 - bad1) * np.log((1.0 - alternatives) / (1.0 - s1))
            + bad0 * np.log(rates / s0)
            + (n0 - bad0) * np.log((1.0 - rates) / (1.0 - s0))
        )
        # As ``rounding`` of the single window; below 0 the margin blurs s1 next to 0 as well.
        blur = (1.0 - alternatives) / (1.0 - s1) ** 2 + np.where(bets.margins < 0, alternatives / s1**2, 0.0)
        rounding = n1 * blur * float_info.epsilon
    inside = (s0 > 0.0) & (s0 < 1.0) & (s1 > 0.0) & (s1 < 1.0)
    return np.where(placed & inside & (rounding <= _ROUNDING_TOLERANCE), logs, 0.0)


def _projections(
    rates: Floats, alternatives: Floats, *, margins: Floats, weights: tuple[float, float], placed: Flags
) -> Floats:
    """``projection`` of the single window, for all bets at once; here θ0 < s < θ1 − δ always."""
    n0, n1 = weights
    shifted = alternatives - margins
    low = np.maximum(rates, -margins)
    high = np.minimum(shifted, 1.0 - np.maximum(margins, 0.0))
    inflection = (n0 * (1.0 - 2.0 * margins + rates) + n1 * (1.0 + shifted)) / (3.0 * (n0 + n1))
    s: Floats = np.minimum(np.maximum(inflection, low), high)
    for _ in range(MAX_ITERATIONS):
        s1 = s + margins
        variance0, variance1 = s * (1.0 - s), s1 * (1.0 - s1)
        from_rate, from_alternative = n0 * (s - rates), n1 * (s - shifted)
        slope = n0 * variance1 + from_rate * (1.0 - 2.0 * s1) + n1 * variance0 + from_alternative * (1.0 - 2.0 * s)
        step = (from_rate * variance1 + from_alternative * variance0) / slope
        s = s - step
        if (np.abs(step) <= STEP_TOLERANCE * s)[placed].all():
            break
    return s


def _log_means(logs: Floats) -> Floats:
    largest = logs.max(axis=2, keepdims=True)
    means: Floats = largest[:, :, 0] + np.log(np.exp(logs - largest).mean(axis=2))
    return means
