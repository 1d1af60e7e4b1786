"""What the parts of a turn may need of the process that runs it."""

from collections.abc import Callable
from dataclasses import dataclass

from controller.observe.cluster import ClusterPort
from controller.run.index import Index
from controller.run.key import Key
from controller.run.telemetry import Telemetry


@dataclass(frozen=True)
class Surroundings:
    """What a turn may need of the process around it.

    ``wake`` asks for a turn of a rollout; ``on_stop`` takes what is to be called when the process is told to stop.
    """

    cluster: ClusterPort
    telemetry: Telemetry
    index: Index
    wake: Callable[[Key], None]
    on_stop: Callable[[Callable[[], None]], None]
