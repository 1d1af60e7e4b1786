"""Calibration: what the pods of stable, which all run the same model, tell about noise before an epoch begins.

Requests are not independent of each other: a pod's requests share its node, its neighbours and its minute. Without
allowance for that, every test at the level of requests accuses good candidates; the size of the allowance must come
from history, because decisions fall before the rollout itself could show it.

- F5: requests of one pod in one interval correlate by ρ; n of them are worth n / (1 + (n − 1)ρ) independent ones.
- F12: pods of one model differ lastingly by σ; a margin below what that alone makes likely would prove nothing.
- F6b: neighbouring intervals resemble each other by φ; the variance of sums grows by (1 + φ)/(1 − φ), and windows that
  are judged as single observations (means) are taken together in batches.

What is assumed, that the candidate's pods scatter like stable's, is watched by ``dispersion``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from math import ceil, sqrt
from typing import Final

from controller.judge.noise.scatter import (
    QUANTILE,
    Cell,
    Level,
    PodHistory,
    Variance,
    autocorrelation,
    design,
    lasting_variance,
    levels,
    poisson_variance,
    share_variance,
)

__all__ = [
    "FEWEST_INTERVALS",
    "PRIOR_DESIGN_EFFECT",
    "UNCALIBRATED",
    "BucketHistory",
    "Calibration",
    "Cell",
    "PodHistory",
    "Pods",
    "batch_length",
    "calibrate_buckets",
    "calibrate_classes",
    "calibrate_means",
    "calibrate_rates",
    "calibrate_shares",
]

PRIOR_DESIGN_EFFECT: Final = 2.0
"""Assumed where history says too little to measure one."""
FEWEST_INTERVALS: Final = 50
"""Intervals with at least two active pods below which history says too little."""

_LARGEST_AUTOCORRELATION: Final = 0.9
_FEWEST_OUTCOMES: Final = 20.0
"""Of a bucket's rarer outcome in the whole history, below which it does not say which bucket scatters most."""

BucketHistory = Sequence[Mapping[str, tuple[float, ...]] | None]
"""Counts per bucket (not cumulative) by pod for each interval in the order of time; None: not known."""


@dataclass(frozen=True, slots=True)
class Pods:
    """How many pods each arm has when the epoch begins, at least 1: what an arm's lasting deviation averages over."""

    stable: int
    candidate: int

    def noise_floor(self, deviation: float) -> float:
        """Difference of the arms that pods deviating by so much exceed by chance in one case of twenty (F12)."""
        return QUANTILE * deviation * sqrt(1.0 / max(1, self.candidate) + 1.0 / max(1, self.stable))


@dataclass(frozen=True, slots=True)
class Calibration:
    """What is allowed for noise; fixed for the epoch.

    Attributes:
        measured: from history; else the prior, because that said too little.
        intervals: intervals of history with at least two active pods.
        pods: how many were active in an interval, on average.
        design_effect: variance of a pod's counts in a window against that of independent requests, for a pod with as
            many requests as in the history; at least 1.
        intraclass: correlation of a pod's requests in a window, upper 95 % bound, from which the design effect of each
            pod and window follows; None: it is ``design_effect`` for all.
        pod_deviation: standard deviation of the pods' lasting differences, in the unit of the metric's level (for
            rates as a share of the rate).
        noise_floor: margin below which the arms differ by their pods alone, in the unit of the margin.
        autocorrelation: of a pod's deviations in neighbouring intervals, 0 where it could be chance.
        alone: size of a cell that cannot scatter more than independent requests: one request; 0 for an exposure.
    """

    measured: bool = False
    intervals: int = 0
    pods: int = 0
    design_effect: float = PRIOR_DESIGN_EFFECT
    intraclass: float | None = None
    pod_deviation: float = 0.0
    noise_floor: float = 0.0
    autocorrelation: float = 0.0
    alone: float = 1.0

    def __post_init__(self) -> None:
        numbers = (self.design_effect - 1.0, self.intraclass or 0.0, self.pod_deviation, self.noise_floor)
        if not all(0.0 <= number < float("inf") for number in numbers):
            msg = f"expected a design effect of at least 1 and the rest at least 0, all finite; found {self}"
            raise ValueError(msg)

    def design_effect_of(self, size: float) -> float:
        """The design effect of one pod in one window, from its requests (or exposure); at least 1."""
        if self.intraclass is None:
            return self.design_effect
        return 1.0 + max(0.0, size - self.alone) * self.intraclass

    def effective(self, pods: Iterable[Cell], *, inflation: float = 1.0) -> Cell:
        """What the cells of an arm's pods are worth together: each deflated by its own design effect (F5).

        Args:
            pods: (total, bad), (exposure, events) or the like of each pod.
            inflation: how much more the candidate's pods scatter than calibrated; see ``Dispersion``.
        """
        size = amount = 0.0
        for each in pods:
            effect = self.design_effect_of(each[0]) * inflation
            size += each[0] / effect
            amount += each[1] / effect
        return size, amount

    def effective_size(self, sizes: Iterable[float], *, inflation: float = 1.0) -> float:
        """What the pods are worth together where their cells are pooled as they are: buckets, sums of values.

        N²/Σ(n·deff): the pooled share then has the variance of so many independent requests. With pods alike that is
        what ``effective`` gives.
        """
        known = [size for size in sizes if size > 0.0]
        total = sum(known)
        weight = sum(size * self.design_effect_of(size) for size in known) * inflation
        return total * (total / weight) if weight > 0.0 else 0.0

    @property
    def batch(self) -> int:
        """How many windows make one observation of a metric whose windows are single observations (F6b)."""
        return batch_length(self.autocorrelation)


