"""``analysis.groupSequential``: the ratios of an epoch are judged at few looks."""

import pytest

from controller.api.reasons import Phase, Reason
from controller.judge import GroupTest
from tests.plan.stage import Stage, spec_with, steady


def stage_with(looks: int, stable: float, candidate: float, *, largest: int = 2000) -> Stage:
    """Windows of 1,000 requests, at 10 %, 25 % and 50 %."""
    analysis = spec_with().analysis.to_json() | {"groupSequential": {"maxRequests": largest, "looks": looks}}
    strategy = {"interval": "10s", "steps": [10, 25, 50], "advance": "Fixed", "minWindows": 2, "deadline": "10m"}
    return Stage(spec=spec_with(analysis=analysis, strategy=strategy), traffic=steady(stable, candidate))


def test_all_of_alpha_is_split_among_the_gating_ratios() -> None:
    stage = stage_with(4, 0.08, 0.08).run(until=lambda stage: stage.status.window.counted > 0)
    _, trial = stage.trials[1]
    test = trial.metrics["accuracy"].test
    assert isinstance(test, GroupTest)
    assert (test.max_requests, test.looks, test.share) == (2000, 4, 1.0)


@pytest.mark.parametrize(
    ("candidate", "phase", "reason"),
    [(0.08, Phase.IDLE, Reason.PROMOTED), (0.20, Phase.ROLLED_BACK, Reason.JUDGED_WORSE)],
)
def test_a_look_decides(candidate: float, phase: Phase, reason: Reason) -> None:
    stage = stage_with(4, 0.08, candidate).run(
        until=lambda stage: bool(stage.status.history) and stage.status.phase is phase
    )
    assert stage.status.phase is phase
    assert stage.status.history[0].reason in (reason, Reason.NOT_WORSE)
    assert stage.status.history[0].windows >= 2


def test_nothing_is_decided_before_the_first_look() -> None:
    stage = stage_with(1, 0.08, 0.20).run(until=lambda stage: stage.status.window.counted == 5)
    assert stage.status.phase is Phase.PROGRESSING
    assert stage.status.rejected == ()


def test_after_the_largest_sample_the_deadline_decides() -> None:
    """On the margin nothing crosses; what comes after the last look counts no more."""
    stage = stage_with(2, 0.08, 0.10, largest=300).run(until=lambda stage: stage.status.phase is Phase.STALLED)
    assert stage.status.reason is Reason.DEADLINE_PASSED
