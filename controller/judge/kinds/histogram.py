"""Histogram metrics: is the candidate slower, or larger, anywhere? F1 above every edge, averaged over the edges.

"Not worse" means that at every edge the candidate's share of requests above it exceeds stable's by at most the
margin: first-order stochastic dominance up to the margin. Each edge alone is a ratio metric, so each gives an e-value
against that; their mean (F8) is one under any dependence, and they are as dependent as can be: they count the same
requests. To be shown not worse the candidate must be so at every edge, hence the least of the edges' evidence.
Source: statistics F1, F8; the order average is that of §4.8.

Which edges share the mean is settled by stable's history, before they bet. Edges at which the candidate could not be
worse by more than the margin, as fewer requests than that lie below, are left out; and of those above which nothing
was ever seen only the lowest stays: who exceeds a higher one exceeds that one too. So idle edges dilute nothing, while
outliers as nobody has seen them yet still have an edge to show at. Without a history the first windows stand in for
it: until they hold a hundred of stable's requests only disasters are bet on, at every edge. Bets on rates that nobody
knows lose more than that takes: rare outliers are found after 10 windows so, after 19 when all edges bet at once.
Choosing by what is past costs no validity.

Harm is judged as "not worse" is, at the margin that a step's weight leaves: an extra request beyond some edge is what
a bad one is to a ratio, so no edge may have more of them than the budget, and the least of the edges' evidence counts.
The budget is the metric's own margin.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import ClassVar

import numpy as np

from controller.api.verdicts import Kind, Role
from controller.judge._process import MetricTest, PerArm, Process, WindowLike, window_of
from controller.judge.kinds.buckets import BucketArm, aligned
from controller.judge.kinds.ratio import ODDS_RATIOS
from controller.judge.kinds.share_intervals import ShareIntervals
from controller.judge.kinds.shares import (
    Bets,
    KnownShares,
    Products,
    ShareLevels,
    factors_of,
    log_mean_of_all,
    shares_above,
)
from controller.judge.numbers.deferred import Deferred
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

__all__ = ["HistogramProcess", "HistogramTest"]

_CATASTROPHE = 8.0
_ENOUGH = 100.0
"""Stable's requests from which on its counts tell where the edges lie in its distribution."""


@dataclass(frozen=True)
class HistogramTest(MetricTest):
    """What is to be tested about one histogram; the margin is one of shares above an edge.

    Attributes:
        history: stable's effective counts before the epoch, None if there are none.
    """

    kind: ClassVar[Kind] = Kind.HISTOGRAM

    history: BucketArm | None = None

    def problem(self) -> str | None:
        """What stands against the test: it compares shares, so its margin is below 1; it has no single level."""
        if not 0.0 <= self.margin < 1.0:
            return f"expected a margin of at least 0 and below 1, found {self.margin:g}"
        if self.role is Role.RED_FLAG:
            return "expected a role other than RedFlag: a histogram has no single level; flag a ratio above one edge"
        if self.history is not None and not self.history.edges:
            return f"expected a history with edges, found {len(self.history.counts)} categories"
        return super().problem()

    def process(self, alpha: float) -> Process:
        """Evidence 1 on every process."""
        return HistogramProcess(test=self, alpha=alpha)

    def level(self, window: WindowLike) -> float | None:  # noqa: ARG002 - the protocol's
        """None: a histogram has no single level."""
        return None


def _worse_bets(test: HistogramTest, known: KnownShares) -> Bets:
    """Bets on "worse" and on "better" wait until enough is known of stable: blind ones lose more than they teach."""
    if known.total.min() < _ENOUGH:
        return Bets.none(worse_alternatives)
    kept = _worse_edges(known.inside / known.total, test.margin)
    return Bets.on(kept, np.full(kept.size, test.margin), worse_alternatives)


def _below(rates: Floats, margins: Floats) -> Floats:  # noqa: ARG001 - at margin 0 alone
    return better_alternatives(rates)


def _better_bets(test: HistogramTest, known: KnownShares) -> Bets:
    if known.total.min() < _ENOUGH or not test.must_be_better:
        return Bets.none(_below)
    kept = _better_edges(known.inside / known.total)
    return Bets.on(kept, np.zeros(kept.size), _below)


