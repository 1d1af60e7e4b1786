"""HTTP to one pod, and to nothing else: bounded in time and bytes whatever the pod answers.

A pod under test may be broken or hostile. It cannot make the operator wait (each read gets only the time that is
left), remember (every received byte is counted, headers and framing included), unpack (only plain bodies are read) or
go elsewhere (no name is resolved, no redirect followed, no proxy asked).
"""

import functools
import http.client
import io
import ipaddress
import math
import select
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NoReturn, Self

from controller.observe.probes.target import Answer, Exchange, ProbeError, Target
from controller.plan.verify.findings import shortened

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAX_BYTES: Final = 2**20
"""Bytes of one answer, headers included."""

_CHUNK: Final = 65_536
_SHOWN: Final = 200
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class _TooLargeError(Exception):
    """More bytes came than are accepted."""


class _Bounds:
    """What is left of the time and the bytes of one answer."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._end = math.inf
        self._bytes = 0
        self.received = 0
        self.ended = False

    def begin(self, *, end: float, most: int) -> None:
        """Start over for the next answer: it ends at that instant of the clock, with at most that many bytes."""
        self._end, self._bytes, self.received = end, most, 0
        self.ended = False

    def seconds(self) -> float:
        """Return the seconds that are left.

        Raises:
            TimeoutError: there are none.
        """
        left = self._end - self._monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def count(self, received: int) -> None:
        """Take received bytes into account; none are the connection's end.

        Raises:
            _TooLargeError: these were too many.
        """
        self.ended = received == 0
        self.received += received
        if self.received > self._bytes:
            raise _TooLargeError


class _Reader(io.RawIOBase):
    """The raw stream of a socket, of which every read heeds the bounds."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, bounds: _Bounds) -> None:
        self._raw = raw
        self._sock = sock
        self._bounds = bounds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        self._sock.settimeout(self._bounds.seconds())
        received = self._raw.readinto(buffer) or 0
        self._bounds.count(received)
        return received

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """A response that is read through the bounds, from its first byte."""

    def __init__(self, sock: socket.socket, method: str | None = None, *, bounds: _Bounds) -> None:
        super().__init__(sock, method=method)
        self.fp = io.BufferedReader(_Reader(self.fp.detach(), sock, bounds))


