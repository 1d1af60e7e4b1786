"""How each real server is asked: its protocol, its golden requests, and what its smoke test is to find."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from controller.api.verify import Protocol, Smoke
from controller.observe.probes.protocol import Model
from controller.observe.probes.smoke import SmokeOrder
from controller.observe.probes.target import Target
from tests.verify.servers.environments import pinned
from tests.verify.servers.process import LOOPBACK, RunningServer

SETOSA, VERSICOLOR, VIRGINICA = [5.1, 3.5, 1.4, 0.2], [5.9, 2.8, 4.3, 1.3], [6.3, 3.3, 6.0, 2.5]
"""Flowers that every model of the tests takes for 0, 1 and 2."""

ALL = [SETOSA, VERSICOLOR, VIRGINICA]


@dataclass(frozen=True)
class Served:
    """A model behind a server.

    ``fixture`` is the server's; ``cases`` are golden requests, of which the first expects one 0; ``smoke`` is what else
    its smoke test asks; ``counter`` counts requests on its page of metrics.
    """

    fixture: str
    protocol: Protocol
    model: Model
    cases: tuple[dict[str, Any], ...]
    smoke: dict[str, Any] = field(default_factory=dict)
    counter: str | None = None

    def order(self, server: RunningServer, *, model: Model | None = None, **changed: Any) -> SmokeOrder:
        """Return a whole smoke test of the server; ``changed`` are other fields of `verify.smoke`, or None."""
        asked = {
            "cases": self.cases,
            "invalidInput": {},
            "determinism": {"rtol": "0.000000001"},
            "latency": {"max": "10s", "quantile": "0.9", "warmups": 2, "requests": 5},
            "deadline": "60s",
            **self._metrics(server),
            **self.smoke,
            **changed,
        }
        smoke = Smoke.model_validate({name: value for name, value in asked.items() if value is not None})
        return SmokeOrder(
            protocol=self.protocol,
            model=model or self.model,
            smoke=smoke,
            target=target(server),
            cases=smoke.cases or (),
        )

    def wrong_cases(self) -> tuple[dict[str, Any], ...]:
        """Return the golden requests with a first one that expects the wrong species."""
        right = self.cases[0]["expect"][0]
        first = {**self.cases[0], "expect": [{**right, "equals": "[1]"}]}
        return (first, *self.cases[1:])

    def _metrics(self, server: RunningServer) -> dict[str, Any]:
        if self.counter is None:
            return {}
        return {"metrics": {"port": server.metrics_port, "counter": self.counter}}


def target(server: RunningServer) -> Target:
    """Return the server as a pod."""
    return Target(name=server.name, uid=f"uid-{server.name}", address=LOOPBACK, port=server.port)


def _cases(one: object, three: object, *more: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """Return the golden requests: one flower, then three at once."""
    return (
        {"name": "setosa", "request": json.dumps(one), "expect": [{"equals": "[0]"}]},
        {"name": "all-three", "request": json.dumps(three), "expect": [{"equals": "[0, 1, 2]"}, {"finite": True}]},
        *more,
    )


def _tensors(rows: list[list[float]], **more: object) -> dict[str, Any]:
    flat = [number for row in rows for number in row]
    tensor = {"name": "measures", "shape": [len(rows), 4], "datatype": "FP64", "data": flat}
    return {"id": "golden-1", "inputs": [tensor], **more}


_SPECIES = {"path": "$.outputs[0].data", "equals": "[0]"}
_DISTANCES = {"path": "$.outputs[1].data", "approx": {"value": "[0.01998, 10.679272, 23.0642]", "atol": "0.000001"}}

SERVED = {
    "kserve-v2": Served(
        "kserve_server",
        Protocol.OPEN_INFERENCE,
        Model("iris"),
        (
            {"name": "setosa", "request": json.dumps(_tensors([SETOSA])), "expect": [_SPECIES, _DISTANCES]},
            {"name": "all-three", "request": json.dumps(_tensors(ALL)), "expect": [{"finite": True}]},
        ),
        smoke={"identity": {"endpoint": {"field": "name", "equals": "iris"}}},
        counter="request_predict_seconds_count",
    ),
    "kserve-v1": Served(
        "kserve_server",
        Protocol.KSERVE_V1,
        Model("iris"),
        _cases({"instances": [SETOSA]}, {"instances": ALL}),
        smoke={"identity": {"endpoint": {"field": "name", "equals": "iris"}}},
        counter="request_predict_seconds_count",
    ),
    "mlserver": Served(
        "mlserver_server",
        Protocol.OPEN_INFERENCE,
        Model("iris"),
        _cases(
            _tensors([SETOSA]),
            _tensors(ALL),
            {
                "name": "scores",
                "request": json.dumps(_tensors([VIRGINICA], outputs=[{"name": "predict_proba"}])),
                "expect": [{"argmaxEquals": 2}, {"path": "$.model_version", "equals": '"v7"'}],
            },
        ),
        smoke={"identity": {"endpoint": {"field": "versions[0]", "equals": "v7"}}},
        counter='model_infer_request_success_total{model="iris"}',
    ),
    "mlflow": Served(
        "mlflow_server",
        Protocol.MLFLOW,
        Model("iris"),
        _cases({"inputs": [SETOSA]}, {"inputs": ALL}),
        smoke={"identity": {"endpoint": {"field": "mlflow_version", "equals": pinned("mlflow", "mlflow-skinny")}}},
    ),
    "bentoml": Served(
        "bentoml_server",
        Protocol.BENTO_ML,
        Model("iris", path="/classify"),
        _cases({"measures": [SETOSA]}, {"measures": ALL}),
        smoke={"identity": {"endpoint": {"field": "name", "equals": "iris"}}, "path": "/classify"},
        counter='bentoml_service_request_total{endpoint="/classify"}',
    ),
}
"""By the name of the server, with its protocol where it has several."""
