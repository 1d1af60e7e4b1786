"""A rollout's policy on simulated traffic, many runs at once: calibrate, judge, climb the steps, end.

The rules are those of the operator: a step is left after ``min_windows`` when the evidence allows the next one, the
last one by a promotion, and ``Worse`` ends the run at any time. What is not simulated: warm-up, windows lost while the
weight changes, pods that come and go, pods of the candidate that scatter more than stable's, silence, shares of the
requests other than the weights.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from controller.api.verdicts import Advance, Kind
from controller.cli.simulated_metric import PlannedMetric, SimulatedMetric
from controller.judge.batch import Flags, Floats, TrialBatch

__all__ = ["Ending", "Outcomes", "Plan", "simulate"]

Numbers = NDArray[np.int64]


class Ending:
    """How a run ended, as a number for arrays."""

    UNDECIDED = 0
    ROLLED_BACK = 1
    PROMOTED = 2


@dataclass(frozen=True)
class Plan:
    """Everything that a run rests on; plain numbers, so that it can be sent to another process.

    Attributes:
        metrics: what is compared.
        alpha: error probability of the epoch, per side.
        steps: percent of requests for the candidate.
        advance: when the next step may be entered.
        min_windows: windows in each step, at least.
        min_requests: raw requests per arm and gating metric before a promotion.
        windows: windows after which a run ends undecided.
        history: windows of stable before the first, for the calibration.
    """

    metrics: tuple[PlannedMetric, ...]
    alpha: float
    steps: tuple[int, ...]
    advance: Advance
    min_windows: int
    min_requests: int
    windows: int
    history: int


@dataclass(frozen=True, eq=False)
class Outcomes:
    """How each run ended.

    Attributes:
        endings: an ``Ending`` per run.
        windows: windows until then.
        requests: the candidate's requests until then, of the metric that sees most; pairs where there is no other.
        steps: the step in which it ended, from 1.
        margins: effective margin per metric and run.
    """

    endings: Numbers
    windows: Numbers
    requests: Floats
    steps: Numbers
    margins: Mapping[str, Floats]

    @classmethod
    def joined(cls, parts: Sequence["Outcomes"]) -> "Outcomes":
        """Those of all parts, in their order."""
        return cls(
            endings=np.concatenate([part.endings for part in parts]),
            windows=np.concatenate([part.windows for part in parts]),
            requests=np.concatenate([part.requests for part in parts]),
            steps=np.concatenate([part.steps for part in parts]),
            margins={name: np.concatenate([part.margins[name] for part in parts]) for name in parts[0].margins},
        )


def simulate(plan: Plan, *, runs: int, seed: np.random.SeedSequence) -> Outcomes:
    """Follow the plan in so many runs; the same seed gives the same outcomes."""
    rollouts = _Rollouts(plan, runs=runs, rng=np.random.default_rng(seed))
    for number in range(plan.windows):
        if not rollouts.going:
            break
        rollouts.live_through(number)
    return rollouts.outcomes()


class _Rollouts:
    """All runs of a plan; those that ended leave the arrays."""

    def __init__(self, plan: Plan, *, runs: int, rng: np.random.Generator) -> None:
        self._plan = plan
        self._metrics = [
            SimulatedMetric(each, alpha=plan.alpha, history=plan.history, runs=runs, rng=rng) for each in plan.metrics
        ]
        self._busiest = max(plan.metrics, key=_served).test.name
        tests = [each.test for each in self._metrics]
        demands = {each.name: each.demands for each in self._metrics}
        self._trial = TrialBatch.start(tests, alpha=plan.alpha, min_requests=plan.min_requests, demands=demands)
        self._margins = {test.metric.name: test.margins for test in tests}
        self._who = np.arange(runs)
        self._step = np.zeros(runs, dtype=np.int64)
        self._in_step = np.zeros(runs, dtype=np.int64)
        self._requests = np.zeros(runs)
        self._ended = Outcomes(
            endings=np.full(runs, Ending.UNDECIDED),
            windows=np.full(runs, plan.windows),
            requests=np.zeros(runs),
            steps=np.zeros(runs, dtype=np.int64),
            margins=self._margins,
        )

    @property
    def going(self) -> bool:
        """Whether a run is still going on."""
        return self._who.size > 0

    def live_through(self, number: int) -> None:
        """Serve, count and judge one window; then step, promote or take back."""
        weights = np.array(self._plan.steps, dtype=np.float64)[self._step]
        windows = {each.name: each.window(number, weights) for each in self._metrics}
        self._trial = self._trial.update(windows)
        self._requests += windows[self._busiest].candidate_requests
        self._in_step += 1
        promoted = self._climb()
        ending = np.where(self._trial.worse, Ending.ROLLED_BACK, np.where(promoted, Ending.PROMOTED, Ending.UNDECIDED))
        self._end(ending, number + 1)

    def _climb(self) -> Flags:
        """Enter the next step where it is allowed; returns which runs promote."""
        plan, trial = self._plan, self._trial
        ready = (self._in_step >= plan.min_windows) & ~trial.worse
        last = self._step == len(plan.steps) - 1
        promoted: Flags = ready & last & trial.not_worse_now
        entered = np.zeros_like(ready)
        for following in range(1, len(plan.steps)):
            here = ready & (self._step == following - 1)
            if here.any():
                entered |= here & trial.may_enter(following, advance=plan.advance)
        self._step = self._step + entered
        self._in_step = np.where(entered, 0, self._in_step)
        return promoted

    def _end(self, ending: Numbers, windows: int) -> None:
        """Note the runs that ended, and drop them."""
        over = ending != Ending.UNDECIDED
        if not over.any():
            return
        self._note(over, ending[over], windows)
        going = ~over
        self._trial = self._trial.keep(going)
        for metric in self._metrics:
            metric.keep(going)
        self._who, self._step, self._in_step, self._requests = (
            each[going] for each in (self._who, self._step, self._in_step, self._requests)
        )

    def _note(self, runs: Flags, ending: Numbers | int, windows: int) -> None:
        who = self._who[runs]
        self._ended.endings[who] = ending
        self._ended.windows[who] = windows
        self._ended.requests[who] = self._requests[runs]
        self._ended.steps[who] = self._step[runs] + 1

    def outcomes(self) -> Outcomes:
        """How every run ended; those that still go on are undecided."""
        self._note(np.ones(self._who.size, dtype=bool), Ending.UNDECIDED, self._plan.windows)
        return self._ended


def _served(planned: PlannedMetric) -> tuple[bool, float]:
    """Which metric tells the requests that the candidate serves: pairs are copies, and queries count nothing."""
    return planned.traffic.kind not in (Kind.PAIRED, Kind.QUERY), planned.traffic.requests
