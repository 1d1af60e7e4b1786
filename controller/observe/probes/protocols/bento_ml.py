"""BentoML services: an endpoint per method, a readiness page, and a schema of the whole service."""

from dataclasses import dataclass

from controller.observe.probes.protocol import Model, ModelDescription, Tensor
from controller.observe.probes.protocols.envelope import (
    MALFORMED,
    accepted,
    accepted_text,
    elements,
    flattened,
    get,
    members,
    post,
)
from controller.observe.probes.target import Answer, Exchange, ProbeError
from controller.plan.verify.findings import JsonValue


@dataclass(frozen=True)
class BentoMl:
    """A BentoML service; ``model.path`` is the route of the method that predicts."""

    model: Model

    def ready(self) -> Exchange:
        """Return a request for the readiness page, which services may move."""
        return get(self.model.ready_path or "/readyz")

    def is_ready(self, answer: Answer) -> bool:
        """Whether the status is 200; the body is empty."""
        return answer.status == 200

    def metadata(self) -> Exchange | None:
        """Return a request for the service's schema."""
        return get("/schema.json")

    def describe(self, answer: Answer) -> ModelDescription | None:
        """Read name, routes and the types of the one that predicts; None of releases without a schema."""
        if answer.status == 404:
            return None
        document = members(accepted(answer), of="the service's schema")
        routes = [each for each in elements(document.get("routes", []), of="routes") if isinstance(each, dict)]
        plain = {name: value for name, value in document.items() if name != "routes"}
        names: list[JsonValue] = [each.get("route") for each in routes]
        chosen: dict[str, JsonValue] = next((each for each in routes if each.get("route") == self.model.path), {})
        return ModelDescription(
            fields=flattened(plain | {"routes": names}),
            inputs=_properties(chosen.get("input")),
            outputs=_result(chosen.get("output")),
        )

    def infer(self, body: str, path: str | None = None) -> Exchange:
        """Return a request to the route.

        Raises:
            ProbeError: there is none.
        """
        found = path or self.model.path
        if not found:
            msg = "protocol BentoML does not know which route predicts; set verify.smoke.path, as /predict"
            raise ProbeError(msg)
        return post(found, body)

    def output(self, answer: Answer) -> JsonValue:
        """Return the whole answer; BentoML sends strings as plain text."""
        return accepted_text(answer)

    def invalid(self) -> str:
        """Return a body that is no JSON: a route whose arguments all have defaults takes any object."""
        return MALFORMED

    def problems(self, _: Answer, __: ModelDescription | None, *, request: str) -> tuple[str, ...]:  # noqa: ARG002
        """Return none: an answer carries nothing but the result."""
        return ()


def _properties(schema: JsonValue) -> tuple[Tensor, ...]:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict):
        return ()
    return tuple(Tensor(name, _type(each)) for name, each in properties.items())


def _result(schema: JsonValue) -> tuple[Tensor, ...]:
    return (Tensor("result", _type(schema)),) if isinstance(schema, dict) and schema else ()


def _type(schema: JsonValue) -> str:
    """Return the JSON type, with BentoML's own ``dtype`` and ``format`` where it tells them."""
    if not isinstance(schema, dict):
        return "any"
    words = [schema.get("type", "any"), schema.get("format"), schema.get("dtype")]
    return " ".join(str(word) for word in words if word is not None)
