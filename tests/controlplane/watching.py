"""A real ``kubectl get --watch`` with a memory: every version of every object of a kind, in order."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Happening:
    """One event of a watch; ``at`` is when it was heard of, in Unix seconds."""

    type: str
    thing: Json
    at: float

    @property
    def name(self) -> str:
        """The object's name."""
        return str(self.thing["metadata"]["name"])

    @property
    def version(self) -> int:
        """The version of the whole storage: one count for all kinds, so that it orders events of different watches."""
        return int(self.thing["metadata"]["resourceVersion"])


class Watching:
    """Watches one kind in one namespace until it is stopped."""

    def __init__(self, kubeconfig: Path, namespace: str, kind: str) -> None:
        self._seen: list[Happening] = []
        self._lock = threading.Lock()
        command = [str(Path(sys.executable).with_name("kubectl")), "--kubeconfig", str(kubeconfig), "-n", namespace]
        self._process = subprocess.Popen(
            [*command, "get", kind, "--watch", "--output-watch-events", "--output=json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def seen(self, name: str) -> list[Happening]:
        """Return what happened to one object so far."""
        with self._lock:
            return [each for each in self._seen if each.name == name]

    def stop(self) -> None:
        """End the watch."""
        self._process.terminate()
        self._process.wait(10)
        self._thread.join(10)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for document in documents(self._process.stdout):
            with self._lock:
                self._seen.append(Happening(document["type"], document["object"], time.time()))


def documents(stream: IO[str]) -> Iterator[Json]:
    """Yield the JSON documents of a stream, however many lines each takes."""
    decoder, buffer = json.JSONDecoder(), ""
    for line in stream:
        buffer += line
        try:
            document, end = decoder.raw_decode(buffer)
        except json.JSONDecodeError:
            continue
        buffer = buffer[end:].lstrip()
        yield document
