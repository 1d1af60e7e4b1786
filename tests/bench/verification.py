"""How long a smoke test takes: `python -m tests.bench.verification`.

Three real servers of the demo on loopback, each asked 20 golden requests and every other step, as the operator does it:
one thread per pod. Prints the seconds of the whole and of each step.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from controller.api.verify import Expectation, GoldenCase, LatencyBound, MetricsCheck, Protocol, Smoke, Tolerance
from controller.observe.probes.protocol import Model
from controller.observe.probes.smoke import SmokeOrder, run_smoke
from controller.observe.probes.target import Target
from controller.plan.verify.findings import Outcome

PODS, CASES, FIRST_PORT = 3, 20, 38_471


def main() -> int:
    """Train once, serve three times, test, and print."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "examples.demo.train", "--out", folder], check=True)
        servers = [_serve(Path(folder), FIRST_PORT + number) for number in range(PODS)]
        try:
            _report(*_timed(_cases(Path(folder))))
        finally:
            for server in servers:
                server.terminate()
                server.wait(timeout=30)
    return 0


def _serve(folder: Path, port: int) -> "subprocess.Popen[bytes]":
    variables = {"MODEL_VERSION": "good", "MODEL_DIR": str(folder), "PORT": str(port), "HOST": "127.0.0.1"}
    command = [sys.executable, "-m", "examples.demo.server"]
    return subprocess.Popen(command, env=os.environ | variables, stderr=subprocess.DEVNULL)


def _cases(folder: Path) -> tuple[GoldenCase, ...]:
    rows = json.loads((folder / "holdout.json").read_text())["inputs"][:CASES]
    bodies = ({"inputs": [{"name": "pixels", "shape": [1, 64], "datatype": "FP32", "data": row}]} for row in rows)
    finite = (Expectation(path="$.outputs[1].data", finite=True),)
    return tuple(
        GoldenCase(name=f"case-{place}", request=json.dumps(body), expect=finite) for place, body in enumerate(bodies)
    )


def _timed(cases: tuple[GoldenCase, ...]) -> tuple[float, list[Outcome]]:
    """Wait until all three answer, which is the model's time and not the test's, then run."""
    smoke = Smoke(determinism=Tolerance(), latency=LatencyBound(max="1s"), metrics=MetricsCheck())
    orders = [
        SmokeOrder(
            protocol=Protocol.OPEN_INFERENCE,
            model=Model(name="digits"),
            smoke=smoke,
            target=Target(name=f"pod-{number}", uid=str(number), address="127.0.0.1", port=FIRST_PORT + number),
            cases=cases,
            counters=("mlr_requests_total",),
        )
        for number in range(PODS)
    ]
    with ThreadPoolExecutor(PODS) as pool:
        list(pool.map(_run, orders))
        began = time.perf_counter()
        outcomes = list(pool.map(_run, orders))
        return time.perf_counter() - began, outcomes


def _run(order: SmokeOrder) -> Outcome:
    return run_smoke(order, now=lambda: datetime.now(UTC))


def _report(seconds: float, outcomes: list[Outcome]) -> None:
    print(f"smoke test of {PODS} pods with {CASES} golden requests each: {seconds:.2f} s (aim: below 5 s)")
    for findings in zip(*(outcome.findings for outcome in outcomes), strict=True):
        slowest = max(findings, key=lambda each: each.seconds)
        print(f"  {slowest.name:20} {slowest.state:11} {1000 * slowest.seconds:7.1f} ms  {slowest.found[:60]}")


if __name__ == "__main__":
    sys.exit(main())
