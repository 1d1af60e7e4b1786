"""Rate metrics of many runs side by side: ``RateTest`` and ``RateProcess`` with arrays (F2)."""

from dataclasses import dataclass, replace

import numpy as np

from controller.judge._process import MetricTest
from controller.judge.kinds.ratio import MARGIN_FRACTIONS, ODDS_RATIOS
from controller.judge.numbers.vector import BatchWindow, Flags, Floats, RestartBatch, log_means, rate_log_factors

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
        odds = np.zeros((len(ODDS_RATIOS), self.runs))
        return RateBatch(
            _line=1.0 + self.margins,
            _far=1.0 + _CATASTROPHE * self.margins,
            _worse=odds,
            _restart=RestartBatch.start(len(ODDS_RATIOS), self.metric.horizon, runs=self.runs),
            _catastrophic=odds,
            _not_worse=np.zeros((len(MARGIN_FRACTIONS), self.runs)),
            _better=odds if self.metric.must_be_better else odds[:0],
        )


@dataclass(frozen=True, slots=True, eq=False)
class RateBatch:
    """The evidence processes of one rate metric in every run; see ``BatchProcess``. Each array holds a row per bet."""

    _line: Floats
    _far: Floats
    _worse: Floats
    _restart: RestartBatch
    _catastrophic: Floats
    _not_worse: Floats
    _better: Floats

    def update(self, window: BatchWindow) -> "RateBatch":
        """Every process after the window, whose totals are exposures and whose bad ones are events."""
        worse = rate_log_factors(window, lines=self._line, alternatives=self._line * _ODDS)
        catastrophic = rate_log_factors(window, lines=self._far, alternatives=self._far * _ODDS)
        not_worse = rate_log_factors(window, lines=self._line, alternatives=self._line**_FRACTIONS)
        better = self._better
        if len(better):
            even = np.ones_like(self._line)
            better = better + rate_log_factors(window, lines=even, alternatives=even / _ODDS)
        return replace(
            self,
            _worse=self._worse + worse,
            _restart=self._restart.update(worse, window.comparable),
            _catastrophic=self._catastrophic + catastrophic,
            _not_worse=self._not_worse + not_worse,
            _better=better,
        )

    def keep(self, runs: Flags) -> "RateBatch":
        """Only these runs."""
        return RateBatch(
            _line=self._line[runs],
            _far=self._far[runs],
            _worse=self._worse[:, runs],
            _restart=self._restart.keep(runs),
            _catastrophic=self._catastrophic[:, runs],
            _not_worse=self._not_worse[:, runs],
            _better=self._better[:, runs],
        )

    @property
    def log_worse(self) -> Floats:
        """Log evidence that the candidate's rate is above the line: the plain process."""
        return log_means(self._worse)

    @property
    def log_restart(self) -> Floats:
        """The same bets, mixed over the window in which it became worse."""
        return self._restart.log_value

    @property
    def log_catastrophic(self) -> Floats:
        """Log evidence that the candidate's rate is above 1 + 8δ times stable's."""
        return log_means(self._catastrophic)

    @property
    def log_not_worse(self) -> Floats:
        """Log evidence that the candidate's rate is below the line."""
        return log_means(self._not_worse)

    @property
    def log_better(self) -> Floats:
        """Log evidence that the candidate's rate is below stable's; 0 where that is not asked."""
        return log_means(self._better) if len(self._better) else np.zeros(self._line.size)

    @property
    def log_harm(self) -> Floats:
        """Nothing: harm is a share of requests, and a rate is none."""
        return np.zeros((0, self._line.size))

    @property
    def decisive(self) -> Flags:
        """Always."""
        return np.ones(self._line.size, dtype=bool)
