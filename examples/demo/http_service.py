"""A small HTTP/1.1 server on the standard library that loses no request when it is told to stop.

Three details decide whether a client ever sees a failure, and all three are easy to miss:

* a response leaves in one write: headers and body in two make Nagle and delayed ACK cost 40 ms;
* an idle connection is kept longer than any proxy keeps it (theirs is 60-90 s), so that the proxy closes first and
  never sends a request into a connection that is being closed here;
* stopping goes on answering, each answer closing its connection, until nobody has asked for a while.
"""

import json
import logging
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

MAX_BODY_BYTES = 1 << 20
"""Longest request body that is read; a longer one is answered with 413."""

IDLE_SECONDS = 120.0
"""How long a connection may stay silent: longer than proxies keep theirs."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request: the path without its query, header names in lower case, the whole body."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP response; `Content-Length` and `Connection` are added when it is sent."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Request], Response]
"""Answers one request; called from many threads at once."""


def json_response(status: int, document: Mapping[str, object]) -> Response:
    """A response that carries `document` as compact JSON."""
    return Response(status, json.dumps(document, separators=(",", ":")).encode())


class _UnreadableError(Exception):
    """The request cannot be read; its connection is of no further use."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.response = json_response(status, {"error": reason})


class _Activity:
    """How many requests are being answered, and when the last one came or went."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active = 0
        self._last = time.monotonic()

    def __enter__(self) -> None:
        with self._lock:
            self._active += 1
            self._last = time.monotonic()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._active -= 1
            self._last = time.monotonic()

    def quiet_for(self, seconds: float) -> bool:
        with self._lock:
            return self._active == 0 and time.monotonic() - self._last >= seconds


class _Listener(socketserver.ThreadingTCPServer):
    """Accepts connections, one thread each.

    Not `http.server.HTTPServer`: that one asks DNS for the machine's own name when it binds.
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handle: Handler) -> None:
        self.handle = handle
        self.activity = _Activity()
        self.draining = False
        super().__init__(address, _Connection)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 the base class calls it so
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            _LOG.exception("connection from %s failed", client_address)


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Listener

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        with self.server.activity:
            try:
                response = self.server.handle(self._read())
            except _UnreadableError as refusal:
                self.close_connection = True
                response = refusal.response
            except Exception:
                _LOG.exception("%s %s failed", self.command, self.path)
                response = json_response(500, {"error": "internal error; see the server's log"})
            self._send(response)
            self.wfile.flush()

    def _read(self) -> Request:
        headers = {name.lower(): value for name, value in self.headers.items()}
        if "transfer-encoding" in headers:
            raise _UnreadableError(411, "expected a body with Content-Length, found Transfer-Encoding")
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            raise _UnreadableError(400, "expected a number as Content-Length")
        if int(length) > MAX_BODY_BYTES:
            raise _UnreadableError(413, f"expected a body of at most {MAX_BODY_BYTES} bytes, found {length}")
        body = self.rfile.read(int(length))
        return Request(self.command, self.path.partition("?")[0], headers, body)

    def _send(self, response: Response) -> None:
        self.send_response_only(response.status)
        self.send_header("Content-Type", response.content_type)
        self.send_header("Content-Length", str(len(response.body)))
        for name, value in response.headers.items():
            self.send_header(name, value)
        if self.server.draining or self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(response.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the base class calls it so
        """No line per request: the metrics count them."""


class HttpService:
    """Serves `handle` on an address until `stop`."""

    def __init__(self, address: tuple[str, int], handle: Handler) -> None:
        """Bind the address; connections wait from now on and are answered from `start`.

        Raises:
            OSError: The address is in use or not ours.
        """
        self._listener = _Listener(address, handle)
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.1,), name="http", daemon=True)

    @property
    def port(self) -> int:
        """The bound port, also where port 0 was asked for."""
        return int(self._listener.server_address[1])

    def start(self) -> None:
        """Answer requests on threads of their own, from now on."""
        self._thread.start()

    def stop(self, *, quiet: float, limit: float) -> None:
        """Answer what still comes, then close.

        Args:
            quiet: Seconds without a request after which nobody is thought to be asking any more.
            limit: Seconds after which the port is closed whatever still comes.
        """
        self._listener.draining = True
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline and not self._listener.activity.quiet_for(quiet):
            time.sleep(0.02)
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join()
