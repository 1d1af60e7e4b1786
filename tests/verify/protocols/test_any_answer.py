"""Whatever a server answers, a protocol reads it or says why not: nothing else ever leaves it."""

import contextlib
import json
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.api.verify import Protocol
from controller.observe.probes.protocol import Model
from controller.observe.probes.protocols import protocol_for, said
from controller.observe.probes.target import Answer, ProbeError
from controller.plan.verify.findings import JsonValue
from tests.verify.protocols.specified.open_ai import vllm_models
from tests.verify.protocols.specified.open_inference import OpenInferenceServer
from tests.verify.protocols.specified.row_servers import BENTO_SCHEMA, TF_METADATA, TF_STATUS

Found = TypeVar("Found")

TENSOR = {"name": "sum", "datatype": "FP64", "shape": [2, 1], "data": [3.0, 7.0]}
CHOICE = {
    "index": 0,
    "message": {"content": None, "tool_calls": [{"function": {"name": "f"}}]},
    "finish_reason": "stop",
}
PIECE = {"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}
DESCRIPTIONS: list[Any] = [OpenInferenceServer().metadata, TF_METADATA, BENTO_SCHEMA, vllm_models("adder")]
GOOD: list[Any] = [
    {"model_name": "adder", "id": "1", "outputs": [TENSOR]},
    {"predictions": [1, 2]},
    {"model_version_status": TF_STATUS},
    {"model": "adder", "choices": [CHOICE], "usage": {"completion_tokens": 1}},
    {"model": "adder", "choices": [PIECE]},
    {"detail": [{"msg": "field required"}]},
    {"error": {"message": "no"}},
    *DESCRIPTIONS,
]
ODD: list[Any] = [
    *(None, True, -1, 1.5, 10**400, float("nan"), float("inf"), "", "x" * 300, "\ud800", [], {}, [[]], [{}], [None]),
    {"name": 1},
    {"": {"": []}},
]


@st.composite
def broken(draw: st.DrawFn, documents: list[JsonValue]) -> JsonValue:
    """Return a good document of which one part, anywhere, is replaced by something odd."""
    return _replaced(draw, draw(st.sampled_from(documents)))


def _replaced(draw: st.DrawFn, value: JsonValue) -> JsonValue:
    if not isinstance(value, dict | list) or not value or draw(st.integers(0, 4)) == 0:
        odd: JsonValue = draw(st.sampled_from(ODD))
        return odd
    if isinstance(value, list):
        place = draw(st.integers(0, len(value) - 1))
        return [*value[:place], _replaced(draw, value[place]), *value[place + 1 :]]
    name = draw(st.sampled_from(sorted(value)))
    return {**value, name: _replaced(draw, value[name])}


def answers(documents: list[JsonValue]) -> st.SearchStrategy[Answer]:
    """Return answers with broken documents, as JSON or as a stream, or with no text at all."""
    text = broken(documents).map(lambda value: json.dumps(value).encode())
    stream = text.map(lambda event: b"data: " + event + b"\n\ndata: " + event + b"\n\ndata: [DONE]\n")
    kinds = st.sampled_from(["application/json", "text/event-stream", "text/plain"])
    return st.builds(
        lambda status, kind, body: Answer(status, {"content-type": kind}, body, 0.1),
        st.sampled_from([200] * 10 + [201, 204, 400, 404, 405, 500, 501, 503]),
        kinds,
        text | stream | st.binary(max_size=20),
    )


@pytest.mark.parametrize("kind", Protocol)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    answer=answers(GOOD),
    described=answers(DESCRIPTIONS),
    request=broken([{"id": "1", "instances": [1, 2], "outputs": [{"name": "sum"}], "model": "adder"}]).map(json.dumps),
)
def test_nothing_but_a_probe_error_is_raised(kind: Protocol, answer: Answer, described: Answer, request: str) -> None:
    protocol = protocol_for(kind, Model("adder", path="/add"))
    assert protocol.is_ready(answer) in (True, False)
    assert "\n" not in said(answer)
    assert protocol.infer(request).body == request.encode()
    description = read(lambda: protocol.describe(described))
    read(lambda: json.dumps(protocol.output(answer)))
    problems = read(lambda: protocol.problems(answer, description, request=request))
    assert all(isinstance(each, str) for each in problems or ())
    if description is not None:
        assert all(isinstance(text, str) for pair in description.fields.items() for text in pair)


def read(what: Callable[[], Found]) -> Found | None:
    with contextlib.suppress(ProbeError):
        return what()
    return None