def _catastrophic_bets(test: HistogramTest, known: KnownShares) -> Bets:
    """Disasters are looked for from the first window on, at every edge where no history tells which are worth it."""
    informed = known.total.min() >= _ENOUGH
    rates = known.inside / known.total if informed else np.full(known.total.size, 0.5)
    kept = _worse_edges(rates, test.margin) if informed else np.ones(rates.size, dtype=bool)
    margins = np.maximum(test.margin, np.minimum(_CATASTROPHE * test.margin, (1.0 - rates) / 2))
    return Bets.on(kept, margins, worse_alternatives)


def _worse_edges(rates: Floats, margin: float) -> Flags:
    """Edges below which more than the margin lies, up to the lowest above which nothing was seen; else the last."""
    kept = 1.0 - rates > margin
    empty = np.flatnonzero(rates == 0.0)
    if empty.size:
        kept[empty[0] + 1 :] = False
    if not kept.any():
        kept[-1] = True
    return kept


def _better_edges(rates: Floats) -> Flags:
    """Edges above which anything was seen, from the highest below which nothing was; else the first."""
    kept = rates > 0.0
    full = np.flatnonzero(rates == 1.0)
    if full.size:
        kept[: full[-1]] = False
    if not kept.any():
        kept[0] = True
    return kept


@dataclass(frozen=True, slots=True, eq=False)
class _Ladder:
    """All edges after some windows.

    Attributes:
        edges: the finite ones.
        known: stable's requests so far.
        worse: products for "worse".
        restart: the same bets mixed over the window of onset.
        catastrophic: products at the catastrophic margin.
        not_worse: products for "not worse", at every edge.
        better: products for "better".
        levels: both arms' shares.
        intervals: of the differences of the shares.
        harm: products for "within the harm budget" at every edge, per step; computed when they are read.
    """

    edges: tuple[float, ...]
    known: KnownShares
    worse: Products
    restart: RestartBatch
    catastrophic: Products
    not_worse: Products
    better: Products
    levels: ShareLevels
    intervals: ShareIntervals
    harm: Deferred[tuple[Products, ...], tuple[BatchWindow, Floats]]

    @classmethod
    def start(cls, test: HistogramTest, alpha: float, *, edges: tuple[float, ...]) -> "_Ladder":
        """Evidence 1 at each of the finite ``edges`` that the history has too; an unlike one says nothing of them."""
        shared = () if test.history is None else tuple(edge for edge in edges if edge in test.history.edges)
        if test.history is not None and shared:
            edges, known = shared, KnownShares.above(test.history.onto((*shared, inf)))
        else:
            known = KnownShares(np.zeros(len(edges)), np.zeros(len(edges)))
        worse = Products.start(_worse_bets(test, known))
        return cls(
            edges=edges,
            known=known,
            worse=worse,
            restart=RestartBatch.start(len(ODDS_RATIOS), test.horizon, runs=worse.bets.shares.size),
            catastrophic=Products.start(_catastrophic_bets(test, known)),
            not_worse=_short_of(test.margin, edges=len(edges)),
            better=Products.start(_better_bets(test, known)),
            levels=ShareLevels.start(len(edges)),
            intervals=ShareIntervals.start(test.margin, alpha, shares=len(edges)),
            harm=Deferred(tuple(_short_of(margin, edges=len(edges)) for margin in test.harm_margins.values())),
        )

    def update(self, window: BatchWindow) -> "_Ladder":
        """After one more window; an edge that it does not have bets and learns nothing."""
        processes = (self.worse, self.catastrophic, self.not_worse, self.better)
        rates = self.known.expected_rates
        factors = factors_of([each.bets for each in processes], window, rates)
        worse, catastrophic, not_worse, better = (
            each.times(factor) for each, factor in zip(processes, factors, strict=True)
        )
        return _Ladder(
            edges=self.edges,
            known=self.known.learn(window),
            worse=worse,
            restart=self.restart.update(factors[0], window.comparable[worse.bets.shares]),
            catastrophic=catastrophic,
            not_worse=not_worse,
            better=better,
            levels=self.levels.update(window),
            intervals=self.intervals.update(window, rates),
            harm=self.harm.noting((window, rates)),
        )

    def informed(self, test: HistogramTest) -> "_Ladder":
        """With the bets that waited, as soon as stable's requests tell at which edges."""
        if self.worse.bets.shares.size or self.known.total.min() < _ENOUGH:
            return self
        worse = Products.start(_worse_bets(test, self.known))
        restart = RestartBatch.start(len(ODDS_RATIOS), test.horizon, runs=worse.bets.shares.size)
        return replace(self, worse=worse, restart=restart, better=Products.start(_better_bets(test, self.known)))


