"""The Open Inference Protocol (v2) over REST: KServe, MLServer, Triton, OpenVINO Model Server, TorchServe, Seldon.

Paths carry no version: KServe's Python server refuses them with 501, and users' requests go to the default one, too.
"""

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from controller.observe.probes.protocol import Model, ModelDescription, Tensor
from controller.observe.probes.protocols.envelope import accepted, elements, flattened, get, member, members, post
from controller.observe.probes.protocols.request import request_of
from controller.observe.probes.protocols.tensors import flat, read_signature, tensor_problems
from controller.observe.probes.target import Answer, Exchange, ProbeError
from controller.plan.verify.findings import JsonValue, shortened

_MOST_TENSORS: Final = 256
_SHOWN: Final = 200


@dataclass(frozen=True)
class OpenInference:
    """A server of the Open Inference Protocol."""

    model: Model
    _path: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Make the model's path."""
        object.__setattr__(self, "_path", f"/v2/models/{quote(self.model.name, safe='')}")

    def ready(self) -> Exchange:
        """Return the request for the model's readiness; the server's own may come before its models'."""
        return get(f"{self._path}/ready")

    def is_ready(self, answer: Answer) -> bool:
        """Whether the status is 200 and no body denies it: Triton and MLServer send none, KServe ``{"ready": …}``."""
        if answer.status != 200:
            return False
        try:
            found = answer.json()
        except ProbeError:
            return True
        return not isinstance(found, dict) or str(found.get("ready", True)).lower() != "false"

    def metadata(self) -> Exchange | None:
        """Return the request for the model's metadata."""
        return get(self._path)

    def describe(self, answer: Answer) -> ModelDescription | None:
        """Read name, versions, platform and signature; None where the server does not implement it (405, 501)."""
        if answer.status in (405, 501):
            return None
        document = members(accepted(answer), of="the model's metadata")
        fields = {name: value for name, value in document.items() if name not in ("inputs", "outputs")}
        return ModelDescription(
            fields=flattened(fields),
            inputs=_signature(document, "inputs"),
            outputs=_signature(document, "outputs"),
        )

    def infer(self, body: str, path: str | None = None) -> Exchange:
        """Return an inference request; one version of several is another path."""
        return post(path or self.model.path or f"{self._path}/infer", body)

    def output(self, answer: Answer) -> JsonValue:
        """Return the numbers of the only output, flat in row-major order; of several, by their names."""
        found = {str(each.get("name")): flat(each) for each in _outputs(answer)}
        return next(iter(found.values())) if len(found) == 1 else dict(found)

    def invalid(self) -> str:
        """Return inputs that are no tensors."""
        return '{"inputs": "no tensors"}'

    def problems(self, answer: Answer, description: ModelDescription | None, *, request: str) -> tuple[str, ...]:
        """Return what is wrong with model, id and outputs.

        A missing ``model_name`` is tolerated, since the specification's own example has none; a missing output only
        where the request did not choose it: MLServer describes all outputs and returns the first.
        """
        document, asked = members(accepted(answer), of="an answer"), request_of(request)
        outputs = _outputs(answer)
        problems = [*_echo_problems(document, asked, name=self.model.name)]
        names = [str(each.get("name")) for each in outputs]
        problems += [f"output {name!r} was asked for and is missing" for name in _chosen(asked) if name not in names]
        described = {each.name: each for each in description.outputs} if description else {}
        for name, output in zip(names, outputs, strict=True):
            if described and name not in described:
                known = shortened(", ".join(sorted(described)), _SHOWN)
                problems.append(f"output {name!r} is not among those described: {known}")
            problems += tensor_problems(output, described.get(name))
        return tuple(problems)


def _outputs(answer: Answer) -> list[dict[str, JsonValue]]:
    """Return the output tensors.

    Raises:
        ProbeError: an error, or an answer without any.
    """
    document = members(accepted(answer), of="an answer")
    outputs = elements(member(document, "outputs"), of="the answer's outputs")
    if not 0 < len(outputs) <= _MOST_TENSORS:
        msg = f"expected 1 to {_MOST_TENSORS} outputs, found {len(outputs)}"
        raise ProbeError(msg)
    return [members(each, of="an output") for each in outputs]


def _signature(document: dict[str, JsonValue], side: str) -> tuple[Tensor, ...]:
    """Read one side of the metadata; servers that do not know it leave it out, or null."""
    tensors = elements(document.get(side) or [], of=side)
    if len(tensors) > _MOST_TENSORS:
        msg = f"expected at most {_MOST_TENSORS} {side} in the model's metadata, found {len(tensors)}"
        raise ProbeError(msg)
    return tuple(read_signature(members(each, of=side)) for each in tensors)


def _echo_problems(document: dict[str, JsonValue], asked: dict[str, JsonValue], *, name: str) -> list[str]:
    problems = []
    if document.get("model_name") not in (None, name):
        problems.append(f"model_name is {document['model_name']!r}, expected {name!r}")
    if asked.get("id") and document.get("id") != asked["id"]:
        problems.append(f"id is {document.get('id')!r}, expected that of the request, {asked['id']!r}")
    return problems


def _chosen(asked: dict[str, JsonValue]) -> list[str]:
    chosen = asked.get("outputs")
    return [str(each.get("name")) for each in chosen if isinstance(each, dict)] if isinstance(chosen, list) else []
