"""The client with pods that behave: what it sends, what it returns, which connections it keeps."""

import gc
import socket
import threading

import pytest

from controller.observe.probes.client import PodClient
from controller.observe.probes.target import Exchange, ProbeError, Target
from tests.verify.protocols.loopback import Reply, Request, head, on_the_wire, read_request, reply, sends, serving

GET = Exchange("GET", "/")
OK = head("Content-Length: 2") + b"{}"


def mirror(request: Request) -> Reply:
    return reply({"method": request.method, "path": request.path, "headers": dict(request.headers)})


def test_what_is_sent_and_what_comes_back() -> None:
    echo = serving(lambda request: Reply(201, request.body, "text/plain", {"X-Route": "a"}))
    with echo as target, PodClient(target) as client:
        answer = client.send(Exchange("POST", "/predict?x=1", b"[1, 2]"), timeout=20)
    assert (answer.status, answer.body, answer.headers["x-route"]) == (201, b"[1, 2]", "a")
    assert answer.json() == [1, 2]
    assert 0 < answer.seconds < 5
    assert client.received > len(answer.body)


def test_only_plain_bodies_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with serving(mirror) as target, PodClient(target) as client:
        found = client.send(Exchange("GET", "/x", headers={"X-Own": "1"}), timeout=20).json()
    assert isinstance(found, dict)
    assert (found["method"], found["path"]) == ("GET", "/x")
    assert found["headers"] == {
        "host": f"127.0.0.1:{target.port}",
        "accept": "application/json",
        "accept-encoding": "identity",
        "x-own": "1",
    }


def test_one_connection_serves_many_requests() -> None:
    seen: list[int] = []

    def keep(connection: socket.socket) -> None:
        seen.append(connection.getpeername()[1])
        connection.sendall(OK)
        while read_request(connection):
            seen.append(connection.getpeername()[1])
            connection.sendall(OK)

    with on_the_wire(keep) as target, PodClient(target) as client:
        for _ in range(3):
            client.send(GET, timeout=20)
    assert len(seen) == 3
    assert len(set(seen)) == 1


def test_a_connection_that_was_closed_in_the_meantime_is_replaced() -> None:
    with on_the_wire(sends(OK)) as target, PodClient(target) as client:
        assert [client.send(GET, timeout=20).status for _ in range(3)] == [200, 200, 200]


def test_a_connection_that_closes_on_the_next_request_is_replaced_once() -> None:
    def once(connection: socket.socket) -> None:
        connection.sendall(OK)
        read_request(connection)

    with on_the_wire(once, sends(OK)) as target, PodClient(target) as client:
        assert [client.send(GET, timeout=20).status for _ in range(2)] == [200, 200]
    with on_the_wire(once, sends()) as target, PodClient(target) as client:
        client.send(GET, timeout=20)
        with pytest.raises(ProbeError, match=r"the connection was closed before an answer came"):
            client.send(GET, timeout=20)


def test_bytes_that_nobody_asked_for_do_not_become_the_next_answer() -> None:
    sent = threading.Event()

    def smuggle(connection: socket.socket) -> None:
        connection.sendall(OK)
        connection.sendall(head("Content-Length: 6") + b'"evil"')
        sent.set()
        read_request(connection)

    with on_the_wire(smuggle, sends(OK)) as target, PodClient(target) as client:
        client.send(GET, timeout=20)
        assert sent.wait(5)
        assert client.send(GET, timeout=20).json() == {}


@pytest.mark.parametrize("close", ["Connection: close", "X-Length: unknown"])
def test_an_answer_that_ends_with_its_connection_is_complete(close: str) -> None:
    with on_the_wire(sends(head(close), b"[1", b", 2]")) as target, PodClient(target) as client:
        assert [client.send(GET, timeout=20).json() for _ in range(2)] == [[1, 2], [1, 2]]


def test_chunks_are_joined() -> None:
    chunks = sends(head("Transfer-Encoding: chunked"), b"2\r\n[1\r\n", b"3;x=y\r\n, 2\r\n1\r\n]\r\n0\r\n\r\n")
    with on_the_wire(chunks) as target, PodClient(target) as client:
        assert client.send(GET, timeout=20).json() == [1, 2]


def test_a_pod_that_does_not_listen_is_told_as_such() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(ProbeError) as caught:
        PodClient(Target("fraud-v2-x", "u", "127.0.0.1", port)).send(GET, timeout=20)
    assert str(caught.value) == (
        f"pod fraud-v2-x at 127.0.0.1:{port} gave no answer to GET / that can be read: "
        "the connection was refused; nothing listens there"
    )


@pytest.mark.parametrize("address", ["example.org", "localhost", "", "127.0.0.1@example.org", "127.0.0.1/x"])
def test_only_addresses_are_asked_never_names(address: str) -> None:
    with pytest.raises(ProbeError, match="expected a pod's IP address"):
        PodClient(Target("pod-a", "u", address, 80))


@pytest.mark.parametrize("path", ["http://example.org/", "//example.org/", "predict", "", "*"])
def test_only_paths_are_asked_never_addresses(path: str) -> None:
    with serving(mirror) as target, PodClient(target) as client, pytest.raises(ProbeError, match="expected a path"):
        client.send(Exchange("GET", path), timeout=20)


@pytest.mark.parametrize("path", ["/a b", "/a\r\nHost: b", "/a\x00", "/ä"])
def test_a_path_cannot_carry_more_than_a_path(path: str) -> None:
    with serving(mirror) as target, PodClient(target) as client, pytest.raises(ProbeError):
        client.send(Exchange("GET", path), timeout=20)


def test_after_the_deadline_nothing_is_sent() -> None:
    asked: list[Request] = []

    def note(request: Request) -> Reply:
        asked.append(request)
        return reply({})

    now = [100.0]
    with serving(note) as target, PodClient(target, deadline=101, monotonic=lambda: now[0]) as client:
        client.send(GET, timeout=20)
        now[0] = 101
        with pytest.raises(ProbeError, match="the deadline has passed"):
            client.send(GET, timeout=20)
    assert len(asked) == 1


def test_no_connection_is_left_open() -> None:
    with on_the_wire(sends(head("Content-Length: 5"), b"[")) as target:
        for _ in range(3):
            with PodClient(target) as client, pytest.raises(ProbeError):
                client.send(GET, timeout=20)
    gc.collect()  # a forgotten socket warns, and warnings are errors here
