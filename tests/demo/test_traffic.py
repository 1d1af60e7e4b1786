import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer

import pytest

from examples.demo.http_service import HttpService, Request, Response, json_response
from examples.demo.ledger import Stats
from examples.demo.open_loop import Connections, Plan, Traffic
from examples.demo.samples import load_samples, synthetic_samples
from tests.demo.conftest import ROOT, Server, ask

Serve = Callable[..., Server]


def run(*arguments: str) -> Stats:
    """The statistics that the command line prints."""
    command = [sys.executable, "-m", "examples.demo.traffic", *arguments]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    stats: Stats = json.loads(done.stdout)
    return stats


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("connections", ["new", "keepalive"])
def test_every_answer_is_checked_and_its_truth_sent_to_the_version_that_gave_it(
    serve: Serve, models: Path, connections: str
) -> None:
    server = serve("wrong")
    stats = run(
        *("--target", server.url, "--rate", "200", "--count", "400", "--connections", connections),
        *("--samples", str(models / "holdout.json"), "--feedback-url", f"{server.url}/feedback?of={{version}}"),
    )
    sent = stats["requests"]
    assert sent + stats["missed"] == 400
    assert stats["failed_requests"] == 0
    assert stats["feedback"] == {"posted": sent, "failed": 0}
    wrong = stats["versions"]["wrong"]
    assert (wrong["ok"], wrong["labelled"]) == (sent, sent)
    # Accuracy 0.84, with five standard deviations to either side.
    assert abs(wrong["incorrect"] - 0.16 * sent) <= 5 * (0.16 * 0.84 * sent) ** 0.5
    counted = 'mlr_feedback_total{model="digits",result="%s",segment="all",version="wrong"}'
    assert server.count(counted % "incorrect") == wrong["incorrect"]
    assert server.count(counted % "correct") == sent - wrong["incorrect"]


def test_errors_of_the_server_are_counted_with_their_time(serve: Serve) -> None:
    server = serve("broken", MODEL_SEED="2")
    stats = run("--target", server.url, "--rate", "200", "--count", "200")
    broken = stats["versions"]["broken"]
    failed = server.count('mlr_requests_total{model="digits",outcome="server_error",segment="all",version="broken"}')
    assert broken["http_errors"] == stats["failed_requests"] == failed > 0
    assert broken["ok"] + failed == broken["requests"] == 200 - stats["missed"]
    assert broken["labelled"] == broken["incorrect"] == 0
    assert broken["first_failure"] is not None
    assert broken["last_failure"] is not None
    assert broken["first_failure"] <= broken["last_failure"]
    assert stats["failures"][-1] == {"at": broken["last_failure"], "version": "broken", "reason": "status 500"}


def test_requests_that_nobody_answers_are_connection_errors() -> None:
    stats = run("--target", f"http://127.0.0.1:{free_port()}", "--rate", "500", "--count", "20")
    nobody = stats["versions"]["none"]
    assert nobody["connection_errors"] == stats["failed_requests"] == 20 - stats["missed"] > 0
    assert "refused" in stats["failures"][0]["reason"]


def test_host_header_is_the_routes_hostname() -> None:
    seen: set[str] = set()

    def handle(request: Request) -> Response:
        seen.add(request.headers["host"])
        return json_response(200, {"outputs": [{"name": "label", "data": [1]}]})

    service = HttpService(("127.0.0.1", 0), handle)
    service.start()
    plan = Plan(f"http://localhost:{service.port}", host="digits.example.com", rate=500, count=3)
    stats = Traffic(plan, synthetic_samples(2, seed=0)).run()
    service.stop(quiet=0, limit=0)
    assert seen == {"digits.example.com"}
    assert stats["versions"]["none"]["ok"] == 3 - stats["missed"]


def test_answer_without_a_prediction_is_a_failure() -> None:
    service = HttpService(("127.0.0.1", 0), lambda _: Response(200, b"<html>"))
    service.start()
    stats = Traffic(Plan(f"http://127.0.0.1:{service.port}", rate=500, count=5), synthetic_samples(2, seed=0)).run()
    service.stop(quiet=0, limit=0)
    assert stats["failed_requests"] == stats["versions"]["none"]["http_errors"] == 5 - stats["missed"] > 0


