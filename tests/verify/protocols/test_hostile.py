"""The client with pods that mean harm: every attack is refused in words, and its bytes are counted."""

import gzip
import itertools
import json
import socket
import time
import tracemalloc
from collections.abc import Callable

import pytest

from controller.observe.probes.client import MAX_BYTES, PodClient
from controller.observe.probes.target import Answer, Exchange, ProbeError
from controller.plan.verify.nesting import DEEPEST
from tests.verify.protocols.loopback import Reply, Request, Wire, head, on_the_wire, reply, sends, serving

GET = Exchange("GET", "/")
READ_AHEAD = 8192
"""What the stream under the client reads at once, at most."""

MEGABYTE = b"x" * 2**20


def refusal(wire: Wire, *, timeout: float = 10, most: int = MAX_BYTES) -> str:
    """Return the sentence with which an answer is refused; no more than the bound was received."""
    with on_the_wire(wire) as target, PodClient(target, max_bytes=most) as client:
        with pytest.raises(ProbeError) as caught:
            client.send(GET, timeout=timeout)
        assert client.received <= most + 65_536
    assert str(caught.value).startswith(f"pod pod-a at 127.0.0.1:{target.port} ")
    return str(caught.value)


def endless(first: bytes, again: bytes) -> Wire:
    """Send 100 MB, or until the client has enough."""

    def send(connection: socket.socket) -> None:
        connection.sendall(first)
        for _ in range(100 * 2**20 // len(again)):
            connection.sendall(again)

    return send


def drip(first: bytes, again: bytes = b"x") -> Wire:
    """Send a byte every hundredth of a second, for ever."""

    def send(connection: socket.socket) -> None:
        connection.sendall(first)
        while True:
            connection.sendall(again)
            time.sleep(0.01)

    return send


@pytest.mark.parametrize(
    "wire",
    [
        endless(head("Connection: close"), MEGABYTE),
        endless(head("Transfer-Encoding: chunked"), b"100000\r\n" + MEGABYTE + b"\r\n"),
        endless(head("Transfer-Encoding: chunked"), b"1\r\nx\r\n" * 10_000),
        endless(head("Transfer-Encoding: chunked") + b"FFFFFFFFFFFF\r\n", MEGABYTE),
        endless(head("Transfer-Encoding: chunked") + b"-1\r\n", MEGABYTE),
    ],
    ids=["until-close", "large-chunks", "small-chunks", "one-chunk", "negative-chunk"],
)
def test_a_hundred_megabytes_are_not_read(wire: Wire) -> None:
    assert f"with more than {MAX_BYTES} bytes" in refusal(wire)


def test_a_hundred_megabytes_that_are_announced_are_not_even_begun() -> None:
    length = 100 * 2**20
    with on_the_wire(endless(head(f"Content-Length: {length}"), MEGABYTE)) as target, PodClient(target) as client:
        with pytest.raises(ProbeError, match=f"with {length} bytes; at most {MAX_BYTES} are read"):
            client.send(GET, timeout=10)
        assert client.received <= READ_AHEAD


def test_memory_is_bounded_as_the_bytes_are() -> None:
    wire = endless(head("Connection: close"), MEGABYTE)
    tracemalloc.start()
    try:
        refusal(wire)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * MAX_BYTES


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\n", b"x"),
        (head("Content-Length: 1000000"), b" "),
        (head("Transfer-Encoding: chunked"), b"1\r\nx\r\n"),
        (head(status="100 Continue"), head(status="100 Continue")),
    ],
    ids=["status-line", "header", "body", "chunks", "continue"],
)
def test_an_answer_that_drips_ends_with_its_time(first: bytes, again: bytes) -> None:
    assert "gave no complete answer to GET / within 0.3 s" in refusal(drip(first, again), timeout=0.3)


def test_silence_ends_with_its_time() -> None:
    def listen(connection: socket.socket) -> None:
        connection.recv(1)

    assert "within 0.2 s" in refusal(listen, timeout=0.2)


def test_the_deadline_bounds_what_the_timeout_would_allow() -> None:
    clock = itertools.count()  # a second passes with each look at it
    with on_the_wire(drip(head("Content-Length: 9999"))) as target:
        client = PodClient(target, deadline=20, monotonic=lambda: next(clock))
        with client, pytest.raises(ProbeError, match="gave no complete answer to GET / within 20 s"):
            client.send(GET, timeout=60)
        assert client.received < 9999


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(status: int) -> None:
    asked: list[Request] = []

    def note(request: Request) -> Reply:
        asked.append(request)
        return reply({})

    with serving(note) as other:
        place = f"http://127.0.0.1:{other.port}/stolen"
        sentence = refusal(sends(head(f"Location: {place}", "Content-Length: 0", status=f"{status} Moved")))
    assert sentence.endswith(
        f"answered GET / with HTTP {status} to {place!r}; redirects are not followed, name its last path"
    )
    assert asked == []


