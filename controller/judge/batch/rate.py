"""Rate metrics of many runs side by side: ``RateTest`` and ``RateProcess`` with arrays (F2)."""

from dataclasses import dataclass, replace

import numpy as np

from controller.judge._process import MetricTest
from controller.judge.batch.sides import SidedBatch, SidesBatch
from controller.judge.kinds.ratio import MARGIN_FRACTIONS, ODDS_RATIOS
from controller.judge.numbers.vector import BatchWindow, Flags, Floats, rate_log_factors

__all__ = ["RateBatch", "RateBatchTest"]

_CATASTROPHE = 8.0
_ODDS = np.array(ODDS_RATIOS)[:, np.newaxis]
_FRACTIONS = np.array(MARGIN_FRACTIONS)[:, np.newaxis]


@dataclass(frozen=True, eq=False)
class RateBatchTest:
    """What is to be tested about one rate metric in every run.

    Attributes:
        metric: what is the same in all runs.
        margins: effective relative margin per run, at least 0.
    """

    metric: MetricTest
    margins: Floats

    @property
    def runs(self) -> int:
        """How many runs there are."""
        return self.margins.size

    def process(self) -> "RateBatch":
        """Evidence 1 on every process of every run."""
        return RateBatch(
            _line=1.0 + self.margins,
            _far=1.0 + _CATASTROPHE * self.margins,
            _sides=SidesBatch.start(self.metric, runs=self.runs, up=len(ODDS_RATIOS), down=len(MARGIN_FRACTIONS)),
        )


@dataclass(frozen=True, eq=False)
class RateBatch(SidedBatch):
    """The evidence processes of one rate metric in every run; see ``BatchProcess``."""

    _line: Floats
    _far: Floats
    _sides: SidesBatch

    def update(self, window: BatchWindow) -> "RateBatch":
        """Every process after the window, whose totals are exposures and whose bad ones are events."""
        even, sides = np.ones_like(self._line), self._sides
        asked = len(sides.better) > 0
        after = sides.times(
            worse=rate_log_factors(window, lines=self._line, alternatives=self._line * _ODDS),
            catastrophic=rate_log_factors(window, lines=self._far, alternatives=self._far * _ODDS),
            not_worse=rate_log_factors(window, lines=self._line, alternatives=self._line**_FRACTIONS),
            better=rate_log_factors(window, lines=even, alternatives=even / _ODDS) if asked else sides.better,
            counted=window.comparable,
        )
        return replace(self, _sides=after)

    def keep(self, runs: Flags) -> "RateBatch":
        """Only these runs."""
        return RateBatch(_line=self._line[runs], _far=self._far[runs], _sides=self._sides.keep(runs))
