"""The judge over recorded windows: the same trial, with its evidence after each window kept."""

from collections.abc import Mapping
from dataclasses import dataclass

from controller.judge._evidence import Evidence, RatioTest
from controller.judge._ratio import Window
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
    """

    tests: tuple[RatioTest, ...]
    alpha: float
    windows: tuple[Mapping[str, Window | None], ...]
    min_requests: int = 0

    def replay(self) -> "Replay":
        """Judge the windows one after another; those after a decision too."""
        trial = Trial.start(self.tests, alpha=self.alpha, min_requests=self.min_requests)
        history: list[Trial] = []
        for window in self.windows:
            trial = trial.update(window)
            history.append(trial)
        traces = {test.name: _trace([step.metrics[test.name] for step in history]) for test in self.tests}
        return Replay(case=self, trial=trial, traces=traces)


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
    """The trial after the last window, and how each metric's evidence got there."""

    case: Case
    trial: Trial
    traces: Mapping[str, Trace]


def _trace(steps: list[Evidence]) -> Trace:
    return Trace(
        worse=tuple(step.log_worse for step in steps),
        restart=tuple(step.log_restart for step in steps),
        catastrophic=tuple(step.log_catastrophic for step in steps),
        not_worse=tuple(step.log_not_worse for step in steps),
        combined=tuple(step.log_combined for step in steps),
    )
