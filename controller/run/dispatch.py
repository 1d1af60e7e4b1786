"""From what happened in the cluster to the rollouts that need a turn."""

from typing import Any

from controller.run.index import Index, Reference, Referent, deployment_of, key_of
from controller.run.telemetry import Telemetry
from controller.run.workqueue import WorkQueue

Json = dict[str, Any]


class Dispatch:
    """Puts keys into the queue, nothing else: an event is a reason to look, never what is acted upon.

    All methods return at once; they are called on the event loop of the informer.
    """

    def __init__(self, index: Index, queue: WorkQueue, telemetry: Telemetry) -> None:
        self._index = index
        self._queue = queue
        self._telemetry = telemetry

    def rollout(self, rollout: Json) -> None:
        """A ModelRollout is there, or has changed."""
        for key in self._index.remember(rollout):
            self._queue.put(key)
        status = rollout.get("status") or {}
        traffic = status.get("traffic") or {}
        self._telemetry.saw(
            key_of(rollout),
            phase=status.get("phase") or "",
            weight=traffic.get("appliedWeight") or 0,
            epoch=status.get("epoch") or 0,
        )

    def rollout_gone(self, rollout: Json) -> None:
        """A ModelRollout was deleted; whoever shared its route may now have it."""
        key = key_of(rollout)
        neighbours = self._index.forget(key, rollout["metadata"]["uid"])
        if self._index.get(key) is None:
            self._queue.drop(key)
            self._telemetry.forget(key)
        for neighbour in neighbours:
            self._queue.put(neighbour)

    def referent(self, kind: Referent, thing: Json) -> None:
        """A Deployment, Service or HTTPRoute has changed, come or gone."""
        metadata = thing["metadata"]
        for key in self._index.users(metadata["namespace"], Reference(kind, metadata["name"])):
            self._queue.put(key)

    def pod(self, pod: Json) -> None:
        """A pod has changed, come or gone."""
        deployment = deployment_of(pod)
        if deployment is not None:
            for key in self._index.watchers(pod["metadata"]["namespace"], deployment):
                self._queue.put(key)
