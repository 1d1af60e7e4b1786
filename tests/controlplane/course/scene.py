"""What a course needs: the objects of many rollouts, a whole operator process, and patience."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import requests
import yaml

from controller.api.names import API_VERSION, ROLLOUT_KIND
from controller.observe.cluster import EVENTS, HTTP_ROUTES, RECORDS, ROLLOUTS, Cluster, Kind, NotFound
from tests.cluster.layout import SOURCE
from tests.controlplane.conftest import Kubectl
from tests.controlplane.course.counters import RATIO, SCRAPE, Counters, Model, Traffic, pod_of
from tests.controlplane.objects import (
    Labels,
    backend,
    make_deployment,
    make_http_route,
    make_pod,
    make_service,
    pod_status,
)
from tests.controlplane.watching import Watching

Json = dict[str, Any]

PATIENCE: Final = 90.0
"""Seconds until something that must happen has happened, on a busy machine too."""

LONG_READY: Final = pod_status(ready="True", since="2020-01-01T00:00:00Z")


def eventually(happened: Callable[[], bool], otherwise: Callable[[], str]) -> None:
    """Wait until it has happened; fail in words when it never does."""
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end, f"still not after {PATIENCE:g} s: {otherwise()}"
        time.sleep(0.1)


class Operator:
    """The whole operator, as its command starts it."""

    def __init__(self, folder: Path, kubeconfig: Path, settings: Json) -> None:
        self._folder = folder
        config = folder / "config.yaml"
        config.write_text(yaml.safe_dump(settings))
        self.log.touch()
        entry = ("-m", "controller", "run", "--config", str(config), "--kubeconfig", str(kubeconfig))
        self._command = [sys.executable, *entry, "--no-leader-election", "--log-format", "text"]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it serves its metrics."""
        begun = len(self._ports())
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, cwd=SOURCE.parent.parent, stdout=log, stderr=log)
        eventually(lambda: len(self._ports()) > begun, self.log.read_text)

    def stop(self) -> None:
        """Tell it to stop, and wait for that."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            assert self._process.wait(PATIENCE) == 0, self.log.read_text()
            self._process = None

    def kill(self) -> None:
        """End it at once, in the midst of whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self._process = None

    @property
    def log(self) -> Path:
        """Its log."""
        return self._folder / "operator.log"

    def turns(self) -> int:
        """Return how many turns have ended well since it was started."""
        answer = requests.get(f"http://127.0.0.1:{self._ports()[-1]}/metrics", timeout=10).text
        counts = re.findall(r'^modelrollout_turn_seconds_count\{outcome="done"\} (\S+)$', answer, re.MULTILINE)
        return sum(int(float(count)) for count in counts)

    def _ports(self) -> list[str]:
        return re.findall(r"metrics and probes on port (\d+)", self.log.read_text())


