"""Real API objects for tests: no controller runs on this size of the cluster, so tests write what controllers would."""

from collections.abc import Callable, Sequence
from typing import Any

from controller.api.names import API_VERSION, ROLLOUT_KIND
from controller.observe.cluster import DEPLOYMENTS, HTTP_ROUTES, PODS, ROLLOUTS, SERVICES, ClusterPort, Json, Kind
from controller.plan.world import Desired, Roles

Labels = dict[str, str]


def make_rollout(cluster: ClusterPort, namespace: str, name: str = "fraud", *, traffic: Json | None = None) -> Json:
    """Create a ModelRollout."""
    ratio = {"bad": 'requests_total{code="500"}', "total": "requests_total"}
    spec = {
        "stable": {"deployment": "fraud-v1"},
        "candidate": {"deployment": "fraud-v2"},
        "traffic": traffic or {"service": {"name": "fraud"}},
        "analysis": {"metrics": [{"name": "errors", "ratio": ratio, "margin": {"absolute": "0.01"}}]},
    }
    body = {"apiVersion": API_VERSION, "kind": ROLLOUT_KIND, "metadata": {"name": name}, "spec": spec}
    return cluster.create(ROLLOUTS, namespace, body)


def make_deployment(
    cluster: ClusterPort, namespace: str, name: str, *, labels: Labels, replicas: int = 1, match: Labels | None = None
) -> Json:
    """Create a Deployment whose pods all run."""
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "model", "image": f"{name}:1"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": match or labels}, "template": template}
    cluster.create(DEPLOYMENTS, namespace, {"metadata": {"name": name}, "spec": spec})
    return run_pods(cluster, namespace, name, ready=replicas)


def run_pods(cluster: ClusterPort, namespace: str, name: str, *, ready: int, live: int | None = None) -> Json:
    """Let a Deployment's status tell of so many pods."""
    live = ready if live is None else live
    generation = cluster.get(DEPLOYMENTS, namespace, name)["metadata"]["generation"]
    counts = {"replicas": live, "updatedReplicas": live, "readyReplicas": ready, "availableReplicas": ready}
    status = {"observedGeneration": generation, **counts}
    return cluster.merge_patch(DEPLOYMENTS, namespace, name, {"status": status}, subresource="status")


def make_pod(
    cluster: ClusterPort,
    namespace: str,
    name: str,
    *,
    labels: Labels,
    deployment: str | None,
    status: Json | None = None,
) -> Json:
    """Create a pod, of a Deployment or of nobody, and give it a status (default: ready)."""
    metadata: Json = {"name": name, "labels": labels}
    if deployment is not None:
        metadata["labels"] = labels | {"pod-template-hash": "5d8f"}
        owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"{deployment}-5d8f", "uid": "1"}
        metadata["ownerReferences"] = [owner | {"controller": True}]
    spec = {"containers": [{"name": "model", "image": "model:1"}], "automountServiceAccountToken": False}
    cluster.create(PODS, namespace, {"metadata": metadata, "spec": spec})
    return cluster.merge_patch(
        PODS, namespace, name, {"status": status or pod_status(ready="True")}, subresource="status"
    )


def pod_status(*, ready: str, since: str = "2026-08-01T12:00:00Z") -> Json:
    """Return the status of a running pod."""
    condition = {"type": "Ready", "status": ready, "lastTransitionTime": since}
    return {"phase": "Running", "startTime": "2026-08-01T11:59:00Z", "conditions": [condition]}


def make_service(cluster: ClusterPort, namespace: str, name: str, *, selector: Labels | None = None) -> Json:
    """Create a Service."""
    spec: Json = {"ports": [{"port": 80, "targetPort": 8080}]} | ({"selector": selector} if selector else {})
    return cluster.create(SERVICES, namespace, {"metadata": {"name": name}, "spec": spec})


def backend(name: str, weight: int | None = None, **other: Any) -> Json:
    """Return an entry of backendRefs; without a weight the API server's default holds."""
    return {"name": name, "port": 80} | ({} if weight is None else {"weight": weight}) | other


def make_http_route(
    cluster: ClusterPort, namespace: str, *rules: Sequence[Json], names: Sequence[str] = (), route: str = "fraud"
) -> Json:
    """Create an HTTPRoute with a rule per list of backendRefs."""
    paths = [[{"path": {"type": "PathPrefix", "value": f"/{index}"}}] for index in range(len(rules))]
    entries: list[Json] = [
        {"matches": path, "backendRefs": list(rule)} for path, rule in zip(paths, rules, strict=True)
    ]
    for entry, name in zip(entries, names, strict=False):
        entry["name"] = name
    body = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": route},
        "spec": {"parentRefs": [{"name": "gateway"}], "rules": entries},
    }
    return cluster.create(HTTP_ROUTES, namespace, body)


def desire(rollout: Json, transition: int, weight: int, **other: Any) -> Desired:
    """Return a desired world of stable ``fraud-v1`` and candidate ``fraud-v2``."""
    wanted: dict[str, Any] = {
        "uid": rollout["metadata"]["uid"],
        "rollout": rollout["metadata"]["name"],
        "transition": transition,
        "stable": "fraud-v1",
        "candidate": "fraud-v2",
        "stable_service": "fraud-v1",
        "candidate_service": "fraud-v2",
        "weight": weight,
        "roles": Roles(stable="fraud-v1"),
    }
    return Desired(**(wanted | other))


class Watched:
    """The port with a note of every write, and with something that may happen just before one."""

    def __init__(self, cluster: ClusterPort) -> None:
        self._cluster = cluster
        self.writes: list[str] = []
        self.before_write: Callable[[], object] = lambda: None

    def get(self, kind: Kind, namespace: str, name: str, *, subresource: str = "") -> Json:
        return self._cluster.get(kind, namespace, name, subresource=subresource)

    def list(self, kind: Kind, namespace: str | None, *, labels: str = "") -> tuple[Json, ...]:
        return self._cluster.list(kind, namespace, labels=labels)

    def list_metadata(self, kind: Kind, namespace: str | None, *, labels: str = "") -> tuple[Json, ...]:
        return self._cluster.list_metadata(kind, namespace, labels=labels)

    def create(self, kind: Kind, namespace: str, body: Json) -> Json:
        self._note(kind, body["metadata"]["name"])
        return self._cluster.create(kind, namespace, body)

    def merge_patch(self, kind: Kind, namespace: str, name: str, body: Json, *, subresource: str = "") -> Json:
        self._note(kind, name, subresource)
        return self._cluster.merge_patch(kind, namespace, name, body, subresource=subresource)

    def json_patch(
        self, kind: Kind, namespace: str, name: str, operations: Sequence[Json], *, subresource: str = ""
    ) -> Json:
        self._note(kind, name, subresource)
        return self._cluster.json_patch(kind, namespace, name, operations, subresource=subresource)

    def replace(self, kind: Kind, namespace: str, name: str, body: Json) -> Json:
        self._note(kind, name)
        return self._cluster.replace(kind, namespace, name, body)

    def delete(self, kind: Kind, namespace: str, name: str) -> None:
        self._note(kind, name)
        self._cluster.delete(kind, namespace, name)

    def _note(self, kind: Kind, *names: str) -> None:
        event, self.before_write = self.before_write, lambda: None
        event()
        self.writes.append("/".join((kind.plural, *filter(None, names))))
