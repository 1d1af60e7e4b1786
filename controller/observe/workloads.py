"""Deployments, their pods, what sizes them, and who else steers the same route."""

import hashlib
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Final

from controller.api.names import FINALIZER, VERIFIED_GATE
from controller.observe.cluster import (
    AUTOSCALERS,
    DEPLOYMENTS,
    PODS,
    ROLLOUTS,
    SCALED_OBJECTS,
    ClusterPort,
    Json,
    NotFound,
)
from controller.observe.trouble import parse_time, pod_trouble
from controller.plan.world import Pod, Workload

REMEMBERED_PODS: Final = 10_000
"""Pods whose first readiness is kept."""
AUTOSCALERS_KEPT: Final = 30.0
"""Seconds for which the autoscalers of a namespace are not read again."""
KEDA_ABSENT_KEPT: Final = 600.0
"""Seconds for which a cluster without KEDA is not asked for its objects again."""


class FirstReady:
    """When each pod was first seen ready, by uid: a pod that flaps keeps its first moment, so its warm-up ends once.

    The memory is the process's own. After a restart the pod's present readiness counts, which can only be later.
    """

    def __init__(self) -> None:
        self._moments: OrderedDict[str, datetime] = OrderedDict()
        self._lock = threading.Lock()

    def see(self, uid: str, ready_since: datetime | None) -> datetime | None:
        """Return the first moment known for the pod, given since when it is ready now (None: it is not)."""
        with self._lock:
            first = self._moments.get(uid, ready_since)
            if first is not None:
                self._moments[uid] = first
                self._moments.move_to_end(uid)
            if len(self._moments) > REMEMBERED_PODS:
                self._moments.popitem(last=False)
            return first


