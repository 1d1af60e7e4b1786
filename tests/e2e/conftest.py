"""The whole cluster, the installed operator, and scenes on it."""

import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster.layout import SOURCE, Layout, Size
from tests.e2e.laboratory import Laboratory
from tests.e2e.scene import Scene

CHECKOUT = SOURCE.parent.parent
INSTALL = Path(__file__).parent / "install"
SYSTEM = "modelrollout-system"


def _run(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", *arguments], cwd=CHECKOUT, check=True)


@pytest.fixture(scope="session")
def full_cluster() -> Layout:
    """The full cluster of this checkout, with the project's images and the samples that no model was trained on."""
    layout = Layout(CHECKOUT, Size.FULL)
    _run("tests.cluster", "up")
    _run("tests.cluster", "images")
    if not (layout.root / "models" / "holdout.json").exists():
        _run("examples.demo.train", "--out", str(layout.root / "models"))
    return layout


@pytest.fixture(scope="session")
def laboratory(full_cluster: Layout) -> Iterator[Laboratory]:
    """Faults of Prometheus on demand."""
    opened = Laboratory.open(full_cluster)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def operator(full_cluster: Layout) -> Scene:
    """The operator as ``kubectl apply -k`` installs it; the scene is the namespace that it lives in."""
    system = Scene(full_cluster, SYSTEM)
    rendered = system.kubectl("kustomize", str(INSTALL))
    system.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=rendered)
    # A rebuilt image has the same name.
    system.kubectl("rollout", "restart", "deployment", "modelrollout")
    system.kubectl("rollout", "status", "deployment", "modelrollout", "--timeout=170s")
    return system


@pytest.fixture
def scene(operator: Scene) -> Iterator[Scene]:
    """A namespace of one's own."""
    with _fresh(operator) as fresh:
        yield fresh


@pytest.fixture(scope="module")
def shared_scene(operator: Scene) -> Iterator[Scene]:
    """A namespace for all tests of a module, whose rollouts run side by side."""
    with _fresh(operator) as fresh:
        yield fresh


@contextmanager
def _fresh(operator: Scene) -> Iterator[Scene]:
    fresh = Scene(operator.layout, f"scene-{uuid.uuid4().hex[:8]}")
    fresh.kubectl("create", "namespace", fresh.namespace)
    try:
        yield fresh
    finally:
        fresh.kubectl("delete", "namespace", fresh.namespace, "--wait=false")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that look back on all others at the end."""
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)
