"""Queries: a number per arm and window that nobody counted, held against a threshold. No statistics."""

from dataclasses import dataclass, replace
from math import isfinite
from typing import ClassVar

from controller.api.verdicts import Kind, Role
from controller.judge._process import MetricTest, PerArm, Process, WindowLike, window_of

__all__ = ["QueryArm", "QueryProcess", "QueryTest"]


@dataclass(frozen=True, slots=True)
class QueryArm:
    """What a query gave for one arm at the end of a window."""

    value: float

    def __post_init__(self) -> None:
        if not isfinite(self.value):
            msg = f"expected a finite value, found {self.value!r}"
            raise ValueError(msg)

    @property
    def exposure(self) -> float:
        """1: one look."""
        return 1.0

    @property
    def silent(self) -> bool:
        """Never: there is a value."""
        return False

    @property
    def shown(self) -> str:
        """The value."""
        return f"{self.value:g}"


@dataclass(frozen=True)
class QueryTest(MetricTest):
    """What is to be done about a query: hold the candidate's value against the threshold, or only show it."""

    kind: ClassVar[Kind] = Kind.QUERY

    def problem(self) -> str | None:
        """What stands against the test: without counts there is no evidence, so a query decides nothing."""
        if self.role not in (Role.RED_FLAG, Role.WATCH):
            return f"expected the role RedFlag or Watch for a query, found {self.role}"
        return super().problem()

    def process(self, alpha: float) -> Process:  # noqa: ARG002 - the protocol's
        """No evidence, for ever."""
        return QueryProcess()

    def level(self, window: WindowLike) -> float | None:
        """The candidate's value."""
        return window_of(window, QueryArm).candidate.value


@dataclass(frozen=True)
class QueryProcess:
    """The newest values; see ``Process``. There is no evidence, because there is no test."""

    rates: PerArm | None = None
    log_worse: float = 0.0
    log_restart: float = 0.0
    log_catastrophic: float = 0.0
    log_not_worse: float = 0.0
    log_better: float = 0.0
    log_harm: tuple[float, ...] = ()
    interval: tuple[float, float] | None = None
    decisive: bool = False

    def update(self, window: WindowLike) -> "QueryProcess":
        """The process with the values of one more window."""
        seen = window_of(window, QueryArm)
        return replace(self, rates=PerArm(seen.stable.value, seen.candidate.value))
