"""The real kubectl, run where the cluster's addresses mean something."""

import json
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from controller.api.status import ModelRolloutStatus

ROOT: Final = Path(__file__).resolve().parents[3]
"""The checkout."""

ENTER: Final = ".cluster/enter"
"""What runs a command in the cluster, from the checkout's root."""

_AGAIN_SECONDS: Final = 1.0


class ShowError(Exception):
    """The show cannot go on; the message says what was expected, what was found and what to do."""


class Kubectl:
    """Calls kubectl in the checkout's cluster; every call is bounded in time."""

    def run(self, *arguments: str, seconds: float = 60.0) -> str:
        """Run kubectl and return what it printed.

        Args:
            arguments: As on the command line.
            seconds: The longest that it may take.

        Raises:
            ShowError: It failed, or took longer.
        """
        try:
            done = subprocess.run(
                _command(*arguments), cwd=ROOT, capture_output=True, text=True, check=False, timeout=seconds
            )
        except FileNotFoundError:
            raise ShowError(f"expected a cluster with {ENTER}, found none; bring it up with make cluster-up") from None
        except subprocess.TimeoutExpired:
            raise ShowError(f"kubectl {' '.join(arguments)} did not end within {seconds:.0f} s") from None
        if done.returncode:
            raise ShowError(f"kubectl {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def service(self, namespace: str, port: str, path: str) -> str:
        """Return what a Service answers to a GET, asked through the API server.

        Args:
            namespace: Where the Service is.
            port: Its name and port, as `traffic:http`.
            path: Path and query, from `/` on.

        Raises:
            ShowError: It does not answer.
        """
        return self.run("get", "--raw", f"/api/v1/namespaces/{namespace}/services/{port}/proxy{path}", seconds=15)

    @contextmanager
    def watch(self, namespace: str, rollout: str) -> Iterator[SimpleQueue[ModelRolloutStatus]]:
        """Watch a ModelRollout: offer a queue that gets its status now and after each change, while the block lasts."""
        watch = _Watch(_command("-n", namespace, "get", "mro", rollout, "-o", "json", "--watch"))
        watch.start()
        try:
            yield watch.statuses
        finally:
            watch.stop()


def _command(*arguments: str) -> list[str]:
    return [str(ROOT / ENTER), "kubectl", *arguments]


class _Watch:
    """A `kubectl get --watch` that is started again when it ends, until it is stopped."""

    def __init__(self, command: list[str]) -> None:
        self.statuses: SimpleQueue[ModelRolloutStatus] = SimpleQueue()
        self._command = command
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        with self._lock:
            self._stopped.set()
            if self._process is not None:
                self._process.terminate()
        self._thread.join()

    def _follow(self) -> None:
        while (process := self._spawn()) is not None:
            with process:
                for status in statuses(process.stdout or ()):
                    self.statuses.put(status)
            self._stopped.wait(_AGAIN_SECONDS)

    def _spawn(self) -> subprocess.Popen[str] | None:
        with self._lock:
            if self._stopped.is_set():
                return None
            self._process = subprocess.Popen(
                self._command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
            return self._process


def statuses(lines: Iterable[str]) -> Iterator[ModelRolloutStatus]:
    """Read the status of each object that `kubectl get -o json --watch` prints, one after the other."""
    document: list[str] = []
    for line in lines:
        document.append(line)
        if line.rstrip("\n") == "}":
            yield ModelRolloutStatus.model_validate(json.loads("".join(document)).get("status", {}))
            document.clear()