def _short_of(margin: float, *, edges: int) -> Products:
    """Evidence 1 against "beyond the margin" at every edge."""
    return Products.start(Bets.on(np.ones(edges, dtype=bool), np.full(edges, margin), not_worse_alternatives))


def _harmed(harm: tuple[Products, ...], windows: Sequence[tuple[BatchWindow, Floats]]) -> tuple[Products, ...]:
    for window, rates in windows if harm else ():
        factors = factors_of([each.bets for each in harm], window, rates)
        harm = tuple(each.times(factor) for each, factor in zip(harm, factors, strict=True))
    return harm


@dataclass(frozen=True)
class HistogramProcess:
    """The evidence processes of one histogram; see ``Process``. ``rates`` are shares above ``edge``."""

    test: HistogramTest
    alpha: float
    log_worse: float = 0.0
    log_restart: float = 0.0
    log_catastrophic: float = 0.0
    log_not_worse: float = 0.0
    log_better: float = 0.0
    _ladder: _Ladder | None = field(default=None, compare=False, repr=False)

    def update(self, window: WindowLike) -> "HistogramProcess":
        """Every process after the window; all guesses rest on earlier windows alone.

        The edges are those that history and arms have in common in the first window. One single bucket has none, and
        nothing is ever found.

        Raises:
            ValueError: the arms have no edge in common; ``common_edges`` tells before.
        """
        seen = aligned(window_of(window, BucketArm))
        ladder = self._ladder
        if ladder is None:
            if len(seen.stable.edges) < 2:
                return self
            ladder = _Ladder.start(self.test, self.alpha, edges=seen.stable.edges[:-1])
        with np.errstate(under="ignore"):  # a bet that has lost everything is 0
            ladder = ladder.informed(self.test).update(shares_above(seen, ladder.edges))
            return replace(
                self,
                log_worse=log_mean_of_all(ladder.worse.logs),
                log_restart=log_mean_of_all(ladder.restart.log_value),
                log_catastrophic=log_mean_of_all(ladder.catastrophic.logs),
                log_not_worse=float(log_means(ladder.not_worse.logs).min()),
                log_better=log_mean_of_all(ladder.better.logs),
                _ladder=ladder,
            )

    @property
    def log_harm(self) -> tuple[float, ...]:
        """Log evidence that each step's weight keeps the harm within its budget: the least over the edges."""
        if self._ladder is None:
            return (0.0,) * len(self.test.steps)
        with np.errstate(under="ignore"):
            return tuple(float(log_means(each.logs).min()) for each in self._ladder.harm.result(_harmed))

    @property
    def edge(self) -> float | None:
        """The edge above which the arms' shares differ most; None before the first window."""
        ladder = self._ladder
        share = None if ladder is None else ladder.levels.differs_most
        return None if ladder is None or share is None else ladder.edges[share]

    @property
    def rates(self) -> PerArm | None:
        """Both arms' shares of requests above ``edge``."""
        ladder = self._ladder
        share = None if ladder is None else ladder.levels.differs_most
        return None if ladder is None or share is None else ladder.levels.at(share)

    @property
    def interval(self) -> tuple[float, float] | None:
        """Bounds of the difference of ``rates`` that hold at every window; None before the first."""
        ladder = self._ladder
        share = None if ladder is None else ladder.levels.differs_most
        return None if ladder is None or share is None else ladder.intervals.bounds(share)

    @property
    def decisive(self) -> bool:
        """Always: one window may decide."""
        return True