@dataclass
class Course:
    """One namespace with an operator of its own, and the rollouts in it.

    The arms of rollout ``x`` are Deployments and Services ``x-v1`` and ``x-v2``; its HTTPRoute is ``x``.
    """

    namespace: str
    cluster: Cluster
    kubectl: Kubectl
    traffic: Traffic
    rollouts: Watching
    routes: Watching
    counters: dict[str, Counters]
    operator: Operator
    _asked: int = field(default=0)

    def end_counters(self) -> None:
        """Free the ports of all Prometheus servers."""
        for server in self.counters.values():
            server.end()

    def arm(self, name: str, *, model: Model | None = None, labels: Labels | None = None) -> None:
        """Create a Deployment with its pod and its Service, rolled out and serving."""
        labels = labels or {"app": name}
        make_deployment(self.cluster, self.namespace, name, labels=labels)
        make_service(self.cluster, self.namespace, name, selector=labels)
        make_pod(self.cluster, self.namespace, pod_of(name), labels=labels, deployment=name, status=LONG_READY)
        self.traffic.models[name] = model or Model()

    def stage(self, name: str, *, good: Model | None = None, candidate: Model | None = None) -> None:
        """Create both arms of a rollout, and the route that sends everything to stable."""
        self.arm(f"{name}-v1", model=good)
        self.arm(f"{name}-v2", model=candidate)
        rule = [backend(f"{name}-v1", 100), backend(f"{name}-v2", 0)]
        make_http_route(self.cluster, self.namespace, rule, route=name)

    def roll_out(self, name: str, spec: Json | None = None) -> None:
        """Create a ModelRollout; ``spec`` is merged into that of ``rollout_body``, None takes a part of it away."""
        self.cluster.create(ROLLOUTS, self.namespace, rollout_body(name, spec or {}))

    def status(self, name: str) -> Json:
        """Return the status as it is now; empty while there is none."""
        status: Json = self.cluster.get(ROLLOUTS, self.namespace, name).get("status") or {}
        return status

    def until(self, name: str, holds: Callable[[Json], bool]) -> Json:
        """Wait until the status is as wanted, and return it."""
        status: Json = {}

        def look() -> bool:
            nonlocal status
            status = self.status(name)
            return holds(status)

        eventually(look, lambda: f"{name}: {json.dumps(status, indent=1)}")
        return status

    def until_phase(self, name: str, phase: str) -> Json:
        """Wait for a phase, and return the status."""
        return self.until(name, lambda status: status.get("phase") == phase)

    def until_serving(self, name: str, weight: int = 25) -> Json:
        """Wait until the candidate is known to get that share, in Progressing; return the status."""
        return self.until(
            name, lambda status: status.get("phase") == "Progressing" and status["traffic"]["appliedWeight"] == weight
        )

    def until_gone(self, name: str) -> None:
        """Wait until the ModelRollout is gone."""
        eventually(lambda: not self.exists(ROLLOUTS, name), lambda: json.dumps(self.status(name), indent=1))

    def finalized(self, name: str) -> bool:
        """Whether the ModelRollout has a finalizer."""
        return bool(self.cluster.get(ROLLOUTS, self.namespace, name)["metadata"].get("finalizers"))

    def exists(self, kind: Kind, name: str) -> bool:
        """Whether the object is there."""
        try:
            self.cluster.get(kind, self.namespace, name)
        except NotFound:
            return False
        return True

    def change(self, kind: Kind, name: str, body: Json) -> None:
        """Change an object by a merge patch."""
        self.cluster.merge_patch(kind, self.namespace, name, body)

    def delete(self, kind: Kind, name: str) -> None:
        """Delete an object, without waiting for its end."""
        self.cluster.delete(kind, self.namespace, name)

    def weights(self, route: str) -> dict[str, int]:
        """Return what the route's first rule holds."""
        rules = self.cluster.get(HTTP_ROUTES, self.namespace, route)["spec"]["rules"]
        return {entry["name"]: entry["weight"] for entry in rules[0]["backendRefs"]}

    def seen_weights(self, name: str) -> list[int]:
        """Return the weights of ``<name>-v2`` that the route was seen to hold, each once in a row."""
        weights: list[int] = []
        for seen in self.routes.seen(name):
            entries = seen.thing["spec"]["rules"][0]["backendRefs"]
            weight = next((entry["weight"] for entry in entries if entry["name"] == f"{name}-v2"), 0)
            if weights[-1:] != [weight]:
                weights.append(weight)
        return weights

    def ask(self, name: str, action: str, *, epoch: int | None = None, ident: str | None = None) -> str:
        """Request something by annotation; return the request's id."""
        self._asked += 1
        ident = ident or f"request-{self._asked}"
        number = self.status(name)["epoch"] if epoch is None else epoch
        request = json.dumps({"id": ident, "epoch": number, "action": action, "reason": "a test"})
        self.kubectl("annotate", "mro", name, f"modelrollout.dev/request={request}", "--overwrite")
        return ident

    def events(self, name: str) -> list[Json]:
        """Return the events about the rollout, oldest first."""
        found = [each for each in self.cluster.list(EVENTS, self.namespace) if each["involvedObject"]["name"] == name]
        return sorted(found, key=lambda each: int(each["metadata"]["resourceVersion"]))

    def until_told(self, name: str, reason: str) -> None:
        """Wait until an event with that reason is the newest about the rollout; events come after the deed."""
        eventually(
            lambda: [each["reason"] for each in self.events(name)][-1:] == [reason],
            lambda: json.dumps([each["message"] for each in self.events(name)], indent=1),
        )

    def windows(self, name: str, epoch: int = 1) -> list[Json]:
        """Return the recorded windows of an epoch, pages in order."""
        pages = [each["spec"] for each in self.cluster.list(RECORDS, self.namespace) if each["spec"]["rollout"] == name]
        own = sorted((page for page in pages if page["epoch"] == epoch), key=lambda page: int(page["page"]))
        return [window for page in own for window in page.get("windows", [])]


def rollout_body(name: str, changes: Json) -> Json:
    """Return a ModelRollout that goes to 25 % and stays there: its first window ends in an hour."""
    spec: Json = {
        "stable": {"deployment": f"{name}-v1"},
        "candidate": {"deployment": f"{name}-v2"},
        "traffic": {"gateway": {"httpRoute": name}},
        "strategy": {"steps": [25], "interval": "1h", "warmup": "0s", "minWindows": 1, "dataTimeout": "2h"},
        "analysis": {"metrics": [{"name": "errors", "ratio": RATIO, "margin": {"absolute": "0.02"}}]},
    }
    metadata = {"name": name}
    return {"apiVersion": API_VERSION, "kind": ROLLOUT_KIND, "metadata": metadata, "spec": merged(spec, changes)}


QUICK: Final[Json] = {"strategy": {"interval": "1s", "minWindows": 2}}
"""Changes for rollouts whose windows matter to the test."""


def merged(old: Json, changes: Mapping[str, Any]) -> Json:
    """Return a merge-patched copy."""
    new = {key: value for key, value in old.items() if changes.get(key, value) is not None}
    for key, value in changes.items():
        if value is not None:
            new[key] = merged(old.get(key) or {}, value) if isinstance(value, Mapping) else value
    return new


def settings_for(namespace: str, counters: Mapping[str, str], **more: Any) -> Json:
    """Return the operator's settings for one namespace and Prometheus servers by name and URL."""
    servers: list[Json] = [
        {"name": name, "url": url, "scrapeInterval": f"{round(1000 * SCRAPE)}ms", "settle": "100ms"}
        for name, url in counters.items()
    ]
    servers.append({"name": "slow", "url": "http://127.0.0.1:9", "scrapeInterval": "15s", "allowQueries": True})
    return {
        "prometheus": servers,
        "namespaces": [namespace],
        "listen": {"address": "127.0.0.1", "port": 0},
        "logs": {"level": "info"},
        **more,
    }


def condition(status: Json, kind: str) -> Json:
    """Return a condition; empty while it is not there."""
    return next((each for each in status.get("conditions", ()) if each["type"] == kind), {})
