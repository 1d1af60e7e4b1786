"""The judge over recorded windows: the same trial, with its evidence after each window kept."""

from collections.abc import Mapping
from dataclasses import dataclass

from controller.api.verdicts import Verdict
from controller.judge._evidence import Evidence
from controller.judge._process import MetricTest, WindowLike
from controller.judge._split import SampleRatio
from controller.judge._trial import Trial

__all__ = ["Case", "Replay", "Trace"]


@dataclass(frozen=True)
class Case:
    """All that a verdict rests on.

    Attributes:
        tests: one per metric, in the order of the report.
        alpha: error probability per side.
        windows: what each metric saw, window by window; None or a missing name: skipped.
        min_requests: raw requests per arm and gating metric before anything is ``NotWorse``.
        weights: desired percent per window; None, or no entry, where the shares are not to be checked.
    """

    tests: tuple[MetricTest, ...]
    alpha: float
    windows: tuple[Mapping[str, WindowLike | None], ...]
    min_requests: int = 0
    weights: tuple[float | None, ...] = ()

    def replay(self) -> "Replay":
        """Judge the windows one after another; those after a decision too."""
        trial = Trial.start(self.tests, alpha=self.alpha, min_requests=self.min_requests)
        history: list[Trial] = []
        for window in self.windows:
            trial = trial.update(window)
            history.append(trial)
        traces = {test.name: _trace([step.metrics[test.name] for step in history]) for test in self.tests}
        return Replay(case=self, trial=trial, traces=traces, sample_ratio=self._sample_ratio())

    def _sample_ratio(self) -> SampleRatio:
        """The shares in the windows of the first metric, whose requests stand for all.

        A window in which an arm had none is no data rather than a wrong share.
        """
        ratio = SampleRatio()
        for weight, window in zip(self.weights, self.windows, strict=False):
            seen = window.get(self.tests[0].name)
            if seen is not None and seen.comparable:
                requests = seen.exposures
                ratio = ratio.update(weight=weight, stable=requests.stable, candidate=requests.candidate)
        return ratio


@dataclass(frozen=True)
class Trace:
    """Natural logarithm of a metric's evidence after each window; a skipped window repeats the last."""

    worse: tuple[float, ...]
    restart: tuple[float, ...]
    catastrophic: tuple[float, ...]
    not_worse: tuple[float, ...]
    combined: tuple[float, ...]


@dataclass(frozen=True)
class Replay:
    """The trial after the last window, how each metric's evidence got there, and the arms' shares."""

    case: Case
    trial: Trial
    traces: Mapping[str, Trace]
    sample_ratio: SampleRatio

    @property
    def verdict(self) -> Verdict:
        """The trial's; but what is not ``Worse`` is ``Invalid`` while the arms' shares are not the desired ones."""
        if self.sample_ratio.mismatched and self.trial.verdict is not Verdict.WORSE:
            return Verdict.INVALID
        return self.trial.verdict

    @property
    def decided_at(self) -> int | None:
        """Number (from 0) of the window that decided; None where nothing is decided."""
        return None if self.verdict is Verdict.INVALID else self.trial.decided_at


def _trace(steps: list[Evidence]) -> Trace:
    return Trace(
        worse=tuple(step.log_worse for step in steps),
        restart=tuple(step.log_restart for step in steps),
        catastrophic=tuple(step.log_catastrophic for step in steps),
        not_worse=tuple(step.log_not_worse for step in steps),
        combined=tuple(step.log_combined for step in steps),
    )
