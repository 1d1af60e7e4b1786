"""The work queue: which rollout gets its turn when.

Every key is in it at most once and has at most one turn in flight. A put for a key that waits only ever brings it
forward; a put for a key in flight makes it wait again when its turn ends. Keys leave in the order in which they became
due, so no key, however busy, keeps another one from its turn.

A storm of events costs little: puts of a waiting key merge, and a put brings a key forward to ``spacing`` after the end
of its last turn at the earliest. What the turn itself asked for (``done``) is exact.
"""

import random
import time
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from threading import Condition
from typing import Final, Protocol

from controller.run.key import Key

SPACING: Final = 0.5
"""Seconds between the end of a turn and the next one that an event asks for."""

FIRST_RETRY: Final = 1.0
"""Seconds until the first retry of a failed turn; doubled with every further failure."""

LONGEST_RETRY: Final = 15.0
"""Seconds that a retry waits at most."""


class QueueObserver(Protocol):
    """Who wants to know how the queue is doing."""

    def taken(self, lateness: float) -> None:
        """A key began its turn that many seconds after it was due."""

    def retried(self) -> None:
        """A failed turn was put back."""


class WorkQueue:
    """A delaying, de-duplicating queue of rollouts for several worker threads.

    Args:
        observer: hears of every turn and retry.
        clock: monotonic seconds.
        chance: a random number in [0, 1), for the jitter of retries.
        spacing: seconds that a key rests after a turn before an event may start the next one.
    """

    def __init__(
        self,
        observer: QueueObserver,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
        spacing: float = SPACING,
    ) -> None:
        self._observer = observer
        self._clock = clock
        self._chance = chance
        self._spacing = spacing
        self._changed = Condition()
        self._closed = False
        self._taken_at = clock()
        self._order = count()
        self._heap: list[tuple[float, int, Key]] = []
        self._waiting: dict[Key, float] = {}
        self._in_flight: dict[Key, float | None] = {}
        self._failures: dict[Key, int] = {}
        self._resting: dict[Key, float] = {}
        self._rests: deque[tuple[float, Key]] = deque()

    def put(self, key: Key, delay: float = 0.0) -> None:
        """Ask for a turn in ``delay`` seconds; of several wishes for a key the earliest wins."""
        with self._changed:
            now = self._clock()
            due = max(now + delay, self._resting.get(key, now))
            if key in self._in_flight:
                pending = self._in_flight[key]
                self._in_flight[key] = due if pending is None else min(pending, due)
            else:
                self._schedule(key, due)

    def take(self) -> Key | None:
        """Wait for the key that has been due for the longest time and begin its turn; None once the queue is closed."""
        with self._changed:
            while not self._closed:
                if (key := self._pop()) is not None:
                    self._changed.notify()  # the next in line must learn when the new head is due
                    return key
                head = self._head()
                self._changed.wait(None if head is None else max(0.0, head - self._clock()))
            return None

    def poll(self) -> Key | None:
        """Begin the turn of the key that has been due for the longest time; None when none is due."""
        with self._changed:
            return None if self._closed else self._pop()

    def done(self, key: Key, again: float | None) -> None:
        """End a turn that went well; the next one is in ``again`` seconds, or only after an event."""
        with self._changed:
            self._failures.pop(key, None)
            self._finish(key, None if again is None else self._clock() + max(0.0, again))

    def failed(self, key: Key, *, first: float = FIRST_RETRY, at_least: float = 0.0) -> float:
        """End a turn that failed and put it back: after ``first`` seconds, doubled with every failure in a row.

        Args:
            key: whose turn failed.
            first: seconds before the first retry.
            at_least: seconds that the server asked to wait.

        Returns:
            The seconds until the retry, up to a quarter shorter by chance so that keys that failed together spread.
        """
        with self._changed:
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            longest = min(LONGEST_RETRY, first * 2.0 ** min(failures - 1, 16))
            delay = max(at_least, longest * (1 - self._chance() / 4))
            self._finish(key, self._clock() + delay)
        self._observer.retried()
        return delay

    def drop(self, key: Key) -> None:
        """Forget a key whose rollout is gone; a turn in flight finds that out by itself."""
        with self._changed:
            self._waiting.pop(key, None)
            self._failures.pop(key, None)
            if key in self._in_flight:
                self._in_flight[key] = None

    def close(self) -> None:
        """Let nobody begin a turn any more; turns in flight end as they would."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def depth(self) -> int:
        """Return how many keys are due and wait for a worker."""
        with self._changed:
            now = self._clock()
            return sum(due <= now for due in self._waiting.values())

    def lateness(self) -> float:
        """Return for how many seconds the oldest due key has been waiting for a worker."""
        with self._changed:
            head = self._head()
            return 0.0 if head is None else max(0.0, self._clock() - head)

    def standstill(self) -> float:
        """Return for how many seconds something has been due without any turn beginning.

        Unlike lateness it stays small when many turns are slow, as in an outage of the API server: workers that still
        come round need no restart.
        """
        with self._changed:
            head = self._head()
            return 0.0 if head is None else max(0.0, self._clock() - max(head, self._taken_at))

    def _schedule(self, key: Key, due: float) -> None:
        if due >= self._waiting.get(key, float("inf")):
            return
        self._waiting[key] = due
        heappush(self._heap, (due, next(self._order), key))
        self._changed.notify()

    def _head(self) -> float | None:
        """Return when the first waiting key is due; entries that were overtaken by an earlier due time vanish here."""
        while self._heap:
            due, _, key = self._heap[0]
            if self._waiting.get(key) == due:
                return due
            heappop(self._heap)
        return None

    def _pop(self) -> Key | None:
        now = self._clock()
        head = self._head()
        if head is None or head > now:
            return None
        _, _, key = heappop(self._heap)
        del self._waiting[key]
        self._in_flight[key] = None
        self._taken_at = now
        self._observer.taken(now - head)
        return key

    def _finish(self, key: Key, again: float | None) -> None:
        pending = self._in_flight.pop(key)
        now = self._clock()
        self._rest(key, now)
        if pending is not None:
            wanted = max(pending, now + self._spacing)
            again = wanted if again is None else min(again, wanted)
        if again is not None:
            self._schedule(key, again)

    def _rest(self, key: Key, now: float) -> None:
        until = now + self._spacing
        self._resting[key] = until
        self._rests.append((until, key))
        while self._rests[0][0] <= now:
            ended, old = self._rests.popleft()
            if self._resting.get(old) == ended:
                del self._resting[old]
            if not self._rests:
                break
