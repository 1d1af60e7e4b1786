"""Whether a verdict is within reach before the deadline, and the forecast in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from math import ceil, inf
from typing import Final

from controller.api.spec import Strategy
from controller.judge import Evidence as MetricEvidence
from controller.plan.amounts import about_requests, about_time
from controller.plan.outlook import Heading, Needs, Outlook
from controller.plan.situation import Evidence

__all__ = ["Reach", "describe_metric", "describe_overall", "reach"]

_FEWEST_WINDOWS: Final = 10
_SOONEST: Final = 0.25
"""Part of the deadline that is waited for before anything is called out of reach: early estimates move too much."""
_DOUBT: Final = 1.35
"""By how much a forecast may be wrong (statistics §2.4)."""


@dataclass(frozen=True)
class Reach:
    """What is left until the deadline, against what a verdict needs.

    Attributes:
        left: windows until the deadline.
        missed: the metric whose verdict will not come in time, and what it would need at best; None while it may.
    """

    left: int
    missed: Outlook | None = None


def reach(evidence: Evidence, found: Mapping[str, Outlook], *, strategy: Strategy, counted: int, known: bool) -> Reach:
    """Hold what is needed against what is left.

    Out of reach is a verdict when neither ``NotWorse`` of all metrics nor ``Worse`` of any can come, even if all
    windows that are left are taken at the best step and are as favourable to it as the estimate of today allows; by
    more than a forecast may be wrong, or, once that was said (``known``), at all.

    Args:
        evidence: what there is.
        found: the outlooks.
        strategy: for the deadline as it stands now; it is not frozen.
        counted: judged windows that count for the deadline.
        known: whether it was out of reach before.
    """
    whole = ceil(strategy.deadline / evidence.frozen.interval)
    left = max(0, whole - counted)
    gating = [found.get(each.test.name) for each in evidence.trial.gating]
    if counted < max(_FEWEST_WINDOWS, _SOONEST * whole) or evidence.trial.not_worse_now:
        return Reach(left)
    within = left * (1.0 if known else _DOUBT)
    blocked = [each for each in gating if each is not None and not each.may_come(Heading.NOT_WORSE, within=within)]
    if not blocked or any(each is None or each.may_come(Heading.WORSE, within=within) for each in gating):
        return Reach(left)
    return Reach(left, max(blocked, key=lambda each: each.fewest.windows))


def describe_metric(outlook: Outlook, interval: timedelta) -> str:
    """Say what one metric still needs, at the present weight and the steps to come."""
    now = outlook.needs[0]
    if outlook.heading is Heading.NOWHERE:
        return "the difference lies on the margin: no forecast"
    if now.windows <= 0:
        return f"{outlook.heading} is decided"
    times = ", ".join(_time(each, interval) for each in outlook.needs)
    return f"{outlook.heading}: about {about_requests(now.requests)} more requests of the candidate, {times}"


def _time(needs: Needs, interval: timedelta) -> str:
    return f"≈ {_span(needs.windows, interval)} at {needs.weight} %"


def _span(windows: float, interval: timedelta) -> str:
    return about_time(inf if windows == inf else windows * interval.total_seconds())


def describe_overall(evidence: Evidence, found: Mapping[str, Outlook], held: Reach) -> str | None:
    """Say in one sentence when a verdict over all metrics can be expected; None where nothing can be said."""
    interval, left = evidence.frozen.interval, _span(held.left, evidence.frozen.interval)
    if held.missed is not None:
        return (
            f"no verdict to be expected before the deadline: {_needed(held.missed, interval)}, and {left} of judged "
            "time are left"
        )
    gating = [found[each.test.name] for each in evidence.trial.gating if each.test.name in found]
    if not gating:
        return None
    others = [each.test.name for each in evidence.trial.gating if each.test.name not in found]
    rest = f"; {', '.join(others)} without forecast" if others else ""
    return f"{_expected(gating, interval)}; {left} of judged time until the deadline{rest}"


def _expected(gating: list[Outlook], interval: timedelta) -> str:
    worse = [each for each in gating if each.heading is Heading.WORSE]
    if worse:
        first = min(worse, key=lambda each: each.needs[0].windows)
        return f"Worse, if the difference of {_name(first.evidence)} stays, {_in(first, interval)}"
    lost = [_name(each.evidence) for each in gating if each.heading is Heading.NOWHERE]
    if lost:
        return f"no forecast while the difference of {', '.join(lost)} lies on the margin"
    last = max(gating, key=lambda each: each.needs[0].windows)
    if last.needs[0].windows <= 0:
        return "NotWorse is decided"
    longest = f" (longest: {_name(last.evidence)})" if len(gating) > 1 else ""
    return f"NotWorse {_in(last, interval)}{longest}"


def _in(outlook: Outlook, interval: timedelta) -> str:
    """In ≈ 2 h at 10 %, ≈ 22 min at 50 %."""
    if outlook.needs[0].windows <= 0:
        return "at once"
    ends = [outlook.needs[0], *outlook.needs[1:][-1:]]
    return "in " + ", ".join(_time(each, interval) for each in ends)


def _needed(outlook: Outlook, interval: timedelta) -> str:
    name = _name(outlook.evidence)
    if outlook.heading is Heading.NOWHERE:
        return f"the difference of {name} lies on the margin"
    fewest = outlook.fewest
    return (
        f"{name} would need about {about_requests(fewest.requests)} more requests of the candidate, "
        f"{_time(fewest, interval)}"
    )


def _name(each: MetricEvidence) -> str:
    return each.test.name
