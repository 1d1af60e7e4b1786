"""The readiness gate: says of a pod that its smoke test passed, so that Kubernetes may send it requests."""

from datetime import datetime

from controller.api.names import VERIFIED_GATE
from controller.api.status import format_time
from controller.observe.cluster import PODS, ClusterPort, Conflict, Json, NotFound


def open_gate(cluster: ClusterPort, namespace: str, pod: str, *, uid: str, now: datetime, message: str) -> None:
    """Set the condition of exactly this pod; a pod that is gone, or another one of its name, is left alone."""
    condition: Json = {
        "type": VERIFIED_GATE,
        "status": "True",
        "reason": "SmokeTestPassed",
        "message": message,
        "lastTransitionTime": format_time(now).partition(".")[0].removesuffix("Z") + "Z",
    }
    # Conditions are a map by type in strategic terms only; a merge patch would replace the list.
    operations = _operations(cluster, namespace, pod, uid=uid, condition=condition)
    if not operations:
        return
    try:
        cluster.json_patch(PODS, namespace, pod, operations, subresource="status")
    except (NotFound, Conflict):
        return


def _operations(cluster: ClusterPort, namespace: str, pod: str, *, uid: str, condition: Json) -> list[Json]:
    try:
        found = cluster.get(PODS, namespace, pod)
    except NotFound:
        return []
    if found["metadata"]["uid"] != uid:
        return []
    conditions = found.get("status", {}).get("conditions") or []
    test = {"op": "test", "path": "/metadata/resourceVersion", "value": found["metadata"]["resourceVersion"]}
    for position, each in enumerate(conditions):
        if each["type"] == VERIFIED_GATE:
            if each["status"] == "True":
                return []
            return [test, {"op": "replace", "path": f"/status/conditions/{position}", "value": condition}]
    return [test, {"op": "add", "path": "/status/conditions/-", "value": condition}]
