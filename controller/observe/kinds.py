"""What the growth of a metric's series amounts to, by the kind of the metric."""

from collections.abc import Mapping
from typing import Final

from controller.api.reasons import Reason
from controller.api.verdicts import Kind
from controller.observe.arms import MetricQuestion
from controller.observe.buckets import classes, histograms
from controller.observe.paired import answers
from controller.observe.tally import Counting, Growths, Tally, means, pairs, summed
from controller.plan.counters import LE
from controller.plan.world import ArmName, Problem

__all__ = ["counting_of"]

_UNEVEN: Final = 0.01
"""By how much of its range a mean may be beyond its bounds: sum and count are not always read in one moment."""


def counting_of(metric: MetricQuestion) -> Counting:
    """Return how the counts of a metric's window come from the growth of its series; of every kind but the query."""
    match metric.kind:
        case Kind.MEAN:
            return means if metric.bounds is None else _bounded(metric.bounds)
        case Kind.HISTOGRAM | Kind.DISTRIBUTION:
            return histograms if metric.label == LE else classes(metric.label)
        case Kind.PAIRED:
            return answers
        case _:
            return pairs


def _bounded(bounds: tuple[float, float]) -> Counting:
    """Return what counts means of which the bounds are known, and refuses those that are beyond."""
    low, high = bounds
    slack = _UNEVEN * (high - low)

    def count(arms: Mapping[ArmName, Growths]) -> Tally | Problem:
        counts = means(arms)
        if isinstance(counts, Problem):
            return counts
        for arm, pods in ((ArmName.STABLE, counts.stable), (ArmName.CANDIDATE, counts.candidate)):
            found = summed(pods)
            mean = found.bad / found.total if found.total > 0 else low
            if not low - slack <= mean <= high + slack:
                return Problem(
                    Reason.INVALID_SPEC,
                    f"{arm} had a mean of {mean:.6g}, and mean.bounds says that every value lies between {low:g} and "
                    f"{high:g}; correct the bounds, or remove them",
                )
        return counts

    return count
