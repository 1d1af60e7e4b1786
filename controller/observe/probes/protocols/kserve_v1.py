"""KServe's V1 protocol: ``instances`` in, ``predictions`` out."""

from dataclasses import dataclass, field
from urllib.parse import quote

from controller.observe.probes.protocol import Model, ModelDescription
from controller.observe.probes.protocols.envelope import accepted, flattened, get, member, members, post
from controller.observe.probes.target import Answer, Exchange, ProbeError
from controller.plan.verify.findings import JsonValue


@dataclass(frozen=True)
class KServeV1:
    """A KServe V1 server; it tells a model's name, never a version."""

    model: Model
    _path: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Make the model's path."""
        object.__setattr__(self, "_path", f"/v1/models/{quote(self.model.name, safe='')}")

    def ready(self) -> Exchange:
        """Return the request for the model's status."""
        return get(self._path)

    def is_ready(self, answer: Answer) -> bool:
        """Whether the status is 200 and the body does not deny it; some releases write ``ready`` as a string."""
        if answer.status != 200:
            return False
        try:
            found = answer.json()
        except ProbeError:
            return False
        return isinstance(found, dict) and str(found.get("ready", True)).lower() == "true"

    def metadata(self) -> Exchange | None:
        """Return the same request: there is no other description."""
        return get(self._path)

    def describe(self, answer: Answer) -> ModelDescription | None:
        """Read ``name`` and ``ready``."""
        return ModelDescription(fields=flattened(members(accepted(answer), of="the model's status")))

    def infer(self, body: str, path: str | None = None) -> Exchange:
        """Return a prediction request; ``:explain`` is another path."""
        return post(path or self.model.path or f"{self._path}:predict", body)

    def output(self, answer: Answer) -> JsonValue:
        """Return the predictions."""
        return member(members(accepted(answer), of="an answer"), "predictions", "explanations")

    def invalid(self) -> str:
        """Return ``instances`` that are no list: anything else is handed to the model's own code unseen."""
        return '{"instances": "no list"}'

    def problems(self, _: Answer, __: ModelDescription | None, *, request: str) -> tuple[str, ...]:  # noqa: ARG002
        """Return none: predictions may have any form, and need not be as many as instances."""
        return ()
