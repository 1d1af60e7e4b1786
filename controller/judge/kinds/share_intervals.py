"""Confidence intervals for the differences of several shares, of which whichever is shown holds (F9, F8)."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from controller.judge._process import Window
from controller.judge.kinds.interval import DifferenceInterval
from controller.judge.kinds.ratio import Arm
from controller.judge.numbers.vector import BatchWindow, Floats

__all__ = ["ShareIntervals"]


class _Noted(NamedTuple):
    """A window, the guesses for stable's shares that were made before it, and what was noted before."""

    before: "_Noted | None"
    window: BatchWindow
    rates: Floats


@dataclass(slots=True, eq=False)
class ShareIntervals:
    """The intervals after some windows; ``update`` returns the next ones and leaves these as they are.

    The share that is shown is picked by the data. So each end of each interval has the error α over the number of
    shares: then all of them hold together with the error that one alone would have. A window is only noted; a share's
    interval is computed when it is first read, and kept up from then on. What was read makes no difference but speed.

    Attributes:
        margin: what the grid of differences is finest around.
        alpha: error probability of each end of each interval.
    """

    margin: float
    alpha: float
    _noted: _Noted | None = field(default=None, repr=False)
    _read: dict[int, DifferenceInterval] = field(default_factory=dict, repr=False)

    @classmethod
    def start(cls, margin: float, alpha: float, *, shares: int) -> "ShareIntervals":
        """Nothing known; α is the error of each end, over all shares."""
        return cls(margin, alpha / shares)

    def update(self, window: BatchWindow, rates: Floats) -> "ShareIntervals":
        """The intervals after one more window; ``rates`` guesses stable's shares, made before it."""
        noted = _Noted(self._noted, window, rates)
        read = {share: _after(interval, noted, share) for share, interval in self._read.items()}
        return ShareIntervals(self.margin, self.alpha, noted, read)

    def bounds(self, share: int) -> tuple[float, float]:
        """Lower and upper bound of the candidate's share minus stable's, in [−1, 1]."""
        if share not in self._read:
            self._read[share] = self._folded(share)
        with np.errstate(under="ignore"):  # a bet that has lost everything is 0
            return self._read[share].bounds

    def _folded(self, share: int) -> DifferenceInterval:
        windows, noted = [], self._noted
        while noted is not None:
            windows.append(noted)
            noted = noted.before
        interval = DifferenceInterval.start(self.margin, self.alpha)
        for each in reversed(windows):
            interval = _after(interval, each, share)
        return interval


def _after(interval: DifferenceInterval, noted: _Noted, share: int) -> DifferenceInterval:
    counts = noted.window
    stable = Arm(float(counts.stable_total[share]), float(counts.stable_bad[share]))
    candidate = Arm(float(counts.candidate_total[share]), float(counts.candidate_bad[share]))
    window = Window(stable, candidate)
    return interval.update(window, float(noted.rates[share])) if window.comparable else interval
