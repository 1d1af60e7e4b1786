"""Joins the rooms: builds the turn from the settings and the ports."""

from datetime import UTC, datetime

from controller.act.events import EventSink
from controller.act.record import RecordKeeper
from controller.observe.cluster import ClusterPort
from controller.observe.evidence import PrometheusEvidence
from controller.observe.workloads import Workloads
from controller.run.evidence import Source
from controller.run.settings import Settings
from controller.run.telemetry import Telemetry
from controller.run.turn import Ports, Turn
from controller.run.world import WorldReader


def build_turn(settings: Settings, cluster: ClusterPort, telemetry: Telemetry) -> Turn:
    """Return what a worker runs for each key."""
    sources = {
        server.name: Source(evidence=PrometheusEvidence(server), scrape=server.scrape, settle=server.settle)
        for server in (each.server() for each in settings.prometheus)
    }
    return Turn(
        Ports(
            cluster=cluster,
            reader=WorldReader(cluster, Workloads(cluster), servers=frozenset(sources)),
            sources=sources,
            records=RecordKeeper(cluster),
            events=EventSink(cluster),
            clock=lambda: datetime.now(UTC),
            decided=telemetry.decided,
        )
    )
