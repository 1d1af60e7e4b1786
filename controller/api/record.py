"""``RolloutRecord``: the evidence of an epoch, from which anybody can recompute every e-value.

A record is kept in pages of at most ``PAGE_WINDOWS`` windows. Closed pages never change, and a stored row never
changes: the judge reads rows back from here, so that two operators that looked at different moments still judge the
same numbers.
"""

from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field
from pydantic.json_schema import JsonSchemaValue

from controller.api.model import StatusModel
from controller.api.reasons import Reason
from controller.api.rules import VALIDATIONS, Rule
from controller.api.scalars import Duration
from controller.api.spec import Analysis
from controller.api.status import Revision, Time, VerificationStatus
from controller.api.verdicts import ShareCheck

PAGE_WINDOWS: Final = 100
"""Windows on one page."""
PAGE_DECISIONS: Final = 200
"""Decisions on one page."""
MOST_BUCKETS: Final = 64
"""Buckets or classes of a metric that are kept apart."""
MOST_SLICES: Final = 20
"""Slices of a metric that are looked at."""

_UNUSED: Final = (
    "(!has(oldSelf.windows) || oldSelf.windows.size() == 0) && "
    "(!has(oldSelf.decisions) || oldSelf.decisions.size() == 0) && !has(oldSelf.verdict)"
)
"""CEL: the page was opened, and nothing was written into it yet."""

_Name = Annotated[str, Field(max_length=253)]
_Number = Annotated[str, Field(max_length=32)]
_Text = Annotated[str, Field(max_length=1024)]
_Edge = Annotated[str, Field(max_length=64)]


def _lasting(*rules: Rule) -> ConfigDict:
    """Return a model configuration with rules in CEL about how a stored object may change."""

    def add(schema: JsonSchemaValue) -> None:
        schema[VALIDATIONS] = [each.to_json() for each in rules]

    return ConfigDict(json_schema_extra=add)


def _only_longer(field: str, longest: int) -> str:
    """Return the CEL expression that a list kept all that it had, in its place.

    By written-out positions, because the API server bounds what rules may cost, and CEL has no other way to look at two
    lists side by side before Kubernetes 1.33.
    """
    old, new = f"oldSelf.{field}", f"self.{field}"
    kept = f"{list(range(longest))}.all(i, i >= {old}.size() || {new}[i] == {old}[i])"
    return f"!has({old}) || has({new}) && {new}.size() >= {old}.size() && {kept}"


class ArmCounts(StatusModel):
    """One arm's counts in one window; ``effective`` ones are what the judge uses (deflated by the design effect).

    ``total`` is what the metric is set against: requests of a ratio or of buckets, a rate's exposure, a mean's
    values, pairs of answers.
    """

    total: Annotated[_Number, Field(description="Requests, exposure, values or pairs.")]
    bad: Annotated[_Number | None, Field(description="Ratio: bad ones. Rate: events. Paired: its wrong answers.")] = (
        None
    )
    alone: Annotated[_Number | None, Field(description="Paired: pairs in which only this arm was wrong.")] = None
    sum: Annotated[_Number | None, Field(description="Mean: sum of the values.")] = None
    buckets: Annotated[
        tuple[_Number, ...] | None,
        Field(max_length=MOST_BUCKETS, description="Histogram, distribution: requests per bucket, not cumulative."),
    ] = None
    value: Annotated[_Number | None, Field(description="Query: its value.")] = None
    requests: Annotated[
        _Number | None, Field(description="Requests behind the labels, where total counts labels: their coverage.")
    ] = None
    effective_total: Annotated[_Number | None, Field(description="total after deflation.")] = None
    effective_bad: Annotated[_Number | None, Field(description="bad after deflation.")] = None
    pods: Annotated[int | None, Field(ge=0, description="Pods that were counted.")] = None
    scatter: Annotated[
        _Number | None,
        Field(
            description="Candidate with several pods: squares of what lies beyond the arm's level, by size of a pod."
        ),
    ] = None
    expected_scatter: Annotated[_Number | None, Field(description="What the calibration expects of it.")] = None


class SliceCounts(StatusModel):
    """A part of a ratio metric in one window: the requests with one value of a label."""

    label: Annotated[_Name, Field(description="The label.")]
    value: Annotated[_Name, Field(description="Its value.")]
    stable: Annotated[ArmCounts, Field(description="Stable's counts.")]
    candidate: Annotated[ArmCounts, Field(description="The candidate's counts.")]


