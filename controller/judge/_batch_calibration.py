"""Calibration of many runs side by side from the simulated history of stable's pods (F5, F12)."""

from dataclasses import dataclass
from math import sqrt

import numpy as np

from controller.judge._vector import Flags, Floats

__all__ = ["BatchCalibration", "PodCounts"]

PRIOR_DESIGN_EFFECT = 2.0
"""Assumed where the history is too short to measure one."""

_FEWEST_INTERVALS = 50
_QUANTILE = 1.645


@dataclass(frozen=True, slots=True, eq=False)
class PodCounts:
    """Requests and bad ones of an arm's pods; the last axis is the run, the one before it the pod."""

    total: Floats
    bad: Floats


@dataclass(frozen=True, slots=True, eq=False)
class BatchCalibration:
    """What stable's history says about the noise of its pods, per run.

    Attributes:
        intraclass: correlation of the requests of one pod in one interval (ρ of F5); NaN where the prior applies.
        noise_floor: the difference of the arms' rates that their pods make by chance (F12).
        total: effective requests in the history.
        bad: effective bad ones among them.
    """

    intraclass: Floats
    noise_floor: Floats
    total: Floats
    bad: Floats

    @classmethod
    def measured(cls, history: PodCounts, *, stable_pods: int, candidate_pods: int) -> "BatchCalibration":
        """Calibrate on counts of shape (intervals, pods, runs); the prior where there are too few of them."""
        intervals, pods, runs = history.total.shape
        if intervals < _FEWEST_INTERVALS or pods < 2:
            unknown = np.full(runs, np.nan)
            total, bad = (counts.sum(axis=(0, 1)) / PRIOR_DESIGN_EFFECT for counts in (history.total, history.bad))
            return cls(intraclass=unknown, noise_floor=np.zeros(runs), total=total, bad=bad)
        intraclass = _intraclass(history)
        calibration = cls(
            intraclass=intraclass,
            noise_floor=_noise_floor(history) * sqrt(1 / candidate_pods + 1 / stable_pods) * _QUANTILE,
            total=np.zeros(runs),
            bad=np.zeros(runs),
        )
        effective = calibration.effective(history)
        return cls(
            intraclass=intraclass,
            noise_floor=calibration.noise_floor,
            total=effective.total.sum(axis=(0, 1)),
            bad=effective.bad.sum(axis=(0, 1)),
        )

    def keep(self, runs: Flags) -> "BatchCalibration":
        """Only these runs."""
        return BatchCalibration(self.intraclass[runs], self.noise_floor[runs], self.total[runs], self.bad[runs])

    def effective(self, counts: PodCounts) -> PodCounts:
        """Each pod's counts, deflated by the design effect of that many requests."""
        measured = 1.0 + np.maximum(counts.total - 1.0, 0.0) * self.intraclass
        effect = np.where(np.isnan(self.intraclass), PRIOR_DESIGN_EFFECT, measured)
        return PodCounts(counts.total / effect, counts.bad / effect)


def _intraclass(history: PodCounts) -> Floats:
    """ρ at its upper 95 % bound, from the scatter of the pods within each interval."""
    total, bad = history.total, history.bad
    intervals, pods, _ = total.shape
    rate = bad.sum(axis=(0, 1)) / np.maximum(total.sum(axis=(0, 1)), 1.0)
    of_interval = bad.sum(axis=1) / np.maximum(total.sum(axis=1), 1.0)
    squares = (bad - total * of_interval[:, np.newaxis, :]) ** 2
    variance = np.maximum(total, 1.0) * np.maximum(rate * (1.0 - rate), 1e-300)
    degrees = intervals * (pods - 1)
    scatter = np.where(rate * (1.0 - rate) > 0.0, (squares / variance).sum(axis=(0, 1)) / degrees, 1.0)
    upper = scatter * (1.0 + _QUANTILE * sqrt(2.0 / degrees))
    mean = total.mean(axis=(0, 1))
    intraclass: Floats = np.clip((upper - 1.0) / np.maximum(mean - 1.0, 1.0), 0.0, 1.0)
    return intraclass


def _noise_floor(history: PodCounts) -> Floats:
    """Standard deviation of the pods' own rates, what sampling alone would make taken off."""
    total, bad = history.total.sum(axis=0), history.bad.sum(axis=0)
    rates = bad / np.maximum(total, 1.0)
    of_interval = history.bad / np.maximum(history.total, 1.0)
    within = of_interval - of_interval.mean(axis=1, keepdims=True)
    sampling = within.var(axis=0, ddof=1).mean(axis=0) / history.total.shape[0]
    spread: Floats = np.sqrt(np.maximum(rates.var(axis=0, ddof=1) - sampling, 0.0))
    return spread
