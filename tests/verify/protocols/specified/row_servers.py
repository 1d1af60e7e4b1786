"""Servers of rows: KServe V1, TensorFlow Serving, MLflow, BentoML and plain JSON, each written from its documentation.

KServe V1: `docs/predict-api/v1`; TensorFlow Serving: `g3doc/api_rest.md` and the protocol buffers it refers to; MLflow:
"Local inference server specification"; BentoML: "HTTP endpoints" and the schema page of a 1.4 service.
"""

from collections.abc import Callable
from typing import Any

from tests.verify.protocols.loopback import Reply, Request, reply

TF_STATUS = [
    {"version": "4", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}},
    {"version": "3", "state": "END", "status": {"error_code": "OK", "error_message": ""}},
]


def sums(rows: object) -> list[float] | None:
    """Add up each row; None where these are no rows of numbers."""
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        return None
    try:
        return [sum(row) for row in rows]
    except TypeError:
        return None


def _rows(request: Request, name: str) -> list[float] | None:
    assert request.headers["content-type"] == "application/json"
    return sums(request.document.get(name)) if isinstance(request.document, dict) else None


def kserve_v1(*, ready: object = True, status: int = 200) -> Callable[[Request], Reply]:
    """KServe V1, with ``ready`` as the release writes it."""

    def answer(request: Request) -> Reply:
        match request.method, request.path:
            case "GET", "/v1/models/adder":
                return reply({"name": "adder", "ready": ready}, status)
            case "POST", "/v1/models/adder:predict":
                found = _rows(request, "instances")
                if found is None:
                    return reply({"error": 'Expected "instances" to be a list'}, 400)
                return reply({"predictions": found})
            case _:
                return reply({"error": "Model with name other does not exist."}, 404)

    return answer


def tensorflow(status: object = None, *, metadata: bool = True, short: bool = False) -> Callable[[Request], Reply]:
    """TensorFlow Serving; ``short`` loses the last result, without ``metadata`` there is no such page."""

    def answer(request: Request) -> Reply:
        match request.method, request.path:
            case "GET", "/v1/models/adder":
                return reply({"model_version_status": TF_STATUS if status is None else status})
            case "GET", "/v1/models/adder/metadata" if metadata:
                return reply(TF_METADATA)
            case "POST", "/v1/models/adder:predict":
                return _predict(request, lost=1 if short else 0)
            case "POST", "/v1/models/adder:regress":
                return reply({"results": [3.5, 4.0]})
            case _:
                return reply({"error": "Servable not found for request: Latest(other)"}, 404)

    return answer


def _predict(request: Request, *, lost: int) -> Reply:
    """Answer rows with predictions and columns with outputs; exactly one of them must be there."""
    given = {"predictions": _rows(request, "instances"), "outputs": _rows(request, "inputs")}
    found = {name: values[: len(values) - lost] for name, values in given.items() if values is not None}
    return reply(found) if len(found) == 1 else reply({"error": "Missing 'inputs' or 'instances' key"}, 400)


def _tensor(dtype: str, *sizes: str) -> dict[str, Any]:
    dims = [{"size": size, "name": ""} for size in sizes]
    return {"dtype": dtype, "tensor_shape": {"dim": dims, "unknown_rank": False}, "name": "x:0"}


TF_METADATA = {
    "model_spec": {"name": "adder", "signature_name": "", "version": "4"},
    "metadata": {
        "signature_def": {
            "signature_def": {
                "serving_default": {
                    "inputs": {"rows": _tensor("DT_FLOAT", "-1", "2")},
                    "outputs": {"sum": _tensor("DT_FLOAT", "-1")},
                    "method_name": "tensorflow/serving/predict",
                },
                "other": {"inputs": {}, "outputs": {}, "method_name": ""},
            }
        }
    },
}


def mlflow(*, version: Reply | None = None, enveloped: bool = True) -> Callable[[Request], Reply]:
    """MLflow's scoring server; language models and MLflow 1 answer without an envelope."""

    def answer(request: Request) -> Reply:
        match request.method, request.path:
            case "GET", "/ping" | "/health":
                return Reply(200, b"\n")
            case "GET", "/version":
                return version or Reply(200, b"3.5.0", "text/plain")
            case "POST", "/invocations":
                found = _rows(request, "inputs")
                if found is None:
                    return reply({"error_code": "BAD_REQUEST", "message": "The input must be a JSON dictionary"}, 400)
                return reply({"predictions": found} if enveloped else found)
            case _:
                return Reply(404, b"<!doctype html><title>404 Not Found</title>", "text/html")

    return answer


BENTO_SCHEMA = {
    "name": "adder_service",
    "type": "service",
    "routes": [
        {
            "name": "add",
            "route": "/add",
            "batchable": False,
            "input": {"properties": {"rows": {"type": "tensor", "dtype": "float32"}}, "required": ["rows"]},
            "output": {"type": "array", "items": {"type": "number"}},
        },
        {"name": "name", "route": "/name", "input": {"properties": {}}, "output": {"type": "string"}},
    ],
}


def bento_ml(*, schema: bool = True) -> Callable[[Request], Reply]:
    """A BentoML service with a route that adds and one that answers text; releases before 1.2 have no schema."""

    def answer(request: Request) -> Reply:
        match request.method, request.path:
            case "GET", "/readyz":
                return Reply(200, kind="text/plain")
            case "GET", "/schema.json" if schema:
                return reply(BENTO_SCHEMA)
            case "POST", "/add":
                found = _rows(request, "rows")
                return reply({"error": "rows: field required"}, 400) if found is None else reply(found)
            case "POST", "/name":
                return Reply(200, b"adder", "text/plain; charset=utf-8")
            case _:
                return Reply(404, b"Not Found", "text/plain")

    return answer


def plain(request: Request) -> Reply:
    """A server that answers rows with sums under `/predict`, and says under `/loaded` whether it is ready."""
    match request.method, request.path:
        case "GET", "/loaded":
            return Reply(204)
        case "GET", "/predict":
            return reply({"error": "method not allowed"}, 405)
        case "POST", "/predict":
            found = sums(request.document)
            return reply({"error": "expected rows"}, 422) if found is None else reply({"sums": found}, 201)
        case _:
            return Reply(404)