class Row(StatusModel):
    """One metric in one window: counts of both arms, or why there are none."""

    metric: Annotated[_Name, Field(description="The metric.")]
    stable: Annotated[ArmCounts | None, Field(description="Stable's counts.")] = None
    candidate: Annotated[ArmCounts | None, Field(description="The candidate's counts.")] = None
    edges: Annotated[
        tuple[_Edge, ...] | None,
        Field(max_length=MOST_BUCKETS, description="Upper bounds of the buckets, or names of the classes."),
    ] = None
    slices: Annotated[
        tuple[SliceCounts, ...], Field(max_length=MOST_SLICES, description="The same for parts of the requests.")
    ] = ()
    bad_seen: Annotated[bool | None, Field(description="Whether any series ever matched the bad selector.")] = None
    labels_mature: Annotated[
        Time | None, Field(description="From when on both arms' labels are equally old, where that is later.")
    ] = None
    skipped: Annotated[Reason | None, Field(description="Why the window does not count for this metric.")] = None
    message: Annotated[_Text, Field(description="What was found, when skipped.")] = ""


class RequestCounts(StatusModel):
    """All requests of both arms in a window, those of pods that warm up included: what the weight is checked with."""

    stable: Annotated[_Number, Field(description="Stable's.")]
    candidate: Annotated[_Number, Field(description="The candidate's.")]
    weight: Annotated[
        _Number, Field(description="Percent that the candidate was meant to get: desired, or what pod counts allow.")
    ]
    own: Annotated[
        _Number | None, Field(description="Golden requests of the operator in it, which are left out of both.")
    ] = None


class RecordedWindow(StatusModel):
    """One window; (transition, number) is its key within the epoch."""

    transition: Annotated[int, Field(ge=0, description="The transition that it belongs to.")]
    number: Annotated[int, Field(ge=0, description="Its number within the transition.")]
    weight: Annotated[int, Field(ge=0, le=100, description="Desired percent in it.")]
    start: Annotated[Time, Field(description="Its first edge.")]
    end: Annotated[Time, Field(description="Its last edge.")]
    observed_weight: Annotated[_Number | None, Field(description="What the counters saw.")] = None
    requests: Annotated[RequestCounts | None, Field(description="All requests in it.")] = None
    rows: Annotated[tuple[Row, ...], Field(max_length=20, description="One per metric.")]

    @property
    def key(self) -> tuple[int, int]:
        """(transition, number)."""
        return (self.transition, self.number)


class FrozenLabels(StatusModel):
    """What stable's own history tells about labels, where ``total`` counts those."""

    intervals: Annotated[int, Field(ge=0, description="Intervals that it rests on.")]
    coverage: Annotated[_Number, Field(description="Labels by request.")]
    half: Annotated[
        Duration | None, Field(description="Half of the labels come within that; absent: it cannot be told.")
    ] = None
    most: Annotated[Duration | None, Field(description="95 % of them do.")] = None
    least: Annotated[Duration, Field(description="What most may be, lower end.")]
    longest: Annotated[Duration | None, Field(description="Upper end; absent: it cannot be told.")] = None


class FrozenCalibration(StatusModel):
    """What stable's own history tells about noise, before the epoch (F5, F6b, F12)."""

    source: Annotated[Literal["Measured", "Prior"], Field(description="From history, or too little of it.")]
    intervals: Annotated[int, Field(ge=0, description="Intervals of history.")] = 0
    pods: Annotated[int, Field(ge=0, description="Stable's pods in it.")] = 0
    design_effect: Annotated[
        _Number, Field(description="Variance of a pod's counts in a window against that of independent requests.")
    ] = "1"
    intraclass: Annotated[
        _Number | None, Field(description="Correlation of the requests of a pod in a window, upper 95 % bound.")
    ] = None
    noise_floor: Annotated[_Number, Field(description="Margin below which pods of one model differ.")] = "0"
    autocorrelation: Annotated[_Number | None, Field(description="Of neighbouring intervals.")] = None
    labels: Annotated[FrozenLabels | None, Field(description="How late labels come, where total counts labels.")] = None
    message: Annotated[_Text, Field(description="The same in words.")] = ""


