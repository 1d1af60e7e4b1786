"""The formulas of single windows (F1, F2) and of mixtures (F6), for many runs at once.

The same numbers as ``ratio``, ``rate`` and ``_mixture``, which judge one rollout and are simpler to read; these exist
because a simulation judges a thousand. The last axis of every array is the run; bets are rows.
"""

from dataclasses import dataclass, fields, replace
from sys import float_info

import numpy as np
from numpy.typing import NDArray

from controller.judge.kinds.ratio import (
    CLOSED_FORM_TOLERANCE,
    MARGIN_FRACTIONS,
    MAX_ITERATIONS,
    ODDS_RATIOS,
    RATE_FLOOR,
    ROUNDING_TOLERANCE,
    STEP_TOLERANCE,
)

__all__ = [
    "BatchWindow",
    "Flags",
    "Floats",
    "RestartBatch",
    "better_alternatives",
    "leading",
    "log_factors",
    "log_means",
    "not_worse_alternatives",
    "rate_log_factors",
    "worse_alternatives",
]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_ODDS = np.array(ODDS_RATIOS)[:, np.newaxis]
_FRACTIONS = np.array(MARGIN_FRACTIONS)[:, np.newaxis]


@dataclass(frozen=True, slots=True, eq=False)
class BatchWindow:
    """The same window of many runs; every array has one entry per run.

    Attributes:
        stable_total: stable's effective requests (or exposure).
        stable_bad: bad ones (or events) among them.
        candidate_total: the candidate's effective requests (or exposure).
        candidate_bad: bad ones (or events) among them.
        stable_requests: stable's raw requests.
        candidate_requests: the candidate's raw requests.
        stable_buckets: stable's effective requests per bucket, buckets by runs, where there are any.
        candidate_buckets: the candidate's.
        stable_alone: of pairs, those in which only stable was wrong.
        candidate_alone: those in which only the candidate was.
    """

    stable_total: Floats
    stable_bad: Floats
    candidate_total: Floats
    candidate_bad: Floats
    stable_requests: Floats
    candidate_requests: Floats
    stable_buckets: Floats | None = None
    candidate_buckets: Floats | None = None
    stable_alone: Floats | None = None
    candidate_alone: Floats | None = None

    @property
    def comparable(self) -> Flags:
        """In which runs both arms had requests."""
        return (self.stable_total > 0.0) & (self.candidate_total > 0.0)

    def keep(self, runs: Flags) -> "BatchWindow":
        """Only these runs."""
        arrays: dict[str, Floats | None] = {each.name: getattr(self, each.name) for each in fields(self)}
        kept = {name: array[..., runs] for name, array in arrays.items() if array is not None}
        return BatchWindow(**kept)


def worse_alternatives(rates: Floats, margins: Floats) -> Floats:
    """Candidate rates beyond the line, one row per odds ratio; the line itself where none is left."""
    lines = rates + margins
    base = np.minimum(lines, 1.0 - RATE_FLOOR)
    odds = base / (1.0 - base) * _ODDS
    chosen: Floats = np.maximum(lines, np.clip(odds / (1.0 + odds), RATE_FLOOR, 1.0 - RATE_FLOOR))
    return np.where(lines >= 1.0 - RATE_FLOOR, lines, chosen)


def not_worse_alternatives(rates: Floats, margins: Floats) -> Floats:
    """Candidate rates short of the line, one row per fraction of the margin; at margin 0 the line."""
    chosen: Floats = np.clip(rates + _FRACTIONS * margins, RATE_FLOOR, 1.0 - RATE_FLOOR)
    short: Floats = np.minimum(rates + margins, chosen)
    return short


def better_alternatives(rates: Floats) -> Floats:
    """Candidate rates below stable's, one row per odds ratio."""
    odds = rates / (1.0 - rates) / _ODDS
    below: Floats = np.clip(odds / (1.0 + odds), RATE_FLOOR, 1.0 - RATE_FLOOR)
    return below


