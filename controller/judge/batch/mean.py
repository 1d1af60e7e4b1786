"""Means of many runs side by side: ``MeanProcess`` and ``Agreement`` with arrays (F3)."""

from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from controller.judge._process import MetricTest
from controller.judge.kinds.mean import ROUNDING, log_one_sided
from controller.judge.kinds.mean_process import start_points
from controller.judge.numbers.vector import BatchWindow, Flags, Floats

__all__ = ["AgreementBatch", "MeanBatch", "MeanBatchTest"]

_CATASTROPHE = 8.0
_FEWEST = 5


@dataclass(frozen=True, eq=False)
class MeanBatchTest:
    """What is to be tested about one mean without bounds in every run.

    Attributes:
        metric: what is the same in all runs.
        margins: effective margin per run, in the unit of the mean.
        batches: windows averaged into one difference, per run (F6b).
    """

    metric: MetricTest
    margins: Floats
    batches: Floats

    @property
    def runs(self) -> int:
        """How many runs there are."""
        return self.margins.size

    def process(self) -> "MeanBatch":
        """Evidence 1 on every process of every run."""
        return MeanBatch.start(self)


@dataclass(frozen=True, slots=True, eq=False)
class _Moments:
    """Size, mean and squared deviations of the series that began at each start; rows by runs."""

    size: Floats
    mean: Floats
    squares: Floats

    def add(self, value: Floats, blur: Floats, *, where: Flags) -> "_Moments":
        """With one more value where flagged."""
        size = self.size + where
        gap = value - self.mean
        mean = np.where(where, self.mean + gap / np.maximum(size, 1.0), self.mean)
        squares = np.where(where, self.squares + gap * (value - mean) + blur, self.squares)
        return _Moments(size, mean, squares)

    def log_evidence(self, lines: Floats, *, sign: float = 1.0) -> Floats:
        """Log evidence that the values are above the lines (below them, with the sign −1)."""
        above = sign * np.sqrt(self.size) * (self.mean - lines)
        length = np.hypot(above, np.sqrt(self.squares))
        alignments = above / np.where(length > 0.0, length, 1.0)
        sizes = np.maximum(self.size, 1.0).astype(np.int64)
        logs: Floats = log_one_sided(sizes.ravel().tolist(), alignments.ravel().tolist()).reshape(self.size.shape)
        return logs

    def keep(self, runs: Flags) -> "_Moments":
        """Only these runs."""
        return _Moments(self.size[:, runs], self.mean[:, runs], self.squares[:, runs])


