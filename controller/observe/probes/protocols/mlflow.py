"""MLflow's scoring server (``mlflow models serve``, and images made by ``mlflow models build-docker``)."""

from dataclasses import dataclass
from typing import Final

from controller.observe.probes.protocol import Model, ModelDescription
from controller.observe.probes.protocols.envelope import accepted, get, post, said
from controller.observe.probes.target import Answer, Exchange, ProbeError
from controller.plan.verify.findings import JsonValue

_LONGEST_VERSION: Final = 64


@dataclass(frozen=True)
class MlflowScoring:
    """An MLflow scoring server: one model, which it never names."""

    model: Model

    def ready(self) -> Exchange:
        """Return the health request, which every release answers."""
        return get("/ping")

    def is_ready(self, answer: Answer) -> bool:
        """Whether the status is 200; it is 404 while no model is loaded."""
        return answer.status == 200

    def metadata(self) -> Exchange | None:
        """Return the request for the version of the library, all that the server tells."""
        return get("/version")

    def describe(self, answer: Answer) -> ModelDescription | None:
        """Read the library's version, as ``mlflow_version``: it says nothing of the model. None of old releases."""
        if answer.status == 404:
            return None
        version = answer.body.decode(errors="replace").strip()
        if answer.status != 200 or not 0 < len(version) <= _LONGEST_VERSION or not version[0].isdigit():
            msg = f"expected the version of MLflow, found {said(answer)}"
            raise ProbeError(msg)
        return ModelDescription(fields={"mlflow_version": version})

    def infer(self, body: str, path: str | None = None) -> Exchange:
        """Return a scoring request."""
        return post(path or self.model.path or "/invocations", body)

    def output(self, answer: Answer) -> JsonValue:
        """Return the predictions; the whole answer of language models, and of MLflow 1, which have no envelope.

        An exception in the model's own code comes as 400 as well; the server's words tell which it was.
        """
        value = accepted(answer)
        return value["predictions"] if isinstance(value, dict) and "predictions" in value else value

    def invalid(self) -> str:
        """Return an object without any of the fields of which there must be exactly one."""
        return '{"no_such_field": []}'

    def problems(self, _: Answer, __: ModelDescription | None, *, request: str) -> tuple[str, ...]:  # noqa: ARG002
        """Return none: an answer carries nothing but the predictions."""
        return ()
