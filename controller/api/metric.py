"""``spec.analysis.metrics[]``: one question that is asked of both arms in every window."""

from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final

from pydantic import ConfigDict, Field, field_validator
from pydantic.json_schema import JsonSchemaValue

from controller.api.kinds import Distribution, Histogram, Mean, Paired, QueryString, Rate, Ratio
from controller.api.model import ApiModel
from controller.api.rules import rule
from controller.api.scalars import (
    DECIMAL_PATTERN,
    DURATION_PATTERN,
    DecimalString,
    Duration,
    LabelName,
    PresetName,
    ShortName,
    Text,
)
from controller.api.verdicts import Kind, Role

_SHORTEST_DELAY: Final = timedelta(seconds=1)
_LONGEST_DELAY: Final = timedelta(days=1)

_SHAPES: Final = ("preset", "ratio", "rate", "mean", "histogram", "distribution", "paired", "query")
_ONE_SHAPE: Final = f"exactly one of {', '.join(_SHAPES)} must be set"


_LATENCY: Final = "/latency"
"""How the names of presets end that are histograms."""
_IN_BUCKETS: Final = (
    f"(has(self.histogram) || has(self.distribution) || has(self.preset) && self.preset.endsWith('{_LATENCY}'))"
)


def _share(field: str) -> str:
    """Return the CEL expression that a decimal string, where it is one at all, is below 1."""
    return f"!{field}.matches(r'''{DECIMAL_PATTERN}''') || double({field}) < 1.0"


class Margin(ApiModel):
    """How much worse is tolerated: the larger of both, ``relative`` times stable's rate at the epoch's start."""

    absolute: Annotated[DecimalString | None, Field(description="In units of the rate: 0.01 is one point.")] = None
    relative: Annotated[DecimalString | None, Field(description="As a share of stable's rate: 0.5 is half more.")] = (
        None
    )

    @rule(
        "has(self.absolute) && self.absolute.matches('[1-9]') || has(self.relative) && self.relative.matches('[1-9]')",
        "margin must have absolute, relative or both, and one of them above 0: a difference of nothing is never proven",
    )
    def _tolerates_something(self) -> bool:
        return bool(self.absolute) or bool(self.relative)


def _require_nothing(schema: JsonSchemaValue) -> None:
    schema.pop("required")


class ArmLabels(ApiModel):
    """A label that tells the arms apart, where pods do not (collectors, meshes).

    In YAML it may also be empty, which means the same as absent: by the arms' pods.
    """

    model_config = ConfigDict(json_schema_extra=_require_nothing)

    label: Annotated[LabelName, Field(description="Label of the series.")]
    stable: Annotated[Text, Field(description="Its value for stable.")]
    candidate: Annotated[Text, Field(description="Its value for the candidate.")]

    @rule(
        "!has(self.label) && !has(self.stable) && !has(self.candidate) || "
        "has(self.label) && has(self.stable) && has(self.candidate) && self.stable != self.candidate",
        "arms must have label, stable and candidate, with different values for both, or be empty",
    )
    def _values_differ(self) -> bool:
        return self.stable != self.candidate


class Superiority(StrEnum):
    """Whether a Target must be shown to be better than stable before a promotion."""

    REPORTED = "Reported"
    REQUIRED = "Required"


