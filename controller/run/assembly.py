"""Joins the rooms: builds the turn from the settings and the ports."""

from controller.observe.cluster import ClusterPort
from controller.run.settings import Settings
from controller.run.telemetry import Telemetry
from controller.run.workers import Turn


def build_turn(settings: Settings, cluster: ClusterPort, telemetry: Telemetry) -> Turn:
    """Return what a worker runs for each key."""
    msg = (
        "the turn is not part of this build: expected controller.run.turn.Turn to be joined here with the routers, "
        f"the evidence sources ({len(settings.prometheus)} configured), the records and the events"
    )
    raise NotImplementedError(msg, cluster, telemetry)
