"""The JSON file of windows that the judge reads offline: its checks, its errors, and the case that it is."""

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from itertools import zip_longest
from typing import Annotated, Final

from pydantic import Discriminator, Field, Tag, ValidationError, model_validator
from pydantic_core import ErrorDetails

from controller.api.model import ApiModel
from controller.api.verdicts import Kind
from controller.judge._process import WindowLike
from controller.judge.offline.file_entries import Number
from controller.judge.offline.file_metrics import (
    Calibration,
    DistributionMetric,
    HistogramMetric,
    MeanMetric,
    PairedMetric,
    RateMetric,
    RatioMetric,
)
from controller.judge.offline.replay import Case

__all__ = ["read_windows_file"]

_KINDS: Final = tuple(kind.value for kind in Kind if kind is not Kind.QUERY)
_TAGS: Final = frozenset({*_KINDS, "arm", "pods"})
"""Which form was taken is no part of the place of a mistake."""
_DECIMAL: Final = re.compile(r"Decimal\('([^']*)'\)")


def read_windows_file(text: str) -> Case:
    """Read a JSON file of windows.

    Raises:
        ValueError: the text is not such a file; one line per problem, each with where it is, what was expected
            and what was found.
    """
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        msg = f"line {error.lineno}, column {error.colno}: expected JSON, found {error.msg.lower()}"
        raise ValueError(msg) from error
    except ValueError as error:
        msg = "expected a file of windows, found a number with thousands of digits"
        raise ValueError(msg) from error
    except RecursionError as error:
        msg = "expected a file of windows, found JSON nested too deeply"
        raise ValueError(msg) from error
    try:
        return _File.model_validate(content).case()
    except ValidationError as error:
        raise ValueError("\n".join(_explain(problem) for problem in error.errors() if not _implied(problem))) from error


def _kind(content: object) -> str:
    return (
        str(content.get("kind", Kind.RATIO.value)) if isinstance(content, dict) else str(getattr(content, "kind", ""))
    )


_Metric = Annotated[
    Annotated[RatioMetric, Tag("ratio")]
    | Annotated[RateMetric, Tag("rate")]
    | Annotated[MeanMetric, Tag("mean")]
    | Annotated[HistogramMetric, Tag("histogram")]
    | Annotated[DistributionMetric, Tag("distribution")]
    | Annotated[PairedMetric, Tag("paired")],
    Discriminator(_kind),
]


class _File(ApiModel):
    alpha: Annotated[Number, Field(gt=0, lt=1)] = Decimal("0.05")
    horizon: Annotated[int, Field(strict=True, ge=1)] = 500
    calibration: Calibration = Calibration()
    metrics: tuple[_Metric, ...]

    @model_validator(mode="after")
    def _names_differ(self) -> "_File":
        names = [metric.name for metric in self.metrics]
        if not names or len(set(names)) < len(names):
            msg = f"expected at least one metric, and names that differ; found {names}"
            raise ValueError(msg)
        return self

    def case(self) -> Case:
        """What the judge replays; metrics with fewer windows than others lack the last ones."""
        columns: list[list[WindowLike | None]] = [metric.judged(self.calibration) for metric in self.metrics]
        names = [metric.name for metric in self.metrics]
        windows: tuple[Mapping[str, WindowLike | None], ...] = tuple(
            dict(zip(names, row, strict=True)) for row in zip_longest(*columns)
        )
        tests = tuple(metric.test(self.calibration, self.horizon) for metric in self.metrics)
        weights = tuple(None if entry is None else entry.weight for entry in self.metrics[0].windows)
        return Case(tests=tests, alpha=float(self.alpha), windows=windows, weights=weights)


def _place(keys: tuple[int | str, ...]) -> Iterator[str]:
    for before, key in zip((None, *keys), keys, strict=False):
        tag = key in _TAGS and (before in ("stable", "candidate", "history") or isinstance(before, int))
        if not tag:
            yield f"[{key}]" if isinstance(key, int) else f".{key}"


def _implied(problem: ErrorDetails) -> bool:
    """Whether a list is called too short only because its entries are wrong, which is said of them."""
    return problem["type"] == "too_short" and bool(problem["input"])


def _explain(problem: ErrorDetails) -> str:
    found = json.dumps(problem["input"], default=str)
    found = found if len(found) <= 60 else f"{found[:57]}..."
    where = "".join(_place(problem["loc"])).lstrip(".") or "the file"
    return f"{where}: {_expected(problem, found)}"


def _expected(problem: ErrorDetails, found: str) -> str:
    text = f"expected an object, found {found}"
    match problem["type"]:
        case "union_tag_invalid":
            kinds = " or ".join(f"'{kind}'" for kind in _KINDS)
            text = f"expected the kind {kinds}, found '{problem['ctx']['tag']}'"
        case "extra_forbidden":
            text = f"expected no such key, found {found}; remove it or correct its name"
        case "missing":
            text = "expected this key, found none"
        case "too_short":
            text = f"expected at least {problem['ctx']['min_length']} entry, found none"
        case "value_error":
            message = problem["msg"].removeprefix("Value error, ")
            text = message if "found" in message else f"{message}, found {found}"
        case kind if kind not in ("model_type", "model_attributes_type", "dict_type"):
            limit = _DECIMAL.sub(r"\1", problem["msg"])
            text = f"{limit.replace('Input should be', 'expected')}, found {found}"
    return text
