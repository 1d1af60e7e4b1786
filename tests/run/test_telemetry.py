"""Metrics: they say what happened, and nothing of rollouts that are gone."""

from datetime import UTC, datetime

import pytest
from prometheus_client import generate_latest

from controller.api.reasons import Reason
from controller.api.record import RecordedDecision
from controller.api.status import ModelRolloutStatus
from controller.plan.situation import Decision
from controller.run.key import Key
from controller.run.telemetry import Telemetry
from controller.run.workers import Outcome

FRAUD, RISK = Key("shop", "fraud"), Key("shop", "risk")
NOTE = RecordedDecision(
    transition=7,
    at=datetime(2026, 1, 1, tzinfo=UTC),
    phase="Promoting",
    weight=100,
    reason=Reason.PROMOTED,
    message="x",
)


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


def lines(telemetry: Telemetry) -> list[str]:
    text = generate_latest(telemetry.registry).decode()
    return [line for line in text.splitlines() if not line.startswith("#")]


def test_rollouts_are_counted_by_phase_and_every_phase_is_there(telemetry: Telemetry) -> None:
    telemetry.saw(FRAUD, phase="Progressing", weight=5, epoch=1)
    telemetry.saw(RISK, phase="Idle", weight=0, epoch=0)
    telemetry.saw(FRAUD, phase="Idle", weight=0, epoch=1)
    found = lines(telemetry)
    assert 'modelrollout_rollouts{phase="Idle"} 2.0' in found
    assert 'modelrollout_rollouts{phase="Progressing"} 0.0' in found
    assert 'modelrollout_weight{namespace="shop",rollout="fraud"} 0.0' in found


def test_the_series_of_a_rollout_vanish_with_it(telemetry: Telemetry) -> None:
    telemetry.saw(FRAUD, phase="Progressing", weight=25, epoch=3)
    assert any("fraud" in line for line in lines(telemetry))
    telemetry.forget(FRAUD)
    telemetry.forget(FRAUD)
    assert not any("fraud" in line for line in lines(telemetry))
    assert 'modelrollout_rollouts{phase="Progressing"} 0.0' in lines(telemetry)


def test_turns_decisions_and_the_queue_are_counted(telemetry: Telemetry) -> None:
    telemetry.turned(Outcome.CONFLICT, 0.2)
    telemetry.decided(FRAUD, Decision(status=ModelRolloutStatus(), note=NOTE))
    telemetry.decided(FRAUD, Decision(status=ModelRolloutStatus()))
    telemetry.taken(0.3)
    telemetry.retried()
    telemetry.follow_queue(depth=lambda: 4, lateness=lambda: 1.5)
    telemetry.leads()
    found = lines(telemetry)
    assert 'modelrollout_turn_seconds_count{outcome="conflict"} 1.0' in found
    assert 'modelrollout_decisions_total{reason="Promoted"} 1.0' in found
    assert "modelrollout_queue_lateness_seconds_sum 0.3" in found
    assert "modelrollout_queue_retries_total 1.0" in found
    assert "modelrollout_queue_depth 4.0" in found
    assert "modelrollout_queue_oldest_due_seconds 1.5" in found
    assert "modelrollout_leader 1.0" in found


def test_a_request_is_timed_under_its_outcome_and_its_error_passes(telemetry: Telemetry) -> None:
    with telemetry.api_request("get", "deployments"):
        pass
    with pytest.raises(LookupError), telemetry.prometheus_query("default"):
        raise LookupError
    found = lines(telemetry)
    assert 'modelrollout_api_request_seconds_count{kind="deployments",outcome="ok",verb="get"} 1.0' in found
    assert 'modelrollout_prometheus_query_seconds_count{outcome="LookupError",server="default"} 1.0' in found
