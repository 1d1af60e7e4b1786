"""What the demo's model server reads and writes, in both of its protocols, with an answer that no model had to give."""

import json

import pytest

from controller.api.verify import Protocol
from controller.observe.probes.protocol import Model
from controller.observe.probes.target import ProbeError
from examples.demo.classifier import BadInputError, Prediction
from examples.demo.protocols import (
    model_metadata,
    read_open_inference,
    read_plain,
    write_open_inference,
    write_plain,
)
from tests.verify.protocols.course import course
from tests.verify.protocols.loopback import Reply, Request, reply

ROWS = [[0] * 64]
NAMES = {"model": "digits", "version": "v1-abc"}


def demo(request: Request) -> Reply:
    """Route as the demo does, and answer 7."""
    found = [Prediction(label=7, confidence=0.75)]
    try:
        match request.method, request.path:
            case "GET", "/v2/models/digits/ready":
                return reply({"ready": True})
            case "GET", "/v2/models/digits":
                return reply(model_metadata(**NAMES))
            case "POST", "/v2/models/digits/infer":
                question = read_open_inference(request.body)
                identifier = question.id or "r-1"
                return reply(write_open_inference(found, identifier=identifier, outputs=question.outputs, **NAMES))
            case "POST", "/predict":
                return reply(write_plain(found, identifier=read_plain(request.body).id or "r-1", **NAMES))
    except BadInputError as error:
        return reply({"error": str(error)}, 400)
    return reply({"error": f"no such resource: {request.method} {request.path}"}, 404)


@pytest.mark.parametrize(
    ("chosen", "output"),
    [({}, {"label": [7], "confidence": [0.75]}), ({"outputs": [{"name": "label"}]}, [7])],
    ids=["all", "label"],
)
def test_open_inference(chosen: dict[str, object], output: object) -> None:
    body = {"id": "7", "inputs": [{"name": "pixels", "shape": [1, 64], "datatype": "FP32", "data": ROWS}]}
    found = course(Protocol.OPEN_INFERENCE, Model("digits"), demo, body=json.dumps(body | chosen))
    assert found.ready
    assert found.description is not None
    assert found.description.fields == {"name": "digits", "versions[0]": "v1-abc", "platform": "sklearn"}
    assert (found.output, found.problems, found.refused.status) == (output, (), 400)


def test_plain() -> None:
    model = Model("digits", path="/predict")
    found = course(Protocol.PLAIN, model, demo, body=json.dumps({"instances": ROWS}))
    assert isinstance(found.output, dict)
    assert (found.output["predictions"], found.output["version"], found.refused.status) == ([7], "v1-abc", 400)


def test_what_the_demo_refuses_is_told_in_its_words() -> None:
    with pytest.raises(ProbeError, match="HTTP 400: 'expected exactly one input, pixels'"):
        course(Protocol.OPEN_INFERENCE, Model("digits"), demo, body='{"inputs": []}')
