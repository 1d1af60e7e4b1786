"""How the values of options are read: each with what was expected and what was found."""

import argparse
import math
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from controller.api.scalars import parse_duration

__all__ = [
    "add_per_metric",
    "below_one",
    "count",
    "duration",
    "named",
    "not_negative",
    "number",
    "pods",
    "positive",
    "share",
    "shares",
    "whole",
]

T = TypeVar("T")


def named(value: Callable[[str], T]) -> Callable[[str], tuple[str, T]]:
    """Read ``[NAME=]VALUE`` into the name (empty without one) and the value."""

    def parse(text: str) -> tuple[str, T]:
        name, _, rest = text.rpartition("=")
        return name, value(rest)

    return parse


def add_per_metric(
    group: "argparse._ArgumentGroup", name: str, value: Callable[[str], object], *, shown: str = "NUMBER", means: str
) -> None:
    """Add an option that may be given for each metric, ``[METRIC=]VALUE``; it collects (name, value) pairs."""
    group.add_argument(name, metavar=f"[METRIC=]{shown}", action="append", default=[], type=named(value), help=means)


def number(text: str, expected: str, fits: Callable[[float], bool]) -> float:
    """Read a number, or explain what was expected."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and fits(number)):
        msg = f"expected {expected}, found {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return number


def share(text: str) -> float:
    """A share, without its ends."""
    return number(text, "a share above 0 and below 1 such as 0.01", lambda number: 0.0 < number < 1.0)


def shares(text: str) -> tuple[float, ...]:
    """Shares of at least two parts, in proportion: they need not add up to 1."""
    expected = "two to 100 numbers above 0 such as 0.7,0.2,0.1"
    found = tuple(number(part, expected, lambda number: 0.0 < number <= 1e9) for part in text.split(","))
    if not 2 <= len(found) <= 100:
        msg = f"expected {expected}, found {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return found


def positive(text: str) -> float:
    """A number above 0."""
    return number(text, "a number above 0 and at most 1e9", lambda number: 0.0 < number <= 1e9)


def not_negative(text: str) -> float:
    """A number of at least 0."""
    return number(text, "a number from 0 to 10", lambda number: 0.0 <= number <= 10.0)


def below_one(text: str) -> float:
    """A share that may be 0."""
    return number(text, "a number of at least 0 and below 1", lambda number: 0.0 <= number < 1.0)


def count(text: str) -> int:
    """A whole number of at least 1."""
    return int(number(text, "a whole number above 0", lambda number: number >= 1.0 and number == int(number)))


def pods(text: str) -> int:
    """A number of pods."""
    return int(number(text, "a whole number from 1 to 1000", lambda number: 1.0 <= number <= 1e3 and number % 1 == 0))


def whole(text: str) -> int:
    """A whole number of at least 0."""
    return int(number(text, "a whole number of at least 0", lambda number: number >= 0.0 and number == int(number)))


def duration(text: str) -> timedelta:
    """A duration as in a spec."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
