"""``spec.verify.smoke``: the requests that every pod of the candidate must answer as expected."""

from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from controller.api.model import ApiModel
from controller.api.rules import rule
from controller.api.scalars import (
    DecimalString,
    Duration,
    JsonText,
    ObjectName,
    ShortName,
    SignedDecimal,
    Text,
)

_JsonPath = Annotated[
    str,
    Field(
        max_length=256,
        description="Where in the answer, as $.predictions[0] or $.outputs[0].data. Default: what the model answered, "
        "without the protocol's envelope.",
    ),
]
_Fingerprint = Annotated[str, Field(min_length=16, max_length=64)]


class Protocol(StrEnum):
    """How the model server is spoken to."""

    OPEN_INFERENCE = "OpenInference"
    KSERVE_V1 = "KServeV1"
    TENSORFLOW_SERVING = "TensorFlowServing"
    MLFLOW = "MLflow"
    BENTO_ML = "BentoML"
    OPEN_AI = "OpenAI"
    PLAIN = "Plain"


class Tolerance(ApiModel):
    """Two numbers agree when |a - b| <= atol + rtol * |b|, b being the expected one."""

    rtol: Annotated[DecimalString, Field(description="Relative tolerance.")] = Decimal(0)
    atol: Annotated[DecimalString, Field(description="Absolute tolerance.")] = Decimal(0)


class Approx(Tolerance):
    """Numbers near expected ones, in the same nesting."""

    value: Annotated[JsonText, Field(description="The expected number or lists of numbers, as JSON.")]


class TopK(ApiModel):
    """The k largest entries of a list of scores hold these positions."""

    k: Annotated[int, Field(strict=True, ge=1, le=100, description="How many of the largest.")]
    contains: Annotated[
        tuple[Annotated[int, Field(strict=True, ge=0)], ...],
        Field(min_length=1, max_length=100, description="Positions that must be among them, counted from 0."),
    ]


class NumberRange(ApiModel):
    """Every number lies between these, both included; either may be left out."""

    min: Annotated[SignedDecimal | None, Field(description="The least.")] = None
    max: Annotated[SignedDecimal | None, Field(description="The greatest.")] = None

    @rule("has(self.min) || has(self.max)", "range must set min, max, or both")
    def _bounded(self) -> bool:
        return self.min is not None or self.max is not None


_CHOICES = ("equals", "approx", "oneOf", "argmaxEquals", "topK", "range", "finite", "jsonSchema", "regex")
_COUNT = " + ".join(f"(has(self.{name}) ? 1 : 0)" for name in _CHOICES)


class Expectation(ApiModel):
    """One thing that must hold of the answer: exactly one field beside ``path``."""

    path: _JsonPath = ""
    equals: Annotated[JsonText | None, Field(description="Exactly this JSON; 1 and 1.0 are the same number.")] = None
    approx: Annotated[Approx | None, Field(description="Numbers near these.")] = None
    one_of: Annotated[
        tuple[JsonText, ...] | None, Field(min_length=1, max_length=50, description="One of these, as JSON.")
    ] = None
    argmax_equals: Annotated[
        int | None, Field(strict=True, ge=0, description="Position of the largest number of a list, from 0.")
    ] = None
    top_k: Annotated[TopK | None, Field(description="Positions among the largest numbers of a list.")] = None
    range: Annotated[NumberRange | None, Field(description="Bounds of every number.")] = None
    finite: Annotated[
        bool | None, Field(strict=True, description="true: no NaN and no infinity, at least one number.")
    ] = None
    json_schema: Annotated[JsonText | None, Field(description="A JSON schema that the answer obeys.")] = None
    regex: Annotated[
        str | None, Field(min_length=1, max_length=512, description="RE2 expression that matches within the text.")
    ] = None

    @rule(
        f"{_COUNT} == 1",
        f"each expectation must set exactly one of: {', '.join(_CHOICES)}",
    )
    def _one(self) -> bool:
        found = (
            self.equals,
            self.approx,
            self.one_of,
            self.argmax_equals,
            self.top_k,
            self.range,
            self.finite,
            self.json_schema,
            self.regex,
        )
        return sum(each is not None for each in found) == 1

    @rule("!has(self.finite) || self.finite", "finite can only be true; leave it out otherwise", field="finite")
    def _only_true(self) -> bool:
        return self.finite is not False


