"""From the spec to what Prometheus is asked."""

from dataclasses import replace

from controller.api.record import FrozenAnalysis, RecordedWindow
from controller.api.spec import Metric
from controller.observe.arms import MetricQuestion, Question
from controller.plan.calibration import calibration_of, inflations
from controller.plan.counters import absence_allowed, counters_of
from controller.plan.label_lag import known_labels, maturity

__all__ = ["calibrated", "metric_question"]


def metric_question(metric: Metric) -> MetricQuestion:
    """Return what is asked about a metric, with its preset's counters where it has one."""
    counters = counters_of(metric)
    return MetricQuestion(
        name=metric.name,
        bad=counters.bad,
        total=counters.total,
        allow_absent=absence_allowed(metric),
        arms=metric.arms,
        kind=metric.kind,
        label=counters.label,
        query=counters.query,
        bounds=counters.bounds,
        slices=metric.slices,
        label_delay=metric.label_delay,
        cohort=metric.cohort,
    )


def calibrated(question: Question, frozen: FrozenAnalysis, earlier: tuple[RecordedWindow, ...]) -> Question:
    """Return the question with what each pod's counts are worth: as frozen, and as earlier windows showed.

    And with how late labels come, so that coverage is not held against labels that cannot be there yet.
    """
    known = {metric.metric: metric.calibration for metric in frozen.metrics}
    inflated, labels = inflations(frozen, earlier), known_labels(frozen)
    metrics = tuple(
        replace(
            metric,
            calibration=calibration_of(known.get(metric.name), metric.kind),
            inflation=inflated.get(metric.name, 1.0),
            label_lag=maturity(labels.get(metric.name)),
        )
        for metric in question.metrics
    )
    return replace(question, metrics=metrics)
