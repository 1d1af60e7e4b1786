"""Requests at a steady rate, and the truth about each answer to the version that gave it.

Open loop: a request leaves when it is due, whether or not the ones before it were answered. Nothing is tried twice, so
every failure that is counted is one that a user would have seen.
"""

import json
import queue
import random
import re
import select
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from examples.demo.ledger import NOBODY, Ledger, Stats
from examples.demo.samples import Sample

MAX_COUNT = 1_000_000
"""Most requests of one run."""

_FEEDBACK_SENDERS, _FEEDBACK_WAITING = 4, 1000
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class Connections(StrEnum):
    """How requests share connections."""

    NEW = "new"
    KEEPALIVE = "keepalive"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send, where and for how long.

    Attributes:
        target: Base URL of the Gateway or Service.
        host: `Host` header; empty: the target's own.
        model: Name of the model to ask.
        rate: Requests per second.
        count: Most requests.
        duration: Most seconds.
        connections: A new connection for each request, or kept ones.
        concurrency: Most requests under way at once.
        timeout: Seconds after which a request has failed.
        feedback_url: Where the truth goes, with `{version}` for the version that answered; empty: nowhere.
    """

    target: str
    host: str = ""
    model: str = "digits"
    rate: float = 50.0
    count: int = MAX_COUNT
    duration: float = 3600.0
    connections: Connections = Connections.KEEPALIVE
    concurrency: int = 32
    timeout: float = 5.0
    feedback_url: str = ""


@cache
def _address(host: str, port: int) -> str:
    """The host's address. Asked once: a Service keeps its own, and a lookup per request would put DNS to the test."""
    return str(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4][0])


class Line(HTTPConnection):
    """A connection to the authority of a URL, whose name is looked up once and for all."""

    def __init__(self, authority: str, *, timeout: float) -> None:
        super().__init__(authority, timeout=timeout)

    def connect(self) -> None:
        """Connect to the address; only a name that was found is remembered."""
        name, self.host = self.host, _address(self.host, self.port)
        try:
            super().connect()
        finally:
            self.host = name


class _Asker:
    """Asks the target one question at a time."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        url = urlsplit(plan.target)
        self._connection = Line(url.netloc, timeout=plan.timeout)
        self._path = f"{url.path.rstrip('/')}/v2/models/{plan.model}/infer"
        self._headers = {"Content-Type": "application/json", "Host": plan.host or url.netloc}

    def ask(self, sample: Sample, *, identifier: str) -> tuple[int, str, bytes]:
        """Send one sample; the answer's status, version and body.

        Raises:
            OSError: The connection failed.
            HTTPException: The answer is not HTTP.
        """
        tensor = {"name": "pixels", "shape": [1, len(sample.pixels)], "datatype": "FP32", "data": sample.pixels}
        body = json.dumps({"id": identifier, "inputs": [tensor]})
        if self._plan.connections is Connections.NEW or self._closed_by_peer():
            self._connection.close()
        try:
            self._connection.request("POST", self._path, body, self._headers)
            response = self._connection.getresponse()
            return response.status, response.getheader("x-model-version", ""), response.read()
        except (OSError, HTTPException):
            self._connection.close()
            raise

    def _closed_by_peer(self) -> bool:
        """Nothing is owed to us between requests: if there is something to read, it is the end of the connection."""
        sock = self._connection.sock
        return sock is not None and bool(select.select([sock], [], [], 0)[0])

    def close(self) -> None:
        self._connection.close()


class Traffic:
    """Carries out a plan."""

    def __init__(self, plan: Plan, samples: Sequence[Sample], *, seed: int = 0) -> None:
        """Prepare; nothing is sent before `run`.

        Args:
            plan: What to send, where and for how long.
            samples: Drawn from at random, with replacement.
            seed: Fixes the order of the samples.
        """
        self.ledger = Ledger()
        self._plan = plan
        self._samples = samples
        self._chance = random.Random(seed)
        self._stop = threading.Event()
        self._free = threading.Semaphore(plan.concurrency)
        self._due: queue.SimpleQueue[Sample | None] = queue.SimpleQueue()
        self._truths: queue.Queue[tuple[str, bytes] | None] = queue.Queue(_FEEDBACK_WAITING)

    def stop(self) -> None:
        """End early: requests under way are still answered and counted."""
        self._stop.set()

    def run(self) -> Stats:
        """Send everything, wait for the last answer and the last truth to be delivered; what became of them."""
        self.ledger.start()
        askers = _start(self._ask_all, self._plan.concurrency)
        senders = _start(self._send_truths, _FEEDBACK_SENDERS)
        self._pace()
        for _ in askers:
            self._due.put(None)
        _join(askers)
        for _ in senders:
            self._truths.put(None)
        _join(senders)
        return self.ledger.stats()

    def _pace(self) -> None:
        started = time.monotonic()
        for number in range(self._plan.count):
            due = number / self._plan.rate
            if due >= self._plan.duration or self._stop.wait(max(0.0, started + due - time.monotonic())):
                return
            sample = self._chance.choice(self._samples)
            if self._free.acquire(blocking=False):
                self._due.put(sample)
            else:
                self.ledger.count_missed()

    def _ask_all(self) -> None:
        asker = _Asker(self._plan)
        while (sample := self._due.get()) is not None:
            self._ask(asker, sample)
            self._free.release()
        asker.close()

    def _ask(self, asker: _Asker, sample: Sample) -> None:
        identifier = str(uuid.uuid4())
        try:
            status, name, body = asker.ask(sample, identifier=identifier)
        except (OSError, HTTPException) as error:
            self.ledger.count_connection_error(f"{type(error).__name__}: {error}")
            return
        version = _version(name)
        if not 200 <= status < 300:
            self.ledger.count_http_error(version, f"status {status}")
            return
        try:
            prediction = _prediction(body)
        except (ValueError, KeyError, TypeError, IndexError, StopIteration):
            self.ledger.count_http_error(version, f"status {status} without a prediction")
            return
        self.ledger.count_answer(version, prediction=prediction, label=sample.label)
        if self._plan.feedback_url and sample.label is not None and version != NOBODY:
            self._report(version, {"id": identifier, "prediction": prediction, "label": sample.label})

    def _report(self, version: str, truth: Mapping[str, object]) -> None:
        try:
            self._truths.put_nowait((self._plan.feedback_url.replace("{version}", version), json.dumps(truth).encode()))
        except queue.Full:
            self.ledger.count_feedback("failed")

    def _send_truths(self) -> None:
        while (letter := self._truths.get()) is not None:
            url, truth = letter
            try:
                posted = _post(url, truth, timeout=self._plan.timeout)
                self.ledger.count_feedback("posted" if posted else "failed")
            except (OSError, HTTPException):
                self.ledger.count_feedback("failed")


def _version(name: str) -> str:
    """Who answered. It becomes part of a URL and of metrics, so nothing but a plain name is believed."""
    return name if _VERSION.fullmatch(name) else NOBODY


def _post(url: str, body: bytes, *, timeout: float) -> bool:
    """Whether `body` was accepted; over a new connection, as a kept one would always reach the same pod."""
    parts = urlsplit(url)
    connection = Line(parts.netloc, timeout=timeout)
    try:
        connection.request("POST", parts.path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        return response.status == 200
    finally:
        connection.close()


def _prediction(body: bytes) -> int:
    outputs = json.loads(body)["outputs"]
    return int(next(output["data"][0] for output in outputs if output["name"] == "label"))


def _start(work: Callable[[], None], count: int) -> list[threading.Thread]:
    threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def _join(threads: Sequence[threading.Thread]) -> None:
    for thread in threads:
        thread.join()
