"""The one HTTP server of the operator: /metrics, /healthz and /readyz."""

import socket
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from controller.run.settings import ListenSettings

RESYNC_OVERDUE: Final = 15 * 60.0
"""Seconds without a successful resync after which the process counts as dead."""

QUEUE_OVERDUE: Final = 2 * 60.0
"""Seconds in which a rollout is due but no turn begins after which the process counts as dead."""

_REQUEST_TIMEOUT: Final = 10.0


class Health:
    """What the probes ask: liveness proves progress, readiness that the state of the cluster is known.

    Neither depends on leadership: a replica that waits to lead compares itself with the cluster just the same.

    Args:
        standstill: for how many seconds a rollout has been due without any turn beginning.
        clock: monotonic seconds.
    """

    def __init__(self, standstill: Callable[[], float], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._standstill = standstill
        self._clock = clock
        self._progress = clock()
        self._synced = False

    def resynced(self) -> None:
        """Take in that a resync succeeded just now."""
        self._progress = self._clock()
        self._synced = True

    def not_alive(self) -> str | None:
        """Return why the process should be restarted; None while it makes progress."""
        silence = self._clock() - self._progress
        if silence > RESYNC_OVERDUE:
            return f"the last comparison with the API server succeeded {silence:.0f} s ago (allowed {RESYNC_OVERDUE:g})"
        still = self._standstill()
        if still > QUEUE_OVERDUE:
            return f"no worker is free: a rollout is due, no turn began for {still:.0f} s (allowed {QUEUE_OVERDUE:g})"
        return None

    def not_ready(self) -> str | None:
        """Return why the process is not ready; None once it knows the state of the cluster."""
        return None if self._synced else "the ModelRollouts have not been listed yet"


class Server:
    """Serves metrics and probes in threads of its own.

    Raises:
        OSError: when the address cannot be bound.
    """

    def __init__(self, listen: ListenSettings, registry: CollectorRegistry, health: Health) -> None:
        self._http = _HttpServer((listen.address, listen.port), _handler(registry, health))
        self._thread = Thread(target=self._http.serve_forever, name="http", daemon=True)

    @property
    def port(self) -> int:
        """The bound port; that of the settings unless it was 0."""
        return int(self._http.server_address[1])

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving and free the port."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a client that dawdles must not keep the process from ending

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, handler)


def _handler(registry: CollectorRegistry, health: Health) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _REQUEST_TIMEOUT
        server_version = "modelrollout"
        sys_version = ""

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                encode, content_type = choose_encoder(self.headers.get("Accept", ""))
                self._answer(HTTPStatus.OK, encode(registry), content_type)
            elif path == "/healthz":
                self._verdict(health.not_alive())
            elif path == "/readyz":
                self._verdict(health.not_ready())
            else:
                self._answer(HTTPStatus.NOT_FOUND, b"there are /metrics, /healthz and /readyz\n")

        def _verdict(self, fault: str | None) -> None:
            status = HTTPStatus.SERVICE_UNAVAILABLE if fault else HTTPStatus.OK
            self._answer(status, f"{fault or 'ok'}\n".encode())

        def _answer(self, status: HTTPStatus, body: bytes, content_type: str = "text/plain; charset=utf-8") -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the inherited name
            """Log nothing: probes come every few seconds."""

    return Handler