def test_slow_answers_do_not_hold_up_the_requests_that_are_due() -> None:
    leave = threading.Event()

    def slow(_: Request) -> Response:
        assert leave.wait(60)
        return json_response(200, {"outputs": [{"name": "label", "data": [1]}]})

    service = HttpService(("127.0.0.1", 0), slow)
    service.start()
    plan = Plan(f"http://127.0.0.1:{service.port}", rate=200, count=12, concurrency=4, timeout=60)
    traffic = Traffic(plan, synthetic_samples(2, seed=0))
    running = threading.Thread(target=traffic.run)
    running.start()
    while traffic.ledger.stats()["missed"] < 8:
        assert running.is_alive()
    leave.set()
    running.join()
    service.stop(quiet=0, limit=0)
    assert traffic.ledger.stats()["requests"] == 4
    assert traffic.ledger.stats()["failed_requests"] == 0


class _Counting(ThreadingTCPServer):
    """Counts the connections that it gets."""

    daemon_threads = True
    connections = 0


class _Answering(BaseHTTPRequestHandler):
    """Answers each request with a prediction."""

    server: _Counting
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_POST(self) -> None:
        body = b'{"outputs":[{"name":"label","data":[1]}]}'
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response_only(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.mark.parametrize(("connections", "expected"), [(Connections.NEW, 30), (Connections.KEEPALIVE, 1)])
def test_requests_share_connections_only_if_asked_to(connections: Connections, expected: int) -> None:
    with _Counting(("127.0.0.1", 0), _Answering) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        plan = Plan(
            f"http://127.0.0.1:{server.server_address[1]}",
            rate=100,
            count=30,
            connections=connections,
            concurrency=1,
        )
        traffic = Traffic(plan, synthetic_samples(2, seed=0))
        stats = traffic.run()
        server.shutdown()
    assert stats["failed_requests"] == 0
    # With one request at a time, those that were due meanwhile were missed and opened nothing.
    assert server.connections == (expected - stats["missed"] if connections is Connections.NEW else expected)


class _OneShot(_Answering):
    """Closes the connection after each answer without saying so."""

    def do_POST(self) -> None:
        super().do_POST()
        self.close_connection = True


def test_connection_that_the_server_closed_meanwhile_is_no_failure() -> None:
    with _Counting(("127.0.0.1", 0), _OneShot) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        plan = Plan(f"http://127.0.0.1:{server.server_address[1]}", rate=10, count=8, concurrency=1)
        stats = Traffic(plan, synthetic_samples(2, seed=0)).run()
        server.shutdown()
    assert stats["failed_requests"] == 0
    assert stats["requests"] + stats["missed"] == 8


def test_serving_its_statistics_until_told_to_stop(serve: Serve) -> None:
    server, port = serve("v1"), free_port()
    command = [sys.executable, "-m", "examples.demo.traffic", "--target", server.url, "--rate", "100", "--count", "50"]
    process = subprocess.Popen(
        [*command, "--serve", str(port), "--wait", "30"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    printed = re.search(r'"requests": (\d+)', "".join(iter(process.stdout.readline, "}\n")))
    served = ask(port, "GET", "/stats").document
    metrics = ask(port, "GET", "/metrics").body.decode()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert printed is not None
    assert served["requests"] == int(printed[1]) > 0
    assert f'demo_client_requests_total{{version="v1",outcome="ok"}} {printed[1]}\n' in metrics
    assert "mlr_" not in metrics


def test_told_to_stop_it_counts_what_was_sent_and_ends(serve: Serve) -> None:
    server, port = serve("v1"), free_port()
    command = [sys.executable, "-m", "examples.demo.traffic", "--target", server.url, "--rate", "50"]
    process = subprocess.Popen([*command, "--serve", str(port)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    answered = 'mlr_requests_total{model="digits",outcome="ok",segment="all",version="v1"}'
    while server.count(answered) < 5:
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    stats: Stats = json.loads(process.communicate(timeout=60)[0])
    assert process.returncode == 0
    assert stats["requests"] == stats["versions"]["v1"]["ok"] == server.count(answered)


@pytest.mark.parametrize("option", ["--rate=0", "--rate=501", "--count=1000001", "--duration=1e9", "--concurrency=0"])
def test_every_run_is_bounded(option: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        run("--target", "http://127.0.0.1:1", option)
    assert option.partition("=")[0] in refused.value.stderr


@pytest.mark.parametrize("content", ["", "[]", '{"inputs": [[1]]}', '{"inputs": [[1]], "labels": []}'])
def test_wrong_samples_file_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "samples.json"
    path.write_text(content)
    with pytest.raises(SystemExit, match=re.escape(str(path))):
        load_samples(path)
