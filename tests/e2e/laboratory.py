"""Faults of Prometheus: its link cut, itself frozen."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
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

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Cut the link while the block runs."""
        self._tell("cut")
        try:
            yield
        finally:
            self._tell("mend")

    def _tell(self, word: str) -> None:
        assert self.link.stdin is not None
        self.link.stdin.write(f"{word}\n")
        self.link.stdin.flush()


@contextmanager
def frozen_prometheus() -> Iterator[None]:
    """Stop the cluster's Prometheus while the block runs: it answers nobody, scrapes nothing and forgets nothing."""
    processes = [int(each.name) for each in Path("/proc").glob("[0-9]*") if _is_server(each)]
    assert processes, "expected a Prometheus of the test cluster among the machine's processes, found none"
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            os.kill(process, signal.SIGCONT)


def _is_server(process: Path) -> bool:
    try:
        return _SERVER in (process / "cmdline").read_bytes()
    except OSError:  # it has ended meanwhile
        return False
