"""Servers with OpenAI's interface: vLLM, TGI, SGLang, NIM, KServe's Hugging Face runtime, and others."""

import json
from dataclasses import dataclass
from typing import Final

from controller.observe.probes.protocol import Model, ModelDescription
from controller.observe.probes.protocols.envelope import (
    accepted,
    elements,
    flattened,
    get,
    member,
    members,
    post,
    said,
)
from controller.observe.probes.protocols.request import request_of
from controller.observe.probes.target import Answer, Exchange, ProbeError
from controller.plan.verify.findings import JsonValue

_CHAT: Final = "/v1/chat/completions"
_TEXT: Final = "/v1/completions"
_VOLATILE: Final = frozenset({"created", "permission"})
"""Made anew for each answer, so that they identify nothing."""
_FINISHED: Final = frozenset({"stop", "length", "tool_calls", "eos_token", "stop_sequence"})
"""``eos_token`` and ``stop_sequence`` are TGI's words for ``stop``."""


@dataclass(frozen=True)
class OpenAi:
    """A server with OpenAI's interface, under any prefix: that of ``model.path`` holds for all requests."""

    model: Model

    @property
    def _prefix(self) -> str:
        for ending in (_CHAT, _TEXT):
            if self.model.path and self.model.path.endswith(ending):
                return self.model.path.removesuffix(ending)
        return ""

    def ready(self) -> Exchange:
        """Return the request for the models served, unless the server has a path of its own, as ``/health``."""
        return get(self.model.ready_path or f"{self._prefix}/v1/models")

    def is_ready(self, answer: Answer) -> bool:
        """Whether the status is 200; whether it is the right model is seen in its description."""
        return answer.status == 200

    def metadata(self) -> Exchange | None:
        """Return the request for the models served."""
        return get(f"{self._prefix}/v1/models")

    def describe(self, answer: Answer) -> ModelDescription | None:
        """Read the model's entry: ``id``, ``root``, ``parent``, ``max_model_len`` of vLLM; None where there is no list.

        Raises:
            ProbeError: the server serves other models.
        """
        if answer.status in (404, 405, 501):
            return None
        document = members(accepted(answer), of="the list of models")
        models = [members(each, of="a model") for each in elements(member(document, "data"), of="data")]
        for each in models:
            if each.get("id") == self.model.name:
                return ModelDescription(
                    fields=flattened({name: value for name, value in each.items() if name not in _VOLATILE})
                )
        served = ", ".join(str(each.get("id"))[:80] for each in models[:5]) or "none"
        msg = f"expected the model {self.model.name!r} among those served, found: {served}"
        raise ProbeError(msg)

    def infer(self, body: str, path: str | None = None) -> Exchange:
        """Return a request for a chat, or for a completion where the body has a prompt and no messages."""
        asked = request_of(body)
        default = _TEXT if "prompt" in asked and "messages" not in asked else _CHAT
        return post(path or self.model.path or default, body)

    def output(self, answer: Answer) -> JsonValue:
        """Return the text of the only choice, of several a list; of calls their names and arguments."""
        texts: list[JsonValue] = [_content(each) for each in _choices(answer)]
        return texts[0] if len(texts) == 1 else texts

    def invalid(self) -> str:
        """Return messages that are none."""
        return json.dumps({"model": self.model.name, "messages": "no list of messages"})

    def problems(self, answer: Answer, _: ModelDescription | None, *, request: str) -> tuple[str, ...]:
        """Return what is wrong with model, choices and usage; usage may be left out, as streams do."""
        document = _document(answer)
        wanted, problems = request_of(request).get("model", self.model.name), []
        if document.get("model") != wanted:
            problems.append(f"model is {document.get('model')!r}, expected the requested {wanted!r}")
        for index, choice in enumerate(_choices(answer)):
            if not _content(choice):
                problems.append(f"choice {index} has no content")
            if choice.get("finish_reason") not in _FINISHED:
                reason = choice.get("finish_reason")
                problems.append(f"choice {index} has finish_reason {reason!r}, expected stop, length or tool_calls")
        usage = document.get("usage")
        if isinstance(usage, dict) and usage.get("completion_tokens") in (0, None):
            problems.append("usage.completion_tokens is missing or 0")
        return tuple(problems)


def _document(answer: Answer) -> dict[str, JsonValue]:
    if answer.status == 200 and answer.headers.get("content-type", "").startswith("text/event-stream"):
        return _joined(answer)
    return members(accepted(answer), of="an answer")


def _choices(answer: Answer) -> list[dict[str, JsonValue]]:
    """Return the choices.

    Raises:
        ProbeError: an error, or none.
    """
    choices = [
        members(each, of="a choice") for each in elements(member(_document(answer), "choices"), of="the choices")
    ]
    if not choices:
        msg = "expected at least one choice, found none"
        raise ProbeError(msg)
    return choices


def _content(choice: dict[str, JsonValue]) -> JsonValue:
    """Return a choice's text, or its tool calls without their ids, which differ each time."""
    if "text" in choice:
        return choice["text"]
    message = members(choice.get("message"), of="a choice's message")
    calls = message.get("tool_calls")
    if message.get("content") or not isinstance(calls, list):
        return message.get("content")
    return [each.get("function") for each in calls if isinstance(each, dict)]


def _joined(answer: Answer) -> dict[str, JsonValue]:
    """Put a stream of server-sent events together as the answer that it would have been without ``stream``.

    Raises:
        ProbeError: it does not end with ``[DONE]``, or holds something else than pieces of choices.
    """
    lines = [line for line in answer.body.decode(errors="replace").splitlines() if line.startswith("data:")]
    events = [line.removeprefix("data:").strip() for line in lines]
    if not events or events[-1] != "[DONE]":
        msg = f"expected a stream that ends with [DONE], found {said(answer)}"
        raise ProbeError(msg)
    joined: dict[str, JsonValue] = {}
    choices: dict[str, dict[str, JsonValue]] = {}
    for event in events[:-1]:
        piece = members(Answer(answer.status, {}, event.encode(), answer.seconds).json(), of="an event")
        joined |= {name: value for name, value in piece.items() if value is not None}
        for each in elements(piece.get("choices") or [], of="choices"):
            _append(choices, members(each, of="a choice"))
    return joined | {"choices": [*choices.values()]}


def _append(choices: dict[str, dict[str, JsonValue]], piece: dict[str, JsonValue]) -> None:
    delta = piece.get("delta")
    content = delta.get("content") if isinstance(delta, dict) else None
    choice = choices.setdefault(str(piece.get("index", 0)), {"text": ""})
    choice["text"] = f"{choice['text']}{piece.get('text') or ''}{content or ''}"
    if piece.get("finish_reason"):
        choice["finish_reason"] = piece["finish_reason"]
