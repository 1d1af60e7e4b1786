"""Writes to the ModelRollout itself: the commit of its status, and the finalizer.

Both hold only for exactly the version that was read. Whoever comes second gets ``Conflict`` and starts its turn again.
"""

from controller.api.names import FINALIZER
from controller.api.status import ModelRolloutStatus
from controller.observe.cluster import ROLLOUTS, ClusterPort, Json

_FINALIZERS = "/metadata/finalizers"


def commit_status(cluster: ClusterPort, rollout: Json, status: ModelRolloutStatus) -> Json:
    """Make ``status`` the status of exactly this version of the rollout, and return the rollout as it is then.

    Nothing is written when nothing differs, so that a watch shows one line per change.

    Raises:
        Conflict: the rollout changed since it was read.
    """
    changes = merge_changes(rollout.get("status") or {}, status.to_json())
    if not changes:
        return rollout
    metadata = rollout["metadata"]
    body = {"metadata": {"resourceVersion": metadata["resourceVersion"]}, "status": changes}
    return cluster.merge_patch(ROLLOUTS, metadata["namespace"], metadata["name"], body, subresource="status")


def add_finalizer(cluster: ClusterPort, rollout: Json) -> Json:
    """Put our finalizer on exactly this version of the rollout, unless it is there; return the rollout.

    Raises:
        Conflict: the rollout changed since it was read.
    """
    present = rollout["metadata"].get("finalizers") or []
    if FINALIZER in present:
        return rollout
    return _patch(cluster, rollout, {"op": "add", "path": _FINALIZERS, "value": [*present, FINALIZER]})


def remove_finalizer(cluster: ClusterPort, rollout: Json) -> Json:
    """Take our finalizer off exactly this version of the rollout, unless it is gone; return the rollout.

    Raises:
        Conflict: the rollout changed since it was read.
        NotFound: it has been deleted meanwhile.
    """
    present = rollout["metadata"].get("finalizers") or []
    if FINALIZER not in present:
        return rollout
    return _patch(cluster, rollout, {"op": "remove", "path": f"{_FINALIZERS}/{present.index(FINALIZER)}"})


def merge_changes(old: Json, new: Json) -> Json:
    """Return the merge patch that turns ``old`` into ``new``: null where a field has to vanish."""
    changes: Json = dict.fromkeys(old.keys() - new.keys())
    for key, value in new.items():
        before = old.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            if inner := merge_changes(before, value):
                changes[key] = inner
        elif key not in old or before != value:
            changes[key] = value
    return changes


def _patch(cluster: ClusterPort, rollout: Json, operation: Json) -> Json:
    metadata = rollout["metadata"]
    test = {"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]}
    return cluster.json_patch(ROLLOUTS, metadata["namespace"], metadata["name"], [test, operation])
