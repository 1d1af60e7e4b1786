"""Golden cases from a ConfigMap, and what is wrong with cases before any is sent."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Final

import yaml
from pydantic import ValidationError

from controller.api.verify import GoldenCase
from controller.plan.verify.findings import JsonValue, shortened
from controller.plan.verify.golden.expectations import requirement
from controller.plan.verify.golden.mismatch import ExpectationError

MOST_CASES: Final = 50
MOST_BYTES: Final = 2**20
"""Of all keys of the ConfigMap together; etcd holds no more either."""

_Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_FREE: Final = frozenset({"request", "equals", "value", "jsonSchema"})
"""Fields that hold JSON as text; in a ConfigMap they may be written as YAML, except for texts."""


class GoldenCasesError(ValueError):
    """The golden cases cannot be used; the message says which, why, and what to write."""


def golden_cases(config_map_data: Mapping[str, str]) -> tuple[GoldenCase, ...]:
    """Read the golden cases of a ConfigMap: each key holds a list of cases, as YAML or JSON.

    Raises:
        GoldenCasesError: for too much, for what is no list of cases, and for every case that cannot be used.
    """
    size = sum(len(text.encode(errors="replace")) for text in config_map_data.values())
    if size > MOST_BYTES:
        msg = f"the golden ConfigMap holds {size:,} bytes; at most {MOST_BYTES:,} are read"
        raise GoldenCasesError(msg)
    lists = {key: _list_of(key, config_map_data[key]) for key in sorted(config_map_data)}
    count = sum(map(len, lists.values()))
    if not 1 <= count <= MOST_CASES:
        msg = f"the golden ConfigMap holds {count:,} cases; between 1 and {MOST_CASES} are needed"
        raise GoldenCasesError(msg)
    cases = tuple(_case(key, place, entry) for key, entries in lists.items() for place, entry in enumerate(entries))
    problem = next(case_problems(cases), None)
    if problem is not None:
        raise GoldenCasesError(problem)
    return cases


def case_problems(cases: Iterable[GoldenCase]) -> Iterator[str]:
    """Return what is wrong with cases that the API server took: paths, expressions, schemas, repeated names."""
    listed = tuple(cases)
    for name, times in Counter(case.name for case in listed).items():
        if times > 1:
            yield f"golden case {name} is there {times} times; each needs a name of its own"
    for case in listed:
        for place, expectation in enumerate(case.expect):
            try:
                requirement(expectation)
            except ExpectationError as error:
                yield f"golden case {case.name}, expect[{place}]: {error}"


def _list_of(key: str, text: str) -> list[JsonValue]:
    try:
        found = _read(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        msg = f"key {key} of the golden ConfigMap is neither JSON nor YAML: {shortened(str(error), 200)}"
        raise GoldenCasesError(msg) from None
    if not isinstance(found, list):
        msg = f"key {key} of the golden ConfigMap must hold a list of cases; found {type(found).__name__}"
        raise GoldenCasesError(msg)
    return found


def _read(text: str) -> JsonValue:
    if text.lstrip().startswith("["):
        try:
            as_json: JsonValue = json.loads(text)
        except ValueError:
            pass
        else:
            return as_json
    if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=_Loader)):
        msg = "aliases (*name) are not read, because a few of them can stand for gigabytes"
        raise ValueError(msg)
    as_yaml: JsonValue = yaml.load(text, Loader=_Loader)  # noqa: S506 (a safe loader)
    return as_yaml


def _case(key: str, place: int, entry: JsonValue) -> GoldenCase:
    where = f"key {key} of the golden ConfigMap, case {place}"
    if isinstance(entry, dict) and isinstance(entry.get("name"), str):
        where = f"golden case {shortened(str(entry['name']), 63)}"
    try:
        return GoldenCase.model_validate(_as_texts(entry))
    except ValidationError as error:
        found = (f"{'.'.join(map(str, each['loc'])) or 'case'}: {each['msg']}" for each in error.errors())
        msg = f"{where}: {'; '.join(islice(found, 3))}"
    except (TypeError, ValueError) as error:
        msg = f"{where} holds what JSON has no words for: {error}"
    except RecursionError:
        msg = f"{where} is nested too deeply to be read"
    raise GoldenCasesError(shortened(msg))


def _as_texts(entry: JsonValue) -> JsonValue:
    """Return the case with its free JSON as text, as the API has it."""
    if isinstance(entry, list):
        return [_as_texts(each) for each in entry]
    if not isinstance(entry, dict):
        return entry
    return {name: _field(name, value) for name, value in entry.items()}


def _field(name: str, value: JsonValue) -> JsonValue:
    if name == "oneOf" and isinstance(value, list):
        return [_text(each) for each in value]
    return _text(value) if name in _FREE else _as_texts(value)


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value, allow_nan=False)
