"""A real Prometheus on the loopback that scrapes exporters of this very process, each of them standing for a pod."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from wsgiref.simple_server import WSGIServer

import pytest
import requests
from prometheus_client import CollectorRegistry, Counter, start_http_server

PATIENCE_SECONDS = 20
"""After that what was waited for is taken as not coming."""


class Scraped(Protocol):
    """What stands for a pod."""

    address: str
    labels: dict[str, str]

    def end(self) -> None:
        """Let the pod die."""


class Exporter:
    """A pod: a model server's counters at an address of their own."""

    def __init__(self, pod: str, *, namespace: str = "shop", **labels: str) -> None:
        self.pod = pod
        self.labels = {"namespace": namespace, "pod": pod, **labels}
        registry = CollectorRegistry()
        self._requests = Counter("mlr_requests", "Requests.", ["outcome"], registry=registry)
        self._feedback = Counter("mlr_feedback", "Feedback.", ["result"], registry=registry)
        self._server: WSGIServer
        self._server, self._thread = start_http_server(0, addr="127.0.0.1", registry=registry)
        self.address = f"127.0.0.1:{self._server.server_port}"
        self.silent = False

    def serve(self, *, good: int = 0, wrong: int = 0, broken: int = 0) -> None:
        """Count requests; a label's series begins with its first request."""
        for amount, result in ((good, "correct"), (wrong, "incorrect")):
            if amount:
                self._feedback.labels(result).inc(amount)
                self._requests.labels("success").inc(amount)
        if broken:
            self._requests.labels("server_error").inc(broken)

    def end(self) -> None:
        """Let the pod die; its address refuses connections from now on."""
        if not self.silent:
            self.silent = True
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()


@dataclass
class PrometheusProcess:
    """Prometheus with a storage of its own; scrapes each exporter twice a second."""

    folder: Path
    exporters: list[Scraped] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"
        discovery = {"files": [str(self.folder / "targets.json")], "refresh_interval": "1s"}
        jobs = [{"job_name": "pods", "file_sd_configs": [discovery]}]
        config = {"global": {"scrape_interval": "500ms", "scrape_timeout": "500ms"}, "scrape_configs": jobs}
        (self.folder / "prometheus.yml").write_text(json.dumps(config))
        self.discover()

    def discover(self) -> None:
        """Tell Prometheus which pods there are."""
        targets = [{"targets": [each.address], "labels": each.labels} for each in self.exporters]
        fresh = self.folder / "targets.fresh"
        fresh.write_text(json.dumps(targets))
        fresh.rename(self.folder / "targets.json")

    def start(self) -> None:
        """Start it and wait until it answers."""
        program = shutil.which("prometheus")
        if program is None:
            pytest.fail("the program prometheus is missing: install Debian's package prometheus, or put it on PATH")
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    program,
                    f"--config.file={self.folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self.folder / 'storage'}",
                    f"--web.listen-address={self.url.removeprefix('http://')}",
                    "--log.level=warn",
                ],
                stdout=log,
                stderr=log,
            )
        wait_until(self._ready, lambda: f"Prometheus does not answer; its log: {(self.folder / 'log').read_text()}")

    def stop(self) -> None:
        """End it; what it has stored stays."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=PATIENCE_SECONDS)
            self.process = None

    def value(self, query: str) -> float | None:
        """Return the first value of a query, or None when there is none."""
        answer = requests.get(f"{self.url}/api/v1/query", params={"query": query}, timeout=5).json()
        result: list[dict[str, Any]] = answer["data"]["result"]
        return float(result[0]["value"][1]) if result else None

    def _ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/-/ready", timeout=1).ok
        except requests.ConnectionError:
            return False


def wait_until(holds: Callable[[], bool], otherwise: Callable[[], str]) -> None:
    """Wait until something holds, or fail in words."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(otherwise())
        time.sleep(0.05)


def now() -> datetime:
    """Return the time by the clock that Prometheus has, too."""
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusProcess]:
    process = PrometheusProcess(tmp_path_factory.mktemp("prometheus"))
    process.start()
    try:
        yield process
    finally:
        process.stop()
        for exporter in process.exporters:
            exporter.end()
