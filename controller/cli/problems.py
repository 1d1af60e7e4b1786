"""What stands in a file and must not, or must and does not: a line each, in words of the file, not of a library."""

from collections.abc import Iterator
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

__all__ = ["problems"]

_SHAPES: Final = {
    "model_type": "an object",
    "model_attributes_type": "an object",
    "dict_type": "an object",
    "tuple_type": "a list",
    "list_type": "a list",
}
_LONGEST: Final = 60


def problems(error: ValidationError, *, root: str) -> Iterator[str]:
    """Yield one line per problem: where it is, below ``root``, what was expected and what was found."""
    for problem in error.errors(include_url=False):
        if problem["type"] == "too_short" and problem["input"]:
            continue  # its entries are wrong, and said to be
        yield f"{'.'.join(map(str, (root, *problem['loc'])))}: {_explained(problem)}"


def _explained(problem: ErrorDetails) -> str:
    message, found = problem["msg"], _shown(problem["input"])
    match problem["type"]:
        case "missing":
            text = "expected this key, found none"
        case "extra_forbidden":
            text = f"expected no such key, found {found}; remove it or correct its name"
        case "value_error":
            text = message.removeprefix("Value error, ")
        case "too_short":
            text = f"expected at least {problem['ctx']['min_length']} entry, found {problem['ctx']['actual_length']}"
        case "too_long":
            text = f"expected at most {problem['ctx']['max_length']} entries, found {problem['ctx']['actual_length']}"
        case kind if kind in _SHAPES:
            text = f"expected {_SHAPES[kind]}, found {found}"
        case _:
            text = f"{message.replace('Input should be', 'expected')}, found {found}"
    return text


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
