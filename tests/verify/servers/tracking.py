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
DATA_DIGEST = "8d5c1c3e"
ENVIRONMENT_DIGEST = "sha256:" + "cd34" * 16
MODEL_DIGEST = "sha256:" + "ef56" * 16
CONFIG_DIGEST = "sha256:" + "0a78" * 16

NONE: Mapping[str, str] = MappingProxyType({})
PARAMS: Mapping[str, str] = MappingProxyType({"modelrollout.dev/configDigest": CONFIG_DIGEST, "C": "1.0", "seed": "7"})
TAGS: Mapping[str, str] = MappingProxyType(
    {"mlflow.source.git.commit": CODE_REVISION, "modelrollout.dev/environmentDigest": ENVIRONMENT_DIGEST}
)
VERSION_TAGS: Mapping[str, str] = MappingProxyType({"modelrollout.dev/modelDigest": MODEL_DIGEST})
DATASETS: Mapping[str, str] = MappingProxyType({"training": DATA_DIGEST, "eval": "99999999"})


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
    settings = {**variables(environment, folder), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with running(server, command, variables=settings, ready_path="/health"):
        yield server


def register(
    tracking_uri: str,
    *,
    model: str = "iris",
    params: Mapping[str, str] = PARAMS,
    tags: Mapping[str, str] = TAGS,
    version_tags: Mapping[str, str] = VERSION_TAGS,
    datasets: Mapping[str, str] = DATASETS,
) -> RegisteredVersion:
    """Register the next version of the model over the REST API, as from a run that has ended.

    ``params`` and ``tags`` are the run's, ``version_tags`` the version's own; ``datasets`` are digests by context.
    """
    now = int(time.time() * 1000)
    run = _call(tracking_uri, "runs/create", experiment_id="0", start_time=now, tags=_pairs(tags))["run"]["info"]
    _call(tracking_uri, "runs/log-batch", run_id=run["run_id"], params=_pairs(params))
    _call(tracking_uri, "runs/log-inputs", run_id=run["run_id"], datasets=_used(datasets))
    _call(tracking_uri, "runs/update", run_id=run["run_id"], status="FINISHED", end_time=now)
    known = requests.get(_address(tracking_uri, "registered-models/get"), {"name": model}, timeout=SECONDS)
    if known.status_code == requests.codes.not_found:
        _call(tracking_uri, "registered-models/create", name=model)
    source = {"source": f"{run['artifact_uri']}/model", "run_id": run["run_id"]}
    made = _call(tracking_uri, "model-versions/create", name=model, tags=_pairs(version_tags), **source)
    return RegisteredVersion(tracking_uri, model, made["model_version"]["version"], run["run_id"])


def _used(datasets: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return what a run says of the data that it used: each with what it was used for."""
    return [
        {
            "tags": _pairs({"mlflow.data.context": context}),
            "dataset": {"name": context, "digest": digest, "source_type": "local", "source": "{}"},
        }
        for context, digest in datasets.items()
    ]


def _pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]


def _address(tracking_uri: str, method: str) -> str:
    return f"{tracking_uri}/api/2.0/mlflow/{method}"


def _call(tracking_uri: str, method: str, **body: object) -> dict[str, Any]:
    answer = requests.post(_address(tracking_uri, method), json=body, timeout=SECONDS)
    assert answer.ok, f"{method}: {answer.status_code} {answer.text}"
    return answer.json()
