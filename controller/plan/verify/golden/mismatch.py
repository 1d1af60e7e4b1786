"""Where an answer is not as expected, and how JSON values are shown to people."""

import json
import re
from dataclasses import dataclass
from typing import Final, TypeGuard

from controller.plan.verify.findings import JsonValue, shortened

_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class Mismatch:
    """One place of an answer that is not as expected; the words follow ``is`` and ``expected``."""

    path: str
    found: str
    expected: str

    def __str__(self) -> str:
        """Return the sentence."""
        return f"{self.path} is {self.found}, expected {self.expected}"


class ExpectationError(ValueError):
    """An expectation cannot be meant as it is written; the message says why and what to write."""


def shown(value: JsonValue, longest: int = 80) -> str:
    """Return the value as compact JSON on one line, cut where it is long; NaN and Infinity as Python reads them."""
    return shortened(json.dumps(value, ensure_ascii=False), longest)


def member(path: str, key: str | int) -> str:
    """Return the path of an entry of the value at ``path``."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if _PLAIN_NAME.fullmatch(key) else f"{path}['{shortened(key, 60)}']"


def is_number(value: JsonValue) -> TypeGuard[int | float]:
    """Whether the value is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)
