"""OpenAI's interface against a server written from its reference, with what vLLM and TGI do differently."""

import json
from typing import Any

import pytest

from controller.api.verify import Protocol
from controller.observe.probes.protocol import Model
from controller.observe.probes.protocols import protocol_for
from controller.observe.probes.target import ProbeError
from tests.verify.protocols.course import Course, answered, course
from tests.verify.protocols.specified.open_ai import OpenAiServer, vllm_models

MODEL = Model("llm")
PROTOCOL = protocol_for(Protocol.OPEN_AI, MODEL)


def body(**more: Any) -> str:
    return json.dumps({"model": "llm", "temperature": 0, "messages": [{"role": "user", "content": "a b c"}]} | more)


def ask(server: OpenAiServer, text: str, model: Model = MODEL) -> Course:
    return course(Protocol.OPEN_AI, model, server, body=text)


@pytest.mark.parametrize(
    ("text", "output"),
    [
        (body(), "a b c"),
        (body(n=2), ["a b c", "a b c"]),
        (body(stream=True), "a b c"),
        (json.dumps({"model": "llm", "prompt": "once"}), "once"),
    ],
    ids=["chat", "two-choices", "stream", "completion"],
)
def test_passes(text: str, output: object) -> None:
    found = ask(OpenAiServer(), text)
    assert found.ready
    assert found.output == output
    assert found.problems == ()
    assert found.refused.status == 400


def test_the_description_holds_what_identifies_and_nothing_that_changes() -> None:
    first, second = (ask(OpenAiServer(), body()).description for _ in range(2))
    assert first == second
    assert first is not None
    assert first.fields == {
        "id": "llm",
        "object": "model",
        "owned_by": "vllm",
        "root": "org/llm-7b",
        "max_model_len": "4096",
    }


def test_a_prefix_of_the_path_holds_for_every_request() -> None:
    model = Model("llm", path="/openai/v1/chat/completions")
    assert ask(OpenAiServer(prefix="/openai"), body(), model).output == "a b c"
    assert protocol_for(Protocol.OPEN_AI, model).ready().path == "/openai/v1/models"
    own = Model("llm", path="/openai/v1/completions", ready_path="/health")
    assert protocol_for(Protocol.OPEN_AI, own).ready().path == "/health"


def test_another_model_is_told_with_those_that_are_served() -> None:
    with pytest.raises(ProbeError, match="expected the model 'other' among those served, found: base, llm"):
        ask(OpenAiServer(), body(), Model("other"))
    assert PROTOCOL.describe(answered("", status=404)) is None


@pytest.mark.parametrize(
    ("answer", "choice", "problem"),
    [
        ({"model": "base"}, {}, "model is 'base', expected the requested 'llm'"),
        ({}, {"finish_reason": None}, "choice 0 has finish_reason None, expected stop, length or tool_calls"),
        ({}, {"message": {"content": ""}}, "choice 0 has no content"),
        ({}, {"message": {"content": None}}, "choice 0 has no content"),
        ({"usage": {"completion_tokens": 0}}, {}, "usage.completion_tokens is missing or 0"),
    ],
)
def test_what_contradicts_the_protocol_is_told(answer: dict[str, Any], choice: dict[str, Any], problem: str) -> None:
    assert ask(OpenAiServer(answer=answer, choice=choice), body()).problems == (problem,)


@pytest.mark.parametrize("reason", ["stop", "length", "eos_token", "stop_sequence"])
def test_reasons_to_finish(reason: str) -> None:
    assert ask(OpenAiServer(choice={"finish_reason": reason}), body()).problems == ()


def test_calls_come_without_their_ids() -> None:
    call = {"id": "call-1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    choice = {"finish_reason": "tool_calls", "message": {"content": None, "tool_calls": [call]}}
    found = ask(OpenAiServer(choice=choice), body())
    assert found.output == [{"name": "look_up", "arguments": "{}"}]
    assert found.problems == ()


def test_a_stream_that_breaks_off_is_refused() -> None:
    with pytest.raises(ProbeError, match=r"expected a stream that ends with \[DONE\]"):
        ask(OpenAiServer(done=False), body(stream=True))


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ('{"model": "llm", "choices": []}', "expected at least one choice, found none"),
        ('{"model": "llm"}', "expected an answer with choices"),
        ('{"choices": [{"index": 0}]}', "expected a choice's message as a JSON object, found None"),
    ],
)
def test_what_cannot_be_read_is_told(document: str, words: str) -> None:
    with pytest.raises(ProbeError, match=words):
        PROTOCOL.output(answered(document))


def test_vllm_s_list_really_changes() -> None:
    assert vllm_models() != vllm_models()
