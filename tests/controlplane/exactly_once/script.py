"""Evidence by script: what the counters would say depends on the rollout, the transition and the window alone.

So an undisturbed run and one under fire see the same, however often and by whomever it is asked.
"""

from datetime import datetime, timedelta

from controller.api.record import ArmCounts, RecordedWindow, Row
from controller.observe.evidence import Question
from controller.plan.calibration import StableHistory
from controller.plan.windows import Window

STEPS = (5, 10, 20, 30, 40, 50)

_REQUESTS = 20_000


def fails_at(rollout: str) -> int | None:
    """The transition in which the candidate of this rollout turns out to be a catastrophe; None: never."""
    number = int(rollout.rpartition("-")[2])
    return number % 7 + 1 if number % 3 == 0 else None


class ScriptedEvidence:
    """Answers at once, and never differently."""

    def window(self, window: Window, question: Question) -> RecordedWindow:
        """Return the counts of one window; disasters begin with the second window of their transition."""
        disaster = fails_at(question.candidate_deployment) == window.transition and window.number >= 1
        candidate = _REQUESTS * question.weight // 100
        stable = _REQUESTS - candidate
        return RecordedWindow(
            transition=window.transition,
            number=window.number,
            weight=question.weight,
            start=window.start,
            end=window.end,
            observed_weight=str(question.weight),
            rows=(
                Row(
                    metric="errors",
                    stable=_counts(stable, 0.02),
                    candidate=_counts(candidate, 0.7 if disaster else 0.02),
                    bad_seen=True,
                ),
            ),
        )

    def history(self, question: Question, *, before: datetime, interval: timedelta) -> dict[str, StableHistory]:
        """Return what stable did before the epoch; its pods never differed."""
        del question, before, interval
        pods = {f"pod-{number}": (500.0, 10.0) for number in range(2)}
        return {"errors": StableHistory(total=100_000.0, amount=2_000.0, intervals=(pods,) * 100)}

    def traffic(self, question: Question, *, before: datetime) -> dict[str, float]:
        """Return nothing: no decision needs it."""
        del question, before
        return {}

    def label_values(self, question: Question, metric: str, *, before: datetime) -> dict[str, tuple[str, ...]]:
        """Return nothing: no message needs it here."""
        del question, metric, before
        return {}


def _counts(requests: int, rate: float) -> ArmCounts:
    bad = str(round(requests * rate))
    return ArmCounts(total=str(requests), bad=bad, effective_total=str(requests), effective_bad=bad)
