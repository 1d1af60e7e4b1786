"""Requests counted per bucket: of a histogram, between its edges, or of any counter, per category.

What Prometheus keeps is cumulative, scraped bucket after bucket, and laid out as each binary likes; what is compared
is not: counts per bucket of one window, on the edges that both arms have. Then how far two sets of counts are apart,
as the trade measures it: the population stability index and its relatives. Those say how large a difference is, never
whether it is one; ``distribution`` and ``histogram`` say that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import inf, isfinite, log

from controller.judge._process import Window

__all__ = [
    "LEAST_COUNT",
    "BucketArm",
    "aligned",
    "cells_of",
    "common_edges",
    "jensen_shannon",
    "merge",
    "per_bucket",
    "stability_index",
    "total_variation",
    "wasserstein",
]

LEAST_COUNT = 0.5
"""What an empty bucket counts for in the stability index, where the other arm's is not empty."""


@dataclass(frozen=True, slots=True)
class BucketArm:
    """What one arm did in one window, or stable before the epoch: how many requests fell into each bucket.

    Attributes:
        counts: effective number of requests per bucket, not cumulative; at least one bucket.
        edges: upper bounds of the buckets, ascending, ``inf`` last; empty for categories, which have no order.
        requests: raw number of requests where it differs from the sum of ``counts``.
    """

    counts: tuple[float, ...]
    edges: tuple[float, ...] = ()
    requests: float | None = None

    def __post_init__(self) -> None:
        if not self.counts or not all(isfinite(count) and count >= 0.0 for count in self.counts):
            msg = f"expected at least one bucket and finite counts of at least 0, found {self.counts!r}"
            raise ValueError(msg)
        if not self.edges:
            return
        if len(self.edges) != len(self.counts):
            msg = f"expected one upper bound per bucket, found {len(self.edges)} for {len(self.counts)} buckets"
            raise ValueError(msg)
        if self.edges[-1] != inf or not all(low < high for low, high in pairwise(self.edges)):
            msg = f"expected upper bounds that ascend and end in +Inf, found {_listed(self.edges)}"
            raise ValueError(msg)

    @property
    def total(self) -> float:
        """Effective number of requests."""
        return sum(self.counts)

    @property
    def exposure(self) -> float:
        """Raw number of requests."""
        return self.total if self.requests is None else self.requests

    @property
    def silent(self) -> bool:
        """Whether there was no request."""
        return not self.total > 0.0

    @property
    def shown(self) -> str:
        """All requests, as the judge counts them."""
        return f"{self.total:g}"

    def onto(self, edges: tuple[float, ...]) -> "BucketArm":
        """The same requests in the wider buckets between fewer ``edges``, each of them one of the arm's own."""
        if edges == self.edges:
            return self
        return BucketArm(merge(self.counts, self.edges, onto=edges), edges, self.requests)


def common_edges(stable: Sequence[float], candidate: Sequence[float]) -> tuple[float, ...]:
    """The upper bounds that both arms have: on them their counts can be compared.

    Raises:
        ValueError: no finite one is common, so that there is nothing to compare.
    """
    both = set(stable) & set(candidate)
    if tuple(stable) != tuple(candidate) and not any(isfinite(edge) for edge in both):
        msg = (
            f"expected a bucket edge that both arms' histograms have; stable has {_listed(stable)}, the candidate has "
            f"{_listed(candidate)}: give both the same buckets, or at least one in common"
        )
        raise ValueError(msg)
    return tuple(edge for edge in stable if edge in both)


def merge(counts: Sequence[float], edges: Sequence[float], *, onto: Sequence[float]) -> tuple[float, ...]:
    """Counts in the wider buckets between the edges ``onto``.

    Raises:
        ValueError: one of those edges is not among ``edges``: a bucket cannot be split.
    """
    missing = set(onto) - set(edges)
    if missing or not onto or onto[-1] != edges[-1]:
        msg = f"expected edges out of {_listed(edges)}, with the last of them; found {_listed(onto)}"
        raise ValueError(msg)
    wider, bounds = [0.0], iter(onto)
    bound = next(bounds)
    for count, edge in zip(counts, edges, strict=True):
        if edge > bound:
            bound = next(bounds)
            wider.append(0.0)
        wider[-1] += count
    return tuple(wider)


