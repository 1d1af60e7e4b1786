"""Calibration of many runs side by side: ``calibrate_shares`` and ``calibrate_rates`` with arrays (F5, F6b, F12)."""

from dataclasses import dataclass, replace
from math import sqrt

import numpy as np

from controller.judge.noise.calibration import FEWEST_INTERVALS, PRIOR_DESIGN_EFFECT
from controller.judge.noise.scatter import QUANTILE
from controller.judge.numbers.vector import Flags, Floats

__all__ = ["BatchCalibration", "PodCounts"]

_LARGEST_AUTOCORRELATION = 0.9
_AUTOCORRELATION_TIMES = 5.0
_FEWEST_OUTCOMES = 20.0


@dataclass(frozen=True, slots=True, eq=False)
class PodCounts:
    """Requests (or exposure) and bad ones (or events) of pods; the last axis is the run, the one before it the pod.

    Attributes:
        total: requests.
        bad: bad ones among them; 0 where there are buckets.
        buckets: requests per bucket, that axis in front of the others; None without.
        alone: of pairs, those in which this arm alone was wrong; None without.
    """

    total: Floats
    bad: Floats
    buckets: Floats | None = None
    alone: Floats | None = None

    def summed(self) -> "PodCounts":
        """Of all pods together."""
        buckets = None if self.buckets is None else self.buckets.sum(axis=-2)
        alone = None if self.alone is None else self.alone.sum(axis=-2)
        return PodCounts(self.total.sum(axis=-2), self.bad.sum(axis=-2), buckets, alone)


