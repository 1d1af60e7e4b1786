"""``spec.analysis``: what is compared, and how sure one must be."""

from decimal import Decimal
from typing import Annotated, Final

from pydantic import ConfigDict, Field, field_validator
from pydantic.json_schema import JsonSchemaValue

from controller.api.later import LATER_BUCKETS, LATER_MEAN, LATER_RATE, LATER_TEXT
from controller.api.model import ApiModel
from controller.api.rules import rule
from controller.api.scalars import DECIMAL_PATTERN, DecimalString, LabelName, PresetName, ShortName, Text
from controller.api.selectors import SelectorString
from controller.api.verdicts import Role

_SHAPES: Final = ("preset", "ratio", "rate", "mean", "histogram", "distribution", "query")


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


class Ratio(ApiModel):
    """Two counters: bad requests and all requests."""

    bad: Annotated[SelectorString, Field(description="Counter of the bad ones.")]
    total: Annotated[SelectorString, Field(description="Counter of all.")]


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
    rate: Annotated[None, LATER_RATE, Field(description="Not supported yet.")] = None
    mean: Annotated[None, LATER_MEAN, Field(description="Not supported yet.")] = None
    histogram: Annotated[None, LATER_BUCKETS, Field(description="Not supported yet.")] = None
    distribution: Annotated[None, LATER_BUCKETS, Field(description="Not supported yet.")] = None
    query: Annotated[None, LATER_TEXT, Field(description="Not supported yet.")] = None
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

    @field_validator("arms", mode="before")
    @classmethod
    def _empty_is_absent(cls, arms: object) -> object:
        return None if arms == {} else arms

    @rule(
        f"[{', '.join(f'has(self.{shape})' for shape in _SHAPES)}].exists_one(x, x)",
        "exactly one of preset, ratio must be set",
    )
    def _one_shape(self) -> bool:
        return (self.preset is None) != (self.ratio is None)

    @rule(
        "self.role == 'RedFlag' ? has(self.threshold) && has(self.minRequests) "
        ": !has(self.threshold) && !has(self.minRequests)",
        "threshold and minRequests must be set for role RedFlag, and only there",
    )
    def _threshold_for_red_flags(self) -> bool:
        given = (self.threshold is not None, self.min_requests is not None)
        return all(given) if self.role is Role.RED_FLAG else not any(given)

    @rule(
        f"!has(self.threshold) || {_share('self.threshold')}",
        "threshold must be below 1: it is a share of the requests",
    )
    def _threshold_is_a_share(self) -> bool:
        return self.threshold is None or self.threshold < 1

    @rule(
        "has(self.margin) || has(self.preset) || self.role == 'RedFlag'",
        "margin must be set: how much worse than stable is tolerated",
    )
    def _margin_present(self) -> bool:
        return self.margin is not None or self.preset is not None or self.role is Role.RED_FLAG

    @rule(
        f"!has(self.margin) || !has(self.margin.absolute) || {_share('self.margin.absolute')}",
        "margin.absolute must be below 1: it is a share of the requests",
    )
    def _margin_is_a_share(self) -> bool:
        return self.margin is None or self.margin.absolute is None or self.margin.absolute < 1


class PrometheusRef(ApiModel):
    """One of the servers in the operator's configuration."""

    name: Annotated[Text, Field(description="Its name there.")] = "default"


class Labels(ApiModel):
    """Label names in the user's Prometheus."""

    namespace: Annotated[LabelName, Field(description="Label that holds the namespace.")] = "namespace"
    pod: Annotated[LabelName, Field(description="Label that holds the pod's name.")] = "pod"


class Analysis(ApiModel):
    """What is compared, and how sure one must be."""

    prometheus: Annotated[PrometheusRef, Field(description="Where the counters are.")] = PrometheusRef()
    labels: Annotated[Labels, Field(description="Label names in that Prometheus.")] = Labels()
    alpha: Annotated[
        DecimalString,
        Field(
            description="Highest probability of a roll-back although every metric is within its margin, over all "
            "looks and metrics."
        ),
    ] = Decimal("0.05")
    noise: Annotated[None, LATER_TEXT, Field(description="Not supported yet.")] = None
    metrics: Annotated[
        tuple[Metric, ...],
        Field(
            min_length=1,
            max_length=20,
            description="What is compared.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ]

    @field_validator("metrics")
    @classmethod
    def _names_differ(cls, metrics: tuple[Metric, ...]) -> tuple[Metric, ...]:
        # No rule in CEL: the API server holds it, because the name is the key of the list.
        names = [metric.name for metric in metrics]
        repeated = next((name for name in names if names.count(name) > 1), None)
        if repeated is not None:
            msg = f"Duplicate value: metrics must have different names; found {repeated!r} twice"
            raise ValueError(msg)
        return metrics

    @rule(
        f"!self.alpha.matches(r'''{DECIMAL_PATTERN}''') || double(self.alpha) > 0.0 && double(self.alpha) <= 0.5",
        "alpha must be above 0 and at most 0.5",
        field="alpha",
    )
    def _alpha_is_a_probability(self) -> bool:
        return 0 < self.alpha <= Decimal("0.5")

    @rule(
        "self.metrics.exists(m, m.role == 'Guardrail' || m.role == 'Target')",
        "at least one metric must have role Guardrail or Target: nothing else can promote or roll back",
        field="metrics",
    )
    def _something_decides(self) -> bool:
        return any(metric.role.gating for metric in self.metrics)
