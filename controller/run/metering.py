"""The Kubernetes port with a stopwatch: every request of the operator is counted and timed."""

from collections.abc import Sequence

from controller.observe.cluster import ClusterPort, Json, Kind
from controller.run.telemetry import Telemetry


class MeteredCluster:
    """Passes every request on; takes time, verb, kind and outcome."""

    def __init__(self, cluster: ClusterPort, telemetry: Telemetry) -> None:
        self._cluster = cluster
        self._telemetry = telemetry

    def get(self, kind: Kind, namespace: str, name: str, *, subresource: str = "") -> Json:
        """Return one object."""
        with self._telemetry.api_request("get", kind.plural):
            return self._cluster.get(kind, namespace, name, subresource=subresource)

    def list(self, kind: Kind, namespace: str | None, *, labels: str = "") -> tuple[Json, ...]:
        """Return all objects of a namespace (None: of all) that the label selector picks."""
        with self._telemetry.api_request("list", kind.plural):
            return self._cluster.list(kind, namespace, labels=labels)

    def list_metadata(self, kind: Kind, namespace: str | None, *, labels: str = "") -> tuple[Json, ...]:
        """Return the same objects with nothing but their metadata."""
        with self._telemetry.api_request("list", kind.plural):
            return self._cluster.list_metadata(kind, namespace, labels=labels)

    def create(self, kind: Kind, namespace: str, body: Json) -> Json:
        """Create an object."""
        with self._telemetry.api_request("create", kind.plural):
            return self._cluster.create(kind, namespace, body)

    def merge_patch(self, kind: Kind, namespace: str, name: str, body: Json, *, subresource: str = "") -> Json:
        """Apply a merge patch."""
        with self._telemetry.api_request("patch", kind.plural):
            return self._cluster.merge_patch(kind, namespace, name, body, subresource=subresource)

    def json_patch(
        self, kind: Kind, namespace: str, name: str, operations: Sequence[Json], *, subresource: str = ""
    ) -> Json:
        """Apply a JSON patch."""
        with self._telemetry.api_request("patch", kind.plural):
            return self._cluster.json_patch(kind, namespace, name, operations, subresource=subresource)

    def replace(self, kind: Kind, namespace: str, name: str, body: Json) -> Json:
        """Replace an object."""
        with self._telemetry.api_request("update", kind.plural):
            return self._cluster.replace(kind, namespace, name, body)

    def delete(self, kind: Kind, namespace: str, name: str) -> None:
        """Delete an object."""
        with self._telemetry.api_request("delete", kind.plural):
            self._cluster.delete(kind, namespace, name)