UNCALIBRATED: Final = Calibration(design_effect=1.0)
"""Counts as they are."""


def batch_length(correlation: float) -> int:
    """Windows per batch for a lag-1 autocorrelation: 5(1 + φ)/(1 − φ), but 1 without any (F6b)."""
    if correlation <= 0.0:
        return 1
    bounded = _bounded(correlation)
    return ceil(5.0 * (1.0 + bounded) / (1.0 - bounded) - 1e-9)


def calibrate_shares(history: PodHistory, pods: Pods) -> Calibration:
    """Calibrate a ratio metric, or a mean with known bounds, on stable's (requests, bad ones) per pod and interval."""
    return _calibrated(history, pods, variance=share_variance, alone=1.0)


def calibrate_rates(history: PodHistory, pods: Pods) -> Calibration:
    """Calibrate a rate metric on stable's (exposure, events) per pod and interval.

    Counts are set against Poisson counts. The noise floor is a share of the rate, as a rate's margin is.
    """
    found = _calibrated(history, pods, variance=poisson_variance, alone=0.0)
    known = [cell for each in history if each is not None for cell in each.values() if cell[0] > 0.0]
    events = sum(amount for _, amount in known)
    if not events:
        return found
    rate = events / sum(size for size, _ in known)
    return replace(found, pod_deviation=found.pod_deviation / rate, noise_floor=found.noise_floor / rate)


def calibrate_means(history: PodHistory, pods: Pods) -> Calibration:
    """Calibrate a mean without bounds on stable's (values, their sum) per pod and interval.

    Its windows are judged as single observations, whatever scatters within them, so the design effect stays 1; what is
    measured are the noise floor and the autocorrelation. With one pod that is the arm's own, season and all.
    """
    lasting = _lasting(levels(history), pods)
    if lasting.measured:
        return lasting
    alone = _arm_alone(history)
    if sum(each is not None for each in alone) < FEWEST_INTERVALS:
        return lasting
    return replace(lasting, autocorrelation=_bounded(autocorrelation(alone)))


def calibrate_buckets(history: BucketHistory, pods: Pods) -> Calibration:
    """Calibrate a histogram on counts per bucket: the worst over its inner edges, each a share of requests above it.

    The judge averages over the edges, and an average is no better than its worst part. Edges with fewer than 20
    requests on their rarer side in the whole history do not vote: they say too little.
    """
    return _worst(history, pods, parts=_above)


def calibrate_classes(history: BucketHistory, pods: Pods) -> Calibration:
    """Calibrate a distribution on counts per class: the worst over the classes, each a share of the requests."""
    return _worst(history, pods, parts=tuple)


