"""``spec.verify``: what must hold before the first request reaches a candidate, one module per part.

Only words and rules live here: nothing is compared, asked or run from this folder.
"""

from typing import Annotated

from pydantic import Field

from controller.api.model import ApiModel
from controller.api.verify.environment import OnMismatch, Parity, ParityGroup
from controller.api.verify.jobs import MlflowModel, Number, PipelineComponent, Provenance, Reproduction
from controller.api.verify.smoke import (
    Approx,
    Endpoint,
    Expectation,
    GoldenCase,
    Identity,
    InvalidInput,
    LatencyBound,
    MetricsCheck,
    NumberRange,
    Protocol,
    Smoke,
    Tolerance,
    TopK,
)

__all__ = [
    "Approx",
    "Endpoint",
    "Expectation",
    "GoldenCase",
    "Identity",
    "InvalidInput",
    "LatencyBound",
    "MetricsCheck",
    "MlflowModel",
    "Number",
    "NumberRange",
    "OnMismatch",
    "Parity",
    "ParityGroup",
    "PipelineComponent",
    "Protocol",
    "Provenance",
    "Reproduction",
    "Smoke",
    "Tolerance",
    "TopK",
    "Verify",
]


class Verify(ApiModel):
    """Proofs that are asked for before any user is served by the candidate; each part may be left out."""

    smoke: Annotated[Smoke | None, Field(description="Requests to every pod of the candidate.")] = None
    parity: Annotated[Parity | None, Field(description="Stable's and the candidate's environments compared.")] = None
    provenance: Annotated[
        Provenance | None, Field(description="Versions of code, data and environment that the candidate must carry.")
    ] = None
    reproduction: Annotated[
        Reproduction | None, Field(description="A Job that trains or scores again; its numbers must match.")
    ] = None
    pipeline: Annotated[
        tuple[PipelineComponent, ...],
        Field(
            max_length=16,
            description="Jobs in order, each with what must hold before and after it.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = ()
