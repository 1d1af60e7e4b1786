"""The JSON file of windows that the judge reads offline: its shape, its checks, its errors."""

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from itertools import zip_longest
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from controller.api.model import ApiModel
from controller.api.verdicts import Role
from controller.judge._margin import resolve_margin
from controller.judge._process import Window, WindowLike
from controller.judge._ratio import Arm, History
from controller.judge._ratio_process import RatioTest
from controller.judge._replay import Case

__all__ = ["read_windows_file"]

_LATER_KINDS = ("rate", "mean", "histogram", "distribution", "query")


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
    except RecursionError as error:
        msg = "expected a file of windows, found JSON nested too deeply"
        raise ValueError(msg) from error
    try:
        return _File.model_validate(content).case()
    except ValidationError as error:
        raise ValueError("\n".join(_explain(problem) for problem in error.errors())) from error


def _decimal(value: object) -> Decimal:
    """A decimal in quotes, as in the API, or a plain JSON number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        msg = 'expected a number such as "0.01"'
        raise ValueError(msg)
    try:
        number = Decimal(str(value))
    except InvalidOperation as error:
        msg = 'expected a number such as "0.01"'
        raise ValueError(msg) from error
    if not number.is_finite():
        msg = "expected a finite number"
        raise ValueError(msg)
    return number


_Count = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
_Share = Annotated[Decimal, BeforeValidator(_decimal), Field(ge=0, lt=1)]
_Factor = Annotated[Decimal, BeforeValidator(_decimal), Field(ge=0, le=1000)]
_Whole = Annotated[int, Field(strict=True, ge=0)]


class _Counts(ApiModel):
    total: _Count
    bad: _Count

    @model_validator(mode="after")
    def _bad_within_total(self) -> Self:
        if self.bad > self.total:
            msg = f"expected bad of at most total ({self.total:g}); found bad {self.bad:g}"
            raise ValueError(msg)
        return self


class _Arm(ApiModel):
    total: _Count | None = None
    bad: _Count | None = None
    pods: Annotated[tuple[_Counts, ...], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _counts_or_pods(self) -> Self:
        given = (self.total is not None, self.bad is not None, self.pods is not None)
        if given not in ((True, True, False), (False, False, True)):
            msg = "expected either total and bad, or pods"
            raise ValueError(msg)
        if self.total is not None and self.bad is not None:
            _Counts(total=self.total, bad=self.bad)
        return self

    def arm(self, design_effect: float) -> Arm:
        """The arm's effective counts: those of all pods, each deflated."""
        pods = self.pods or (_Counts(total=self.total or 0.0, bad=self.bad or 0.0),)
        total, bad = sum(pod.total for pod in pods), sum(pod.bad for pod in pods)
        return Arm(total=total / design_effect, bad=bad / design_effect, requests=total)


class _Window(ApiModel):
    weight: Annotated[float, Field(strict=True, ge=0, le=100)] | None = None
    stable: _Arm
    candidate: _Arm

    def window(self, design_effect: float) -> Window[Arm]:
        return Window(stable=self.stable.arm(design_effect), candidate=self.candidate.arm(design_effect))


class _Margin(ApiModel):
    absolute: _Share | None = None
    relative: _Factor | None = None


class _Calibration(ApiModel):
    design_effect: Annotated[Decimal, BeforeValidator(_decimal), Field(ge=1)] = Decimal(1)
    noise_floor: _Share = Decimal(0)


class _Metric(ApiModel):
    name: Annotated[str, Field(min_length=1)]
    kind: str
    role: Role = Role.GUARDRAIL
    margin: _Margin | None = None
    history: _Counts | None = None
    threshold: Annotated[Decimal, BeforeValidator(_decimal), Field(gt=0, le=1)] | None = None
    min_requests: _Whole = 0
    windows: tuple[_Window | None, ...]

    @model_validator(mode="before")
    @classmethod
    def _known_kind(cls, content: object) -> object:
        kind = content.get("kind", "ratio") if isinstance(content, dict) else "ratio"
        if kind in _LATER_KINDS:
            msg = f"kind {kind!r} is not supported yet; expected 'ratio', found {kind!r}"
            raise ValueError(msg)
        if kind != "ratio":
            msg = f"expected the kind 'ratio', found {kind!r}"
            raise ValueError(msg)
        return content

    @model_validator(mode="after")
    def _testable(self) -> Self:
        self.test(_Calibration(), horizon=1)
        return self

    def test(self, calibration: _Calibration, horizon: int) -> RatioTest:
        """What is tested, with the margin widened to the noise floor."""
        effect = float(calibration.design_effect)
        counts = self.history
        history = None if counts is None else History(counts.total / effect, counts.bad / effect)
        return RatioTest(
            name=self.name,
            role=self.role,
            margin=max(self._margin(history), float(calibration.noise_floor)),
            history=history,
            horizon=horizon,
            threshold=None if self.threshold is None else float(self.threshold),
            min_requests=self.min_requests,
        )

    def judged_windows(self, design_effect: float) -> list[WindowLike | None]:
        """The windows with effective counts; None for one that was skipped."""
        return [None if entry is None else entry.window(design_effect) for entry in self.windows]

    def _margin(self, history: History | None) -> float:
        if self.margin is None and self.role is Role.RED_FLAG:
            return 0.0
        margin = self.margin or _Margin()
        return resolve_margin(margin.absolute, margin.relative, history)


class _File(ApiModel):
    alpha: Annotated[Decimal, BeforeValidator(_decimal), Field(gt=0, lt=1)] = Decimal("0.05")
    horizon: Annotated[int, Field(strict=True, ge=1)] = 500
    calibration: _Calibration = _Calibration()
    metrics: tuple[_Metric, ...]

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [metric.name for metric in self.metrics]
        if not names or len(set(names)) < len(names):
            msg = f"expected at least one metric, and names that differ; found {names}"
            raise ValueError(msg)
        return self

    def case(self) -> Case:
        """What the judge replays; metrics with fewer windows than others lack the last ones."""
        effect = float(self.calibration.design_effect)
        columns: list[list[WindowLike | None]] = [metric.judged_windows(effect) for metric in self.metrics]
        names = [metric.name for metric in self.metrics]
        windows: tuple[Mapping[str, WindowLike | None], ...] = tuple(
            dict(zip(names, row, strict=True)) for row in zip_longest(*columns)
        )
        tests = tuple(metric.test(self.calibration, self.horizon) for metric in self.metrics)
        weights = tuple(None if entry is None else entry.weight for entry in self.metrics[0].windows)
        return Case(tests=tests, alpha=float(self.alpha), windows=windows, weights=weights)


def _explain(problem: ErrorDetails) -> str:
    place = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in problem["loc"]).lstrip(".")
    where = place or "the file"
    found = json.dumps(problem["input"], default=str)
    found = found if len(found) <= 60 else f"{found[:57]}..."
    match problem["type"]:
        case "extra_forbidden":
            return f"{where}: expected no such key, found {found}; remove it or correct its name"
        case "missing":
            return f"{where}: expected this key, found none"
        case "value_error":
            message = problem["msg"].removeprefix("Value error, ")
            return f"{where}: {message}" if "found" in message else f"{where}: {message}, found {found}"
        case _:
            message = problem["msg"].replace("Input should be", "expected")
            return f"{where}: {message}, found {found}"
