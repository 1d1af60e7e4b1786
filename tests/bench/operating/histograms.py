"""Latency histograms: table 4.8, by F1 at every edge and by F4, for many runs side by side."""

from collections.abc import Mapping

import numpy as np
from scipy.special import ndtr

from controller.judge.batch import Flags, Floats, PodCounts
from controller.judge.kinds.histogram import _worse_edges
from controller.judge.kinds.ratio import ODDS_RATIOS
from controller.judge.numbers.vector import BatchWindow, log_factors, log_means, worse_alternatives
from tests.bench.operating.follow import Watched
from tests.bench.operating.methods import NEEDED, RepeatedZ, Thresholds
from tests.bench.operating.tables import Section, Sheet

EDGES = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, np.inf)
MEDIAN, SPREAD = 0.12, 0.6
SLOW = 6
"""Number of the edge 0.25 s, above which 11 % of the requests are: stable's p90 bucket."""
SLO = 0.15
CONCENTRATION = 50.0
FLOOR = 0.1
HISTORY = 20
WINDOWS = 300


def shares(*, factor: float = 1.0, stuck: float = 0.0) -> Floats:
    """Shares per bucket of a lognormal latency times ``factor``, a part of the requests stuck at 1.5 s."""
    below = ndtr((np.log(np.array(EDGES[:-1])) - np.log(MEDIAN * factor)) / SPREAD)
    parts = np.diff(np.concatenate([[0.0], below, [1.0]])) * (1.0 - stuck)
    parts[EDGES.index(2.5)] += stuck
    return parts


def above(counts: Floats) -> Floats:
    """Requests above each inner edge, from counts of shape (buckets, runs)."""
    return np.cumsum(counts[::-1], axis=0)[::-1][1:]


class OrderAverage:
    """F1 above every edge, averaged over the edges that the history keeps; and at the p90 bucket's edge alone."""

    def __init__(self, history: Floats) -> None:
        self._total, self._inside = history.sum(axis=0), above(history)
        rates = self._inside / self._total
        self._kept = np.stack([_worse_edges(column, 0.0) for column in rates.T], axis=1)
        self._logs = np.zeros((len(ODDS_RATIOS), *self._inside.shape))

    @property
    def log_evidence(self) -> Floats:
        """Of the mean over edges and alternatives, per run."""
        logs = np.where(self._kept, self._logs, -np.inf)
        return np.logaddexp.reduce(logs, axis=(0, 1)) - np.log(len(ODDS_RATIOS) * self._kept.sum(axis=0))

    def look(self, stable: Floats, candidate: Floats) -> Mapping[str, Flags]:
        n, m = (np.broadcast_to(each.sum(axis=0), self._inside.shape) for each in (stable, candidate))
        flat = [each.ravel() for each in (n, above(stable), m, above(candidate), n, m)]
        rates = ((0.5 + self._inside) / (1.0 + self._total)).ravel()
        alternatives = worse_alternatives(rates, np.zeros(rates.size))
        margins = np.zeros_like(alternatives)
        logs = log_factors(BatchWindow(*flat), rates=rates, margins=margins, alternatives=alternatives)
        self._logs = self._logs + logs.reshape(self._logs.shape)
        self._total, self._inside = self._total + n[0], self._inside + above(stable)
        alone = log_means(self._logs[:, SLOW])
        return {"F1, average over the edges": self.log_evidence >= NEEDED, "F1 at the p90 bucket": alone >= NEEDED}


