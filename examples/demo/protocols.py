"""The two ways to ask for predictions: the Open Inference Protocol (v2, REST) and plain JSON.

Open Inference: `{"id", "inputs": [{"name": "pixels", "shape": [n, 64], "datatype": "FP32", "data": [...]}]}`,
answered by the outputs `label` and `confidence`. Plain: `{"id", "instances": [[...], ...]}`, answered by
`predictions` and `confidences`. `id` may be left out of both.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from examples.demo.classifier import PIXELS, BadInputError, Prediction

LONGEST_ID = 128
"""Most characters of a request's id."""

_INPUT = {"name": "pixels", "datatype": "FP32", "shape": [-1, PIXELS]}
_OUTPUTS = (
    {"name": "label", "datatype": "INT64", "shape": [-1]},
    {"name": "confidence", "datatype": "FP64", "shape": [-1]},
)
_NUMBERS = frozenset(
    {"FP16", "FP32", "FP64"} | {f"{kind}{bits}" for kind in ("INT", "UINT") for bits in (8, 16, 32, 64)}
)


@dataclass(frozen=True, slots=True)
class Question:
    """A request for predictions, not yet known to be one that the model can take.

    Attributes:
        id: The sender's name for the request; None: it gave none.
        rows: The samples.
        outputs: Names of the outputs asked for; empty: all.
    """

    id: str | None
    rows: object
    outputs: frozenset[str] = frozenset()


def read_document(body: bytes) -> dict[str, object]:
    """The JSON object in `body`.

    Raises:
        BadInputError: There is none.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"expected JSON: {error}") from error
    if not isinstance(document, dict):
        raise BadInputError(f"expected a JSON object, found {type(document).__name__}")
    return document


def read_id(document: dict[str, object]) -> str | None:
    """The sender's id for the request, if it gave one.

    Raises:
        BadInputError: It is not a string of 1 to `LONGEST_ID` characters.
    """
    identifier = document.get("id")
    if identifier is None:
        return None
    if not isinstance(identifier, str) or not 0 < len(identifier) <= LONGEST_ID:
        raise BadInputError(f"expected id to be a string of 1 to {LONGEST_ID} characters")
    return identifier


def read_plain(body: bytes) -> Question:
    """The question in a plain JSON body.

    Raises:
        BadInputError: It has no `instances`.
    """
    document = read_document(body)
    if "instances" not in document:
        raise BadInputError('expected {"instances": [[...], ...]}')
    return Question(read_id(document), document["instances"])


def read_open_inference(body: bytes) -> Question:
    """The question in an Open Inference body.

    Raises:
        BadInputError: It does not follow the protocol or this model's input.
    """
    document = read_document(body)
    inputs = document.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise BadInputError("expected exactly one input, pixels")
    tensor = inputs[0]
    if tensor.get("name") != _INPUT["name"] or tensor.get("datatype") not in _NUMBERS:
        raise BadInputError("expected the input pixels with a numeric datatype")
    return Question(read_id(document), _rows(tensor.get("shape"), tensor.get("data")), _wanted(document))


def _rows(shape: object, data: object) -> object:
    if not (isinstance(shape, list) and len(shape) == 2 and all(type(size) is int and size > 0 for size in shape)):
        raise BadInputError(f"expected shape [n, {PIXELS}]")
    if not isinstance(data, list) or not data:
        raise BadInputError("expected data to be a list of numbers")
    rows = data
    if not isinstance(data[0], list):
        rows = [data[start : start + shape[1]] for start in range(0, len(data), shape[1])]
    found = sum(len(row) for row in rows if isinstance(row, list))
    if len(rows) != shape[0] or found != prod(shape):
        raise BadInputError(f"expected {prod(shape)} numbers for shape {shape}, found {found}")
    return rows


def _wanted(document: dict[str, object]) -> frozenset[str]:
    outputs = document.get("outputs", [])
    if not isinstance(outputs, list) or not all(isinstance(output, dict) for output in outputs):
        raise BadInputError("expected outputs to be a list of objects")
    names = frozenset(str(output.get("name")) for output in outputs)
    if unknown := names - {str(output["name"]) for output in _OUTPUTS}:
        raise BadInputError(f"expected the outputs label or confidence, found {', '.join(sorted(unknown))}")
    return names


def write_plain(predictions: Sequence[Prediction], *, identifier: str, model: str, version: str) -> dict[str, object]:
    """The answer to a plain question."""
    return {
        "id": identifier,
        "model": model,
        "version": version,
        "predictions": [prediction.label for prediction in predictions],
        "confidences": [prediction.confidence for prediction in predictions],
    }


def write_open_inference(
    predictions: Sequence[Prediction],
    *,
    identifier: str,
    model: str,
    version: str,
    outputs: frozenset[str] = frozenset(),
) -> dict[str, object]:
    """The answer to an Open Inference question, with the outputs that it asked for."""
    values = {
        "label": [prediction.label for prediction in predictions],
        "confidence": [prediction.confidence for prediction in predictions],
    }
    tensors = [
        {**output, "shape": [len(predictions)], "data": values[str(output["name"])]}
        for output in _OUTPUTS
        if not outputs or output["name"] in outputs
    ]
    return {"model_name": model, "model_version": version, "id": identifier, "outputs": tensors}


def model_metadata(*, model: str, version: str) -> dict[str, object]:
    """What the model takes and gives."""
    return {
        "name": model,
        "versions": [version],
        "platform": "sklearn",
        "inputs": [_INPUT],
        "outputs": list(_OUTPUTS),
    }
