"""What stands in a file and must not, or must and does not: a line each, in words of the file, not of a library."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

__all__ = ["ERROR_EXIT", "problems", "reason", "refuse"]

ERROR_EXIT: Final = 1
"""Exit code of a command that could not do what was asked."""

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


def reason(error: OSError | ValueError) -> str:
    """Say why a file cannot be used."""
    if isinstance(error, OSError):
        return f"expected a file that can be read, found: {error.strerror}"
    if isinstance(error, UnicodeDecodeError):
        return f"expected text in UTF-8, found the byte {error.object[error.start]:#04x} at {error.start}"
    return str(error)


def refuse(message: str, *, file: Path | None = None) -> int:
    """Print what stands against a command, a line each, with the file that it is about; returns the exit code."""
    where = "" if file is None else f"{file}: "
    for line in message.splitlines():
        sys.stderr.write(f"error: {where}{line}\n")
    return ERROR_EXIT
