"""One look at an arm's environment: the pod template, what it refers to, its newest pods and their nodes."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from controller.api.verify import ParityGroup
from controller.observe.cluster import (
    DEPLOYMENTS,
    NODES,
    PODS,
    REPLICA_SETS,
    ClusterPort,
    Forbidden,
    Json,
    NotFound,
)
from controller.observe.environment.content import Contents, read_contents
from controller.observe.environment.pods import has_started, pod_facts, stale_contents
from controller.observe.environment.references import Source, references
from controller.observe.environment.variables import declared_facts
from controller.observe.workloads import deployment_of, is_live, is_ready, label_selector, template_hash
from controller.plan.verify.environment import Environment, Load

KEPT_SECONDS: Final = 20.0
"""Seconds for which an environment is not read again, unless its template or its pods change."""
NODE_KEPT_SECONDS: Final = 300.0
"""Seconds for which a node is not read again: labels and versions of nodes hardly ever change."""
MOST_NODES: Final = 50
"""Nodes that are read for one arm; of the others nothing is known."""
MOST_KEPT: Final = 500
"""Environments, and nodes, that are kept."""

_REVISION: Final = "deployment.kubernetes.io/revision"
_HASH: Final = "pod-template-hash"


@dataclass(frozen=True)
class EnvironmentOrder:
    """What the rollout knows of an arm and the cluster does not.

    ``percent`` is its part of the requests (None: no traffic is split), ``version`` the model's version, ``runtime``
    what its server says of itself (name and version). ``read_secrets`` is ``verify.parity.readSecrets``.
    """

    percent: float | None = None
    version: str | None = None
    runtime: Mapping[str, str] | None = None
    read_secrets: bool = False


class EnvironmentReader:
    """Reads environments, and keeps each for a short time; safe to share between threads."""

    def __init__(self, cluster: ClusterPort, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._cluster = cluster
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[object, tuple[float, Environment]] = OrderedDict()
        self._nodes: OrderedDict[str, tuple[float, Json]] = OrderedDict()

    def find(self, namespace: str, deployment: str, order: EnvironmentOrder) -> Environment | None:
        """Read the Deployment, its pods and its environment; None when the Deployment is not there.

        Raises:
            ClusterError: when something could not be asked; the turn is tried again.
        """
        try:
            found = self._cluster.get(DEPLOYMENTS, namespace, deployment)
        except NotFound:
            return None
        pods = self._cluster.list(PODS, namespace, labels=label_selector(found["spec"]["selector"]))
        return self.read(namespace, found, pods, order)

    def read(self, namespace: str, deployment: Json, pods: Sequence[Json], order: EnvironmentOrder) -> Environment:
        """Return the environment of a Deployment, given it and the pods that its selector picks, as the API has them.

        What the operator may not read is told in ``unknown``.

        Raises:
            ClusterError: when something could not be asked; the turn is tried again.
        """
        own = tuple(pod for pod in pods if is_live(pod) and deployment_of(pod) == deployment["metadata"]["name"])
        key = _key(deployment, own, order)
        kept = self._recall(key)
        if kept is None:
            kept = self._read(namespace, deployment, own, order)
            self._keep(key, kept)
        percent = order.percent
        load = None if percent is None else Load(pods=sum(map(is_ready, own)), percent=percent)
        return replace(kept, load=load, version=order.version)

    def _read(self, namespace: str, deployment: Json, own: Sequence[Json], order: EnvironmentOrder) -> Environment:
        template = deployment["spec"]["template"]
        started = tuple(pod for pod in self._newest(namespace, deployment, own) if has_started(pod))
        contents = self._contents(namespace, (template, *started), order)
        nodes, refused = self._nodes_of(started)
        name = deployment["metadata"]["name"]
        unknown = {ParityGroup.CONFIG: "; ".join(contents.unread)} if contents.unread else {}
        if refused:
            unknown |= dict.fromkeys((ParityGroup.NODES, ParityGroup.GPU), refused)
        return Environment(
            deployment=name,
            declared=declared_facts(template, contents, order.runtime or {}),
            observed=pod_facts(started, contents, nodes),
            pods=len(started),
            unknown=unknown,
            stale=stale_contents(name, started, contents),
        )

    def _newest(self, namespace: str, deployment: Json, own: Sequence[Json]) -> tuple[Json, ...]:
        """Return the pods of the newest ReplicaSet: while a Deployment rolls, older ones differ rightly."""
        selector, uid = label_selector(deployment["spec"]["selector"]), deployment["metadata"]["uid"]
        sets = [
            each["metadata"]
            for each in self._cluster.list_metadata(REPLICA_SETS, namespace, labels=selector)
            if any(owner["uid"] == uid for owner in each["metadata"].get("ownerReferences") or ())
        ]
        newest = max(sets, key=_revision, default=None)
        if newest is None:
            return tuple(own)
        return tuple(pod for pod in own if pod["metadata"]["labels"][_HASH] == newest["labels"].get(_HASH))

    def _contents(self, namespace: str, pods: Sequence[Json], order: EnvironmentOrder) -> Contents:
        found = {each for pod in pods for each in references(pod["spec"])}
        secrets = {each.name for each in found if each.source is Source.SECRET}
        return read_contents(
            self._cluster,
            namespace,
            config_maps={each.name for each in found if each.source is Source.CONFIG_MAP} - {"kube-root-ca.crt"},
            secrets=secrets if order.read_secrets else (),
        )

    def _nodes_of(self, pods: Sequence[Json]) -> tuple[dict[str, Json], str]:
        """Return the nodes of the pods by name, and why they are not known, if so."""
        names = sorted({pod["spec"]["nodeName"] for pod in pods if pod["spec"].get("nodeName")})
        found: dict[str, Json] = {}
        for name in names[:MOST_NODES]:
            try:
                found[name] = self._node(name)
            except NotFound:
                continue
            except Forbidden:
                return {}, "the operator may not read nodes; grant it get nodes"
        return found, ""

    def _node(self, name: str) -> Json:
        with self._lock:
            kept = self._nodes.get(name)
        if kept is not None and self._clock() - kept[0] < NODE_KEPT_SECONDS:
            return kept[1]
        node = self._cluster.get(NODES, "", name)
        slim = {
            "metadata": {"labels": node["metadata"].get("labels")},
            "status": {"nodeInfo": node.get("status", {}).get("nodeInfo")},
        }
        with self._lock:
            self._nodes[name] = (self._clock(), slim)
            while len(self._nodes) > MOST_KEPT:
                self._nodes.popitem(last=False)
        return slim

    def _recall(self, key: object) -> Environment | None:
        with self._lock:
            kept = self._kept.get(key)
        return kept[1] if kept is not None and self._clock() - kept[0] < KEPT_SECONDS else None

    def _keep(self, key: object, environment: Environment) -> None:
        with self._lock:
            self._kept[key] = (self._clock(), environment)
            self._kept.move_to_end(key)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)


def _key(deployment: Json, own: Sequence[Json], order: EnvironmentOrder) -> object:
    """Return what an environment depends on and a turn sees anyway; a restart in place makes another pod of it."""
    metadata = deployment["metadata"]
    pods = frozenset(
        (pod["metadata"]["uid"], sum(each.get("restartCount", 0) for each in _statuses(pod)), has_started(pod))
        for pod in own
    )
    runtime = frozenset((order.runtime or {}).items())
    return (metadata["uid"], template_hash(deployment["spec"]["template"]), pods, runtime, order.read_secrets)


def _statuses(pod: Json) -> Sequence[Json]:
    found: Sequence[Json] = (pod.get("status") or {}).get("containerStatuses") or ()
    return found


def _revision(metadata: Json) -> int:
    text = (metadata.get("annotations") or {}).get(_REVISION, "")
    return int(text) if text.isdigit() else 0
