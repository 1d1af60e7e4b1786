"""Means: what is tested, and the evidence processes of F3 from the first window of an epoch to its last."""

from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil, inf, isfinite, log, sqrt
from typing import ClassVar

from controller.api.verdicts import Kind
from controller.judge._mixture import log_add
from controller.judge._process import MetricTest, PerArm, Process, Window, WindowLike, window_of
from controller.judge.kinds.mean import MeanArm, Moments, critical_alignment, difference, log_one_sided

__all__ = ["MeanProcess", "MeanTest", "start_points"]

_CATASTROPHE = 8.0
_FEWEST = 5
_MOST_STARTS = 33


@dataclass(frozen=True)
class MeanTest(MetricTest):
    """What is to be tested about the mean of something without known bounds; the margin is in its unit.

    Attributes:
        batch: windows averaged into one difference, more than 1 where neighbouring windows depend on each other (F6b).
    """

    kind: ClassVar[Kind] = Kind.MEAN

    batch: int = 1

    def problem(self) -> str | None:
        """What stands against the test: an empty batch."""
        if self.batch < 1:
            return f"expected a batch of at least 1 window, found {self.batch}"
        return super().problem()

    @property
    def catastrophic_margin(self) -> float:
        """Margin of the guard against disasters: 8δ."""
        return _CATASTROPHE * self.margin

    @property
    def starts(self) -> tuple[int, ...]:
        """The differences with which the fresh starts of the restart mixture begin."""
        return start_points(ceil(self.horizon / self.batch))

    @property
    def fewest_windows(self) -> int:
        """Those of the fewest differences whose spread says something."""
        return _FEWEST * self.batch

    def process(self, alpha: float) -> Process:
        """Evidence 1 on every process."""
        return MeanProcess(test=self, alpha=alpha)

    def level(self, window: WindowLike) -> float | None:
        """The candidate's mean."""
        arm = window_of(window, MeanArm).candidate
        return None if arm.silent else arm.mean


@lru_cache(maxsize=256)
def start_points(horizon: int) -> tuple[int, ...]:
    """At most 33 numbers of differences, 0 the first of them, spread evenly over the horizon."""
    size = min(horizon, _MOST_STARTS)
    return tuple(i * horizon // size for i in range(size))


@dataclass(frozen=True, slots=True)
class _Levels:
    """Mean over the windows of each arm's mean."""

    windows: int = 0
    stable: float = 0.0
    candidate: float = 0.0

    def update(self, window: Window[MeanArm]) -> "_Levels":
        windows = self.windows + 1
        return _Levels(
            windows=windows,
            stable=self.stable + (window.stable.mean - self.stable) / windows,
            candidate=self.candidate + (window.candidate.mean - self.candidate) / windows,
        )


@dataclass(frozen=True, slots=True)
class _Batch:
    """Differences that wait for their batch to be complete."""

    size: int = 0
    total: float = 0.0
    blur: float = 0.0

    def add(self, value: float, blur: float) -> "_Batch":
        return _Batch(self.size + 1, self.total + value, self.blur + blur)


@dataclass(frozen=True)
class MeanProcess:
    """The evidence processes of one mean; see ``Process``.

    Fresh starts take the place of F6's recursion: under its null the increments of a one-sided t-mixture are not
    e-values each by itself, given the past, but a mixture that begins later is an e-process like the first.

    Attributes:
        test: what is tested.
        alpha: error probability of each end of the interval.
        log_worse: log evidence that the candidate's mean is above stable's by more than the margin.
        log_restart: a fixed mean over fresh starts: half of the weight on the first window, half spread evenly over
            at most 32 later ones; what has not begun counts as 1.
        log_catastrophic: log evidence that it is above by more than 8 margins.
        log_not_worse: log evidence that it is above by less than the margin.
        log_better: log evidence that it is below stable's; 0 where that is not asked.
    """

    test: MeanTest
    alpha: float
    log_worse: float = 0.0
    log_restart: float = 0.0
    log_catastrophic: float = 0.0
    log_not_worse: float = 0.0
    log_better: float = 0.0
    _starts: tuple[Moments, ...] = ()
    _batch: _Batch = _Batch()
    _levels: _Levels = _Levels()
    _bounds: tuple[float, float] = (-inf, inf)

    def update(self, window: WindowLike) -> "MeanProcess":
        """Every process after one more comparable window."""
        seen = window_of(window, MeanArm)
        batch = self._batch.add(*difference(seen))
        levels = self._levels.update(seen)
        if batch.size < self.test.batch:
            return replace(self, _batch=batch, _levels=levels)
        value, blur = batch.total / batch.size, batch.blur / batch.size
        begun = self._starts
        if len(begun) < len(self.test.starts) and self.differences == self.test.starts[len(begun)]:
            begun = (*begun, Moments())
        starts = tuple(moments.add(value, blur=blur) for moments in begun)
        return replace(self._judged(starts), _batch=_Batch(), _levels=levels)

    @property
    def differences(self) -> int:
        """How many differences there are: windows, or complete batches of them."""
        return self._starts[0].size if self._starts else 0

    def _judged(self, starts: tuple[Moments, ...]) -> "MeanProcess":
        whole, test = starts[0], self.test
        within = -whole.alignment(test.margin)
        alignments = [moments.alignment(test.margin) for moments in starts]
        alignments += [whole.alignment(test.catastrophic_margin), within, -whole.alignment(0.0)]
        counts = [moments.size for moments in starts] + [whole.size] * 3
        *fresh, catastrophic, not_worse, better = log_one_sided(counts, alignments).tolist()
        return replace(
            self,
            log_worse=fresh[0],
            log_restart=_log_mixture(fresh, size=len(test.starts)),
            log_catastrophic=catastrophic,
            log_not_worse=not_worse,
            log_better=better if test.must_be_better else 0.0,
            _starts=starts,
            _bounds=self._narrowed(whole),
        )

    def _narrowed(self, moments: Moments) -> tuple[float, float]:
        """The interval after these differences: within what it was, all margins whose evidence is below 1/α."""
        critical = critical_alignment(moments.size, self.alpha) if moments.size >= _FEWEST else None
        if critical is None or critical >= 1.0:
            return self._bounds
        reach = sqrt(moments.squares / moments.size) * critical / sqrt(1.0 - critical * critical)
        lower, upper = self._bounds
        return max(lower, moments.mean - reach), min(upper, moments.mean + reach)

    @property
    def log_harm(self) -> tuple[float, ...]:
        """Nothing: harm is a share of requests, and a mean without bounds is none."""
        return ()

    @property
    def rates(self) -> PerArm | None:
        """Each arm's mean, averaged over the windows that counted."""
        return PerArm(self._levels.stable, self._levels.candidate) if self._levels.windows else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Bounds of the difference of the means; None until enough differences are there."""
        return self._bounds if isfinite(self._bounds[0]) else None

    @property
    def decisive(self) -> bool:
        """From the fifth difference on: a spread guessed from fewer is no basis for a verdict."""
        return self.differences >= _FEWEST


def _log_mixture(fresh: list[float], *, size: int) -> float:
    """Log of the mixture: ½ on the first start, the rest spread over the others, 1 for those that are to come."""
    share = 0.5 / (size - 1) if size > 1 else 0.5
    value = fresh[0] + log(0.5)
    for each in fresh[1:]:
        value = log_add(value, each + log(share))
    waiting = share * (size - len(fresh)) if size > 1 else share
    return log_add(value, log(waiting)) if waiting > 0.0 else value
