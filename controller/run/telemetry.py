"""Metrics of the operator, in the exposition format of Prometheus.

Series that name a rollout vanish with it; all other labels have few values that are known beforehand.
"""

import time
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from controller.api.reasons import Phase
from controller.plan.situation import Decision
from controller.run.key import Key
from controller.run.workers import Outcome

_TURN_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_LATE_SECONDS: Final = (0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 120)
_CALL_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_ROLLOUT: Final = ("namespace", "rollout")


class Telemetry:
    """All metrics of one operator process; safe to share between threads."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series per counter that nobody reads
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._phases = _Phases()
        self.registry.register(self._phases)
        self._weight = self._gauge("weight", "Percent of requests for the candidate, as confirmed.", *_ROLLOUT)
        self._epoch = self._gauge("epoch", "Attempts so far.", *_ROLLOUT)
        self._leader = self._gauge("leader", "1 while this process works, 0 while it waits for its turn to lead.")
        self._decisions = self._counter("decisions", "Decisions by reason.", "reason")
        self._turns = self._histogram("turn_seconds", "Duration of turns.", _TURN_SECONDS, "outcome")
        self._lateness = self._histogram("queue_lateness_seconds", "From due to the turn's begin.", _LATE_SECONDS)
        self._retries = self._counter("queue_retries", "Failed turns that were put back.")
        self._calls = self._histogram(
            "api_request_seconds", "Requests to the API server.", _CALL_SECONDS, "verb", "kind", "outcome"
        )
        self._queries = self._histogram(
            "prometheus_query_seconds", "Queries of evidence.", _CALL_SECONDS, "server", "outcome"
        )
        self._resyncs = self._counter("resyncs", "Comparisons with a fresh list.", "outcome")
        self._drift = self._gauge("resync_drift", "Rollouts whose changes the watch had missed at the newest resync.")

    def saw(self, key: Key, *, phase: str, weight: int, epoch: int) -> None:
        """Take in what a rollout's status says."""
        self._phases.set(key, phase)
        self._weight.labels(*key).set(weight)
        self._epoch.labels(*key).set(epoch)

    def forget(self, key: Key) -> None:
        """Drop the series of a rollout that is gone."""
        if self._phases.drop(key):
            self._weight.remove(*key)
            self._epoch.remove(*key)

    def leads(self) -> None:
        """This process works from now on; when it stops leading it ends."""
        self._leader.set(1)

    def decided(self, _key: Key, decision: Decision) -> None:
        """Count a turn's decision, when it took one that goes on record."""
        if decision.note is not None:
            self._decisions.labels(decision.note.reason).inc()

    def taken(self, lateness: float) -> None:
        """Take in how late a turn began, in seconds."""
        self._lateness.observe(lateness)

    def retried(self) -> None:
        """Count a failed turn that was put back."""
        self._retries.inc()

    def turned(self, outcome: Outcome, seconds: float) -> None:
        """Take in how a turn ended and how long it took."""
        self._turns.labels(outcome).observe(seconds)

    def resynced(self, outcome: str, drift: int = 0) -> None:
        """Count a resync (``ok`` or ``error``) and take in how many rollouts the watch is blind for."""
        self._resyncs.labels(outcome).inc()
        self._drift.set(drift)

    @contextmanager
    def api_request(self, verb: str, kind: str) -> Iterator[None]:
        """Time a request to the API server; its outcome is ``ok`` or the name of the error."""
        with _timed(lambda outcome, seconds: self._calls.labels(verb, kind, outcome).observe(seconds)):
            yield

    @contextmanager
    def prometheus_query(self, server: str) -> Iterator[None]:
        """Time a question to a Prometheus server; its outcome is ``ok`` or the name of the error."""
        with _timed(lambda outcome, seconds: self._queries.labels(server, outcome).observe(seconds)):
            yield

    def follow_queue(self, *, depth: Callable[[], int], lateness: Callable[[], float]) -> None:
        """Read depth and lateness of the queue whenever the metrics are read."""
        self._gauge("queue_depth", "Rollouts that are due and wait for a worker.").set_function(depth)
        self._gauge("queue_oldest_due_seconds", "For how long the oldest of them waits.").set_function(lateness)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"modelrollout_{name}", text, labels, registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"modelrollout_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"modelrollout_{name}", text, labels, buckets=buckets, registry=self.registry)


class _Phases(Collector):
    """Rollouts by phase, counted when the metrics are read, so that the numbers always add up."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._phase_of: dict[Key, str] = {}

    def set(self, key: Key, phase: str) -> None:
        with self._lock:
            self._phase_of[key] = phase

    def drop(self, key: Key) -> bool:
        with self._lock:
            return self._phase_of.pop(key, None) is not None

    def collect(self) -> Iterator[GaugeMetricFamily]:
        with self._lock:
            tally = Tally(self._phase_of.values())
        family = GaugeMetricFamily("modelrollout_rollouts", "Rollouts by phase.", labels=["phase"])
        for phase in (*Phase, *sorted(set(tally) - set(Phase))):
            family.add_metric([phase], tally[phase])
        yield family


@contextmanager
def _timed(observe: Callable[[str, float], None]) -> Iterator[None]:
    started = time.monotonic()
    outcome = "ok"
    try:
        yield
    except Exception as error:
        outcome = type(error).__name__
        raise
    finally:
        observe(outcome, time.monotonic() - started)
