"""From pydantic's JSON schema to the structural schema that a CustomResourceDefinition may hold.

Structural schemas know no references, no ``anyOf`` with null, no ``additionalProperties: false``. What this module
cannot translate it refuses, because the API server would refuse it, too, or silently not check it.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from controller.api.model import ApiModel
from controller.api.rules import NOT_SUPPORTED, VALIDATIONS
from controller.api.scalars import format_decimal, format_duration

_KEPT: Final = (
    "type",
    "description",
    "format",
    "enum",
    "default",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "maxProperties",
    "required",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    VALIDATIONS,
)
_LONGEST_WORD: Final = 63
_TRANSLATED: Final = {"properties", "items", "anyOf", "$ref", "$defs"}
_DROPPED: Final = {"title", "additionalProperties", "const"}


class _Generator(GenerateJsonSchema):
    """Writes defaults in the words of the API instead of ISO 8601."""

    def encode_default(self, dft: object) -> object:
        """Return the default as a user would write it."""
        if isinstance(dft, timedelta):
            return format_duration(dft)
        return format_decimal(dft) if isinstance(dft, Decimal) else super().encode_default(dft)


def structural_schema(model: type[ApiModel]) -> JsonSchemaValue:
    """Return the model as a structural schema with static defaults, in the order in which the fields were written."""
    schema = model.model_json_schema(by_alias=True, mode="validation", schema_generator=_Generator)
    return _structural(schema, schema.get("$defs", {}))


def as_written(schema: JsonSchemaValue) -> JsonSchemaValue:
    """Return a schema for what the operator writes: stored as written, judged only by rules on how it may change.

    Defaults would add to a stored object what nobody wrote; the rules of a quoted spec were held when the spec
    was accepted; a closed set of words would refuse the status of a newer operator.
    """
    bare = {key: value for key, value in schema.items() if key not in ("default", "enum", VALIDATIONS)}
    if "enum" in schema:
        bare["maxLength"] = _LONGEST_WORD
    if "properties" in schema:
        bare["properties"] = {
            name: as_written(child) for name, child in schema["properties"].items() if not _refused(child)
        }
    if "items" in schema:
        bare["items"] = as_written(schema["items"])
    rules = [rule for rule in schema.get(VALIDATIONS, ()) if "oldSelf" in rule["rule"]]
    return {**bare, VALIDATIONS: rules} if rules else bare


def walk(schema: JsonSchemaValue, path: str = "") -> Iterator[tuple[str, JsonSchemaValue]]:
    """Yield every schema of a structural schema with its path (``.spec.metrics[].name``), parents first."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from walk(child, f"{path}.{name}")
    if "items" in schema:
        yield from walk(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from walk(schema["additionalProperties"], f"{path}{{}}")


def _refused(schema: JsonSchemaValue) -> bool:
    return any(rule["message"] == NOT_SUPPORTED for rule in schema.get(VALIDATIONS, ()))


def _structural(schema: JsonSchemaValue, definitions: Mapping[str, JsonSchemaValue]) -> JsonSchemaValue:
    schema = _inlined(schema, definitions)
    unknown = set(schema) - set(_KEPT) - _TRANSLATED - _DROPPED
    if unknown:
        msg = f"no structural schema can hold {', '.join(sorted(unknown))}; describe the field in other words: {schema}"
        raise ValueError(msg)
    if schema.get("type") == "number":
        msg = f"floats are not exact; use a decimal string instead: {schema}"
        raise ValueError(msg)
    result: JsonSchemaValue = {key: schema[key] for key in _KEPT if key in schema and schema[key] is not None}
    if "properties" in schema:
        result["properties"] = {name: _structural(child, definitions) for name, child in schema["properties"].items()}
    if "items" in schema:
        result["items"] = _structural(schema["items"], definitions)
    if isinstance(schema.get("additionalProperties"), dict):
        result["additionalProperties"] = _structural(schema["additionalProperties"], definitions)
    _default_of_parts(result)
    return result


def _inlined(schema: JsonSchemaValue, definitions: Mapping[str, JsonSchemaValue]) -> JsonSchemaValue:
    """Replace a reference or an ``anyOf`` with null by what it stands for; words next to it win, rules add up."""
    while True:
        if "$ref" in schema:
            inner = definitions[schema["$ref"].rpartition("/")[2]]
        elif "anyOf" in schema:
            inner = _only_type(schema["anyOf"])
        else:
            return schema
        outer = {key: value for key, value in schema.items() if key not in ("$ref", "anyOf")}
        rules = [*inner.get(VALIDATIONS, ()), *outer.get(VALIDATIONS, ())]
        schema = {**inner, **outer, **({VALIDATIONS: rules} if rules else {})}


def _only_type(alternatives: Sequence[JsonSchemaValue]) -> JsonSchemaValue:
    types = [each for each in alternatives if each != {"type": "null"}]
    if len(types) != 1:
        msg = f"expected a field of one type or none; the API server cannot check that it is one of {types}"
        raise ValueError(msg)
    return types[0]


def _default_of_parts(schema: JsonSchemaValue) -> None:
    """Make an object's default of those of its fields: the rules must hold for it as it stands."""
    if schema.get("type") != "object" or "default" not in schema:
        return
    del schema["default"]
    parts = {name: child["default"] for name, child in schema.get("properties", {}).items() if "default" in child}
    if parts:
        schema["default"] = parts