def _above(counts: tuple[float, ...]) -> tuple[float, ...]:
    """Requests above each inner edge."""
    return tuple(accumulate(reversed(counts)))[-2::-1]


def _calibrated(history: PodHistory, pods: Pods, *, variance: Variance, alone: float) -> Calibration:
    compared = levels(history)
    lasting = _lasting(compared, pods)
    found = design([each for each in compared if each is not None], variance, alone=alone)
    if not lasting.measured or found is None:
        return Calibration(intervals=lasting.intervals, pods=lasting.pods, alone=alone)
    correlation = lasting.autocorrelation
    factor = found.factor * (1.0 + QUANTILE * found.error) * (1.0 + correlation) / (1.0 - correlation)
    beyond = max(0.0, factor - 1.0)
    intraclass = beyond / (found.size - alone) if found.size > alone else beyond
    if alone:
        intraclass = min(intraclass, 1.0)
    return replace(lasting, design_effect=1.0 + (found.size - alone) * intraclass, intraclass=intraclass, alone=alone)


def _lasting(history: Sequence[Level | None], pods: Pods) -> Calibration:
    """What concerns more than one interval; design effect 1. Unmeasured, and nothing, where there are too few."""
    usable = [each for each in history if each is not None]
    usual = round(sum(len(each.pods) for each in usable) / len(usable)) if usable else 0
    if len(usable) < FEWEST_INTERVALS:
        return Calibration(intervals=len(usable), pods=usual, design_effect=1.0)
    deviation = sqrt(lasting_variance(usable))
    return Calibration(
        measured=True,
        intervals=len(usable),
        pods=usual,
        design_effect=1.0,
        pod_deviation=deviation,
        noise_floor=pods.noise_floor(deviation),
        autocorrelation=_bounded(autocorrelation(history)),
    )


def _bounded(correlation: float) -> float:
    return min(correlation, _LARGEST_AUTOCORRELATION)


def _arm_alone(history: PodHistory) -> list[Level | None]:
    """The arm as if it were one pod, set against its mean over all intervals."""
    summed = [None if each is None else _summed(each.values()) for each in history]
    size, amount = _summed(cell for cell in summed if cell is not None)
    level = amount / size if size > 0.0 else 0.0
    return [
        None if cell is None or cell[0] <= 0.0 else Level(cell[0], level, (("", cell[0], cell[1] - cell[0] * level),))
        for cell in summed
    ]


def _summed(cells: Iterable[Cell]) -> Cell:
    size = amount = 0.0
    for each in cells:
        size += each[0]
        amount += each[1]
    return size, amount


def _worst(
    history: BucketHistory, pods: Pods, *, parts: Callable[[tuple[float, ...]], tuple[float, ...]]
) -> Calibration:
    """The largest of what the parts of the buckets give; the prior where no part says enough."""
    sizes = [None if each is None else {pod: (sum(counts), 0.0) for pod, counts in each.items()} for each in history]
    split = [None if each is None else {pod: parts(counts) for pod, counts in each.items()} for each in history]
    width = max((len(counts) for each in split if each is not None for counts in each.values()), default=0)
    found = []
    for index in range(width):
        shares = [_share(size, part, index) for size, part in zip(sizes, split, strict=True)]
        total, amount = _summed(cell for each in shares if each is not None for cell in each.values())
        if min(amount, total - amount) >= _FEWEST_OUTCOMES:
            found.append(calibrate_shares(shares, pods))
    measured = [each for each in found if each.measured]
    return _largest(measured) if measured else calibrate_shares(sizes, pods)


def _share(
    sizes: Mapping[str, Cell] | None, parts: Mapping[str, tuple[float, ...]] | None, index: int
) -> dict[str, Cell] | None:
    if sizes is None or parts is None:
        return None
    return {pod: (size, parts[pod][index]) for pod, (size, _) in sizes.items()}


def _largest(parts: Sequence[Calibration]) -> Calibration:
    return replace(
        parts[0],
        design_effect=max(each.design_effect for each in parts),
        intraclass=max(each.intraclass or 0.0 for each in parts),
        pod_deviation=max(each.pod_deviation for each in parts),
        noise_floor=max(each.noise_floor for each in parts),
        autocorrelation=max(each.autocorrelation for each in parts),
    )
