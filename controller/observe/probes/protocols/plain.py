"""JSON over HTTP with a path of the user's: no description, no envelope."""

from dataclasses import dataclass

from controller.observe.probes.protocol import Model, ModelDescription
from controller.observe.probes.protocols.envelope import MALFORMED, accepted_text, get, post
from controller.observe.probes.target import Answer, Exchange, ProbeError
from controller.plan.verify.findings import JsonValue


@dataclass(frozen=True)
class Plain:
    """A server of which only the path of requests is known."""

    model: Model

    def ready(self) -> Exchange:
        """Return a request for ``readyPath``; without one, for the path of requests."""
        return get(self.model.ready_path or self.model.path or "/")

    def is_ready(self, answer: Answer) -> bool:
        """Whether ``readyPath`` answers 2xx; without one, any answer but 5xx (a path that takes POST refuses GET)."""
        return 200 <= answer.status < (300 if self.model.ready_path else 500)

    def metadata(self) -> Exchange | None:
        """Return None: there is no description."""
        return None

    def describe(self, _: Answer) -> ModelDescription | None:
        """Return None: there is no description."""
        return None

    def infer(self, body: str, path: str | None = None) -> Exchange:
        """Return a request to the path.

        Raises:
            ProbeError: there is none.
        """
        found = path or self.model.path
        if not found:
            msg = "protocol Plain does not know where requests go; set verify.smoke.path, as /predict"
            raise ProbeError(msg)
        return post(found, body)

    def output(self, answer: Answer) -> JsonValue:
        """Return the whole answer; text where the server calls it plain text."""
        return accepted_text(answer)

    def invalid(self) -> str:
        """Return a body that is no JSON."""
        return MALFORMED

    def problems(self, _: Answer, __: ModelDescription | None, *, request: str) -> tuple[str, ...]:  # noqa: ARG002
        """Return none: nothing is promised."""
        return ()
