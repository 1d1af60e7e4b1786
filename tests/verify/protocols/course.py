"""Everything that a protocol is asked for, in the order of the smoke test, over a real connection."""

import time
from dataclasses import dataclass

from controller.api.verify import Protocol
from controller.observe.probes.client import PodClient
from controller.observe.probes.protocol import Model, ModelDescription
from controller.observe.probes.protocols import protocol_for
from controller.observe.probes.target import Answer, Target
from controller.plan.verify.findings import JsonValue
from tests.verify.protocols.loopback import Application, serving


@dataclass(frozen=True)
class Course:
    ready: bool
    description: ModelDescription | None
    output: JsonValue
    problems: tuple[str, ...]
    refused: Answer
    """The answer to the protocol's invalid body."""


def course(kind: Protocol, model: Model, application: Application, *, body: str) -> Course:
    """Ask for all, and return what was found; ``ProbeError`` where the protocol raises it."""
    protocol = protocol_for(kind, model)
    with serving(application) as target, _client(target) as client:
        ready = protocol.is_ready(client.send(protocol.ready(), timeout=20))
        metadata = protocol.metadata()
        description = protocol.describe(client.send(metadata, timeout=20)) if metadata else None
        answer = client.send(protocol.infer(body), timeout=20)
        return Course(
            ready=ready,
            description=description,
            output=protocol.output(answer),
            problems=protocol.problems(answer, description, request=body),
            refused=client.send(protocol.infer(protocol.invalid()), timeout=20),
        )


def is_ready(kind: Protocol, model: Model, application: Application) -> bool:
    """Ask only whether the model is ready."""
    protocol = protocol_for(kind, model)
    with serving(application) as target, _client(target) as client:
        return protocol.is_ready(client.send(protocol.ready(), timeout=20))


def answered(document: bytes | str, *, status: int = 200, kind: str = "application/json") -> Answer:
    """Return an answer for what is read of it alone."""
    return Answer(status, {"content-type": kind}, document if isinstance(document, bytes) else document.encode(), 0.01)


def _client(target: Target) -> PodClient:
    return PodClient(target, deadline=time.monotonic() + 20)