@dataclass(frozen=True, slots=True, eq=False)
class BatchCalibration:
    """What is allowed for noise in each run.

    Attributes:
        intraclass: correlation of a pod's requests in a window; NaN where history says too little and the prior holds.
        noise_floor: margin below which the arms differ by their pods alone, in the unit of the margin.
        alone: size of a cell that cannot scatter more than independent requests: one request; 0 for an exposure.
        batches: windows that make one observation of a mean (F6b).
    """

    intraclass: Floats
    noise_floor: Floats
    alone: float
    batches: Floats

    @classmethod
    def nothing(cls, runs: int) -> "BatchCalibration":
        """Nothing is allowed for: counts as they are."""
        return cls(np.zeros(runs), np.zeros(runs), 1.0, np.ones(runs))

    @classmethod
    def of_shares(cls, history: PodCounts, *, stable_pods: int, candidate_pods: int) -> "BatchCalibration":
        """Calibrate ratio metrics on stable's counts of shape (intervals, pods, runs)."""
        scatter = _Scatter.of(history)
        size = np.maximum(scatter.size, 1.0 + 1e-9)
        of_one = np.where(scatter.size > 1.0, scatter.level * (1.0 - scatter.level) * size / (size - 1.0), 0.0)
        intraclass = np.minimum(scatter.intraclass(of_one, alone=1.0), 1.0)
        floor = QUANTILE * scatter.deviation * sqrt(1 / candidate_pods + 1 / stable_pods)
        return cls(intraclass, np.where(np.isnan(intraclass), 0.0, floor), 1.0, np.ones(intraclass.size))

    @classmethod
    def of_rates(cls, history: PodCounts, *, stable_pods: int, candidate_pods: int) -> "BatchCalibration":
        """Calibrate rate metrics on stable's exposures and events of shape (intervals, pods, runs)."""
        scatter = _Scatter.of(history)
        intraclass = scatter.intraclass(scatter.level, alone=0.0)
        rate = history.bad.sum(axis=(0, 1)) / np.maximum(history.total.sum(axis=(0, 1)), 1e-300)
        deviation = np.where(rate > 0.0, scatter.deviation / np.where(rate > 0.0, rate, 1.0), scatter.deviation)
        floor = QUANTILE * deviation * sqrt(1 / candidate_pods + 1 / stable_pods)
        return cls(intraclass, np.where(np.isnan(intraclass), 0.0, floor), 0.0, np.ones(intraclass.size))

    @classmethod
    def of_means(cls, history: PodCounts, *, stable_pods: int, candidate_pods: int) -> "BatchCalibration":
        """Calibrate means without bounds on stable's numbers of values and their sums of that shape.

        Counts stay as they are. With too few pods the autocorrelation is the arm's own.
        """
        scatter, alone = _Scatter.of(history), _Scatter.of_arm(history)
        measured = (scatter.pods >= 2).sum(axis=0) >= FEWEST_INTERVALS
        own = (alone.pods >= 1).sum(axis=0) >= FEWEST_INTERVALS
        floor = QUANTILE * scatter.deviation * sqrt(1 / candidate_pods + 1 / stable_pods)
        correlation = np.where(measured, scatter.autocorrelation, np.where(own, alone.autocorrelation, 0.0))
        bounded = np.minimum(correlation, _LARGEST_AUTOCORRELATION)
        batches = np.ceil(_AUTOCORRELATION_TIMES * (1.0 + bounded) / (1.0 - bounded) - 1e-9)
        runs = history.total.shape[-1]
        return cls(np.zeros(runs), np.where(measured, floor, 0.0), 1.0, np.where(bounded > 0.0, batches, 1.0))

    @classmethod
    def of_buckets(cls, history: PodCounts, *, stable_pods: int, candidate_pods: int) -> "BatchCalibration":
        """Calibrate histograms: the worst over the edges with enough requests on both sides of them."""
        parts = np.cumsum(_buckets(history)[::-1], axis=0)[-2::-1]
        return cls._worst(parts, history, stable_pods=stable_pods, candidate_pods=candidate_pods)

    @classmethod
    def of_classes(cls, history: PodCounts, *, stable_pods: int, candidate_pods: int) -> "BatchCalibration":
        """Calibrate distributions: the worst over the cells with enough requests inside and outside of them."""
        return cls._worst(_buckets(history), history, stable_pods=stable_pods, candidate_pods=candidate_pods)

    @classmethod
    def _worst(cls, parts: Floats, history: PodCounts, *, stable_pods: int, candidate_pods: int) -> "BatchCalibration":
        worst = cls.nothing(history.total.shape[-1])
        measured = np.zeros(worst.intraclass.size, dtype=bool)
        for part in parts:
            rarer = np.minimum(part.sum(axis=(0, 1)), (history.total - part).sum(axis=(0, 1)))
            counts = PodCounts(history.total, part)
            found = cls.of_shares(counts, stable_pods=stable_pods, candidate_pods=candidate_pods)
            votes = (rarer >= _FEWEST_OUTCOMES) & ~found.assumed
            measured |= votes
            worst = cls(
                np.where(votes, np.fmax(worst.intraclass, found.intraclass), worst.intraclass),
                np.where(votes, np.maximum(worst.noise_floor, found.noise_floor), worst.noise_floor),
                1.0,
                worst.batches,
            )
        return cls(np.where(measured, worst.intraclass, np.nan), worst.noise_floor, 1.0, worst.batches)

    @property
    def assumed(self) -> Flags:
        """In which runs the design effect is only assumed."""
        return np.isnan(self.intraclass)

    def effective(self, counts: PodCounts) -> PodCounts:
        """What the pods' counts are worth together, per run: each deflated by its own design effect (F5)."""
        effect = 1.0 + np.maximum(counts.total - self.alone, 0.0) * self.intraclass
        effect = np.where(np.isnan(effect), PRIOR_DESIGN_EFFECT, effect)
        worth = PodCounts(counts.total / effect, counts.bad / effect).summed()
        if counts.buckets is None:
            return worth
        # As the record does it: an arm's buckets are worth what its requests are.
        buckets, total = counts.buckets.sum(axis=-2), counts.total.sum(axis=-2)
        return replace(worth, buckets=buckets * worth.total / np.where(total > 0.0, total, 1.0))

    def keep(self, runs: Flags) -> "BatchCalibration":
        """Only these runs."""
        return BatchCalibration(self.intraclass[runs], self.noise_floor[runs], self.alone, self.batches[runs])


def _buckets(history: PodCounts) -> Floats:
    return history.total[np.newaxis] if history.buckets is None else history.buckets