class PodClient:
    """Sends requests to one pod over one connection that is kept open; for one thread at a time.

    ``deadline`` is the instant of ``monotonic`` at which the last answer must be complete, whatever time-out a request
    has. Every failure is a ``ProbeError`` with a sentence that names the pod.
    """

    def __init__(
        self,
        target: Target,
        *,
        deadline: float = math.inf,
        max_bytes: int = MAX_BYTES,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.target = target
        self._deadline = deadline
        self._max_bytes = max_bytes
        self._monotonic = monotonic
        self._bounds = _Bounds(monotonic)
        self._connection: http.client.HTTPConnection | None = None
        self._shown = f"pod {target.name} at {target.address}:{target.port}"
        try:
            ipaddress.ip_address(target.address)
        except ValueError:
            self._fail(f"is not asked: expected a pod's IP address, found {target.address!r}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def received(self) -> int:
        """Bytes received of the last answer, headers included, also of one that was refused."""
        return self._bounds.received

    def close(self) -> None:
        """Close the connection; the next request opens another one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def send(self, exchange: Exchange, *, timeout: float) -> Answer:
        """Send a request and return the complete answer, whatever its status is.

        ``timeout`` bounds the whole exchange in seconds, from connecting to the last byte.

        Raises:
            ProbeError: no answer, an incomplete, too large, too slow or packed one, or a redirect.
        """
        if not exchange.path.startswith("/") or exchange.path.startswith("//"):
            self._fail(f"is not asked: expected a path such as /predict, found {exchange.path!r}")
        now = self._monotonic()
        allowed = min(timeout, self._deadline - now)
        if allowed <= 0:
            self._fail(f"is not asked for {exchange.path}: the deadline has passed")
        try:
            return self._answer(exchange, now + allowed)
        except ProbeError:
            self.close()
            raise
        except _TooLargeError:
            self._fail(f"answered {exchange.method} {exchange.path} with more than {self._max_bytes} bytes")
        except TimeoutError:
            self._fail(f"gave no complete answer to {exchange.method} {exchange.path} within {allowed:.3g} s")
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._fail(f"gave no answer to {exchange.method} {exchange.path} that can be read: {_cause(error)}")

    def _answer(self, exchange: Exchange, end: float) -> Answer:
        """Send over the open connection, or over a new one where the pod has closed it in the meantime."""
        reused = self._is_open()
        try:
            return self._exchange(exchange, end)
        except (ConnectionError, http.client.BadStatusLine):
            if not reused or self._bounds.received:
                raise
        self.close()
        return self._exchange(exchange, end)

    def _is_open(self) -> bool:
        """Whether there is a connection on which nothing is pending, neither its end nor bytes unasked for."""
        if self._connection is None:
            return False
        pending = select.poll()
        pending.register(self._connection.sock, select.POLLIN)
        if pending.poll(0):
            self.close()
        return self._connection is not None

    def _exchange(self, exchange: Exchange, end: float) -> Answer:
        self._bounds.begin(end=end, most=self._max_bytes)
        connection = self._connected()
        connection.sock.settimeout(self._bounds.seconds())
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", **exchange.headers}
        started = self._monotonic()
        connection.request(exchange.method, exchange.path, body=exchange.body, headers=headers)
        _acknowledge_at_once(connection.sock)
        with connection.getresponse() as response:
            self._check_head(exchange, response)
            body = self._body(response)
        seconds = self._monotonic() - started
        if response.will_close:
            self.close()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, body, seconds)

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            connection = http.client.HTTPConnection(
                self.target.address, self.target.port, timeout=self._bounds.seconds()
            )
            bounded = functools.partial(_Response, bounds=self._bounds)
            connection.response_class = bounded  # type: ignore[assignment]  # it is only ever called
            connection.connect()
            self._connection = connection
        return self._connection

    def _check_head(self, exchange: Exchange, response: http.client.HTTPResponse) -> None:
        asked = f"answered {exchange.method} {exchange.path}"
        if self._bounds.ended:
            # For http.client that is an answer without a body, which some servers give when they are ready.
            self._fail(f"{asked} with headers that broke off")
        if response.status in _REDIRECTS:
            place = shortened(response.headers.get("Location", "nowhere"), _SHOWN)
            self._fail(
                f"{asked} with HTTP {response.status} to {place!r}; redirects are not followed, name its last path"
            )
        packing = response.headers.get("Content-Encoding", "identity").strip().lower()
        if packing not in ("", "identity"):
            self._fail(f"{asked} with Content-Encoding {packing[:_SHOWN]!r}, although identity was asked for")
        if response.length is not None and response.length > self._max_bytes:
            self._fail(f"{asked} with {response.length} bytes; at most {self._max_bytes} are read")

    def _body(self, response: http.client.HTTPResponse) -> bytes:
        """Read piece by piece: a length that the pod made up must not be allocated at once."""
        promised = response.length
        body = bytearray()
        while piece := response.read(_CHUNK):
            body += piece
        if promised is not None and len(body) < promised:
            raise http.client.IncompleteRead(bytes(body), promised - len(body))
        return bytes(body)

    def _fail(self, what: str) -> NoReturn:
        self.close()
        msg = f"{self._shown} {what}"
        raise ProbeError(msg) from None


def _acknowledge_at_once(sock: socket.socket) -> None:
    """Ask for no delayed acknowledgement: servers that send head and body apart would seem to take 40 ms longer."""
    if hasattr(socket, "TCP_QUICKACK"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def _cause(error: Exception) -> str:
    """Return an error in words; those of ``http.client`` have no words of their own for some."""
    match error:
        case ConnectionRefusedError():
            return "the connection was refused; nothing listens there"
        case http.client.IncompleteRead():
            return f"it ended after {len(error.partial)} bytes of the body, before it was complete"
        case http.client.RemoteDisconnected():
            return "the connection was closed before an answer came"
        case http.client.BadStatusLine():
            return f"expected an HTTP status line, found {shortened(str(error), _SHOWN)}"
        case OSError() if error.strerror:
            return error.strerror.lower()
        case _:
            return shortened(str(error), _SHOWN) or type(error).__name__
