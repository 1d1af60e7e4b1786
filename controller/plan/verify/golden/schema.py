"""Expectations written as JSON schema: nothing is fetched, and every check ends.

Schemas of draft 4 to 2020-12 are read. References may point within the schema only. The keywords that are evaluated
for one answer are counted, because a schema of a few lines can ask for a billion of them.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend, validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from controller.plan.verify.findings import JsonValue, shortened
from controller.plan.verify.golden.comparison import finite
from controller.plan.verify.golden.mismatch import ExpectationError, Mismatch, is_number, shown
from controller.plan.verify.golden.numbers import Test, leaves
from controller.plan.verify.golden.texts import Expression

MOST_KEYWORDS: Final = 50_000
"""Keywords evaluated for one answer; about a second."""

_MOST_UNIQUE: Final = 300
"""Entries of a list under ``uniqueItems``, which are compared each with each."""

_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")

_Schema = dict[str, JsonValue]
_Keyword = Callable[[Validator, JsonValue, JsonValue, Mapping[str, object]], Iterator[ValidationError] | None]


class _EndlessError(Exception):
    """The answer cannot be checked within what a check may cost."""


def obeying(schema: JsonValue) -> Test:
    """Return the test that an answer obeys the schema.

    Raises:
        ExpectationError: when the schema is none, refers to elsewhere, or uses what is not supported.
    """
    if not isinstance(schema, dict):
        msg = f'jsonSchema must be an object such as {{"type": "array"}}; found {shown(schema)}'
        raise ExpectationError(msg)
    _check_local(schema)
    draft = validator_for(schema, default=Draft202012Validator)
    try:
        draft.check_schema(schema)
    except SchemaError as error:
        msg = f"jsonSchema is no schema: at {error.json_path}: {shortened(error.message, 160)}"
        raise ExpectationError(msg) from None
    except RecursionError:
        msg = "jsonSchema is no schema that can be read: it is nested too deeply"
        raise ExpectationError(msg) from None
    return lambda value, path: _mismatch(draft, schema, value=value, path=path)


def _mismatch(draft: type[Validator], schema: _Schema, *, value: JsonValue, path: str) -> Mismatch | None:
    for where, leaf in leaves(value, path):
        if is_number(leaf) and not finite(leaf):
            return Mismatch(where, shown(leaf), "a number that JSON has")
    error = _first_error(draft, schema, value)
    if error is None:
        return None
    if isinstance(error, str):
        return Mismatch(path, f"not checked to its end: {error}", "an answer that obeys the schema")
    where = path + error.json_path.removeprefix("$")
    rule = f"{error.validator}: {shown(cast('JsonValue', error.validator_value))}"
    return Mismatch(shortened(where, 120), shown(cast("JsonValue", error.instance)), f"by the schema {rule}")


def _first_error(draft: type[Validator], schema: _Schema, value: JsonValue) -> ValidationError | str | None:
    """Return the first error, or why there is no telling."""
    checker = _bounded(draft)(schema, registry=Registry())
    try:
        return next(iter(checker.iter_errors(value)), None)
    except _EndlessError as endless:
        return str(endless)
    except RecursionError:
        return "the schema refers to itself without end"
    except Unresolvable as missing:
        return f"the schema has no {missing.ref}"
    except ArithmeticError as error:
        return f"a number is too large ({error})"


def _bounded(draft: type[Validator]) -> type[Validator]:
    """Return the draft with keywords that are counted, and expressions that are RE2's."""
    left = MOST_KEYWORDS

    def counted(keyword: _Keyword) -> _Keyword:
        def evaluate(
            validator: Validator, argument: JsonValue, instance: JsonValue, schema: Mapping[str, object]
        ) -> Iterator[ValidationError]:
            nonlocal left
            left -= 1
            if left < 0:
                msg = f"the schema asks more than {MOST_KEYWORDS:,} questions of it"
                raise _EndlessError(msg)
            yield from keyword(validator, argument, instance, schema) or ()

        return evaluate

    keywords: dict[str, _Keyword] = {**draft.VALIDATORS, "pattern": _pattern}
    keywords["uniqueItems"] = _unique(keywords["uniqueItems"])
    bounded = {name: counted(keyword) for name, keyword in keywords.items()}
    return cast("type[Validator]", extend(draft, validators=bounded))  # type: ignore[no-untyped-call]


def _pattern(
    _validator: Validator, pattern: JsonValue, instance: JsonValue, _schema: Mapping[str, object]
) -> Iterator[ValidationError]:
    if isinstance(instance, str) and isinstance(pattern, str) and not Expression(pattern).found_in(instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _unique(keyword: _Keyword) -> _Keyword:
    def evaluate(
        validator: Validator, argument: JsonValue, instance: JsonValue, schema: Mapping[str, object]
    ) -> Iterator[ValidationError]:
        if isinstance(instance, list) and len(instance) > _MOST_UNIQUE:
            msg = f"uniqueItems compares at most {_MOST_UNIQUE} entries, and there are {len(instance):,}"
            raise _EndlessError(msg)
        yield from keyword(validator, argument, instance, schema) or ()

    return evaluate


def _check_local(schema: _Schema) -> None:
    """Refuse what would have to be fetched, and expressions that RE2 does not have."""
    open_parts: list[JsonValue] = [schema]
    while open_parts:
        part = open_parts.pop()
        if isinstance(part, list):
            open_parts += part
        if isinstance(part, dict):
            open_parts += part.values()
            _check_keywords(part)


def _check_keywords(part: Mapping[str, JsonValue]) -> None:
    for keyword in _REFERENCES:
        target = part.get(keyword)
        if isinstance(target, str) and not target.startswith("#"):
            msg = (
                f"jsonSchema refers to {shortened(target, 100)!r}; nothing is fetched: put that schema under $defs and "
                'refer to it as "#/$defs/name"'
            )
            raise ExpectationError(msg)
    if isinstance(part.get("pattern"), str):
        Expression(str(part["pattern"]))
    if "patternProperties" in part:
        msg = "jsonSchema uses patternProperties, which is not supported; use properties or additionalProperties"
        raise ExpectationError(msg)
