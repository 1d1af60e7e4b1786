"""Makes the Jobs of a verification, each once, from CronJobs that allow it.

Whoever may write a ModelRollout may start what the namespace's owner has laid out in a labelled, suspended CronJob, and
nothing else: of the order only environment variables reach the containers.
"""

import copy
import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from math import ceil
from typing import Final

from controller.act.pages import label_value
from controller.api.names import ALLOW_LABEL, API_VERSION, GROUP, ROLLOUT_KIND, ROLLOUT_LABEL
from controller.observe.cluster import CRON_JOBS, JOBS, ClusterPort, Conflict, Forbidden, Invalid, Json, NotFound
from controller.observe.jobs import read_job
from controller.plan.verify.jobs import JobOrder, JobState, Refused

TASK_ANNOTATION: Final = f"{GROUP}/task"
"""On a Job: what it was made for."""
FROM_ANNOTATION: Final = f"{GROUP}/job-from"
"""On a Job: the CronJob whose template it was made from, as ``<name>/<resourceVersion>``."""

KEPT_SECONDS: Final = 86_400
"""How long an ended Job and its logs stay."""

_DIGEST: Final = 16
_PREFIX: Final = 63 - _DIGEST - 1


def _utc_now() -> datetime:
    return datetime.now(UTC)


class JobRunner:
    """Makes Jobs and looks at them; safe to share between threads and operators: the name of a Job is its key."""

    def __init__(self, cluster: ClusterPort, *, clock: Callable[[], datetime] = _utc_now) -> None:
        self._cluster = cluster
        self._clock = clock

    def ensure(self, order: JobOrder) -> JobState:
        """Return how the ordered Job stands, having made it unless it is there.

        Raises:
            ClusterError: the API server could not be asked; ask again.
        """
        name = job_name(order)
        try:
            job = self._cluster.get(JOBS, order.namespace, name)
        except NotFound:
            made = self._make(order, name)
            if isinstance(made, Refused):
                return made
            job = made
        if not _is_owned(job, order):
            return Refused(f"job {name} is there, but not of this ModelRollout; delete it")
        return read_job(self._cluster, job, timeout=order.timeout, now=self._clock())

    def _make(self, order: JobOrder, name: str) -> Json | Refused:
        try:
            template = self._cluster.get(CRON_JOBS, order.namespace, order.job_from)
        except NotFound:
            return Refused(
                f"CronJob {order.job_from} is not in namespace {order.namespace}; create it with suspend: true and "
                f'the label {ALLOW_LABEL}: "true"'
            )
        if refusal := _refusal(template):
            return Refused(refusal)
        try:
            return self._cluster.create(JOBS, order.namespace, job_body(order, template, name))
        except Conflict:
            # Another worker was first: its Job is the one.
            return self._cluster.get(JOBS, order.namespace, name)
        except (Invalid, Forbidden) as error:
            return Refused(f"the API server refuses the job of CronJob {order.job_from}: {error.message}")


def job_name(order: JobOrder) -> str:
    """Return the name of the one Job that the order means, at most 63 characters."""
    key = "\0".join((order.uid, order.task, order.of))
    digest = hashlib.sha256(key.encode()).hexdigest()[:_DIGEST]
    readable = f"{order.rollout}-{order.task.rpartition('/')[2]}".replace(".", "-")
    return f"{readable[:_PREFIX].rstrip('-')}-{digest}"


def job_body(order: JobOrder, cron_job: Json, name: str) -> Json:
    """Return the Job to create: the CronJob's pod template, run once, with the order's variables."""
    metadata = cron_job["metadata"]
    template = copy.deepcopy(cron_job["spec"]["jobTemplate"]["spec"]["template"])
    template["spec"]["restartPolicy"] = "Never"
    for container in (*(template["spec"].get("initContainers") or ()), *template["spec"]["containers"]):
        container["env"] = _with_variables(container.get("env") or (), order.variables)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "labels": {ROLLOUT_LABEL: label_value(order.rollout)},
            "annotations": {
                TASK_ANNOTATION: order.task,
                FROM_ANNOTATION: f"{metadata['name']}/{metadata['resourceVersion']}",
            },
            "ownerReferences": [_owner(order)],
        },
        "spec": {
            "completions": 1,
            "parallelism": 1,
            "backoffLimit": 0,
            "activeDeadlineSeconds": max(1, ceil(order.timeout.total_seconds())),
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": template,
        },
    }


def _owner(order: JobOrder) -> Json:
    reference = {"apiVersion": API_VERSION, "kind": ROLLOUT_KIND, "name": order.rollout, "uid": order.uid}
    return reference | {"controller": True, "blockOwnerDeletion": False}


def _is_owned(job: Json, order: JobOrder) -> bool:
    return any(each["uid"] == order.uid for each in job["metadata"].get("ownerReferences") or ())


def _refusal(cron_job: Json) -> str:
    """Return why no Job may be made from the CronJob; empty when one may."""
    name, spec = cron_job["metadata"]["name"], cron_job["spec"]
    if (cron_job["metadata"].get("labels") or {}).get(ALLOW_LABEL) != "true":
        return f'CronJob {name} does not allow it; whoever owns it may label it {ALLOW_LABEL}: "true"'
    if not spec.get("suspend"):
        return f"CronJob {name} is not suspended and would run by itself as well; set its spec.suspend: true"
    job = spec["jobTemplate"]["spec"]
    counts = {field: job[field] for field in ("completions", "parallelism") if job.get(field) not in (None, 1)}
    if counts:
        found = ", ".join(f"{field}: {count}" for field, count in counts.items())
        return f"CronJob {name} must run one pod, found {found}; one pod reports one summary"
    return ""


def _with_variables(env: Sequence[Json], variables: Mapping[str, str]) -> list[Json]:
    """Return a container's variables, the order's last; ``$`` is doubled, or the kubelet would expand ``$(NAME)``."""
    own = [each for each in env if each["name"] not in variables]
    return own + [{"name": name, "value": value.replace("$", "$$")} for name, value in variables.items()]
