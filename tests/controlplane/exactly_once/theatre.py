"""The objects of many rollouts on a control plane, and what reached their routes."""

import json
import subprocess
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from controller.api.names import API_VERSION, TRANSITION_ANNOTATION
from controller.observe.cluster import (
    HTTP_ROUTES,
    RECORDS,
    ROLLOUTS,
    SERVICES,
    Cluster,
    Json,
)
from tests.controlplane.exactly_once.script import STEPS
from tests.controlplane.objects import make_deployment

Sequence = list[tuple[int, int]]
"""(transition, weight of the candidate), as they reached a route."""


def raise_curtain(cluster: Cluster, namespace: str, rollouts: int) -> None:
    """Create Deployments that count as rolled out, Services, routes and ModelRollouts."""
    for number in range(rollouts):
        for arm in ("s", "c"):
            make_deployment(cluster, namespace, f"{arm}-{number}", labels={"app": f"{arm}-{number}"})
            cluster.create(SERVICES, namespace, _service(f"{arm}-{number}"))
        cluster.create(HTTP_ROUTES, namespace, _route(number))
    for number in range(rollouts):
        cluster.create(ROLLOUTS, namespace, _rollout(number))


def _service(name: str) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80}]},
    }


def _route(number: int) -> Json:
    backends = [{"name": f"s-{number}", "port": 80, "weight": 100}, {"name": f"c-{number}", "port": 80, "weight": 0}]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": f"r-{number}"},
        "spec": {"parentRefs": [{"name": "gateway"}], "rules": [{"backendRefs": backends}]},
    }


def _rollout(number: int) -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelRollout",
        "metadata": {"name": f"m-{number}"},
        "spec": {
            "stable": {"deployment": f"s-{number}"},
            "candidate": {"deployment": f"c-{number}"},
            "traffic": {"gateway": {"httpRoute": f"r-{number}"}},
            "strategy": {"steps": list(STEPS), "interval": "1s", "minWindows": 2, "warmup": "0s"},
            "analysis": {
                "metrics": [
                    {
                        "name": "errors",
                        "ratio": {"bad": 'requests_total{code="500"}', "total": "requests_total"},
                        "margin": {"absolute": "0.02"},
                    }
                ]
            },
        },
    }


class RouteWatch:
    """Every version of every route of a namespace, in order, as the API server tells it to a watcher."""

    def __init__(self, kubectl: list[str], namespace: str, log: Path) -> None:
        self.seen: dict[str, Sequence] = defaultdict(list)
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                [*kubectl, "-n", namespace, "get", "httproutes", "--watch", "--output-watch-events", "-o", "json"],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the watch."""
        self._process.terminate()
        self._process.wait(10)
        self._thread.join(10)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for route in _documents(self._process.stdout):
            body = route["object"]
            mark = body["metadata"].get("annotations", {}).get(TRANSITION_ANNOTATION)
            if mark is not None:
                weights = {ref["name"]: ref["weight"] for ref in body["spec"]["rules"][0]["backendRefs"]}
                name = body["metadata"]["name"]
                candidate = weights["c-" + name.removeprefix("r-")]
                assert sum(weights.values()) == 100
                self.seen[name].append((int(mark.rpartition("/")[2]), candidate))


def _documents(stream: IO[str]) -> Iterator[Json]:
    decoder, buffer = json.JSONDecoder(), ""
    for line in stream:
        buffer += line
        try:
            document, end = decoder.raw_decode(buffer)
        except json.JSONDecodeError:
            continue
        buffer = buffer[end:].lstrip()
        yield document


def finished(cluster: Cluster, namespace: str) -> dict[str, str]:
    """The phase of each rollout that has ended its first epoch."""
    phases = {each["metadata"]["name"]: each.get("status", {}) for each in cluster.list(ROLLOUTS, namespace)}
    return {name: status["phase"] for name, status in phases.items() if status.get("history")}


def window_keys(cluster: Cluster, namespace: str) -> dict[str, list[tuple[int, int]]]:
    """The keys of the recorded windows of each rollout, pages in order."""
    pages = sorted(cluster.list(RECORDS, namespace), key=lambda each: (each["spec"]["rollout"], each["spec"]["page"]))
    keys: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for page in pages:
        keys[page["spec"]["rollout"]] += [(w["transition"], w["number"]) for w in page["spec"].get("windows", [])]
    return keys
