"""Starts the recording operator and lets tests wait for what it does."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
import yaml

from controller.run.workqueue import SPACING
from tests.cluster.layout import SOURCE

PATIENCE = 60.0
"""Seconds until something that must happen has happened, on a busy machine too."""


def eventually(happened: Callable[[], bool], what: str) -> None:
    """Wait until it has happened; fail in words when it never does."""
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end, f"still not after {PATIENCE:g} s: {what}"
        time.sleep(0.05)


class Operator:
    """A running operator process; its files are in a folder of its own."""

    def __init__(self, folder: Path, *, kubeconfig: Path, **settings: Any) -> None:
        folder.mkdir()
        self._turns = folder / "turns"
        self._logs = folder / "logs"
        config = folder / "config.yaml"
        default = {
            "prometheus": [{"name": "default", "url": "http://127.0.0.1:9"}],
            "listen": {"address": "127.0.0.1", "port": 0},
            "leaderElection": {"enabled": False},
        }
        config.write_text(yaml.safe_dump(default | settings))
        command = [sys.executable, "-m", "tests.controlplane.process.recorder", str(config), str(kubeconfig)]
        with self._turns.open("w") as turns, self._logs.open("w") as logs:
            self.process = subprocess.Popen(command, cwd=SOURCE.parent.parent, stdout=turns, stderr=logs)

    def turns(self) -> list[str]:
        """Return whose turn it was so far, in order."""
        return self._turns.read_text().splitlines()

    def logs(self) -> list[dict[str, Any]]:
        """Return the log lines so far; each must be a JSON object."""
        return [json.loads(line) for line in self._logs.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def said(self, words: str) -> bool:
        """Tell whether a log line holds these words."""
        return any(words in line["message"] for line in self.logs())

    def wait_for_words(self, words: str) -> None:
        """Wait for a log line with these words."""
        eventually(lambda: self.said(words), f"the operator says {words!r}")

    def wait_for_turn(self, key: str, *, after: int = 0) -> None:
        """Wait for a turn of the key beyond the first ``after`` turns of anybody."""
        eventually(lambda: key in self.turns()[after:], f"a turn of {key} after the first {after}")

    def settled(self) -> int:
        """Wait until what has happened so far has had its turns; return how many there were in all.

        Events that come close together give a second turn when the rollout has rested; it must not be taken for that of
        an event that comes later.
        """
        before, now = -1, len(self.turns())
        while before != now:
            time.sleep(3 * SPACING)
            before, now = now, len(self.turns())
        return now

    def answer(self, path: str) -> requests.Response:
        """Ask its HTTP server."""
        self.wait_for_words("Serving metrics and probes on port")
        port = next(line["message"].split()[-1] for line in self.logs() if "Serving metrics" in line["message"])
        return requests.get(f"http://127.0.0.1:{port}{path}", timeout=10)

    def sample(self, name: str) -> float | None:
        """Return a metric's value; the name includes its labels."""
        lines = (line.rpartition(" ") for line in self.answer("/metrics").text.splitlines())
        return next((float(value) for series, _, value in lines if series == name), None)

    def terminate(self) -> int:
        """Send SIGTERM and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """End it without letting it know."""
        self.process.kill()
        self.process.wait(PATIENCE)