class Multinomial:
    """F4, as evidence alone and with the floor below which a change does not matter."""

    def __init__(self, history: Floats) -> None:
        self._stable, self._candidate = history.copy(), np.zeros_like(history)
        self._levels = np.zeros((2, *history.shape))
        self.log_evidence = np.zeros(history.shape[1])

    def look(self, stable: Floats, candidate: Floats) -> Mapping[str, Flags]:
        n, m = stable.sum(axis=0), candidate.sum(axis=0)
        guess = (1.0 / len(EDGES) + self._stable) / (1.0 + self._stable.sum(axis=0))
        other = (self._candidate + CONCENTRATION * guess) / (self._candidate.sum(axis=0) + CONCENTRATION)
        nearest = (n * guess + m * other) / np.maximum(n + m, 1.0)
        logs = (stable * np.log(guess / nearest) + candidate * np.log(other / nearest)).sum(axis=0)
        self.log_evidence = self.log_evidence + np.where((n > 0) & (m > 0), logs, 0.0)
        self._stable, self._candidate = self._stable + stable, self._candidate + candidate
        self._levels += np.stack([stable * m, candidate * n]) / np.maximum(n + m, 1.0)
        fired = self.log_evidence >= NEEDED
        return {"F4": fired, f"F4, changes of a PSI above {FLOOR} alone": fired & (self.size > FLOOR)}

    @property
    def size(self) -> Floats:
        """Population stability index of both arms' levels."""
        seen = (self._levels > 0.0).any(axis=0)
        levels = np.where(seen, np.maximum(self._levels, 0.5), 0.0)
        p, q = levels / np.maximum(levels.sum(axis=1, keepdims=True), 1e-300)
        return np.where(seen, (q - p) * np.log(np.where(seen, q, 1.0) / np.where(seen, p, 1.0)), 0.0).sum(axis=0)


class _AboveSlow:
    """What a rival sees: requests above 0.25 s as bad ones."""

    def __init__(self, rival: Thresholds | RepeatedZ) -> None:
        self._rival = rival

    def look(self, stable: Floats, candidate: Floats) -> Mapping[str, Flags]:
        arms = (PodCounts(each.sum(axis=0)[np.newaxis], above(each)[SLOW][np.newaxis]) for each in (stable, candidate))
        return self._rival.look(*arms)


def watch(candidate_shares: Floats, *, runs: int, seed: tuple[int, ...]) -> Mapping[str, Watched]:
    """All methods on the same 300 windows of 200 requests."""
    rng = np.random.default_rng(seed)
    usual = shares()[:, np.newaxis]
    history = rng.poisson(200 * HISTORY * usual, (len(EDGES), runs)).astype(float)
    methods = [OrderAverage(history), Multinomial(history)]
    methods += [_AboveSlow(each) for each in (Thresholds(runs, highest=SLO), RepeatedZ(runs))]
    first: dict[str, Floats] = {}
    for number in range(WINDOWS):
        stable = rng.poisson(180 * usual, (len(EDGES), runs)).astype(float)
        candidate = rng.poisson(20 * candidate_shares[:, np.newaxis], (len(EDGES), runs)).astype(float)
        for method in methods:
            for name, flags in method.look(stable, candidate).items():
                known = first.setdefault(name, np.full(runs, np.inf))
                known[flags & np.isinf(known)] = number + 1
    return {name: Watched(each) for name, each in first.items()}


_FALSE = {"F4": 3.5, "F1 at the p90 bucket": 1.7, "F1, average over the edges": 2.5}
_CHANGES = (
    ("15 % slower", shares(factor=1.15), (14.9, 20.0, 20.9)),
    ("30 % slower", shares(factor=1.3), (4.9, 6.0, 6.1)),
    ("3 % at 1.5 s", shares(stuck=0.03), (13.7, 8.7, 65.3)),
)


def histograms(runs: int) -> Section:
    """4.8."""
    sheet = Sheet(("false", *(f"{name}: windows" for name, _, _ in _CHANGES)))
    for name, each in watch(shares(), runs=runs, seed=(48, 0)).items():
        sheet.false(name, "false", each, _FALSE.get(name), what="4.8")
    for place, (change, changed, expected) in enumerate(_CHANGES):
        known = dict(zip(("F1, average over the edges", "F4", "F1 at the p90 bucket"), expected, strict=True))
        for name, each in watch(changed, runs=runs, seed=(48, place + 1)).items():
            sheet.windows(name, f"{change}: windows", each, known.get(name))
    return sheet.section(
        "Histograms",
        "Reference 4.8. Latency with a median of 120 ms (lognormal, σ 0.6) in the 15 default buckets of the "
        f"Prometheus client, 200 requests per window, 10 %, margin 0, 300 windows, {runs} runs. The threshold rules "
        "and the z-test look at the share above 0.25 s (11 %; at most 15 % is allowed). A share in the last "
        "columns: in how many runs it was found at all.",
    )
