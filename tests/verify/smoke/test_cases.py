"""Golden cases from a ConfigMap: as JSON, as YAML, and what is refused."""

import json
from typing import Any

import pytest
import yaml

from controller.api.verify import GoldenCase
from controller.plan.verify.golden import GoldenCasesError, case_problems, golden_cases

YAML = """
- name: cat
  request: {instances: [[1, 2]]}
  expect:
  - path: $.predictions[0]
    approx: {value: [0.1, 0.9], atol: "0.01"}
  - oneOf: [[0.1, 0.9], '"cat"']
  maxLatency: 500ms
- name: dog
  request: '{"instances": [[3, 4]]}'
  differential: {rtol: "0.001"}
"""


def case(name: str = "a", **fields: Any) -> dict[str, Any]:
    return {"name": name, "request": {"x": 1}, "expect": [{"finite": True}], **fields}


def refusal(**keys: Any) -> str:
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in keys.items()}
    with pytest.raises(GoldenCasesError) as caught:
        golden_cases(texts)
    return str(caught.value)


def test_yaml_and_json_say_the_same() -> None:
    from_yaml = golden_cases({"cases.yaml": YAML})
    assert golden_cases({"cases.json": json.dumps(yaml.safe_load(YAML))}) == from_yaml
    cat, dog = from_yaml
    assert json.loads(cat.request) == {"instances": [[1, 2]]}
    assert cat.expect[0].approx is not None
    assert json.loads(cat.expect[0].approx.value) == [0.1, 0.9]
    assert cat.expect[1].one_of == ("[0.1, 0.9]", '"cat"')
    assert dog.request == '{"instances": [[3, 4]]}'
    assert dog.differential is not None


def test_keys_are_read_in_their_order() -> None:
    found = golden_cases({"b": json.dumps([case("second")]), "a": json.dumps([case("first")])})
    assert [each.name for each in found] == ["first", "second"]


def test_the_most_that_is_read() -> None:
    assert len(golden_cases({"a": json.dumps([case(f"c{at}") for at in range(50)])})) == 50


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({}, "the golden ConfigMap holds 0 cases; between 1 and 50 are needed"),
        ({"a": []}, "the golden ConfigMap holds 0 cases"),
        ({"a": [case(f"c{at}") for at in range(10_000)]}, "holds 10,000 cases; between 1 and 50 are needed"),
        ({"a": [case(f"a{at}") for at in range(30)], "b": [case(f"b{at}") for at in range(21)]}, "holds 51 cases"),
        ({"a": "x" * (2**20 + 1)}, "holds 1,048,577 bytes; at most 1,048,576 are read"),
        ({"a": "x" * 600_000, "b": "y" * 600_000}, "holds 1,200,000 bytes"),
        ({"a": case()}, "key a of the golden ConfigMap must hold a list of cases; found dict"),
        ({"a": "- " + "{a: " * 5000 + "1" + "}" * 5000}, "case 0 is nested too deeply to be read"),
        ({"a": "[1, 2"}, "key a of the golden ConfigMap is neither JSON nor YAML"),
        ({"a": "- {a: *b}"}, "key a of the golden ConfigMap is neither JSON nor YAML: aliases (*name) are not read"),
        ({"a": "- !!python/object/apply:os.getcwd []"}, "could not determine a constructor"),
        ({"a": "[" * 100_000}, "key a of the golden ConfigMap is neither JSON nor YAML"),
        ({"a": [case(), case()]}, "golden case a is there 2 times; each needs a name of its own"),
        ({"a": [case()], "b": [case()]}, "golden case a is there 2 times"),
        ({"a": [5]}, "key a of the golden ConfigMap, case 0: case: "),
        ({"a": [case(expect=[])]}, "golden case a: case: Value error, each golden case must set expect, differential"),
        ({"a": [case(expects=[])]}, "golden case a: expects: Extra inputs are not permitted"),
        ({"a": [case("Cat")]}, "golden case Cat: name: Value error, must consist of small letters"),
        (
            {"a": [case(expect=[{"equals": "cat"}])]},
            "golden case a: expect.0.equals: Value error, must be JSON in quotes",
        ),
        ({"a": "- {name: a, request: 2026-01-01, expect: [{finite: true}]}"}, "golden case a holds what JSON has no"),
        ({"a": "- {name: a, request: [.nan], expect: [{finite: true}]}"}, "golden case a holds what JSON has no words"),
        ({"a": [case(expect=[{"regex": "("}])]}, "golden case a, expect[0]: expression '(' is none of RE2's"),
        ({"a": [case(expect=[{"finite": True, "path": "x"}])]}, "golden case a, expect[0]: path 'x' cannot be read"),
        ({"a": [case(expect=[{"jsonSchema": {"$ref": "http://127.0.0.1/x"}}])]}, "nothing is fetched"),
    ],
)
def test_what_is_refused(keys: dict[str, Any], sentence: str) -> None:
    found = refusal(**keys)
    assert sentence in found
    assert len(found) < 600


def test_a_few_lines_of_yaml_cannot_stand_for_gigabytes() -> None:
    laughs = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
    assert "aliases (*name) are not read" in refusal(a=laughs)


def test_inline_cases_are_checked_as_well() -> None:
    inline = GoldenCase.model_validate({"name": "a", "request": "{}", "expect": [{"equals": "NaN"}]})
    assert [*case_problems([inline])] == [
        "golden case a, expect[0]: expected value holds NaN at $, which is no JSON and equal to nothing; leave it out"
    ]