def log_factors(window: BatchWindow, *, rates: Floats, margins: Floats, alternatives: Floats) -> Floats:
    """Log e-value (F1) of the window per bet and run; 0 where nothing can be compared or the bet is on the line.

    Args:
        window: effective counts of both arms.
        rates: the guess for stable's rate, per run.
        margins: δ per bet and run, in (−1, 1).
        alternatives: candidate rates per bet and run.
    """
    n0, n1 = window.stable_total, window.candidate_total
    placed = (alternatives != rates + margins) & window.comparable
    with np.errstate(all="ignore"):  # bets that are not placed may be anything
        s0 = _projections(rates, alternatives, margins=margins, weights=(n0, n1), placed=placed)
        s1 = s0 + margins
        logs = (
            window.candidate_bad * np.log(alternatives / s1)
            + (n1 - window.candidate_bad) * np.log((1.0 - alternatives) / (1.0 - s1))
            + window.stable_bad * np.log(rates / s0)
            + (n0 - window.stable_bad) * np.log((1.0 - rates) / (1.0 - s0))
        )
        rounding = n1 * (1.0 - alternatives) * float_info.epsilon / (1.0 - s1) ** 2
        kept = placed & (s0 > 0.0) & (s1 < 1.0) & (rounding <= ROUNDING_TOLERANCE)
    return np.where(kept, logs, 0.0)


def _projections(
    rates: Floats, alternatives: Floats, *, margins: Floats, weights: tuple[Floats, Floats], placed: Flags
) -> Floats:
    """``projections`` of the single window for all bets: the middle root in closed form, made exact by one step."""
    n0, n1 = weights
    share0, share1 = n0 / (n0 + n1), n1 / (n0 + n1)
    skew, flank, pull = 1.0 - 2.0 * margins, margins * (1.0 - margins), share1 * (alternatives - margins)
    centre = (share0 * (skew + rates) + share1 + pull) / 3.0
    linear, square = share0 * (rates * skew - flank) + pull, centre * centre
    spread = square - linear / 3.0
    radius = np.sqrt(spread)
    sine = (share0 * rates * flank / 2.0 - centre * (square - linear / 2.0)) / (spread * radius)
    s: Floats = centre + 2.0 * radius * np.sin(np.arcsin(sine) / 3.0)
    step = _newton_steps(s, rates, alternatives, margins=margins, weights=weights)
    s -= step
    exact = np.abs(step) <= CLOSED_FORM_TOLERANCE * np.minimum(s, 1.0 - (s + margins))
    closed = margins == 0.0
    s = np.where(closed, (n0 * rates + n1 * alternatives) / (n0 + n1), s)
    inexact = np.nonzero(placed & ~closed & ~exact)
    if inexact[0].size:
        run = inexact[1]
        s[inexact] = _iterated(rates[run], alternatives[inexact], margins=margins[inexact], weights=(n0[run], n1[run]))
    return s


def _newton_steps(
    s: Floats, rates: Floats, alternatives: Floats, *, margins: Floats, weights: tuple[Floats, Floats]
) -> Floats:
    n0, n1 = weights
    s1 = s + margins
    variance0, variance1 = s * (1.0 - s), s1 * (1.0 - s1)
    from_rate, from_alternative = n0 * (s - rates), n1 * (s1 - alternatives)
    slope = n0 * variance1 + from_rate * (1.0 - 2.0 * s1) + n1 * variance0 + from_alternative * (1.0 - 2.0 * s)
    steps: Floats = (from_rate * variance1 + from_alternative * variance0) / slope
    return steps


