"""The model servers, each as a context manager: installed if it is missing, running inside the block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.verify.servers.environments import PROGRAMS, Environment, ensure, variables
from tests.verify.servers.process import LOOPBACK, RunningServer, free_ports, running


@contextmanager
def kserve(folder: Path) -> Iterator[RunningServer]:
    """Run KServe's ModelServer, which speaks OpenInference v2 and KServe V1; `folder` is empty and the server's own."""
    environment = ensure("kserve")
    (port,) = free_ports(1)
    server = RunningServer("kserve", port, folder / "output.log", metrics_port=port)
    command = [environment.python, PROGRAMS / "kserve_iris.py", f"--http_port={port}"]
    with running(server, command, variables=variables(environment, folder), ready_path="/v2/health/ready"):
        yield server


@contextmanager
def mlserver(folder: Path) -> Iterator[RunningServer]:
    """Run MLServer with a scikit-learn model; its metrics are on a port of their own."""
    environment = ensure("mlserver")
    port, grpc_port, metrics_port = free_ports(3)
    server = RunningServer("mlserver", port, folder / "output.log", metrics_port=metrics_port)
    settings = {
        "MLSERVER_HOST": LOOPBACK,
        "MLSERVER_HTTP_PORT": str(port),
        "MLSERVER_GRPC_PORT": str(grpc_port),
        "MLSERVER_METRICS_PORT": str(metrics_port),
        "MLSERVER_PARALLEL_WORKERS": "0",
    }
    command = [_script(environment, "mlserver"), "start", environment.model]
    with running(server, command, variables=_with(environment, folder, settings), ready_path="/v2/health/ready"):
        yield server


@contextmanager
def mlflow(folder: Path) -> Iterator[RunningServer]:
    """Run `mlflow models serve` with a scikit-learn model; it has no page of metrics."""
    environment = ensure("mlflow")
    (port,) = free_ports(1)
    server = RunningServer("mlflow", port, folder / "output.log")
    where = ("--host", LOOPBACK, "--port", str(port), "--workers", "1")
    command = [_script(environment, "mlflow"), "models", "serve", "--model-uri", environment.model, *where]
    command += ["--env-manager", "local"]
    with running(server, command, variables=variables(environment, folder), ready_path="/ping"):
        yield server


@contextmanager
def bentoml(folder: Path) -> Iterator[RunningServer]:
    """Run a BentoML service with one endpoint, `/classify`."""
    environment = ensure("bentoml")
    (port,) = free_ports(1)
    server = RunningServer("bentoml", port, folder / "output.log", metrics_port=port)
    where = ("--host", LOOPBACK, "--port", str(port), "--working-dir", PROGRAMS)
    command = [_script(environment, "bentoml"), "serve", "bento_iris:Iris", *where]
    with running(server, command, variables=variables(environment, folder), ready_path="/readyz"):
        yield server


def _script(environment: Environment, name: str) -> Path:
    return environment.python.with_name(name)


def _with(environment: Environment, home: Path, settings: Mapping[str, str]) -> dict[str, str]:
    return {**variables(environment, home), **settings}
