"""Evidence: the counts of both arms in a window, read from Prometheus as raw counters.

One range of raw samples per selector and window, asked for at the window's end, so that whoever asks and whenever gets
the same rows. A row without counts says why: silence is neither good nor bad.
"""

import difflib
from datetime import datetime, timedelta
from typing import Final, Protocol

from controller.api.record import RecordedWindow, RequestCounts
from controller.api.selectors import Selector, parse_selector
from controller.observe.arms import MetricQuestion, Question, arms_of
from controller.observe.counters import plain
from controller.observe.history import read_history
from controller.observe.labels import row_of
from controller.observe.prometheus import Prometheus, PrometheusServer
from controller.observe.reading import MEMORY, Reading
from controller.observe.traffic import read_traffic
from controller.plan.calibration import StableHistory
from controller.plan.windows import Window
from controller.plan.world import ArmName

__all__ = ["EvidenceSource", "MetricQuestion", "PrometheusEvidence", "Question"]

_MOST_VALUES: Final = 10
_LONGEST_VALUE: Final = 64


class EvidenceSource(Protocol):
    """Where the counts come from."""

    def window(self, window: Window, question: Question) -> RecordedWindow:
        """Return the rows of a window.

        Raises:
            SourceError: nothing is known; the window stays pending.
        """

    def history(self, question: Question, *, before: datetime, interval: timedelta) -> dict[str, StableHistory]:
        """Return what stable did until then, in all and per interval of that length.

        A metric without a request is absent, and so is a query.

        Raises:
            SourceError: nothing is known.
        """

    def traffic(self, question: Question, *, before: datetime) -> dict[str, float]:
        """Return what both arms together got per second over the last day, per metric; none without traffic.

        For forecasts only.

        Raises:
            SourceError: nothing is known.
        """

    def label_values(self, question: Question, metric: str, *, before: datetime) -> dict[str, tuple[str, ...]]:
        """Return which values the labels of the metric's ``bad`` selector have among the arms' series.

        Raises:
            SourceError: nothing is known.
        """


class PrometheusEvidence:
    """Evidence from one Prometheus server; safe to use from several threads."""

    def __init__(self, server: PrometheusServer) -> None:
        self._server = server
        self._prometheus = Prometheus(server)

    def window(self, window: Window, question: Question) -> RecordedWindow:
        """Return the rows of a window; see ``EvidenceSource``."""
        reading = self._read(question, window.start, window.end)
        rows = tuple(row_of(metric, question, reading, self._read) for metric in question.metrics)
        requests = reading.requests()
        return RecordedWindow(
            transition=window.transition,
            number=window.number,
            weight=question.weight,
            start=window.start,
            end=window.end,
            observed_weight=observed_weight(requests),
            requests=requests,
            rows=rows,
        )

    def _read(self, question: Question, start: datetime, end: datetime) -> Reading:
        return Reading(self._prometheus, question, start=start, end=end)

    def history(self, question: Question, *, before: datetime, interval: timedelta) -> dict[str, StableHistory]:
        """Return what stable did until then; see ``EvidenceSource`` and ``history``."""
        return read_history(self._prometheus, question, before=before, interval=interval)

    def traffic(self, question: Question, *, before: datetime) -> dict[str, float]:
        """Return the last day's traffic; see ``EvidenceSource`` and ``traffic``."""
        return read_traffic(self._prometheus, question, before=before)

    def label_values(self, question: Question, metric: str, *, before: datetime) -> dict[str, tuple[str, ...]]:
        """Return at most 10 values per label, those closest to what ``bad`` asks for first; see ``EvidenceSource``.

        When not even the counter's name exists, the values are those of ``__name__``.
        """
        asked = next(each for each in question.metrics if each.name == metric)
        bad = parse_selector(asked.bad)
        series = Selector(name=bad.name, matchers=()) if bad.name else parse_selector(asked.total)
        narrowing = arms_of(question, asked.arms).matchers(*ArmName)
        values = {}
        for matcher in bad.matchers:
            found = self._values(matcher.label, series.narrowed(*narrowing), before)
            if found:
                values[matcher.label] = _closest(found, matcher.value)
        if values:
            return values
        everything = Selector(name="", matchers=()).narrowed(*narrowing)
        return {"__name__": _closest(self._values("__name__", everything, before), bad.name)}

    def _values(self, label: str, selector: str, before: datetime) -> tuple[str, ...]:
        return self._prometheus.label_values(label, selector, start=before - MEMORY, end=before)


def observed_weight(requests: RequestCounts | None) -> str | None:
    """Return the candidate's percent of all requests, or None when there were none or they are not known."""
    if requests is None:
        return None
    candidate, total = float(requests.candidate), float(requests.stable) + float(requests.candidate)
    return plain(round(100 * candidate / total, 1)) if total else None


def _closest(values: tuple[str, ...], wanted: str) -> tuple[str, ...]:
    wanted = wanted.strip('"')
    ranked = sorted(values, key=lambda value: (-difflib.SequenceMatcher(None, wanted, value).ratio(), value))
    return tuple(value[:_LONGEST_VALUE] for value in ranked[:_MOST_VALUES])
