"""A server written from the Open Inference Protocol's REST specification (`specification/protocol/inference_rest.md`).

The deviations come from the sources of KServe's Python server, MLServer and Triton.
"""

import math
from dataclasses import dataclass, field
from typing import Any

from tests.verify.protocols.loopback import Reply, Request, reply

SIGNATURE = {
    "inputs": [{"name": "rows", "datatype": "FP32", "shape": [-1, 2]}],
    "outputs": [{"name": "sum", "datatype": "FP64", "shape": [-1]}],
}


@dataclass
class OpenInferenceServer:
    """The specification by default."""

    ready: Reply = field(default_factory=lambda: reply({"name": "adder", "ready": True}))
    metadata: dict[str, Any] = field(
        default_factory=lambda: {"name": "adder", "versions": ["3"], "platform": "sums"} | SIGNATURE
    )
    nested: bool = False
    column: bool = False
    refusal: int = 400
    answer: dict[str, Any] = field(default_factory=lambda: {"model_name": "adder", "model_version": "3"})
    output: dict[str, Any] = field(default_factory=dict)
    """What replaces the output's own members, to break it."""

    def __call__(self, request: Request) -> Reply:
        model = "/v2/models/adder"
        match request.method, request.path:
            case "GET", path if path == f"{model}/ready":
                return self.ready
            case "GET", path if path == model:
                return reply(self.metadata)
            case "POST", path if path == f"{model}/infer":
                return self._infer(request)
            case _:
                return reply({"error": f"unknown: {request.method} {request.path}"}, 404)

    def _infer(self, request: Request) -> Reply:
        assert request.headers["content-type"] == "application/json"
        document = request.document
        inputs = document.get("inputs") if isinstance(document, dict) else None
        if not isinstance(document, dict) or not isinstance(inputs, list) or len(inputs) != 1:
            return reply({"error": "expected one input"}, self.refusal)
        (tensor,) = inputs
        rows, columns = tensor["shape"]
        data = tensor["data"]
        flat = [number for row in data for number in row] if isinstance(data[0], list) else data
        if tensor["name"] != "rows" or math.prod(tensor["shape"]) != len(flat):
            return reply({"error": "expected rows of the given shape"}, self.refusal)
        sums = [sum(flat[start : start + columns]) for start in range(0, len(flat), columns)]
        output = {"name": "sum", "datatype": "FP64", "shape": [rows, 1] if self.column else [rows], "data": sums}
        if self.nested:
            output |= {"shape": [rows, 1], "data": [[each] for each in sums]}
        echo = {"id": document["id"]} if "id" in document else {}
        return reply(echo | {"outputs": [output | self.output]} | self.answer)


def kserve() -> OpenInferenceServer:
    """KServe's Python server: no versions, an empty platform and, unless the user writes them, no tensors."""
    return OpenInferenceServer(
        metadata={"name": "adder", "platform": "", "inputs": [], "outputs": []},
        answer={"model_name": "adder", "model_version": None, "parameters": None},
    )


def mlserver() -> OpenInferenceServer:
    """MLServer: readiness without a body, and vectors as columns."""
    return OpenInferenceServer(ready=Reply(200), column=True, refusal=422)


def triton() -> OpenInferenceServer:
    """Triton: readiness without a body."""
    return OpenInferenceServer(ready=Reply(200, kind="text/plain"))


def nesting() -> OpenInferenceServer:
    """A server that nests data, which the specification allows."""
    return OpenInferenceServer(nested=True)
