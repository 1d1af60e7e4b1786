"""The demo's real models, trained once, and its real server as a process."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import pytest

from examples.demo.train import train

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, object]:
        document = json.loads(self.body)
        assert isinstance(document, dict)
        return document


@dataclass(frozen=True)
class Server:
    """A running server process."""

    process: subprocess.Popen[str]
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str) -> Answer:
        return ask(self.port, "GET", path)

    def post(self, path: str, document: object, **headers: str) -> Answer:
        return ask(self.port, "POST", path, json.dumps(document).encode(), headers)

    def count(self, series: str) -> float:
        """The value of one series, written as in the text format with labels in alphabetical order."""
        found = re.search(rf"^{re.escape(series)} (\S+)$", self.get("/metrics").body.decode(), re.MULTILINE)
        assert found, f"{series} is not exported"
        return float(found[1])


def ask(
    port: int, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
    finally:
        connection.close()


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    train(folder)
    return folder


@pytest.fixture(scope="session")
def holdout(models: Path) -> dict[str, list[list[int]]]:
    document = json.loads((models / "holdout.json").read_text())
    assert isinstance(document, dict)
    return document


@pytest.fixture
def serve(models: Path) -> Iterator[Callable[..., Server]]:
    """Start servers that end with the test."""
    started: list[Server] = []

    def start(version: str, **environment: str) -> Server:
        started.append(_start(models, version, **environment))
        return started[-1]

    yield start
    for server in started:
        _end(server)


@pytest.fixture(scope="session")
def shared(models: Path) -> Iterator[Server]:
    """One server, version good, for tests that leave no trace but refused requests."""
    server = _start(models, "good")
    yield server
    _end(server)


def _start(models: Path, version: str, **environment: str) -> Server:
    own = {"MODEL_VERSION": version, "MODEL_DIR": str(models), "HOST": "127.0.0.1", "PORT": "0"}
    process = subprocess.Popen(
        [sys.executable, "-m", "examples.demo.server"],
        cwd=ROOT,
        env=os.environ | own | environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    return Server(process, _port(process))


def _end(server: Server) -> None:
    server.process.send_signal(signal.SIGKILL)
    server.process.communicate()


def _port(process: subprocess.Popen[str]) -> int:
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        if found := re.search(r"on port (\d+)", line):
            return int(found[1])
        lines.append(line)
    raise AssertionError(f"the server did not start: {''.join(lines)}")
