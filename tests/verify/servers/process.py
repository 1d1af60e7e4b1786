"""A server as a process: started on a free loopback port, awaited, and ended with all that it started."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.processes import Process, end
from tests.cluster.progress import last_words

LOOPBACK = "127.0.0.1"
START_SECONDS = 300.0
END_SECONDS = 15.0


class ServerError(Exception):
    """A server did not come up; the message holds its last words and where the rest is."""


@dataclass(frozen=True)
class RunningServer:
    """A server that answers; ``log`` is what it printed, ``metrics_port`` that of its metrics page if it has one."""

    name: str
    port: int
    log: Path
    metrics_port: int | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{LOOPBACK}:{self.port}"

    def last_words(self) -> str:
        """Return the end of what it printed."""
        return self.log.read_text(errors="replace")[-4000:]


@contextlib.contextmanager
def running(
    server: RunningServer, command: Sequence[str | Path], *, variables: Mapping[str, str], ready_path: str
) -> Iterator[RunningServer]:
    """Run the command in the folder of the log until the block ends; inside the block the server is ready.

    Raises:
        ServerError: when it ends by itself or is not ready within `START_SECONDS`.
    """
    with server.log.open("w") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=server.log.parent,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _await_ready(server, process, ready_path)
        yield server
    finally:
        _end(process, home=server.log.parent)


def free_ports(count: int) -> list[int]:
    """Return loopback ports that nobody listens on, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]


def _await_ready(server: RunningServer, process: subprocess.Popen[bytes], path: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(server.port, path):
        if _ended(process):
            trouble = "ended before it was ready"
        elif time.monotonic() > deadline:
            trouble = f"was not ready within {START_SECONDS:.0f} s"
        else:
            time.sleep(0.1)
            continue
        raise ServerError(f"{server.name} {trouble} ({server.log}): {last_words(server.last_words())}")


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _end(process: subprocess.Popen[bytes], *, home: Path) -> None:
    """Ask the process to end, so that it ends its own children; then end by force what is left of them."""
    # Not by `send_signal`: it reaps a process that has ended, and then its number could be another's.
    os.kill(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + END_SECONDS
    while not _ended(process) and time.monotonic() < deadline:
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    # BentoML puts its workers into sessions of their own; they are known by the folder that only they have as home.
    end(_at_home(home))


def _at_home(home: Path) -> Iterator[Process]:
    wanted = f"HOME={home}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                yield Process(int(folder.name), int(fields[19]))


def _ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has; it is not reaped yet, so that its number, which is the group's, cannot go to another."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
