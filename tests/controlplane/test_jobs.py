"""Jobs on a real API server: made once, from what allows it, and read by the pod that the Job controller would make."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controller.act.jobs import JobRunner, job_name
from controller.observe.cluster import CRON_JOBS, JOBS, PODS, Cluster, Json, Unavailable
from controller.plan.verify.jobs import Failed, JobOrder, JobState, Refused, Running, Succeeded
from tests.controlplane.objects import Watched, make_rollout

pytestmark = pytest.mark.controlplane

TIMEOUT = timedelta(minutes=10)


class Room:
    """A namespace with a rollout and a CronJob, and a hand that does what kubelet and Job controller would do."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.uid: str = make_rollout(cluster, namespace)["metadata"]["uid"]

    def lay_out(self, *, labels: dict[str, str] | None = None, suspend: bool = True, **job: Any) -> None:
        """Create the CronJob `fraud-train`."""
        container = {"name": "job", "image": "trainer:1", "env": [{"name": "SEED", "value": "0"}]}
        first = {"name": "fetch", "image": "trainer:1"}
        spec = {"restartPolicy": "OnFailure", "initContainers": [first], "containers": [container]}
        template = {"metadata": {"labels": {"app": "trainer"}}, "spec": spec}
        body = {
            "metadata": {
                "name": "fraud-train",
                "labels": {"modelrollout.dev/allow": "true"} if labels is None else labels,
            },
            "spec": {
                "suspend": suspend,
                "schedule": "0 0 1 1 *",
                "jobTemplate": {"spec": {"backoffLimit": 6, "template": template} | job},
            },
        }
        self.cluster.create(CRON_JOBS, self.namespace, body)

    def order(self, **other: Any) -> JobOrder:
        """Order it."""
        wanted: dict[str, Any] = {
            "namespace": self.namespace,
            "rollout": "fraud",
            "uid": self.uid,
            "task": "pipeline/train",
            "of": "abc",
            "job_from": "fraud-train",
            "timeout": TIMEOUT,
            "variables": {"MODELROLLOUT_DATA_DIGEST": "sha256:ab"},
        }
        return JobOrder(**(wanted | other))

    def ensure(self, *, later: timedelta = timedelta(0), **other: Any) -> JobState:
        """Ensure it, with the operator's clock so much later."""
        runner = JobRunner(self.cluster, clock=lambda: datetime.now(UTC) + later)
        return runner.ensure(self.order(**other))

    def jobs(self) -> tuple[Json, ...]:
        """Return all Jobs."""
        return self.cluster.list(JOBS, self.namespace)

    def make_pod(self, name: str = "pod", *, owner: str | None = None, **annotations: str) -> None:
        """Create the only Job's pod; ``owner`` is the uid of another Job."""
        (job,) = self.jobs()
        reference = {"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "controller": True}
        containers = [{"name": "job", "image": "trainer:1"}, {"name": "beside", "image": "trainer:1"}]
        metadata = {
            "name": name,
            "labels": {"batch.kubernetes.io/job-name": job["metadata"]["name"]},
            "annotations": annotations,
            "ownerReferences": [reference | {"uid": owner or job["metadata"]["uid"]}],
        }
        body = {"metadata": metadata, "spec": {"restartPolicy": "Never", "containers": containers}}
        self.cluster.create(PODS, self.namespace, body)

    def let_pod(self, name: str = "pod", **states: Json) -> None:
        """Write the states of its containers."""
        images = {"image": "trainer:1", "imageID": "", "ready": False, "restartCount": 0}
        statuses = [images | {"name": container, "state": state} for container, state in states.items()]
        status = {"phase": "Running", "containerStatuses": statuses}
        self.cluster.merge_patch(PODS, self.namespace, name, {"status": status}, subresource="status")

    def end(self, kind: str, reason: str = "", message: str = "") -> None:
        """Write the Job's condition, as the Job controller orders them."""
        (job,) = self.jobs()
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        before = {"Complete": "SuccessCriteriaMet", "Failed": "FailureTarget"}[kind]
        common = {"status": "True", "lastTransitionTime": now, "lastProbeTime": now}
        told = common | {"reason": reason or "CompletionsReached", "message": message}
        status: Json = {
            "startTime": job["metadata"]["creationTimestamp"],
            "conditions": [told | {"type": before}, told | {"type": kind}],
        }
        if kind == "Complete":
            status |= {"completionTime": now, "succeeded": 1}
        self.cluster.merge_patch(
            JOBS, self.namespace, job["metadata"]["name"], {"status": status}, subresource="status"
        )


def terminated(message: str, code: int = 0) -> Json:
    reason = "Error" if code else "Completed"
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


@pytest.fixture
def room(cluster: Cluster, namespace: str) -> Iterator[Room]:
    yield Room(cluster, namespace)
    for kind in (JOBS, CRON_JOBS):
        for left in cluster.list(kind, namespace):
            cluster.delete(kind, namespace, left["metadata"]["name"])


def test_the_job_is_the_template_run_once_with_the_orders_variables(room: Room) -> None:
    room.lay_out(parallelism=1)
    state = room.ensure()
    assert state == Running(job_name(room.order()))
    (job,) = room.jobs()
    assert job["metadata"]["labels"] == {"modelrollout.dev/rollout": "fraud"}
    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("ModelRollout", "fraud", room.uid)
    spec = job["spec"]
    limits = ("completions", "parallelism", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished")
    assert [spec[name] for name in limits] == [1, 1, 0, 600, 86400]
    pod = spec["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    added = {"name": "MODELROLLOUT_DATA_DIGEST", "value": "sha256:ab"}
    assert pod["containers"][0]["env"] == [{"name": "SEED", "value": "0"}, added]
    assert pod["initContainers"][0]["env"] == [added]
    assert spec["template"]["metadata"]["labels"]["app"] == "trainer"


def test_a_value_of_the_spec_cannot_read_the_containers_other_variables(room: Room) -> None:
    room.lay_out()
    room.ensure(variables={"MODELROLLOUT_DATA_DIGEST": "$(PASSWORD)", "SEED": "7"})
    (job,) = room.jobs()
    env = {each["name"]: each["value"] for each in job["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert env == {"MODELROLLOUT_DATA_DIGEST": "$$(PASSWORD)", "SEED": "7"}


def test_it_is_made_once_whoever_asks_and_however_often(room: Room, cluster: Cluster) -> None:
    room.lay_out()
    ready = threading.Barrier(6)
    states: list[JobState] = []

    def ask() -> None:
        runner = JobRunner(cluster)
        ready.wait()
        states.append(runner.ensure(room.order()))

    askers = [threading.Thread(target=ask) for _ in range(6)]
    for each in askers:
        each.start()
    for each in askers:
        each.join()
    assert states == [Running(job_name(room.order()))] * 6
    assert len(room.jobs()) == 1
    watched = Watched(cluster)
    JobRunner(watched).ensure(room.order())
    assert watched.writes == []


def test_an_operator_that_died_right_after_creating_finds_its_job_again(room: Room, cluster: Cluster) -> None:
    room.lay_out()

    class Dying(Watched):
        def create(self, kind: Any, namespace: str, body: Json) -> Json:
            super().create(kind, namespace, body)
            raise Unavailable("the connection broke")

    with pytest.raises(Unavailable):
        JobRunner(Dying(cluster)).ensure(room.order())
    assert room.ensure() == Running(job_name(room.order()))
    assert len(room.jobs()) == 1


def test_another_revision_task_or_rollout_is_another_job(room: Room) -> None:
    names = {
        job_name(order)
        for order in (
            room.order(),
            room.order(of="abd"),
            room.order(task="pipeline/evaluate"),
            room.order(task="reproduction"),
            room.order(uid="other"),
        )
    }
    assert len(names) == 5
    longest = job_name(room.order(rollout="f" * 50 + "." + "f" * 200))
    assert len(longest) == 63
    assert "." not in longest


def test_what_does_not_allow_it_is_refused_in_words(room: Room, cluster: Cluster) -> None:
    missing = room.ensure()
    assert isinstance(missing, Refused)
    assert missing.sentence.startswith(f"CronJob fraud-train is not in namespace {room.namespace}; create it with")
    expected = (
        (
            {"labels": {}},
            'CronJob fraud-train does not allow it; whoever owns it may label it modelrollout.dev/allow: "tr',
        ),
        ({"labels": {"modelrollout.dev/allow": "yes"}}, "CronJob fraud-train does not allow it"),
        ({"suspend": False}, "CronJob fraud-train is not suspended and would run by itself as well"),
        ({"parallelism": 3}, "CronJob fraud-train must run one pod, found parallelism: 3"),
        ({"completions": 2}, "CronJob fraud-train must run one pod, found completions: 2"),
    )
    for written, sentence in expected:
        room.lay_out(**written)
        state = room.ensure()
        assert isinstance(state, Refused)
        assert state.sentence.startswith(sentence)
        cluster.delete(CRON_JOBS, room.namespace, "fraud-train")
    assert room.jobs() == ()


def test_a_job_of_the_same_name_that_is_somebody_elses_is_left_alone(room: Room, cluster: Cluster) -> None:
    room.lay_out()
    container = {"name": "job", "image": "other:1"}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    name = job_name(room.order())
    cluster.create(JOBS, room.namespace, {"metadata": {"name": name}, "spec": {"template": template}})
    assert room.ensure() == Refused(f"job {name} is there, but not of this ModelRollout; delete it")


def test_the_message_is_that_of_the_reporting_container_of_its_own_pod(room: Room) -> None:
    room.lay_out()
    room.ensure()
    room.make_pod("forged", owner="00000000-0000-0000-0000-000000000000")
    room.let_pod("forged", job=terminated('{"rows": 1}'))
    room.make_pod()
    room.let_pod(beside=terminated("{}"), job=terminated('{"rows": 1200}'))
    assert isinstance(room.ensure(), Running)
    room.end("Complete")
    state = room.ensure()
    assert isinstance(state, Succeeded)
    assert state.message == '{"rows": 1200}'


def test_the_annotated_container_reports(room: Room) -> None:
    room.lay_out()
    room.ensure()
    room.make_pod(**{"kubectl.kubernetes.io/default-container": "beside"})
    room.let_pod(job=terminated("{}"), beside=terminated('{"rows": 3}'))
    room.end("Complete")
    state = room.ensure()
    assert isinstance(state, Succeeded)
    assert state.message == '{"rows": 3}'


def test_a_job_that_fails_tells_its_exit_code_and_where_its_logs_are(room: Room) -> None:
    room.lay_out()
    room.ensure()
    room.make_pod()
    room.let_pod(job=terminated("no data at s3://bucket", 3))
    room.end("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    state = room.ensure()
    assert isinstance(state, Failed)
    assert state.reason == "failed: exit code 3 (Error): no data at s3://bucket"
    assert state.hint == f"kubectl logs --namespace {room.namespace} job/{job_name(room.order())}"


def test_a_job_that_never_ends_has_failed_at_its_deadline(room: Room) -> None:
    room.lay_out()
    room.ensure()
    assert isinstance(room.ensure(later=TIMEOUT - timedelta(seconds=30)), Running)
    state = room.ensure(later=TIMEOUT + timedelta(seconds=1))
    assert isinstance(state, Failed)
    assert state.reason == "did not end within 10m"
    room.end("Failed", "DeadlineExceeded", "Job was active longer than specified deadline")
    ended = room.ensure()
    assert isinstance(ended, Failed)
    assert ended.reason == "did not end within 10m"


def test_what_holds_its_pod_up_is_told(room: Room) -> None:
    room.lay_out()
    room.ensure()
    room.make_pod()
    room.let_pod(job={"waiting": {"reason": "ImagePullBackOff", "message": "no such image trainer:1"}})
    state = room.ensure()
    assert isinstance(state, Running)
    assert state.detail == "its pod waits: ImagePullBackOff: no such image trainer:1"
    late = room.ensure(later=2 * TIMEOUT)
    assert isinstance(late, Failed)
    assert late.reason == "did not end within 10m: its pod waits: ImagePullBackOff: no such image trainer:1"


def test_a_job_whose_pod_is_gone_has_reported_nothing(room: Room) -> None:
    room.lay_out()
    room.ensure()
    room.end("Complete")
    state = room.ensure()
    assert isinstance(state, Failed)
    assert state.reason.startswith("ended, but its pod is gone, and with it what it reported")


def test_what_the_api_server_does_not_take_is_refused_in_words(room: Room) -> None:
    room.lay_out()
    state = room.ensure(variables={"=": "no name"})
    assert isinstance(state, Refused)
    assert state.sentence.startswith("the API server refuses the job of CronJob fraud-train: ")
    assert room.jobs() == ()
