"""The worker threads: take a key, run its turn, give the key back with the time of its next turn."""

import logging
import random
import time
from collections.abc import Callable
from enum import StrEnum
from threading import Thread
from typing import Final, Protocol

from controller.observe.cluster import ClusterError, Conflict, Unavailable
from controller.run.key import Key
from controller.run.logs import speaking_of
from controller.run.workqueue import WorkQueue

CONFLICT_RETRY: Final = 0.05
"""Seconds until a turn that lost a race against another writer is tried again; doubled while it keeps losing."""

_log = logging.getLogger(__name__)

Turn = Callable[[Key], float | None]
"""One pass over one rollout: the seconds until the next look, or None when only an event can change anything."""


class Outcome(StrEnum):
    """How a turn ended."""

    DONE = "done"
    CONFLICT = "conflict"
    UNAVAILABLE = "unavailable"
    FAILED = "failed"


class TurnObserver(Protocol):
    """Who wants to know how turns end."""

    def turned(self, outcome: Outcome, seconds: float) -> None:
        """A turn ended after that many seconds."""


class Workers:
    """A fixed number of threads that run turns until they are stopped.

    A turn that raises is put back with the queue's back-off; it never ends its thread.
    """

    def __init__(self, queue: WorkQueue, turn: Turn, *, count: int, observer: TurnObserver) -> None:
        self._queue = queue
        self._turn = turn
        self._observer = observer
        # Daemons, because a process that must end does not wait for a turn beyond the grace it was given.
        self._threads = [Thread(target=self._work, name=f"worker-{n}", daemon=True) for n in range(count)]

    def start(self) -> None:
        """Start all threads."""
        for thread in self._threads:
            thread.start()

    def stop(self, grace: float) -> bool:
        """Let turns in flight end for at most ``grace`` seconds and begin no new one; return whether all ended."""
        self._queue.close()
        end = time.monotonic() + grace
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while (key := self._queue.take()) is not None:
            with speaking_of(rollout=str(key)):
                started = time.monotonic()
                outcome = self._run(key)
                self._observer.turned(outcome, time.monotonic() - started)

    def _run(self, key: Key) -> Outcome:
        try:
            again = self._turn(key)
        except Conflict as error:
            delay = self._queue.failed(key, first=CONFLICT_RETRY)
            _log.debug("Somebody else wrote meanwhile, the turn starts again in %.2f s: %s", delay, error)
            return Outcome.CONFLICT
        except Unavailable as error:
            delay = self._queue.failed(key, at_least=_spread(error.retry_after))
            _log.warning("The API server did not serve the turn, it is tried again in %.1f s: %s", delay, error)
            return Outcome.UNAVAILABLE
        except ClusterError as error:
            delay = self._queue.failed(key)
            _log.error("The API server refused, the turn is tried again in %.1f s: %s", delay, error)
            return Outcome.FAILED
        except Exception:
            delay = self._queue.failed(key)
            _log.exception("The turn failed and is tried again in %.1f s", delay)
            return Outcome.FAILED
        self._queue.done(key, again)
        return Outcome.DONE


def _spread(retry_after: float | None) -> float:
    """Return when to come back to a server that named a time to all its clients at once."""
    return 0.0 if not retry_after else retry_after * (1 + random.random() / 4)  # noqa: S311  not a secret
