"""A command with all that it starts: a session of its own, which is interrupted, killed and made polite as one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import IO


class Session:
    """A process that leads a session; use `start`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, command: Sequence[str], *, folder: Path, niceness: int, output: IO[bytes] | int) -> Session:
        """Start a command, what it prints going to a file or, with `asyncio.subprocess.PIPE`, to `lines`."""
        polite = ("nice", "-n", str(niceness)) if niceness else ()
        process = await asyncio.create_subprocess_exec(
            *polite,
            *command,
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        # Where the kernel shares the processor among sessions first, niceness counts only within each.
        with contextlib.suppress(OSError):
            Path(f"/proc/{process.pid}/autogroup").write_text(str(niceness))
        return cls(process)

    @property
    def lines(self) -> asyncio.StreamReader:
        """What it prints, if it was started with a pipe."""
        assert self._process.stdout is not None
        return self._process.stdout

    async def end(self) -> int:
        """Wait until it ends by itself, kill what it has left running, and return its exit code."""
        code = await self._process.wait()
        self.kill()
        return code

    def interrupt(self) -> None:
        """Tell the leader, and only it, to end as Ctrl-C does: what it has started it ends in good order."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """Kill all of it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
