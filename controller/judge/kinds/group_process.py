"""Ratio metrics with a fixed largest sample: the group-sequential test (F11) in the place of the e-processes.

What is shown beside the verdict (interval, levels, harm) stays that of the e-processes: valid at every look.
"""

from dataclasses import dataclass, field, replace
from math import log

from controller.api.analysis import Spending
from controller.judge._process import PerArm, Process, WindowLike, window_of
from controller.judge.kinds.boundaries import GroupSequential
from controller.judge.kinds.ratio import Arm
from controller.judge.kinds.ratio_process import RatioProcess, RatioTest
from controller.judge.kinds.score import StratifiedScore

__all__ = ["GroupProcess", "GroupTest"]

_ROUNDING = 1e-9
"""Far below what testing at (1 − alpha)·alpha·share leaves."""


@dataclass(frozen=True)
class GroupTest(RatioTest):
    """What is to be tested about one ratio metric at few looks.

    Attributes:
        max_requests: raw requests of the candidate at the last look.
        looks: how many looks are planned, evenly spread.
        spending: how alpha is spent over them.
        share: this metric's part of alpha: its weight by that of all gating metrics.
    """

    max_requests: float = 10_000
    looks: int = 5
    spending: Spending = Spending.O_BRIEN_FLEMING
    share: float = 1.0

    def problem(self) -> str | None:
        """What stands against the test: a part of alpha that is none."""
        if not 0.0 < self.share <= 1.0:
            return f"expected a share of alpha above 0 and at most 1, found {self.share:g}"
        return super().problem()

    def process(self, alpha: float) -> Process:
        """Nothing crossed."""
        return GroupProcess.start(self, alpha)

    def crossing(self, alpha: float) -> float:
        """Log evidence of a crossing on the worse side: 1/(alpha·share), and what a weighted mean may round away."""
        return _ROUNDING - log(alpha * self.share)

    def schedule(self, alpha: float) -> GroupSequential:
        """The looks of one side, with this error."""
        return GroupSequential(alpha=alpha, max_requests=self.max_requests, looks=self.looks, spending=self.spending)


@dataclass(frozen=True)
class GroupProcess:
    """The group-sequential tests of one ratio metric; see ``Process``.

    A crossing counts as just the evidence that decides, everything before it as evidence 1. The worse side's is
    1/(alpha·share), so that the weighted mean over the metrics (F8) reaches 1/alpha with it: α is split among the
    metrics. That the others still add theirs while this one stands at 1 is paid for by testing at
    (1 − alpha)·alpha·share.

    Attributes:
        test: what is tested.
        alpha: error probability of the epoch, per side.
        requests: raw requests of the candidate so far.
    """

    test: GroupTest
    alpha: float
    _course: RatioProcess
    _worse: GroupSequential
    _not_worse: GroupSequential
    _better: GroupSequential
    _score: StratifiedScore = field(default_factory=StratifiedScore)
    requests: float = 0.0

    @classmethod
    def start(cls, test: GroupTest, alpha: float) -> "GroupProcess":
        """Before the first window."""
        return cls(
            test=test,
            alpha=alpha,
            _course=RatioProcess.start(test, alpha),
            _worse=test.schedule((1.0 - alpha) * alpha * test.share),
            _not_worse=test.schedule(alpha),
            _better=test.schedule(alpha),
        )

    def update(self, window: WindowLike) -> "GroupProcess":
        """The tests after one more comparable window."""
        seen, margin = window_of(window, Arm), self.test.margin
        score, requests = self._score.update(seen), self.requests + seen.candidate.exposure
        z, known = score.z(margin), score.information(margin)
        return replace(
            self,
            _course=self._course.update(seen),
            _worse=self._worse.update(requests=requests, information=known, z=z),
            _not_worse=self._not_worse.update(requests=requests, information=known, z=-z),
            _better=self._better.update(requests=requests, information=score.information(0.0), z=-score.z(0.0)),
            _score=score,
            requests=requests,
        )

    @property
    def next_look(self) -> float | None:
        """Candidate's requests at which something can be decided next; None when the last look was taken."""
        ahead = [look for look in (self._worse.next_look, self._not_worse.next_look) if look is not None]
        return min(ahead, default=None)

    @property
    def log_worse(self) -> float:
        """Log of 1/(alpha·share) once the candidate was found worse than the margin, before that 0."""
        return self.test.crossing(self.alpha) if self._worse.crossed else 0.0

    @property
    def log_restart(self) -> float:
        """The same: at few looks a late onset is not looked for."""
        return self.log_worse

    @property
    def log_catastrophic(self) -> float:
        """The same: alpha is spent, and red flags catch disasters between looks."""
        return self.log_worse

    @property
    def log_not_worse(self) -> float:
        """Log of 1/alpha once the candidate was found to be within the margin, before that 0; 0 at margin 0."""
        return self._found(self._not_worse) if self.test.margin > 0.0 else 0.0

    @property
    def log_better(self) -> float:
        """Log of 1/alpha once the candidate was found better; 0 before that and where it is not asked."""
        return self._found(self._better) if self.test.must_be_better else 0.0

    def _found(self, side: GroupSequential) -> float:
        return -log(self.alpha) if side.crossed else 0.0

    @property
    def log_harm(self) -> tuple[float, ...]:
        """Log evidence that each step's weight keeps the harm within its budget, at every look."""
        return self._course.log_harm

    @property
    def rates(self) -> PerArm | None:
        """Shares of bad requests over the windows that counted."""
        return self._course.rates

    @property
    def interval(self) -> tuple[float, float]:
        """Bounds of the difference that hold at every window at once."""
        return self._course.interval

    @property
    def decisive(self) -> bool:
        """Always: nothing crosses between looks."""
        return True
