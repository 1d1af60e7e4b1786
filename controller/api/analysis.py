"""``spec.analysis``: what is compared, and how sure one must be."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import Field, field_validator

from controller.api.metric import Metric
from controller.api.model import ApiModel
from controller.api.rules import rule
from controller.api.scalars import (
    DECIMAL_PATTERN,
    DecimalString,
    LabelName,
    Text,
)


class Noise(StrEnum):
    """What happens when pods of the same model differ among themselves by more than the margin."""

    WIDEN = "Widen"
    STRICT = "Strict"


class Spending(StrEnum):
    """How a group-sequential design spends alpha over its looks (Lan and DeMets)."""

    O_BRIEN_FLEMING = "OBrienFleming"
    POCOCK = "Pocock"


class GroupSequential(ApiModel):
    """A fixed largest sample with few looks, instead of a look at every window."""

    max_requests: Annotated[
        int,
        Field(strict=True, ge=100, le=1_000_000_000, description="Judged requests of the candidate at the last look."),
    ]
    looks: Annotated[int, Field(strict=True, ge=1, le=50, description="Looks, evenly spread.")] = 5
    spending: Annotated[Spending, Field(description="How alpha is spent over the looks.")] = Spending.O_BRIEN_FLEMING


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
    noise: Annotated[
        Noise,
        Field(
            description="Pods of one model differ among themselves by more than the margin: Widen it and say so, or "
            "Strict (no automatic promotion)."
        ),
    ] = Noise.WIDEN
    group_sequential: Annotated[
        GroupSequential | None,
        Field(description="Judge the ratios at few looks up to a fixed largest sample. Default: every window."),
    ] = None
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
