"""The only thing that is ever changed on a user's Deployment: its number of pods, through ``/scale``.

A Deployment that an autoscaler targets is never scaled: the two would undo each other's writes.
"""

from controller.act.route import RouteProblem
from controller.api.reasons import Reason
from controller.observe.cluster import DEPLOYMENTS, ClusterPort, Json, NotFound
from controller.observe.workloads import find_autoscaler
from controller.plan.world import Problem


def get_deployment(cluster: ClusterPort, namespace: str, name: str | None) -> Json | None:
    """Return the Deployment, or None when it is not there (or has no name yet)."""
    if name is None:
        return None
    try:
        return cluster.get(DEPLOYMENTS, namespace, name)
    except NotFound:
        return None


def scale_to(cluster: ClusterPort, deployment: Json, replicas: int) -> None:
    """Make exactly this version of the Deployment want ``replicas`` pods, unless it does.

    Raises:
        Conflict: the Deployment changed since it was read.
        RouteProblem: an autoscaler sizes it.
    """
    if wanted_pods(deployment) == replicas:
        return
    metadata = deployment["metadata"]
    namespace, name = metadata["namespace"], metadata["name"]
    if autoscaler := find_autoscaler(cluster, namespace, name):
        message = (
            f"Deployment {name} must have {replicas} pods, but {autoscaler} sizes it; "
            "remove the autoscaler or set spec.candidate.scale: ByUser"
        )
        raise RouteProblem(Problem(Reason.CANDIDATE_AUTOSCALED, message))
    body = {"metadata": {"resourceVersion": metadata["resourceVersion"]}, "spec": {"replicas": replicas}}
    cluster.merge_patch(DEPLOYMENTS, namespace, name, body, subresource="scale")


def wanted_pods(deployment: Json) -> int:
    """Return the number of pods that the Deployment asks for."""
    replicas: int = deployment["spec"].get("replicas", 1)
    return replicas


def lacks_pods(deployment: Json, replicas: int) -> str:
    """Return what is waited for until at least ``replicas`` pods are ready; empty when they are."""
    ready = deployment.get("status", {}).get("readyReplicas", 0)
    if ready >= replicas:
        return ""
    return f"waiting for Deployment {deployment['metadata']['name']}: {ready} of {replicas} pods are ready"


def differs_in_pods(deployment: Json, replicas: int) -> str:
    """Return what is waited for until there are exactly ``replicas`` pods and all are ready; empty when it is so.

    Pods that are ending do not count, because no new connection reaches them.
    """
    status = deployment.get("status", {})
    live, ready = status.get("replicas", 0), status.get("readyReplicas", 0)
    settled = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    if settled and wanted_pods(deployment) == live == ready == replicas:
        return ""
    name = deployment["metadata"]["name"]
    return f"waiting for Deployment {name}: exactly {replicas} pods must be there and ready; {live} are, {ready} ready"
