"""Histogram metrics of many runs side by side: ``HistogramProcess`` with arrays (F1 above every edge)."""

from dataclasses import dataclass, replace

import numpy as np

from controller.judge._process import MetricTest
from controller.judge.batch.shares import above_edges, as_runs, buckets_of, factors_of
from controller.judge.kinds.ratio import MARGIN_FRACTIONS, ODDS_RATIOS
from controller.judge.numbers.vector import (
    BatchWindow,
    Flags,
    Floats,
    RestartBatch,
    better_alternatives,
    log_means,
    not_worse_alternatives,
    worse_alternatives,
)

__all__ = ["HistogramBatch", "HistogramBatchTest"]

_CATASTROPHE = 8.0
_ENOUGH = 100.0
_LARGEST_HARM_MARGIN = 0.99


@dataclass(frozen=True, eq=False)
class HistogramBatchTest:
    """What is to be tested about one histogram in every run.

    Attributes:
        metric: what is the same in all runs.
        margins: effective margin per run, in [0, 1).
        history: stable's effective counts before the epoch, buckets by runs.
    """

    metric: MetricTest
    margins: Floats
    history: Floats

    @property
    def runs(self) -> int:
        """How many runs there are."""
        return self.margins.size

    @property
    def harm_margins(self) -> tuple[Floats, ...]:
        """Difference of the shares that would use up the harm budget, per step, each with an entry per run."""
        return tuple(np.minimum(self.margins * 100 / step, _LARGEST_HARM_MARGIN) for step in self.metric.steps)

    def process(self) -> "HistogramBatch":
        """Evidence 1 on every process of every run."""
        return HistogramBatch.start(self)


@dataclass(frozen=True, slots=True, eq=False)
class _Edges:
    """Where bets are placed, edges by runs.

    Attributes:
        worse: for "worse"; none as long as too little is known of stable.
        better: for "better".
        catastrophic: at the catastrophic margins.
    """

    worse: Flags
    better: Flags
    catastrophic: Flags

    def keep(self, runs: Flags) -> "_Edges":
        """Only these runs."""
        return _Edges(self.worse[:, runs], self.better[:, runs], self.catastrophic[:, runs])


