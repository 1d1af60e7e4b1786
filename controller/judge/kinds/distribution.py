"""Distribution metrics: did it change, in any direction, and by enough to matter? Score drift, label mix, features.

"Changed" is tested with the multinomial block e-process (F4): against "in this window both arms have the same average
distribution", for any buckets. With many requests it finds differences that matter to nobody, so it decides only while
the population stability index of the arms' estimated distributions is above a floor. An e-value cut down to 1 by
whatever rule is still one. Source: Turner, Ly and Grünwald, JSPI 230 (2024) 106116, for k samples; statistics F4.

"Not changed" is shown share by share: at every edge of a histogram (or in every category) the arms differ by less than
the margin, up and down, by F1. The least of that evidence counts.
"""

from dataclasses import dataclass, field, replace
from math import isfinite
from typing import ClassVar

import numpy as np

from controller.api.verdicts import Kind, Role
from controller.judge._mixture import Plain, Restart
from controller.judge._process import MetricTest, PerArm, Process, Window, WindowLike, window_of
from controller.judge.kinds.buckets import BucketArm, aligned, stability_index
from controller.judge.kinds.share_intervals import ShareIntervals
from controller.judge.kinds.shares import (
    Bets,
    KnownShares,
    Products,
    ShareLevels,
    factors_of,
    shares_above,
    shares_within,
    with_complements,
)
from controller.judge.numbers.vector import Floats, log_means, not_worse_alternatives

__all__ = ["CONCENTRATION", "DistributionProcess", "DistributionTest", "log_factor"]

CONCENTRATION = 50.0
"""Requests that the guess for the candidate's shares takes from stable's (κ of F4)."""
_FLOOR = 0.1


def log_factor(window: tuple[Floats, Floats], guesses: tuple[Floats, Floats]) -> float:
    """Natural log e-value (F4) of one window against "both arms have the same average distribution".

    Args:
        window: stable's and the candidate's counts per cell.
        guesses: the shares expected of either, made before the window; all above 0.
    """
    totals = window[0].sum(), window[1].sum()
    nearest = (totals[0] * guesses[0] + totals[1] * guesses[1]) / (totals[0] + totals[1])
    return float(sum(counts @ np.log(guess / nearest) for counts, guess in zip(window, guesses, strict=True)))


@dataclass(frozen=True)
class DistributionTest(MetricTest):
    """What is to be tested about one distribution; the margin is one of the share in a cell or above an edge.

    Attributes:
        history: stable's effective counts before the epoch, None if there are none.
        floor: population stability index up to which a change, however certain, does not matter.
    """

    kind: ClassVar[Kind] = Kind.DISTRIBUTION

    history: BucketArm | None = None
    floor: float = _FLOOR

    def problem(self) -> str | None:
        """What stands against the test: it compares shares, so its margin is below 1; it has no single level."""
        if not 0.0 <= self.margin < 1.0:
            return f"expected a margin of at least 0 and below 1, found {self.margin:g}"
        if not (isfinite(self.floor) and self.floor >= 0.0):
            return f"expected a floor of at least 0, found {self.floor:g}"
        if self.role is Role.RED_FLAG:
            return "expected a role other than RedFlag: a distribution has no single level; flag a ratio"
        if self.must_be_better:
            return "expected no superiority: a distribution changes, it does not get better"
        return super().problem()

    def process(self, alpha: float) -> Process:
        """Evidence 1 on every process."""
        return DistributionProcess(test=self, alpha=alpha)

    def level(self, window: WindowLike) -> float | None:  # noqa: ARG002 - the protocol's
        """None: a distribution has no single level."""
        return None


@dataclass(frozen=True, slots=True, eq=False)
class _Cells:
    """All cells after some windows.

    Attributes:
        edges: the upper bounds of the cells; empty for categories.
        stable: stable's requests per cell, the history's included.
        candidate: the candidate's requests per cell.
        worse: the plain process.
        restart: the same bets mixed over the window of onset.
        known: stable's requests per share, of which F1 guesses.
        not_worse: products for "not worse", for all shares and then for all their complements.
        levels: both arms' shares of each cell.
        intervals: of the differences of the shares.
    """

    edges: tuple[float, ...]
    stable: Floats
    candidate: Floats
    worse: Plain
    restart: Restart
    known: KnownShares
    not_worse: Products
    levels: ShareLevels
    intervals: ShareIntervals

    @classmethod
    def start(cls, test: DistributionTest, alpha: float, *, like: BucketArm) -> "_Cells":
        """Evidence 1 on cells as those of the arm (of whose counts nothing is used), on edges the history has too."""
        history = _matching(test.history, like)
        known = KnownShares.above(history) if history.edges else KnownShares.within(history)
        shares, size = known.total.size, len(history.counts)
        every, margins = np.ones(2 * shares, dtype=bool), np.full(2 * shares, test.margin)
        return cls(
            edges=history.edges,
            stable=np.array(history.counts),
            candidate=np.zeros(size),
            worse=Plain.start(1),
            restart=Restart.start(1, test.horizon),
            known=known,
            not_worse=Products.start(Bets.on(every, margins, not_worse_alternatives)),
            levels=ShareLevels.start(size),
            intervals=ShareIntervals.start(test.margin, alpha, shares=shares),
        )

    @property
    def guesses(self) -> tuple[Floats, Floats]:
        """The shares per cell that are expected of each arm in the next window; the candidate's lean on stable's."""
        stable = (1.0 / self.stable.size + self.stable) / (1.0 + self.stable.sum())
        candidate = (self.candidate + CONCENTRATION * stable) / (self.candidate.sum() + CONCENTRATION)
        return stable, candidate

    def update(self, window: Window[BucketArm]) -> "_Cells":
        """After one more window of the same cells."""
        counts = np.array(window.stable.counts), np.array(window.candidate.counts)
        factor = (log_factor(counts, self.guesses),)
        shares = shares_above(window, self.edges[:-1]) if self.edges else shares_within(window)
        rates = self.known.expected_rates
        both_ways = np.concatenate((rates, 1.0 - rates))
        (not_worse,) = factors_of([self.not_worse.bets], with_complements(shares), both_ways)
        return _Cells(
            edges=self.edges,
            stable=self.stable + counts[0],
            candidate=self.candidate + counts[1],
            worse=self.worse.update(factor),
            restart=self.restart.update(factor),
            known=self.known.learn(shares),
            not_worse=self.not_worse.times(not_worse),
            levels=self.levels.update(shares_within(window)),
            intervals=self.intervals.update(shares, rates),
        )

    @property
    def size(self) -> float:
        """Population stability index of the arms' shares, each window weighted alike for both."""
        return stability_index(self.levels.stable.tolist(), self.levels.candidate.tolist())

    @property
    def compared(self) -> ShareLevels:
        """The levels of the shares that "not worse" is about: above each edge, or in each category."""
        return self.levels.above if self.edges else self.levels


