"""The metric contract that a model server exports so that its answers can be judged.

Copy this module into a server of your own: it needs nothing but `prometheus-client`. All series carry
`model`, `version` and `segment`. `version` names an immutable revision and never a role: `stable` and
`candidate` swap at a promotion, and a series named after a role would splice two models into one.

Every series that a judge may ask for exists from the start with the value 0. A counter that is born with
its first error starts at 1, and the difference between two scrapes, which is all that a query sees, misses
that error.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The media type of `ModelMetrics.exposition`."""

_LATENCY_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_CONFIDENCE = tuple(round(0.05 * edge, 2) for edge in range(1, 21))


class Outcome(StrEnum):
    """How a request ended. `timeout`, `server_error` and `invalid_output` are the model's fault."""

    OK = "ok"
    CLIENT_ERROR = "client_error"
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    INVALID_OUTPUT = "invalid_output"


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """What is being served.

    Attributes:
        model: The name that all versions share.
        version: The immutable revision.
        digest: Hash of the model artefact.
        spec_hash: Hash of what the model takes and gives.
        runtime: Library and release that runs it.
        framework: Library that trained it.
    """

    model: str
    version: str
    digest: str
    spec_hash: str
    runtime: str
    framework: str


class ModelMetrics:
    """The counters and histograms of one served model, in a registry of its own."""

    def __init__(self, identity: ModelIdentity, *, classes: Iterable[str], segments: Iterable[str] = ("all",)) -> None:
        """Create every series at 0.

        Args:
            identity: What is being served.
            classes: The answers counted by name; any other answer is counted as `other`.
            segments: The kinds of users counted by name; any other is counted as `other`.
        """
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        # The start time of the process tells a reader whether a new series may be counted from zero.
        ProcessCollector(registry=self._registry)
        self._arm = (identity.model, identity.version)
        self._classes = frozenset(classes)
        self._segments = frozenset(segments)
        self._requests = self._counter("mlr_requests", "Requests by how they ended.", "outcome")
        self._seconds = self._histogram(
            "mlr_request_duration_seconds",
            "Seconds from request to answer; successful requests only.",
            _LATENCY_SECONDS,
        )
        self._predictions = self._counter("mlr_predictions", "Predictions by answer.", "prediction")
        self._confidence = self._histogram("mlr_prediction_confidence", "Probability of the given answer.", _CONFIDENCE)
        self._invalid = self._counter("mlr_invalid_output", "Answers withheld because they make no sense.", "reason")
        self._feedback = self._counter("mlr_feedback", "Answers whose truth became known.", "result")
        self._confusion = self._counter("mlr_confusion", "Answers against the truth.", "actual", "predicted")
        self._describe(identity)
        for segment in self._segments:
            self._create_series(segment)

    def count_request(self, segment: str, outcome: Outcome, *, seconds: float) -> None:
        """Count one request and, if it succeeded, how many seconds its answer took."""
        labels = (*self._arm, self._segment(segment))
        self._requests.labels(*labels, outcome).inc()
        if outcome is Outcome.OK:
            self._seconds.labels(*labels).observe(seconds)

    def count_prediction(self, segment: str, prediction: str, *, confidence: float) -> None:
        """Count one answer and the probability (0 to 1) that the model gave it."""
        labels = (*self._arm, self._segment(segment))
        self._predictions.labels(*labels, self._class(prediction)).inc()
        self._confidence.labels(*labels).observe(confidence)

    def count_invalid_output(self, segment: str, reason: str) -> None:
        """Count one answer that was withheld; `reason` is nan, inf, schema, range, empty or refusal."""
        self._invalid.labels(*self._arm, self._segment(segment), reason).inc()

    def count_feedback(self, segment: str, prediction: str, *, actual: str) -> None:
        """Count one answer whose truth became known."""
        labels = (*self._arm, self._segment(segment))
        self._feedback.labels(*labels, "correct" if prediction == actual else "incorrect").inc()
        self._confusion.labels(*labels, self._class(actual), self._class(prediction)).inc()

    def exposition(self) -> bytes:
        """All series in Prometheus' text format."""
        return generate_latest(self._registry)

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(name, documentation, ("model", "version", "segment", *labels), registry=self._registry)

    def _histogram(self, name: str, documentation: str, buckets: tuple[float, ...]) -> Histogram:
        labels = ("model", "version", "segment")
        return Histogram(name, documentation, labels, buckets=buckets, registry=self._registry)

    def _describe(self, identity: ModelIdentity) -> None:
        names = ("model", "version", "digest", "spec_hash", "runtime", "framework")
        described = Gauge("mlr_model_info", "What is being served; always 1.", names, registry=self._registry)
        described.labels(*(getattr(identity, name) for name in names)).set(1)

    def _create_series(self, segment: str) -> None:
        labels = (*self._arm, segment)
        for outcome in Outcome:
            self._requests.labels(*labels, outcome)
        for name in self._classes:
            self._predictions.labels(*labels, name)
        for result in ("correct", "incorrect"):
            self._feedback.labels(*labels, result)
        self._seconds.labels(*labels)
        self._confidence.labels(*labels)

    def _segment(self, segment: str) -> str:
        return segment if segment in self._segments else "other"

    def _class(self, name: str) -> str:
        return name if name in self._classes else "other"
