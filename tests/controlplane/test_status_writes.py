import pytest

from controller.act.status import add_finalizer, commit_status, remove_finalizer
from controller.api.names import FINALIZER
from controller.api.reasons import Phase
from controller.api.status import ModelRolloutStatus, Revision, TrafficStatus
from controller.observe.cluster import ROLLOUTS, ClusterPort, Conflict, NotFound
from tests.controlplane.objects import Watched, make_rollout

pytestmark = pytest.mark.controlplane

V2 = Revision(deployment="fraud-v2", service="fraud-v2", hash="ab")
PROGRESSING = ModelRolloutStatus(
    phase=Phase.PROGRESSING, message="at 5 %", step="1/4", candidate=V2, traffic=TrafficStatus(desired_weight=5)
)


def test_commit_is_what_is_read_back(cluster: ClusterPort, namespace: str) -> None:
    rollout = make_rollout(cluster, namespace)
    committed = commit_status(cluster, rollout, PROGRESSING)
    stored = cluster.get(ROLLOUTS, namespace, "fraud")
    assert stored == committed
    assert ModelRolloutStatus.model_validate(stored["status"]) == PROGRESSING
    assert stored["metadata"]["generation"] == rollout["metadata"]["generation"]


def test_what_became_absent_vanishes(cluster: ClusterPort, namespace: str) -> None:
    rollout = commit_status(cluster, make_rollout(cluster, namespace), PROGRESSING)
    commit_status(cluster, rollout, ModelRolloutStatus(phase=Phase.IDLE))
    stored = cluster.get(ROLLOUTS, namespace, "fraud")["status"]
    assert stored == ModelRolloutStatus(phase=Phase.IDLE).to_json()
    assert not {"step", "candidate"} & stored.keys()


def test_commit_on_an_outdated_reading_is_refused(cluster: ClusterPort, namespace: str) -> None:
    outdated = make_rollout(cluster, namespace)
    commit_status(cluster, outdated, PROGRESSING)
    with pytest.raises(Conflict) as caught:
        commit_status(cluster, outdated, ModelRolloutStatus(phase=Phase.ROLLING_BACK))
    assert caught.value.status == 409
    assert cluster.get(ROLLOUTS, namespace, "fraud")["status"]["phase"] == "Progressing"


def test_status_that_does_not_differ_is_not_written(cluster: ClusterPort, namespace: str) -> None:
    watched = Watched(cluster)
    rollout = commit_status(watched, make_rollout(cluster, namespace), PROGRESSING)
    assert commit_status(watched, rollout, PROGRESSING) == rollout
    assert watched.writes == ["modelrollouts/fraud/status"]


def test_finalizer_comes_and_goes_beside_those_of_others(cluster: ClusterPort, namespace: str) -> None:
    make_rollout(cluster, namespace)
    others = {"metadata": {"finalizers": ["example.com/first"]}}
    rollout = cluster.merge_patch(ROLLOUTS, namespace, "fraud", others)
    rollout = add_finalizer(cluster, rollout)
    assert rollout["metadata"]["finalizers"] == ["example.com/first", FINALIZER]
    assert add_finalizer(cluster, rollout) == rollout
    rollout = remove_finalizer(cluster, rollout)
    assert rollout["metadata"]["finalizers"] == ["example.com/first"]
    assert remove_finalizer(cluster, rollout) == rollout
    cluster.merge_patch(ROLLOUTS, namespace, "fraud", {"metadata": {"finalizers": None}})


def test_finalizer_on_an_outdated_reading_is_refused(cluster: ClusterPort, namespace: str) -> None:
    outdated = make_rollout(cluster, namespace)
    commit_status(cluster, outdated, PROGRESSING)
    with pytest.raises(Conflict):
        add_finalizer(cluster, outdated)
    assert "finalizers" not in cluster.get(ROLLOUTS, namespace, "fraud")["metadata"]


def test_object_goes_when_the_finalizer_goes(cluster: ClusterPort, namespace: str) -> None:
    add_finalizer(cluster, make_rollout(cluster, namespace))
    cluster.delete(ROLLOUTS, namespace, "fraud")
    remove_finalizer(cluster, cluster.get(ROLLOUTS, namespace, "fraud"))
    with pytest.raises(NotFound):
        cluster.get(ROLLOUTS, namespace, "fraud")
