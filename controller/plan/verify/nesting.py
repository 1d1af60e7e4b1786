"""How deep JSON is nested, found level by level: no depth can overflow the stack."""

from typing import Final

from controller.plan.verify.findings import JsonValue

DEEPEST: Final = 64
"""Levels of nesting in answers and expectations; tensors have fewer than ten, and who walks through them recurses."""


def parts(value: JsonValue) -> list[JsonValue]:
    """Return what an object or a list holds; nothing for anything else."""
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def deeper_than(value: JsonValue, limit: int) -> bool:
    """Whether lists and objects are nested more than ``limit`` deep; a number or a text is 0 deep, ``[]`` is 1."""
    layer = [value]
    for _ in range(limit):
        layer = [inner for each in layer for inner in parts(each)]
        if not layer:
            return False
    return any(isinstance(each, dict | list) for each in layer)