class GoldenCase(ApiModel):
    """A request whose answer is known."""

    name: Annotated[ShortName, Field(description="What it is called in status.")]
    request: Annotated[JsonText, Field(description="The request's body, as JSON, in the server's own protocol.")]
    path: Annotated[
        str | None,
        Field(max_length=256, description="Protocols Plain, BentoML: path of the request. Default: smoke.path."),
    ] = None
    expect: Annotated[tuple[Expectation, ...], Field(max_length=20, description="What must hold of the answer.")] = ()
    differential: Annotated[
        Tolerance | None, Field(description="Sent to stable as well: the two answers differ by no more than this.")
    ] = None
    max_latency: Annotated[Duration | None, Field(description="The answer is complete within this time.")] = None

    @rule(
        "has(self.expect) && size(self.expect) > 0 || has(self.differential)",
        "each golden case must set expect, differential, or both",
    )
    def _expects(self) -> bool:
        return bool(self.expect) or self.differential is not None


class Endpoint(ApiModel):
    """A field of the server's own description of the model."""

    field: Annotated[Text, Field(description="Its name, as version, versions[0], root or model_sha.")]
    equals: Annotated[Text, Field(description="What it must say.")]


class Identity(ApiModel):
    """Proof that the pod runs the model that was meant; all that is set must hold."""

    digest: Annotated[
        str | None,
        Field(
            max_length=128,
            description="Digest of the container image that the pod really runs, as sha256:0123… (prefix of 12 or "
            "more hex digits).",
        ),
    ] = None
    container: Annotated[str | None, Field(max_length=63, description="Its container. Default: the first.")] = None
    endpoint: Annotated[Endpoint | None, Field(description="What the server says of itself.")] = None
    fingerprint: Annotated[
        _Fingerprint | None,
        Field(description="Hash of the rounded answers to the golden requests, as status shows it."),
    ] = None


class InvalidInput(ApiModel):
    """A request that must be refused."""

    request: Annotated[
        str | None, Field(max_length=4096, description="Its body, any text. Default: of the protocol.")
    ] = None


class LatencyBound(ApiModel):
    """How fast the pod must be once it is warm."""

    max: Annotated[Duration, Field(description="What the quantile of the answers must not exceed.")]
    quantile: Annotated[DecimalString, Field(description="Which one.")] = Decimal("0.95")
    warmups: Annotated[int, Field(strict=True, ge=0, le=100, description="Requests before it is measured.")] = 5
    requests: Annotated[int, Field(strict=True, ge=1, le=500, description="Requests that are measured.")] = 20


class MetricsCheck(ApiModel):
    """The pod's own metrics page, where the judge's numbers come from."""

    path: Annotated[str, Field(max_length=256, description="Its path.")] = "/metrics"
    port: Annotated[int | None, Field(strict=True, ge=1, le=65535, description="Default: model.port.")] = None
    counter: Annotated[
        str | None,
        Field(max_length=256, description="Counter that must have moved. Default: the requests counter of analysis."),
    ] = None


_ONE_SOURCE = "(has(self.cases) ? 1 : 0) + (has(self.configMap) ? 1 : 0) <= 1"


class Smoke(ApiModel):
    """The steps, in order: ready, metadata, identity, signature, golden, invalid input, determinism, latency, metrics.

    The last five need golden cases or an invalid request; what is not configured and has no default is Skipped.
    """

    path: Annotated[
        str | None, Field(max_length=256, description="Protocols Plain, BentoML: path of requests, as /predict.")
    ] = None
    ready_path: Annotated[
        str | None, Field(max_length=256, description="Plain: path that answers 200 once the model is loaded.")
    ] = None
    identity: Annotated[Identity | None, Field(description="Proof that it is the model that was meant.")] = None
    cases: Annotated[
        tuple[GoldenCase, ...] | None, Field(min_length=1, max_length=50, description="Golden requests.")
    ] = None
    config_map: Annotated[
        ObjectName | None,
        Field(description="ConfigMap with golden requests: every key holds one list of cases, as YAML or JSON."),
    ] = None
    invalid_input: Annotated[InvalidInput | None, Field(description="A request that must be refused with 4xx.")] = None
    determinism: Annotated[
        Tolerance | None, Field(description="The same request twice gives the same answer, within this.")
    ] = None
    latency: Annotated[LatencyBound | None, Field(description="How fast the pod must be.")] = None
    metrics: Annotated[MetricsCheck | None, Field(description="Its counters must have moved.")] = None
    repeat_every: Annotated[
        int,
        Field(strict=True, ge=0, le=10_000, description="Windows until the golden requests are sent again; 0: never."),
    ] = 10
    deadline: Annotated[Duration, Field(description="For one pod, from its address to its last answer.")] = timedelta(
        minutes=5
    )

    @rule(_ONE_SOURCE, "golden requests must come from cases or from configMap, not from both")
    def _one_source(self) -> bool:
        return self.cases is None or self.config_map is None
