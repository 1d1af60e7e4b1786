"""A confidence interval for the difference of the arms' rates that holds at every window at once (F9).

For each δ of a grid, fixed before the first window, two evidence processes run: "the difference is above δ"
and "it is below". The interval ends at the largest δ that is, with all smaller ones, refuted from below, and
mirrored. That takes one null at a time to fail, so the interval misses the truth with at most the error of one
process, at any time and on either side. Bad and good change places for the second side: "below δ" for bad
requests is "above −δ" for good ones; so one computation serves both.

A window is only noted; when the bounds are read, all noted windows are folded at once. Numpy computes the 660 bets of
some windows as one array (windows × sides × bets), by steps that treat each number apart from its neighbours: so it
does not matter for the last bit how many windows were folded together.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import log
from sys import float_info
from typing import NamedTuple

import numpy as np

from controller.judge._process import Window
from controller.judge.kinds.ratio import (
    CLOSED_FORM_TOLERANCE,
    MARGIN_FRACTIONS,
    MAX_ITERATIONS,
    ODDS_RATIOS,
    RATE_FLOOR,
    STEP_TOLERANCE,
    Arm,
)
from controller.judge.numbers.deferred import Deferred
from controller.judge.numbers.vector import Flags, Floats, leading

__all__ = ["DifferenceInterval", "difference_grid"]


_DEFAULT_UNIT = 0.01
_ROUNDING_TOLERANCE = 1e-3
_AT_ONCE = 12
"""Windows folded as one array: many enough for numpy, few enough that the allocator keeps the memory it needs."""


def difference_grid(margin: float) -> tuple[float, ...]:
    """41 differences, symmetric around 0, the margin among them: finest near it, ``±(1 + margin)/2`` outermost.

    At margin 0 the grid is that of 0.01.
    """
    unit = margin if margin > 0.0 else _DEFAULT_UNIT
    near = np.geomspace(unit / 8, unit, 8)
    far = np.geomspace(unit, (1.0 + unit) / 2, 13)[1:]
    upper = [*(float(x) for x in near[:-1]), unit, *(float(x) for x in far)]
    return (*(-x for x in reversed(upper)), 0.0, *upper)


class _Counts(NamedTuple):
    """One window: requests and bad ones per arm, and the guess for stable's rate that was made before it."""

    stable: float
    stable_bad: float
    candidate: float
    candidate_bad: float
    rate: float


@dataclass(frozen=True, slots=True, eq=False)
class _Bets:
    """The grid laid out as one row: six alternatives for all δ < 0, then ten for all δ ≥ 0.

    ``grid`` may lack the smallest δ; ``whole`` never does.
    """

    whole: tuple[float, ...]
    grid: Floats
    margins: Floats
    fractions: Floats
    odds: Floats

    def alternatives(self, rates: Floats) -> Floats:
        """Candidate rates beyond the line, per window, side and bet; the line itself where none is left."""
        split = self.fractions.size
        lines = rates + self.margins
        near = rates + self.fractions * self.margins[:split]
        base = np.minimum(lines[..., split:], 1.0 - RATE_FLOOR)
        odds = base / (1.0 - base) * self.odds
        chosen = np.concatenate([near, odds / (1.0 + odds)], axis=-1)
        beyond: Floats = np.maximum(lines, np.clip(chosen, RATE_FLOOR, 1.0 - RATE_FLOOR))
        return beyond

    def evidence(self, logs: Floats) -> Floats:
        """Log evidence per window, side and δ.

        Half is the mean over δ's own alternatives, half the mean of that over all δ' ≥ δ: "above δ'" is "above δ"
        all the more, and the bets of a small δ grow too slowly when the truth is far above it.
        """
        split = self.fractions.size
        lower = logs[..., :split].reshape(*logs.shape[:-1], len(MARGIN_FRACTIONS), -1)
        upper = logs[..., split:].reshape(*logs.shape[:-1], len(ODDS_RATIOS), -1)
        own = np.concatenate([_log_means(lower), _log_means(upper)], axis=-1)
        sums = np.logaddexp.accumulate(own[..., ::-1], axis=-1)[..., ::-1]
        merged: Floats = np.logaddexp(own, sums - np.log(np.arange(self.grid.size, 0, -1))) - log(2)
        return merged


