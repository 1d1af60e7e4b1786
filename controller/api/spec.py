"""``ModelRollout.spec``: what the user writes, with every default and every rule that admission can check."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from controller.api.analysis import Analysis, GroupSequential, Labels, Noise, PrometheusRef, Spending
from controller.api.kinds import Better, Bounds, Distribution, Histogram, Mean, Rate, Ratio
from controller.api.later import LATER_BACKUP, LATER_WATCH
from controller.api.metric import ArmLabels, Margin, Metric, Superiority
from controller.api.model import ApiModel
from controller.api.rules import rule
from controller.api.scalars import ObjectName, ServiceName, Text
from controller.api.selectors import SelectorString
from controller.api.strategy import Approval, OnNoData, OnUndecided, Strategy, Weight
from controller.api.verdicts import Advance, Kind, Role
from controller.api.verify import Protocol, Verify

__all__ = [
    "Advance",
    "Analysis",
    "Approval",
    "ArmLabels",
    "Better",
    "Bounds",
    "CandidateRef",
    "Distribution",
    "GatewayTraffic",
    "GroupSequential",
    "Histogram",
    "Kind",
    "Labels",
    "Margin",
    "Mean",
    "Metric",
    "ModelInfo",
    "ModelRolloutSpec",
    "Noise",
    "OnNoData",
    "OnUndecided",
    "PrometheusRef",
    "Rate",
    "Ratio",
    "Role",
    "Scale",
    "ServiceTraffic",
    "Sessions",
    "Spending",
    "StableRef",
    "Strategy",
    "Superiority",
    "Traffic",
    "Weight",
]


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

    name: Annotated[Text | None, Field(description="Name of the model.")] = None
    version: Annotated[Text | None, Field(description="Version of the model that the candidate serves.")] = None
    protocol: Annotated[Protocol | None, Field(description="How its server is spoken to; verify.smoke needs it.")] = (
        None
    )
    port: Annotated[
        int | None,
        Field(strict=True, ge=1, le=65535, description="Port of its pods. Default: the first container's first port."),
    ] = None


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


class Sessions(StrEnum):
    """Whether requests are routed one by one."""

    INDEPENDENT = "Independent"
    STICKY = "Sticky"


class Traffic(ApiModel):
    """The one router that splits the requests."""

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
    sessions: Annotated[
        Sessions,
        Field(
            description="Independent: requests are routed one by one. Sticky: by session, so that shares vary more "
            "and a mismatch is looked for between windows."
        ),
    ] = Sessions.INDEPENDENT

    @rule("has(self.gateway) != has(self.service)", "exactly one router must be set: gateway or service")
    def _one_router(self) -> bool:
        return (self.gateway is None) != (self.service is None)


def _service_in_cel(arm: str) -> str:
    return f"(has(self.{arm}.service) ? self.{arm}.service : self.{arm}.deployment)"


class ModelRolloutSpec(ApiModel):
    """The whole spec."""

    suspend: Annotated[bool, Field(strict=True, description="Act on nothing; the weight stays where it is.")] = False
    stable: Annotated[StableRef, Field(description="What serves before the first promotion.")]
    candidate: Annotated[
        CandidateRef | None, Field(description="What should serve next. Absent or equal to stable: idle.")
    ] = None
    model: Annotated[ModelInfo, Field(description="Which model the candidate serves.")] = ModelInfo()
    traffic: Annotated[Traffic, Field(description="The router that splits the requests.")]
    strategy: Annotated[Strategy, Field(description="How the weight grows.")] = Strategy()
    analysis: Annotated[Analysis, Field(description="What is compared.")]
    verify: Annotated[Verify | None, Field(description="What must hold before the candidate serves anyone.")] = None
    backup: Annotated[None, LATER_BACKUP, Field(description="Not supported yet.")] = None
    watch: Annotated[None, LATER_WATCH, Field(description="Not supported yet.")] = None
    history_limit: Annotated[
        int,
        Field(strict=True, ge=1, le=50, description="Epochs that are kept in status.history and as RolloutRecords."),
    ] = 10

    @rule(
        "!has(self.candidate) || !has(self.traffic.gateway) || self.stable.deployment == self.candidate.deployment || "
        f"{_service_in_cel('stable')} != {_service_in_cel('candidate')}",
        "with router gateway, stable and candidate must each have a Service of their own: set service to two different "
        "names",
    )
    def _services_differ(self) -> bool:
        stable, candidate = self.stable, self.candidate
        if candidate is None or self.traffic.gateway is None or stable.deployment == candidate.deployment:
            return True
        return (stable.service or stable.deployment) != (candidate.service or candidate.deployment)

    @rule(
        "!has(self.verify) || !has(self.verify.smoke) || has(self.model) && has(self.model.protocol)",
        "verify.smoke needs model.protocol: OpenInference, KServeV1, TensorFlowServing, MLflow, BentoML, OpenAI, Plain",
    )
    def _protocol_known(self) -> bool:
        return self.verify is None or self.verify.smoke is None or self.model.protocol is not None
