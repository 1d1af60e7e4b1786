"""How a Job stands, and what it reported: its own conditions, and the termination message of its pod."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from controller.observe.cluster import PODS, ClusterPort, Json
from controller.plan.verify.findings import shortened
from controller.plan.verify.jobs import Failed, JobState, Running, Succeeded, logs_hint, too_late

JOB_NAME_LABEL: Final = "batch.kubernetes.io/job-name"
"""On a Job's pods: its name. The Job controller writes it."""
DEFAULT_CONTAINER: Final = "kubectl.kubernetes.io/default-container"
"""On a pod: the container that is meant when none is named; the one that reports. Default: the first."""

_DEADLINE: Final = "DeadlineExceeded"
_SHOWN: Final = 200


def read_job(cluster: ClusterPort, job: Json, *, timeout: timedelta, now: datetime) -> JobState:
    """Return how the Job stands; one that has not ended ``timeout`` after its creation has failed, whatever it does."""
    conditions = {each["type"]: each for each in job.get("status", {}).get("conditions") or () if _true(each)}
    ended = conditions.get("Complete") or conditions.get("Failed")
    if ended is None and now - _time(job["metadata"]["creationTimestamp"]) < timeout:
        return Running(job["metadata"]["name"], _trouble(_pods(cluster, job)))
    seconds = _seconds(job, ended, now)
    if ended is not None and ended["type"] == "Complete":
        return _completed(job, _pods(cluster, job), seconds)
    if ended is None or ended.get("reason") == _DEADLINE:
        return _failed(job, too_late(timeout) + _why(_trouble(_pods(cluster, job))), seconds)
    return _failed(job, f"failed{_why(_exit(_pods(cluster, job)) or ended.get('message', ''))}", seconds)


def _completed(job: Json, pods: Sequence[Json], seconds: float) -> JobState:
    ended = [done for pod in pods if (done := _terminated(pod)) is not None and done.get("exitCode") == 0]
    if not ended:
        return _failed(job, "ended, but its pod is gone, and with it what it reported; retry to run it again", seconds)
    return Succeeded(job["metadata"]["name"], ended[0].get("message", ""), seconds)


def _pods(cluster: ClusterPort, job: Json) -> tuple[Json, ...]:
    """Return the pods that the Job controller made for this Job; a label alone could be anybody's."""
    metadata = job["metadata"]
    pods = cluster.list(PODS, metadata["namespace"], labels=f"{JOB_NAME_LABEL}={metadata['name']}")
    return tuple(pod for pod in pods if metadata["uid"] in _owners(pod))


def _owners(pod: Json) -> frozenset[str]:
    return frozenset(each["uid"] for each in pod["metadata"].get("ownerReferences") or () if each.get("controller"))


def _reporting(pod: Json) -> str:
    annotations = pod["metadata"].get("annotations") or {}
    name: str = annotations.get(DEFAULT_CONTAINER) or pod["spec"]["containers"][0]["name"]
    return name


def _terminated(pod: Json) -> Json | None:
    """Return the end of the container that reports, or None while it has not ended."""
    statuses = pod.get("status", {}).get("containerStatuses") or ()
    ends = {each["name"]: each.get("state", {}).get("terminated") for each in statuses}
    return ends.get(_reporting(pod))


def _exit(pods: Sequence[Json]) -> str:
    """Return how the container of a failed Job ended."""
    for pod in pods:
        done = _terminated(pod)
        if done is not None:
            said = shortened(done.get("message", ""), _SHOWN)
            code = f"exit code {done.get('exitCode')} ({done.get('reason', 'Error')})"
            return f"{code}: {said}" if said else code
    return ""


def _trouble(pods: Sequence[Json]) -> str:
    """Return what holds a pod up, as far as Kubernetes says."""
    for pod in pods:
        status = pod.get("status", {})
        for each in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
            waiting = each.get("state", {}).get("waiting") or {}
            if waiting.get("message"):
                return shortened(f"its pod waits: {waiting.get('reason', '')}: {waiting['message']}", _SHOWN)
        for condition in status.get("conditions") or ():
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                return shortened(f"its pod waits: {condition.get('message', 'no node takes it')}", _SHOWN)
    return ""


def _failed(job: Json, reason: str, seconds: float) -> Failed:
    metadata = job["metadata"]
    return Failed(metadata["name"], reason, logs_hint(metadata["namespace"], metadata["name"]), seconds)


def _why(text: str) -> str:
    return f": {text}" if text else ""


def _true(condition: Json) -> bool:
    return bool(condition.get("status") == "True")


def _seconds(job: Json, ended: Json | None, now: datetime) -> float:
    until = _time(ended["lastTransitionTime"]) if ended and ended.get("lastTransitionTime") else now
    return max(0.0, (until - _time(job["metadata"]["creationTimestamp"])).total_seconds())


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