@dataclass(frozen=True, slots=True, eq=False)
class HistogramBatch:
    """The evidence processes of one histogram in every run; see ``BatchProcess``.

    Logarithms are bets by edges by runs; the restart has the edges and runs as one axis.
    """

    _margins: Floats
    _harm_margins: tuple[Floats, ...]
    _catastrophic_margins: Floats
    _edges: _Edges
    _worse: Floats
    _restart: RestartBatch
    _catastrophic: Floats
    _not_worse: Floats
    _better: Floats
    _harm: tuple[Floats, ...]
    _known_total: Floats
    _known_above: Floats

    @classmethod
    def start(cls, test: HistogramBatchTest) -> "HistogramBatch":
        """Evidence 1 on every process of every run."""
        total, inside = test.history.sum(axis=0), above_edges(test.history)
        known = total >= _ENOUGH
        rates = np.where(known, inside / np.where(known, total, 1.0), 0.5)
        shape = inside.shape
        odds, fractions = (np.zeros((len(each), *shape)) for each in (ODDS_RATIOS, MARGIN_FRACTIONS))
        return cls(
            _margins=test.margins,
            _harm_margins=test.harm_margins,
            _catastrophic_margins=np.maximum(test.margins, np.minimum(_CATASTROPHE * test.margins, (1.0 - rates) / 2)),
            _edges=_Edges(
                worse=_worse_edges(rates, test.margins) & known,
                better=_better_edges(rates) & known & np.full(shape, test.metric.must_be_better),
                catastrophic=_worse_edges(rates, test.margins) | ~known,
            ),
            _worse=odds,
            _restart=RestartBatch.start(len(ODDS_RATIOS), test.metric.horizon, runs=odds[0].size),
            _catastrophic=odds,
            _not_worse=fractions,
            _better=odds if test.metric.must_be_better else odds[:0],
            _harm=(fractions,) * len(test.harm_margins),
            _known_total=total,
            _known_above=inside,
        )

    def update(self, window: BatchWindow) -> "HistogramBatch":
        """Every process after the window, which has buckets; all guesses rest on earlier windows alone."""
        stable, candidate = buckets_of(window)
        counts, edges = as_runs(window, above_edges(stable), above_edges(candidate)), self._informed()
        rates = ((0.5 + self._known_above) / (1.0 + self._known_total)).ravel()
        size = self._known_above.shape[0]
        margins, far = np.tile(self._margins, size), self._catastrophic_margins.ravel()
        worse = factors_of(counts, rates, margins, worse_alternatives(rates, margins)).reshape(self._worse.shape)
        worse = np.where(edges.worse, worse, 0.0)
        catastrophic = factors_of(counts, rates, far, worse_alternatives(rates, far))
        even = np.zeros_like(margins)
        better = factors_of(counts, rates, even, better_alternatives(rates)) if len(self._better) else self._better
        counted = counts.comparable & edges.worse.ravel()
        return replace(
            self,
            _edges=edges,
            _worse=self._worse + worse,
            _restart=self._restart.update(worse.reshape(len(ODDS_RATIOS), -1), counted),
            _catastrophic=self._catastrophic + catastrophic.reshape(self._catastrophic.shape),
            _not_worse=self._not_worse + self._short_of(counts, rates, self._margins),
            _better=self._better + np.where(edges.better, better.reshape(self._better.shape), 0.0),
            _harm=tuple(
                each + self._short_of(counts, rates, margins)
                for each, margins in zip(self._harm, self._harm_margins, strict=True)
            ),
            _known_total=self._known_total + np.where(window.comparable, window.stable_total, 0.0),
            _known_above=self._known_above + np.where(window.comparable, above_edges(stable), 0.0),
        )

    def _short_of(self, counts: BatchWindow, rates: Floats, margins: Floats) -> Floats:
        """The window's e-values against "beyond the margin", at every edge."""
        lines = np.tile(margins, self._known_above.shape[0])
        return factors_of(counts, rates, lines, not_worse_alternatives(rates, lines)).reshape(self._not_worse.shape)

    def _informed(self) -> _Edges:
        """With the bets that waited, in runs where stable's requests tell at which edges."""
        newly = ~self._edges.worse.any(axis=0) & (self._known_total >= _ENOUGH)
        if not newly.any():
            return self._edges
        rates = self._known_above / np.maximum(self._known_total, 1.0)
        worse = self._edges.worse | (newly & _worse_edges(rates, self._margins))
        better = self._edges.better | (newly & _better_edges(rates)) if len(self._better) else self._edges.better
        return replace(self._edges, worse=worse, better=better)

    def keep(self, runs: Flags) -> "HistogramBatch":
        """Only these runs."""
        edges = self._known_above.shape[0]
        return HistogramBatch(
            _margins=self._margins[runs],
            _harm_margins=tuple(each[runs] for each in self._harm_margins),
            _catastrophic_margins=self._catastrophic_margins[:, runs],
            _edges=self._edges.keep(runs),
            _worse=self._worse[..., runs],
            _restart=self._restart.keep(np.tile(runs, edges)),
            _catastrophic=self._catastrophic[..., runs],
            _not_worse=self._not_worse[..., runs],
            _better=self._better[..., runs],
            _harm=tuple(each[..., runs] for each in self._harm),
            _known_total=self._known_total[runs],
            _known_above=self._known_above[:, runs],
        )

    @property
    def log_worse(self) -> Floats:
        """Log of the mean over the edges of the evidence that more requests of the candidate are above."""
        return _mean_over_edges(log_means(self._worse), self._edges.worse)

    @property
    def log_restart(self) -> Floats:
        """The same bets, mixed over the window of onset."""
        return _mean_over_edges(self._restart.log_value.reshape(self._known_above.shape), self._edges.worse)

    @property
    def log_catastrophic(self) -> Floats:
        """The mean at the catastrophic margins."""
        return _mean_over_edges(log_means(self._catastrophic), self._edges.catastrophic)

    @property
    def log_not_worse(self) -> Floats:
        """The least of the edges' evidence that the candidate is not worse there."""
        least: Floats = log_means(self._not_worse).min(axis=0)
        return least

    @property
    def log_better(self) -> Floats:
        """The mean of the evidence that fewer requests of the candidate are above; 0 where that is not asked."""
        if not len(self._better):
            return np.zeros(self._margins.size)
        return _mean_over_edges(log_means(self._better), self._edges.better)

    @property
    def log_harm(self) -> Floats:
        """The least of the edges' evidence that the harm stays within the budget; a row per step."""
        rows = [log_means(each).min(axis=0) for each in self._harm]
        return np.stack(rows) if rows else np.zeros((0, self._margins.size))

    @property
    def decisive(self) -> Flags:
        """Always."""
        return np.ones(self._margins.size, dtype=bool)


def _worse_edges(rates: Floats, margins: Floats) -> Flags:
    """Edges below which more than the margin lies, up to the lowest above which nothing was seen; else the last."""
    empty = np.cumsum(rates == 0.0, axis=0)
    kept = (1.0 - rates > margins) & ~((empty > 0) & (np.cumsum(empty, axis=0) > 1))
    kept[-1] |= ~kept.any(axis=0)
    return kept


def _better_edges(rates: Floats) -> Flags:
    """Edges above which anything was seen, from the highest below which nothing was; else the first."""
    full_later = np.cumsum((rates == 1.0)[::-1], axis=0)[::-1] - (rates == 1.0)
    kept: Flags = (rates > 0.0) & (full_later == 0)
    kept[0] |= ~kept.any(axis=0)
    return kept


def _mean_over_edges(logs: Floats, kept: Flags) -> Floats:
    """Log of the mean over the flagged edges, 0 in runs that have none."""
    number = kept.sum(axis=0)
    mean = np.logaddexp.reduce(np.where(kept, logs, -np.inf), axis=0) - np.log(np.maximum(number, 1))
    return np.where(number > 0, mean, 0.0)
