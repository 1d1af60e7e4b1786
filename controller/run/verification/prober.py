"""Checks that take their time, in threads of their own, so that no rollout's turn waits for a slow pod."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from controller.api.verdicts import CheckState
from controller.plan.verify.findings import CheckKey, Outcome
from controller.run.key import Key

THREADS: Final = 48
"""Checks that run at once, over all rollouts."""
MOST_OF_ONE: Final = 16
"""Of these, checks of one rollout: its pods that never answer must not keep those of others waiting."""
RETRY_AFTER: Final = 15.0
"""Seconds until a check that could not be carried out is tried again."""
KEPT: Final = 500
"""Outcomes that are remembered per rollout; older ones are in status."""
ROLLOUTS: Final = 500
"""Rollouts of which outcomes are remembered: those that were checked last, whether they still exist or not."""

log = logging.getLogger(__name__)


class CheckError(Exception):
    """A check could not be carried out, which says nothing about the candidate; it is tried again."""


class Prober:
    """Runs each check once and wakes the rollout when it ends; safe to share between threads.

    Args:
        wake: asks for a turn of the rollout.
        threads: checks that run at once.
        of_one: of these, checks of one rollout.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        wake: Callable[[Key], None],
        *,
        threads: int = THREADS,
        of_one: int = MOST_OF_ONE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wake = wake
        self._clock = clock
        self._of_one = of_one
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="check")
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._running: dict[tuple[str, CheckKey], Future[Outcome]] = {}
        self._finished: OrderedDict[str, OrderedDict[CheckKey, Outcome]] = OrderedDict()
        self._broken: dict[str, dict[CheckKey, tuple[float, str]]] = {}

    def stopping(self) -> bool:
        """Whether the process ends, so that a check in flight should give up."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Let no further check begin; those in flight end by themselves soon."""
        self._stopping.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def takes(self, uid: str, check: CheckKey) -> bool:
        """Whether the check would begin now.

        Not while it runs, after it has ended, soon after it could not be carried out, or while as many of the rollout's
        run as may at once; when one of those ends, the rollout is woken.
        """
        with self._lock:
            return self._takes(uid, check)

    def start(self, key: Key, uid: str, check: CheckKey, work: Callable[[], Outcome]) -> None:
        """Begin a check if it is taken now."""
        with self._lock:
            if not self._takes(uid, check):
                return
            future = self._running[uid, check] = self._pool.submit(work)
        future.add_done_callback(lambda ended: self._ended(key, uid, check, ended))

    def note(self, uid: str, check: CheckKey, outcome: Outcome) -> None:
        """Remember the outcome of a check that was done within a turn."""
        with self._lock:
            self._broken.get(uid, {}).pop(check, None)
            finished = self._finished.setdefault(uid, OrderedDict())
            finished[check] = outcome
            while len(finished) > KEPT:
                finished.popitem(last=False)
            self._finished.move_to_end(uid)
            while len(self._finished) > ROLLOUTS:
                forgotten, _ = self._finished.popitem(last=False)
                self._broken.pop(forgotten, None)

    def finished(self, uid: str) -> Mapping[CheckKey, Outcome]:
        """Return the outcomes of a rollout's checks that ended in this process."""
        with self._lock:
            return dict(self._finished.get(uid, ()))

    def running(self, uid: str) -> frozenset[CheckKey]:
        """Return the checks of a rollout that have not ended."""
        with self._lock:
            return self._of(uid)

    def broken(self, uid: str, among: Collection[CheckKey]) -> str | None:
        """Return what went wrong with one of the checks itself, which says nothing about the candidate."""
        with self._lock:
            found = self._broken.get(uid, {})
            return next((told for check, (_, told) in found.items() if check in among), None)

    def _takes(self, uid: str, check: CheckKey) -> bool:
        if self.stopping() or (uid, check) in self._running or check in self._finished.get(uid, ()):
            return False
        failed_at, _ = self._broken.get(uid, {}).get(check, (-RETRY_AFTER, ""))
        return self._clock() >= failed_at + RETRY_AFTER and len(self._of(uid)) < self._of_one

    def _of(self, uid: str) -> frozenset[CheckKey]:
        return frozenset(check for owner, check in self._running if owner == uid)

    def _ended(self, key: Key, uid: str, check: CheckKey, future: Future[Outcome]) -> None:
        with self._lock:
            self._running.pop((uid, check), None)
        if future.cancelled():
            return
        error = future.exception()
        if error is None:
            outcome = future.result()
            if not any(each.state is CheckState.PENDING for each in outcome.findings):
                self.note(uid, check, outcome)
        else:
            self._failed(uid, check, error)
        self._wake(key)

    def _failed(self, uid: str, check: CheckKey, error: BaseException) -> None:
        if isinstance(error, CheckError):
            told = str(error)
        else:
            log.error("A check ended with an error of its own: %s", check, exc_info=error)
            told = f"{check.part} of {check.arm} ended with an error of its own, see the operator's log: {error}"
        with self._lock:
            self._broken.setdefault(uid, {})[check] = (self._clock(), told)
