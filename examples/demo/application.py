"""What the model server answers to each request, and what it counts."""

import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Lock

from examples.demo.classifier import BadInputError, Classifier, InvalidOutputError, Prediction, ServingError
from examples.demo.http_service import Request, Response, json_response
from examples.demo.instrumentation import CONTENT_TYPE, ModelMetrics, Outcome
from examples.demo.protocols import (
    LONGEST_ID,
    Question,
    model_metadata,
    read_document,
    read_id,
    read_open_inference,
    read_plain,
    write_open_inference,
    write_plain,
)

REMEMBERED = 10_000
"""Answers kept for feedback that names only the request's id."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What was answered to a request, until its truth becomes known."""

    labels: tuple[int, ...]
    segment: str


class AnswerMemory:
    """The newest answers by request id; the oldest make room."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._answers: OrderedDict[str, Answered] = OrderedDict()
        self._lock = Lock()

    def remember(self, identifier: str, answered: Answered) -> None:
        """Keep an answer; an older one with the same id is replaced."""
        with self._lock:
            self._answers[identifier] = answered
            self._answers.move_to_end(identifier)
            if len(self._answers) > self._capacity:
                self._answers.popitem(last=False)

    def take(self, identifier: str) -> Answered | None:
        """Give an answer away, so that its feedback counts once; None: not known (any more)."""
        with self._lock:
            return self._answers.pop(identifier, None)


@dataclass(frozen=True, slots=True)
class _Dialect:
    """One protocol: how a question is read and an answer is written."""

    read: Callable[[bytes], Question]
    write: Callable[[Sequence[Prediction], str, Question], dict[str, object]]


class Application:
    """Answers the requests of one served model; safe to call from many threads."""

    def __init__(
        self, classifier: Classifier, metrics: ModelMetrics, *, model: str, version: str, revision: str
    ) -> None:
        """Put the parts together.

        Args:
            classifier: The loaded model.
            metrics: Where requests, answers and feedback are counted.
            model: The name that all versions share.
            version: Sent with every response as `x-model-version`: where feedback has to go.
            revision: The immutable revision, named in answers and metadata.
        """
        self._classifier = classifier
        self._metrics = metrics
        self._model = model
        self._version = version
        self._revision = revision
        self._memory = AnswerMemory(REMEMBERED)
        self._stopping = False
        self._plain = _Dialect(read_plain, self._write_plain)
        self._open_inference = _Dialect(read_open_inference, self._write_open_inference)
        self._by_route = self._routes()

    def stop(self) -> None:
        """Answer readiness probes with 503 from now on, and everything else as before."""
        self._stopping = True

    def handle(self, request: Request) -> Response:
        """Answer one request; `x-request-id` is echoed, or made up when there is none."""
        name = request.headers.get("x-request-id", "")
        if not (0 < len(name) <= LONGEST_ID and name.isascii() and name.isprintable()):
            name = str(uuid.uuid4())
        answer = self._by_route.get((request.method, request.path))
        response = (
            answer(request, name) if answer else _error(404, f"no such resource: {request.method} {request.path}")
        )
        return replace(response, headers={"x-model-version": self._version, "x-request-id": name})

    def _routes(self) -> dict[tuple[str, str], Callable[[Request, str], Response]]:
        """What answers which method and path, given the request and its id."""
        routes: dict[tuple[str, str], Callable[[Request, str], Response]] = {
            ("POST", "/predict"): lambda request, name: self._predict(request, name, self._plain),
            ("POST", "/feedback"): lambda request, _: self._take_feedback(request),
            ("GET", "/metrics"): lambda *_: Response(200, self._metrics.exposition(), CONTENT_TYPE),
            ("GET", "/v2"): lambda *_: json_response(200, self._server_metadata()),
            ("GET", "/v2/health/live"): lambda *_: json_response(200, {"live": True}),
            ("GET", "/v2/health/ready"): lambda *_: self._readiness(),
        }
        model = f"/v2/models/{self._model}"
        for path in (model, f"{model}/versions/{self._revision}"):
            routes["GET", path] = lambda *_: json_response(200, self._model_metadata())
            routes["GET", f"{path}/ready"] = lambda *_: self._readiness()
            routes["POST", f"{path}/infer"] = lambda request, name: self._predict(request, name, self._open_inference)
        return routes

    def _server_metadata(self) -> dict[str, object]:
        return {"name": f"{self._model}-demo", "version": self._revision, "extensions": []}

    def _model_metadata(self) -> dict[str, object]:
        return model_metadata(model=self._model, version=self._revision)

    def _readiness(self) -> Response:
        return json_response(503 if self._stopping else 200, {"ready": not self._stopping})

    def _predict(self, request: Request, name: str, dialect: _Dialect) -> Response:
        started = time.perf_counter()
        segment = request.headers.get("x-segment", "all")
        try:
            response, outcome = self._answer(request, name, dialect), Outcome.OK
        except BadInputError as fault:
            response, outcome = _error(400, str(fault)), Outcome.CLIENT_ERROR
        except InvalidOutputError as fault:
            response, outcome = _error(500, "the model's answer makes no sense"), Outcome.INVALID_OUTPUT
            self._metrics.count_invalid_output(segment, str(fault))
        except ServingError as fault:
            response, outcome = _error(500, str(fault)), Outcome.SERVER_ERROR
        self._metrics.count_request(segment, outcome, seconds=time.perf_counter() - started)
        return response

    def _answer(self, request: Request, name: str, dialect: _Dialect) -> Response:
        question = dialect.read(request.body)
        identifier = question.id or name
        predictions = self._classifier.predict(question.rows)
        segment = request.headers.get("x-segment", "all")
        for prediction in predictions:
            self._metrics.count_prediction(segment, str(prediction.label), confidence=prediction.confidence)
        self._memory.remember(identifier, Answered(tuple(answer.label for answer in predictions), segment))
        return json_response(200, dialect.write(predictions, identifier, question))

    def _write_plain(self, predictions: Sequence[Prediction], identifier: str, _: Question) -> dict[str, object]:
        return write_plain(predictions, identifier=identifier, model=self._model, version=self._revision)

    def _write_open_inference(
        self, predictions: Sequence[Prediction], identifier: str, question: Question
    ) -> dict[str, object]:
        return write_open_inference(
            predictions,
            identifier=identifier,
            model=self._model,
            version=self._revision,
            outputs=question.outputs,
        )

    def _take_feedback(self, request: Request) -> Response:
        try:
            document = read_document(request.body)
            truths = _labels(document, "label")
            answered = self._answered(document, request.headers.get("x-segment", "all"))
        except BadInputError as fault:
            return _error(400, str(fault))
        if answered is None:
            return _error(404, "no answer is remembered under this id: send the prediction with the label")
        if len(truths) != len(answered.labels):
            return _error(400, f"expected {len(answered.labels)} labels, found {len(truths)}")
        for truth, label in zip(truths, answered.labels, strict=True):
            self._metrics.count_feedback(answered.segment, str(label), actual=str(truth))
        correct = sum(truth == label for truth, label in zip(truths, answered.labels, strict=True))
        return json_response(200, {"correct": correct, "incorrect": len(truths) - correct})

    def _answered(self, document: dict[str, object], segment: str) -> Answered | None:
        """The answer that a feedback is about: as the sender says, or as remembered.

        Feedback comes through a Service, so that it can reach another pod than the one that answered.
        """
        identifier = read_id(document)
        remembered = self._memory.take(identifier) if identifier else None
        if "prediction" in document:
            return Answered(_labels(document, "prediction"), remembered.segment if remembered else segment)
        if identifier is None:
            raise BadInputError("expected id or prediction beside label")
        return remembered


def _labels(document: dict[str, object], field: str) -> tuple[int, ...]:
    """One label, or a list of them for a batch."""
    value = document.get(field)
    labels = value if isinstance(value, list) else [value]
    if not labels or not all(type(label) is int for label in labels):
        raise BadInputError(f"expected {field} to be a digit or a list of digits")
    return tuple(labels)


def _error(status: int, reason: str) -> Response:
    return json_response(status, {"error": reason})
