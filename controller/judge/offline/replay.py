"""The judge over recorded windows: the same trial, with its evidence after each window kept."""

from collections.abc import Mapping
from dataclasses import dataclass

from controller.api.verdicts import ShareCheck, Verdict
from controller.judge._evidence import Evidence
from controller.judge._process import MetricTest, WindowLike
from controller.judge._trial import Trial
from controller.judge.checks.split import Split
from controller.judge.checks.validity import Circumstances

__all__ = ["Case", "Replay", "Trace"]


@dataclass(frozen=True)
class Case:
    """All that a verdict rests on.

    Attributes:
        tests: one per metric, in the order of the report.
        alpha: error probability per side.
        windows: what each metric saw, window by window; None or a missing name: skipped.
        min_requests: raw requests per arm and gating metric before anything is ``NotWorse``.
        weights: desired percent per window; None, or no entry, where the shares are not to be checked. The requests of
            the first metric stand for all.
        circumstances: what else was seen, window by window; in place of ``weights`` where more is known.
        share_check: how the arms' shares of the requests are held against the weight.
    """

    tests: tuple[MetricTest, ...]
    alpha: float
    windows: tuple[Mapping[str, WindowLike | None], ...]
    min_requests: int = 0
    weights: tuple[float | None, ...] = ()
    circumstances: tuple[Circumstances, ...] = ()
    share_check: ShareCheck = ShareCheck.INDEPENDENT

    def replay(self) -> "Replay":
        """Judge the windows one after another; those after a decision too."""
        trial = Trial.start(self.tests, alpha=self.alpha, min_requests=self.min_requests, share_check=self.share_check)
        steps: dict[str, list[tuple[float, ...]]] = {test.name: [] for test in self.tests}
        for number, window in enumerate(self.windows):
            trial = trial.update(window, self._circumstances(number))
            for name, evidence in trial.metrics.items():
                steps[name].append(_logs(evidence))
        traces = {name: Trace(*zip(*each, strict=True)) if each else _NO_TRACE for name, each in steps.items()}
        return Replay(case=self, trial=trial, traces=traces)

    def _circumstances(self, number: int) -> Circumstances:
        if number < len(self.circumstances):
            return self.circumstances[number]
        weight = self.weights[number] if number < len(self.weights) else None
        window = self.windows[number].get(self.tests[0].name)
        if weight is None or window is None:
            return Circumstances()
        requests = window.exposures
        return Circumstances(split=Split(weight, requests.stable, requests.candidate))


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

    @property
    def verdict(self) -> Verdict:
        """The trial's."""
        return self.trial.verdict

    @property
    def decided_at(self) -> int | None:
        """Number (from 0) of the window that decided; None where nothing is decided."""
        return self.trial.decided_at


def _logs(evidence: Evidence) -> tuple[float, ...]:
    """What a trace keeps of a window, in its order."""
    return (
        evidence.log_worse,
        evidence.log_restart,
        evidence.log_catastrophic,
        evidence.log_not_worse,
        evidence.log_combined,
    )


_NO_TRACE = Trace((), (), (), (), ())