class Autoscalers:
    """What sizes which Deployment, read at most every ``AUTOSCALERS_KEPT`` seconds per namespace."""

    def __init__(self, cluster: ClusterPort, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._cluster = cluster
        self._clock = clock
        self._kept: dict[str, tuple[float, dict[str, str]]] = {}
        self._keda_absent_until = clock()

    def of(self, namespace: str, deployment: str) -> str | None:
        """Return ``HorizontalPodAutoscaler/name`` or ``ScaledObject/name`` of the Deployment, if there is one."""
        now = self._clock()
        kept = self._kept.get(namespace)
        if kept is None or now - kept[0] >= AUTOSCALERS_KEPT:
            kept = self._kept[namespace] = (now, self._read(namespace, now))
        return kept[1].get(deployment)

    def _read(self, namespace: str, now: float) -> dict[str, str]:
        targets = _targets(self._cluster.list(AUTOSCALERS, namespace), "HorizontalPodAutoscaler")
        if now < self._keda_absent_until:
            return targets
        try:
            return targets | _targets(self._cluster.list(SCALED_OBJECTS, namespace), "ScaledObject")
        except NotFound:
            self._keda_absent_until = now + KEDA_ABSENT_KEPT
            return targets


def find_autoscaler(cluster: ClusterPort, namespace: str, deployment: str) -> str | None:
    """Return what sizes the Deployment as it is this very moment; asked before each scale."""
    return Autoscalers(cluster).of(namespace, deployment)


class Workloads:
    """Reads Deployments and pods; holds only what no single reading can tell (first readiness, autoscalers)."""

    def __init__(
        self,
        cluster: ClusterPort,
        *,
        first_ready: FirstReady | None = None,
        autoscalers: Autoscalers | None = None,
    ) -> None:
        self._cluster = cluster
        self._first_ready = first_ready or FirstReady()
        self._autoscalers = autoscalers or Autoscalers(cluster)

    def workload(self, namespace: str, deployment: str) -> Workload | None:
        """Return the Deployment as it is now, or None when it is not there."""
        found = self._get(namespace, deployment)
        return None if found is None else workload_of(found, self._autoscalers.of(namespace, deployment))

    def pods(self, namespace: str, deployment: str, *, since: datetime | None = None) -> tuple[Pod, ...]:
        """Return the Deployment's live pods by name; troubles that ended before ``since`` are forgotten."""
        found = self._get(namespace, deployment)
        if found is None:
            return ()
        pods = self._cluster.list(PODS, namespace, labels=label_selector(found["spec"]["selector"]))
        own = (pod for pod in pods if is_live(pod) and deployment_of(pod) == deployment)
        return tuple(sorted((self._pod(pod, since) for pod in own), key=lambda pod: pod.name))

    def rivals(self, rollout: Json) -> tuple[str, ...]:
        """Return the names of the older ModelRollouts of the namespace that steer the same HTTPRoute or Service.

        Two rules of one HTTPRoute are one route here, because the fence is on the object. A rollout that is being
        deleted counts as long as it carries the finalizer: until then it may still write the route.
        """
        others = [
            other
            for other in self._cluster.list(ROLLOUTS, rollout["metadata"]["namespace"])
            if _route_of(other) == _route_of(rollout) and _seniority(other) < _seniority(rollout) and _may_write(other)
        ]
        return tuple(other["metadata"]["name"] for other in sorted(others, key=_seniority))

    def _get(self, namespace: str, deployment: str) -> Json | None:
        try:
            return self._cluster.get(DEPLOYMENTS, namespace, deployment)
        except NotFound:
            return None

    def _pod(self, pod: Json, since: datetime | None) -> Pod:
        metadata, status = pod["metadata"], pod.get("status", {})
        condition = _ready_condition(pod)
        ready_since = condition.get("lastTransitionTime") if is_ready(pod) else None
        started = status.get("startTime")
        return Pod(
            name=metadata["name"],
            uid=metadata["uid"],
            ready=is_ready(pod),
            started_at=parse_time(started) if started else None,
            ready_at=self._first_ready.see(metadata["uid"], parse_time(ready_since) if ready_since else None),
            trouble=pod_trouble(pod, since=since),
            address=status.get("podIP"),
            images=_images(pod),
            gate=_gate(pod),
            host_ports=_host_ports(pod["spec"]),
        )


def workload_of(deployment: Json, autoscaler: str | None) -> Workload:
    """Return what a Deployment runs and how far it is."""
    spec, status = deployment["spec"], deployment.get("status", {})
    containers = spec["template"]["spec"]["containers"]
    replicas = spec.get("replicas", 1)
    counts = {status.get(field, 0) for field in ("replicas", "updatedReplicas", "readyReplicas")}
    settled = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    return Workload(
        deployment=deployment["metadata"]["name"],
        hash=template_hash(spec["template"]),
        images=tuple(container["image"] for container in containers),
        replicas=replicas,
        ready=status.get("readyReplicas", 0),
        rolled_out=settled and replicas >= 1 and counts == {replicas},
        autoscaler=autoscaler,
        port=next((port["containerPort"] for each in containers for port in each.get("ports") or ()), None),
        gated=has_gate(spec["template"]["spec"]),
    )


def template_hash(template: Json) -> str:
    """Return the first 10 hex digits of the SHA-256 of a pod template, in canonical JSON.

    ``creationTimestamp`` is left out: it is always null, and newer API servers no longer store it.
    """
    metadata = {key: value for key, value in template.get("metadata", {}).items() if key != "creationTimestamp"}
    canonical = json.dumps(template | {"metadata": metadata}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:10]


def deployment_of(pod: Json) -> str | None:
    """Return the Deployment that made the pod, or None.

    Its ReplicaSet is always named ``<deployment>-<pod-template-hash>``, so that labels which two Deployments share
    cannot mislead, and the ReplicaSet need not be read.
    """
    metadata = pod["metadata"]
    suffix = f"-{(metadata.get('labels') or {}).get('pod-template-hash', '')}"
    for owner in metadata.get("ownerReferences") or ():
        if owner["kind"] == "ReplicaSet" and owner.get("controller") and suffix != "-":
            name: str = owner["name"]
            return name.removesuffix(suffix) if name.endswith(suffix) else None
    return None


def is_live(pod: Json) -> bool:
    """Whether the pod serves or may still come to serve: not ending, not ended."""
    ended = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
    return not ended and "deletionTimestamp" not in pod["metadata"]


def is_ready(pod: Json) -> bool:
    """Whether Kubernetes sends requests to the pod."""
    return bool(_ready_condition(pod).get("status") == "True")


def label_selector(selector: Json) -> str:
    """Write a Deployment's selector as the API server's lists take it."""
    terms = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for expression in selector.get("matchExpressions") or ():
        key, values = expression["key"], ",".join(expression.get("values") or ())
        terms.append(
            {
                "In": f"{key} in ({values})",
                "NotIn": f"{key} notin ({values})",
                "Exists": key,
                "DoesNotExist": f"!{key}",
            }[expression["operator"]]
        )
    return ",".join(terms)


def has_gate(pod_spec: Json) -> bool:
    """Whether pods of that spec wait for the operator's word before they are ready."""
    return any(each.get("conditionType") == VERIFIED_GATE for each in pod_spec.get("readinessGates") or ())


def _images(pod: Json) -> dict[str, str]:
    """What each container really runs, in the order of the pod's spec: status sorts by name."""
    found = {each["name"]: each.get("imageID", "") for each in pod.get("status", {}).get("containerStatuses") or ()}
    names = (each["name"] for each in pod["spec"]["containers"])
    return {name: found[name] for name in names if name in found}


def _host_ports(pod_spec: Json) -> frozenset[int] | None:
    """Return the ports that a pod on its node's network has declared, and so has for itself there."""
    if not pod_spec.get("hostNetwork"):
        return None
    return frozenset(
        port["containerPort"] for each in pod_spec["containers"] for port in each.get("ports") or () if port
    )


def _gate(pod: Json) -> bool | None:
    if not has_gate(pod["spec"]):
        return None
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(each["type"] == VERIFIED_GATE and each["status"] == "True" for each in conditions)


def _ready_condition(pod: Json) -> Json:
    conditions = pod.get("status", {}).get("conditions") or ()
    return next((each for each in conditions if each["type"] == "Ready"), {})


def _targets(autoscalers: tuple[Json, ...], kind: str) -> dict[str, str]:
    references = ((each["metadata"]["name"], each["spec"].get("scaleTargetRef") or {}) for each in autoscalers)
    # KEDA leaves the kind out when it is a Deployment.
    return {
        target["name"]: f"{kind}/{name}"
        for name, target in references
        if target.get("kind", "Deployment") == "Deployment"
    }


def _route_of(rollout: Json) -> tuple[str, str]:
    traffic = rollout["spec"]["traffic"]
    if gateway := traffic.get("gateway"):
        return ("HTTPRoute", gateway["httpRoute"])
    return ("Service", traffic["service"]["name"])


def _seniority(rollout: Json) -> tuple[str, str]:
    return (rollout["metadata"]["creationTimestamp"], rollout["metadata"]["name"])


def _may_write(rollout: Json) -> bool:
    metadata = rollout["metadata"]
    return "deletionTimestamp" not in metadata or FINALIZER in (metadata.get("finalizers") or ())
