"""A namespace with real models, a route or Service in front, a client that counts, and a ModelRollout."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.cluster.layout import Layout

Json = dict[str, Any]

GATEWAY = "http://public.gateway-system.svc.cluster.local:8000"
PORT = 8080
SECONDS = 180.0

LONG = 300.0
"""Seconds until a verdict: where history says too little about noise, a request counts for half."""


class Refusal(Exception):  # noqa: N818 - kubectl said no
    """What kubectl said when it failed."""


@dataclass
class Scene:
    """One namespace; all names in it are fixed."""

    layout: Layout
    namespace: str

    @property
    def host(self) -> str:
        """The hostname of the scene's route."""
        return f"{self.namespace}.example.com"

    def kubectl(self, *arguments: str, stdin: str | None = None, seconds: float = SECONDS) -> str:
        """Run the real kubectl as administrator in the namespace.

        Raises:
            Refusal: with what it said.
        """
        command = [str(self.layout.enter), "kubectl", "-n", self.namespace, *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=seconds)
        if done.returncode:
            raise Refusal(done.stderr.strip())
        return done.stdout

    def apply(self, *bodies: Json) -> None:
        """Apply objects."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(bodies)}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(items))

    def get(self, kind: str, name: str) -> Json:
        """Return an object."""
        found: Json = json.loads(self.kubectl("get", kind, name, "-o", "json"))
        return found

    def get_all(self, kind: str) -> list[Json]:
        """Return all objects of a kind in the namespace."""
        found: list[Json] = json.loads(self.kubectl("get", kind, "-o", "json"))["items"]
        return found

    @property
    def status(self) -> Json:
        """The ModelRollout's status."""
        return self.get("modelrollout", "digits").get("status", {})

    def condition(self, kind: str) -> Json:
        """One condition of the ModelRollout."""
        return next((each for each in self.status.get("conditions", []) if each["type"] == kind), {})

    def wait(self, what: str, until: Callable[["Scene"], bool], *, seconds: float = SECONDS) -> None:
        """Look until something holds; the failure shows status."""
        end = time.monotonic() + seconds
        while not until(self):
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds:.0f} s: {what}; status: {json.dumps(self.status, indent=1)}")
            time.sleep(0.5)

    def wait_for_phase(self, phase: str, *, seconds: float = SECONDS) -> None:
        """Look until the rollout is in the phase."""
        self.wait(f"phase {phase}", lambda scene: scene.status.get("phase") == phase, seconds=seconds)

    def wait_for_condition(self, condition: str, *, seconds: float = LONG) -> None:
        """Wait for a condition as people do."""
        command = ("wait", "mro/digits", f"--for=condition={condition}", f"--timeout={seconds:.0f}s")
        self.kubectl(*command, seconds=seconds + 10)

    def wait_for_weight(self, weight: int, *, seconds: float = SECONDS) -> None:
        """Look until the weight was seen to be applied."""

        def applied(scene: Scene) -> bool:
            return scene.status.get("traffic", {}).get("appliedWeight") == weight

        self.wait(f"weight {weight}", applied, seconds=seconds)

    def ask(self, action: str) -> None:
        """Annotate a command."""
        request = {"id": str(time.time_ns()), "epoch": self.status["epoch"], "action": action, "reason": "a test"}
        self.kubectl("annotate", "--overwrite", "mro", "digits", f"modelrollout.dev/request={json.dumps(request)}")

    def pod_uids(self, version: str) -> set[str]:
        """The uids of the live pods of a version."""
        pods = json.loads(self.kubectl("get", "pods", "-l", f"version={version}", "-o", "json"))["items"]
        return {pod["metadata"]["uid"] for pod in pods if "deletionTimestamp" not in pod["metadata"]}

    def deploy(self, *, lookup_ms: int = 0, **replicas: int) -> None:
        """Run versions of the model, each with its own Service, and wait until they are ready."""
        for version, count in replicas.items():
            self.apply(*model(version, count, lookup_ms=lookup_ms))
        for version in replicas:
            self.kubectl("rollout", "status", "deployment", f"digits-{version}", "--timeout=150s")

    def shares(self, count: int, *, connections: str, target: str = GATEWAY) -> dict[str, float]:
        """Send so many requests and return the percent that each version answered."""
        counted = Client.start(self, rate=150, connections=connections, target=target, count=count).finish()
        answers = {version: each["requests"] for version, each in counted["versions"].items()}
        return {version: 100 * number / sum(answers.values()) for version, number in answers.items()}

    @contextmanager
    def client(self, *, rate: float, connections: str, target: str = GATEWAY) -> Iterator["Client"]:
        """Send requests while the block runs, and the truth about each answer to the version that gave it."""
        client = Client.start(self, rate=rate, connections=connections, target=target)
        try:
            yield client
        finally:
            client.stop()


