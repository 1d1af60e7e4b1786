"""The small interface that each protocol implements: what to send, and how to read what comes back. Pure."""

from dataclasses import dataclass, field
from typing import Protocol

from controller.observe.probes.target import Answer, Exchange
from controller.plan.verify.findings import JsonValue


@dataclass(frozen=True)
class Tensor:
    """One input or output of a model's signature; -1 in a shape is a dimension of any length."""

    name: str
    datatype: str
    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class ModelDescription:
    """What a server says of its model.

    ``fields`` are the server's own, flattened (``version``, ``versions[0]``, ``model_sha``): what
    ``identity.endpoint`` looks at. An empty signature means that the protocol does not tell.
    """

    fields: dict[str, str] = field(default_factory=dict)
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class Model:
    """Which model is asked for; ``path`` is that of requests, where the protocol leaves it to the user."""

    name: str
    version: str | None = None
    path: str | None = None
    ready_path: str | None = None


class ServerProtocol(Protocol):
    """How one kind of server is spoken to. Implementations hold a ``Model`` and nothing else.

    Every method that reads an ``Answer`` raises ``ProbeError`` with a sentence when it cannot be read.
    """

    def ready(self) -> Exchange:
        """Return the request that asks whether the model is loaded."""

    def is_ready(self, answer: Answer) -> bool:
        """Whether the answer says so; False is asked again until the deadline."""

    def metadata(self) -> Exchange | None:
        """Return the request for the model's description; None where the protocol has none (Unsupported)."""

    def describe(self, answer: Answer) -> ModelDescription | None:
        """Read the description; None where this server does not offer it (a 404 or 501 that the protocol allows)."""

    def infer(self, body: str, path: str | None = None) -> Exchange:
        """Return an inference request with the body as the user wrote it; ``path`` overrides the model's."""

    def output(self, answer: Answer) -> JsonValue:
        """Return what the model answered, without the envelope; ``ProbeError`` for an error or a broken envelope."""

    def invalid(self) -> str:
        """Return a body that a sane server refuses with 4xx."""

    def problems(self, answer: Answer, description: ModelDescription | None, *, request: str) -> tuple[str, ...]:
        """Return what contradicts the protocol in an answer of status 200: names, datatypes, shapes, echoed ids.

        ``request`` is the body that was sent.
        """
