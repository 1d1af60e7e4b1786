"""The courses of the evidence of every kind of metric, in windows as they are expected."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import singledispatch
from itertools import accumulate
from math import log, sqrt
from typing import Protocol

from controller.api.verdicts import Role
from controller.judge._process import MetricTest, PerArm, Window
from controller.judge.kinds import rate as _rate
from controller.judge.kinds.group_process import GroupTest
from controller.judge.kinds.histogram import HistogramTest
from controller.judge.kinds.mean import log_one_sided
from controller.judge.kinds.mean_process import MeanTest
from controller.judge.kinds.rate import RateArm
from controller.judge.kinds.rate_process import RateTest
from controller.judge.kinds.ratio import (
    Arm,
    better_alternatives,
    log_factors,
    not_worse_alternatives,
    worse_alternatives,
)
from controller.judge.kinds.ratio_process import RatioTest
from controller.judge.outlook.course import Both, Combined, Course, Lines, Rising, Shared

__all__ = ["Courses", "Expected", "courses_of", "hardest_share"]

_CATASTROPHE = 8.0
_FEWEST_DIFFERENCES = 5


@dataclass(frozen=True, slots=True)
class Expected:
    """What the windows to come are expected to bring to one metric.

    Attributes:
        levels: both arms' levels: share of bad ones, events per exposure, mean, share above the edge in question.
        exposure: both arms' effective requests (or exposure) per window, above 0.
        deviation: how much the difference of both arms' levels scatters from window to window; needed for means, and
            for tests that must agree with the differences between windows.
    """

    levels: PerArm
    exposure: PerArm
    deviation: float | None = None

    @property
    def equal(self) -> "Expected":
        """The same with a candidate like stable."""
        return replace(self, levels=PerArm(self.levels.stable, self.levels.stable))

    @property
    def difference(self) -> float:
        """Candidate's level minus stable's."""
        return self.levels.candidate - self.levels.stable


class Courses(Protocol):
    """The courses of one metric's evidence."""

    def worse(self) -> Course:
        """Of what a roll-back rests on."""

    def not_worse(self) -> Course:
        """Of the evidence for "not worse than the margin"."""

    def better(self) -> Course:
        """Of the evidence for "better than stable"."""


def courses_of(test: MetricTest, expected: Expected) -> Courses | None:
    """The courses of a test's evidence, with its windows' agreement where it asks for that; None without forecast."""
    own = _courses(test, expected)
    if own is None or not test.must_agree or expected.deviation is None:
        return own
    if isinstance(test, RateTest):
        levels = PerArm(test.line * expected.levels.stable, expected.levels.candidate)
        return _Agreeing(own, _Means(_compared(test, margin=0.0), replace(expected, levels=levels), expected.deviation))
    if isinstance(test, RatioTest):
        return _Agreeing(own, _Means(_compared(test, margin=test.margin), expected, expected.deviation))
    return own


def _compared(test: MetricTest, *, margin: float) -> MeanTest:
    return MeanTest(test.name, Role.WATCH, margin, horizon=test.horizon)


@singledispatch
def _courses(_: MetricTest, expected: Expected) -> Courses | None:  # noqa: ARG001 - the others'
    return None


@dataclass(frozen=True, slots=True)
class _Shares:
    """F1, with stable's rate as it will have been learnt from what is ``known`` of it."""

    expected: Expected
    margin: float
    catastrophic_margin: float
    horizon: int
    known: float = 0.0

    @property
    def rate(self) -> float:
        least = 0.5 / (1.0 + self.known + self.expected.exposure.stable)
        return min(max(self.expected.levels.stable, least), 1.0 - least)

    def worse(self) -> Course:
        near = self._growth(self.margin, worse_alternatives(self.rate, self.margin))
        far = self._growth(self.catastrophic_margin, worse_alternatives(self.rate, self.catastrophic_margin))
        return Combined(near, far, self.horizon)

    def not_worse(self) -> Course:
        return Lines(self._growth(self.margin, not_worse_alternatives(self.rate, self.margin)))

    def better(self) -> Course:
        return Lines(self._growth(0.0, better_alternatives(self.rate)))

    def _growth(self, margin: float, bets: tuple[float, ...]) -> tuple[float, ...]:
        levels, sizes = self.expected.levels, self.expected.exposure
        window = Window(
            Arm(sizes.stable, sizes.stable * levels.stable), Arm(sizes.candidate, sizes.candidate * levels.candidate)
        )
        return log_factors(window, rate=self.rate, margin=margin, alternatives=bets)


@_courses.register
def _(test: RatioTest, expected: Expected) -> Courses:
    known = test.history.total if test.history is not None else 0.0
    return _Shares(expected, test.margin, test.catastrophic_margin, test.horizon, known)


