"""Leader election on a real Lease, in a hurry: terms of a second instead of fifteen."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from threading import Event

import pytest

from controller.observe.cluster import LEASES, Cluster, ClusterPort, Json, Kind
from controller.run.lease import Leadership, LeaseName, Terms
from controller.run.metering import MeteredCluster
from controller.run.telemetry import Telemetry
from tests.controlplane.process.bench import PATIENCE, eventually

pytestmark = pytest.mark.controlplane

SHORT = Terms(duration=2.0, renew_within=1.2, retry=0.2)
LASTING = Terms(duration=3600.0, renew_within=1800.0, retry=0.2)


class Candidate:
    """One process that wants the Lease."""

    def __init__(self, cluster: ClusterPort, namespace: str, identity: str, terms: Terms = SHORT) -> None:
        self.acquired, self.lost = Event(), Event()
        self.leadership = Leadership(
            cluster,
            LeaseName(namespace, "modelrollout", identity),
            on_acquired=self.acquired.set,
            on_lost=self.lost.set,
            terms=terms,
        )
        self.leadership.start()


@pytest.fixture
def candidate(cluster: Cluster, namespace: str) -> Iterator[Callable[..., Candidate]]:
    all_of_them: list[Candidate] = []

    def make(identity: str, *, terms: Terms = SHORT, port: ClusterPort = cluster) -> Candidate:
        all_of_them.append(Candidate(port, namespace, identity, terms))
        return all_of_them[-1]

    yield make
    for each in all_of_them:
        each.leadership.release()


def spec(cluster: Cluster, namespace: str) -> Json:
    found: Json = cluster.get(LEASES, namespace, "modelrollout")["spec"]
    return found


def test_one_leads_and_the_other_waits_until_it_leaves(
    cluster: Cluster, namespace: str, candidate: Callable[..., Candidate]
) -> None:
    first = candidate("first", terms=LASTING)
    assert first.acquired.wait(PATIENCE)
    second = candidate("second")
    before = spec(cluster, namespace)
    eventually(lambda: spec(cluster, namespace)["renewTime"] > before["renewTime"], "the Lease is renewed")
    assert spec(cluster, namespace)["acquireTime"] == before["acquireTime"]
    assert not second.acquired.is_set()
    first.leadership.release()
    # The record says an hour; only the empty holder can have let the second one in.
    assert second.acquired.wait(PATIENCE)
    after = spec(cluster, namespace)
    assert (after["holderIdentity"], after["leaseTransitions"]) == ("second", 1)
    assert not first.lost.is_set(), "leaving is no loss"


def test_a_leader_that_vanished_is_succeeded_when_its_term_is_over(
    cluster: Cluster, namespace: str, candidate: Callable[..., Candidate]
) -> None:
    now = "2020-01-01T00:00:00.000000Z"  # what a clock years behind would write: only silence may count, not times
    gone = {"holderIdentity": "gone", "leaseDurationSeconds": 2, "renewTime": now, "acquireTime": now}
    cluster.create(LEASES, namespace, {"metadata": {"name": "modelrollout"}, "spec": gone})
    began = time.monotonic()
    assert candidate("second").acquired.wait(PATIENCE)
    assert time.monotonic() - began >= 2.0


def test_a_holder_that_renews_is_respected_whatever_its_clock_says(
    cluster: Cluster, namespace: str, candidate: Callable[..., Candidate]
) -> None:
    past = {"holderIdentity": "other", "leaseDurationSeconds": 2, "renewTime": "2020-01-01T00:00:00.000000Z"}
    cluster.create(LEASES, namespace, {"metadata": {"name": "modelrollout"}, "spec": past})
    waiting = candidate("second")
    for number in range(8):  # for four seconds, twice the term
        moment = f"2020-01-01T00:00:00.{number + 1:06d}Z"
        cluster.merge_patch(LEASES, namespace, "modelrollout", {"spec": {"renewTime": moment}})
        assert not waiting.acquired.wait(0.5)
    assert waiting.acquired.wait(PATIENCE)


def test_who_sees_somebody_else_in_the_lease_stops_leading(
    cluster: Cluster, namespace: str, candidate: Callable[..., Candidate]
) -> None:
    robbed = candidate("robbed", terms=LASTING)
    assert robbed.acquired.wait(PATIENCE)
    cluster.merge_patch(LEASES, namespace, "modelrollout", {"spec": {"holderIdentity": "robber"}})
    assert robbed.lost.wait(PATIENCE)
    assert not robbed.leadership.held()
    robbed.leadership.release()
    assert spec(cluster, namespace)["holderIdentity"] == "robber", "what belongs to others is not released"


def test_a_deleted_lease_is_made_again(cluster: Cluster, namespace: str, candidate: Callable[..., Candidate]) -> None:
    leading = candidate("first", terms=LASTING)
    assert leading.acquired.wait(PATIENCE)
    cluster.delete(LEASES, namespace, "modelrollout")
    eventually(lambda: bool(cluster.list(LEASES, namespace)), "the Lease is there again")
    assert spec(cluster, namespace)["holderIdentity"] == "first"
    assert not leading.lost.is_set()


class Hanging(MeteredCluster):
    """The port whose writes hang from a moment on, as in a network that swallows packets."""

    def __init__(self, cluster: ClusterPort) -> None:
        super().__init__(cluster, Telemetry())
        self.hangs = Event()
        self.over = Event()

    def replace(self, kind: Kind, namespace: str, name: str, body: Json) -> Json:
        if self.hangs.is_set():
            self.over.wait(PATIENCE)
        return super().replace(kind, namespace, name, body)


def test_a_renewal_that_hangs_ends_the_leadership_in_time(
    cluster: Cluster, namespace: str, candidate: Callable[..., Candidate]
) -> None:
    port = Hanging(cluster)
    leading = candidate("first", port=port)
    assert leading.acquired.wait(PATIENCE)
    port.hangs.set()
    assert leading.lost.wait(PATIENCE)
    assert not port.over.is_set(), "the renewal still hangs"
    successor = candidate("second")
    assert successor.acquired.wait(PATIENCE)
    port.over.set()  # the late renewal reaches the server now, and must not take the Lease back
    leading.leadership.release()
    assert spec(cluster, namespace)["holderIdentity"] == "second"


def test_times_are_written_as_the_api_wants_them(
    cluster: Cluster, namespace: str, candidate: Callable[..., Candidate]
) -> None:
    assert candidate("first").acquired.wait(PATIENCE)
    written = spec(cluster, namespace)
    for name in ("acquireTime", "renewTime"):
        assert datetime.fromisoformat(written[name]).tzinfo is not None
    assert written["leaseDurationSeconds"] == 2