@dataclass(frozen=True, slots=True, eq=False)
class _Scatter:
    """``scatter`` on arrays. Of shape (intervals, pods, runs) are ``counts``, ``beyond`` and ``active``.

    Attributes:
        counts: size of each cell, 0 in intervals with fewer than two active pods.
        beyond: amount of each cell beyond what the level of its interval gives it.
        active: whether the pod had anything to do, in an interval that counts.
        size: of all pods together, per interval and run.
        level: amount by size of all pods together, per interval and run.
    """

    counts: Floats
    beyond: Floats
    active: Flags
    size: Floats
    level: Floats

    @classmethod
    def of(cls, history: PodCounts) -> "_Scatter":
        usable = (history.total > 0.0).sum(axis=1, keepdims=True) >= 2
        active: Flags = (history.total > 0.0) & usable
        counts, bad = np.where(active, history.total, 0.0), np.where(active, history.bad, 0.0)
        size = counts.sum(axis=1)
        level = bad.sum(axis=1) / np.where(size > 0.0, size, 1.0)
        return cls(counts, bad - counts * level[:, np.newaxis], active, size, level)

    @classmethod
    def of_arm(cls, history: PodCounts) -> "_Scatter":
        """The arm as if it were one pod, set against its mean over all intervals."""
        arm = PodCounts(history.total.sum(axis=1, keepdims=True), history.bad.sum(axis=1, keepdims=True))
        active: Flags = arm.total > 0.0
        size, amount = arm.total.sum(axis=0), np.where(active, arm.bad, 0.0).sum(axis=0)
        level = np.broadcast_to(amount / np.where(size > 0.0, size, 1.0), arm.total[:, 0].shape)
        beyond = np.where(active, arm.bad - arm.total * level[:, np.newaxis], 0.0)
        return cls(arm.total, beyond, active, arm.total[:, 0], level)

    @property
    def squares(self) -> Floats:
        """Squares of what lies beyond the level, each by the size of its cell, per interval and run."""
        squares: Floats = (self.beyond**2 / np.where(self.active, self.counts, 1.0)).sum(axis=1)
        return squares

    @property
    def pods(self) -> Floats:
        """Active pods per interval and run."""
        pods: Floats = self.active.sum(axis=1).astype(np.float64)
        return pods

    def intraclass(self, of_one: Floats, *, alone: float) -> Floats:
        """Upper 95 % bound of ρ, given the variance of one unit of size; NaN where history says too little."""
        degrees = np.maximum(self.pods - 1.0, 0.0)
        alike = (self.counts**2).sum(axis=1) / np.where(self.size > 0.0, self.size, 1.0)
        unit = (degrees * of_one).sum(axis=0)
        known = (unit > 0.0) & ((self.pods >= 2).sum(axis=0) >= FEWEST_INTERVALS)
        unit = np.where(known, unit, 1.0)
        between = ((self.size - alike - degrees * alone) * of_one).sum(axis=0)
        outcomes = np.where(known, (self.size * of_one).sum(axis=0), 1.0)
        error = np.sqrt((2.0 + self.pods.sum(axis=0) / outcomes) / np.maximum(degrees.sum(axis=0), 1.0))
        correlation = np.minimum(self.autocorrelation, _LARGEST_AUTOCORRELATION)
        factor = self.squares.sum(axis=0) / unit
        factor = factor * (1.0 + QUANTILE * error) * (1.0 + correlation) / (1.0 - correlation)
        beyond = np.maximum(factor - 1.0, 0.0)
        size = np.maximum(between / unit, 0.0)
        intraclass: Floats = np.where(known, beyond / np.where(size > 0.0, size, 1.0), np.nan)
        return intraclass

    @property
    def deviation(self) -> Floats:
        """Standard deviation of the pods' lasting differences (σ of F12)."""
        sizes, beyond = self.counts.sum(axis=0), self.beyond.sum(axis=0)
        pods = (sizes > 0.0).sum(axis=0)
        total = np.maximum(sizes.sum(axis=0), 1e-300)
        degrees = np.maximum(self.pods - 1.0, 0.0).sum(axis=0) - (pods - 1)
        lasting = (beyond**2 / np.where(sizes > 0.0, sizes, 1.0)).sum(axis=0)
        passing = np.maximum(self.squares.sum(axis=0) - lasting, 0.0)
        between = total - (sizes**2).sum(axis=0) / total
        known = (degrees >= 1) & (between > 0.0)
        excess = lasting - (pods - 1) * passing / np.where(known, degrees, 1.0)
        variance = np.where(known, np.maximum(excess / np.where(known, between, 1.0), 0.0), 0.0)
        deviation: Floats = np.sqrt(variance)
        return deviation

    @property
    def autocorrelation(self) -> Floats:
        """How alike a pod's deviations in neighbouring intervals are (F6b); 0 where that could be chance."""
        sizes = self.counts.sum(axis=0)
        own = self.beyond.sum(axis=0) / np.where(sizes > 0.0, sizes, 1.0)
        values = (self.beyond - self.counts * own) / np.sqrt(np.where(self.active, self.counts, 1.0))
        both = self.active[1:] & self.active[:-1]
        products = np.where(both, values[1:] * values[:-1], 0.0).sum(axis=(0, 1))
        pairs, cells = both.sum(axis=(0, 1)), self.active.sum(axis=(0, 1))
        scale = (values**2).sum(axis=(0, 1)) / np.maximum(cells, 1)
        free = np.where(self.pods >= 1, np.maximum(self.pods - 1.0, 1.0), 0.0).sum(axis=0) / np.maximum(cells, 1)
        known = (pairs > 0) & (scale > 0.0)
        found = products / np.maximum(pairs, 1) / np.where(known, scale, 1.0)
        chance = QUANTILE / np.sqrt(np.where(known, pairs * free, 1.0))
        correlation: Floats = np.where(known & (found > chance), np.minimum(found, 1.0), 0.0)
        return correlation
