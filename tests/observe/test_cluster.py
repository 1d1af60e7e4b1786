"""The port against servers that misbehave as proxies and overloaded API servers do; good ones are in controlplane/."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from controller.observe import cluster as port
from controller.observe.cluster import (
    DEPLOYMENTS,
    SERVICES,
    Cluster,
    ClusterError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    Unavailable,
    connect,
)


class Script:
    """What the server is to answer, and what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.body: bytes = b"{}"
        self.headers: dict[str, str] = {}
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answers: list[bytes] = []


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def server(script: Script, tmp_path: Path) -> Iterator[Cluster]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            script.asked.append((self.command, self.path, dict(self.headers), body))
            answer = script.answers.pop(0) if script.answers else script.body
            self.send_response(script.status)
            for name, value in script.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815 - the names that http.server looks for

        def log_message(self, *args: object) -> None:
            """Be quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        yield connect(str(kubeconfig(tmp_path, http.server_address[1])))
        http.shutdown()


def kubeconfig(folder: Path, number: int) -> Path:
    file = folder / "kubeconfig"
    config = {
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{number}"}}],
        "users": [{"name": "u", "user": {"token": "secret"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    file.write_text(json.dumps(config))
    return file


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, ClusterError),
        (400, Invalid),
        (401, Forbidden),
        (403, Forbidden),
        (404, NotFound),
        (405, ClusterError),
        (409, Conflict),
        (413, Invalid),
        (422, Invalid),
        (429, Unavailable),
        (500, Unavailable),
        (503, Unavailable),
    ],
)
def test_each_status_has_its_class(server: Cluster, script: Script, status: int, kind: type[ClusterError]) -> None:
    script.status = status
    script.body = json.dumps({"kind": "Status", "message": "as it is", "reason": "Why"}).encode()
    with pytest.raises(ClusterError) as caught:
        server.get(SERVICES, "ns", "x")
    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.reason) == (status, "Why")
    assert caught.value.message == f"GET /api/v1/namespaces/ns/services/x: {status}: as it is"


def test_patch_that_does_not_apply_is_a_conflict_and_one_that_is_not_valid_is_not(
    server: Cluster, script: Script
) -> None:
    script.status = 422
    script.body = json.dumps({"message": "rejected", "details": {}}).encode()
    with pytest.raises(Conflict):
        server.json_patch(SERVICES, "ns", "x", [])
    with pytest.raises(Invalid):
        server.merge_patch(SERVICES, "ns", "x", {})
    script.body = json.dumps({"message": "rejected", "details": {"causes": [{"field": "spec"}]}}).encode()
    with pytest.raises(Invalid):
        server.json_patch(SERVICES, "ns", "x", [])


def test_time_to_wait_is_passed_on(server: Cluster, script: Script) -> None:
    script.status, script.headers = 429, {"Retry-After": "7"}
    with pytest.raises(Unavailable) as caught:
        server.get(SERVICES, "ns", "x")
    assert caught.value.retry_after == 7.0


@pytest.mark.parametrize("body", [b"", b"<html>login</html>", b"[1]", b"\xff\xfe", b'{"cut'])
def test_answer_that_is_no_object_is_unavailable_and_shown(server: Cluster, script: Script, body: bytes) -> None:
    script.body, script.headers = body, {"Content-Type": "text/html"}
    with pytest.raises(Unavailable, match="expected a JSON object from the API server, found text/html"):
        server.get(SERVICES, "ns", "x")


@pytest.mark.parametrize("status", [404, 502])
def test_refusal_that_is_no_object_keeps_its_class(server: Cluster, script: Script, status: int) -> None:
    script.status, script.body = status, b"<html>" + b"x" * 10_000
    with pytest.raises(NotFound if status == 404 else Unavailable) as caught:
        server.get(SERVICES, "ns", "x")
    assert len(caught.value.message) < 1000


def test_no_write_is_repeated_by_itself(server: Cluster, script: Script) -> None:
    script.status = 503
    with pytest.raises(Unavailable):
        server.merge_patch(SERVICES, "ns", "x", {})
    assert len(script.asked) == 1


def test_each_write_names_its_content_type(server: Cluster, script: Script) -> None:
    server.create(SERVICES, "ns", {})
    server.merge_patch(SERVICES, "ns", "x", {"a": None}, subresource="status")
    server.json_patch(SERVICES, "ns", "x", [{"op": "remove", "path": "/a"}])
    server.replace(SERVICES, "ns", "x", {})
    server.delete(SERVICES, "ns", "x")
    base = "/api/v1/namespaces/ns/services"
    assert [(method, path, headers.get("Content-Type")) for method, path, headers, _ in script.asked] == [
        ("POST", base, "application/json"),
        ("PATCH", f"{base}/x/status", "application/merge-patch+json"),
        ("PATCH", f"{base}/x", "application/json-patch+json"),
        ("PUT", f"{base}/x", "application/json"),
        ("DELETE", f"{base}/x", None),
    ]
    assert script.asked[1][3] == b'{"a": null}'
    assert {headers["Authorization"] for _, _, headers, _ in script.asked} == {"Bearer secret"}
    assert {headers["User-Agent"] for _, _, headers, _ in script.asked} == {"modelrollout"}


def test_name_cannot_leave_its_place_in_the_path(server: Cluster, script: Script) -> None:
    server.get(DEPLOYMENTS, "ns", "../../secrets/x?y")
    assert script.asked[0][1] == "/apis/apps/v1/namespaces/ns/deployments/..%2F..%2Fsecrets%2Fx%3Fy"


def test_list_follows_its_pages(server: Cluster, script: Script) -> None:
    script.answers = [
        json.dumps(
            {"items": [{"metadata": {"name": "a", "managedFields": []}}], "metadata": {"continue": "t=1"}}
        ).encode(),
        json.dumps({"items": [{"metadata": {"name": "b"}}], "metadata": {}}).encode(),
    ]
    found = server.list(SERVICES, None, labels="app=fraud")
    assert found == ({"metadata": {"name": "a"}}, {"metadata": {"name": "b"}})
    assert [path for _, path, _, _ in script.asked] == [
        "/api/v1/services?limit=250&labelSelector=app%3Dfraud",
        "/api/v1/services?limit=250&labelSelector=app%3Dfraud&continue=t%3D1",
    ]


def test_too_long_an_answer_is_cut_off(server: Cluster, script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port, "ANSWER_BYTES", 2**20)
    script.body = b" " * (3 * 2**20) + b"{}"
    with pytest.raises(Unavailable, match="and 1 MiB"):
        server.get(SERVICES, "ns", "x")
    script.body = b" " * 2**19 + b"{}"
    assert server.get(SERVICES, "ns", "x") == {}


def test_silence_ends_in_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port, "READ_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        silent = connect(str(kubeconfig(tmp_path, mute.getsockname()[1])))
        with pytest.raises(Unavailable, match="could not be asked"):
            silent.get(SERVICES, "ns", "x")


def test_trickle_ends_in_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port, "ANSWER_TIMEOUT", 0.3)
    stop = threading.Event()

    def drip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while not stop.wait(0.02):
                try:
                    connection.sendall(b" ")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        dripping = threading.Thread(target=drip, args=(listener,))
        dripping.start()
        slow = connect(str(kubeconfig(tmp_path, listener.getsockname()[1])))
        with pytest.raises(Unavailable, match="expected an answer within"):
            slow.get(SERVICES, "ns", "x")
        stop.set()
        dripping.join()


def test_nobody_there_is_unavailable(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
    with pytest.raises(Unavailable, match="could not be asked"):
        connect(str(kubeconfig(tmp_path, number))).get(SERVICES, "ns", "x")


def test_missing_kubeconfig_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="pass --kubeconfig FILE"):
        connect(str(tmp_path / "nothing"))
