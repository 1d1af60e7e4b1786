"""Small stand-ins for what the parts of the process tell each other."""

from dataclasses import dataclass, field

from controller.run.workers import Outcome


class FakeClock:
    """Monotonic seconds that only pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Witness:
    """Writes down what the queue and the workers report."""

    lateness: list[float] = field(default_factory=list)
    retries: int = 0
    outcomes: list[Outcome] = field(default_factory=list)

    def taken(self, lateness: float) -> None:
        self.lateness.append(lateness)

    def retried(self) -> None:
        self.retries += 1

    def turned(self, outcome: Outcome, seconds: float) -> None:
        assert seconds >= 0
        self.outcomes.append(outcome)
