import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from controller.act.events import EventSink
from controller.observe.cluster import EVENTS, ClusterPort, Json
from tests.controlplane.objects import make_rollout

pytestmark = pytest.mark.controlplane


@dataclass(frozen=True)
class Told:
    """An announcement."""

    kind: str
    reason: str
    message: str


ADVANCED = Told("Normal", "StepAdvanced", "from 5 % to 10 % after 900 requests")
FLAG = Told("Warning", "RedFlag", "Pod p-1 keeps ending")


class Clock:
    """Moves only when told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 8, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sink(cluster: ClusterPort, clock: Clock) -> EventSink:
    return EventSink(cluster, clock=clock)


@pytest.fixture
def rollout(cluster: ClusterPort, namespace: str) -> Json:
    return make_rollout(cluster, namespace)


def test_event_speaks_of_the_rollout(sink: EventSink, cluster: ClusterPort, namespace: str, rollout: Json) -> None:
    sink.post(rollout, (ADVANCED, FLAG))
    first, second = sorted(cluster.list(EVENTS, namespace), key=lambda event: str(event["type"]))
    assert (first["type"], first["reason"], first["message"]) == (ADVANCED.kind, ADVANCED.reason, ADVANCED.message)
    assert (second["type"], second["reason"]) == ("Warning", "RedFlag")
    assert first["involvedObject"]["uid"] == rollout["metadata"]["uid"]
    assert (first["involvedObject"]["kind"], first["source"]["component"]) == ("ModelRollout", "modelrollout")
    assert (first["count"], first["firstTimestamp"]) == (1, "2026-08-01T12:00:00Z")


def test_same_event_within_a_minute_is_sent_once_and_later_counted(
    sink: EventSink, clock: Clock, cluster: ClusterPort, namespace: str, rollout: Json
) -> None:
    for seconds in (0, 59):
        clock.now += timedelta(seconds=seconds)
        sink.post(rollout, (FLAG, FLAG))
    (event,) = cluster.list(EVENTS, namespace)
    assert event["count"] == 1
    clock.now += timedelta(seconds=2)
    sink.post(rollout, (FLAG,))
    (event,) = cluster.list(EVENTS, namespace)
    assert (event["count"], event["firstTimestamp"]) == (2, "2026-08-01T12:00:00Z")
    assert event["lastTimestamp"] == "2026-08-01T12:01:01Z"


def test_another_process_counts_on(
    sink: EventSink, clock: Clock, cluster: ClusterPort, namespace: str, rollout: Json
) -> None:
    sink.post(rollout, (FLAG,))
    EventSink(cluster, clock=clock).post(rollout, (FLAG,))
    (event,) = cluster.list(EVENTS, namespace)
    assert event["count"] == 2


def test_event_that_cannot_be_sent_is_logged_and_holds_up_nothing(
    sink: EventSink, rollout: Json, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = rollout | {"metadata": rollout["metadata"] | {"namespace": "there-is-no-such-namespace"}}
    with caplog.at_level(logging.WARNING):
        sink.post(nowhere, (ADVANCED,))
    assert "was not sent" in caplog.text
