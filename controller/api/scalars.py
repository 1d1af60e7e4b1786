"""Scalar types of the API: GEP-2257 durations and decimal strings, because the API has no floats."""

import re
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Final

from pydantic import BeforeValidator, PlainSerializer, StringConstraints, WithJsonSchema

DURATION_PATTERN: Final = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"
DECIMAL_PATTERN: Final = r"^[0-9]{1,9}(\.[0-9]{1,12})?$"
NAME_PATTERN: Final = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"

_UNITS: Final = {"h": 3600_000, "m": 60_000, "s": 1000, "ms": 1}


def parse_duration(text: str | timedelta) -> timedelta:
    """Read a GEP-2257 duration such as ``1h30m``.

    Raises:
        ValueError: when the text is no such duration.
    """
    if isinstance(text, timedelta):
        return text
    if not re.fullmatch(DURATION_PATTERN, text):
        msg = f"expected a duration such as 30s, 10m or 1h30m, found {text!r}"
        raise ValueError(msg)
    parts = re.findall(r"([0-9]+)(ms|h|m|s)", text)
    return timedelta(milliseconds=sum(int(number) * _UNITS[unit] for number, unit in parts))


def format_duration(duration: timedelta) -> str:
    """Write a duration the way people do: ``90s`` as ``1m30s``, zero as ``0s``."""
    rest = round(duration.total_seconds() * 1000)
    text = ""
    for unit, size in _UNITS.items():
        count, rest = divmod(rest, size)
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def _parse_decimal(text: str | Decimal) -> Decimal:
    if isinstance(text, Decimal):
        return text
    if not isinstance(text, str) or not re.fullmatch(DECIMAL_PATTERN, text):
        msg = f'expected a decimal number in quotes such as "0.05", found {text!r}'
        raise ValueError(msg)
    return Decimal(text)


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "maxLength": 32, "pattern": DURATION_PATTERN}),
]
"""A span of time, written as a GEP-2257 string (``1h30m``)."""

DecimalString = Annotated[
    Decimal,
    BeforeValidator(_parse_decimal),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "maxLength": 24, "pattern": DECIMAL_PATTERN}),
]
"""A non-negative number, written as a string so that it is exact."""

OptionalDecimal = Annotated[
    Decimal | None,
    BeforeValidator(lambda text: None if text in ("", None) else _parse_decimal(text)),
    PlainSerializer(lambda value: None if value is None else str(value), return_type=str | None),
    WithJsonSchema({"type": "string", "maxLength": 24, "pattern": f"^$|{DECIMAL_PATTERN}"}),
]
"""A decimal string whose empty form means absent."""

ObjectName = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=NAME_PATTERN)]
"""The name of a Kubernetes object in the rollout's namespace."""

ServiceName = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=NAME_PATTERN)]
"""The name of a Service in the rollout's namespace."""
