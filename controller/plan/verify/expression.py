"""Expectations of a pipeline: expressions in CEL over the summaries of its Jobs, bounded in time and memory.

The language is that of the library (Google's own C++ runtime) less what lets a short text cost much: ``map``,
``filter`` and ``matches`` are left out, an expression holds at most one loop, and the product of its length, the size
of what it looks at and the items it loops over has a limit. The library itself bounds nesting (32) and loops (10,000
rounds). An expression that passes takes about a second at worst, and some milliseconds as people write them.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from controller.plan.verify.findings import JsonValue, shortened
from controller.plan.verify.nesting import parts
from controller.plan.verify.operands import first_missing, names, operands

if TYPE_CHECKING:
    from cel_expr_python import cel

LONGEST: Final = 512
"""Characters of an expression; the CRD holds the same bound."""
MOST_LOOPS: Final = 1
MOST_STEPS: Final = 20_000_000
"""Characters of the expression × values in the summaries × items of the largest list or object, where it loops."""

SUMMARY_NAME: Final = "summary"
"""The whole summary by one name, for keys that are no names: ``summary["null-rate"]``."""

_SUBSET: Final = """
name: expectations
stdlib:
  include_macros: [has, all, exists, exists_one]
  exclude_functions:
  - name: matches
"""
_LOOPS: Final = re.compile(r"\b(all|exists|exists_one)\b")
_ERROR: Final = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): ([^\n]*)")
_LARGEST: Final = 2**63 - 1
_BEYOND: Final = 10**308
_SHOWN: Final = 80


class ExpressionError(Exception):
    """The expression cannot be used; the message says why, and where in it."""


@dataclass(frozen=True)
class Judged:
    """What an expression says of its values; ``found`` shows its operands, or why it could not be judged."""

    holds: bool
    found: str


def check_expression(text: str, known: frozenset[str] | None = None) -> None:
    """Refuse an expression that cannot be used, before there are values.

    ``known`` are the variables that there will be; None where only the values will tell.

    Raises:
        ExpressionError: with the position.
    """
    _refuse_costly(text)
    _compile(text, names(text) if known is None else known)


def judge(text: str, values: Mapping[str, JsonValue]) -> Judged:
    """Evaluate an expression over named values. Never raises: what goes wrong is what is found."""
    try:
        check_expression(text)
        _refuse_expensive(text, values)
    except ExpressionError as error:
        return Judged(holds=False, found=str(error))
    values = {SUMMARY_NAME: dict(values)} | dict(values)
    try:
        return Judged(holds=_evaluate(text, values), found=operands(text, values))
    except ExpressionError as error:
        found = first_missing(text, values) or "; ".join(filter(None, (str(error), operands(text, values))))
        return Judged(holds=False, found=found)


def _evaluate(text: str, values: Mapping[str, JsonValue]) -> bool:
    from cel_expr_python import cel  # noqa: PLC0415  (4 MiB, which only pipelines need)

    used = {name: _within_range(values[name]) for name in names(text) if name in values}
    try:
        answer = _compile(text, names(text)).eval(data=used)
        kind, value = answer.type(), answer.value()
    except (RuntimeError, ValueError, TypeError, OverflowError) as error:
        raise ExpressionError(_said(error)) from None
    if kind == cel.Type.ERROR:
        raise ExpressionError(_said(value))
    if not isinstance(value, bool):
        msg = f"expected true or false, found {shortened(str(value), _SHOWN)}; compare it with something"
        raise ExpressionError(msg)
    return value


def _compile(text: str, known: frozenset[str]) -> "cel.Expression":
    from cel_expr_python import cel  # noqa: PLC0415  (4 MiB, which only pipelines need)

    try:
        config = cel.NewEnvConfigFromYaml(_SUBSET)
        return cel.NewEnv(config=config, variables=dict.fromkeys(sorted(known), cel.Type.DYN)).compile(text)
    except (RuntimeError, ValueError) as error:
        raise ExpressionError(_said(error)) from None
    except TypeError:
        msg = "expected text, found half of a surrogate pair"
        raise ExpressionError(msg) from None


def _within_range(value: JsonValue) -> JsonValue:
    """Return the value with whole numbers that CEL has no integers for as doubles, as JavaScript reads them."""
    if isinstance(value, dict):
        return {key: _within_range(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_within_range(each) for each in value]
    if isinstance(value, int) and abs(value) > _LARGEST:
        return float(value) if abs(value) < _BEYOND else math.inf if value > 0 else -math.inf
    return value


def _refuse_costly(text: str) -> None:
    """Refuse what is too long, or loops within loops. Names of loops within texts count, which only refuses more."""
    if len(text) > LONGEST:
        msg = f"expected an expression of at most {LONGEST} characters, found {len(text)}"
        raise ExpressionError(msg)
    loops = list(_LOOPS.finditer(text))
    if len(loops) > MOST_LOOPS:
        extra = loops[MOST_LOOPS]
        msg = f"at character {extra.start() + 1}: {extra[0]} is a second loop; write it as an expression of its own"
        raise ExpressionError(msg)


def _refuse_expensive(text: str, values: Mapping[str, JsonValue]) -> None:
    sizes = list(_sizes(dict(values)))
    rounds = max((*sizes, len(text) // 2)) if _LOOPS.search(text) else 1
    steps = len(text) * (1 + sum(sizes)) * rounds
    if steps > MOST_STEPS:
        msg = (
            f"expected at most {MOST_STEPS} steps, found up to {steps} ({len(text)} characters over {sum(sizes)} "
            f"values, {rounds} times); report totals instead of lists"
        )
        raise ExpressionError(msg)


def _sizes(value: JsonValue) -> Iterator[int]:
    """Yield the number of entries of every object and list in a value."""
    layer = [value]
    while layer:
        yield from (len(each) for each in layer if isinstance(each, dict | list))
        layer = [inner for each in layer for inner in parts(each)]


def _said(error: object) -> str:
    """Return the library's message: position first, without what it expected instead (a list of tokens)."""
    text = str(error)
    if placed := _ERROR.search(text):
        line, column, message = placed.groups()
        message = message.partition(" expecting {")[0].replace(" (in container '')", "")
        return message if column == "-1" else f"{_place(line, column)}: {message}"
    return shortened(re.sub(r"^[A-Z_]+: |\s*\[[A-Z_]+\]$", "", text), 2 * _SHOWN)


def _place(line: str, column: str) -> str:
    return f"at character {column}" if line == "1" else f"at line {line}, character {column}"
