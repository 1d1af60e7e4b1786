"""What idle rollouts cost: memory, API requests per second, and the time of a turn, on the real API server.

    python -m tests.bench.idle [--rollouts 500] [--seconds 120]

Requests are counted by the API server itself (``apiserver_request_total``), so that watches and the informer count too.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
import yaml

from controller.api.names import API_VERSION
from controller.observe.cluster import HTTP_ROUTES, ROLLOUTS, SERVICES, Cluster, connect
from tests.cluster import addons
from tests.cluster.layout import SOURCE, Layout, Size
from tests.controlplane.objects import make_deployment

CHECKOUT = SOURCE.parent.parent
PORT = 18_081
MEBIBYTE = 2**20


def main() -> None:
    """Measure with no rollout, then with many."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rollouts", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=120.0)
    arguments = parser.parse_args()
    with own_control_plane() as layout:
        measure(layout, rollouts=arguments.rollouts, seconds=arguments.seconds)


@contextmanager
def own_control_plane() -> Iterator[Layout]:
    """An API server that nobody else asks, with all definitions; gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout(Path(folder), Size.CONTROL_PLANE)
        tool = [sys.executable, "-m", "tests.cluster", "--checkout", folder]
        subprocess.run([*tool, "up", "--size", layout.size.value], cwd=CHECKOUT, check=True)
        try:
            for definitions in (CHECKOUT / "manifests" / "crds", addons.gateway_definitions()):
                _kubectl(layout, "apply", "--server-side", f"--filename={definitions}")
            _kubectl(layout, "wait", "--for=condition=Established", "customresourcedefinitions", "--all")
            yield layout
        finally:
            subprocess.run([*tool, "down"], cwd=CHECKOUT, check=True)


def measure(layout: Layout, *, rollouts: int, seconds: float) -> None:
    """Start the operator, measure, add rollouts, measure again."""
    cluster, namespace = connect(str(layout.kubeconfig)), f"bench-{uuid.uuid4().hex[:8]}"
    _kubectl(layout, "create", "namespace", namespace)
    own = _rate(layout, 30)
    with tempfile.TemporaryDirectory() as folder:
        process = _operator(layout, Path(folder), namespace)
        try:
            _wait_until_ready()
            time.sleep(10)
            print(f"RSS with 0 rollouts: {_rss(process.pid):.1f} MiB")
            _populate(cluster, namespace, rollouts)
            _wait_until_idle(cluster, namespace, rollouts)
            time.sleep(30)
            print(f"RSS with {rollouts} idle rollouts: {_rss(process.pid):.1f} MiB")
            rate = _rate(layout, seconds) - own
            print(f"API requests per second with {rollouts} idle rollouts: {rate:.2f} (the server's own: {own:.2f})")
            print(f"Turn: {_turn_milliseconds():.1f} ms on average, the API server's answers included")
        finally:
            process.terminate()
            process.wait(30)


def _operator(layout: Layout, folder: Path, namespace: str) -> "subprocess.Popen[bytes]":
    settings = {
        "prometheus": [{"name": "default", "url": "http://127.0.0.1:9", "scrapeInterval": "2s"}],
        "leaderElection": {"enabled": True, "namespace": namespace},
        "listen": {"address": "127.0.0.1", "port": PORT},
        "logs": {"format": "text", "level": "warning"},
    }
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "controller", "run", f"--config={config}", f"--kubeconfig={layout.kubeconfig}"]
    return subprocess.Popen(command, cwd=CHECKOUT)


def _wait_until_ready() -> None:
    for _ in range(120):
        try:
            if requests.get(f"http://127.0.0.1:{PORT}/readyz", timeout=2).ok:
                return
        except requests.ConnectionError:
            pass
        time.sleep(0.5)
    raise SystemExit("the operator was not ready within a minute")


def _populate(cluster: Cluster, namespace: str, count: int) -> None:
    """Give each rollout a Deployment of its own and a route that sends everything there."""
    for number in range(count):
        name = f"m-{number}"
        make_deployment(cluster, namespace, name, labels={"app": name})
        backend = {"name": name, "port": 80, "weight": 100}
        route = {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": name},
            "spec": {"parentRefs": [{"name": "gateway"}], "rules": [{"backendRefs": [backend]}]},
        }
        cluster.create(HTTP_ROUTES, namespace, route)
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {"selector": {"app": name}, "ports": [{"port": 80}]},
        }
        cluster.create(SERVICES, namespace, service)
        metric = {"name": "errors", "preset": "mlr/errors"}
        spec = {
            "stable": {"deployment": name},
            "traffic": {"gateway": {"httpRoute": name}},
            "analysis": {"metrics": [metric]},
        }
        body = {"apiVersion": API_VERSION, "kind": "ModelRollout", "metadata": {"name": name}, "spec": spec}
        cluster.create(ROLLOUTS, namespace, body)


def _wait_until_idle(cluster: Cluster, namespace: str, count: int) -> None:
    for _ in range(300):
        phases = [each.get("status", {}).get("phase") for each in cluster.list(ROLLOUTS, namespace)]
        if phases.count("Idle") == count:
            return
        time.sleep(1)
    raise SystemExit(f"only {phases.count('Idle')} of {count} rollouts are idle: {set(phases)}")


def _rss(pid: int) -> float:
    """Resident memory in MiB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024 / MEBIBYTE


def _requests(layout: Layout) -> float:
    """All requests that the API server has answered so far, those of its own inner parts included."""
    lines = _kubectl(layout, "get", "--raw=/metrics").splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("apiserver_request_total{"))


def _rate(layout: Layout, seconds: float) -> float:
    before, start = _requests(layout), time.monotonic()
    time.sleep(seconds)
    return (_requests(layout) - before) / (time.monotonic() - start)


def _turn_milliseconds() -> float:
    text = requests.get(f"http://127.0.0.1:{PORT}/metrics", timeout=5).text
    totals = {
        kind: sum(float(each) for each in re.findall(rf"^modelrollout_turn_seconds_{kind}{{.*}} (\S+)$", text, re.M))
        for kind in ("sum", "count")
    }
    return 1000 * totals["sum"] / totals["count"]


def _kubectl(layout: Layout, *arguments: str) -> str:
    command = [str(layout.enter), "kubectl", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
