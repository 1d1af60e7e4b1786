"""Several shares of the same requests, each of them a ratio to F1: above every edge of a histogram, or in every cell.

The arrays of ``vector``, whose last axis is the run there, have one entry per share here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controller.judge._process import PerArm, Window
from controller.judge.kinds.buckets import BucketArm
from controller.judge.numbers.vector import BatchWindow, Flags, Floats, log_factors

__all__ = [
    "Bets",
    "KnownShares",
    "Products",
    "ShareLevels",
    "factors_of",
    "log_mean_of_all",
    "shares_above",
    "shares_within",
    "with_complements",
]

Places = NDArray[np.intp]


def shares_above(window: Window[BucketArm], edges: Sequence[float]) -> BatchWindow:
    """Requests above each of the finite ``edges``; one that the window does not have has none in either arm."""
    own = window.stable.edges[:-1]
    stable_total, stable = _suffixes(window.stable.counts)
    candidate_total, candidate = _suffixes(window.candidate.counts)
    if own == tuple(edges):
        return _window((stable_total, stable), (candidate_total, candidate), present=np.ones(len(own), dtype=bool))
    places = np.array([own.index(edge) if edge in own else -1 for edge in edges], dtype=int)
    padded = [np.append(above, 0.0)[places] for above in (stable, candidate)]
    return _window((stable_total, padded[0]), (candidate_total, padded[1]), present=places >= 0)


def shares_within(window: Window[BucketArm]) -> BatchWindow:
    """Requests in each cell."""
    stable, candidate = (np.array(arm.counts) for arm in (window.stable, window.candidate))
    # The same order of addition as the parts', so that no cell holds more than all.
    return _window(
        (_suffixes(window.stable.counts)[0], stable),
        (_suffixes(window.candidate.counts)[0], candidate),
        present=np.ones(stable.size, dtype=bool),
    )


def _taken(window: BatchWindow, places: Places) -> BatchWindow:
    stable, candidate = window.stable_total[places], window.candidate_total[places]
    return BatchWindow(stable, window.stable_bad[places], candidate, window.candidate_bad[places], stable, candidate)


def with_complements(window: BatchWindow) -> BatchWindow:
    """The shares, and after them the requests outside of each, as further shares."""
    stable, candidate = np.tile(window.stable_total, 2), np.tile(window.candidate_total, 2)
    return BatchWindow(
        stable_total=stable,
        stable_bad=np.concatenate((window.stable_bad, window.stable_total - window.stable_bad)),
        candidate_total=candidate,
        candidate_bad=np.concatenate((window.candidate_bad, window.candidate_total - window.candidate_bad)),
        stable_requests=stable,
        candidate_requests=candidate,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Bets:
    """The bets of one process on some of the shares.

    Attributes:
        shares: numbers of the shares.
        margins: margin at each of them.
        alternatives: candidate's shares to bet on, rows of bets, from stable's and the margins.
    """

    shares: Places
    margins: Floats
    alternatives: Callable[[Floats, Floats], Floats]

    @classmethod
    def on(cls, kept: Flags, margins: Floats, alternatives: Callable[[Floats, Floats], Floats]) -> "Bets":
        """Bets on the flagged shares; ``margins`` has one per share, flagged or not."""
        return cls(np.flatnonzero(kept), margins[kept], alternatives)

    @classmethod
    def none(cls, alternatives: Callable[[Floats, Floats], Floats]) -> "Bets":
        """No bet at all."""
        return cls(np.arange(0), np.zeros(0), alternatives)


@dataclass(frozen=True, slots=True, eq=False)
class Products:
    """The product of the e-values of all windows so far, for each bet.

    Attributes:
        bets: what is bet on.
        logs: natural logarithms, rows of bets by columns of shares.
    """

    bets: Bets
    logs: Floats

    @classmethod
    def start(cls, bets: Bets) -> "Products":
        """Evidence 1."""
        return cls(bets, np.zeros_like(bets.alternatives(np.full(bets.margins.size, 0.5), bets.margins)))

    def times(self, factors: Floats) -> "Products":
        """The products with one more window in them."""
        return Products(self.bets, self.logs + factors)


def factors_of(bets: Sequence[Bets], window: BatchWindow, rates: Floats) -> list[Floats]:
    """Log e-values (F1) of a window, per process rows of bets by columns of shares; all in one computation.

    Args:
        bets: the processes.
        window: the shares' counts.
        rates: the guess for stable's shares, made before the window.
    """
    chosen = [each.alternatives(rates[each.shares], each.margins) for each in bets]
    places = np.concatenate([np.tile(each.shares, len(rows)) for each, rows in zip(bets, chosen, strict=True)])
    margins = np.concatenate([np.tile(each.margins, len(rows)) for each, rows in zip(bets, chosen, strict=True)])
    logs = log_factors(
        _taken(window, places),
        rates=rates[places],
        margins=margins[np.newaxis],
        alternatives=np.concatenate([rows.ravel() for rows in chosen])[np.newaxis],
    )[0]
    parts = np.split(logs, np.cumsum([rows.size for rows in chosen])[:-1])
    return [part.reshape(rows.shape) for part, rows in zip(parts, chosen, strict=True)]


def log_mean_of_all(logs: Floats) -> float:
    """Logarithm of the mean of all the numbers whose logarithms are given, not all of them 0; 0 for none."""
    if not logs.size:
        return 0.0
    largest = logs.max()
    return float(largest + np.log(np.exp(logs - largest).mean()))


@dataclass(frozen=True, slots=True, eq=False)
class KnownShares:
    """Stable's effective requests before the next window, per share: what F1 guesses from.

    Attributes:
        total: all of them.
        inside: those in the share.
    """

    total: Floats
    inside: Floats

    @classmethod
    def above(cls, history: BucketArm) -> "KnownShares":
        """Those above each finite edge of the history."""
        total, above = _suffixes(history.counts)
        return cls(np.full(above.size, total), above)

    @classmethod
    def within(cls, history: BucketArm) -> "KnownShares":
        """Those in each cell of the history."""
        return cls(np.full(len(history.counts), _suffixes(history.counts)[0]), np.array(history.counts))

    @property
    def expected_rates(self) -> Floats:
        """The predictable guess for stable's shares in the next window: (½ + inside)/(1 + total)."""
        rates: Floats = (0.5 + self.inside) / (1.0 + self.total)
        return rates

    def learn(self, window: BatchWindow) -> "KnownShares":
        """The same with one more of stable's windows in it."""
        return KnownShares(self.total + window.stable_total, self.inside + window.stable_bad)


