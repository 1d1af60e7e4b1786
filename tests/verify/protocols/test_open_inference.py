"""Open Inference against servers written from its specification, with the deviations of KServe, MLServer and Triton."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest

from controller.api.verify import Protocol
from controller.observe.probes.protocol import Model, Tensor
from controller.observe.probes.protocols import protocol_for
from controller.observe.probes.target import ProbeError
from tests.verify.protocols.course import Course, answered, is_ready
from tests.verify.protocols.course import course as course_of
from tests.verify.protocols.loopback import Application, Reply, reply
from tests.verify.protocols.specified.open_inference import (
    OpenInferenceServer,
    kserve,
    mlserver,
    nesting,
    triton,
)

MODEL = Model("adder")
PROTOCOL = protocol_for(Protocol.OPEN_INFERENCE, MODEL)
ROWS = {"name": "rows", "shape": [3, 2], "datatype": "FP32", "data": [1, 2, 3, 4, 5, 6]}
BODY = json.dumps({"id": "42", "inputs": [ROWS]})


def course(application: Application, body: str = BODY) -> Course:
    return course_of(Protocol.OPEN_INFERENCE, MODEL, application, body=body)


@pytest.mark.parametrize("server", [OpenInferenceServer, kserve, mlserver, triton, nesting])
def test_each_kind_of_server_passes(server: Callable[[], OpenInferenceServer]) -> None:
    found = course(server())
    assert found.ready
    assert found.output == [3, 7, 11]
    assert found.problems == ()
    assert 400 <= found.refused.status < 500


def test_the_description_has_the_server_s_own_fields_and_the_signature() -> None:
    description = course(OpenInferenceServer()).description
    assert description is not None
    assert description.fields == {"name": "adder", "versions[0]": "3", "platform": "sums"}
    assert description.inputs == (Tensor("rows", "FP32", (-1, 2)),)
    assert description.outputs == (Tensor("sum", "FP64", (-1,)),)


def test_a_signature_that_is_left_out_is_empty() -> None:
    description = course(kserve()).description
    assert description is not None
    assert description.fields == {"name": "adder", "platform": ""}
    assert (description.inputs, description.outputs) == ((), ())
    description = PROTOCOL.describe(answered('{"name": "adder", "inputs": null}'))
    assert description is not None
    assert description.inputs == ()


@pytest.mark.parametrize("status", [405, 501])
def test_a_server_without_metadata_is_described_by_nothing(status: int) -> None:
    assert PROTOCOL.describe(answered('{"error": "not implemented"}', status=status)) is None


@pytest.mark.parametrize(
    "ready",
    [
        reply({"error": "not ready"}, 400),
        reply({"error": "Model adder is not ready"}, 503),
        reply({"error": "unknown model"}, 404),
        reply({"name": "adder", "ready": False}),
        reply({"name": "adder", "ready": "False"}),
    ],
    ids=["triton-400", "kserve-503", "unknown", "false", "text"],
)
def test_a_model_that_is_not_ready(ready: Reply) -> None:
    assert not is_ready(Protocol.OPEN_INFERENCE, MODEL, OpenInferenceServer(ready=ready))


def test_a_model_that_the_server_does_not_know_is_told_in_its_words() -> None:
    with pytest.raises(ProbeError, match=r"expected HTTP 200, found HTTP 404: 'unknown: GET /v2/models/other'"):
        course_of(Protocol.OPEN_INFERENCE, Model("other"), OpenInferenceServer(), body=BODY)


def test_names_are_quoted_in_paths() -> None:
    protocol = protocol_for(Protocol.OPEN_INFERENCE, Model("a/../b?c"))
    assert protocol.ready().path == "/v2/models/a%2F..%2Fb%3Fc/ready"


def test_a_version_changes_no_path_but_a_path_of_one_s_own_does() -> None:
    protocol = protocol_for(
        Protocol.OPEN_INFERENCE, Model("adder", version="3", path="/v2/models/adder/versions/3/infer")
    )
    assert protocol.ready().path == "/v2/models/adder/ready"
    assert protocol.infer("{}").path == "/v2/models/adder/versions/3/infer"
    assert protocol.infer("{}", "/x").path == "/x"


BROKEN: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "model": ({"model_name": "other"}, {}, "model_name is 'other', expected 'adder'"),
    "id": ({"id": "41"}, {}, "id is '41', expected that of the request, '42'"),
    "name": ({}, {"name": "total"}, "output 'total' is not among those described: sum"),
    "few": ({}, {"data": [3.0, 7.0]}, "output 'sum' holds 2 elements, expected 3 of shape [3]"),
    "datatype": ({}, {"datatype": "FP32"}, "output 'sum' has datatype FP32, described as FP64"),
    "unknown": ({}, {"datatype": "FLOAT"}, "output 'sum' has the unknown datatype 'FLOAT'"),
    "rank": ({}, {"shape": [1, 3]}, "output 'sum' has shape [1, 3], described as [-1]"),
    "nan": ({}, {"data": [3.0, float("nan"), 11.0]}, "output 'sum' holds NaN, expected FP64"),
    "infinity": ({}, {"data": [3.0, float("inf"), 11.0]}, "output 'sum' holds Infinity, expected FP64"),
    "null": ({}, {"data": [3.0, None, 11.0]}, "output 'sum' holds null, expected FP64"),
    "text": ({}, {"data": [3.0, "7", 11.0]}, "output 'sum' holds \"7\", expected FP64"),
    "bool": ({}, {"data": [3.0, True, 11.0]}, "output 'sum' holds true, expected FP64"),
}


@pytest.mark.parametrize(("answer", "output", "problem"), BROKEN.values(), ids=BROKEN)
def test_what_contradicts_the_protocol_is_told(answer: dict[str, Any], output: dict[str, Any], problem: str) -> None:
    server = OpenInferenceServer()
    server = dataclasses.replace(server, answer=server.answer | answer, output=output)
    assert problem in course(server).problems


def test_an_output_that_was_chosen_must_be_there() -> None:
    body = json.dumps({"inputs": [ROWS], "outputs": [{"name": "mean"}]})
    assert course(OpenInferenceServer(), body).problems == ("output 'mean' was asked for and is missing",)


def test_an_output_that_was_not_chosen_may_be_left_out() -> None:
    server = OpenInferenceServer()
    server.metadata["outputs"].append({"name": "mean", "datatype": "FP64", "shape": [-1]})
    assert course(server).problems == ()


@pytest.mark.parametrize(
    ("datatype", "value", "fits"),
    [
        ("INT64", "7", True),
        ("INT64", "7.0", True),
        ("INT64", "7.5", False),
        ("UINT8", "1" * 400, True),
        ("FP16", "1" * 400, True),
        ("FP32", "1e999", False),
        ("BOOL", "true", True),
        ("BOOL", "1", False),
        ("BYTES", '"cat"', True),
        ("BYTES", "1", False),
    ],
)
def test_elements_must_be_of_their_datatype(datatype: str, value: str, fits: bool) -> None:
    answer = answered(f'{{"outputs": [{{"name": "a", "datatype": "{datatype}", "shape": [1], "data": [{value}]}}]}}')
    assert (PROTOCOL.problems(answer, None, request="{}") == ()) is fits


def test_several_outputs_come_by_name() -> None:
    outputs = [{"name": name, "datatype": "INT8", "shape": [1, 2], "data": [[1, 2]]} for name in ("a", "b")]
    assert PROTOCOL.output(answered(json.dumps({"outputs": outputs}))) == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("<html>It works</html>", "no JSON"),
        ("[]", "expected an answer as a JSON object"),
        ('{"error": "out of memory"}', "expected an answer with outputs, found only: error"),
        ('{"outputs": []}', "expected 1 to 256 outputs, found 0"),
        (json.dumps({"outputs": [{}] * 257}), "expected 1 to 256 outputs, found 257"),
        ('{"outputs": [3]}', "expected an output as a JSON object, found 3"),
        ('{"outputs": [{"name": "a", "parameters": {"binary_data_size": 8}}]}', "output 'a' has no data list"),
    ],
)
def test_what_cannot_be_read_is_told(document: str, words: str) -> None:
    with pytest.raises(ProbeError, match=words):
        PROTOCOL.output(answered(document))


@pytest.mark.parametrize("shape", [None, "3", [3.0], [True], ["3"], [2**70], [-2], [1] * 33])
def test_shapes_are_lists_of_sizes(shape: object) -> None:
    tensor = {"name": "sum", "datatype": "FP64", "shape": shape, "data": [1]}
    with pytest.raises(ProbeError, match="expected the shape of 'sum' as a list of up to 32 sizes"):
        PROTOCOL.problems(answered(json.dumps({"outputs": [tensor]})), None, request="{}")
    with pytest.raises(ProbeError, match="expected the shape of 'sum'"):
        PROTOCOL.describe(answered(json.dumps({"outputs": [tensor]})))
