"""A Prometheus made of arithmetic: counters that follow the weights of the routes, over real HTTP.

Every sample is a function of time alone, so that it makes no difference when it is asked for or how busy the machine
is. Faults are put in front of it.
"""

import contextlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import accumulate, pairwise
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from controller.api.selectors import Matcher, parse_selector
from tests.controlplane.watching import Watching
from tests.observe.faulty import Answer, body

Json = dict[str, Any]

SCRAPE: Final = 0.2
"""Seconds between two samples of a series."""
PAST: Final = 60.0
"""Seconds for which the models had been serving before the test began."""

EDGES: Final = ("0.1", "0.25", "0.5", "+Inf")
"""Upper bounds of the latency histogram that models export."""

RATIO: Final = {"bad": 'requests_total{code="500"}', "total": "requests_total"}
"""The metric that every model exports."""


TYPES: Final = {"requests_waiting": [{"type": "gauge", "help": "Requests that wait.", "unit": ""}]}
"""What pods say of their metrics; of the others they say nothing."""


@dataclass(frozen=True)
class Model:
    """What a Deployment's only pod would count if it got all requests of its route."""

    requests: float = 100_000.0
    """Per second."""
    bad: float = 0.02
    """The share of them that ends with code 500."""
    further: tuple[tuple[str, Json, float], ...] = ()
    """Further counters: name, labels, and which share of the requests they count."""
    late: float = 0.0
    """Seconds after which the further counters count a request."""
    latency: tuple[float, ...] = (0.5, 0.3, 0.15, 0.05)
    """The share of them in each bucket of ``EDGES``."""
    edges: tuple[str, ...] = EDGES


@dataclass
class Traffic:
    """The requests of a namespace; each Deployment's share of them is that of its Service in its route."""

    namespace: str
    routes: Watching
    models: dict[str, Model] = field(default_factory=dict)
    began: float = field(default_factory=lambda: round(time.time() - PAST))

    def requests(self, deployment: str, moment: float) -> float:
        """Return how many requests a Deployment had got by then."""
        shares = self._shares(deployment)
        edges = [min(since, moment) for since, _ in shares] + [moment]
        busy = sum(share * (end - start) for (start, end), (_, share) in zip(pairwise(edges), shares, strict=True))
        return float(round(self.models[deployment].requests * max(0.0, busy)))

    def _shares(self, deployment: str) -> list[tuple[float, float]]:
        """Return since when the Deployment had which share; what was seen first had always been so."""
        changes: list[tuple[float, float]] = []
        for seen in self.routes.seen(deployment.rpartition("-")[0]):
            weights: dict[str, int] = {}
            for rule in seen.thing["spec"]["rules"]:
                weights |= {entry["name"]: entry["weight"] for entry in rule["backendRefs"]}
            share = weights.get(deployment, 0) / max(1, sum(weights.values()))
            changes.append((seen.at if changes else self.began, share))
        return changes

    def series(self) -> Iterator[tuple[Json, Callable[[float], float]]]:
        """Yield the labels of all series, and how each grows."""
        for deployment, model in list(self.models.items()):
            target = {"namespace": self.namespace, "pod": pod_of(deployment), "job": "pods", "instance": deployment}
            yield {"__name__": "up", **target}, lambda _: 1.0
            for code, share in (("200", 1 - model.bad), ("500", model.bad)):
                labels = {"__name__": "requests_total", "code": code, **target}
                yield labels, _grown(self, deployment, share)
            for name, own, share in model.further:
                yield {"__name__": name, **own, **target}, _grown(self, deployment, share, late=model.late)
            for edge, share in zip(model.edges, accumulate(model.latency), strict=True):
                labels = {"__name__": "latency_seconds_bucket", "le": edge, **target}
                yield labels, _grown(self, deployment, share)
            yield {"__name__": "requests_waiting", **target}, _swinging


def _grown(traffic: Traffic, deployment: str, share: float, *, late: float = 0.0) -> Callable[[float], float]:
    return lambda moment: float(round(share * traffic.requests(deployment, moment - late)))


def _swinging(moment: float) -> float:
    """A gauge: up and down every few samples."""
    return 5.0 + int(moment / SCRAPE) % 3


def pod_of(deployment: str) -> str:
    """Return the name of a Deployment's only pod."""
    return f"{deployment}-5d8f-abcde"


Fault = Callable[[str], Answer]
"""What becomes of a right answer."""


class Counters(ThreadingHTTPServer):
    """Prometheus' HTTP API over a traffic, with a fault in front of it when there is one."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, traffic: Traffic, *, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.traffic = traffic
        self.fault: Fault = body
        self.asked = 0
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    def end(self) -> None:
        """Free the port: from now on connections are refused."""
        self.shutdown()
        self.server_close()
        self._thread.join()

    def answer(self, path: str, form: dict[str, list[str]]) -> str:
        """Return what Prometheus would."""
        if path.endswith("/metadata"):
            return json.dumps({"status": "success", "data": TYPES})
        if path.endswith("/values"):
            found = {labels["__name__"] for labels, _ in self._matching(form["match[]"][0])}
            return json.dumps({"status": "success", "data": sorted(found)})
        selector, _, reach = form["query"][0].rpartition("[")
        end, milliseconds = float(form["time"][0]), int(reach.removesuffix("ms]"))
        result = [
            {"metric": labels, "values": values}
            for labels, value in self._matching(selector)
            if (values := _samples(value, end - milliseconds / 1000, end, self.traffic.began))
        ]
        return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}})

    def _matching(self, text: str) -> list[tuple[Json, Callable[[float], float]]]:
        selector = parse_selector(text)
        name = Matcher(label="__name__", operator="=", value=json.dumps(selector.name))
        return [
            (labels, value)
            for labels, value in self.traffic.series()
            if all(_matches(matcher, labels) for matcher in (name, *selector.matchers))
        ]


def _matches(matcher: Matcher, labels: Json) -> bool:
    found, wanted = labels.get(matcher.label, ""), json.loads(matcher.value)
    equal = bool(re.fullmatch(wanted, found)) if "~" in matcher.operator else found == wanted
    return equal is (matcher.operator[0] == "=")


def _samples(value: Callable[[float], float], start: float, end: float, began: float) -> list[tuple[float, str]]:
    first = max(began, start)
    # Whole milliseconds, as Prometheus has them: an edge that falls on a sample must not depend on how that is rounded.
    times = (round(SCRAPE * tick, 3) for tick in range(int(first / SCRAPE), int(end / SCRAPE) + 2))
    return [(moment, str(int(value(moment)))) for moment in times if first < moment <= end]


class _Handler(BaseHTTPRequestHandler):
    server: Counters

    def do_GET(self) -> None:
        self._answer(urlsplit(self.path).query)

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])).decode())

    def _answer(self, form: str) -> None:
        self.server.asked += 1
        with contextlib.suppress(OSError):
            self.server.fault(self.server.answer(urlsplit(self.path).path, parse_qs(form)))(self)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        """Say nothing."""
