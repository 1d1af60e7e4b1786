"""JSON schemas as expectations: nothing is fetched, and every check ends."""

import json
import math
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from controller.plan.verify.findings import JsonValue
from controller.plan.verify.golden.mismatch import ExpectationError
from controller.plan.verify.golden.schema import obeying


def words(schema: Any, value: JsonValue) -> str:
    return str(obeying(schema)(value, "answer") or "")


def refusal(schema: Any) -> str:
    with pytest.raises(ExpectationError) as caught:
        obeying(schema)
    return str(caught.value)


@pytest.mark.parametrize(
    "draft", ["http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2020-12/schema"]
)
def test_the_place_and_the_rule_are_named(draft: str) -> None:
    schema = {"$schema": draft, "properties": {"p": {"items": {"type": "number", "maximum": 1}}}, "required": ["p"]}
    assert words(schema, {"p": [0.5, 1]}) == ""
    assert words(schema, {"p": [0.5, 1.5]}) == "answer.p[1] is 1.5, expected by the schema maximum: 1"
    assert words(schema, {"p": ["x"]}) == 'answer.p[0] is "x", expected by the schema type: "number"'
    assert words(schema, {}) == 'answer is {}, expected by the schema required: ["p"]'


def test_nan_obeys_no_schema() -> None:
    assert words({"items": {"type": "number"}}, [1, math.nan]) == "answer[1] is NaN, expected a number that JSON has"


def test_references_within_the_schema_are_followed() -> None:
    schema = {"$defs": {"score": {"maximum": 1}}, "items": {"$ref": "#/$defs/score"}}
    assert words(schema, [0.5]) == ""
    assert words(schema, [2]).startswith("answer[0] is 2")
    assert "the schema has no /$defs/none" in words({"$ref": "#/$defs/none"}, 1)


def test_a_schema_of_a_tree_describes_trees() -> None:
    schema = {"type": "object", "properties": {"left": {"$ref": "#"}, "value": {"type": "number"}}}
    assert words(schema, {"left": {"left": {"value": 1}}}) == ""
    assert words(schema, {"left": {"left": {"value": "x"}}}).startswith("answer.left.left.value is")


def test_nothing_is_fetched() -> None:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = json.dumps({"type": "number"}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        base = f"http://127.0.0.1:{server.server_port}"
        try:
            assert "nothing is fetched" in refusal({"items": {"$ref": f"{base}/schema.json"}})
            assert "nothing is fetched" in refusal({"$dynamicRef": f"{base}/schema.json#a"})
            assert words({"$id": f"{base}/", "$ref": "#/$defs/x", "$defs": {"x": {"$id": "y.json"}}}, 1) == ""
            assert words({"$schema": f"{base}/meta.json", "type": "number"}, 1) == ""
        finally:
            server.shutdown()
            thread.join()
    assert asked == []


@pytest.mark.parametrize(
    ("schema", "sentence"),
    [
        ([1], 'jsonSchema must be an object such as {"type": "array"}; found [1]'),
        ({"type": "nummber"}, "jsonSchema is no schema: at $.type: 'nummber' is not valid"),
        ({"pattern": "(?=a)"}, "is none of RE2's"),
        ({"patternProperties": {"^a": {}}}, "patternProperties, which is not supported"),
    ],
)
def test_schemas_that_are_refused(schema: Any, sentence: str) -> None:
    assert sentence in refusal(schema)


def doubling(levels: int) -> dict[str, Any]:
    """Return a schema of a few lines that asks 2**levels questions."""
    parts: dict[str, Any] = {
        f"d{at}": {"allOf": [{"$ref": f"#/$defs/d{at + 1}"}, {"$ref": f"#/$defs/d{at + 1}"}]} for at in range(levels)
    }
    return {"$ref": "#/$defs/d0", "$defs": {**parts, f"d{levels}": {"type": "number"}}}


@pytest.mark.parametrize(
    ("schema", "value", "sentence"),
    [
        ({"$ref": "#"}, 1, "the schema refers to itself without end"),
        (doubling(40), 1, "the schema asks more than 50,000 questions of it"),
        ({"items": {"type": "number"}}, [1] * 60_000, "the schema asks more than 50,000 questions of it"),
        ({"uniqueItems": True}, [{}, 1] * 200, "uniqueItems compares at most 300 entries, and there are 400"),
        ({"multipleOf": 0.1}, 10**400, "a number is too large"),
    ],
)
def test_checks_that_would_not_end_are_ended(schema: Any, value: JsonValue, sentence: str) -> None:
    assert words(schema, value).startswith(f"answer is not checked to its end: {sentence}")


def test_a_doubling_schema_of_a_few_levels_is_checked() -> None:
    assert words(doubling(8), 1) == ""
    assert words(doubling(8), "x").startswith('answer is "x"')


def test_patterns_take_no_longer_than_their_text() -> None:
    assert words({"pattern": "^(a+)+$"}, "a" * 100_000 + "b").startswith("answer is")
    assert words({"pattern": "b$"}, "a" * 100_000 + "b") == ""
