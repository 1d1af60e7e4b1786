"""A real API server for the tests, brought up when it is not there, that knows both kinds and routes."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes
import pytest
from kubernetes.client import ApiClient

from controller.observe.cluster import (
    AUTOSCALERS,
    CONFIG_MAPS,
    CRON_JOBS,
    DEPLOYMENTS,
    EVENTS,
    HTTP_ROUTES,
    JOBS,
    LEASES,
    PODS,
    RECORDS,
    REPLICA_SETS,
    ROLLOUTS,
    SECRETS,
    SERVICES,
    Cluster,
    NotFound,
    connect,
)
from tests.cluster import addons
from tests.cluster.layout import SOURCE, Layout, Size

CHECKOUT = SOURCE.parent.parent
SECONDS = 60

LEFT_BEHIND = (
    ROLLOUTS,
    RECORDS,
    HTTP_ROUTES,
    SERVICES,
    DEPLOYMENTS,
    REPLICA_SETS,
    CRON_JOBS,
    JOBS,
    PODS,
    AUTOSCALERS,
    CONFIG_MAPS,
    SECRETS,
    LEASES,
    EVENTS,
)
"""What tests leave in a namespace. Nothing else empties it where no controller runs."""

Json = dict[str, Any]


class Refusal(Exception):  # noqa: N818 - a refusal is what many tests want
    """What kubectl said when it failed."""


@dataclass(frozen=True)
class Kubectl:
    """The real kubectl as the administrator (or whom the kubeconfig names), in one namespace or in none."""

    layout: Layout
    namespace: str = ""
    kubeconfig: Path | None = None

    @property
    def command(self) -> tuple[str, ...]:
        """The command line that its arguments follow."""
        place = ("--namespace", self.namespace) if self.namespace else ()
        config = ("--kubeconfig", str(self.kubeconfig)) if self.kubeconfig else ()
        return (str(self.layout.enter), "kubectl", *config, *place)

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """Return what it printed.

        Raises:
            Refusal: with what it said, when it failed.
        """
        command = [*self.command, *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=SECONDS)
        if done.returncode:
            raise Refusal(done.stderr.strip())
        return done.stdout

    def within(self, namespace: str) -> Kubectl:
        """Return the same for a namespace."""
        return Kubectl(self.layout, namespace, self.kubeconfig)

    def create(self, body: Json) -> None:
        """Create an object as users do, with strict validation of fields."""
        self("create", "--filename=-", stdin=json.dumps(body))

    def get(self, kind: str, name: str) -> Json:
        """Return an object."""
        found: Json = json.loads(self("get", kind, name, "--output=json"))
        return found

    def patch(self, kind: str, name: str, change: Json | list[Json], *, subresource: str = "") -> None:
        """Change an object by a merge patch, or by a JSON patch when the change is a list of operations."""
        form = "json" if isinstance(change, list) else "merge"
        part = (f"--subresource={subresource}",) if subresource else ()
        self("patch", kind, name, f"--type={form}", f"--patch={json.dumps(change)}", *part)


@pytest.fixture(scope="session")
def control_plane() -> Layout:
    """The API server of this checkout, with ModelRollout, RolloutRecord and HTTPRoute."""
    layout = Layout(CHECKOUT, Size.CONTROL_PLANE)
    subprocess.run([sys.executable, "-m", "tests.cluster", "up", "--size", layout.size.value], cwd=CHECKOUT, check=True)
    kubectl = Kubectl(layout)
    owner = ("--server-side", "--force-conflicts", "--field-manager=tests")
    routes = addons.gateway_definitions() / "gateway.networking.k8s.io_httproutes.yaml"
    files = (f"--filename={CHECKOUT / 'manifests' / 'crds'}", f"--filename={routes}")
    kubectl("apply", *owner, *files)
    kubectl("wait", "--for=condition=Established", "--timeout=30s", *files)
    return layout


@pytest.fixture(scope="session")
def administrator(control_plane: Layout) -> Kubectl:
    """Kubectl as the administrator, without a namespace."""
    return Kubectl(control_plane)


@pytest.fixture(scope="session")
def fresh_namespace(administrator: Kubectl, cluster: Cluster) -> Callable[[], AbstractContextManager[str]]:
    """Make namespaces of one's own, for fixtures of any scope: ``with fresh_namespace() as namespace``."""

    @contextlib.contextmanager
    def fresh() -> Iterator[str]:
        name = f"test-{uuid.uuid4().hex[:10]}"
        administrator("create", "namespace", name)
        try:
            yield name
        finally:
            remove_namespace(name, administrator, cluster)

    return fresh


@pytest.fixture
def namespace(fresh_namespace: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """A namespace that only this test knows."""
    with fresh_namespace() as name:
        yield name


@pytest.fixture
def kubectl(administrator: Kubectl, namespace: str) -> Kubectl:
    """Kubectl as the administrator in the test's namespace."""
    return administrator.within(namespace)


@pytest.fixture(scope="session")
def cluster(control_plane: Layout) -> Cluster:
    """The operator's own port to the API server, as the administrator."""
    return connect(str(control_plane.kubeconfig))


@pytest.fixture(scope="session")
def api_client(control_plane: Layout) -> Iterator[ApiClient]:
    """The Kubernetes client as the administrator."""
    with kubernetes.config.new_client_from_config(str(control_plane.kubeconfig)) as client:
        yield client


def remove_namespace(namespace: str, administrator: Kubectl, cluster: Cluster) -> None:
    """Do what the namespace controller would do, because the control plane has none."""
    for rollout in cluster.list(ROLLOUTS, namespace):
        cluster.merge_patch(ROLLOUTS, namespace, rollout["metadata"]["name"], {"metadata": {"finalizers": None}})
    for kind in LEFT_BEHIND:
        for left in cluster.list(kind, namespace):
            with contextlib.suppress(NotFound):
                cluster.delete(kind, namespace, left["metadata"]["name"])
    administrator("delete", "namespace", namespace, "--wait=false")
    body = administrator.get("namespace", namespace)
    body["spec"]["finalizers"] = []
    path = f"/api/v1/namespaces/{namespace}/finalize"
    administrator("replace", f"--raw={path}", "--filename=-", stdin=json.dumps(body))
