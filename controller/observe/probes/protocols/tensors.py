"""Tensors of the Open Inference Protocol: their numbers, and whether these are what name, type and shape promise."""

import json
import math
from collections.abc import Iterator
from typing import Final, TypeGuard

from controller.observe.probes.protocol import Tensor
from controller.observe.probes.target import ProbeError
from controller.plan.verify.findings import JsonValue, shortened

_INTEGERS: Final = frozenset(f"{kind}{bits}" for kind in ("INT", "UINT") for bits in (8, 16, 32, 64))
_FLOATS: Final = frozenset({"FP16", "FP32", "FP64", "BF16"})
_DATATYPES: Final = _INTEGERS | _FLOATS | {"BOOL", "BYTES"}
_SHOWN: Final = 60
_HIGHEST_RANK: Final = 32
_LARGEST_SIZE: Final = 2**63 - 1


def read_signature(found: dict[str, JsonValue]) -> Tensor:
    """Read a tensor of a model's metadata.

    Raises:
        ProbeError: it has no name, or a shape that is none.
    """
    name = found.get("name")
    if not isinstance(name, str):
        msg = f"expected a tensor with a name in the model's metadata, found {shortened(repr(found), _SHOWN)}"
        raise ProbeError(msg)
    return Tensor(name, str(found.get("datatype", "any")), _shape(found))


def flat(tensor: dict[str, JsonValue]) -> list[JsonValue]:
    """Return a tensor's elements in row-major order; servers may send them nested or flat.

    Raises:
        ProbeError: they are not in the answer, as with binary and shared-memory outputs.
    """
    data = tensor.get("data")
    if not isinstance(data, list):
        msg = f"output {tensor.get('name')!r} has no data list; ask for JSON, not for binary or shared-memory output"
        raise ProbeError(msg)
    return list(_leaves(data))


def tensor_problems(tensor: dict[str, JsonValue], described: Tensor | None) -> list[str]:
    """Return what contradicts the protocol and the description in one output."""
    output, datatype = f"output {tensor.get('name')!r}", tensor.get("datatype")
    values, shape = flat(tensor), _shape(tensor)
    problems = []
    if datatype not in _DATATYPES:
        problems.append(f"{output} has the unknown datatype {datatype!r}")
    elif odd := [each for each in values if not _fits(each, str(datatype))]:
        problems.append(f"{output} holds {shortened(json.dumps(odd[0]), _SHOWN)}, expected {datatype}")
    if math.prod(shape) != len(values):
        problems.append(f"{output} holds {len(values)} elements, expected {math.prod(shape)} of shape {list(shape)}")
    if described:
        problems += _differences(output, Tensor(described.name, str(datatype), shape), described)
    return problems


def _differences(output: str, found: Tensor, described: Tensor) -> list[str]:
    problems = []
    if described.datatype not in ("any", found.datatype):
        problems.append(f"{output} has datatype {found.datatype}, described as {described.datatype}")
    if described.shape and not _same_shape(found.shape, described.shape):
        problems.append(f"{output} has shape {list(found.shape)}, described as {list(described.shape)}")
    return problems


def _same_shape(found: tuple[int, ...], described: tuple[int, ...]) -> bool:
    """Compare shapes; MLServer sends the vector [-1] as [n, 1]."""
    rank = max(len(found), len(described))
    padded = (shape + (1,) * (rank - len(shape)) for shape in (found, described))
    return all(expected in (size, -1) for size, expected in zip(*padded, strict=True))


def _shape(tensor: dict[str, JsonValue]) -> tuple[int, ...]:
    """Return a shape.

    Raises:
        ProbeError: it is none; sizes and rank have bounds, so that their product cannot be made to explode.
    """
    found = tensor.get("shape")
    sizes = [size for size in found if _is_size(size)] if isinstance(found, list) else []
    if not isinstance(found, list) or len(sizes) < len(found) or len(found) > _HIGHEST_RANK:
        shown = shortened(repr(found), _SHOWN)
        msg = f"expected the shape of {tensor.get('name')!r} as a list of up to {_HIGHEST_RANK} sizes, found {shown}"
        raise ProbeError(msg)
    return tuple(sizes)


def _is_size(value: JsonValue) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and -1 <= value <= _LARGEST_SIZE


def _leaves(values: list[JsonValue]) -> Iterator[JsonValue]:
    for each in values:
        if isinstance(each, list):
            yield from _leaves(each)
        else:
            yield each


def _fits(value: JsonValue, datatype: str) -> bool:
    """Whether a JSON value can be an element of that type; numbers must be finite, as in all JSON."""
    if datatype in ("BOOL", "BYTES"):
        return isinstance(value, bool if datatype == "BOOL" else str)
    if isinstance(value, bool | int):
        return not isinstance(value, bool)
    return isinstance(value, float) and math.isfinite(value) and (datatype in _FLOATS or value.is_integer())