def _iterated(rates: Floats, alternatives: Floats, *, margins: Floats, weights: tuple[Floats, Floats]) -> Floats:
    """Newton's method from the point of inflection, or the end of the bracket next to it; it cannot overshoot."""
    n0, n1 = weights
    shifted = alternatives - margins
    low = np.maximum(np.maximum(np.minimum(rates, shifted), 0.0), -margins)
    high = np.minimum(np.minimum(np.maximum(rates, shifted), 1.0), 1.0 - margins)
    inflection = (n0 * (1.0 - 2.0 * margins + rates) + n1 * (1.0 + shifted)) / (3.0 * (n0 + n1))
    s: Floats = np.clip(inflection, low, high)
    moving = np.ones(s.shape, dtype=bool)
    for _ in range(MAX_ITERATIONS):
        step = np.where(moving, _newton_steps(s, rates, alternatives, margins=margins, weights=weights), 0.0)
        s = s - step
        moving &= np.abs(step) > STEP_TOLERANCE * s
        if not moving.any():
            break
    return s


def rate_log_factors(window: BatchWindow, *, lines: Floats, alternatives: Floats) -> Floats:
    """Log e-value (F2) of the window per bet and run; 0 where nothing can be compared.

    Args:
        window: effective exposures (as totals) and events (as bad) of both arms.
        lines: the rate ratio that bounds the null, per bet and run.
        alternatives: rate ratios per bet and run.
    """
    n0, n1 = window.stable_total, window.candidate_total
    events = window.stable_bad + window.candidate_bad
    with np.errstate(all="ignore"):
        share = n1 / (n0 + n1)
        middle = share * lines + n0 / (n0 + n1)
        logs = window.candidate_bad * np.log(alternatives / lines) - events * np.log1p(
            share * (alternatives - lines) / middle
        )
    return np.where(window.comparable, logs, 0.0)


def leading(flags: Flags) -> int:
    """How many at the beginning are set: of the lines of an interval, those refuted before the first that is not."""
    return flags.size if flags.all() else int(np.argmin(flags))


def log_means(logs: Floats) -> Floats:
    """Logarithm of the mean over the rows of the numbers whose logarithms are given."""
    largest = logs.max(axis=0)
    with np.errstate(invalid="ignore"):  # a run in which nothing has begun: −∞ minus −∞
        means: Floats = largest + np.log(np.exp(logs - largest).mean(axis=0))
    return np.where(np.isneginf(largest), -np.inf, means)


@dataclass(frozen=True, slots=True, eq=False)
class RestartBatch:
    """``Restart`` for many runs (F6).

    Attributes:
        logs: log of what has begun, per alternative and run.
        horizon: number of windows over which the weight is spread, at least 1.
        windows: windows counted so far, per run.
    """

    logs: Floats
    horizon: int
    windows: Floats

    @classmethod
    def start(cls, size: int, horizon: int, *, runs: int) -> "RestartBatch":
        """Evidence 1 for ``size`` alternatives, nothing begun."""
        return cls(logs=np.full((size, runs), -np.inf), horizon=horizon, windows=np.zeros(runs))

    def update(self, factors: Floats, counted: Flags) -> "RestartBatch":
        """The evidence after one more window; a run in which it did not count stays as it is."""
        windows = self.windows + counted
        with np.errstate(divide="ignore"):
            begun = np.log(self._reserve(self.windows) - self._reserve(windows))
        return replace(self, logs=np.logaddexp(self.logs, begun) + factors, windows=windows)

    def keep(self, runs: Flags) -> "RestartBatch":
        """Only these runs."""
        return replace(self, logs=self.logs[:, runs], windows=self.windows[runs])

    @property
    def log_value(self) -> Floats:
        """Log evidence per run."""
        with np.errstate(divide="ignore"):
            value: Floats = np.logaddexp(log_means(self.logs), np.log(self._reserve(self.windows)))
        return value

    def _reserve(self, windows: Floats) -> Floats:
        """Weight that has not begun after so many windows."""
        if self.horizon == 1:
            return np.where(windows == 0.0, 1.0, 0.5)
        later = 0.5 * np.maximum(self.horizon - windows, 0.0) / (self.horizon - 1)
        return np.where(windows == 0.0, 1.0, later)
