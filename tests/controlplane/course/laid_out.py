"""CronJobs that a verification may start, and the hand of kubelet and Job controller."""

import json
from datetime import UTC, datetime
from typing import Any

from controller.act.jobs import TASK_ANNOTATION
from controller.api.names import ALLOW_LABEL, ROLLOUT_LABEL
from controller.observe.cluster import CRON_JOBS, JOBS, PODS
from tests.controlplane.course.scene import Course, eventually

Json = dict[str, Any]


def lay_out(course: Course, name: str, *, labels: dict[str, str] | None = None, suspend: bool = True) -> None:
    """Create a CronJob, by default one that a rollout may start."""
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "job", "image": "trainer:1"}]}}
    spec = {"schedule": "0 0 1 1 *", "suspend": suspend, "jobTemplate": {"spec": {"template": template}}}
    metadata = {"name": name, "labels": {ALLOW_LABEL: "true"} if labels is None else labels}
    course.cluster.create(CRON_JOBS, course.namespace, {"metadata": metadata, "spec": spec})


def jobs_of(course: Course, rollout: str, task: str) -> list[Json]:
    """Return the Jobs of a rollout that were made for one task."""
    found = course.cluster.list(JOBS, course.namespace, labels=f"{ROLLOUT_LABEL}={rollout}")
    return [job for job in found if job["metadata"]["annotations"][TASK_ANNOTATION] == task]


def open_job(course: Course, rollout: str, task: str) -> Json:
    """Wait until there is a Job of the task that has not ended, and return it."""
    found: list[Json] = []

    def look() -> bool:
        found[:] = [job for job in jobs_of(course, rollout, task) if not job.get("status", {}).get("conditions")]
        return bool(found)

    eventually(look, lambda: f"no job of {rollout} for {task}: {json.dumps(course.status(rollout), indent=1)}")
    (job,) = found
    return job


def finish(course: Course, rollout: str, task: str, message: str) -> str:
    """End the task's Job well, with the message that its container left; return the Job's name."""
    job = open_job(course, rollout, task)
    cluster, namespace, name = course.cluster, course.namespace, str(job["metadata"]["name"])
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job["metadata"]["uid"], "controller": True}
    metadata: Json = {
        "name": f"{name[:57]}-0",
        "labels": {"batch.kubernetes.io/job-name": name},
        "ownerReferences": [owner],
    }
    spec = {"restartPolicy": "Never", "containers": [{"name": "job", "image": "trainer:1"}]}
    cluster.create(PODS, namespace, {"metadata": metadata, "spec": spec})
    ended = {"terminated": {"exitCode": 0, "reason": "Completed", "message": message}}
    container = {"name": "job", "image": "trainer:1", "imageID": "", "ready": False, "restartCount": 0, "state": ended}
    status: Json = {"phase": "Succeeded", "containerStatuses": [container]}
    cluster.merge_patch(PODS, namespace, metadata["name"], {"status": status}, subresource="status")
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    true = {"status": "True", "lastTransitionTime": now, "lastProbeTime": now, "reason": "CompletionsReached"}
    conditions = [true | {"type": kind} for kind in ("SuccessCriteriaMet", "Complete")]
    told = {"startTime": now, "completionTime": now, "succeeded": 1, "conditions": conditions}
    cluster.merge_patch(JOBS, namespace, name, {"status": told}, subresource="status")
    return name
