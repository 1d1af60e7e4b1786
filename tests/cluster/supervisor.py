"""Runs a cluster's components: starts them in order, starts again what ends, takes all along when it goes.

Stands alone (standard library only), because it is the first process of the node's namespaces:

    python supervisor.py PLAN

* It writes `pids/<component>` with pid and start time as the machine sees them, also from inside a namespace.
* A component that ended is started again after `PAUSE_SECONDS`, unless `held/<component>` exists.
* When it ends, however it ends, the kernel ends the components too. It ends when its own pid file is gone or
  names another process: a deleted run folder leaves nothing running.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

TICK_SECONDS = 0.1
PAUSE_SECONDS = 1.0
PR_SET_PDEATHSIG = 1
# It only asks whether the server is ready; nothing is sent or believed.
UNVERIFIED = ssl._create_unverified_context()
LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass
class Component:
    """A component, and its process if it has one."""

    name: str
    command: list[str]
    after: list[str]
    process: subprocess.Popen[bytes] | None = None
    not_before: float = 0.0


class Supervisor:
    """The components of one plan."""

    def __init__(self, plan: Path) -> None:
        content = json.loads(plan.read_text())
        self.folder = Path(content["folder"])
        self.setup: list[list[str]] = content["setup"]
        self.components = [Component(**entry) for entry in content["components"]]
        # Opened before the setup mounts the namespace's own /proc: this one knows the pids outside.
        self.machine = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
        self.own_record = self.record("supervisor")

    def record(self, name: str) -> str:
        """Write the pid file of the calling process."""
        pid = os.readlink("self", dir_fd=self.machine)
        descriptor = os.open(f"{pid}/stat", os.O_RDONLY, dir_fd=self.machine)
        with os.fdopen(descriptor, encoding="ascii", errors="replace") as stat:
            started = stat.read().rpartition(")")[2].split()[19]
        file = self.folder / "pids" / name
        file.write_text(f"{pid} {started}\n")
        return file.read_text()

    def prepare(self) -> None:
        """Run the plan's setup; the first failing command ends it all."""
        for command in self.setup:
            if status := subprocess.run(command, check=False).returncode:
                sys.exit(f"the setup's {command} ended with {status}")
        (self.folder / "prepared").touch()

    def run(self) -> None:
        """Keep the components running until the pid file no longer names this process."""
        while self.wanted():
            self.reap()
            for component in self.components:
                if component.process is None and self.may_start(component):
                    self.start(component)
            time.sleep(TICK_SECONDS)

    def wanted(self) -> bool:
        """Tell whether the run folder is still this process's."""
        try:
            return (self.folder / "pids" / "supervisor").read_text() == self.own_record
        except OSError:
            return False

    def reap(self) -> None:
        """Collect ended children, and orphans that the namespace's first process inherits."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for component in self.components:
                if component.process is not None and component.process.pid == pid:
                    component.process.returncode = os.waitstatus_to_exitcode(status)
                    say(f"{component.name} ended with {component.process.returncode}")
                    component.process = None

    def may_start(self, component: Component) -> bool:
        """Tell whether it is time, nobody holds it back, and what it needs answers."""
        if time.monotonic() < component.not_before or (self.folder / "held" / component.name).exists():
            return False
        return all(answers(address) for address in component.after)

    def start(self, component: Component) -> None:
        """Start a component, bound to live no longer than this process."""

        def bind() -> None:
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            self.record(component.name)

        say(f"starting {component.name}")
        with (self.folder / "logs" / f"{component.name}.log").open("ab") as log:
            component.process = subprocess.Popen(
                component.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                preexec_fn=bind,  # noqa: PLW1509 (this process has one thread)
            )
        component.not_before = time.monotonic() + PAUSE_SECONDS


def answers(address: str) -> bool:
    """Tell whether `tcp:HOST:PORT` or `unix:PATH` accepts connections, or `https://…` says 200.

    A client that starts before the API server is ready waits up to a minute before it tries again.
    """
    kind, _, place = address.partition(":")
    try:
        if kind == "https":
            with urllib.request.urlopen(address, timeout=1.0, context=UNVERIFIED) as answer:
                return bool(answer.status == 200)
        if kind == "unix":
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(TICK_SECONDS)
                client.connect(place)
        else:
            host, _, port = place.rpartition(":")
            socket.create_connection((host, int(port)), timeout=TICK_SECONDS).close()
    except OSError:
        return False
    return True


def say(message: str) -> None:
    """Print a line to the supervisor's log."""
    print(time.strftime("%H:%M:%S"), message, flush=True)


def main() -> None:
    """Run the plan that the command line names."""
    supervisor = Supervisor(Path(sys.argv[1]))
    supervisor.prepare()
    supervisor.run()


if __name__ == "__main__":
    main()
