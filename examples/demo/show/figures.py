"""The figures of a status as people read them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from controller.api.status import MetricStatus, ModelRolloutStatus

ACCURACY: Final = "accuracy"
"""The metric that is shown as the share of right answers; every other one is shown as the share of bad requests."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One metric of both arms, in percent; `-` where nothing was counted.

    Attributes:
        name: The metric.
        stable: Stable's share of right answers, or of bad requests.
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
            name=metric.name,
            stable=_known(metric.rates.stable, shown),
            candidate=_known(metric.rates.candidate, shown),
            difference=f"{interval[0]:+.1f} to {interval[1]:+.1f} %" if interval else "-",
            margin=_known(metric.margin, lambda margin: f"{float(margin):.1%}".replace("%", " %")),
        )


def _percent(text: str) -> float:
    return float(text.removesuffix("%"))


def _known(text: str | None, shown: Callable[[str], str]) -> str:
    return "-" if text is None else shown(text)


@dataclass(frozen=True, slots=True)
class Weighed:
    """The evidence that decides, as e-values.

    Attributes:
        worse: The mean over the metrics; rolls back at `needed`.
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
        known = [metric.evidence for metric in metrics if metric.evidence and metric.role.gating]
        if not known or not status.window.counted:
            return None
        return cls(
            worse=sum(_number(each.worse) for each in known) / len(known),
            not_worse=min(_number(each.not_worse) for each in known),
            needed=_number(known[0].needed),
        )


def _number(text: str) -> float:
    return float(text.removeprefix(">"))


def short(evidence: float) -> str:
    """Write an e-value with about three digits."""
    if evidence >= 1e5:
        return "over 100000"
    return f"{evidence:.0f}" if evidence >= 100 else f"{evidence:.3g}"
