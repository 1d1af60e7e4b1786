"""``ModelRollout.spec``: what the user writes, with every default and every rule that admission can check."""

from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field, StringConstraints, model_validator

from controller.api.model import ApiModel
from controller.api.scalars import DecimalString, Duration, ObjectName, OptionalDecimal, ServiceName
from controller.api.selectors import SelectorString
from controller.api.verdicts import Advance, Role

_LABEL_NAME = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]
_LABEL_VALUE = Annotated[str, StringConstraints(min_length=1, max_length=253)]
_SHORT_TEXT = Annotated[str, StringConstraints(min_length=1, max_length=253)]


def _rules(*rules: tuple[str, str]) -> dict[str, Any]:
    """Return CEL rules as the CRD carries them: what must hold, and the message when it does not."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in rules]}


def _not_supported(*fields: str) -> tuple[tuple[str, str], ...]:
    return tuple((f"!has(self.{field})", f"{field} is not supported yet; remove it") for field in fields)


class Later(ApiModel):
    """The place of a field that a later release brings; admission refuses it in words."""

    model_config: ClassVar = {"extra": "allow"}


class Scale(StrEnum):
    """Who decides how many pods the candidate has."""

    BY_USER = "ByUser"
    BY_WEIGHT = "ByWeight"


class StableRef(ApiModel):
    """What serves before the first promotion; afterwards ``status.stable`` rules."""

    deployment: Annotated[ObjectName, Field(description="Deployment that serves before the first promotion.")]
    service: Annotated[
        ServiceName | None,
        Field(description="Service of its pods, for gateway. Default: named as the Deployment."),
    ] = None


class CandidateRef(ApiModel):
    """What should serve next."""

    deployment: Annotated[ObjectName, Field(description="Deployment that should serve next.")]
    service: Annotated[
        ServiceName | None,
        Field(description="Service of its pods, for gateway. Default: named as the Deployment."),
    ] = None
    scale: Annotated[
        Scale | None,
        Field(
            description="Who sizes the candidate: ByUser, or ByWeight (the operator, through /scale). "
            "Default: ByWeight with router service, ByUser with gateway."
        ),
    ] = None


class ModelInfo(ApiModel):
    """Which model the candidate serves; shown in status and history."""

    model_config: ClassVar = {"json_schema_extra": _rules(*_not_supported("protocol", "port"))}

    name: Annotated[_SHORT_TEXT | None, Field(description="Name of the model.")] = None
    version: Annotated[_SHORT_TEXT | None, Field(description="Version of the model that the candidate serves.")] = None
    protocol: Annotated[_SHORT_TEXT | None, Field(description="Inference protocol, for the smoke test.")] = None
    port: Annotated[int | None, Field(ge=1, le=65535, description="Port of the pods, for the smoke test.")] = None


class GatewayTraffic(ApiModel):
    """Weights of a Gateway API HTTPRoute."""

    http_route: Annotated[
        ObjectName,
        Field(description="HTTPRoute with one rule that holds both Services as backendRefs (100 and 0)."),
    ]
    section_name: Annotated[
        str, Field(max_length=253, description="Name of the rule, when several rules hold both Services.")
    ] = ""


class ServiceTraffic(ApiModel):
    """The selector of a plain Service."""

    name: Annotated[ServiceName, Field(description="Service that the clients call.")]


class Traffic(ApiModel):
    """The one router that splits the requests."""

    model_config: ClassVar = {
        "json_schema_extra": _rules(
            ("has(self.gateway) != has(self.service)", "exactly one router must be set: gateway or service")
        )
    }

    gateway: Annotated[GatewayTraffic | None, Field(description="Exact weights through a Gateway API HTTPRoute.")] = (
        None
    )
    service: Annotated[
        ServiceTraffic | None, Field(description="Weights by pod counts through a Service's selector.")
    ] = None
    requests: Annotated[
        SelectorString | None,
        Field(description="Counter for the observed weight. Default: the first ratio metric's total."),
    ] = None

    @model_validator(mode="after")
    def _one_router(self) -> "Traffic":
        if (self.gateway is None) == (self.service is None):
            msg = "exactly one router must be set: gateway or service"
            raise ValueError(msg)
        return self


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


Weight = Annotated[int, Field(ge=1, le=99)]

_STEPS_RULES: Final = _rules(
    (
        "self.isSorted() && self.all(w, self.exists_one(v, v == w))",
        "steps must ascend, for example [5, 10, 25, 50]",
    ),
)


class Strategy(ApiModel):
    """How the weight grows and what waits for what."""

    model_config: ClassVar = {
        "json_schema_extra": _rules(
            (
                "duration(self.interval) >= duration('1s') && duration(self.interval) <= duration('24h')",
                "interval must be between 1s and 24h",
            ),
            (
                "duration(self.deadline) > duration(self.interval)",
                "deadline must be longer than interval: no window would be judged before it",
            ),
            (
                "duration(self.dataTimeout) >= duration(self.interval)",
                "dataTimeout must be at least one interval",
            ),
        )
    }

    steps: Annotated[
        tuple[Weight, ...],
        Field(
            min_length=1,
            max_length=20,
            json_schema_extra=_STEPS_RULES,
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
    min_windows: Annotated[int, Field(ge=1, le=1000, description="Windows judged in each step, at least.")] = 3
    harm_budget: Annotated[
        OptionalDecimal | None,
        Field(description="Extra bad requests as a share of all requests. Default: the metric's margin."),
    ] = None
    interval: Annotated[Duration, Field(description="Length of a window.")] = timedelta(seconds=30)
    warmup: Annotated[Duration, Field(description="A pod's first requests that are not judged, once per pod.")] = (
        timedelta(seconds=60)
    )
    min_requests: Annotated[
        int, Field(ge=1, le=1_000_000_000, description="Judged requests per arm before a promotion.")
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

    @model_validator(mode="after")
    def _coherent(self) -> "Strategy":
        if list(self.steps) != sorted(set(self.steps)):
            msg = f"steps must ascend, for example [5, 10, 25, 50]; found {list(self.steps)}"
            raise ValueError(msg)
        return self


class Margin(ApiModel):
    """How much worse is tolerated: the larger of both, ``relative`` times stable's rate at the epoch's start."""

    model_config: ClassVar = {
        "json_schema_extra": _rules(
            ("has(self.absolute) || has(self.relative)", "margin must have absolute, relative or both")
        )
    }

    absolute: Annotated[DecimalString | None, Field(description="In units of the rate: 0.01 is one point.")] = None
    relative: Annotated[DecimalString | None, Field(description="As a share of stable's rate: 0.5 is half more.")] = (
        None
    )

    @model_validator(mode="after")
    def _present(self) -> "Margin":
        if self.absolute is None and self.relative is None:
            msg = "margin must have absolute, relative or both"
            raise ValueError(msg)
        return self


class Ratio(ApiModel):
    """Two counters: bad requests and all requests."""

    bad: Annotated[SelectorString, Field(description="Counter of the bad ones.")]
    total: Annotated[SelectorString, Field(description="Counter of all.")]


class ArmLabels(ApiModel):
    """A label that tells the arms apart, where pods do not (collectors, meshes)."""

    label: Annotated[_LABEL_NAME, Field(description="Label of the series.")]
    stable: Annotated[_LABEL_VALUE, Field(description="Its value for stable.")]
    candidate: Annotated[_LABEL_VALUE, Field(description="Its value for the candidate.")]


_SHAPES: Final = ("preset", "ratio", "rate", "mean", "histogram", "distribution", "query")


class Metric(ApiModel):
    """One question that is asked of both arms in every window."""

    model_config: ClassVar = {
        "json_schema_extra": _rules(
            (
                f"[{', '.join(f'has(self.{shape})' for shape in _SHAPES)}].exists_one(x, x)",
                "exactly one of preset, ratio must be set",
            ),
            *_not_supported("rate", "mean", "histogram", "distribution", "query"),
            (
                "self.role == 'RedFlag' ? has(self.threshold) && has(self.minRequests) "
                ": !has(self.threshold) && !has(self.minRequests)",
                "threshold and minRequests must be set for role RedFlag, and only there",
            ),
            (
                "has(self.margin) || has(self.preset) || self.role == 'RedFlag'",
                "margin must be set: how much worse than stable is tolerated",
            ),
        )
    }

    name: Annotated[
        str,
        StringConstraints(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"),
        Field(description="Name of the metric, unique in the rollout."),
    ]
    role: Annotated[
        Role,
        Field(
            description="Guardrail and Target decide; Watch is only shown; RedFlag rolls back at once when the "
            "candidate's rate in a window exceeds threshold."
        ),
    ] = Role.GUARDRAIL
    preset: Annotated[
        str | None,
        StringConstraints(min_length=1, max_length=63, pattern=r"^[a-z0-9-]+/[a-z0-9-]+$"),
        Field(description="Counters of a known model server, for example mlserver/errors."),
    ] = None
    ratio: Annotated[Ratio | None, Field(description="Bad requests over all requests.")] = None
    rate: Annotated[Later | None, Field(description="Not supported yet.")] = None
    mean: Annotated[Later | None, Field(description="Not supported yet.")] = None
    histogram: Annotated[Later | None, Field(description="Not supported yet.")] = None
    distribution: Annotated[Later | None, Field(description="Not supported yet.")] = None
    query: Annotated[Later | None, Field(description="Not supported yet.")] = None
    margin: Annotated[
        Margin | None, Field(description="How much worse than stable is tolerated. Presets bring a default.")
    ] = None
    threshold: Annotated[DecimalString | None, Field(description="RedFlag: highest tolerated rate in a window.")] = None
    min_requests: Annotated[
        int | None, Field(ge=1, le=1_000_000_000, description="RedFlag: requests that a window must have.")
    ] = None
    arms: Annotated[ArmLabels | None, Field(description="Tell the arms by a label instead of by their pods.")] = None
    allow_absent: Annotated[
        bool | None,
        Field(description="The bad series may never have existed. Default: false, true for presets."),
    ] = None


class PrometheusRef(ApiModel):
    """One of the servers in the operator's configuration."""

    name: Annotated[_SHORT_TEXT, Field(description="Its name there.")] = "default"


