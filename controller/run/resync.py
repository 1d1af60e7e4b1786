"""The resync: every few minutes a fresh LIST is compared with what the watch has told.

A watch can go silent without an error (load balancers that drop connections, a new list that skips a deletion). What it
missed is taken in from here; when that happens in two rounds in a row it is reported.
"""

import logging
import time
from collections.abc import Callable, Sequence
from threading import Event, Thread
from typing import Final

from controller.observe.cluster import ROLLOUTS, ClusterError, ClusterPort, Json, NotFound
from controller.run.dispatch import Dispatch
from controller.run.index import Index, Sighting, key_of
from controller.run.key import Key
from controller.run.server import Health
from controller.run.telemetry import Telemetry

INTERVAL: Final = 300.0
"""Seconds between two resyncs."""

RETRY: Final = 5.0
"""Seconds until a resync that failed is tried again."""

SETTLE: Final = 5.0
"""Seconds that the watch gets to tell about what the list has shown."""

_log = logging.getLogger(__name__)


class Resync:
    """Compares the index with the cluster, in a thread of its own.

    Args:
        cluster: where the rollouts are.
        namespaces: where to look; empty means everywhere.
        index: what the watch has told so far.
        dispatch: takes in what the watch has missed.
        health: learns of every success.
        telemetry: learns of every round.
        settle: seconds that the watch gets to catch up with a list.
    """

    def __init__(
        self,
        cluster: ClusterPort,
        namespaces: Sequence[str],
        *,
        index: Index,
        dispatch: Dispatch,
        health: Health,
        telemetry: Telemetry,
        settle: float = SETTLE,
    ) -> None:
        self._cluster = cluster
        self._namespaces = namespaces
        self._index = index
        self._dispatch = dispatch
        self._health = health
        self._telemetry = telemetry
        self._settle = settle
        self._compare_from = float("inf")
        self._missed_before = False
        self._stopping = Event()

    def start(self, *, listed: Callable[[], None], not_installed: Callable[[str], None]) -> None:
        """Begin to list; the first answer calls one of both, ``not_installed`` when the cluster has no such kind."""
        Thread(target=self._loop, args=(listed, not_installed), name="resync", daemon=True).start()

    def compare(self, after: float = INTERVAL / 2) -> None:
        """Hold the watch, which starts now, to what the lists say from ``after`` seconds on."""
        self._compare_from = time.monotonic() + after

    def stop(self) -> None:
        """Stop listing."""
        self._stopping.set()

    def round(self) -> frozenset[Key]:
        """List once, take in what the watch has missed, and return it. Raises ``ClusterError``."""
        before = self._index.all()
        listed = {key_of(each): each for each in self._list()}
        self._health.resynced()
        differing = _differing(before, listed)
        if time.monotonic() < self._compare_from or not differing:
            return frozenset()
        self._stopping.wait(self._settle)
        missed = frozenset(key for key in differing if self._index.get(key) == before.get(key))
        for key in missed:
            self._take_in(key, before.get(key))
        return missed

    def _list(self) -> list[Json]:
        places: Sequence[str | None] = self._namespaces or (None,)
        return [each for place in places for each in self._cluster.list_metadata(ROLLOUTS, place)]

    def _take_in(self, key: Key, known: Sighting | None) -> None:
        try:
            self._dispatch.rollout(self._cluster.get(ROLLOUTS, key.namespace, key.name))
        except NotFound:
            if known is not None:
                metadata = {"namespace": key.namespace, "name": key.name, "uid": known.uid}
                self._dispatch.rollout_gone({"metadata": metadata})

    def _loop(self, listed: Callable[[], None], not_installed: Callable[[str], None]) -> None:
        first = True
        while not self._stopping.is_set():
            pause = RETRY
            try:
                self._report(self.round())
                pause = INTERVAL
                if first:
                    first = False
                    listed()
            except NotFound as error:
                self._telemetry.resynced("error")
                if first:
                    not_installed(str(error))
                    return
                _log.warning("The cluster no longer knows ModelRollouts: %s", error)
            except ClusterError as error:
                self._telemetry.resynced("error")
                _log.warning("Cannot list ModelRollouts, trying again in %g s: %s", RETRY, error)
            self._stopping.wait(pause)

    def _report(self, missed: frozenset[Key]) -> None:
        self._telemetry.resynced("ok", len(missed))
        if missed:
            names = ", ".join(sorted(str(key) for key in missed)[:10])
            level = logging.ERROR if self._missed_before else logging.WARNING
            again = "again " if self._missed_before else ""
            _log.log(level, "The watch %smissed changes of %d rollouts: %s", again, len(missed), names)
        self._missed_before = bool(missed)


def _differing(before: dict[Key, Sighting], listed: dict[Key, Json]) -> frozenset[Key]:
    known = {key: sighting.version for key, sighting in before.items()}
    found = {key: each["metadata"]["resourceVersion"] for key, each in listed.items()}
    return frozenset(key for key in known.keys() | found.keys() if known.get(key) != found.get(key))
