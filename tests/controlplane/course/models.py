"""Pods that answer: model servers on loopback, each at an address and with a status of its own."""

import json
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any, Final

from controller.api.names import VERIFIED_GATE
from controller.observe.cluster import DEPLOYMENTS, PODS, Cluster
from tests.controlplane.course.counters import Model, pod_of
from tests.controlplane.course.scene import Course, eventually, merged
from tests.controlplane.objects import backend, make_http_route, make_service, run_pods

Json = dict[str, Any]
Predict = Callable[[float], float]

PREDICT: Final = "/predict"
ANNOTATIONS: Final = {"modelrollout.dev/dataDigest": "sha256:da7a"}
"""What the pod templates of both arms carry."""


def double(x: float) -> float:
    """Answer as the right model does."""
    return 2.0 * x


def triple(x: float) -> float:
    """Answer as another model does."""
    return 3.0 * x


class ModelPod(ThreadingHTTPServer):
    """Plain JSON over HTTP: ``POST /predict`` with ``{"x": 1}``; it remembers what it was asked."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, address: str, port: int, predict: Predict) -> None:
        super().__init__((address, port), _Handler)
        self.predict = predict
        self.asked: list[str] = []
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Its own, in the pod's status."""
        return str(self.server_address[0])

    @property
    def predictions(self) -> int:
        """How many requests it was sent that are for the model."""
        return self.asked.count(PREDICT)


class _Handler(BaseHTTPRequestHandler):
    server: ModelPod
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self._answer(200 if self.path == "/ready" else 404, {})

    def do_POST(self) -> None:
        self.server.asked.append(self.path)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            self._answer(200, {"y": self.server.predict(json.loads(body)["x"])})
        except (ValueError, LookupError, TypeError) as error:
            self._answer(400, {"error": f"cannot read the input: {error}"})

    def _answer(self, status: int, content: Json) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        """Say nothing."""


class Rack:
    """All model servers of a course. They share one port, as the pods of a rollout do."""

    def __init__(self) -> None:
        self.pods: dict[str, ModelPod] = {}
        """By the name of the pod."""
        self.port = 0
        self._numbers = count(1)

    def start(self, pod: str, predict: Predict) -> ModelPod:
        """Start a model server for a pod."""
        number = next(self._numbers)
        server = self.pods[pod] = ModelPod(f"127.0.{1 + number // 250}.{1 + number % 250}", self.port, predict)
        self.port = server.server_port
        return server

    def of(self, deployment: str) -> list[ModelPod]:
        """Return the servers of a Deployment's pods."""
        return [server for name, server in self.pods.items() if name.startswith(f"{deployment}-")]

    def asked(self, deployment: str) -> int:
        """Return how many requests the Deployment's pods were sent."""
        return sum(len(server.asked) for server in self.of(deployment))

    def end(self) -> None:
        """Free all ports."""
        for server in self.pods.values():
            server.shutdown()
            server.server_close()


