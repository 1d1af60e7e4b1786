"""Queries: one number per arm at the end of a window, from PromQL that is confined to the arm's own series.

Nothing is counted: what a query gives is held against a threshold, or only shown.
"""

import re
from collections.abc import Mapping
from datetime import datetime

from controller.api.promql import parse_query
from controller.api.reasons import Reason
from controller.api.record import ArmCounts, Row
from controller.api.selectors import Matcher, quoted
from controller.observe.arms import MetricQuestion, Question, arms_of
from controller.observe.counters import exact, is_sum
from controller.observe.prometheus import Prometheus, QueryRejected
from controller.observe.rows import skipped
from controller.plan.world import ArmName, Problem

__all__ = ["query_row"]


def query_row(
    prometheus: Prometheus, question: Question, metric: MetricQuestion, *, start: datetime, end: datetime
) -> Row:
    """Return the values of both arms at ``end``, or why there are none.

    Raises:
        SourceError: nothing is known.
    """
    matchers = {arm: _matchers(question, metric, arm, start=start) for arm in ArmName}
    cold = [arm for arm, found in matchers.items() if not found]
    if cold:
        message = f"no pod of {' and '.join(cold)} had ended its warm-up when the window began"
        return skipped(metric, Problem(Reason.WARMING_UP, message))
    values = {}
    for arm, found in matchers.items():
        value = _value(prometheus, parse_query(metric.query).narrowed(*found), arm, end)
        if isinstance(value, Problem):
            return skipped(metric, value)
        values[arm] = value
    return _row(metric, values)


def _value(prometheus: Prometheus, query: str, arm: ArmName, at: datetime) -> float | Problem:
    try:
        found = prometheus.values(query, at)
    except QueryRejected as rejected:
        return Problem(Reason.QUERY_INVALID, rejected.message)
    if len(found) != 1 or not is_sum(found[0]):
        shown = ", ".join(f"{value:g}" for value in found[:3]) or "nothing"
        more = f" … ({len(found)} values)" if len(found) > 3 else ""
        return Problem(
            Reason.QUERY_INVALID,
            f"the query must give one finite number for each arm, and gave {shown}{more} for {arm}; put max(…), "
            "sum(…) or avg(…) around it, and check that the arm's pods export what it selects",
        )
    return found[0]


def _matchers(question: Question, metric: MetricQuestion, arm: ArmName, *, start: datetime) -> tuple[Matcher, ...]:
    """Return what selects the arm's own series; empty while no pod of it is warm.

    Pods that still warm up are left out where pods tell the arms apart: a first request may take for ever.
    """
    warm = [
        pod.name
        for pod in question.pods(arm)
        if (ready := question.warm_at(pod, arm)) is not None and ready <= start.timestamp()
    ]
    if not warm:
        return ()
    if metric.arms is not None:
        return arms_of(question, metric.arms).matchers(arm)
    namespace = Matcher(label=question.labels.namespace, operator="=", value=quoted(question.namespace))
    names = quoted("|".join(re.escape(name) for name in warm))
    return (namespace, Matcher(label=question.labels.pod, operator="=~", value=names))


def _row(metric: MetricQuestion, values: Mapping[ArmName, float]) -> Row:
    counts = {arm: ArmCounts(total="1", value=exact(value)) for arm, value in values.items()}
    return Row(metric=metric.name, stable=counts[ArmName.STABLE], candidate=counts[ArmName.CANDIDATE])