def aligned(window: Window[BucketArm]) -> Window[BucketArm]:
    """The window with both arms on their common edges; categories as they are.

    Raises:
        ValueError: the edges have nothing in common, or only one arm has edges, or the categories differ in number.
    """
    stable, candidate = window.stable, window.candidate
    if bool(stable.edges) != bool(candidate.edges) or (
        not stable.edges and len(stable.counts) != len(candidate.counts)
    ):
        msg = (
            f"expected the same kind and number of buckets in both arms; stable has {_layout(stable)}, the candidate "
            f"has {_layout(candidate)}: count both arms in the same buckets"
        )
        raise ValueError(msg)
    if stable.edges == candidate.edges:
        return window
    edges = common_edges(stable.edges, candidate.edges)
    return Window(stable.onto(edges), candidate.onto(edges))


def per_bucket(cumulative: Sequence[float], count: float) -> tuple[float, ...]:
    """Counts per bucket from what the cumulative ``le`` counters grew by in a window.

    A scrape reads one counter after the other while requests go on, so a bucket can seem to have grown by less than a
    smaller one, or the last one by other than ``count``. A bucket that shrank so is empty, and the rest are scaled to
    the count.

    Args:
        cumulative: growth of each ``le`` counter, by ascending bound, ``+Inf`` last.
        count: growth of ``_count``; what the buckets add up to afterwards.

    Returns:
        Counts that add up to ``count``, or all 0 where no bucket grew and nothing tells where the requests fell.
    """
    if not cumulative or not all(isfinite(growth) and growth >= 0.0 for growth in (*cumulative, count)):
        msg = f"expected growth of at least 0 for every bucket and the count, found {tuple(cumulative)!r} and {count!r}"
        raise ValueError(msg)
    grown = [max(high - low, 0.0) for low, high in pairwise((0.0, *cumulative))]
    total = sum(grown)
    return tuple(count * (part / total) for part in grown) if total > 0.0 else (0.0,) * len(grown)


def cells_of(counts: Mapping[str, float], categories: Sequence[str]) -> tuple[float, ...]:
    """Counts per category, in the order of ``categories``, and those of all other label values in one last cell.

    With categories fixed before the epoch, a value that only the candidate produces shows in the last cell.
    """
    others = sum(count for category, count in counts.items() if category not in set(categories))
    return (*(counts.get(category, 0.0) for category in categories), others)


def stability_index(stable: Sequence[float], candidate: Sequence[float]) -> float:
    """Population stability index of two sets of counts: Σ (q − p)·ln(q/p), 0 where the shares are equal.

    By custom below 0.1 is no change and above 0.25 a large one. A bucket that only one arm filled counts as half a
    request in the other, so that the index is finite; one that is empty in both is left out.
    """
    for arm in (stable, candidate):
        _total(arm)  # an arm without requests has no shares
    seen = [(a, b) for a, b in zip(stable, candidate, strict=True) if a > 0.0 or b > 0.0]
    p = _shares([max(a, LEAST_COUNT) for a, _ in seen])
    q = _shares([max(b, LEAST_COUNT) for _, b in seen])
    return sum((b - a) * log(b / a) for a, b in zip(p, q, strict=True))


def jensen_shannon(stable: Sequence[float], candidate: Sequence[float]) -> float:
    """Jensen–Shannon divergence of two sets of counts, natural logarithm: 0 to ln 2."""
    return sum(
        (_entropy_term(a, a + b) + _entropy_term(b, a + b)) / 2
        for a, b in zip(_shares(stable), _shares(candidate), strict=True)
    )


def total_variation(stable: Sequence[float], candidate: Sequence[float]) -> float:
    """Share of the requests that would have to change their bucket, 0 to 1."""
    return sum(abs(b - a) for a, b in zip(_shares(stable), _shares(candidate), strict=True)) / 2


def wasserstein(stable: Sequence[float], candidate: Sequence[float]) -> float:
    """By how many buckets a request would have to move on average (W1 over the bucket's number); for edges alone."""
    moved = accumulate(b - a for a, b in zip(_shares(stable), _shares(candidate), strict=True))
    return sum(abs(excess) for excess in moved)


def _shares(counts: Sequence[float]) -> list[float]:
    total = _total(counts)
    return [count / total for count in counts]


def _total(counts: Sequence[float]) -> float:
    total = sum(counts)
    if not (isfinite(total) and total > 0.0):
        msg = f"expected a request in each arm, found the counts {tuple(counts)!r}"
        raise ValueError(msg)
    return total


def _entropy_term(share: float, both: float) -> float:
    return share * log(2.0 * share / both) if share > 0.0 else 0.0


def _listed(edges: Sequence[float]) -> str:
    return ", ".join("+Inf" if edge == inf else f"{edge:g}" for edge in edges)


def _layout(arm: BucketArm) -> str:
    return f"the edges {_listed(arm.edges)}" if arm.edges else f"{len(arm.counts)} categories"
