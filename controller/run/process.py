"""The operator process: what starts when, and how it ends.

The main thread does nothing but take note of what happened (``Milestone``) and start or stop the parts:
listed → tries to lead → leads → workers and informer run → told to stop → turns end → the Lease is released.
"""

import logging
import os
import signal
from collections.abc import Callable
from enum import StrEnum, auto
from queue import Empty, SimpleQueue
from typing import Final

from controller.observe.cluster import ClusterPort
from controller.run.dispatch import Dispatch
from controller.run.index import Index
from controller.run.lease import Leadership, LeaseName
from controller.run.metering import MeteredCluster
from controller.run.resync import Resync
from controller.run.server import Health, Server
from controller.run.settings import Settings
from controller.run.shell import Informer
from controller.run.surroundings import Surroundings
from controller.run.telemetry import Telemetry
from controller.run.workers import Turn, Workers
from controller.run.workqueue import WorkQueue

GRACE: Final = 15.0
"""Seconds that turns in flight get when the process is told to stop; a pod has 30 in all by default."""

INFORMER_GRACE: Final = 5.0
"""Seconds for the informer to close its connections."""

TurnFactory = Callable[[Settings, Surroundings], Turn]

_log = logging.getLogger(__name__)


class Milestone(StrEnum):
    """What the main thread is told."""

    LISTED = auto()
    NOT_INSTALLED = auto()
    LEADING = auto()
    TOLD_TO_STOP = auto()
    INFORMER_ENDED = auto()


class Process:
    """All parts of a running operator.

    Args:
        settings: the operator's settings.
        cluster: the API server; every request of the parts is metered.
        make_turn: builds what the workers run.
        lease: what to hold before working; None to work at once.
    """

    def __init__(
        self, settings: Settings, cluster: ClusterPort, *, make_turn: TurnFactory, lease: LeaseName | None
    ) -> None:
        # Unlike an Event this may be filled from a signal handler, whatever the main thread is doing just then.
        self._milestones: SimpleQueue[Milestone] = SimpleQueue()
        self._telemetry = telemetry = Telemetry()
        metered = MeteredCluster(cluster, telemetry)
        queue = WorkQueue(telemetry)
        telemetry.follow_queue(depth=queue.depth, lateness=queue.lateness)
        index = Index()
        dispatch = Dispatch(index, queue, telemetry)
        health = Health(queue.standstill)
        self._server = Server(settings.listen, telemetry.registry, health)
        self._resync = Resync(
            metered, settings.namespaces, index=index, dispatch=dispatch, health=health, telemetry=telemetry
        )
        self._endings: list[Callable[[], None]] = []
        surroundings = Surroundings(metered, telemetry, index, wake=queue.put, on_stop=self._endings.append)
        turn = make_turn(settings, surroundings)
        self._workers = Workers(queue, turn, count=settings.workers, observer=telemetry)
        self._informer = Informer(dispatch, namespaces=settings.namespaces, ended=self._tell(Milestone.INFORMER_ENDED))
        self._leadership = (
            Leadership(metered, lease, on_acquired=self._tell(Milestone.LEADING), on_lost=_end_at_once)
            if lease
            else None
        )

    def run(self) -> int:
        """Work until told to stop by SIGTERM or SIGINT; return the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._milestones.put(Milestone.TOLD_TO_STOP))
        self._server.start()
        _log.info("Serving metrics and probes on port %d", self._server.port)
        self._resync.start(listed=self._tell(Milestone.LISTED), not_installed=self._not_installed)
        while True:
            match milestone := self._next_milestone():
                case Milestone.LISTED:
                    self._stand()
                case Milestone.LEADING:
                    self._lead()
                case _:
                    break
        self._stop()
        return 0 if milestone is Milestone.TOLD_TO_STOP else 1

    def _next_milestone(self) -> Milestone:
        """Wait for what happens next, waking up every second.

        A signal that the system delivers to another thread sets Python's flag, but does not wake the main thread, which
        alone runs handlers: sleeping for ever, it would never hear of it.
        """
        while True:
            try:
                return self._milestones.get(timeout=1.0)
            except Empty:
                continue

    def _stand(self) -> None:
        if self._leadership is None:
            self._lead()
        else:
            self._leadership.start()

    def _lead(self) -> None:
        self._telemetry.leads()
        self._workers.start()
        self._informer.start()
        self._resync.compare()

    def _stop(self) -> None:
        _log.info("Stopping: turns in flight end, no new one begins")
        self._resync.stop()
        for ending in self._endings:
            ending()
        idle = self._workers.stop(GRACE)
        self._informer.stop(INFORMER_GRACE)
        if not idle:
            # The Lease is left to expire: what is still in flight must not meet a successor already at work.
            _log.warning("Some turns did not end within %g s and are cut off; the next leader takes them up", GRACE)
        elif self._leadership is not None:
            self._leadership.release()
        self._server.stop()
        _log.info("Stopped")

    def _not_installed(self, found: str) -> None:
        _log.error(
            "The cluster does not know ModelRollouts (%s); install the definitions first: "
            "python -m controller crds | kubectl apply --server-side -f -",
            found,
        )
        self._milestones.put(Milestone.NOT_INSTALLED)

    def _tell(self, milestone: Milestone) -> Callable[[], None]:
        return lambda: self._milestones.put(milestone)


def _end_at_once() -> None:
    """End the process without any clean-up: another one may lead already, so nothing more may begin here."""
    logging.shutdown()
    os._exit(1)
