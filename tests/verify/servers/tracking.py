"""A real MLflow tracking server, and a registered model version whose run carries where the model comes from."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import requests

from tests.verify.servers.environments import ensure, variables
from tests.verify.servers.process import LOOPBACK, RunningServer, free_ports, running

SECONDS = 30.0

CODE_REVISION = "4f2c1d0e9b8a7c6d5e4f3a2b1c0d9e8f7a6b5c4d"
DATA_DIGEST = "sha256:" + "ab12" * 16
ENVIRONMENT_DIGEST = "sha256:" + "cd34" * 16

PARAMS: Mapping[str, str] = MappingProxyType({"dataDigest": DATA_DIGEST, "C": "1.0", "seed": "7"})
TAGS: Mapping[str, str] = MappingProxyType(
    {"mlflow.source.git.commit": CODE_REVISION, "codeRevision": CODE_REVISION, "environmentDigest": ENVIRONMENT_DIGEST}
)


@dataclass(frozen=True)
class RegisteredVersion:
    """A version in the registry, as `provenance.mlflow` names it, and the run that it came from."""

    tracking_uri: str
    model: str
    version: str
    run_id: str


@contextmanager
def tracking_server(folder: Path) -> Iterator[RunningServer]:
    """Run `mlflow server` on an empty database; `folder` is empty and the server's own."""
    environment = ensure("mlflow")
    (port,) = free_ports(1)
    server = RunningServer("mlflow-tracking", port, folder / "output.log")
    command = [
        environment.python.with_name("mlflow"),
        "server",
        f"--backend-store-uri=sqlite:///{folder}/tracking.db",
        f"--artifacts-destination={folder}/artifacts",
        f"--host={LOOPBACK}",
        f"--port={port}",
        "--workers=1",
    ]
    with running(server, command, variables=variables(environment, folder), ready_path="/health"):
        yield server


def register(
    tracking_uri: str,
    *,
    model: str = "iris",
    params: Mapping[str, str] = PARAMS,
    tags: Mapping[str, str] = TAGS,
    version_tags: Mapping[str, str] = MappingProxyType({}),
) -> RegisteredVersion:
    """Register the next version of the model, from a new run with these params and tags, over the REST API."""
    now = int(time.time() * 1000)
    run = _call(tracking_uri, "runs/create", experiment_id="0", start_time=now, tags=_pairs(tags))["run"]["info"]
    _call(tracking_uri, "runs/log-batch", run_id=run["run_id"], params=_pairs(params))
    _call(tracking_uri, "runs/update", run_id=run["run_id"], status="FINISHED", end_time=now)
    known = requests.get(_address(tracking_uri, "registered-models/get"), {"name": model}, timeout=SECONDS)
    if known.status_code == requests.codes.not_found:
        _call(tracking_uri, "registered-models/create", name=model)
    source = {"source": f"{run['artifact_uri']}/model", "run_id": run["run_id"]}
    made = _call(tracking_uri, "model-versions/create", name=model, tags=_pairs(version_tags), **source)
    return RegisteredVersion(tracking_uri, model, made["model_version"]["version"], run["run_id"])


def _pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]


def _address(tracking_uri: str, method: str) -> str:
    return f"{tracking_uri}/api/2.0/mlflow/{method}"


def _call(tracking_uri: str, method: str, **body: object) -> dict[str, Any]:
    answer = requests.post(_address(tracking_uri, method), json=body, timeout=SECONDS)
    assert answer.ok, f"{method}: {answer.status_code} {answer.text}"
    return answer.json()
