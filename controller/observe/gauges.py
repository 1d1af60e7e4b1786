"""What cannot be counted: gauges where a counter is expected, and native histograms.

A counter that falls has begun again, so a gauge that goes up and down would be counted as a counter that restarts all
the time. What pods say of a metric's type settles it where they say anything and the samples do not contradict: some
exporters call a true counter a gauge.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from controller.api.reasons import Reason
from controller.observe.counters import Series, falls
from controller.observe.prometheus import Prometheus, SourceError
from controller.plan.world import Problem

__all__ = ["native_histogram", "no_counter"]

MANY_FALLS: Final = 3
"""Falls of one series from which on it is no counter whatever it is called, unless pods say that it is one."""

_ENDINGS: Final = ("_total", "_bucket", "_count")
_MOST_NAMES: Final = 4
_GAUGE: Final = frozenset({"gauge"})
_RISING: Final = frozenset({"counter", "histogram", "summary", "gaugehistogram"})


def no_counter(prometheus: Prometheus, *, total: Sequence[Series], bad: Sequence[Series]) -> Problem | None:
    """Say which of the series are of a gauge; None where all of them may be counters.

    Types are asked for only where something looks odd: a series fell, or no ``total`` grew.
    """
    fallen: dict[str, int] = {}
    for each in (*total, *bad):
        fallen[each.name] = max(fallen.get(each.name, 0), len(falls(each.samples)))
    flat = set() if any(_grew(each) for each in total) else {each.name for each in total}
    odd = sorted(name for name, times in fallen.items() if times or name in flat)
    for name in odd[:_MOST_NAMES]:
        types = _types(prometheus, name)
        if types == _GAUGE or (fallen[name] >= MANY_FALLS and not types & _RISING):
            return _problem(name, times=fallen[name], named=types == _GAUGE)
    return None


def native_histogram(series: Iterable[Series]) -> Problem | None:
    """Say which of the series are native histograms."""
    name = next((each.name for each in series if each.native), None)
    if name is None:
        return None
    return Problem(
        Reason.NATIVE_HISTOGRAM,
        f"{name} is a native histogram, and only classic ones are read: let Prometheus keep the classic buckets as "
        f"well (always_scrape_classic_histograms: true in its scrape configuration) and name {name}_bucket",
    )


def _grew(series: Series) -> bool:
    return bool(series.samples) and series.samples[-1][1] > series.samples[0][1]


def _types(prometheus: Prometheus, name: str) -> frozenset[str]:
    """Return what pods say of the metric, or of the one that this counter belongs to.

    Nothing where the server keeps no such record.
    """
    family = next((name.removesuffix(ending) for ending in _ENDINGS if name.endswith(ending)), name)
    try:
        return prometheus.types(name) or (prometheus.types(family) if family != name else frozenset())
    except SourceError:
        return frozenset()


def _problem(name: str, *, times: int, named: bool) -> Problem:
    seen = f"fell {times} times" if times > 1 else "fell" if times else "did not grow"
    told = "its pods say that it is a gauge" if named else "no restart of its process explains that"
    return Problem(
        Reason.NOT_A_COUNTER,
        f"{name} {seen} in the samples that were read, and {told}: name a counter, which only rises; for a gauge take "
        "a query with role RedFlag or Watch",
    )
