import socket
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection

import pytest

from examples.demo.http_service import MAX_BODY_BYTES, Handler, HttpService, Request, Response, json_response
from tests.demo.conftest import ask


@pytest.fixture
def start() -> Iterator[Callable[[Handler], HttpService]]:
    services: list[HttpService] = []

    def begin(handle: Handler) -> HttpService:
        service = HttpService(("127.0.0.1", 0), handle)
        service.start()
        services.append(service)
        return service

    yield begin
    for service in services:
        service.stop(quiet=0.0, limit=0.0)


def echo(request: Request) -> Response:
    return json_response(200, {"path": request.path, "length": len(request.body)})


def test_one_connection_carries_many_requests(start: Callable[[Handler], HttpService]) -> None:
    connection = HTTPConnection("127.0.0.1", start(echo).port, timeout=10)
    connection.connect()
    first = connection.sock
    for length in (0, 5, 1000):
        connection.request("POST", "/x?y=1", b"z" * length)
        assert connection.getresponse().read() == f'{{"path":"/x","length":{length}}}'.encode()
        assert connection.sock is first
    connection.close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (f"Content-Length: {MAX_BODY_BYTES + 1}", b"413"),
        ("Content-Length: many", b"400"),
        ("Content-Length: -1", b"400"),
        ("Transfer-Encoding: chunked", b"411"),
    ],
)
def test_unreadable_request_is_refused_and_its_connection_closed(
    start: Callable[[Handler], HttpService], headers: str, status: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", start(echo).port), timeout=10) as connection:
        connection.sendall(f"POST / HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"Connection: close" in answer


def test_failing_handler_is_an_internal_error_and_not_the_end(
    start: Callable[[Handler], HttpService], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(request: Request) -> Response:
        if request.path == "/fail":
            raise LookupError("the reason")
        return echo(request)

    service = start(fail)
    assert ask(service.port, "GET", "/fail").status == 500
    assert "the reason" in caplog.text
    assert ask(service.port, "GET", "/").status == 200


def test_stopping_waits_for_the_request_under_way_and_answers_those_that_still_come(
    start: Callable[[Handler], HttpService],
) -> None:
    entered, leave = threading.Event(), threading.Event()

    def slow(request: Request) -> Response:
        if request.path == "/slow":
            entered.set()
            assert leave.wait(60)
        return echo(request)

    service = start(slow)
    answers: list[int] = []
    asking = threading.Thread(target=lambda: answers.append(ask(service.port, "GET", "/slow").status))
    asking.start()
    assert entered.wait(60)
    stopping = threading.Thread(target=lambda: service.stop(quiet=0.1, limit=60))
    stopping.start()
    late = [ask(service.port, "GET", "/") for _ in range(20)]
    assert stopping.is_alive()
    leave.set()
    asking.join()
    stopping.join()
    assert answers == [200]
    assert [answer.status for answer in late] == [200] * 20
    assert late[-1].headers["connection"] == "close"
    with pytest.raises(ConnectionRefusedError):
        ask(service.port, "GET", "/")
