"""The resync on real lists, while the watch tells nothing."""

from collections.abc import Iterator
from threading import Event

import pytest

from controller.observe.cluster import ROLLOUTS, Cluster, Kind
from controller.run.dispatch import Dispatch
from controller.run.index import Index
from controller.run.key import Key
from controller.run.metering import MeteredCluster
from controller.run.resync import Resync
from controller.run.server import Health
from controller.run.telemetry import Telemetry
from controller.run.workqueue import WorkQueue
from tests.controlplane.objects import make_rollout
from tests.controlplane.process.bench import PATIENCE

pytestmark = pytest.mark.controlplane


class Bench:
    """All that a resync speaks to, as in the process, but without a watch."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.telemetry = Telemetry()
        self.queue = WorkQueue(self.telemetry, spacing=0.0)
        self.index = Index()
        self.dispatch = Dispatch(self.index, self.queue, self.telemetry)
        self.health = Health(self.queue.standstill)
        self.resync = self.of(cluster, namespace)
        self.resync.compare(after=0.0)

    def of(self, cluster: MeteredCluster | Cluster, namespace: str) -> Resync:
        return Resync(
            cluster,
            [namespace],
            index=self.index,
            dispatch=self.dispatch,
            health=self.health,
            telemetry=self.telemetry,
            settle=0.0,
        )

    def due(self) -> set[Key]:
        found = set()
        while (key := self.queue.poll()) is not None:
            self.queue.done(key, None)
            found.add(key)
        return found


@pytest.fixture
def bench(cluster: Cluster, namespace: str) -> Iterator[Bench]:
    bench = Bench(cluster, namespace)
    yield bench
    bench.resync.stop()


def test_what_the_watch_has_told_is_no_news(bench: Bench, cluster: Cluster, namespace: str) -> None:
    bench.dispatch.rollout(make_rollout(cluster, namespace))
    bench.due()
    assert bench.resync.round() == frozenset()
    assert bench.due() == set()
    assert bench.health.not_ready() is None


def test_new_changed_and_deleted_rollouts_are_found(bench: Bench, cluster: Cluster, namespace: str) -> None:
    changed, gone, new = (Key(namespace, name) for name in ("changed", "gone", "new"))
    for key in (changed, gone):
        bench.dispatch.rollout(make_rollout(cluster, namespace, key.name))
    bench.due()
    cluster.merge_patch(ROLLOUTS, namespace, "changed", {"spec": {"suspend": True}})
    cluster.delete(ROLLOUTS, namespace, "gone")
    make_rollout(cluster, namespace, "new")
    assert bench.resync.round() == {changed, gone, new}
    assert bench.due() == {changed, new}
    assert set(bench.index.all()) == {changed, new}
    assert bench.resync.round() == frozenset(), "what was missed is taken in"


def test_a_rollout_that_was_made_again_under_its_name_is_kept(bench: Bench, cluster: Cluster, namespace: str) -> None:
    bench.dispatch.rollout(make_rollout(cluster, namespace))
    bench.due()
    cluster.delete(ROLLOUTS, namespace, "fraud")
    successor = make_rollout(cluster, namespace)
    key = Key(namespace, "fraud")
    assert bench.resync.round() == {key}
    seen = bench.index.get(key)
    assert seen is not None
    assert seen.uid == successor["metadata"]["uid"]


def test_before_the_watch_has_begun_nothing_is_compared(bench: Bench, cluster: Cluster, namespace: str) -> None:
    bench.resync.compare(after=PATIENCE)
    make_rollout(cluster, namespace)
    assert bench.resync.round() == frozenset()
    assert bench.due() == set()


class Elsewhere(MeteredCluster):
    """A cluster on which the definitions were never installed: it is asked for a kind that it does not know."""

    def list_metadata(self, kind: Kind, namespace: str | None, *, labels: str = "") -> tuple[dict[str, object], ...]:
        return super().list_metadata(Kind(kind.group, kind.version, "unknowns"), namespace, labels=labels)


def test_a_cluster_without_the_definitions_is_reported_once(bench: Bench, cluster: Cluster, namespace: str) -> None:
    reported, listed = Event(), Event()
    resync = bench.of(Elsewhere(cluster, bench.telemetry), namespace)
    resync.start(listed=listed.set, not_installed=lambda _: reported.set())
    assert reported.wait(PATIENCE)
    assert not listed.is_set()
    assert bench.health.not_ready() is not None