class Labels(ApiModel):
    """Label names in the user's Prometheus."""

    namespace: Annotated[_LABEL_NAME, Field(description="Label that holds the namespace.")] = "namespace"
    pod: Annotated[_LABEL_NAME, Field(description="Label that holds the pod's name.")] = "pod"


class Analysis(ApiModel):
    """What is compared, and how sure one must be."""

    model_config: ClassVar = {
        "json_schema_extra": _rules(
            *_not_supported("noise"),
            (
                "double(self.alpha) > 0.0 && double(self.alpha) <= 0.5",
                "alpha must be above 0 and at most 0.5",
            ),
            (
                "self.metrics.exists(m, m.role == 'Guardrail' || m.role == 'Target')",
                "at least one metric must have role Guardrail or Target: nothing else can promote or roll back",
            ),
        )
    }

    prometheus: Annotated[PrometheusRef, Field(description="Where the counters are.")] = PrometheusRef()
    labels: Annotated[Labels, Field(description="Label names in that Prometheus.")] = Labels()
    alpha: Annotated[
        DecimalString,
        Field(
            description="Highest probability of a roll-back although every metric is within its margin, over all "
            "looks and metrics."
        ),
    ] = Decimal("0.05")
    noise: Annotated[Literal["Widen", "Strict"] | None, Field(description="Not supported yet.")] = None
    metrics: Annotated[
        tuple[Metric, ...],
        Field(
            min_length=1,
            max_length=20,
            description="What is compared.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ]


class ModelRolloutSpec(ApiModel):
    """The whole spec."""

    model_config: ClassVar = {"json_schema_extra": _rules(*_not_supported("verify", "backup", "watch"))}

    suspend: Annotated[bool, Field(description="Act on nothing; the weight stays where it is.")] = False
    stable: Annotated[StableRef, Field(description="What serves before the first promotion.")]
    candidate: Annotated[
        CandidateRef | None, Field(description="What should serve next. Absent or equal to stable: idle.")
    ] = None
    model: Annotated[ModelInfo, Field(description="Which model the candidate serves.")] = ModelInfo()
    traffic: Annotated[Traffic, Field(description="The router that splits the requests.")]
    strategy: Annotated[Strategy, Field(description="How the weight grows.")] = Strategy()
    analysis: Annotated[Analysis, Field(description="What is compared.")]
    verify: Annotated[Later | None, Field(description="Not supported yet.")] = None
    backup: Annotated[Later | None, Field(description="Not supported yet.")] = None
    watch: Annotated[Later | None, Field(description="Not supported yet.")] = None
    history_limit: Annotated[
        int, Field(ge=1, le=50, description="Epochs that are kept in status.history and as RolloutRecords.")
    ] = 10