def _matching(history: BucketArm | None, like: BucketArm) -> BucketArm:
    """The history on the edges that it shares with the arm; an empty one where it has none of them.

    Raises:
        ValueError: both count categories, but not as many.
    """
    nothing = BucketArm((0.0,) * len(like.counts), like.edges)
    if history is None:
        return nothing
    if not like.edges and not history.edges and len(history.counts) != len(like.counts):
        msg = f"expected {len(history.counts)} categories as in the history, found {len(like.counts)}"
        raise ValueError(msg)
    if not like.edges or not history.edges:
        return nothing if like.edges or history.edges else history
    shared = tuple(edge for edge in like.edges if edge in history.edges)
    return history.onto(shared) if len(shared) > 1 else nothing


@dataclass(frozen=True)
class DistributionProcess:
    """The evidence processes of one distribution; see ``Process``.

    ``rates`` are the shares above ``edge``, or in the category number ``cell``, whichever the buckets are.
    """

    test: DistributionTest
    alpha: float
    log_worse: float = 0.0
    log_restart: float = 0.0
    log_not_worse: float = 0.0
    _cells: _Cells | None = field(default=None, compare=False, repr=False)

    def update(self, window: WindowLike) -> "DistributionProcess":
        """Every process after the window; all guesses rest on earlier windows alone.

        The cells are those of the first window, as wide as history and arms need them in common. A later window that
        lacks one of their edges says nothing. In one single cell nothing is ever found.

        Raises:
            ValueError: the arms' buckets have nothing in common, or there are other categories than before;
                ``aligned`` tells before.
        """
        seen = aligned(window_of(window, BucketArm))
        if len(seen.stable.counts) < 2:
            return self
        cells = self._cells or _Cells.start(self.test, self.alpha, like=seen.stable)
        fitted = _fitted(seen, cells)
        if fitted is None:
            return self
        with np.errstate(under="ignore"):  # a bet that has lost everything is 0
            cells = cells.update(fitted)
            return replace(
                self,
                log_worse=cells.worse.log_value,
                log_restart=cells.restart.log_value,
                log_not_worse=float(log_means(cells.not_worse.logs).min()),
                _cells=cells,
            )

    @property
    def log_catastrophic(self) -> float:
        """The plain process once more: what changed has no direction, so no margin makes it a disaster."""
        return self.log_worse

    @property
    def log_better(self) -> float:
        """0: a distribution does not get better."""
        return 0.0

    @property
    def log_harm(self) -> tuple[float, ...]:
        """Empty: a change is no count of bad requests."""
        return ()

    @property
    def size(self) -> float:
        """Population stability index of both arms over the windows so far; 0 before the first."""
        return 0.0 if self._cells is None else self._cells.size

    @property
    def decisive(self) -> bool:
        """Whether the change is large enough to matter."""
        return self.size > self.test.floor

    @property
    def cell(self) -> int | None:
        """Number of the share that differs most: of the edge above which it lies, or of the category."""
        return None if self._cells is None else self._cells.compared.differs_most

    @property
    def edge(self) -> float | None:
        """The edge above which the arms' shares differ most; None for categories and before the first window."""
        cell = self.cell
        return None if cell is None or self._cells is None or not self._cells.edges else self._cells.edges[cell]

    @property
    def rates(self) -> PerArm | None:
        """Both arms' shares, where they differ most."""
        cell = self.cell
        return None if cell is None or self._cells is None else self._cells.compared.at(cell)

    @property
    def interval(self) -> tuple[float, float] | None:
        """Bounds of the difference of ``rates`` that hold at every window; None before the first."""
        cell = self.cell
        return None if cell is None or self._cells is None else self._cells.intervals.bounds(cell)


def _fitted(window: Window[BucketArm], cells: _Cells) -> Window[BucketArm] | None:
    """The window in those cells; None where it lacks one of their edges."""
    stable, candidate = window.stable, window.candidate
    if bool(stable.edges) != bool(cells.edges) or (not cells.edges and len(stable.counts) != cells.stable.size):
        msg = f"expected {cells.stable.size} buckets of the same kind as before, found {len(stable.counts)}"
        raise ValueError(msg)
    if not set(cells.edges) <= set(stable.edges):
        return None
    return Window(stable.onto(cells.edges), candidate.onto(cells.edges)) if cells.edges else window