@pytest.mark.parametrize(
    ("wire", "words"),
    [
        (endless(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 100), "got more than 100 headers"),
        (endless(b"HTTP/1.1 200 OK\r\nX-A: ", MEGABYTE), "got more than 65536 bytes when reading header line"),
        (endless(b"HTTP/1.1 200 OK\r\n", b"X-A: " + b"b" * 60_000 + b"\r\n"), f"with more than {MAX_BYTES} bytes"),
        (endless(b"", MEGABYTE), "got more than 65536 bytes when reading status line"),
        (endless(b"", head("X-A: b", status="100 Continue")), f"with more than {MAX_BYTES} bytes"),
    ],
    ids=["many", "one-long", "many-long", "long-status", "continue"],
)
def test_floods_of_headers_are_cut_off(wire: Wire, words: str) -> None:
    assert words in refusal(wire)


@pytest.mark.parametrize(
    ("wire", "words"),
    [
        (sends(), "the connection was closed before an answer came"),
        (sends(b"HTTP/1.1 200 OK\r\n"), "answered GET / with headers that broke off"),
        (sends(b"HTTP/1.1 200 OK\r\nContent-Type: appl"), "answered GET / with headers that broke off"),
        (sends(head("Content-Length: 5000"), b'{"a":'), "it ended after 5 bytes of the body, before it was complete"),
        (sends(head("Transfer-Encoding: chunked"), b"ff\r\n[1"), "before it was complete"),
        (sends(head("Transfer-Encoding: chunked"), b"zz\r\n[1"), "before it was complete"),
        (sends(b"SSH-2.0-OpenSSH_9.6\r\n"), "expected an HTTP status line, found SSH-2.0-OpenSSH_9.6"),
        (sends(b"HTTP/9.9 999999 OK\r\n\r\n"), "expected an HTTP status line"),
    ],
    ids=["nothing", "status-only", "head", "length", "chunk", "no-chunk", "other-protocol", "status"],
)
def test_what_breaks_off_or_is_no_http_is_told(wire: Wire, words: str) -> None:
    assert words in refusal(wire)


def test_a_length_shorter_than_the_body_cuts_it() -> None:
    with on_the_wire(sends(head("Content-Length: 6"), b'{"a": [1, 2, 3]}')) as target, PodClient(target) as client:
        answer = client.send(GET, timeout=20)
    with pytest.raises(ProbeError, match="HTTP 200 with a body that is no JSON"):
        answer.json()


@pytest.mark.parametrize("packing", ["gzip", "deflate", "br", "identity, gzip"])
def test_nothing_is_unpacked(packing: str) -> None:
    bomb = gzip.compress(b"[" * 50 * 2**20)
    wire = sends(head(f"Content-Encoding: {packing}", f"Content-Length: {len(bomb)}") + bomb)
    assert f"with Content-Encoding {packing!r}, although identity was asked for" in refusal(wire)


def test_packed_transfer_is_not_unpacked_either() -> None:
    bomb = gzip.compress(b"[" * 50 * 2**20)
    wire = sends(head("Transfer-Encoding: gzip, chunked", "Connection: close") + bomb)
    with on_the_wire(wire) as target, PodClient(target) as client:
        answer = client.send(GET, timeout=20)
    assert len(answer.body) == len(bomb)
    with pytest.raises(ProbeError, match="no JSON"):
        answer.json()


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


def keyed(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


@pytest.mark.parametrize("make", [nested, keyed])
@pytest.mark.parametrize("levels", [DEEPEST + 1, 900, 100_000])
def test_deep_json_is_refused(make: Callable[[int], bytes], levels: int) -> None:
    with serving(lambda _: Reply(200, make(levels))) as target, PodClient(target) as client:
        answer = client.send(GET, timeout=20)
    with pytest.raises(ProbeError, match=r"HTTP 200 with (JSON of more than 64 levels|a body that is no JSON)"):
        answer.json()


@pytest.mark.parametrize("make", [nested, keyed])
def test_json_as_deep_as_allowed_is_read(make: Callable[[int], bytes]) -> None:
    answer = Answer(200, {}, make(DEEPEST), 0.0)
    assert answer.json() == json.loads(answer.body)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"<html><body>Welcome</body></html>", "<html>"),
        (b"", "''"),
        (b"\xff\xfe\xfd", "no JSON"),
        (b"1" * 10_000, "no JSON"),
        (b'{"a": 1} {"b": 2}', "Extra data"),
    ],
    ids=["html", "empty", "no-text", "number", "two"],
)
def test_a_body_that_is_no_json_is_told_with_its_beginning(body: bytes, found: str) -> None:
    with serving(lambda _: Reply(200, body, "text/html")) as target, PodClient(target) as client:
        answer = client.send(GET, timeout=20)
    with pytest.raises(ProbeError) as caught:
        answer.json()
    assert found in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_refused_answer_leaves_the_next_one_alone() -> None:
    wires = itertools.chain([endless(head("Connection: close"), MEGABYTE)], [sends(head("Content-Length: 2") + b"{}")])
    with on_the_wire(*wires) as target, PodClient(target) as client:
        with pytest.raises(ProbeError):
            client.send(GET, timeout=20)
        assert client.send(GET, timeout=20).json() == {}
