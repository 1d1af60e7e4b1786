"""A relay in front of the API server that can fall silent: to its clients the server is gone."""

import contextlib
import socket
from threading import Event, Lock, Thread


class Relay:
    """Passes bytes between clients of an address (default: a free loopback port) and the server, unless it is cut."""

    def __init__(self, host: str, port: int, *, listen: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        self._target = (host, port)
        self._cut = Event()
        self._hushed = Event()
        self._lock = Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(listen)
        Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        """Where clients connect; the server's certificate is valid there."""
        return f"https://127.0.0.1:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        """Break all connections, and every new one at once."""
        self._cut.set()
        self._break()

    def hush(self) -> None:
        """Break all connections, accept every new one and never answer it."""
        self._hushed.set()
        self._break()

    def mend(self) -> None:
        """Let new connections through; hushed ones stay unanswered until their clients give up."""
        self._cut.clear()
        self._hushed.clear()

    def close(self) -> None:
        """Free the port and break what is open."""
        self._listener.close()
        self.cut()

    def _break(self) -> None:
        with self._lock:
            for each in self._open:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        with client:
            if self._cut.is_set():
                return
            if self._hushed.is_set():
                _swallow(client)
                return
            with contextlib.suppress(OSError), socket.create_connection(self._target, timeout=10) as server:
                server.settimeout(None)
                with self._lock:
                    self._open |= {client, server}
                back = Thread(target=_pass, args=(server, client), daemon=True)
                back.start()
                _pass(client, server)
                back.join()
                with self._lock:
                    self._open -= {client, server}


def _swallow(client: socket.socket) -> None:
    """Take what the client sends until it gives up."""
    with contextlib.suppress(OSError):
        while client.recv(65_536):
            pass


def _pass(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65_536):
            target.sendall(piece)
    for each in (source, target):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
