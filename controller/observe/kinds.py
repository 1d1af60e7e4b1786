"""What the growth of a metric's series amounts to, by the kind of the metric."""

from controller.api.verdicts import Kind
from controller.observe.arms import MetricQuestion
from controller.observe.buckets import classes, histograms
from controller.observe.tally import Counting, means, pairs
from controller.plan.counters import LE

__all__ = ["counting_of"]


def counting_of(metric: MetricQuestion) -> Counting:
    """Return how the counts of a metric's window come from the growth of its series; of every kind but the query."""
    match metric.kind:
        case Kind.MEAN:
            return means
        case Kind.HISTOGRAM | Kind.DISTRIBUTION:
            return histograms if metric.label == LE else classes(metric.label)
        case _:
            return pairs
