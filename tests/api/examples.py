"""Specs for tests: the smallest useful one, ways to change it, and all that is wrong with what users write."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

Json = dict[str, Any]

ABSENT: Final = object()
"""In a change: take the field away."""

SMALLEST: Final[Json] = {
    "stable": {"deployment": "fraud-v1"},
    "candidate": {"deployment": "fraud-v2"},
    "traffic": {"gateway": {"httpRoute": "fraud"}},
    "analysis": {
        "metrics": [
            {"name": "errors", "preset": "mlserver/errors"},
            {
                "name": "accuracy",
                "ratio": {"bad": 'mlr_feedback_total{result="incorrect"}', "total": "mlr_feedback_total"},
                "margin": {"absolute": "0.01"},
            },
        ]
    },
}
"""The smallest useful spec of the documentation."""

KINDS: Final[Mapping[str, Json]] = {
    "rate": {
        "rate": {"count": "exceptions_total", "exposure": "requests_total"},
        "margin": {"relative": "0.2"},
    },
    "mean": {
        "mean": {"sum": "request_cost_sum", "count": "request_cost_count"},
        "margin": {"absolute": "2.5"},
    },
    "histogram": {
        "histogram": {"buckets": "request_duration_seconds_bucket"},
        "margin": {"absolute": "0.02"},
    },
    "distribution": {
        "distribution": {"buckets": "predictions_total", "label": "class"},
        "margin": {"absolute": "0.05"},
    },
    "paired": {
        "paired": {"counter": "mlr_pair_total"},
        "margin": {"absolute": "0.01"},
    },
    "query": {
        "query": "max(gpu_memory_used_bytes{{{selector}}})",
        "role": "RedFlag",
        "threshold": "8000000000",
    },
}
"""The smallest useful metric of each kind but the ratio, without its name."""

ERRORS: Final = "analysis.metrics.0"
ACCURACY: Final = "analysis.metrics.1"


def changed(changes: Mapping[str, Any], spec: Json = SMALLEST) -> Json:
    """Return a copy with values put at dotted paths; numbers are positions in lists, missing objects are made."""
    result = copy.deepcopy(spec)
    for path, value in changes.items():
        *parents, last = (int(part) if part.isdigit() else part for part in path.split("."))
        place: Any = result
        for part in parents:
            place = place[part] if isinstance(part, int) else place.setdefault(part, {})
        if value is ABSENT:
            del place[last]
        else:
            place[last] = value
    return result


def rollout(spec: Json = SMALLEST, *, name: str = "fraud") -> Json:
    """Return a whole ModelRollout."""
    return {
        "apiVersion": "modelrollout.dev/v1alpha1",
        "kind": "ModelRollout",
        "metadata": {"name": name},
        "spec": spec,
    }


@dataclass(frozen=True)
class Refused:
    """A mistake, where it is blamed, and what the user is told by the API server (and offline, where that differs)."""

    mistake: str
    changes: Mapping[str, Any]
    field: str
    message: str
    offline: str = ""

    @property
    def told_offline(self) -> str:
        """What validation in Python says."""
        return self.offline or self.message


_ROUTER = "exactly one router must be set: gateway or service"
_SHAPE = "exactly one of preset, ratio, rate, mean, histogram, distribution, paired, query must be set"
_STEPS = "steps must ascend, for example [5, 10, 25, 50]"
_DURATION = "must be a duration such as 30s, 10m or 1h30m, at most 8760h"
_DECIMAL = 'must be a decimal number in quotes such as "0.05"'
_ALPHA = "alpha must be above 0 and at most 0.5"
_SELECTOR = "must be a plain PromQL selector"
_RED_FLAG = "threshold and minRequests must be set for role RedFlag, and only there"
_MARGIN = "margin must have absolute, relative or both, and one of them above 0"
_ARMS = "arms must have label, stable and candidate, with different values for both, or be empty"
_PLACE = "must hold {{selector}} inside of braces"
_LATER = "this field is not supported yet; remove it"
_TYPE = "must be of type"
_UNKNOWN = "Extra inputs are not permitted"
_BAD = f"{ACCURACY}.ratio.bad"
_BAD_FIELD = "analysis.metrics[1].ratio.bad"


def _steps(mistake: str, steps: object, message: str, offline: str) -> Refused:
    return Refused(mistake, {"strategy.steps": steps}, "strategy.steps", message, offline)


def _selector(mistake: str, text: str) -> Refused:
    return Refused(mistake, {_BAD: text}, _BAD_FIELD, _SELECTOR)


def _strategy(mistake: str, field: str, value: object, *, message: str, offline: str = "") -> Refused:
    return Refused(mistake, {f"strategy.{field}": value}, f"strategy.{field}", message, offline)


def _later(field: str, value: object) -> Refused:
    return Refused(f"{field} set", {field: value}, field, _LATER)


def _of_kind(mistake: str, metric: Mapping[str, Any], *, field: str = "", message: str, offline: str = "") -> Refused:
    """A third metric, so that the others still decide; ``field`` is below it."""
    place = f"analysis.metrics[2].{field}".rstrip(".")
    changes = {"analysis.metrics": [*SMALLEST["analysis"]["metrics"], {"name": "third", **metric}]}
    return Refused(mistake, changes, place, message, offline)


def _no_selector(kind: str, counter: str) -> Refused:
    """A function where a kind of metric expects a plain selector."""
    metric = copy.deepcopy(KINDS[kind])
    metric[kind][counter] = f"rate({metric[kind][counter]}[1m])"
    return _of_kind(f"rate() as {counter} of a {kind}", metric, field=f"{kind}.{counter}", message=_SELECTOR)


_WHOLE: Final = (
    Refused("no stable", {"stable": ABSENT}, "stable", "Required value", "Field required"),
    Refused("unknown field", {"replicas": 3}, "replicas", "unknown field", _UNKNOWN),
    Refused("unknown field deep down", {"strategy.stepz": [5]}, "strategy.stepz", "unknown field", _UNKNOWN),
    Refused("suspend as text", {"suspend": "yes"}, "suspend", _TYPE, "valid boolean"),
    Refused("no history", {"historyLimit": 0}, "historyLimit", "greater than or equal to 1"),
    Refused(
        "name of no object", {"stable.deployment": "Fraud_v1"}, "stable.deployment", "must be the name of an object"
    ),
    Refused("name of no Service", {"stable.service": "fraud.v1"}, "stable.service", "must consist of small letters"),
    Refused(
        "one Service for both arms",
        {"candidate.service": "fraud-v1"},
        "",
        "with router gateway, stable and candidate must each have a Service of their own",
    ),
    Refused("unknown way to scale", {"candidate.scale": "Magic"}, "candidate.scale", "Unsupported value", "'ByUser'"),
    Refused("no router", {"traffic.gateway": ABSENT}, "traffic", _ROUTER),
    Refused("two routers", {"traffic.service": {"name": "fraud"}}, "traffic", _ROUTER),
    Refused("function for requests", {"traffic.requests": "rate(x_total[1m])"}, "traffic.requests", _SELECTOR),
)

_STRATEGY: Final = (
    _steps("steps not ascending", [5, 25, 10], _STEPS, ""),
    _steps("steps repeated", [5, 5, 10], _STEPS, ""),
    _steps("no steps", [], "should have at least 1 items", "at least 1 item"),
    _steps("step 100", [50, 100], "less than or equal to 99", ""),
    _steps("step 0", [0, 50], "greater than or equal to 1", ""),
    _steps("step with a fraction", [0.5, 50], _TYPE, "valid integer"),
    _strategy("duration without unit", "interval", "30", message=_DURATION),
    _strategy("duration in days", "deadline", "2d", message=_DURATION),
    _strategy("duration as number", "warmup", 60, message=_TYPE, offline=_DURATION),
    _strategy("endless duration", "warmup", "99999h", message=_DURATION),
    _strategy("interval too short", "interval", "500ms", message="interval must be between 1s and 24h"),
    _strategy("deadline not longer than interval", "deadline", "30s", message="deadline must be longer than interval"),
    _strategy("dataTimeout below interval", "dataTimeout", "10s", message="dataTimeout must be at least one interval"),
    _strategy("minWindows 0", "minWindows", 0, message="greater than or equal to 1"),
    _strategy("minRequests as text", "minRequests", "100", message=_TYPE, offline="valid integer"),
    _strategy("float harmBudget", "harmBudget", 0.01, message=_TYPE, offline=_DECIMAL),
    _strategy("harmBudget in percent", "harmBudget", "1%", message=_DECIMAL),
    _strategy("harmBudget 0", "harmBudget", "0", message="harmBudget must be above 0 and below 1"),
    _strategy("harmBudget 1", "harmBudget", "1", message="harmBudget must be above 0 and below 1"),
    _strategy("unknown advance", "advance", "Fast", message="Unsupported value", offline="'Budgeted'"),
)

_ANALYSIS: Final = (
    Refused("no metrics", {"analysis.metrics": []}, "analysis.metrics", "at least 1 item"),
    Refused("duplicate metric names", {f"{ACCURACY}.name": "errors"}, "analysis.metrics[1]", "Duplicate value"),
    Refused(
        "nothing decides",
        {f"{ERRORS}.role": "Watch", f"{ACCURACY}.role": "Watch"},
        "analysis.metrics",
        "at least one metric must have role Guardrail or Target",
    ),
    Refused("alpha 0", {"analysis.alpha": "0"}, "analysis.alpha", _ALPHA),
    Refused("alpha above a half", {"analysis.alpha": "0.51"}, "analysis.alpha", _ALPHA),
    Refused("float instead of string", {"analysis.alpha": 0.05}, "analysis.alpha", _TYPE, _DECIMAL),
    Refused("alpha with exponent", {"analysis.alpha": "5e-2"}, "analysis.alpha", _DECIMAL),
    Refused(
        "label of no Prometheus", {"analysis.labels.pod": "pod-name"}, "analysis.labels.pod", "Prometheus label name"
    ),
)

_METRICS: Final = (
    Refused("metric named in words", {f"{ERRORS}.name": "My Errors"}, "analysis.metrics[0].name", "small letters"),
    Refused("neither preset nor ratio", {f"{ERRORS}.preset": ABSENT}, "analysis.metrics[0]", _SHAPE),
    Refused("preset and ratio", {f"{ACCURACY}.preset": "mlr/accuracy"}, "analysis.metrics[1]", _SHAPE),
    Refused("preset in words", {f"{ERRORS}.preset": "MLServer"}, "analysis.metrics[0].preset", "<server>/<question>"),
    Refused("unknown role", {f"{ERRORS}.role": "Boss"}, "analysis.metrics[0].role", "Unsupported value", "'Guardrail'"),
    Refused("margin missing", {f"{ACCURACY}.margin": ABSENT}, "analysis.metrics[1]", "margin must be set"),
    Refused("margin empty", {f"{ACCURACY}.margin": {}}, "analysis.metrics[1].margin", _MARGIN),
    Refused("margin 0", {f"{ACCURACY}.margin.absolute": "0.00"}, "analysis.metrics[1].margin", _MARGIN),
    Refused("margin 1", {f"{ACCURACY}.margin.absolute": "1"}, "analysis.metrics[1]", "margin.absolute must be below 1"),
    Refused("float margin", {f"{ACCURACY}.margin.absolute": 0.01}, "metrics[1].margin.absolute", _TYPE, _DECIMAL),
    Refused("negative margin", {f"{ACCURACY}.margin.absolute": "-0.01"}, "metrics[1].margin.absolute", _DECIMAL),
    Refused("RedFlag without threshold", {f"{ERRORS}.role": "RedFlag"}, "analysis.metrics[0]", _RED_FLAG),
    Refused(
        "RedFlag without minRequests",
        {f"{ERRORS}.role": "RedFlag", f"{ERRORS}.threshold": "0.2"},
        "analysis.metrics[0]",
        _RED_FLAG,
    ),
    Refused("threshold of a Guardrail", {f"{ERRORS}.threshold": "0.2"}, "analysis.metrics[0]", _RED_FLAG),
    Refused(
        "threshold in percent",
        {f"{ERRORS}.role": "RedFlag", f"{ERRORS}.threshold": "20", f"{ERRORS}.minRequests": 10},
        "analysis.metrics[0]",
        "threshold must be below 1",
    ),
    Refused("half of arms", {f"{ERRORS}.arms.label": "version"}, "metrics[0].arms", _ARMS, "Field required"),
    Refused(
        "arms alike",
        {f"{ERRORS}.arms": {"label": "version", "stable": "1", "candidate": "1"}},
        "analysis.metrics[0].arms",
        _ARMS,
    ),
    _selector("function in a selector", "rate(mlr_feedback_total[5m])"),
    _selector("range in a selector", "mlr_feedback_total[5m]"),
    _selector("arithmetic in a selector", "a_total + b_total"),
    _selector("selector of everything", "{}"),
    _selector("matcher in single quotes", "a_total{code='500'}"),
)

_KINDS: Final = (
    *(_no_selector("rate", counter) for counter in ("count", "exposure")),
    *(_no_selector("mean", counter) for counter in ("sum", "count")),
    _no_selector("histogram", "buckets"),
    _no_selector("distribution", "buckets"),
    _of_kind("two kinds", {**KINDS["rate"], **KINDS["mean"]}, message=_SHAPE),
    _of_kind(
        "rate without exposure",
        {**KINDS["rate"], "rate": {"count": "exceptions_total"}},
        field="rate.exposure",
        message="Required value",
        offline="Field required",
    ),
    _of_kind("rate without margin", {"rate": KINDS["rate"]["rate"]}, message="margin must be set"),
    _of_kind("mean without margin", {"mean": KINDS["mean"]["mean"]}, message="margin must be set"),
    *(
        _of_kind(
            f"bounds from {low} to {high}",
            {"mean": {**KINDS["mean"]["mean"], "bounds": {"low": low, "high": high}}, "margin": {"absolute": "0.1"}},
            field="mean.bounds",
            message="bounds must have a low that is below high",
        )
        for low, high in (("1", "1"), ("2", "1"))
    ),
    _of_kind(
        "bounds in words",
        {**KINDS["mean"], "mean": {**KINDS["mean"]["mean"], "bounds": {"high": "much"}}},
        field="mean.bounds.high",
        message=_DECIMAL,
    ),
    _of_kind(
        "unknown direction",
        {**KINDS["mean"], "mean": {**KINDS["mean"]["mean"], "better": "Up"}},
        field="mean.better",
        message="Unsupported value",
        offline="'Lower'",
    ),
    _of_kind(
        "RedFlag of a mean without minRequests",
        {"mean": KINDS["mean"]["mean"], "role": "RedFlag", "threshold": "7"},
        message=_RED_FLAG,
    ),
    *(
        _of_kind(
            f"RedFlag of a {kind}",
            {kind: KINDS[kind][kind], "role": "RedFlag", "threshold": "0.5", "minRequests": 10},
            message="a histogram or distribution has no level that a threshold could be set for",
        )
        for kind in ("histogram", "distribution")
    ),
    *(
        _of_kind(
            f"relative margin of a {kind}",
            {**KINDS[kind], "margin": {"absolute": "0.02", "relative": "0.5"}},
            message="margin.relative has no meaning for a histogram or distribution",
        )
        for kind in ("histogram", "distribution")
    ),
    Refused(
        "RedFlag of a latency preset",
        {
            f"{ERRORS}.preset": "vllm/latency",
            f"{ERRORS}.role": "RedFlag",
            f"{ERRORS}.threshold": "0.5",
            f"{ERRORS}.minRequests": 10,
        },
        "analysis.metrics[0]",
        "a histogram or distribution has no level that a threshold could be set for",
    ),
    Refused(
        "relative margin of a latency preset",
        {f"{ERRORS}.preset": "vllm/latency", f"{ERRORS}.margin": {"relative": "0.5"}},
        "analysis.metrics[0]",
        "margin.relative has no meaning for a histogram or distribution",
    ),
    Refused(
        "slices of a latency preset",
        {f"{ERRORS}.preset": "vllm/latency", f"{ERRORS}.slices": ["tenant"]},
        "analysis.metrics[0]",
        "slices, labelDelay and cohort must be set for a ratio or preset alone",
    ),
    _of_kind(
        "margin of a histogram in percent",
        {**KINDS["histogram"], "margin": {"absolute": "2"}},
        message="margin.absolute must be below 1",
    ),
    _of_kind(
        "class label of no Prometheus",
        {**KINDS["distribution"], "distribution": {"buckets": "predictions_total", "label": "the class"}},
        field="distribution.label",
        message="Prometheus label name",
    ),
    _of_kind(
        "margin as wide as the bounds",
        {"mean": {**KINDS["mean"]["mean"], "bounds": {"low": "1", "high": "5"}}, "margin": {"absolute": "4"}},
        message="margin.absolute must be below the distance of mean.bounds",
    ),
    _of_kind(
        "superiority of a distribution",
        {**KINDS["distribution"], "role": "Target", "superiority": "Required"},
        message="superiority must be Reported for a distribution",
    ),
    _no_selector("paired", "counter"),
    *(
        _of_kind(
            f"counter of some pairs: {counter}",
            {**KINDS["paired"], "paired": {"counter": counter}},
            field="paired",
            message="counter must have no matcher for the labels stable and candidate",
        )
        for counter in ('mlr_pair_total{stable="incorrect"}', '{__name__="pairs", a="{,", candidate =~ "c.*"}')
    ),
    _of_kind("pairs without margin", {"paired": KINDS["paired"]["paired"]}, message="margin must be set"),
    _of_kind(
        "margin of pairs in percent", {**KINDS["paired"], "margin": {"absolute": "1"}}, message="margin.absolute must"
    ),
    *(
        _of_kind(
            f"pairs with {name}",
            {"paired": KINDS["paired"]["paired"], **more},
            message="paired must come without role RedFlag, arms and margin.relative",
        )
        for name, more in (
            ("role RedFlag", {"role": "RedFlag", "threshold": "0.5", "minRequests": 10}),
            ("a relative margin", {"margin": {"absolute": "0.01", "relative": "0.5"}}),
            (
                "arms",
                {"margin": {"absolute": "0.01"}, "arms": {"label": "version", "stable": "1", "candidate": "2"}},
            ),
        )
    ),
    _of_kind("query without place", {**KINDS["query"], "query": "max(gpu_memory)"}, field="query", message=_PLACE),
    _of_kind(
        "query that decides",
        {"query": KINDS["query"]["query"], "role": "Guardrail"},
        message="a query must have role RedFlag or Watch",
    ),
    _of_kind("query with minRequests", {**KINDS["query"], "minRequests": 10}, message=_RED_FLAG),
    _of_kind(
        "query with a margin",
        {**KINDS["query"], "margin": {"absolute": "0.1"}},
        message="a query has no margin: it is compared with threshold alone",
    ),
)

_POLICY: Final = (
    Refused("weight 0", {f"{ERRORS}.weight": "0.0"}, "analysis.metrics[0]", "weight must be above 0"),
    Refused("float weight", {f"{ERRORS}.weight": 0.5}, "analysis.metrics[0].weight", _TYPE, _DECIMAL),
    Refused(
        "superiority of a Guardrail",
        {f"{ERRORS}.superiority": "Required"},
        "analysis.metrics[0]",
        "superiority Required must be set for role Target alone",
    ),
    *(
        _of_kind(
            f"{field} of a mean",
            {**KINDS["mean"], field: value},
            message="slices, labelDelay and cohort must be set for a ratio or preset alone",
        )
        for field, value in (("slices", ["tenant"]), ("labelDelay", "10m"))
    ),
    Refused(
        "cohort without labelDelay",
        {f"{ACCURACY}.cohort": "predicted_at"},
        "analysis.metrics[1]",
        "cohort must come with labelDelay",
    ),
    *(
        Refused(
            f"labelDelay of {delay}",
            {f"{ACCURACY}.labelDelay": delay},
            "analysis.metrics[1]",
            "labelDelay must be between 1s and 24h",
        )
        for delay in ("0s", "25h")
    ),
    Refused(
        "four slices",
        {f"{ACCURACY}.slices": ["a", "b", "c", "d"]},
        "analysis.metrics[1].slices",
        "must have at most 3 items",
        "at most 3 items",
    ),
    Refused("unknown noise", {"analysis.noise": "Loud"}, "analysis.noise", "Unsupported value", "'Widen'"),
    Refused(
        "group-sequential without a largest sample",
        {"analysis.groupSequential": {"looks": 5}},
        "analysis.groupSequential.maxRequests",
        "Required value",
        "Field required",
    ),
    Refused(
        "group-sequential without looks",
        {"analysis.groupSequential": {"maxRequests": 10000, "looks": 0}},
        "analysis.groupSequential.looks",
        "greater than or equal to 1",
    ),
    Refused(
        "unknown spending",
        {"analysis.groupSequential": {"maxRequests": 10000, "spending": "All"}},
        "analysis.groupSequential.spending",
        "Unsupported value",
        "'OBrienFleming'",
    ),
    Refused("unknown sessions", {"traffic.sessions": "Some"}, "traffic.sessions", "Unsupported value", "'Sticky'"),
)

_CASE: Final[Json] = {"name": "cat", "request": "{}", "expect": [{"equals": "1"}]}
_SIGNED = 'must be a decimal number in quotes such as "-0.05"'


def _smoke(mistake: str, smoke: Json, field: str, message: str, offline: str = "") -> Refused:
    changes = {"model.protocol": "Plain", "verify.smoke": smoke}
    return Refused(mistake, changes, f"verify.smoke{field}", message, offline)


def _expect(mistake: str, expectation: Json, field: str, message: str, offline: str = "") -> Refused:
    case = {"name": "cat", "request": "{}", "expect": [expectation]}
    return _smoke(mistake, {"cases": [case]}, f".cases[0].expect[0]{field}", message, offline)


_VERIFY: Final = (
    Refused("smoke without protocol", {"verify.smoke": {"cases": [_CASE]}}, "", "verify.smoke needs model.protocol"),
    Refused("unknown protocol", {"model.protocol": "Telepathy"}, "model.protocol", "Unsupported value", "'KServeV1'"),
    Refused("port 0", {"model.port": 0}, "model.port", "greater than or equal to 1"),
    _smoke(
        "golden requests from two places",
        {"cases": [_CASE], "configMap": "golden"},
        "",
        "golden requests must come from cases or from configMap",
    ),
    _smoke(
        "a golden case that expects nothing",
        {"cases": [{"name": "cat", "request": "{}"}]},
        ".cases[0]",
        "each golden case must set expect, differential, or both",
    ),
    _expect("two expectations in one", {"equals": "1", "regex": "a"}, "", "must set exactly one of: equals, approx"),
    _expect("finite: false", {"finite": False}, ".finite", "finite can only be true"),
    _expect("an empty range", {"range": {}}, ".range", "range must set min, max, or both"),
    _expect("a word as bound", {"range": {"min": "low"}}, ".range.min", _SIGNED),
    Refused(
        "parity that wants and allows the same",
        {"verify.parity": {"require": ["Images"], "allowDiff": ["Images"]}},
        "verify.parity",
        "a group can be in require or in allowDiff",
    ),
    Refused(
        "unknown group", {"verify.parity.require": ["Air"]}, "verify.parity.require[0]", "Unsupported value", "'Gpu'"
    ),
    Refused(
        "provenance of nothing",
        {"verify.provenance": {}},
        "verify.provenance",
        "provenance must declare at least one of",
    ),
    Refused(
        "a recorded entry without value",
        {"verify.reproduction": {"jobFrom": "train", "recorded": [{"name": "accuracy"}]}},
        "verify.reproduction.recorded[0]",
        "each recorded entry must set value or digest",
    ),
    Refused(
        "a pipeline without Job",
        {"verify.pipeline": [{"name": "train"}]},
        "verify.pipeline[0].jobFrom",
        "Required value",
        "Field required",
    ),
)

_NOT_YET: Final = (
    _later("backup", {"replicas": 1, "keepFor": "24h"}),
    _later("backup", {"replicas": "Same", "reverifyEvery": "1h", "drillEvery": ""}),
    _later("watch", {"weight": 5, "windows": 100}),
)

REFUSED: Final[tuple[Refused, ...]] = (
    *_WHOLE,
    *_STRATEGY,
    *_ANALYSIS,
    *_METRICS,
    *_KINDS,
    *_POLICY,
    *_VERIFY,
    *_NOT_YET,
)
"""Every mistake that admission can tell."""
