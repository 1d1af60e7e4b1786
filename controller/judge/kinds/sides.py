"""The processes of the kinds whose bets are products over windows (F1, F2, F10), and what they say."""

from dataclasses import dataclass

from controller.judge._mixture import Plain, Restart
from controller.judge._process import MetricTest

__all__ = ["SidedProcess", "Sides"]

Factors = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Sides:
    """The processes after some windows; ``update`` returns those after one more.

    Attributes:
        worse: against "the candidate is within the margin".
        restart: the same bets, mixed over the window in which it became worse (F6).
        catastrophic: against "it is within the catastrophic margin".
        not_worse: against "it is beyond the margin".
        better: against "it is not better than stable"; None where that is not asked.
    """

    worse: Plain
    restart: Restart
    catastrophic: Plain
    not_worse: Plain
    better: Plain | None

    @classmethod
    def start(cls, test: MetricTest, *, up: int, down: int) -> "Sides":
        """Evidence 1 for so many bets ``up`` (worse, better) and ``down`` (not worse)."""
        return cls(
            worse=Plain.start(up),
            restart=Restart.start(up, test.horizon),
            catastrophic=Plain.start(up),
            not_worse=Plain.start(down),
            better=Plain.start(up) if test.must_be_better else None,
        )

    def update(
        self, *, worse: Factors, catastrophic: Factors, not_worse: Factors, better: Factors | None = None
    ) -> "Sides":
        """With the log e-values of one more window; those for "better" where that is asked."""
        return Sides(
            worse=self.worse.update(worse),
            restart=self.restart.update(worse),
            catastrophic=self.catastrophic.update(catastrophic),
            not_worse=self.not_worse.update(not_worse),
            better=self.better if self.better is None or better is None else self.better.update(better),
        )


class SidedProcess:
    """What ``Process`` asks for, from ``_sides``."""

    _sides: Sides

    @property
    def log_worse(self) -> float:
        """Log evidence that the candidate is worse than the margin: the plain process."""
        return self._sides.worse.log_value

    @property
    def log_restart(self) -> float:
        """The same bets, mixed over the window in which it became worse."""
        return self._sides.restart.log_value

    @property
    def log_catastrophic(self) -> float:
        """Log evidence that the candidate is worse by the catastrophic margin."""
        return self._sides.catastrophic.log_value

    @property
    def log_not_worse(self) -> float:
        """Log evidence that the candidate is not worse than the margin; 0 for ever at margin 0."""
        return self._sides.not_worse.log_value

    @property
    def log_better(self) -> float:
        """Log evidence that the candidate is better than stable; 0 where that is not asked."""
        return 0.0 if self._sides.better is None else self._sides.better.log_value

    @property
    def log_harm(self) -> tuple[float, ...]:
        """Nothing, for kinds that do not count bad requests."""
        return ()

    @property
    def decisive(self) -> bool:
        """From the first window on: the evidence is exact."""
        return True
