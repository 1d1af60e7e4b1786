"""Whom a probe speaks to, what it sends and what it gets."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.plan.verify.findings import JsonValue
from controller.plan.verify.nesting import DEEPEST, deeper_than


class ProbeError(Exception):
    """A pod did not answer, or not in a way that can be read; the message is a sentence for status."""


@dataclass(frozen=True)
class Target:
    """A pod's own address; ``name`` is the pod's, for messages."""

    name: str
    uid: str
    address: str
    port: int


@dataclass(frozen=True)
class Exchange:
    """A request to be sent to a target."""

    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """A complete answer; ``seconds`` from the first byte sent to the last one received."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float

    def json(self) -> JsonValue:
        """Return the body as JSON; NaN and Infinity are read, because servers write them.

        Raises:
            ProbeError: when the body is no JSON, or nested too deeply to be read.
        """
        try:
            value: JsonValue = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            start = self.body[:80].decode(errors="replace")
            msg = f"HTTP {self.status} with a body that is no JSON ({error}): {start!r}"
            raise ProbeError(msg) from None
        if deeper_than(value, DEEPEST):
            msg = f"HTTP {self.status} with JSON of more than {DEEPEST} levels; an answer is a few lists deep"
            raise ProbeError(msg)
        return value