class Models:
    """Arms whose pods answer, on the stage of a course; ``hold`` says what kubelet and scheduler would."""

    def __init__(self, course: Course) -> None:
        self.course = course
        self.rack = Rack()

    def stage(
        self, name: str, *, good: Sequence[Predict] = (double,), candidate: Sequence[Predict], **arms: Any
    ) -> None:
        """Create both arms, a pod for each function, and the route that sends everything to stable."""
        self.arm(f"{name}-v1", good)
        self.arm(f"{name}-v2", candidate, **arms)
        rule = [backend(f"{name}-v1", 100), backend(f"{name}-v2", 0)]
        make_http_route(self.course.cluster, self.course.namespace, rule, route=name)

    def arm(self, name: str, predicts: Sequence[Predict], *, template: Json | None = None, ready: bool = True) -> None:
        """Create a Deployment with its Service and its pods; ``template`` is merged into the pod template."""
        cluster, namespace, labels = self.course.cluster, self.course.namespace, {"app": name}
        whole = merged(pod_template(labels), template or {})
        spec = {"replicas": len(predicts), "selector": {"matchLabels": labels}, "template": whole}
        cluster.create(DEPLOYMENTS, namespace, {"metadata": {"name": name}, "spec": spec})
        make_service(cluster, namespace, name, selector=labels)
        self.course.traffic.models[name] = Model()
        for number, predict in enumerate(predicts):
            self.bear(name, pod_of(name) if number == 0 else f"{pod_of(name)}{number}", predict, ready=ready)
        run_pods(cluster, namespace, name, ready=len(predicts) if ready else 0, live=len(predicts))

    def bear(self, deployment: str, pod: str, predict: Predict, *, ready: bool = True) -> ModelPod:
        """Create one pod of a Deployment, whose server answers from now on."""
        cluster, namespace = self.course.cluster, self.course.namespace
        template = cluster.get(DEPLOYMENTS, namespace, deployment)["spec"]["template"]
        owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"{deployment}-5d8f", "uid": "1"}
        metadata = template["metadata"] | {
            "name": pod,
            "labels": template["metadata"]["labels"] | {"pod-template-hash": "5d8f"},
            "ownerReferences": [owner | {"controller": True}],
        }
        cluster.create(PODS, namespace, {"metadata": metadata, "spec": template["spec"]})
        server = self.rack.start(pod, predict)
        set_ready(cluster, namespace, pod, ready=ready, address=server.address)
        return server

    def spec(self, **changes: Any) -> Json:
        """Return what a rollout of these models has beyond the smallest spec."""
        return merged({"model": {"protocol": "Plain", "version": "2", "port": self.rack.port}}, changes)


def pod_template(labels: dict[str, str]) -> Json:
    """Return the template that both arms share but for their labels."""
    container = {"name": "model", "image": "model:1"}
    spec = {"containers": [container], "automountServiceAccountToken": False}
    return {"metadata": {"labels": labels, "annotations": ANNOTATIONS}, "spec": spec}


GATED: Final[Json] = {"spec": {"readinessGates": [{"conditionType": VERIFIED_GATE}]}}
"""A pod template whose pods wait for the operator's word."""


def set_ready(cluster: Cluster, namespace: str, pod: str, *, ready: bool, address: str) -> None:
    """Write the status that the kubelet would; conditions of others stay as they are."""
    known = cluster.get(PODS, namespace, pod).get("status", {}).get("conditions") or ()
    others = [each for each in known if each["type"] != "Ready"]
    condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": "2020-01-01T00:00:00Z"}
    digest = {"name": "model", "image": "model:1", "imageID": f"registry.test/model@sha256:{'ab' * 32}"}
    status = {
        "phase": "Running",
        "startTime": "2020-01-01T00:00:00Z",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": [*others, condition],
        "containerStatuses": [digest | {"ready": ready, "restartCount": 0, "state": {"running": {}}}],
    }
    cluster.merge_patch(PODS, namespace, pod, {"status": status}, subresource="status")


def gate_of(course: Course, pod: str) -> Json:
    """Return the condition by which the operator lets the pod in; empty while it has not."""
    conditions = course.cluster.get(PODS, course.namespace, pod)["status"]["conditions"]
    return next((each for each in conditions if each["type"] == VERIFIED_GATE), {})


def case(name: str, x: float, y: float) -> Json:
    """Return a golden request."""
    expected = {"path": "$.y", "equals": json.dumps(y)}
    return {"name": name, "request": json.dumps({"x": x}), "expect": [expected]}


CASES: Final = [case("one", 1, 2.0), case("seven", 7, 14.0)]
SMOKE: Final[Json] = {"path": PREDICT, "readyPath": "/ready", "invalidInput": {}, "cases": CASES}


def rows(status: Json) -> dict[str, Json]:
    """Return the table of checks by name."""
    return {row["name"]: row for row in (status.get("verification") or {}).get("checks", ())}


def until_turned(course: Course, deployment: str) -> None:
    """Give a rollout a reason to look at one of its Deployments again, and wait until a turn has ended."""
    turns = course.operator.turns()
    course.change(DEPLOYMENTS, deployment, {"metadata": {"labels": {"poke": f"after-{turns}"}}})
    eventually(lambda: course.operator.turns() > turns, course.operator.log.read_text)
