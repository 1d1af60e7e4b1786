"""An HTTP server that answers as broken Prometheus servers, proxies and strangers do."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Answer = Callable[[BaseHTTPRequestHandler], None]


def body(text: str | bytes, *, status: int = 200, kind: str = "application/json", **headers: str) -> Answer:
    """Answer with that body."""
    content = text.encode() if isinstance(text, str) else text

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(content)

    return answer


def matrix(*series: dict[str, Any]) -> str:
    """Write series as Prometheus does."""
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": list(series)}})


def silence(seconds: float) -> Answer:
    """Accept the request and say nothing for that long."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        time.sleep(seconds)
        request.close_connection = True

    return answer


def trickle(content: str, *, pause: float) -> Answer:
    """Send a whole and valid answer, byte by byte, headers included."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    return _slowly((head + content).encode(), pause)


def slow_body(content: str, *, pause: float) -> Answer:
    """Send the headers at once and the body byte by byte."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\n\r\n".encode())
        _slowly(content.encode(), pause)(request)

    return answer


def flood(megabytes: int) -> Answer:
    """Send that much of a JSON text that goes on and on, without saying how much it will be."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(megabytes):
                request.wfile.write(b"[" + b"1," * 2**19)
        request.close_connection = True

    return answer


def broken_off(request: BaseHTTPRequestHandler) -> None:
    """Promise more than is sent."""
    request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{")
    request.close_connection = True


def _slowly(content: bytes, pause: float) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        with contextlib.suppress(OSError):
            for position in range(len(content)):
                request.wfile.write(content[position : position + 1])
                time.sleep(pause)
        request.close_connection = True

    return answer


class FaultyServer(ThreadingHTTPServer):
    """Answers every request the way it was told last; keeps what was asked and with which token."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer: Answer = body("{}")
        self.asked: list[tuple[str, dict[str, list[str]]]] = []
        self.tokens: list[str | None] = []
        self.connections = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    def get_request(self) -> tuple[Any, Any]:
        self.connections += 1
        return super().get_request()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyServer

    def do_GET(self) -> None:
        self._answer(urlsplit(self.path).query)

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])).decode())

    def _answer(self, form: str) -> None:
        self.server.asked.append((urlsplit(self.path).path, parse_qs(form)))
        self.server.tokens.append(self.headers["Authorization"])
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.server.answer(self)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        """Say nothing."""


@contextlib.contextmanager
def faulty_server() -> Iterator[FaultyServer]:
    """Run the server on a free port of the loopback."""
    server = FaultyServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