@_courses.register
def _(test: GroupTest, expected: Expected) -> Courses | None:  # noqa: ARG001 - the others'
    """None: its looks, and the requests at the last of them, are fixed by who asked for it."""
    return None


@dataclass(frozen=True, slots=True)
class _Edges:
    """F1 at two edges of a histogram: the one at which the candidate is worst, and the hardest to compare at."""

    worst: _Shares
    hardest: _Shares
    edges: int

    def worse(self) -> Course:
        """The mean over the edges: neighbours say nearly the same, so that half of what one alone lacks is lacking."""
        return Shared(self.worst.worse(), cost=log(self.edges) / 2)

    def not_worse(self) -> Course:
        return self.hardest.not_worse()

    def better(self) -> Course:
        return Shared(self.worst.better(), cost=log(self.edges) / 2)


@_courses.register
def _(test: HistogramTest, expected: Expected) -> Courses:
    counts = () if test.history is None else test.history.counts
    share = hardest_share(counts)
    stable = expected.levels.stable if share is None else share
    levels = PerArm(stable, min(max(stable + expected.difference, 0.0), 1.0))
    room = (1.0 - expected.levels.stable) / 2
    catastrophic = max(test.margin, min(_CATASTROPHE * test.margin, room))
    worst = _Shares(expected, test.margin, catastrophic, test.horizon)
    return _Edges(worst, replace(worst, expected=replace(expected, levels=levels)), edges=max(1, len(counts) - 1))


def hardest_share(counts: Sequence[float]) -> float | None:
    """Of the shares above a histogram's inner edges the one next to one half, where chance is largest."""
    total = sum(counts)
    above = list(accumulate(reversed(counts)))[-2::-1]
    shares = [count / total for count in above] if total > 0.0 else []
    return max(shares, key=lambda share: share * (1.0 - share), default=None)


@dataclass(frozen=True, slots=True)
class _Rates:
    """F2."""

    test: RateTest
    expected: Expected

    def worse(self) -> Course:
        near, far = (
            self._growth(line, _rate.worse_ratios(line)) for line in (self.test.line, self.test.catastrophic_line)
        )
        return Combined(near, far, self.test.horizon)

    def not_worse(self) -> Course:
        return Lines(self._growth(self.test.line, _rate.not_worse_ratios(self.test.line)))

    def better(self) -> Course:
        return Lines(self._growth(1.0, _rate.better_ratios(1.0)))

    def _growth(self, line: float, bets: tuple[float, ...]) -> tuple[float, ...]:
        levels, sizes = self.expected.levels, self.expected.exposure
        window = Window(
            RateArm(sizes.stable * levels.stable, sizes.stable),
            RateArm(sizes.candidate * levels.candidate, sizes.candidate),
        )
        return _rate.log_factors(window, line=line, alternatives=bets)


@_courses.register
def _(test: RateTest, expected: Expected) -> Courses:
    return _Rates(test, expected)


@dataclass(frozen=True, slots=True)
class _Means:
    """F3, with as many differences as there are batches of windows."""

    test: MeanTest
    expected: Expected
    deviation: float

    def worse(self) -> Course:
        near, far = self._evidence(self.test.margin, 1.0), self._evidence(self.test.catastrophic_margin, 1.0)
        # A fourth of the weight rests on the plain process: half of the restart mixture, which is half of it all.
        return self._course(lambda windows: max(near(windows) - log(4.0), far(windows) - log(2.0)))

    def not_worse(self) -> Course:
        return self._course(self._evidence(self.test.margin, -1.0))

    def better(self) -> Course:
        return self._course(self._evidence(0.0, -1.0))

    def _course(self, evidence: Callable[[float], float]) -> Course:
        return Rising(evidence, first=float(_FEWEST_DIFFERENCES * self.test.batch))

    def _evidence(self, line: float, sign: float) -> Callable[[float], float]:
        spread = self.deviation / sqrt(self.test.batch)

        def after(windows: float) -> float:
            count = max(windows / self.test.batch, 2.0)
            above = sqrt(count) * (self.expected.difference - line)
            scatter = spread * sqrt(count - 1.0)
            length = sqrt(above * above + scatter * scatter)
            aligned = sign * above / length if length > 0.0 else 0.0
            return float(log_one_sided((count,), (aligned,))[0])  # type: ignore[arg-type]

        return after


@_courses.register
def _(test: MeanTest, expected: Expected) -> Courses | None:
    return None if expected.deviation is None else _Means(test, expected, expected.deviation)


@dataclass(frozen=True, slots=True)
class _Agreeing:
    """What counts say, and the differences between windows."""

    counts: Courses
    differences: Courses

    def worse(self) -> Course:
        return Both(self.counts.worse(), self.differences.worse())

    def not_worse(self) -> Course:
        return Both(self.counts.not_worse(), self.differences.not_worse())

    def better(self) -> Course:
        return self.counts.better()
