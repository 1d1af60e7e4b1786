"""Presets: the counters that known model servers export, as ratio metrics; and their latency histograms.

Traps per server are in ``docs/metrics.md``. A preset's selector never tells the versions apart, because most servers
carry no version label or a misleading one; the operator adds the arms' pods.
"""

from decimal import Decimal
from typing import Final

from controller.api.model import ApiModel
from controller.api.spec import Histogram, Margin, Ratio

_ERRORS: Final = Margin(absolute=Decimal("0.0025"), relative=Decimal("0.5"))
_ACCURACY: Final = Margin(absolute=Decimal("0.01"))
_LATENCY: Final = Margin(absolute=Decimal("0.02"))


class Preset(ApiModel):
    """Counters and default margin of one preset."""

    ratio: Ratio
    margin: Margin


class LatencyPreset(ApiModel):
    """Histogram and default margin of one preset."""

    histogram: Histogram
    margin: Margin = _LATENCY


def _preset(bad: str, total: str, margin: Margin) -> Preset:
    return Preset(ratio=Ratio(bad=bad, total=total), margin=margin)


PRESETS: Final[dict[str, Preset]] = {
    "mlr/errors": _preset(
        'mlr_requests_total{outcome=~"server_error|timeout|invalid_output"}', "mlr_requests_total", _ERRORS
    ),
    "mlr/accuracy": _preset('mlr_feedback_total{result="incorrect"}', "mlr_feedback_total", _ACCURACY),
    "mlserver/errors": _preset(
        "model_infer_request_failure_total",
        '{__name__=~"model_infer_request_(success|failure)_total"}',
        _ERRORS,
    ),
    # CANCELED is the client's doing; it is neither a success nor an error.
    "triton/errors": _preset(
        'nv_inference_request_failure{reason!="CANCELED"}',
        '{__name__=~"nv_inference_request_(success|failure)",reason!="CANCELED"}',
        _ERRORS,
    ),
    "tfserving/errors": _preset(
        ':tensorflow:serving:request_count{status!="OK"}', ":tensorflow:serving:request_count", _ERRORS
    ),
    "bentoml/errors": _preset(
        'bentoml_service_request_total{http_response_code=~"5.."}', "bentoml_service_request_total", _ERRORS
    ),
    "seldon1/errors": _preset(
        'seldon_api_executor_server_requests_seconds_count{code=~"5.."}',
        "seldon_api_executor_server_requests_seconds_count",
        _ERRORS,
    ),
    "seldon2/errors": _preset('seldon_model_infer_total{code!~"200|OK"}', "seldon_model_infer_total", _ERRORS),
    "tgi/errors": _preset('tgi_request_failure{err!="validation"}', "tgi_request_count", _ERRORS),
    "vllm/errors": _preset('http_requests_total{status=~"5.."}', "http_requests_total", _ERRORS),
}
"""By name, ``<server>/<question>``."""

LATENCIES: Final[dict[str, LatencyPreset]] = {
    f"{server}/latency": LatencyPreset(histogram=Histogram(buckets=buckets))
    for server, buckets in {
        "mlr": "mlr_request_duration_seconds_bucket",
        "kserve": "request_predict_seconds_bucket",
        "tfserving": ":tensorflow:serving:request_latency_bucket",
        "bentoml": "bentoml_service_request_duration_seconds_bucket",
        "seldon1": "seldon_api_executor_server_requests_seconds_bucket",
        "tgi": "tgi_request_duration_bucket",
        "vllm": "vllm:e2e_request_latency_seconds_bucket",
    }.items()
}
"""By name, ``<server>/latency``: how long whole requests take, as a classic histogram."""
