"""Durations, decimals and names: what is written is read back, and nothing else is read."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from controller.api.scalars import (
    LONGEST,
    DecimalString,
    Duration,
    ObjectName,
    OptionalDecimal,
    ServiceName,
    format_decimal,
    format_duration,
    parse_decimal,
    parse_duration,
)

durations = st.integers(0, LONGEST // timedelta(milliseconds=1)).map(lambda count: timedelta(milliseconds=count))
decimals = st.decimals(min_value=0, max_value=999_999_999, places=12).filter(Decimal.is_finite)


@given(durations)
def test_durations_are_read_back(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


@given(decimals)
def test_decimals_are_read_back_to_the_last_digit(number: Decimal) -> None:
    assert parse_decimal(format_decimal(number)) == number


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("1h30m", 5400), ("90m", 5400), ("10ms", 0.01), ("1m500ms", 60.5), ("0s", 0), ("8760h", 31_536_000)],
)
def test_durations_mean_what_people_think(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("duration", "text"), [(0, "0s"), (60, "1m"), (90, "1m30s"), (21_600, "6h"), (0.25, "250ms"), (86_400, "24h")]
)
def test_durations_are_written_as_people_do(duration: float, text: str) -> None:
    assert format_duration(timedelta(seconds=duration)) == text


@pytest.mark.parametrize(
    "text", ["", "30", "s", "1d", "-1s", "+1s", "1.5h", "1h 30m", "8761h", "123456s", "1H", 30, None]
)
def test_what_is_no_duration_is_refused_with_an_example(text: object) -> None:
    with pytest.raises(ValidationError, match="must be a duration such as 30s, 10m or 1h30m"):
        TypeAdapter(Duration).validate_python(text)


@pytest.mark.parametrize("text", ["", ".5", "5.", "-1", "1e-3", "1,5", "NaN", "Infinity", "5%", "0x1", 0.05, 1, True])
def test_what_is_no_decimal_is_refused_with_an_example(text: object) -> None:
    with pytest.raises(ValidationError, match=r'must be a decimal number in quotes such as "0\.05"'):
        TypeAdapter(DecimalString).validate_python(text)


def test_small_decimals_are_written_without_exponent() -> None:
    assert TypeAdapter(DecimalString).dump_python(Decimal("0.00000001"), mode="json") == "0.00000001"


def test_an_empty_optional_decimal_is_absent() -> None:
    optional = TypeAdapter(OptionalDecimal)
    assert [optional.validate_python(text) for text in ("", None, "0.1")] == [None, None, Decimal("0.1")]


@pytest.mark.parametrize("name", ["a", "fraud-v1", "0", "a.b-c", "x" * 253])
def test_object_names(name: str) -> None:
    assert TypeAdapter(ObjectName).validate_python(name) == name


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a_b", "ä", "a b", "x" * 254, "a\n"])
def test_what_names_no_object(name: str) -> None:
    with pytest.raises(ValidationError, match="must be the name of an object"):
        TypeAdapter(ObjectName).validate_python(name)


@pytest.mark.parametrize("name", ["a.b", "x" * 64])
def test_names_of_services_are_shorter(name: str) -> None:
    with pytest.raises(ValidationError, match="at most 63"):
        TypeAdapter(ServiceName).validate_python(name)
