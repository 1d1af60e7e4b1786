"""The figures of a status as people read them."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Final

from controller.api.status import MetricStatus, ModelRolloutStatus
from controller.api.verdicts import Verdict

ACCURACY: Final = "accuracy"
"""The metric that is shown as the share of right answers; every other one is shown as the share of bad requests."""

_EDGE: Final = re.compile(r"shares (above \S+),")
"""How the note of a histogram says above which edge the arms differ most."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One metric of both arms, in percent; `-` where nothing was counted.

    Attributes:
        name: The metric; of a histogram also the edge above which the arms differ most.
        stable: Stable's share of right answers, of bad requests, or of requests above the edge.
        candidate: The candidate's.
        difference: Confidence interval of candidate minus stable.
        margin: By how much the candidate may be worse.
    """

    name: str
    stable: str
    candidate: str
    difference: str
    margin: str

    @classmethod
    def of(cls, metric: MetricStatus) -> "Compared":
        """Read it from a status, which knows shares of bad requests only."""
        right = metric.name == ACCURACY
        interval = sorted(-_percent(edge) if right else _percent(edge) for edge in metric.interval or ())

        def shown(rate: str) -> str:
            return f"{100 - _percent(rate) if right else _percent(rate):.1f} %"

        return cls(
            name=f"{metric.name}{_edge(metric)}",
            stable=_known(metric.rates.stable, shown),
            candidate=_known(metric.rates.candidate, shown),
            difference=f"{interval[0]:+.1f} to {interval[1]:+.1f} %" if interval else "-",
            margin=_known(metric.margin, lambda margin: f"{float(margin):.1%}".replace("%", " %")),
        )


def _edge(metric: MetricStatus) -> str:
    found = _EDGE.search(metric.note or "")
    return f" {found[1]}" if found else ""


def _percent(text: str) -> float:
    return float(text.removesuffix("%"))


def _known(text: str | None, shown: Callable[[str], str]) -> str:
    return "-" if text is None else shown(text)


@dataclass(frozen=True, slots=True)
class Weighed:
    """The evidence that decides, as e-values.

    Attributes:
        worse: The mean over the metrics, which in the demo weigh the same; rolls back at `needed`. A metric that
            nothing may rest on at present adds no more than it had at the beginning.
        not_worse: The least of the metrics; promotes at `needed`, in the last step.
        needed: 1/alpha.
    """

    worse: float
    not_worse: float
    needed: float

    @classmethod
    def of(cls, status: ModelRolloutStatus) -> "Weighed | None":
        """Read it from a status; None before the first window was judged."""
        metrics = status.analysis.metrics if status.analysis else ()
        known = [(metric.evidence, metric.verdict) for metric in metrics if metric.evidence and metric.role.gating]
        if not known or not status.window.counted:
            return None
        worse = [min(_number(each.worse), 1.0 if verdict is Verdict.INVALID else inf) for each, verdict in known]
        return cls(
            worse=sum(worse) / len(known),
            not_worse=min(_number(each.not_worse) for each, _ in known),
            needed=_number(known[0][0].needed),
        )


def _number(text: str) -> float:
    return float(text.removeprefix(">"))


def soon(status: ModelRolloutStatus) -> str | None:
    """Say when a verdict is to be expected, without what is left until the deadline; None while nobody knows."""
    forecast = status.analysis.forecast if status.analysis else None
    return forecast.partition("; ")[0] if forecast else None


def short(evidence: float) -> str:
    """Write an e-value with about three digits."""
    if evidence >= 1e5:
        return "over 100000"
    return f"{evidence:.0f}" if evidence >= 100 else f"{evidence:.3g}"
