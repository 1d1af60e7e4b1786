"""How much traffic there was: for forecasts, which need no more than a fair guess.

``rate()`` is good enough here, and only here: it extrapolates to the edges of its range, so that a request may be
counted in two windows or in none, which is why no evidence rests on it. In return Prometheus sends one number per slice
of the day instead of a day of samples.
"""

from datetime import datetime, timedelta
from typing import Final

from controller.api.selectors import Matcher, Selector, parse_selector, quoted
from controller.api.verdicts import Kind
from controller.observe.arms import MetricQuestion, Question, arms_of
from controller.observe.prometheus import Prometheus
from controller.plan.counters import LE
from controller.plan.world import ArmName

__all__ = ["read_traffic"]

_UNFORESEEN: Final = frozenset({Kind.QUERY, Kind.PAIRED})
"""Kinds that have no forecast."""

_DAY: Final = timedelta(days=1)
_SLICE: Final = timedelta(minutes=15)
_HOUR: Final = timedelta(hours=1)
_FEWEST: Final = 4
"""Slices of which at least so many must be known, else the last hour is looked at more closely."""
_LEAST_SCRAPES: Final = 4
"""Scrapes in a slice, at least."""


def read_traffic(prometheus: Prometheus, question: Question, *, before: datetime) -> dict[str, float]:
    """Return what both arms together got per second over the last day, per metric; only the time with series counts.

    Metrics without traffic, queries and pairs are absent.

    Raises:
        SourceError: nothing is known.
    """
    asked = {metric.name: _selector(metric, question) for metric in question.metrics if metric.kind not in _UNFORESEEN}
    known: dict[str, float] = {}
    for selector in dict.fromkeys(asked.values()):
        known[selector] = _per_second(prometheus, selector, before)
    return {name: known[selector] for name, selector in asked.items() if known[selector] > 0.0}


def _per_second(prometheus: Prometheus, selector: str, before: datetime) -> float:
    slices = _slices(prometheus, selector, before, span=_DAY, length=_SLICE)
    if len(slices) < _FEWEST:
        length = max(timedelta(minutes=1), _LEAST_SCRAPES * prometheus.server.scrape)
        slices = _slices(prometheus, selector, before, span=_HOUR, length=length) or slices
    return sum(slices) / len(slices) if slices else 0.0


def _slices(
    prometheus: Prometheus, selector: str, before: datetime, *, span: timedelta, length: timedelta
) -> tuple[float, ...]:
    seconds = f"{length.total_seconds():.0f}s"
    query = f"sum(rate({selector}[{seconds}]))[{span.total_seconds():.0f}s:{seconds}]"
    return tuple(value for series in prometheus.instant(query, before) for _, value in series.samples)


def _selector(metric: MetricQuestion, question: Question) -> str:
    """What counts each request once: of cumulative buckets, the last."""
    last = (Matcher(label=LE, operator="=", value=quoted("+Inf")),) if _has_bounds(metric) else ()
    selector: Selector = parse_selector(metric.total)
    return selector.narrowed(*last, *arms_of(question, metric.arms).matchers(*ArmName))


def _has_bounds(metric: MetricQuestion) -> bool:
    return metric.kind is Kind.HISTOGRAM or (metric.kind is Kind.DISTRIBUTION and metric.label == LE)
