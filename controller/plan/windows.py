"""Deterministic windows: which stretches of time are judged, computed from status alone.

Window k of a transition is ``[start + k·interval, start + (k+1)·interval)`` with ``start = appliedAt + 2 scrapes``,
and it is due at its end plus ``settle``. A restarted operator therefore asks for exactly the windows that were missed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

SCRAPES_BEFORE_FIRST_WINDOW = 2


@dataclass(frozen=True)
class Clockwork:
    """The periods that fix the windows: of the strategy (``interval``) and of the Prometheus server."""

    interval: timedelta
    scrape: timedelta
    settle: timedelta


@dataclass(frozen=True)
class Window:
    """One analysis interval; (transition, number) is its key within the epoch."""

    transition: int
    number: int
    start: datetime
    end: datetime
    due: datetime


def window(number: int, *, transition: int, applied_at: datetime, clockwork: Clockwork) -> Window:
    """Return the window with that number of the transition that was confirmed at ``applied_at``."""
    first = applied_at + SCRAPES_BEFORE_FIRST_WINDOW * clockwork.scrape
    start = first + number * clockwork.interval
    end = start + clockwork.interval
    return Window(transition=transition, number=number, start=start, end=end, due=end + clockwork.settle)


def due_windows(
    *, following: int, transition: int, applied_at: datetime, clockwork: Clockwork, now: datetime
) -> Iterator[Window]:
    """Yield the windows from number ``following`` on that are due at ``now``, oldest first."""
    number = following
    while True:
        candidate = window(number, transition=transition, applied_at=applied_at, clockwork=clockwork)
        if candidate.due > now:
            return
        yield candidate
        number += 1