class FrozenMetric(StatusModel):
    """What was resolved for a metric when the epoch started."""

    metric: Annotated[_Name, Field(description="The metric.")]
    margin: Annotated[_Number, Field(description="Effective margin of the roll-back side.")]
    promotion_margin: Annotated[
        _Number | None,
        Field(description="That of the promotion side, where it is another (noise: Strict)."),
    ] = None
    bad: Annotated[_Text | None, Field(description="Selector of the bad ones, events or sums.")] = None
    total: Annotated[_Text | None, Field(description="Selector of what they are set against, or of the buckets.")] = (
        None
    )
    history_total: Annotated[_Number | None, Field(description="Stable's requests before the epoch.")] = None
    history_bad: Annotated[_Number | None, Field(description="Bad ones among them, or events.")] = None
    history_buckets: Annotated[
        tuple[_Number, ...] | None, Field(max_length=MOST_BUCKETS, description="Stable's buckets before the epoch.")
    ] = None
    edges: Annotated[
        tuple[_Edge, ...] | None,
        Field(max_length=MOST_BUCKETS, description="Buckets that both arms have, or names of the classes."),
    ] = None
    calibration: Annotated[FrozenCalibration | None, Field(description="Noise between pods.")] = None


class FrozenAnalysis(StatusModel):
    """All that the judge needs besides the rows; it never changes within an epoch."""

    hash: Annotated[str, Field(max_length=64, description="Hash of analysis, steps and interval.")]
    attempt: Annotated[int, Field(ge=1, description="The how many-th epoch for this pair.")]
    alpha: Annotated[_Number, Field(description="Error bound of this attempt.")]
    steps: Annotated[tuple[int, ...], Field(max_length=20, description="Steps of the strategy.")]
    interval: Annotated[Duration, Field(description="Length of a window.")]
    horizon: Annotated[int, Field(ge=2, description="Windows of the deadline: horizon of the restart mixture.")]
    min_requests: Annotated[int, Field(ge=0, description="Judged requests per arm before a promotion.")]
    harm_budget: Annotated[_Number | None, Field(description="Where the strategy sets one.")] = None
    share_check: Annotated[
        ShareCheck, Field(description="How the candidate's share of the requests is held against the weight.")
    ] = ShareCheck.INDEPENDENT
    void: Annotated[
        tuple[_Name, ...],
        Field(max_length=20, description="Latency metrics, while resources or load of the arms differ."),
    ] = ()
    analysis: Annotated[Analysis, Field(description="As the spec had it.")]
    metrics: Annotated[tuple[FrozenMetric, ...], Field(max_length=20, description="As it was resolved.")]


class RecordedDecision(StatusModel):
    """One decision with its reason."""

    transition: Annotated[int, Field(ge=0, description="The transition after it.")]
    at: Annotated[Time, Field(description="When.")]
    phase: Annotated[_Name, Field(description="The phase after it.")]
    weight: Annotated[int, Field(ge=0, le=100, description="The desired weight after it.")]
    reason: Annotated[Reason, Field(description="Why, in one word.")]
    message: Annotated[_Text, Field(description="Why, in a sentence.")]


class RolloutRecordSpec(StatusModel):
    """One page of the record of an epoch."""

    model_config = _lasting(
        *(
            Rule(
                f"self.{field} == oldSelf.{field} || {_UNUSED}",
                f"{field} must not change once the page holds anything",
            )
            for field in ("rollout", "rolloutUid", "epoch", "page", "stable", "candidate", "frozen")
        ),
        Rule(_only_longer("windows", PAGE_WINDOWS), "a recorded window must never change or be removed"),
        Rule(_only_longer("decisions", PAGE_DECISIONS), "a recorded decision must never change or be removed"),
        Rule(
            "!has(oldSelf.verdict) || has(self.verdict) && self.verdict == oldSelf.verdict",
            "a verdict must never change",
        ),
    )

    rollout: Annotated[_Name, Field(description="The ModelRollout.")]
    rollout_uid: Annotated[_Name, Field(description="Its uid.")]
    epoch: Annotated[int, Field(ge=1, description="The epoch.")]
    page: Annotated[int, Field(ge=0, description="The page.")]
    stable: Annotated[Revision, Field(description="What served.")]
    candidate: Annotated[Revision, Field(description="What was tried.")]
    frozen: Annotated[FrozenAnalysis, Field(description="What the judge needs besides the rows.")]
    verification: Annotated[
        VerificationStatus | None, Field(description="Page 0: what was proven before the first request.")
    ] = None
    windows: Annotated[
        tuple[RecordedWindow, ...],
        Field(
            max_length=PAGE_WINDOWS,
            description="In order.",
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["transition", "number"],
            },
        ),
    ] = ()
    decisions: Annotated[tuple[RecordedDecision, ...], Field(max_length=PAGE_DECISIONS, description="In order.")] = ()
    verdict: Annotated[
        Literal["Promoted", "RolledBack", "Withdrawn", "Superseded"] | None,
        Field(description="How the epoch ended."),
    ] = None
