"""``spec.strategy``: how the weight grows and what waits for what."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from controller.api.model import ApiModel
from controller.api.rules import rule
from controller.api.scalars import DURATION_PATTERN, Duration, OptionalDecimal
from controller.api.verdicts import Advance

_SHORTEST_INTERVAL: Final = timedelta(seconds=1)
_LONGEST_INTERVAL: Final = timedelta(hours=24)


class OnUndecided(StrEnum):
    """What happens at the deadline without a verdict."""

    HOLD = "Hold"
    WITHDRAW = "Withdraw"
    PROMOTE = "Promote"


class OnNoData(StrEnum):
    """What happens after ``dataTimeout`` without a judged window."""

    HOLD = "Hold"
    WITHDRAW = "Withdraw"


class Approval(StrEnum):
    """Whether a person must agree to the promotion."""

    AUTOMATIC = "Automatic"
    MANUAL = "Manual"


Weight = Annotated[int, Field(strict=True, ge=1, le=99)]


def _once_readable(cel: str, *fields: str) -> str:
    """Let a rule about durations wait until they are durations, so that a wrong one is explained only once."""
    unreadable = " || ".join(f"!self.{field}.matches(r'''{DURATION_PATTERN}''')" for field in fields)
    return f"{unreadable} || {cel}"


class Strategy(ApiModel):
    """How the weight grows and what waits for what."""

    steps: Annotated[
        tuple[Weight, ...],
        Field(
            min_length=1,
            max_length=20,
            description="Percent of requests for the candidate, ascending, each below 100.",
        ),
    ] = (5, 10, 25, 50)
    advance: Annotated[
        Advance,
        Field(
            description="Budgeted: a step is left when the harm of the next one is proven to stay within harmBudget. "
            "Fixed: after minWindows without warning."
        ),
    ] = Advance.BUDGETED
    min_windows: Annotated[
        int, Field(strict=True, ge=1, le=1000, description="Windows judged in each step, at least.")
    ] = 3
    harm_budget: Annotated[
        OptionalDecimal | None,
        Field(description="Extra bad requests as a share of all requests. Default: the metric's margin."),
    ] = None
    interval: Annotated[Duration, Field(description="Length of a window.")] = timedelta(seconds=30)
    warmup: Annotated[Duration, Field(description="A pod's first requests that are not judged, once per pod.")] = (
        timedelta(seconds=60)
    )
    min_requests: Annotated[
        int, Field(strict=True, ge=1, le=1_000_000_000, description="Judged requests per arm before a promotion.")
    ] = 100
    deadline: Annotated[
        Duration, Field(description="Judged time after which onUndecided applies; holding does not count.")
    ] = timedelta(hours=6)
    on_undecided: Annotated[
        OnUndecided, Field(description="At the deadline: Hold (Stalled), Withdraw (weight 0) or Promote.")
    ] = OnUndecided.HOLD
    on_no_data: Annotated[OnNoData, Field(description="After dataTimeout: Hold (Stalled) or Withdraw (weight 0).")] = (
        OnNoData.HOLD
    )
    data_timeout: Annotated[Duration, Field(description="How long no window may be judged.")] = timedelta(minutes=10)
    approval: Annotated[Approval, Field(description="Manual: a person must request the promotion.")] = (
        Approval.AUTOMATIC
    )

    @rule(
        "self.steps.isSorted() && self.steps.all(w, self.steps.exists_one(v, v == w))",
        "steps must ascend, for example [5, 10, 25, 50]",
        field="steps",
    )
    def _steps_ascend(self) -> bool:
        return list(self.steps) == sorted(set(self.steps))

    @rule(
        "!has(self.harmBudget) || self.harmBudget == '' || !self.harmBudget.matches('^[0-9.]+$') || "
        "double(self.harmBudget) > 0.0 && double(self.harmBudget) < 1.0",
        "harmBudget must be above 0 and below 1: it is a share of all requests",
        field="harmBudget",
    )
    def _harm_budget_is_a_share(self) -> bool:
        return self.harm_budget is None or 0 < self.harm_budget < 1

    @rule(
        _once_readable(
            "duration(self.interval) >= duration('1s') && duration(self.interval) <= duration('24h')", "interval"
        ),
        "interval must be between 1s and 24h",
        field="interval",
    )
    def _interval_is_sane(self) -> bool:
        return _SHORTEST_INTERVAL <= self.interval <= _LONGEST_INTERVAL

    @rule(
        _once_readable("duration(self.deadline) > duration(self.interval)", "deadline", "interval"),
        "deadline must be longer than interval: no window would be judged before it",
        field="deadline",
    )
    def _deadline_allows_a_window(self) -> bool:
        return self.deadline > self.interval

    @rule(
        _once_readable("duration(self.dataTimeout) >= duration(self.interval)", "dataTimeout", "interval"),
        "dataTimeout must be at least one interval",
        field="dataTimeout",
    )
    def _data_timeout_allows_a_window(self) -> bool:
        return self.data_timeout >= self.interval
