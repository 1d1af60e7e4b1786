"""Faults of Prometheus: its link cut, itself frozen."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.layout import Layout

_SERVER = b"prometheus\x00--config.file=/prometheus/prometheus.yml"


@dataclass(frozen=True)
class Laboratory:
    """Holds the process that is the link of the server named ``linked``."""

    link: "subprocess.Popen[str]"

    @classmethod
    def open(cls, layout: Layout) -> "Laboratory":
        """Put up the link."""
        command = [str(layout.enter), "python", "-m", "tests.e2e.link"]
        return cls(subprocess.Popen(command, stdin=subprocess.PIPE, text=True))

    def close(self) -> None:
        """Take the link down."""
        self.link.communicate(timeout=10)

    def cut(self) -> AbstractContextManager[None]:
        """Cut the link while the block runs."""
        return self._while("cut")

    def hush(self) -> AbstractContextManager[None]:
        """Let the link accept every question and answer none while the block runs."""
        return self._while("hush")

    @contextmanager
    def _while(self, fault: str) -> Iterator[None]:
        self._tell(fault)
        try:
            yield
        finally:
            self._tell("mend")

    def _tell(self, word: str) -> None:
        assert self.link.stdin is not None
        self.link.stdin.write(f"{word}\n")
        self.link.stdin.flush()


@contextmanager
def frozen_prometheus(layout: Layout) -> Iterator[None]:
    """Stop the cluster's Prometheus while the block runs: it answers nobody, scrapes nothing and forgets nothing."""
    supervisor = int((layout.folder / "pids" / "supervisor").read_text().split()[0])
    servers = [int(each.name) for each in Path("/proc").glob("[0-9]*") if _is_server(each)]
    own = [server for server in servers if supervisor in _ancestors(server)]
    assert own, f"expected a Prometheus below the cluster's supervisor {supervisor}, found of all clusters: {servers}"
    for server in own:
        os.kill(server, signal.SIGSTOP)
    try:
        yield
    finally:
        for server in own:
            os.kill(server, signal.SIGCONT)


def _is_server(process: Path) -> bool:
    try:
        return _SERVER in (process / "cmdline").read_bytes()
    except OSError:  # it has ended meanwhile
        return False


def _ancestors(process: int) -> Iterator[int]:
    """Yield the parent, its parent and so on: another checkout's cluster may run beside this one."""
    while process > 1:
        # The name in parentheses may hold anything, so fields are counted from its end.
        process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
        yield process
