"""Parts of a ratio metric: the same counts for the requests with one value of a label. Pure.

Which values are looked at rests on how many requests they have, never on how those ended, so that it favours nobody.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from controller.api.reasons import Reason
from controller.api.record import MOST_SLICES
from controller.observe.arms import MetricQuestion
from controller.observe.counters import Reborn, Series, Target, fell
from controller.observe.tally import Count, Counting, Growths, Tally, pairs
from controller.plan.world import ArmName, Problem

__all__ = ["OTHER", "Part", "parts"]

OTHER: Final = "other"
"""The value under which those are counted together that are too many to be kept apart."""

LONGEST_VALUE: Final = 64
"""Characters of a value; values that are alike up to there are one."""

Measure = Callable[[Counting], Tally | Problem]
"""Counts the metric's series of the window in some way."""


@dataclass(frozen=True)
class Part:
    """The requests with one value of a label."""

    label: str
    value: str
    counts: Tally


def parts(metric: MetricQuestion, measure: Measure) -> tuple[tuple[Part, ...], str]:
    """Return the metric's parts in a window, and what a person should know of them.

    Every label gets its share of the ``MOST_SLICES`` places; values that find none are counted together.
    """
    found: list[Part] = []
    remarks: list[str] = []
    for label in metric.slices:
        places = MOST_SLICES // len(metric.slices)
        ranked = measure(partial(_by_value, label))
        if isinstance(ranked, Problem):
            continue
        if not (ranked.stable.keys() | ranked.candidate.keys()) - {""}:
            remarks.append(f"no series of the metric's total has the label {label}, so that it tells no slices")
            continue
        chosen, pooled = _chosen(ranked, places)
        if pooled:
            remarks.append(
                f"{Reason.TOO_MANY_VALUES}: {label} has {len(chosen) + pooled} values; the {len(chosen)} with the most "
                f"requests of stable are looked at, the others together as {OTHER!r}; to have each value looked at, "
                "slice by a label with fewer"
            )
        found += _counted(label, chosen, measure)
    return tuple(found), "; ".join(remarks)


def _chosen(ranked: Tally, places: int) -> tuple[tuple[str, ...], int]:
    """Return the values that are kept apart, and how many are not: those with the most requests of stable come first.

    Equal ones go by the candidate's requests, then by name, so that whoever asks again gets the same.
    """
    nothing = Count()
    values = sorted(
        (ranked.stable.keys() | ranked.candidate.keys()) - {"", OTHER},
        key=lambda value: (
            -ranked.stable.get(value, nothing).total,
            -ranked.candidate.get(value, nothing).total,
            value,
        ),
    )
    if len(values) <= places:
        return tuple(values), 0
    return tuple(values[: places - 1]), len(values) - places + 1


def _counted(label: str, chosen: tuple[str, ...], measure: Measure) -> Iterator[Part]:
    wanted: dict[str, Callable[[str], bool]] = {value: value.__eq__ for value in chosen}
    wanted[OTHER] = lambda value: value != "" and value not in chosen
    for value, matches in wanted.items():
        counts = measure(partial(_only, label, matches))
        if not isinstance(counts, Problem) and _anything(counts):
            yield Part(label, value, counts)


def _anything(counts: Tally) -> bool:
    return any(each.total > 0 for pods in (counts.stable, counts.candidate) for each in pods.values())


def _by_value(label: str, arms: Mapping[ArmName, Growths]) -> Tally:
    """Count the requests of each arm by the label's value in place of the pod."""
    grown: dict[ArmName, dict[str, float]] = {arm: {} for arm in ArmName}
    for arm, growths in arms.items():
        for each in growths.total:
            value = _value(each, label)
            grown[arm][value] = grown[arm].get(value, 0.0) + growths.growth(each)
    stable, candidate = (
        {value: Count(total=total) for value, total in grown[arm].items()}
        for arm in (ArmName.STABLE, ArmName.CANDIDATE)
    )
    return Tally(stable=stable, candidate=candidate)


def _only(label: str, matches: Callable[[str], bool], arms: Mapping[ArmName, Growths]) -> Tally:
    return pairs({arm: _Part(growths, label, matches) for arm, growths in arms.items()})


@dataclass(frozen=True)
class _Part:
    """The growth of those series of an arm whose label has a value that matches."""

    growths: Growths
    label: str
    matches: Callable[[str], bool]

    @property
    def pods(self) -> tuple[str, ...]:
        return self.growths.pods

    @property
    def total(self) -> Iterator[Series]:
        return (each for each in self.growths.total if self.matches(_value(each, self.label)))

    @property
    def bad(self) -> Iterator[Series]:
        return (each for each in self.growths.bad if self.matches(_value(each, self.label)))

    def target(self, series: Series) -> Target:
        return self.growths.target(series)

    def growth(self, series: Series, reborn: Reborn = fell) -> float:
        return self.growths.growth(series, reborn)


def _value(series: Series, label: str) -> str:
    return series.labels.get(label, "")[:LONGEST_VALUE]