@dataclass
class Client:
    """The demo's traffic generator, in the cluster's network."""

    process: subprocess.Popen[str]
    result: Json | None = None

    @classmethod
    def start(
        cls,
        scene: Scene,
        *,
        rate: float,
        connections: str,
        target: str = GATEWAY,
        count: int | None = None,
        host: str | None = None,
    ) -> "Client":
        """Begin to send, to the scene's route unless ``host`` names another."""
        command = [
            *(str(scene.layout.enter), "python", "-m", "examples.demo.traffic", f"--target={target}"),
            *(f"--host={host or scene.host}", f"--rate={rate}", f"--connections={connections}", "--duration=900"),
            *("--wait=60", f"--samples={scene.layout.root / 'models' / 'holdout.json'}"),
            *((f"--count={count}",) if count else ()),
            "--feedback-url=http://digits-{version}." + scene.namespace + ".svc.cluster.local:8080/feedback",
        ]
        client = cls(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        client.wait_until_it_sends()
        return client

    def wait_until_it_sends(self) -> None:
        """Read what it says when it begins; ended before that it would leave no figures."""
        assert self.process.stderr is not None
        said = self.process.stderr.readline()
        assert said.startswith("sending "), f"expected the client to begin, found {said}{self.process.stderr.read()}"

    def stop(self) -> Json:
        """End it and return what it counted."""
        self.process.terminate()
        return self.finish()

    def finish(self) -> Json:
        """Wait for its end and return what it counted."""
        if self.result is None:
            printed, complaints = self.process.communicate(timeout=120)
            assert printed, f"expected the client's figures, found {complaints}"
            self.result = json.loads(printed)
        return self.result


def model(version: str, replicas: int, *, lookup_ms: int = 0) -> tuple[Json, Json]:
    """A Deployment of one version with its Service; pods pause before they end, as every server should."""
    labels = {"app": "digits", "version": version}
    annotations = {"prometheus.io/scrape": "true", "prometheus.io/port": str(PORT), "prometheus.io/path": "/metrics"}
    container = {
        "name": "model",
        "image": "modelrollout-demo:dev",
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": "MODEL_VERSION", "value": version}, {"name": "MODEL_LOOKUP_MS", "value": str(lookup_ms)}],
        "ports": [{"containerPort": PORT}],
        "readinessProbe": {
            "httpGet": {"path": "/v2/health/ready", "port": PORT},
            "periodSeconds": 1,
            "timeoutSeconds": 3,
        },
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", "3"]}}},
        "resources": {"requests": {"cpu": "10m", "memory": "100Mi"}},
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"digits-{version}", "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels, "annotations": annotations},
                "spec": {
                    "containers": [container],
                    "enableServiceLinks": False,
                    "automountServiceAccountToken": False,
                    "terminationGracePeriodSeconds": 15,
                },
            },
        },
    }
    return deployment, service(f"digits-{version}", labels)


def service(name: str, selector: Json) -> Json:
    """A Service."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": selector, "ports": [{"port": PORT, "targetPort": PORT}]},
    }


def route(scene: Scene, *versions: str) -> Json:
    """An HTTPRoute that sends everything to the first version."""
    backends = [
        {"name": f"digits-{version}", "port": PORT, "weight": 0 if place else 100}
        for place, version in enumerate(versions)
    ]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "digits"},
        "spec": {
            "parentRefs": [{"name": "public", "namespace": "gateway-system"}],
            "hostnames": [scene.host],
            "rules": [{"backendRefs": backends}],
        },
    }


def rollout(candidate: str | None = "good", **changes: Any) -> Json:
    """A ModelRollout over the gateway with quick windows; keyword arguments replace sections or parts of strategy."""
    spec: Json = {
        "stable": {"deployment": "digits-v1"},
        "traffic": {"gateway": {"httpRoute": "digits"}},
        "strategy": {"steps": [10, 25, 50], "minWindows": 2, "interval": "5s", "warmup": "5s", "dataTimeout": "30s"},
        "analysis": {
            "metrics": [
                {"name": "errors", "preset": "mlr/errors", "margin": {"absolute": "0.02"}},
                {"name": "accuracy", "preset": "mlr/accuracy", "margin": {"absolute": "0.03"}},
            ]
        },
    }
    if candidate:
        spec["candidate"] = {"deployment": f"digits-{candidate}"}
    strategy = spec["strategy"] | changes.pop("strategy", {})
    return {
        "apiVersion": "modelrollout.dev/v1alpha1",
        "kind": "ModelRollout",
        "metadata": {"name": "digits"},
        "spec": spec | {"strategy": strategy} | changes,
    }
