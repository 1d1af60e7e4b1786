"""Operators that end with their test."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.cluster.layout import Layout
from tests.controlplane.process.bench import Operator
from tests.controlplane.process.relay import Relay


@pytest.fixture
def start(tmp_path: Path, control_plane: Layout) -> Iterator[Callable[..., Operator]]:
    """Start operators: ``start(kubeconfig=…, **settings)``, as the administrator by default."""
    running: list[Operator] = []

    def start(*, kubeconfig: Path = control_plane.kubeconfig, **settings: Any) -> Operator:
        operator = Operator(tmp_path / f"operator-{len(running)}", kubeconfig=kubeconfig, **settings)
        running.append(operator)
        return operator

    yield start
    for operator in running:
        operator.kill()


@pytest.fixture
def relay(control_plane: Layout) -> Iterator[Relay]:
    """A relay in front of the API server."""
    server = urlsplit(_content(control_plane.kubeconfig)["clusters"][0]["cluster"]["server"])
    assert server.hostname
    assert server.port
    relay = Relay(server.hostname, server.port)
    yield relay
    relay.close()


@pytest.fixture
def relayed(relay: Relay, control_plane: Layout, tmp_path: Path) -> Path:
    """A kubeconfig that leads through the relay."""
    content = _content(control_plane.kubeconfig)
    content["clusters"][0]["cluster"]["server"] = relay.url
    file = tmp_path / "relayed"
    file.write_text(yaml.safe_dump(content))
    return file


def _content(kubeconfig: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(kubeconfig.read_text())
    return content
