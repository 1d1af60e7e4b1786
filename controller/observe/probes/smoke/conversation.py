"""Requests to one pod in the protocol of its server, until a deadline."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from controller.api.verify import GoldenCase
from controller.observe.probes.client import PodClient
from controller.observe.probes.protocol import ModelDescription, ServerProtocol
from controller.observe.probes.target import Answer, Exchange, ProbeError, Target
from controller.plan.verify.findings import JsonValue

LONGEST_REQUEST: Final = 30.0
"""Seconds for one answer; what is slower is no answer."""


class UnansweredError(ProbeError):
    """Nothing came, or it broke off: other requests to the pod need not be tried."""


@dataclass(frozen=True)
class Reply:
    """What a model answered to a golden request; kept as bytes, because JSON in memory is many times as large."""

    answer: Answer
    protocol: ServerProtocol
    problems: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """Seconds until the answer was complete."""
        return self.answer.seconds

    @property
    def output(self) -> JsonValue:
        """What the model answered, without the protocol's envelope."""
        return self.protocol.output(self.answer)

    def body(self, case: GoldenCase) -> JsonValue:
        """Return the whole answer, where an expectation of the case has a path into it; otherwise None."""
        return self.answer.json() if any(each.path for each in case.expect) else None


class Conversation:
    """Requests to one pod over one connection. ``answered`` counts those that a model answered with status 2xx."""

    def __init__(
        self, target: Target, protocol: ServerProtocol, *, deadline: float, monotonic: Callable[[], float]
    ) -> None:
        self.target = target
        self.protocol = protocol
        self.answered = 0
        self._deadline = deadline
        self._monotonic = monotonic
        self._client = PodClient(target, deadline=deadline, monotonic=monotonic)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def ask(self, exchange: Exchange, *, timeout: float = LONGEST_REQUEST) -> Answer:
        """Return the answer, whatever its status.

        Raises:
            UnansweredError: with a sentence that names the pod.
        """
        left = self._deadline - self._monotonic()
        if left <= 0:
            msg = f"the deadline of the smoke test passed before {exchange.method} {exchange.path} could be sent"
            raise UnansweredError(msg)
        try:
            return self._client.send(exchange, timeout=min(timeout, left))
        except ProbeError as error:
            raise UnansweredError(str(error)) from None

    def infer(self, case: GoldenCase, description: ModelDescription | None) -> Reply:
        """Send a golden request.

        Raises:
            ProbeError: no answer, an error, or an answer that cannot be read.
        """
        answer = self.ask(self.protocol.infer(case.request, case.path))
        if 200 <= answer.status < 300:
            self.answered += 1
        self.protocol.output(answer)
        return Reply(answer, self.protocol, self.protocol.problems(answer, description, request=case.request))

    def description(self) -> ModelDescription | None:
        """Return what the server says of its model; None where the protocol or this server does not tell.

        Raises:
            ProbeError: an answer that the protocol does not allow, or none.
        """
        exchange = self.protocol.metadata()
        return None if exchange is None else self.protocol.describe(self.ask(exchange))
