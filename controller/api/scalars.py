"""Scalar types of the API: durations, decimal strings and names, as Python reads them and as the CRD describes them."""

import json
import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue

from controller.api.rules import VALIDATIONS, Rule

DURATION_PATTERN: Final = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"
DECIMAL_PATTERN: Final = r"^[0-9]{1,15}(\.[0-9]{1,12})?$"
LONGEST: Final = timedelta(hours=8760)
"""The longest duration: a year. Whoever writes more has mistaken the unit."""

_UNITS: Final = {"h": 3600_000, "m": 60_000, "s": 1000, "ms": 1}
_DURATION_MESSAGE: Final = "must be a duration such as 30s, 10m or 1h30m, at most 8760h"
_DECIMAL_MESSAGE: Final = 'must be a decimal number in quotes such as "0.05"'


def described(cel: str, message: str, *, longest: int) -> JsonSchemaValue:
    """Return the CRD's schema of a string for which the CEL expression must hold.

    A rule is used instead of a ``pattern`` because the API server explains a broken pattern by printing it.
    """
    return {"type": "string", "maxLength": longest, VALIDATIONS: [Rule(cel, message).to_json()]}


def matches(pattern: str) -> str:
    """Return the CEL expression that a string matches the pattern."""
    return f"self.matches(r'''{pattern}''')"


def parse_duration(text: str | timedelta) -> timedelta:
    """Read a GEP-2257 duration such as ``1h30m``.

    Raises:
        ValueError: when the text is no such duration, or longer than a year.
    """
    if isinstance(text, timedelta):
        return text
    if isinstance(text, str) and re.fullmatch(DURATION_PATTERN, text):
        parts = re.findall(r"([0-9]+)(ms|h|m|s)", text)
        duration = timedelta(milliseconds=sum(int(number) * _UNITS[unit] for number, unit in parts))
        if duration <= LONGEST:
            return duration
    msg = f"{_DURATION_MESSAGE}; found {text!r}"
    raise ValueError(msg)


def format_duration(duration: timedelta) -> str:
    """Write a duration the way people do: ``90s`` as ``1m30s``, zero as ``0s``."""
    rest = round(duration.total_seconds() * 1000)
    text = ""
    for unit, size in _UNITS.items():
        count, rest = divmod(rest, size)
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def parse_decimal(text: str | Decimal) -> Decimal:
    """Read a decimal string.

    Raises:
        ValueError: when the text is no plain decimal number; exponents, signs and floats are refused.
    """
    if isinstance(text, Decimal):
        return text
    if not isinstance(text, str) or not re.fullmatch(DECIMAL_PATTERN, text):
        msg = f"{_DECIMAL_MESSAGE}; found {text!r}"
        raise ValueError(msg)
    return Decimal(text)


def format_decimal(number: Decimal) -> str:
    """Write a decimal without exponent, so that it can be read back."""
    return format(number, "f")


def _text(pattern: str, message: str, *, longest: int) -> Callable[[str], str]:
    def check(text: str) -> str:
        if len(text) > longest or not re.fullmatch(pattern, text):
            msg = f"{message}; found {text!r}"
            raise ValueError(msg)
        return text

    return check


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema(
        described(f"{matches(DURATION_PATTERN)} && duration(self) <= duration('8760h')", _DURATION_MESSAGE, longest=32)
    ),
]
"""A span of time, written as a GEP-2257 string (``1h30m``)."""

DecimalString = Annotated[
    Decimal,
    BeforeValidator(parse_decimal),
    PlainSerializer(format_decimal, return_type=str),
    WithJsonSchema(described(matches(DECIMAL_PATTERN), _DECIMAL_MESSAGE, longest=28)),
]
"""A non-negative number, written as a string so that it is exact."""

OptionalDecimal = Annotated[
    Decimal | None,
    BeforeValidator(lambda text: None if text in ("", None) else parse_decimal(text)),
    PlainSerializer(lambda value: None if value is None else format_decimal(value), return_type=str | None),
    WithJsonSchema(described(f"self == '' || {matches(DECIMAL_PATTERN)}", _DECIMAL_MESSAGE, longest=28)),
]
"""A decimal string whose empty form means absent."""

_SIGNED_PATTERN: Final = r"^-?[0-9]{1,15}(\.[0-9]{1,12})?$"
_SIGNED_MESSAGE: Final = 'must be a decimal number in quotes such as "-0.05"'


def _parse_signed(text: str | Decimal) -> Decimal:
    if isinstance(text, Decimal):
        return text
    if not isinstance(text, str) or not re.fullmatch(_SIGNED_PATTERN, text):
        msg = f"{_SIGNED_MESSAGE}; found {text!r}"
        raise ValueError(msg)
    return Decimal(text)


SignedDecimal = Annotated[
    Decimal,
    BeforeValidator(_parse_signed),
    PlainSerializer(format_decimal, return_type=str),
    WithJsonSchema(described(matches(_SIGNED_PATTERN), _SIGNED_MESSAGE, longest=29)),
]
"""A number of either sign, written as a string so that it is exact."""


def _json_text(text: str) -> str:
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        msg = f"must be JSON in quotes; {error}; found {text[:80]!r}"
        raise ValueError(msg) from None
    return text


JsonText = Annotated[str, Field(min_length=1, max_length=16384), AfterValidator(_json_text)]
"""A JSON value as text, because a structural schema holds no free JSON."""

_OBJECT_NAME: Final = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
_OBJECT_MESSAGE: Final = "must be the name of an object: small letters, digits, '-' and '.', at most 253"
ObjectName = Annotated[
    str,
    AfterValidator(_text(_OBJECT_NAME, _OBJECT_MESSAGE, longest=253)),
    WithJsonSchema(described(matches(_OBJECT_NAME), _OBJECT_MESSAGE, longest=253)),
]
"""The name of a Kubernetes object in the rollout's namespace."""

_SHORT_NAME: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
_SHORT_MESSAGE: Final = "must consist of small letters, digits and '-', at most 63"
ShortName = Annotated[
    str,
    AfterValidator(_text(_SHORT_NAME, _SHORT_MESSAGE, longest=63)),
    WithJsonSchema(described(matches(_SHORT_NAME), _SHORT_MESSAGE, longest=63)),
]
"""A DNS label, as Services and metrics are named."""

ServiceName = ShortName
"""The name of a Service in the rollout's namespace."""

_LABEL_NAME: Final = r"^[a-zA-Z_][a-zA-Z0-9_]*$"
_LABEL_MESSAGE: Final = "must be a Prometheus label name such as pod: letters, digits and '_', at most 128"
LabelName = Annotated[
    str,
    AfterValidator(_text(_LABEL_NAME, _LABEL_MESSAGE, longest=128)),
    WithJsonSchema(described(matches(_LABEL_NAME), _LABEL_MESSAGE, longest=128)),
]
"""The name of a label in Prometheus."""

_PRESET_NAME: Final = r"^[a-z0-9-]+/[a-z0-9-]+$"
_PRESET_MESSAGE: Final = "must be <server>/<question>, for example mlserver/errors"
PresetName = Annotated[
    str,
    AfterValidator(_text(_PRESET_NAME, _PRESET_MESSAGE, longest=63)),
    WithJsonSchema(described(matches(_PRESET_NAME), _PRESET_MESSAGE, longest=63)),
]
"""The name of a preset; which ones exist is the operator's to say."""

Text = Annotated[str, Field(min_length=1, max_length=253)]
"""A free text on one line."""
