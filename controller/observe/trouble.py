"""Red flags of a pod itself: it crashes, it runs out of memory, its image cannot be had. Pure."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from controller.api.reasons import Reason
from controller.observe.cluster import Json
from controller.plan.world import Problem

RESTARTS: Final = 2
"""Restarts after an error from which on a pod counts as crashing; one may be bad luck."""

_IMAGE_REASONS: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"})


def pod_trouble(pod: Json, *, since: datetime | None) -> Problem | None:
    """Return the pod's red flag, the gravest of its containers', or None.

    What ended before ``since`` is not held against it, and the restarts of a pod that is older than ``since`` are not
    counted, because nobody can tell when they were.
    """
    name = pod["metadata"]["name"]
    born_since = since is None or parse_time(pod["metadata"]["creationTimestamp"]) >= since
    for check in (_image_unavailable, _out_of_memory, _crash_loop):
        for container in _containers(pod):
            restarts = container.get("restartCount", 0) if born_since else 0
            if found := check(container, restarts=restarts, since=since):
                return Problem(found.reason, f"Pod {name}, container {container['name']}: {found.message}")
    return None


def parse_time(text: str) -> datetime:
    """Read a moment as the API server writes it."""
    return datetime.fromisoformat(text)


def _containers(pod: Json) -> Iterator[Json]:
    status = pod.get("status", {})
    yield from status.get("containerStatuses") or ()
    yield from status.get("initContainerStatuses") or ()


def _image_unavailable(container: Json, *, restarts: int, since: datetime | None) -> Problem | None:
    del restarts, since  # an image that cannot be had is no matter of the past
    waiting = container.get("state", {}).get("waiting") or {}
    if waiting.get("reason") not in _IMAGE_REASONS:
        return None
    said = waiting.get("message") or "no message"
    return Problem(Reason.IMAGE_UNAVAILABLE, f"image {container.get('image', '?')}: {waiting['reason']} ({said[:200]})")


def _out_of_memory(container: Json, *, restarts: int, since: datetime | None) -> Problem | None:
    del restarts  # once is enough
    ended = _ended(container, since)
    if ended is None or ended.get("reason") != "OOMKilled":
        return None
    message = f"killed at {ended.get('finishedAt')} because it used more memory than its limit"
    return Problem(Reason.OUT_OF_MEMORY, message)


def _crash_loop(container: Json, *, restarts: int, since: datetime | None) -> Problem | None:
    ended = _ended(container, since)
    failed = ended is not None and ended.get("exitCode", 0) != 0
    waiting = container.get("state", {}).get("waiting") or {}
    if waiting.get("reason") != "CrashLoopBackOff" and not (failed and restarts >= RESTARTS):
        return None
    code = ended.get("exitCode", "unknown") if ended else "unknown"
    times = container.get("restartCount", 0)
    return Problem(Reason.CRASH_LOOP, f"it keeps ending, {times} restarts so far, last exit code {code}")


def _ended(container: Json, since: datetime | None) -> Json | None:
    """Return how the container ended last, unless that was before ``since``."""
    for state in (container.get("state", {}), container.get("lastState", {})):
        ended: Json | None = state.get("terminated")
        if ended is not None:
            finished = ended.get("finishedAt")
            recent = since is None or finished is None or parse_time(finished) >= since
            return ended if recent else None
    return None