@dataclass(frozen=True, slots=True, eq=False)
class _Folded:
    """What windows said: log e-values per side and bet, and which δ of the whole grid each side has refuted so far."""

    bets: _Bets
    logs: Floats
    refuted: Flags

    @classmethod
    def start(cls, margin: float) -> "_Folded":
        """Nothing said."""
        bets = _bets(difference_grid(margin))
        return cls(bets, np.zeros((2, bets.margins.size)), np.zeros((2, bets.grid.size), dtype=bool))

    def after(self, windows: Sequence[_Counts], *, alpha: float) -> "_Folded":
        """The same with more windows in it."""
        factors = _log_factors(windows, bets=self.bets)
        logs = np.cumsum(np.concatenate([self.logs[np.newaxis], factors]), axis=0)[1:]
        refuted = self.refuted.copy()
        refuted[:, -self.bets.grid.size :] |= (self.bets.evidence(logs) >= -log(alpha)).any(axis=0)
        return _Folded(self.bets, logs[-1], refuted).without_settled()

    def without_settled(self) -> "_Folded":
        """The same without the bets on the smallest δ, as far as both sides have refuted them.

        Only the evidence on those and on smaller δ rests on them, and what is refuted stays so. One δ < 0 is kept.
        """
        whole, kept = self.bets.whole, self.bets.grid.size
        settled = min(leading(self.refuted[0]), leading(self.refuted[1]), len(whole) // 2 - 1)
        surplus = settled - (len(whole) - kept)
        if surplus <= 0:
            return self
        split = self.bets.fractions.size
        lower = self.logs[:, :split].reshape(2, len(MARGIN_FRACTIONS), -1)[..., surplus:].reshape(2, -1)
        logs = np.concatenate([lower, self.logs[:, split:]], axis=-1)
        return _Folded(_bets(whole, settled), logs, self.refuted)

    @property
    def bounds(self) -> tuple[float, float]:
        """The largest δ that side 0 has refuted with all smaller ones, and mirrored that of side 1."""
        grid = (-1.0, *self.bets.whole)
        return grid[leading(self.refuted[0])], -grid[leading(self.refuted[1])]


@dataclass(frozen=True, slots=True, eq=False)
class DifferenceInterval:
    """The running interval; ``update`` returns the next one and leaves this one as it is.

    Attributes:
        alpha: error probability of each end.
    """

    alpha: float
    _said: Deferred[_Folded, _Counts] = field(repr=False)

    @classmethod
    def start(cls, margin: float, alpha: float) -> "DifferenceInterval":
        """Nothing known: from −1 to 1."""
        return cls(alpha, Deferred(_Folded.start(margin)))

    def update(self, window: Window[Arm], rate: float) -> "DifferenceInterval":
        """The interval after a comparable window; ``rate`` is the guess for stable's, made before it."""
        stable, candidate = window.stable, window.candidate
        counts = _Counts(stable.total, stable.bad, candidate.total, candidate.bad, rate)
        return DifferenceInterval(self.alpha, self._said.noting(counts))

    @property
    def bounds(self) -> tuple[float, float]:
        """Lower and upper bound of candidate's rate minus stable's, in [−1, 1]."""
        return self._said.result(self._fold).bounds

    def _fold(self, said: _Folded, windows: Sequence[_Counts]) -> _Folded:
        for first in range(0, len(windows), _AT_ONCE):
            said = said.after(windows[first : first + _AT_ONCE], alpha=self.alpha)
        return said


@lru_cache(maxsize=256)
def _bets(whole: tuple[float, ...], first: int = 0) -> _Bets:
    grid = np.array(whole[first:])
    lower = grid[grid < 0.0]
    upper = grid[lower.size :]
    margins = np.concatenate([np.tile(lower, len(MARGIN_FRACTIONS)), np.tile(upper, len(ODDS_RATIOS))])
    return _Bets(
        whole=whole,
        grid=grid,
        margins=margins,
        fractions=np.repeat(MARGIN_FRACTIONS, lower.size),
        odds=np.repeat(ODDS_RATIOS, upper.size),
    )


def _log_factors(windows: Sequence[_Counts], *, bets: _Bets) -> Floats:
    """Log e-value per window, side (0 counts bad requests, 1 good ones) and bet."""
    n0, bad0, n1, bad1, rate = (np.array(column).reshape(-1, 1, 1) for column in zip(*windows, strict=True))
    bads0, bads1, rates = (
        np.concatenate(sides, axis=1) for sides in ((bad0, n0 - bad0), (bad1, n1 - bad1), (rate, 1.0 - rate))
    )
    alternatives = bets.alternatives(rates)
    below = bets.margins < 0.0
    placed = (alternatives > rates + bets.margins) & ~(below & _blurred(n1 / alternatives))  # for s1 < θ1, see blur
    with np.errstate(all="ignore"):  # bets that are not placed may be anything
        s0 = _projections(rates, alternatives, margins=bets.margins, weights=(n0, n1), placed=placed)
        s1 = s0 + bets.margins
        logs = (
            bads1 * np.log(alternatives / s1)
            + (n1 - bads1) * np.log((1.0 - alternatives) / (1.0 - s1))
            + bads0 * np.log(rates / s0)
            + (n0 - bads0) * np.log((1.0 - rates) / (1.0 - s0))
        )
        # As ``_blurred`` of the single window; below 0 the margin blurs s1 next to 0 as well.
        blur = (1.0 - alternatives) / (1.0 - s1) ** 2 + np.where(below, alternatives / s1**2, 0.0)
    inside = (s0 > 0.0) & (s0 < 1.0) & (s1 > 0.0) & (s1 < 1.0)
    return np.where(placed & inside & ~_blurred(n1 * blur), logs, 0.0)


def _blurred(blur: Floats) -> Flags:
    """Whether rounding, so much enlarged, moves the expectation too far."""
    return blur * float_info.epsilon > _ROUNDING_TOLERANCE


def _projections(
    rates: Floats, alternatives: Floats, *, margins: Floats, weights: tuple[Floats, Floats], placed: Flags
) -> Floats:
    """``projections`` of the single window, for all bets at once; here θ0 < s < θ1 − δ always."""
    n0, n1 = weights
    share0, share1 = n0 / (n0 + n1), n1 / (n0 + n1)
    skew, flank = 1.0 - 2.0 * margins, margins * (1.0 - margins)
    pull = share1 * (alternatives - margins)
    centre = (share0 * (skew + rates) + share1 + pull) / 3.0
    linear = share0 * (rates * skew - flank) + pull
    square = centre * centre
    spread = square - linear / 3.0
    radius = np.sqrt(spread)
    sine = (share0 * rates * flank / 2.0 - centre * (square - linear / 2.0)) / (spread * radius)
    s: Floats = centre + 2.0 * radius * np.sin(np.arcsin(sine) / 3.0)
    s1 = s + margins
    value = share0 * (s - rates) * s1 * (1.0 - s1) + share1 * (s1 - alternatives) * s * (1.0 - s)
    step = value / (3.0 * s * (2.0 * centre - s) - linear)
    room = np.minimum(np.minimum(s, s1), 1.0 - np.maximum(s, s1))
    s -= step
    inexact = np.nonzero(placed & ~(np.abs(step) <= CLOSED_FORM_TOLERANCE * room))
    if inexact[0].size:
        window, side, bet = inexact
        s[inexact] = _iterated(
            rates[window, side, 0],
            alternatives[inexact],
            margins=margins[bet],
            weights=(n0[window, 0, 0], n1[window, 0, 0]),
        )
    return s


def _iterated(rates: Floats, alternatives: Floats, *, margins: Floats, weights: tuple[Floats, Floats]) -> Floats:
    """``_iterated`` of the single window for many; each number stops by itself, whatever the others do."""
    n0, n1 = weights
    shifted = alternatives - margins
    low = np.maximum(rates, -margins)
    high = np.minimum(shifted, 1.0 - np.maximum(margins, 0.0))
    inflection = (n0 * (1.0 - 2.0 * margins + rates) + n1 * (1.0 + shifted)) / (3.0 * (n0 + n1))
    s: Floats = np.minimum(np.maximum(inflection, low), high)
    moving = np.ones(s.shape, dtype=bool)
    for _ in range(MAX_ITERATIONS):
        s1 = s + margins
        variance0, variance1 = s * (1.0 - s), s1 * (1.0 - s1)
        from_rate, from_alternative = n0 * (s - rates), n1 * (s1 - alternatives)
        slope = n0 * variance1 + from_rate * (1.0 - 2.0 * s1) + n1 * variance0 + from_alternative * (1.0 - 2.0 * s)
        step = np.where(moving, (from_rate * variance1 + from_alternative * variance0) / slope, 0.0)
        s = s - step
        moving &= np.abs(step) > STEP_TOLERANCE * s
        if not moving.any():
            break
    return s


def _log_means(logs: Floats) -> Floats:
    """Logarithm of the mean over the last axis but one of the numbers whose logarithms are given."""
    largest = logs.max(axis=-2)
    means: Floats = largest + np.log(np.exp(logs - largest[..., np.newaxis, :]).mean(axis=-2))
    return means
