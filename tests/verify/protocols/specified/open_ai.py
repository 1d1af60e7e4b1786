"""A server written from OpenAI's API reference ("Chat", "Completions", "Models"), with vLLM's list of models."""

import itertools
import json
from dataclasses import dataclass, field
from typing import Any

from tests.verify.protocols.loopback import Reply, Request, reply

_NUMBERS = itertools.count()


def vllm_models(name: str = "llm") -> dict[str, Any]:
    """The list of models as vLLM writes it: with members that are new in every answer."""
    number = next(_NUMBERS)
    entry = {
        "id": name,
        "object": "model",
        "created": 1_700_000_000 + number,
        "owned_by": "vllm",
        "root": "org/llm-7b",
        "parent": None,
        "max_model_len": 4096,
        "permission": [{"id": f"modelperm-{number}", "created": number}],
    }
    return {"object": "list", "data": [{"id": "base", "root": "org/base"}, entry]}


@dataclass
class OpenAiServer:
    """Repeats what it is told, by words."""

    prefix: str = ""
    answer: dict[str, Any] = field(default_factory=dict)
    choice: dict[str, Any] = field(default_factory=dict)
    """What replaces members of the answer and of its choices, to break them."""
    done: bool = True
    """Whether a stream ends with ``[DONE]``."""

    def __call__(self, request: Request) -> Reply:
        path = request.path.removeprefix(self.prefix) if request.path.startswith(self.prefix) else ""
        match request.method, path:
            case "GET", "/v1/models":
                return reply(vllm_models())
            case "POST", "/v1/chat/completions":
                return self._chat(request.document)
            case "POST", "/v1/completions":
                return self._complete(request.document)
            case _:
                return reply({"detail": "Not Found"}, 404)

    def _chat(self, asked: Any) -> Reply:
        if not isinstance(asked.get("messages"), list):
            return reply({"error": {"message": "messages: expected a list", "type": "BadRequestError"}}, 400)
        text = asked["messages"][-1]["content"]
        if asked.get("stream"):
            return self._stream(asked["model"], text.split(" "))
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        return self._reply(asked, [choice] * asked.get("n", 1), object="chat.completion")

    def _complete(self, asked: Any) -> Reply:
        choice = {"index": 0, "text": asked["prompt"], "finish_reason": "length"}
        return self._reply(asked, [choice], object="text_completion")

    def _reply(self, asked: Any, choices: list[dict[str, Any]], **more: str) -> Reply:
        usage = {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}
        document: dict[str, Any] = {"id": "c-1", "created": 1, "model": asked["model"], "usage": usage, **more}
        return reply(document | {"choices": [each | self.choice for each in choices]} | self.answer)

    def _stream(self, model: str, words: list[str]) -> Reply:
        """Server-sent events: the role, the words, the end, the usage."""
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        deltas += [{"content": word if index == 0 else f" {word}"} for index, word in enumerate(words)]
        choices: list[list[dict[str, Any]]] = [[{"index": 0, "delta": each, "finish_reason": None}] for each in deltas]
        choices.append([{"index": 0, "delta": {}, "finish_reason": "stop"}])
        events: list[dict[str, Any]] = [{"model": model, "choices": each, "usage": None} for each in choices]
        events.append({"model": model, "choices": [], "usage": {"completion_tokens": len(words)}})
        lines = [f"data: {json.dumps(event)}\n\n" for event in events] + ["data: [DONE]\n\n"] * self.done
        return Reply(200, "".join(lines).encode(), "text/event-stream; charset=utf-8")
