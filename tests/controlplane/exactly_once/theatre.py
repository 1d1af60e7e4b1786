"""The objects of many rollouts on a control plane, and what reached their routes."""

from collections import defaultdict

from controller.api.names import API_VERSION, TRANSITION_ANNOTATION
from controller.observe.cluster import (
    HTTP_ROUTES,
    RECORDS,
    ROLLOUTS,
    SERVICES,
    Cluster,
    Json,
)
from tests.controlplane.exactly_once.script import STEPS
from tests.controlplane.objects import make_deployment
from tests.controlplane.watching import Watching

Sequence = list[tuple[int, int]]
"""(transition, weight of the candidate), as they reached a route."""


def raise_curtain(cluster: Cluster, namespace: str, rollouts: int) -> None:
    """Create Deployments that count as rolled out, Services, routes and ModelRollouts."""
    for number in range(rollouts):
        for arm in ("s", "c"):
            make_deployment(cluster, namespace, f"{arm}-{number}", labels={"app": f"{arm}-{number}"})
            cluster.create(SERVICES, namespace, _service(f"{arm}-{number}"))
        cluster.create(HTTP_ROUTES, namespace, _route(number))
    for number in range(rollouts):
        cluster.create(ROLLOUTS, namespace, _rollout(number))


def _service(name: str) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80}]},
    }


def _route(number: int) -> Json:
    backends = [{"name": f"s-{number}", "port": 80, "weight": 100}, {"name": f"c-{number}", "port": 80, "weight": 0}]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": f"r-{number}"},
        "spec": {"parentRefs": [{"name": "gateway"}], "rules": [{"backendRefs": backends}]},
    }


def _rollout(number: int) -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelRollout",
        "metadata": {"name": f"m-{number}"},
        "spec": {
            "stable": {"deployment": f"s-{number}"},
            "candidate": {"deployment": f"c-{number}"},
            "traffic": {"gateway": {"httpRoute": f"r-{number}"}},
            "strategy": {"steps": list(STEPS), "interval": "1s", "minWindows": 2, "warmup": "0s"},
            "analysis": {
                "metrics": [
                    {
                        "name": "errors",
                        "ratio": {"bad": 'requests_total{code="500"}', "total": "requests_total"},
                        "margin": {"absolute": "0.02"},
                    }
                ]
            },
        },
    }


def what_reached(watching: Watching, rollouts: int) -> dict[str, Sequence]:
    """Return (transition, weight) of every version of every route that an operator wrote."""
    reached: dict[str, Sequence] = {}
    for number in range(rollouts):
        for version in watching.seen(f"r-{number}"):
            mark = version.thing["metadata"].get("annotations", {}).get(TRANSITION_ANNOTATION)
            if mark is None:
                continue
            weights = {ref["name"]: ref["weight"] for ref in version.thing["spec"]["rules"][0]["backendRefs"]}
            assert sum(weights.values()) == 100
            reached.setdefault(version.name, []).append((int(mark.rpartition("/")[2]), weights[f"c-{number}"]))
    return reached


def finished(cluster: Cluster, namespace: str) -> dict[str, str]:
    """The phase of each rollout that has ended its first epoch."""
    phases = {each["metadata"]["name"]: each.get("status", {}) for each in cluster.list(ROLLOUTS, namespace)}
    return {name: status["phase"] for name, status in phases.items() if status.get("history")}


def window_keys(cluster: Cluster, namespace: str) -> dict[str, list[tuple[int, int]]]:
    """The keys of the recorded windows of each rollout, pages in order."""
    pages = sorted(cluster.list(RECORDS, namespace), key=lambda each: (each["spec"]["rollout"], each["spec"]["page"]))
    keys: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for page in pages:
        keys[page["spec"]["rollout"]] += [(w["transition"], w["number"]) for w in page["spec"].get("windows", [])]
    return keys
