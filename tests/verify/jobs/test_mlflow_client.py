"""The MLflow client against servers that mean harm, and which of several places counts.

The servers here are written from the REST specification; tests/verify/servers asks a real one.
"""

import json
import re
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from controller.api.verify import MlflowModel
from controller.observe import mlflow
from controller.observe.mlflow import MlflowError, MlflowServer, read_mlflow
from tests.verify.protocols.loopback import Application, Reply, Request, on_the_wire, reply, serving

MODEL = {"model": "fraud", "version": "7"}


def read(url: str, *, server: MlflowServer | None = None) -> dict[str, str]:
    return read_mlflow(MlflowModel(tracking_uri=url, **MODEL), servers=[server or MlflowServer(url)])


def pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]


def registry(
    *, version: Mapping[str, str] | None = None, tags: Mapping[str, str] | None = None, inputs: Any = None
) -> Application:
    """A tracking server with one model version."""

    def answer(request: Request) -> Reply:
        if request.path.startswith("/api/2.0/mlflow/model-versions/get?name=fraud&version=7"):
            return reply({"model_version": {"run_id": "r1", "tags": pairs(version or {})}})
        assert request.path == "/api/2.0/mlflow/runs/get?run_id=r1"
        run = {"data": {"tags": pairs(tags or {})}, "inputs": {"dataset_inputs": inputs or []}}
        return reply({"run": run})

    return answer


def dataset(digest: str, context: str) -> Any:
    return {"dataset": {"digest": digest}, "tags": pairs({"mlflow.data.context": context})}


def test_marks_come_before_what_mlflow_writes_and_the_version_before_its_run() -> None:
    version = {"modelrollout.dev/modelDigest": "of-version"}
    tags = {
        "mlflow.source.git.commit": "by-mlflow",
        "codeRevision": "plain",
        "modelrollout.dev/codeRevision": "marked",
        "modelDigest": "of-run",
        "mlflow.docker.image.id": "image",
    }
    inputs = [dataset("train", "training"), dataset("test", "eval")]
    with serving(registry(version=version, tags=tags, inputs=inputs)) as target:
        assert read(f"http://127.0.0.1:{target.port}") == {
            "codeRevision": "marked",
            "dataDigest": "train",
            "environmentDigest": "image",
            "modelDigest": "of-version",
        }


@pytest.mark.parametrize(
    "inputs", [[dataset("a", "training"), dataset("b", "training")], [{"dataset": None}] * 2, "no list", [7]]
)
def test_data_that_is_not_one_dataset_is_no_digest(inputs: Any) -> None:
    with serving(registry(inputs=inputs)) as target:
        assert "dataDigest" not in read(f"http://127.0.0.1:{target.port}")


def test_a_server_that_is_not_configured_is_never_asked() -> None:
    asked: list[Request] = []

    def note(request: Request) -> Reply:
        asked.append(request)
        return reply({})

    configured = MlflowServer("https://user:secret@mlflow.example/team/")
    with serving(note) as target, pytest.raises(MlflowError) as refusal:
        read(f"http://127.0.0.1:{target.port}", server=configured)
    assert asked == []
    assert not refusal.value.passing
    assert "is no MLflow server of the operator's settings (https://mlflow.example/team)" in refusal.value.message
    assert "secret" not in refusal.value.message


def test_the_token_is_sent_and_read_anew(tmp_path: Path) -> None:
    seen: list[str] = []
    answer = registry()

    def note(request: Request) -> Reply:
        seen.append(request.headers.get("authorization", ""))
        token.write_text("second\n")
        return answer(request)

    token = tmp_path / "token"
    token.write_text("first\n")
    with serving(note) as target:
        url = f"http://127.0.0.1:{target.port}"
        read(url, server=MlflowServer(url, str(token)))
        assert seen == ["Bearer first", "Bearer second"]
        with pytest.raises(MlflowError, match=r"bearerTokenFile .* cannot be read"):
            read(url, server=MlflowServer(url, str(tmp_path / "none")))


def test_a_redirect_is_not_followed() -> None:
    asked: list[Request] = []

    def note(request: Request) -> Reply:
        asked.append(request)
        return reply({})

    with serving(note) as other:
        elsewhere = Reply(307, headers={"Location": f"http://127.0.0.1:{other.port}/"})
        with serving(lambda _: elsewhere) as target, pytest.raises(MlflowError, match="HTTP 307"):
            read(f"http://127.0.0.1:{target.port}")
    assert asked == []


@pytest.mark.parametrize(
    ("answer", "problem", "passing"),
    [
        (Reply(200, b"<html>"), "no JSON object but b'<html>'", False),
        (Reply(200, b"[" * 100_000), "no JSON object", False),
        (Reply(200, b"{}"), "expected model_version in MLflow's answer, found {}", False),
        (Reply(200, b'{"model_version": 7}'), "expected model_version in MLflow's answer", False),
        (Reply(200, json.dumps({"x": "y" * 5 * 2**20}).encode()), "more than 4 MiB", False),
        (Reply(404, b'{"message": "no such model"}'), "HTTP 404: no such model", False),
        (Reply(503, b"later"), "HTTP 503: later", True),
    ],
)
def test_what_is_no_answer_is_told(answer: Reply, problem: str, passing: bool) -> None:
    with serving(lambda _: answer) as target, pytest.raises(MlflowError, match=re.escape(problem)) as error:
        read(f"http://127.0.0.1:{target.port}")
    assert error.value.passing is passing


def test_a_server_that_trickles_holds_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow, "ANSWER_SECONDS", 0.5)

    def trickle(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        for _ in range(100):
            connection.sendall(b" ")
            time.sleep(0.1)

    with on_the_wire(trickle) as target, pytest.raises(MlflowError, match="nothing complete within") as error:
        read(f"http://127.0.0.1:{target.port}")
    assert error.value.passing


def test_a_server_that_is_away_is_asked_again_later() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(MlflowError, match="Connection refused") as error:
            read(f"http://127.0.0.1:{unused.getsockname()[1]}")
    assert error.value.passing
