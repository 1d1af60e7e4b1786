"""The base of all API models: frozen, camelCase outside, unknown fields refused, rules obeyed."""

from typing import Self

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from controller.api.rules import VALIDATIONS, rules_of


class ApiModel(BaseModel):
    """A frozen piece of the API; field names are camelCase in YAML and snake_case in Python."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        ser_json_inf_nan="strings",
    )

    def to_json(self) -> dict[str, object]:
        """Return the model as Kubernetes stores it: JSON types, camelCase, absent instead of null."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @model_validator(mode="after")
    def _obey_rules(self) -> Self:
        broken = [rule.message for rule, holds in rules_of(type(self)) if not holds(self)]
        if broken:
            raise ValueError("; ".join(broken))
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return the JSON schema with the model's rules in CEL."""
        schema = handler(core_schema)
        rules = [rule.to_json() for rule, _ in rules_of(cls)]
        if rules:
            handler.resolve_ref_schema(schema)[VALIDATIONS] = rules
        return schema


class StatusModel(ApiModel):
    """A frozen piece that the operator itself wrote; an older operator must survive newer fields."""

    model_config = ConfigDict(extra="ignore")