class Metric(ApiModel):
    """One question that is asked of both arms in every window."""

    name: Annotated[ShortName, Field(description="Name of the metric, unique in the rollout.")]
    role: Annotated[
        Role,
        Field(
            description="Guardrail and Target decide; Watch is only shown; RedFlag rolls back at once when the "
            "candidate's rate in a window exceeds threshold."
        ),
    ] = Role.GUARDRAIL
    preset: Annotated[
        PresetName | None, Field(description="Counters of a known model server, for example mlserver/errors.")
    ] = None
    ratio: Annotated[Ratio | None, Field(description="Bad requests over all requests.")] = None
    rate: Annotated[Rate | None, Field(description="Events per exposure.")] = None
    mean: Annotated[Mean | None, Field(description="A mean of values.")] = None
    histogram: Annotated[Histogram | None, Field(description="Higher values are worse: latency.")] = None
    distribution: Annotated[Distribution | None, Field(description="Any change matters: scores, classes.")] = None
    paired: Annotated[
        Paired | None, Field(description="Wrong answers of both arms to the same requests: mirrored traffic.")
    ] = None
    query: Annotated[
        QueryString | None,
        Field(description="PromQL of one arm with {{selector}}; RedFlag and Watch only, where the operator allows it."),
    ] = None
    margin: Annotated[
        Margin | None, Field(description="How much worse than stable is tolerated. Presets bring a default.")
    ] = None
    threshold: Annotated[DecimalString | None, Field(description="RedFlag: highest tolerated rate in a window.")] = None
    min_requests: Annotated[
        int | None,
        Field(strict=True, ge=1, le=1_000_000_000, description="RedFlag: requests that a window must have."),
    ] = None
    arms: Annotated[ArmLabels | None, Field(description="Tell the arms by a label instead of by their pods.")] = None
    allow_absent: Annotated[
        bool | None,
        Field(strict=True, description="The bad series may never have existed. Default: false, true for presets."),
    ] = None
    weight: Annotated[
        DecimalString, Field(description="Share in the evidence for a roll-back, in relation to the other metrics.")
    ] = Decimal(1)
    superiority: Annotated[
        Superiority, Field(description="Target: whether a promotion needs proof that the candidate is better.")
    ] = Superiority.REPORTED
    slices: Annotated[
        tuple[LabelName, ...],
        Field(max_length=3, description="Labels by whose values the ratio is looked at in parts as well."),
    ] = ()
    label_delay: Annotated[
        Duration | None, Field(description="How late labels arrive: requests are judged when they are that old.")
    ] = None
    cohort: Annotated[
        LabelName | None,
        Field(description="Label of both counters that holds when the prediction was made, in labelDelay's steps."),
    ] = None

    @property
    def kind(self) -> Kind:
        """What the metric is made of; presets are ratios, and histograms where they ask for latency."""
        if self.preset is not None and self.preset.endswith(_LATENCY):
            return Kind.HISTOGRAM
        return next((kind for kind in Kind if getattr(self, kind.value) is not None), Kind.RATIO)

    @field_validator("arms", mode="before")
    @classmethod
    def _empty_is_absent(cls, arms: object) -> object:
        return None if arms == {} else arms

    @rule(
        f"[{', '.join(f'has(self.{shape})' for shape in _SHAPES)}].exists_one(x, x)",
        _ONE_SHAPE,
    )
    def _one_shape(self) -> bool:
        return sum(getattr(self, shape) is not None for shape in _SHAPES) == 1

    @rule(
        "self.role == 'RedFlag' ? has(self.threshold) && has(self.minRequests) != has(self.query) "
        ": !has(self.threshold) && !has(self.minRequests)",
        "threshold and minRequests must be set for role RedFlag, and only there (a query has no minRequests)",
    )
    def _threshold_for_red_flags(self) -> bool:
        if self.role is not Role.RED_FLAG:
            return self.threshold is None and self.min_requests is None
        return self.threshold is not None and (self.min_requests is None) == (self.query is not None)

    @rule(
        f"self.role != 'RedFlag' || !{_IN_BUCKETS}",
        "a histogram or distribution has no level that a threshold could be set for: take another role, or a query",
    )
    def _red_flags_have_a_level(self) -> bool:
        return self.role is not Role.RED_FLAG or self.kind not in (Kind.HISTOGRAM, Kind.DISTRIBUTION)

    @rule(
        "!has(self.paired) || self.role != 'RedFlag' && (!has(self.arms) || !has(self.arms.label)) && "
        "(!has(self.margin) || !has(self.margin.relative))",
        "paired must come without role RedFlag, arms and margin.relative: each pair compares the arms by itself",
    )
    def _pairs_compare_by_themselves(self) -> bool:
        relative = self.margin is not None and self.margin.relative is not None
        return self.paired is None or not (self.role is Role.RED_FLAG or self.arms is not None or relative)

    @rule(
        "!has(self.query) || self.role == 'RedFlag' || self.role == 'Watch'",
        "a query must have role RedFlag or Watch: without counts there is no statistical test",
    )
    def _queries_never_gate(self) -> bool:
        return self.query is None or not self.role.gating

    @rule(
        f"!has(self.threshold) || has(self.rate) || has(self.mean) || has(self.query) || {_share('self.threshold')}",
        "threshold must be below 1: it is a share of the requests",
    )
    def _threshold_is_a_share(self) -> bool:
        return self.threshold is None or self.kind is not Kind.RATIO or self.threshold < 1

    @rule(
        "has(self.margin) || has(self.preset) || has(self.query) || self.role == 'RedFlag'",
        "margin must be set: how much worse than stable is tolerated",
    )
    def _margin_present(self) -> bool:
        spared = self.preset is not None or self.query is not None or self.role is Role.RED_FLAG
        return self.margin is not None or spared

    @rule(
        "!has(self.margin) || !has(self.margin.absolute) || has(self.rate) || has(self.mean) || "
        f"{_share('self.margin.absolute')}",
        "margin.absolute must be below 1: it is a share of the requests",
    )
    def _margin_is_a_share(self) -> bool:
        if self.margin is None or self.margin.absolute is None or self.kind in (Kind.RATE, Kind.MEAN):
            return True
        return self.margin.absolute < 1

    @rule(
        "!has(self.mean) || !has(self.mean.bounds) || !has(self.margin) || !has(self.margin.absolute) || "
        "![self.margin.absolute, self.mean.bounds.low, self.mean.bounds.high].all(x, "
        f"x.matches(r'''{DECIMAL_PATTERN}''')) || "
        "double(self.margin.absolute) < double(self.mean.bounds.high) - double(self.mean.bounds.low)",
        "margin.absolute must be below the distance of mean.bounds: no mean can be further off",
    )
    def _margin_within_bounds(self) -> bool:
        bounds = None if self.mean is None else self.mean.bounds
        if bounds is None or self.margin is None or self.margin.absolute is None:
            return True
        return self.margin.absolute < bounds.high - bounds.low

    @rule(
        f"!has(self.margin) || !has(self.margin.relative) || !{_IN_BUCKETS}",
        "margin.relative has no meaning for a histogram or distribution: there is no single rate to be relative to",
    )
    def _margin_is_absolute_for_buckets(self) -> bool:
        relative = self.margin is not None and self.margin.relative is not None
        return not relative or self.kind not in (Kind.HISTOGRAM, Kind.DISTRIBUTION)

    @rule(
        "!has(self.margin) || !has(self.query)",
        "a query has no margin: it is compared with threshold alone",
    )
    def _queries_have_no_margin(self) -> bool:
        return self.margin is None or self.query is None

    @rule(
        "!has(self.weight) || self.weight.matches('[1-9]')",
        "weight must be above 0; use role Watch for a metric that decides nothing",
    )
    def _weight_counts(self) -> bool:
        return self.weight > 0

    @rule(
        "!has(self.superiority) || self.superiority == 'Reported' || self.role == 'Target'",
        "superiority Required must be set for role Target alone",
    )
    def _superiority_for_targets(self) -> bool:
        return self.superiority is Superiority.REPORTED or self.role is Role.TARGET

    @rule(
        "!has(self.superiority) || self.superiority == 'Reported' || !has(self.distribution)",
        "superiority must be Reported for a distribution: it changes, it does not get better",
    )
    def _no_better_distribution(self) -> bool:
        return self.superiority is Superiority.REPORTED or self.distribution is None

    @rule(
        f"has(self.preset) && !self.preset.endsWith('{_LATENCY}') || has(self.ratio) || "
        "(!has(self.slices) || self.slices.size() == 0) && "
        "!has(self.labelDelay) && !has(self.cohort)",
        "slices, labelDelay and cohort must be set for a ratio or preset alone",
    )
    def _parts_of_ratios(self) -> bool:
        parts = bool(self.slices) or self.label_delay is not None or self.cohort is not None
        return not parts or self.kind is Kind.RATIO

    @rule(
        f"!has(self.labelDelay) || !self.labelDelay.matches(r'''{DURATION_PATTERN}''') || "
        "duration(self.labelDelay) >= duration('1s') && duration(self.labelDelay) <= duration('24h')",
        "labelDelay must be between 1s and 24h",
    )
    def _label_delay_is_sane(self) -> bool:
        return self.label_delay is None or _SHORTEST_DELAY <= self.label_delay <= _LONGEST_DELAY

    @rule("!has(self.cohort) || has(self.labelDelay)", "cohort must come with labelDelay: how old a cohort must be")
    def _cohorts_ripen(self) -> bool:
        return self.cohort is None or self.label_delay is not None