@dataclass(frozen=True, slots=True, eq=False)
class ShareLevels:
    """Both arms' shares, each window weighted alike for both (Mantel–Haenszel), so that ramps cancel.

    Attributes:
        weight: sum of the weights, per share.
        stable: stable's weighted sum, per share.
        candidate: the candidate's weighted sum, per share.
    """

    weight: Floats
    stable: Floats
    candidate: Floats

    @classmethod
    def start(cls, size: int) -> "ShareLevels":
        """Before the first window."""
        return cls(weight=np.zeros(size), stable=np.zeros(size), candidate=np.zeros(size))

    def update(self, window: BatchWindow) -> "ShareLevels":
        """The levels with one more window in them."""
        total = window.stable_total + window.candidate_total
        total = np.where(total > 0.0, total, 1.0)
        return ShareLevels(
            weight=self.weight + window.stable_total * window.candidate_total / total,
            stable=self.stable + window.stable_bad * window.candidate_total / total,
            candidate=self.candidate + window.candidate_bad * window.stable_total / total,
        )

    @property
    def above(self) -> "ShareLevels":
        """Where the shares are those of ascending cells: the levels above each cell but the last."""
        stable, candidate = (np.cumsum(cells[::-1])[::-1][1:] for cells in (self.stable, self.candidate))
        return ShareLevels(self.weight[1:], stable, candidate)

    @property
    def differs_most(self) -> int | None:
        """Number of the share that differs most between the arms, the first of equals; None before the first window."""
        seen = self.weight > 0.0
        if not seen.any():
            return None
        apart = np.abs(self.candidate - self.stable) / np.where(seen, self.weight, 1.0)
        return int(np.argmax(apart))

    def at(self, share: int) -> PerArm:
        """Both arms' levels of one share that was seen."""
        weight = float(self.weight[share])
        return PerArm(float(self.stable[share]) / weight, float(self.candidate[share]) / weight)


def _suffixes(counts: Sequence[float]) -> tuple[float, Floats]:
    """All requests, and those above each bucket but the last; added up from above, so that none exceeds all."""
    sums = np.cumsum(np.array(counts)[::-1])[::-1]
    return float(sums[0]), sums[1:]


def _window(stable: tuple[float, Floats], candidate: tuple[float, Floats], *, present: Flags) -> BatchWindow:
    """Shares as the runs of one window: an arm is its total and the requests in each share."""
    totals = [np.where(present, total, 0.0) for total in (stable[0], candidate[0])]
    return BatchWindow(
        stable_total=totals[0],
        stable_bad=np.where(present, stable[1], 0.0),
        candidate_total=totals[1],
        candidate_bad=np.where(present, candidate[1], 0.0),
        stable_requests=totals[0],
        candidate_requests=totals[1],
    )
