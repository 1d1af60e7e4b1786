"""Metrics and probes, over real HTTP."""

from collections.abc import Iterator

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from controller.run.server import QUEUE_OVERDUE, RESYNC_OVERDUE, Health, Server
from controller.run.settings import ListenSettings
from controller.run.telemetry import Telemetry
from tests.run.doubles import FakeClock


class Bench:
    """A server on a free port, with a queue that stands still for as long as the test says."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.standstill = 0.0
        self.health = Health(lambda: self.standstill, clock=self.clock)
        self.telemetry = Telemetry()
        self.server = Server(ListenSettings(address="127.0.0.1", port=0), self.telemetry.registry, self.health)
        self.server.start()

    def get(self, path: str) -> requests.Response:
        return requests.get(f"http://127.0.0.1:{self.server.port}{path}", timeout=10)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.server.stop()


def test_ready_only_once_the_cluster_was_listed(bench: Bench) -> None:
    before = bench.get("/readyz")
    assert before.status_code == 503
    assert "not been listed" in before.text
    bench.health.resynced()
    assert bench.get("/readyz").status_code == 200


def test_alive_while_resyncs_succeed(bench: Bench) -> None:
    bench.clock.advance(RESYNC_OVERDUE)
    assert bench.get("/healthz").status_code == 200
    bench.clock.advance(1)
    dead = bench.get("/healthz")
    assert dead.status_code == 503
    assert "API server" in dead.text
    bench.health.resynced()
    assert bench.get("/healthz").status_code == 200


def test_alive_while_a_worker_is_free_for_what_is_due(bench: Bench) -> None:
    bench.standstill = QUEUE_OVERDUE
    assert bench.get("/healthz").status_code == 200
    bench.standstill = QUEUE_OVERDUE + 1
    dead = bench.get("/healthz")
    assert dead.status_code == 503
    assert "no worker is free" in dead.text


def test_metrics_are_in_the_format_of_prometheus(bench: Bench) -> None:
    answer = bench.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    families = {family.name for family in text_string_to_metric_families(answer.text)}
    assert {"modelrollout_rollouts", "modelrollout_leader", "process_resident_memory_bytes"} <= families


def test_nothing_else_is_served(bench: Bench) -> None:
    assert bench.get("/").status_code == 404
    address = f"http://127.0.0.1:{bench.server.port}/metrics"
    assert requests.post(address, timeout=10).status_code == 501


def test_an_ipv6_address_is_served_too(bench: Bench) -> None:
    server = Server(ListenSettings(address="::1", port=0), bench.telemetry.registry, bench.health)
    server.start()
    try:
        assert requests.get(f"http://[::1]:{server.port}/healthz", timeout=10).status_code == 200
    finally:
        server.stop()


def test_a_port_that_is_taken_is_an_error_at_once(bench: Bench) -> None:
    taken = ListenSettings(address="127.0.0.1", port=bench.server.port)
    with pytest.raises(OSError, match="in use"):
        Server(taken, bench.telemetry.registry, bench.health)
