"""Ratio metrics of many runs side by side: ``RatioTest`` and ``RatioProcess`` with arrays (F1)."""

from dataclasses import dataclass, replace

import numpy as np

from controller.judge._process import MetricTest
from controller.judge.kinds.ratio import MARGIN_FRACTIONS, ODDS_RATIOS
from controller.judge.numbers.vector import (
    BatchWindow,
    Flags,
    Floats,
    RestartBatch,
    better_alternatives,
    log_factors,
    log_means,
    not_worse_alternatives,
    worse_alternatives,
)

__all__ = ["RatioBatch", "RatioBatchTest"]

_CATASTROPHE = 8.0
_LARGEST_HARM_MARGIN = 0.99


@dataclass(frozen=True, eq=False)
class RatioBatchTest:
    """What is to be tested about one ratio metric in every run.

    Attributes:
        metric: what is the same in all runs.
        margins: effective margin per run, in [0, 1).
        history_total: stable's effective requests before the epoch, per run; 0 for none.
        history_bad: bad ones among them.
    """

    metric: MetricTest
    margins: Floats
    history_total: Floats
    history_bad: Floats

    @property
    def runs(self) -> int:
        """How many runs there are."""
        return self.margins.size

    @property
    def catastrophic_margins(self) -> Floats:
        """Margin of the guard against disasters, per run."""
        known = self.history_total > 0.0
        rates = np.where(known, self.history_bad / np.where(known, self.history_total, 1.0), 0.5)
        margins: Floats = np.maximum(self.margins, np.minimum(_CATASTROPHE * self.margins, (1.0 - rates) / 2))
        return margins

    @property
    def harm_margins(self) -> tuple[Floats, ...]:
        """Difference of the rates that would use up the harm budget, per step, each with an entry per run."""
        budget = self.metric.harm_budget
        budgets = self.margins if budget is None else np.full_like(self.margins, budget)
        return tuple(np.minimum(budgets * 100 / step, _LARGEST_HARM_MARGIN) for step in self.metric.steps)

    def process(self) -> "RatioBatch":
        """Evidence 1 on every process of every run."""
        return RatioBatch.start(self)


@dataclass(frozen=True, slots=True, eq=False)
class RatioBatch:
    """The evidence processes of one ratio metric in every run; see ``BatchProcess``.

    Each array of logarithms holds a row per bet; ``_short`` holds the bets on "not worse", then those on the harm of
    each step.
    """

    _margins: Floats
    _worse: Floats
    _restart: RestartBatch
    _catastrophic: Floats
    _short: Floats
    _better: Floats
    _known_total: Floats
    _known_bad: Floats

    @classmethod
    def start(cls, test: RatioBatchTest) -> "RatioBatch":
        """Evidence 1 on every process of every run."""
        margins = (test.margins, test.catastrophic_margins, test.margins, *test.harm_margins)
        odds = np.zeros((len(ODDS_RATIOS), test.runs))
        return cls(
            _margins=np.stack(margins),
            _worse=odds,
            _restart=RestartBatch.start(len(ODDS_RATIOS), test.metric.horizon, runs=test.runs),
            _catastrophic=odds,
            _short=np.zeros(((len(margins) - 2) * len(MARGIN_FRACTIONS), test.runs)),
            _better=odds if test.metric.must_be_better else odds[:0],
            _known_total=test.history_total,
            _known_bad=test.history_bad,
        )

    def update(self, window: BatchWindow) -> "RatioBatch":
        """Every process after the window; all guesses rest on earlier windows alone."""
        counted, odds = window.comparable, len(ODDS_RATIOS)
        rates = (0.5 + self._known_bad) / (1.0 + self._known_total)
        factors = self._factors(window, rates)
        worse = factors[:odds]
        return replace(
            self,
            _worse=self._worse + worse,
            _restart=self._restart.update(worse, counted),
            _catastrophic=self._catastrophic + factors[odds : 2 * odds],
            _short=self._short + factors[2 * odds :],
            _better=self._better + _better_factors(window, rates) if len(self._better) else self._better,
            _known_total=self._known_total + np.where(counted, window.stable_total, 0.0),
            _known_bad=self._known_bad + np.where(counted, window.stable_bad, 0.0),
        )

    def _factors(self, window: BatchWindow, rates: Floats) -> Floats:
        """The window's e-value for every bet but those on "better", in one go: numpy's overhead is per call."""
        worse, catastrophic, *short = self._margins
        alternatives = np.concatenate(
            [
                worse_alternatives(rates, worse),
                worse_alternatives(rates, catastrophic),
                *(not_worse_alternatives(rates, margins) for margins in short),
            ]
        )
        sizes = [len(ODDS_RATIOS)] * 2 + [len(MARGIN_FRACTIONS)] * len(short)
        return log_factors(window, rates=rates, margins=self._margins.repeat(sizes, axis=0), alternatives=alternatives)

    def keep(self, runs: Flags) -> "RatioBatch":
        """Only these runs."""
        return RatioBatch(
            _margins=self._margins[:, runs],
            _worse=self._worse[:, runs],
            _restart=self._restart.keep(runs),
            _catastrophic=self._catastrophic[:, runs],
            _short=self._short[:, runs],
            _better=self._better[:, runs],
            _known_total=self._known_total[runs],
            _known_bad=self._known_bad[runs],
        )

    @property
    def log_worse(self) -> Floats:
        """Log evidence that the candidate is worse than the margin: the plain process."""
        return log_means(self._worse)

    @property
    def log_restart(self) -> Floats:
        """The same bets, mixed over the window in which it became worse."""
        return self._restart.log_value

    @property
    def log_catastrophic(self) -> Floats:
        """Log evidence that the candidate is worse by the catastrophic margin."""
        return log_means(self._catastrophic)

    @property
    def log_not_worse(self) -> Floats:
        """Log evidence that the candidate is not worse than the margin."""
        return log_means(self._short[: len(MARGIN_FRACTIONS)])

    @property
    def log_better(self) -> Floats:
        """Log evidence that the candidate's rate is below stable's; 0 where that is not asked."""
        return log_means(self._better) if len(self._better) else np.zeros(self._known_total.size)

    @property
    def log_harm(self) -> Floats:
        """Log evidence that the harm stays within the budget; a row per step."""
        size = len(MARGIN_FRACTIONS)
        rows = [log_means(self._short[first : first + size]) for first in range(size, len(self._short), size)]
        return np.stack(rows) if rows else np.zeros((0, self._known_total.size))

    @property
    def decisive(self) -> Flags:
        """From the first window on."""
        return np.ones(self._known_total.size, dtype=bool)


def _better_factors(window: BatchWindow, rates: Floats) -> Floats:
    alternatives = better_alternatives(rates)
    return log_factors(window, rates=rates, margins=np.zeros_like(alternatives), alternatives=alternatives)
