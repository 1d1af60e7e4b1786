"""Numbers as status and events write them: evidence, and each metric's levels in its own unit."""

from dataclasses import dataclass
from math import exp

from controller.api.record import FrozenAnalysis, FrozenMetric
from controller.api.spec import Metric
from controller.api.verdicts import Kind
from controller.judge import DistributionProcess, HistogramProcess, PairProcess
from controller.judge import Evidence as MetricEvidence
from controller.plan.kinds import OTHERS

__all__ = ["Figures", "e_value"]

_HIGHEST_SHOWN = 1e6
_PLAIN = frozenset({Kind.RATE, Kind.MEAN, Kind.QUERY})
"""Kinds whose levels are no shares of requests."""


def e_value(log_value: float) -> str:
    """Write evidence for people: four digits, and no more than a million."""
    value = exp(min(log_value, 50.0))
    return f">{_HIGHEST_SHOWN:.0f}" if value > _HIGHEST_SHOWN else f"{value:.4g}"


@dataclass(frozen=True)
class Figures:
    """How the numbers of one metric are written: shares in percent, rates by exposure, means in their unit."""

    metric: Metric
    resolved: FrozenMetric

    @classmethod
    def of(cls, frozen: FrozenAnalysis, name: str) -> "Figures":
        """Return those of the metric with that name."""
        metric = next(each for each in frozen.analysis.metrics if each.name == name)
        return cls(metric, next(each for each in frozen.metrics if each.metric == name))

    def level(self, value: float) -> str:
        """Write a level of an arm."""
        return f"{value:.6g}" if self.metric.kind in _PLAIN else f"{value:.4%}"

    def difference(self, value: float) -> str:
        """Write how much the candidate's level is above stable's."""
        return f"{value:+.6g}" if self.metric.kind in _PLAIN else f"{value:+.4%}"

    def bound(self, value: float) -> str:
        """Write an end of the confidence interval: of the difference, or of the ratio of two rates."""
        return f"×{value:.4g}" if self.metric.kind is Kind.RATE else self.difference(value)

    def margin(self, each: MetricEvidence) -> str:
        """Write the effective margin: of a rate as a share of stable's, else in the unit of the levels."""
        match self.metric.kind:
            case Kind.RATE:
                return f"{each.test.margin:+.4g} × stable's rate"
            case Kind.MEAN:
                return f"{abs(each.test.unit.difference(each.test.margin)):.4g}"
            case _:
                return f"{each.test.margin:.2%}"

    def numbers(self, each: MetricEvidence) -> str:
        """Say in one line what each arm did."""
        rates, requests = each.shown_rates, each.requests
        if rates is None:
            return f"{self.metric.name}: nothing judged yet"
        stable, candidate = f"{requests.stable:.0f}", f"{requests.candidate:.0f}"
        match self.metric.kind:
            case Kind.RATE:
                own, other = f"{rates.candidate:.4g} by {candidate} of exposure", f"{rates.stable:.4g} by {stable}"
            case Kind.MEAN:
                own, other = f"{rates.candidate:.4g} on average of {candidate}", f"{rates.stable:.4g} of {stable}"
            case Kind.PAIRED:
                own, other = f"{rates.candidate:.2%} wrong in {candidate} pairs", f"{rates.stable:.2%}"
            case Kind.QUERY:
                own, other = f"{rates.candidate:.4g}", f"{rates.stable:.4g}"
            case _:
                own, other = f"{rates.candidate:.2%} of {candidate} requests", f"{rates.stable:.2%} of {stable}"
        place = self.place(each)
        return f"{self.metric.name}{f' {place}:' if place else ''} {own} against {other}"

    def place(self, each: MetricEvidence) -> str | None:
        """Say where a histogram or distribution differs most: above which edge, or in which class."""
        process = each.process
        if isinstance(process, HistogramProcess | DistributionProcess) and process.edge is not None:
            return f"above {process.edge:g}"
        if isinstance(process, DistributionProcess) and process.cell is not None:
            classes = (*(self.resolved.edges or ()), OTHERS)
            return f"in {classes[process.cell]!r}"
        return None

    def note(self, each: MetricEvidence) -> str | None:
        """Say what the levels are of, where they are of a part of the requests; None where they are of all."""
        if isinstance(each.process, PairProcess):
            return _describe_pairs(each.process)
        place = self.place(each)
        if place is None:
            return None
        text = f"both rates are shares {place}, where the arms differ most"
        if isinstance(each.process, DistributionProcess) and self.metric.distribution is not None:
            floor = self.metric.distribution.floor
            text += f"; the population stability index is {each.process.size:.3g}, below {floor:g} nothing is decided"
        return text


def _describe_pairs(process: PairProcess) -> str:
    return (
        f"only the candidate was wrong in {process.alone.candidate:.0f} pairs, only stable in "
        f"{process.alone.stable:.0f}; nothing is calibrated: where pods of one model answer differently, that counts "
        "as a difference between the models"
    )
