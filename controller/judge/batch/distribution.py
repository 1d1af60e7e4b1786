"""Distributions of many runs side by side: ``DistributionTest`` and ``DistributionProcess`` with arrays (F4, F1)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from controller.judge.batch.shares import as_runs, buckets_of, factors_of
from controller.judge.kinds.buckets import LEAST_COUNT
from controller.judge.kinds.distribution import CONCENTRATION, DistributionTest
from controller.judge.kinds.ratio import MARGIN_FRACTIONS
from controller.judge.numbers.vector import (
    BatchWindow,
    Flags,
    Floats,
    RestartBatch,
    log_means,
    not_worse_alternatives,
)

__all__ = ["DistributionBatch", "DistributionBatchTest", "within_cells"]

Shares = Callable[[Floats], Floats]


def within_cells(buckets: Floats) -> Floats:
    """Requests in each cell: the shares of classes, as ``above_edges`` are those of a histogram."""
    return buckets


@dataclass(frozen=True, eq=False)
class DistributionBatchTest:
    """What is to be tested about one distribution in every run.

    Attributes:
        metric: what is the same in all runs.
        margins: effective margin per run, in [0, 1).
        history: stable's effective counts before the epoch, cells by runs.
        shares: which requests "not worse" compares: ``above_edges`` or ``within_cells``.
    """

    metric: DistributionTest
    margins: Floats
    history: Floats
    shares: Shares = within_cells

    @property
    def runs(self) -> int:
        """How many runs there are."""
        return self.margins.size

    def process(self) -> "DistributionBatch":
        """Evidence 1 on every process of every run."""
        shares, none = self.shares(self.history), np.zeros_like(self.history)
        return DistributionBatch(
            _test=self,
            _margins=self.margins,
            _stable=self.history,
            _candidate=none,
            _levels=np.stack([none, none]),
            _worse=np.zeros(self.runs),
            _restart=RestartBatch.start(1, self.metric.horizon, runs=self.runs),
            _not_worse=np.zeros((len(MARGIN_FRACTIONS), 2 * len(shares), self.runs)),
            _known_total=self.history.sum(axis=0),
            _known=shares,
        )


@dataclass(frozen=True, slots=True, eq=False)
class DistributionBatch:
    """The evidence processes of one distribution in every run; see ``BatchProcess``.

    ``_stable`` and ``_candidate`` are all requests so far, cells by runs; ``_levels`` the same with each window
    weighted alike for both arms; ``_not_worse`` are bets by shares (and then their complements) by runs.
    """

    _test: DistributionBatchTest
    _margins: Floats
    _stable: Floats
    _candidate: Floats
    _levels: Floats
    _worse: Floats
    _restart: RestartBatch
    _not_worse: Floats
    _known_total: Floats
    _known: Floats

    def update(self, window: BatchWindow) -> "DistributionBatch":
        """Every process after the window, which has buckets; all guesses rest on earlier windows alone."""
        counted = window.comparable
        stable, candidate = (np.where(counted, each, 0.0) for each in buckets_of(window))
        factors = self._log_factors(stable, candidate)
        sizes = stable.sum(axis=0), candidate.sum(axis=0)
        total = np.where(counted, sizes[0] + sizes[1], 1.0)
        return DistributionBatch(
            _test=self._test,
            _margins=self._margins,
            _stable=self._stable + stable,
            _candidate=self._candidate + candidate,
            _levels=self._levels + np.stack([stable * sizes[1], candidate * sizes[0]]) / total,
            _worse=self._worse + factors,
            _restart=self._restart.update(factors[np.newaxis], counted),
            _not_worse=self._not_worse + self._not_worse_factors(window),
            _known_total=self._known_total + sizes[0],
            _known=self._known + self._test.shares(stable),
        )

    def _log_factors(self, stable: Floats, candidate: Floats) -> Floats:
        """The windows' e-values (F4) against "both arms have the same average distribution"."""
        first = (1.0 / len(self._stable) + self._stable) / (1.0 + self._stable.sum(axis=0))
        second = (self._candidate + CONCENTRATION * first) / (self._candidate.sum(axis=0) + CONCENTRATION)
        sizes = stable.sum(axis=0), candidate.sum(axis=0)
        both = sizes[0] + sizes[1]
        nearest = np.where(both > 0.0, sizes[0] * first + sizes[1] * second, 1.0) / np.where(both > 0.0, both, 1.0)
        logs: Floats = (stable * np.log(first / nearest) + candidate * np.log(second / nearest)).sum(axis=0)
        return logs

    def _not_worse_factors(self, window: BatchWindow) -> Floats:
        """The e-values of all shares, and of their complements."""
        totals = window.stable_total, window.candidate_total
        inside = [self._test.shares(each) for each in buckets_of(window)]
        arms = [np.concatenate([part, total - part]) for part, total in zip(inside, totals, strict=True)]
        guessed = (0.5 + self._known) / (1.0 + self._known_total)
        rates = np.concatenate([guessed, 1.0 - guessed]).ravel()
        margins = np.tile(self._margins, len(arms[0]))
        bets = not_worse_alternatives(rates, margins)
        return factors_of(as_runs(window, *arms), rates, margins, bets).reshape(self._not_worse.shape)

    def keep(self, runs: Flags) -> "DistributionBatch":
        """Only these runs."""
        return DistributionBatch(
            _test=self._test,
            _margins=self._margins[runs],
            _stable=self._stable[:, runs],
            _candidate=self._candidate[:, runs],
            _levels=self._levels[..., runs],
            _worse=self._worse[runs],
            _restart=self._restart.keep(runs),
            _not_worse=self._not_worse[..., runs],
            _known_total=self._known_total[runs],
            _known=self._known[:, runs],
        )

    @property
    def log_worse(self) -> Floats:
        """Log evidence that the distributions differ."""
        return self._worse

    @property
    def log_restart(self) -> Floats:
        """The same bets, mixed over the window of onset."""
        return self._restart.log_value

    @property
    def log_catastrophic(self) -> Floats:
        """The plain process once more."""
        return self._worse

    @property
    def log_not_worse(self) -> Floats:
        """The least evidence of all shares, up and down, that the arms differ by less than the margin."""
        least: Floats = log_means(self._not_worse).min(axis=0)
        return least

    @property
    def log_better(self) -> Floats:
        """0: a distribution does not get better."""
        return np.zeros_like(self._worse)

    @property
    def log_harm(self) -> Floats:
        """Nothing: a change is no count of bad requests."""
        return np.zeros((0, self._worse.size))

    @property
    def decisive(self) -> Flags:
        """In which runs the change is large enough to matter."""
        decisive: Flags = _stability_indices(*self._levels) > self._test.metric.floor
        return decisive


def _stability_indices(stable: Floats, candidate: Floats) -> Floats:
    """``stability_index`` per run; 0 before the first window."""
    seen = (stable > 0.0) | (candidate > 0.0)
    p, q = (_shares(np.where(seen, np.maximum(each, LEAST_COUNT), 0.0)) for each in (stable, candidate))
    ratios = np.where(seen, q, 1.0) / np.where(seen, p, 1.0)
    sizes: Floats = ((q - p) * np.log(ratios)).sum(axis=0)
    return sizes


def _shares(counts: Floats) -> Floats:
    total = counts.sum(axis=0)
    shares: Floats = counts / np.where(total > 0.0, total, 1.0)
    return shares