@dataclass(frozen=True, slots=True, eq=False)
class MeanBatch:
    """The evidence processes of one mean in every run; see ``BatchProcess``.

    Windows have the number of the values as totals and their sum as bad ones.
    """

    _margins: Floats
    _batches: Floats
    _starts: Floats
    _moments: _Moments
    _waiting: Floats

    @classmethod
    def start(cls, test: MeanBatchTest) -> "MeanBatch":
        """Evidence 1 on every process of every run."""
        horizons = [ceil(test.metric.horizon / batch) for batch in test.batches]
        points = [start_points(horizon) for horizon in horizons]
        rows = max((len(each) for each in points), default=1)
        starts = [[*each, *[np.inf] * (rows - len(each))] for each in points]
        none = np.zeros((rows, test.runs))
        return cls(
            _margins=test.margins,
            _batches=test.batches,
            _starts=np.array(starts, dtype=np.float64).reshape(test.runs, rows).T,
            _moments=_Moments(none, none, none),
            _waiting=np.zeros((3, test.runs)),
        )

    def update(self, window: BatchWindow) -> "MeanBatch":
        """Every process after the window."""
        counted = window.comparable
        stable = window.stable_bad / np.where(counted, window.stable_total, 1.0)
        candidate = window.candidate_bad / np.where(counted, window.candidate_total, 1.0)
        blur = (ROUNDING * np.maximum(np.abs(stable), np.abs(candidate))) ** 2
        waiting = self._waiting + np.where(counted, np.stack([np.ones_like(blur), candidate - stable, blur]), 0.0)
        size, total, blurred = waiting
        complete = counted & (size >= self._batches)
        divisor = np.maximum(size, 1.0)
        begun = complete & (self._moments.size[0] >= self._starts)
        moments = self._moments.add(total / divisor, blurred / divisor, where=begun)
        return replace(self, _moments=moments, _waiting=np.where(complete, 0.0, waiting))

    def keep(self, runs: Flags) -> "MeanBatch":
        """Only these runs."""
        return MeanBatch(
            _margins=self._margins[runs],
            _batches=self._batches[runs],
            _starts=self._starts[:, runs],
            _moments=self._moments.keep(runs),
            _waiting=self._waiting[:, runs],
        )

    def _of_whole(self, lines: Floats, *, sign: float = 1.0) -> Floats:
        """Evidence of the series that began with the first window."""
        moments = self._moments
        whole = _Moments(moments.size[:1], moments.mean[:1], moments.squares[:1])
        logs: Floats = whole.log_evidence(lines, sign=sign)[0]
        return logs

    @property
    def log_worse(self) -> Floats:
        """Log evidence that the candidate's mean is above stable's by more than the margin."""
        return self._of_whole(self._margins)

    @property
    def log_restart(self) -> Floats:
        """The mixture over fresh starts: half on the first, the rest spread over the later; 1 for those to come."""
        some = self._moments.size.max(axis=1) > 0.0
        some[0] = True
        begun = _Moments(self._moments.size[some], self._moments.mean[some], self._moments.squares[some])
        logs = np.zeros_like(self._starts)
        logs[some] = begun.log_evidence(self._margins)
        sizes = np.isfinite(self._starts).sum(axis=0)
        share = np.where(sizes > 1, 0.5 / np.maximum(sizes - 1, 1), 0.5)
        weights = np.where(np.isfinite(self._starts), share, 0.0)
        weights[0] = np.where(sizes > 1, 0.5, 1.0)
        with np.errstate(divide="ignore"):
            mixed: Floats = np.logaddexp.reduce(logs + np.log(weights), axis=0)
            alone: Floats = np.logaddexp(logs[0], 0.0) - np.log(2.0)
        return np.where(sizes > 1, mixed, alone)

    @property
    def log_catastrophic(self) -> Floats:
        """Log evidence that it is above by more than 8 margins."""
        return self._of_whole(_CATASTROPHE * self._margins)

    @property
    def log_not_worse(self) -> Floats:
        """Log evidence that it is above by less than the margin."""
        return self._of_whole(self._margins, sign=-1.0)

    @property
    def log_better(self) -> Floats:
        """Log evidence that it is below stable's."""
        return self._of_whole(np.zeros_like(self._margins), sign=-1.0)

    @property
    def log_harm(self) -> Floats:
        """Nothing: harm is a share of requests, and a mean without bounds is none."""
        return np.zeros((0, self._margins.size))

    @property
    def decisive(self) -> Flags:
        """From the fifth difference on."""
        decisive: Flags = self._moments.size[0] >= _FEWEST
        return decisive


@dataclass(frozen=True, slots=True, eq=False)
class AgreementBatch:
    """``Agreement`` with arrays: windows as single observations, beside counts whose design effect is only assumed.

    Attributes:
        needed: in which runs it is.
        process: of the differences between the arms' levels.
        lines: what stable's level is multiplied by before the arms are compared.
    """

    needed: Flags
    process: MeanBatch
    lines: Floats

    @classmethod
    def start(cls, needed: Flags, metric: MetricTest, *, margins: Floats, lines: Floats) -> "AgreementBatch":
        """Before the first window."""
        test = MeanBatchTest(metric, margins, np.ones(margins.size))
        return cls(needed=needed, process=test.process(), lines=lines)

    def update(self, window: BatchWindow) -> "AgreementBatch":
        """After one more window."""
        counted = window.comparable
        one = np.where(counted, 1.0, 0.0)
        stable = self.lines * window.stable_bad / np.where(counted, window.stable_total, 1.0)
        candidate = window.candidate_bad / np.where(counted, window.candidate_total, 1.0)
        return replace(self, process=self.process.update(BatchWindow(one, stable, one, candidate, one, one)))

    def keep(self, runs: Flags) -> "AgreementBatch":
        """Only these runs."""
        return AgreementBatch(self.needed[runs], self.process.keep(runs), self.lines[runs])

    def limit(self, own: Floats, agreed: Floats) -> Floats:
        """The smaller of both, where agreement is needed; what is not decisive yet is no more than 0."""
        sure = np.where(self.process.decisive, agreed, np.minimum(agreed, 0.0))
        return np.where(self.needed, np.minimum(own, sure), own)
