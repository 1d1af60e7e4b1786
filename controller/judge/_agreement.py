"""Whether the differences between windows agree with counts whose design effect is only assumed (F3 beside F1 or F2).

With too little history nobody knows how much the requests of a pod depend on each other, and two is a guess. A
t-mixture on the differences between the windows' levels does not need to know: each window is one observation, whatever
scatters within it. So a verdict then needs both. The smaller of two e-values is an e-value where either of them is,
hence nothing is lost when the guess was right; and where it was wrong, F3 holds.

What guards against disasters is not part of it: it must act within a window or two, and F3 takes five.
"""

from dataclasses import dataclass, replace

from controller.judge._process import ArmLike, MetricTest, Process, Window, WindowLike
from controller.judge.kinds.mean import MeanArm
from controller.judge.kinds.mean_process import MeanTest
from controller.judge.kinds.rate import RateArm
from controller.judge.kinds.ratio import Arm

__all__ = ["Agreement"]


@dataclass(frozen=True)
class Agreement:
    """The windows of a metric as single observations.

    Attributes:
        process: of the differences between the arms' levels.
        line: what stable's level is multiplied by before the arms are compared: 1, or 1 + margin for rates.
    """

    process: Process
    line: float = 1.0

    @classmethod
    def start(cls, test: MetricTest, alpha: float) -> "Agreement":
        """Before the first window; for ratios and means with bounds, where the margin is a difference of levels."""
        return cls(process=_compared(test, margin=test.margin).process(alpha))

    @classmethod
    def of_rates(cls, test: MetricTest, alpha: float) -> "Agreement":
        """Before the first window of a rate, whose margin is relative."""
        return cls(process=_compared(test, margin=0.0).process(alpha), line=1.0 + test.margin)

    def update(self, window: WindowLike) -> "Agreement":
        """After one more comparable window; one of another kind than counts says nothing."""
        if not isinstance(window, Window):
            return self
        stable, candidate = _level(window.stable), _level(window.candidate)
        if stable is None or candidate is None:
            return self
        means = Window(MeanArm(1.0, self.line * stable), MeanArm(1.0, candidate))
        return replace(self, process=self.process.update(means))

    @property
    def log_restart(self) -> float:
        """Log evidence that the candidate is worse, mixed over when that began."""
        return self._sure(self.process.log_restart)

    @property
    def log_not_worse(self) -> float:
        """Log evidence that it is not."""
        return self._sure(self.process.log_not_worse)

    def _sure(self, value: float) -> float:
        return value if self.process.decisive else min(value, 0.0)


def _compared(test: MetricTest, *, margin: float) -> MeanTest:
    return MeanTest(name=test.name, role=test.role, margin=margin, horizon=test.horizon, threshold=test.threshold)


def _level(arm: ArmLike) -> float | None:
    if arm.silent:
        return None
    if isinstance(arm, Arm):
        return arm.bad / arm.total
    return arm.count / arm.total if isinstance(arm, RateArm) else None
