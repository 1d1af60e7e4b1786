"""HTTP answers that must be complete by a deadline, also when their bytes trickle in.

``requests`` bounds the silence between two pieces of an answer, never the whole of it: a server that sends one byte a
second holds its caller for ever, in the headers already. Here each read from the socket gets the time that is left.
"""

import http.client
import io
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

_DEADLINE: ContextVar[float | None] = ContextVar("deadline", default=None)

_KEEP_ALIVE: Final = [
    *HTTPConnection.default_socket_options,
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    # A peer that vanished without a word is noticed after a minute instead of two hours.
    *((socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30), (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
]


@contextmanager
def complete_within(seconds: float) -> Iterator[None]:
    """Let every answer that is read inside through a ``DeadlineAdapter`` fail when it is not complete in time."""
    token = _DEADLINE.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _DEADLINE.reset(token)


class _DeadlineReader(io.RawIOBase):
    """The socket's own reader, with the time that is left as the time-out of each read."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw = raw
        self._sock = sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        deadline = _DEADLINE.get()
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                msg = "the answer was not complete in time"
                raise TimeoutError(msg)
            self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _DeadlineResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *positional: Any, **named: Any) -> None:
        super().__init__(sock, *positional, **named)
        self.fp = io.BufferedReader(_DeadlineReader(self.fp.detach(), sock))


class _Connection(HTTPConnection):
    response_class = _DeadlineResponse


class _SecureConnection(HTTPSConnection):
    response_class = _DeadlineResponse


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class DeadlineAdapter(HTTPAdapter):
    """A ``requests`` adapter with TCP keep-alive of which the answers heed ``complete_within``."""

    def init_poolmanager(self, *positional: Any, **named: Any) -> None:
        """Make the pool of connections; called by the base class."""
        super().init_poolmanager(*positional, socket_options=_KEEP_ALIVE, **named)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}


def innermost(error: BaseException) -> str:
    """Return what an error is about: what wraps its cause names objects by address, and status must not change so."""
    seen: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in seen:
        seen.append(following)
        following = following.__cause__ or following.__context__
    return str(getattr(seen[-1], "strerror", None) or seen[-1])
