"""Rules that the API server and Python both hold: written once, with one message.

A rule is a method of an :class:`~controller.api.model.ApiModel` that returns whether it holds, decorated with the same
condition in CEL. The CRD carries the CEL, so ``kubectl apply`` refuses at once; validation in Python runs the method,
so that a file is refused offline with the same words.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final, TypeVar, cast

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

VALIDATIONS: Final = "x-kubernetes-validations"
"""The schema extension that holds CEL rules."""

NOT_SUPPORTED: Final = "this field is not supported yet; remove it"

_MARK: Final = "api_rule"
_Model = TypeVar("_Model")


@dataclass(frozen=True)
class Rule:
    """What must hold, in CEL, and what to tell the user when it does not."""

    cel: str
    message: str
    field: str = ""
    """The field that gets the blame, camelCase; empty for the whole object."""

    def to_json(self) -> dict[str, str]:
        """Return the rule as the CRD carries it."""
        path = {"fieldPath": f".{self.field}"} if self.field else {}
        return {"rule": self.cel, "message": self.message, **path}


def rule(cel: str, message: str, *, field: str = "") -> Callable[[Callable[[_Model], bool]], Callable[[_Model], bool]]:
    """Declare that the decorated method and the CEL expression say the same, and how to explain it."""

    def mark(holds: Callable[[_Model], bool]) -> Callable[[_Model], bool]:
        vars(holds)[_MARK] = Rule(cel, message, field)
        return holds

    return mark


@cache
def rules_of(model: type[object]) -> tuple[tuple[Rule, Callable[[object], bool]], ...]:
    """Return the rules of a model in the order in which they were written, each with its method."""
    members = (member for base in reversed(model.__mro__) for member in vars(base).values())
    found = ((getattr(member, _MARK, None), cast("Callable[[object], bool]", member)) for member in members)
    return tuple((mark, member) for mark, member in found if isinstance(mark, Rule))


@dataclass(frozen=True)
class Later:
    """Marks the place of a field that a later release brings: any value is refused in words.

    ``schema`` describes what the field will hold just well enough that the API server does not stumble over the content
    before it gets to say that the field is not supported.
    """

    schema: Mapping[str, object]

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Refuse everything but absence."""
        return core_schema.no_info_before_validator_function(_refuse, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return the loose schema with a rule that never holds."""
        return {**self.schema, VALIDATIONS: [Rule("false", NOT_SUPPORTED).to_json()]}


def _refuse(value: object) -> None:
    if value is not None:
        raise ValueError(NOT_SUPPORTED)
