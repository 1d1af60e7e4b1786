"""Send requests at a steady rate, and the truth about each answer to the version that gave it.

    python -m examples.demo.traffic --target http://digits:8080 --rate 50 --count 2000

Ends after `--count` requests or `--duration` seconds, whichever comes first, and prints what became of them as
JSON, in the form of `ledger.Stats`. With `--serve PORT` it answers `/stats` (the same JSON) and `/metrics`
meanwhile, and goes on doing so after the last request until it is told to stop.

Needs nothing but the standard library.
"""

import argparse
import json
import sys
import threading
import time
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from examples.demo.http_service import HttpService, Request, Response, json_response
from examples.demo.ledger import Ledger, exposition
from examples.demo.open_loop import MAX_COUNT, Connections, Line, Plan, Traffic
from examples.demo.samples import load_samples, synthetic_samples
from examples.demo.stop_signal import StopSignal

_MAX_RATE, _MAX_DURATION = 500.0, 6 * 3600.0
_SYNTHETIC = 200


def _number_up_to(limit: float, text: str) -> float:
    number = float(text)
    if not 0 < number <= limit:
        raise argparse.ArgumentTypeError(f"expected a number above 0 and up to {limit:g}, found {text}")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Send requests at a steady rate and count what became of them.")
    add = parser.add_argument
    add("--target", required=True, help="base URL of the Gateway or Service")
    add("--host", default="", help="Host header, for a route with a hostname")
    add("--model", default="digits", help="name of the model to ask")
    add("--rate", type=lambda text: _number_up_to(_MAX_RATE, text), default=50.0, help="requests per second")
    add("--count", type=lambda text: int(_number_up_to(MAX_COUNT, text)), default=MAX_COUNT, help="most requests")
    add("--duration", type=lambda text: _number_up_to(_MAX_DURATION, text), default=3600.0, help="most seconds")
    add("--connections", type=Connections, choices=list(Connections), default=Connections.KEEPALIVE)
    add("--concurrency", type=lambda text: int(_number_up_to(256, text)), default=32, help="most requests at once")
    add("--timeout", type=lambda text: _number_up_to(60, text), default=5.0, help="seconds per request")
    add("--feedback-url", default="", help="where the truth goes; {version} is the version that answered")
    add("--samples", type=Path, help="the holdout.json that train writes; without it: made-up samples")
    add("--seed", type=int, default=0, help="fixes the order of the samples")
    add("--wait", type=float, default=0.0, help="seconds to wait for the target to be ready before the first request")
    add("--serve", type=int, help="port for /stats and /metrics; stay there until told to stop")
    return parser


def _plan(arguments: argparse.Namespace) -> Plan:
    return Plan(
        target=arguments.target,
        host=arguments.host,
        model=arguments.model,
        rate=arguments.rate,
        count=arguments.count,
        duration=arguments.duration,
        connections=arguments.connections,
        concurrency=arguments.concurrency,
        timeout=arguments.timeout,
        feedback_url=arguments.feedback_url,
    )


def _wait_until_ready(plan: Plan, *, seconds: float, stop: threading.Event) -> None:
    """Ask for readiness until it is there, the time is over, or `stop` is set."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not stop.is_set() and not _ready(plan):
        stop.wait(0.5)


def _ready(plan: Plan) -> bool:
    url = urlsplit(plan.target)
    connection = Line(url.netloc, timeout=plan.timeout)
    try:
        path = f"{url.path.rstrip('/')}/v2/health/ready"
        connection.request("GET", path, headers={"Host": plan.host or url.netloc})
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _serve(ledger: Ledger, port: int) -> HttpService:
    def handle(request: Request) -> Response:
        match request.method, request.path:
            case "GET", "/stats":
                return json_response(200, {**ledger.stats()})
            case "GET", "/metrics":
                return Response(200, exposition(ledger.stats()), "text/plain; version=0.0.4; charset=utf-8")
        return json_response(404, {"error": "expected GET /stats or GET /metrics"})

    service = HttpService(("0.0.0.0", port), handle)
    service.start()
    return service


def main(argv: Sequence[str] | None = None) -> None:
    """Carry out the plan of the command line and print what became of it."""
    arguments = _parser().parse_args(argv)
    samples = load_samples(arguments.samples) if arguments.samples else synthetic_samples(_SYNTHETIC, seed=0)
    stop_signal, told = StopSignal(), threading.Event()
    # Whoever reads this may end the process from now on and will still get the figures.
    print(f"sending {arguments.rate:g} requests/s to {arguments.target}", file=sys.stderr, flush=True)
    traffic = Traffic(_plan(arguments), samples, seed=arguments.seed)

    def watch() -> None:
        stop_signal.wait()
        told.set()
        traffic.stop()

    threading.Thread(target=watch, daemon=True).start()
    service = _serve(traffic.ledger, arguments.serve) if arguments.serve is not None else None
    _wait_until_ready(_plan(arguments), seconds=arguments.wait, stop=told)
    stats = traffic.run()
    print(json.dumps(stats, indent=2), flush=True)
    if service is not None:
        told.wait()
        service.stop(quiet=0.0, limit=1.0)


if __name__ == "__main__":
    main()
