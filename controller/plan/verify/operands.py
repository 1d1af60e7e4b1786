"""What an expression refers to, for people: its operands' values, or the key that is missing.

Only messages follow from what is found here; whether an expression holds is the library's to say.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Final

from controller.plan.verify.findings import JsonValue, shortened

NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Path = tuple[str, ...]
"""Keys, one after the other: ``columns.age`` is ``("columns", "age")``."""

_TEXT: Final = r"\"(?:\\.|[^\"\\])*+\"|'(?:\\.|[^'\\])*+'"
_WHOLE_NAME: Final = rf"{NAME.pattern}\b(?!\s*\()"
_OPERANDS: Final = re.compile(
    rf"(?:{_TEXT})|(?P<path>(?<![\w.]){_WHOLE_NAME}(?:\s*\.\s*{_WHOLE_NAME}|\[(?:{_TEXT}|\d+)\])*+)"
)
_STEP: Final = re.compile(rf"\.\s*({NAME.pattern})|\[({_TEXT}|\d+)\]")
_LOOP_VARIABLE: Final = re.compile(rf"\b(?:all|exists|exists_one)\s*\(\s*({NAME.pattern})\s*,")
_WORDS: Final = frozenset(
    [
        "true",
        "false",
        "null",
        "in",
        "int",
        "uint",
        "double",
        "bool",
        "string",
        "bytes",
        "list",
        "map",
        "type",
        "dyn",
        "null_type",
        "duration",
        "timestamp",
    ]
)
"""Names that the language gives a meaning; as a key each is reached by ``summary["int"]``."""
_MOST: Final = 6
_SHOWN: Final = 80


def names(text: str) -> frozenset[str]:
    """Return the variables that an expression may refer to, those of its loops included."""
    return frozenset(path[0] for path in _paths(text))


def operands(text: str, values: Mapping[str, JsonValue]) -> str:
    """Return what the expression's operands are: ``rows = 950, columns.age.nullRate = 0.2``."""
    shown: dict[str, str] = {}
    for path in _paths(text):
        value, missing = _follow(path, values)
        if not missing:
            shown.setdefault(_written(path), shortened(_json(value), _SHOWN))
    return ", ".join(f"{name} = {value}" for name, value in list(shown.items())[:_MOST])


def first_missing(text: str, values: Mapping[str, JsonValue]) -> str:
    """Return which key the expression refers to that is not there, and which are; empty when all are."""
    bound = frozenset(_LOOP_VARIABLE.findall(text))
    return next(
        (missing for path in _paths(text) if path[0] not in bound and (missing := _follow(path, values)[1])), ""
    )


def _paths(text: str) -> Iterator[Path]:
    for found in _OPERANDS.finditer(text):
        root = NAME.match(found["path"] or "")
        if root is not None and root[0] not in _WORDS:
            yield (root[0], *(step[1] or step[2].strip("\"'") for step in _STEP.finditer(found["path"][root.end() :])))


def _follow(path: Path, values: Mapping[str, JsonValue]) -> tuple[JsonValue, str]:
    """Return the value at a path, or which key is missing on the way and what is there instead."""
    value: JsonValue = dict(values)
    for place, key in enumerate(path):
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None, _lacks(_written(path[:place]) or "the summary", key, value)
    return value, ""


def _lacks(where: str, key: str, value: JsonValue) -> str:
    if isinstance(value, dict):
        has = ", ".join(sorted(value)) or "nothing"
        return f"{where} has no {key}; it has: {shortened(has, 2 * _SHOWN)}"
    return f"{where} is {shortened(_json(value), _SHOWN)}, which has no {key}"


def _written(path: Path) -> str:
    steps = (f".{key}" if NAME.fullmatch(key) else f"[{key if key.isdecimal() else repr(key)}]" for key in path)
    return "".join(steps).removeprefix(".")


def _json(value: JsonValue) -> str:
    return json.dumps(value, ensure_ascii=False)
