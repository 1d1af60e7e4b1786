"""TensorFlow Serving's REST interface; OpenVINO Model Server speaks it too."""

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from controller.observe.probes.protocol import Model, ModelDescription, Tensor
from controller.observe.probes.protocols.envelope import (
    accepted,
    elements,
    flattened,
    get,
    member,
    members,
    post,
)
from controller.observe.probes.protocols.request import request_of
from controller.observe.probes.target import Answer, Exchange, ProbeError
from controller.plan.verify.findings import JsonValue

_DEFAULT_SIGNATURE: Final = "serving_default"
_ROWS: Final = ("instances", "examples")
_RESULTS: Final = ("predictions", "outputs", "results", "result")


@dataclass(frozen=True)
class TensorFlowServing:
    """A TensorFlow Serving server."""

    model: Model
    _path: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Make the model's path, without a version: users' requests go to the newest one, too."""
        object.__setattr__(self, "_path", f"/v1/models/{quote(self.model.name, safe='')}")

    def ready(self) -> Exchange:
        """Return the request for the status of all versions."""
        return get(self._path)

    def is_ready(self, answer: Answer) -> bool:
        """Whether the newest version serves; while it loads, or when it failed to, an older one still answers."""
        if answer.status != 200:
            return False
        try:
            versions = member(members(answer.json(), of="the model's status"), "model_version_status")
            wanted = [each for each in map(_version, elements(versions, of="versions")) if each[1:] != ("END", "OK")]
        except ProbeError:
            return False
        return bool(wanted) and max(wanted)[1:] == ("AVAILABLE", "OK")

    def metadata(self) -> Exchange | None:
        """Return the request for signatures."""
        return get(f"{self._path}/metadata")

    def describe(self, answer: Answer) -> ModelDescription | None:
        """Read name and version, and the default signature; None of servers without this page."""
        if answer.status in (404, 501):
            return None
        document = members(accepted(answer), of="the model's metadata")
        spec = members(member(document, "model_spec", "modelSpec"), of="model_spec")
        signature = _signature(document)
        return ModelDescription(
            fields=flattened(spec),
            inputs=_tensors(signature.get("inputs")),
            outputs=_tensors(signature.get("outputs")),
        )

    def infer(self, body: str, path: str | None = None) -> Exchange:
        """Return a prediction request; ``:classify``, ``:regress``, versions and labels are other paths."""
        return post(path or self.model.path or f"{self._path}:predict", body)

    def output(self, answer: Answer) -> JsonValue:
        """Return the predictions of rows, the outputs of columns, or the results of classify and regress.

        The documentation calls the last ones both ``result`` and ``results``.
        """
        return member(members(accepted(answer), of="an answer"), *_RESULTS)

    def invalid(self) -> str:
        """Return a body with neither instances nor inputs."""
        return '{"signature_name": "no-such-signature"}'

    def problems(self, answer: Answer, _: ModelDescription | None, *, request: str) -> tuple[str, ...]:
        """Return whether there are as many results as rows."""
        asked = next((value for name, value in request_of(request).items() if name in _ROWS), None)
        found = self.output(answer)
        if isinstance(asked, list) and isinstance(found, list) and len(asked) != len(found):
            return (f"{len(found)} results for {len(asked)} rows",)
        return ()


def _version(value: JsonValue) -> tuple[int, str, str]:
    """Return number, state and error code; those of OpenVINO may be left out."""
    found = members(value, of="a version")
    status = found.get("status")
    code = status.get("error_code", "OK") if isinstance(status, dict) else "OK"
    number = str(found.get("version", "0"))
    return _whole(number, default=0), str(found.get("state")), str(code)


def _whole(text: str, *, default: int) -> int:
    """Read a 64-bit number, which is a string in JSON from protocol buffers."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else default


def _signature(document: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the default signature, the only one's where there is no default, else nothing."""
    found: JsonValue = document.get("metadata")
    for _ in range(2):  # a map within a message, both of that name
        found = found.get("signature_def") if isinstance(found, dict) else None
    signatures = (
        {name: each for name, each in found.items() if isinstance(each, dict)} if isinstance(found, dict) else {}
    )
    only = next(iter(signatures.values())) if len(signatures) == 1 else {}
    return signatures.get(_DEFAULT_SIGNATURE, only)


def _tensors(value: JsonValue) -> tuple[Tensor, ...]:
    """Return tensors by name; JSON from protocol buffers has no order."""
    found = value.items() if isinstance(value, dict) else ()
    return tuple(
        Tensor(name, str(each.get("dtype", "any")), _shape(each.get("tensor_shape", each.get("tensorShape"))))
        for name, each in sorted(found)
        if isinstance(each, dict)
    )


def _shape(value: JsonValue) -> tuple[int, ...]:
    """Return a shape; sizes that are not known are -1."""
    sizes = value.get("dim", []) if isinstance(value, dict) else []
    texts = [str(each.get("size", "-1")) for each in sizes if isinstance(each, dict)] if isinstance(sizes, list) else []
    return tuple(_whole(text, default=-1) for text in texts)
