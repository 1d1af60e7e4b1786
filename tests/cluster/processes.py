"""Processes by pid file, never mistaken: a pid counts only together with the time its process started."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """A process of this machine: its pid, and its start in clock ticks since boot."""

    pid: int
    started: int

    def alive(self) -> bool:
        """Tell whether it still runs; a zombie or another process with the same pid does not count."""
        try:
            # The command's name, in parentheses, may itself contain spaces and parentheses.
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return False
        return fields[0] not in "ZX" and int(fields[19]) == self.started

    def send(self, number: signal.Signals) -> None:
        """Send a signal, to this process only."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            # The handle is bound to whoever had the pid just now, so checking after opening leaves no gap.
            if self.alive():
                signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            pass
        finally:
            os.close(handle)


def read(file: Path) -> Process | None:
    """Read a pid file; absent or half-written means none."""
    try:
        pid, started = file.read_text().split()
        return Process(int(pid), int(started))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def running(file: Path) -> Process | None:
    """Read a pid file and return its process if it still runs."""
    process = read(file)
    return process if process and process.alive() else None


def end(processes: Iterable[Process], *, seconds: float = 20.0) -> list[Process]:
    """Kill, wait, and return those that still run after all."""
    left = list(processes)
    for process in left:
        process.send(signal.SIGKILL)
    deadline = time.monotonic() + seconds
    while (left := [process for process in left if process.alive()]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left
