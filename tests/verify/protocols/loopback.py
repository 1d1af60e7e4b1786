"""HTTP servers on the loopback interface: well-behaved ones from a function, others from what they send on the wire."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from controller.observe.probes.target import Target


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> object:
        """The body as JSON; None where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: bytes = b""
    kind: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


def reply(document: object, status: int = 200) -> Reply:
    """Answer with JSON; NaN is written as Python's and TensorFlow's servers do."""
    return Reply(status, json.dumps(document).encode())


Application = Callable[[Request], Reply]
Wire = Callable[[socket.socket], None]
"""What is done with a connection once a request has come in over it."""


@contextlib.contextmanager
def serving(application: Application) -> Iterator[Target]:
    """Answer every request with what the function returns, over connections that stay open."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        timeout = 30

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            found = application(Request(self.command, self.path, headers, body))
            self.send_response(found.status)
            self.send_header("Content-Type", found.kind)
            self.send_header("Content-Length", str(len(found.body)))
            for name, value in found.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(found.body)
            self.wfile.flush()

        do_GET = do_POST = answer  # noqa: N815  the standard library calls them so

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Target("pod-a", "uid-a", "127.0.0.1", server.server_port)
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def on_the_wire(*course: Wire) -> Iterator[Target]:
    """Treat one connection after the other as the course says, the last step for all that follow."""
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def accept() -> None:
        steps = [*course]
        while True:
            connection, _ = listener.accept()
            with connection:
                if ended.is_set():
                    return
                connection.settimeout(30)
                # A client that has enough closes while the rest is being sent.
                with contextlib.suppress(OSError):
                    if read_request(connection):
                        steps[0](connection)
            steps = steps[1:] or steps

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield Target("pod-a", "uid-a", "127.0.0.1", listener.getsockname()[1])
    finally:
        ended.set()
        socket.create_connection(listener.getsockname()).close()
        thread.join()
        listener.close()


def read_request(connection: socket.socket) -> bytes:
    """Read a request's head; the requests of these tests have no body."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65_536)
        if not piece:
            return b""
        received += piece
    return received


def sends(*pieces: bytes) -> Wire:
    """Send these bytes, then close."""

    def send(connection: socket.socket) -> None:
        for piece in pieces:
            connection.sendall(piece)

    return send


def head(*lines: str, status: str = "200 OK") -> bytes:
    """Write the head of an answer."""
    return "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", *lines, "")).encode()
