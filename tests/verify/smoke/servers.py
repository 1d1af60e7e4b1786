"""A small Open Inference server on loopback, written from the specification, whose faults can be chosen."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry, Counter, generate_latest

from controller.observe.probes.target import Target

WEIGHTS = np.array([[2.0, -1.0, 0.5], [-0.5, 1.5, 0.25]])
Predict = Callable[[list[list[float]]], Any]


def classifier(weights: np.ndarray = WEIGHTS, *, order: tuple[int, ...] = (0, 1)) -> Predict:
    """Return a softmax classifier of two features and three classes; ``order`` is that of its features."""

    def predict(rows: list[list[float]]) -> Any:
        scores = np.array(rows)[:, list(order)] @ weights
        exponents = np.exp(scores - scores.max(axis=1, keepdims=True))
        return (exponents / exponents.sum(axis=1, keepdims=True)).tolist()

    return predict


@dataclass
class ModelServer:
    """What the server does; changed by tests while it runs, or before."""

    predict: Predict = field(default_factory=classifier)
    version: str = "1"
    inputs: list[dict[str, Any]] = field(
        default_factory=lambda: [{"name": "x", "datatype": "FP64", "shape": [-1, 2]}],
    )
    outputs: list[dict[str, Any]] = field(
        default_factory=lambda: [{"name": "p", "datatype": "FP64", "shape": [-1, 3]}],
    )
    ready: Callable[[], bool] = lambda: True
    refusal: int = 400
    """Status of the answer to an invalid request."""
    counts: Callable[[], bool] = lambda: True
    counter: str = "model_requests"
    delay: Callable[[], float] = lambda: 0.0
    page: str | None = None
    requests: list[str] = field(default_factory=list)
    port: int = 0
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        self.counted = Counter(self.counter, "Requests.", ["model", "code"], registry=self.registry)

    @property
    def target(self) -> Target:
        return Target("model-abc", "uid-1", "127.0.0.1", self.port)

    def infer(self, body: bytes) -> tuple[int, Any]:
        try:
            request = json.loads(body)
            tensor = request["inputs"][0]
            rows = np.array(tensor["data"], dtype=float).reshape(-1, 2).tolist()
        except (ValueError, KeyError, TypeError, IndexError) as error:
            answer = {
                "model_name": "m",
                "outputs": [{"name": "p", "datatype": "FP64", "shape": [1, 3], "data": [0, 0, 1]}],
            }
            return self.refusal, answer if self.refusal == 200 else {"error": f"cannot read the input: {error}"}
        time.sleep(self.delay())
        found = self.predict(rows)
        if self.counts():
            self.counted.labels("m", "200").inc()
        output = {"name": "p", "datatype": "FP64", "shape": [len(rows), 3], "data": [x for row in found for x in row]}
        answer = {"model_name": "m", "model_version": self.version, "outputs": [output]}
        return 200, answer | ({"id": request["id"]} if "id" in request else {})


def _handler(model: ModelServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 65536

        def do_GET(self) -> None:
            model.requests.append(self.path)
            if self.path == "/metrics":
                page = generate_latest(model.registry) if model.page is None else model.page.encode()
                self._answer(200, page, "text/plain")
            elif self.path.endswith("/ready"):
                self._answer(200 if model.ready() else 503, b"", "application/json")
            elif self.path == "/v2/models/m":
                described = {"name": "m", "versions": [model.version], "platform": "test"}
                self._json(200, described | {"inputs": model.inputs, "outputs": model.outputs})
            else:
                self._json(404, {"error": "no such path"})

        def do_POST(self) -> None:
            model.requests.append(self.path)
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self._json(*model.infer(body))

        def _json(self, status: int, content: Any) -> None:
            self._answer(status, json.dumps(content).encode(), "application/json")

        def _answer(self, status: int, content: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@contextmanager
def serving(model: ModelServer) -> Iterator[ModelServer]:
    """Run the server on a free port of loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(model))
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a connection that a test breaks off
    model.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield model
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
