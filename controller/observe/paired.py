"""Pairs of answers: whose series tell of them, and what their growth amounts to. Pure.

What compares both arms' answers to mirrored requests belongs to neither arm, and each of its series tells of both: a
pair counts where both labels say how that arm's answer was.
"""

from collections.abc import Iterable, Mapping
from math import fsum
from typing import Final

from controller.api.kinds import PAIR_LABELS
from controller.api.reasons import Reason
from controller.api.selectors import Matcher
from controller.observe.arms import Census, Question, census_of_targets, namespace_of
from controller.observe.counters import Edges, Reborn, Scrapes, Series, falls, reborn_at
from controller.observe.tally import Count, Growths, Tally
from controller.plan.world import ArmName, Problem

__all__ = ["Comparer", "answers"]

_OUTCOMES: Final = ("correct", "incorrect")

_Cell = tuple[bool, bool]
"""Whether stable's answer was wrong, and whether the candidate's was."""

_CELLS: Final[tuple[_Cell, ...]] = ((False, False), (False, True), (True, False), (True, True))


class Comparer:
    """What compares the answers, told by the namespace alone; its series, being of both arms, are kept as stable's."""

    def __init__(self, question: Question) -> None:
        self._question = question

    def matchers(self, *_: ArmName) -> tuple[Matcher, ...]:
        """Return the namespace's matcher."""
        return (namespace_of(self._question),)

    def arm(self, _: Mapping[str, str]) -> ArmName | None:
        """Return stable: under its name they are counted once."""
        return ArmName.STABLE

    def census(self, arm: ArmName, *, total: tuple[Series, ...], scrapes: Scrapes, edges: Edges) -> Census:
        """Count everything once a live pod of each arm is warm, if the comparer was scraped at both edges."""
        return census_of_targets(self._question, arm, total=total, scrapes=scrapes, edges=edges)


def answers(arms: Mapping[ArmName, Growths]) -> Tally | Problem:
    """Count the pairs, and for each arm its wrong answers and those in which the other was right."""
    growths = arms[ArmName.STABLE]
    series = tuple(growths.total)
    problem = next((found for each in series if (found := _unlabelled(each)) is not None), None)
    if problem is not None:
        return problem
    pods = {pod: dict.fromkeys(_CELLS, 0.0) for pod in growths.pods}
    rebirths = _rebirths(series)
    for each in series:
        cells, cell = pods[growths.target(each)[0]], _cell(each)
        cells[cell] += growths.growth(each, rebirths[_process(each)])
    return Tally(
        stable={pod: _count(cells, alone=(True, False)) for pod, cells in pods.items()},
        candidate={pod: _count(cells, alone=(False, True)) for pod, cells in pods.items()},
    )


def _unlabelled(series: Series) -> Problem | None:
    if all(series.labels.get(label) in _OUTCOMES for label in PAIR_LABELS):
        return None
    found = " and ".join(
        f'{label}="{series.labels[label]}"' if label in series.labels else f"no label {label}" for label in PAIR_LABELS
    )
    return Problem(
        Reason.NO_SERIES,
        f"{series.name} has a series with {found}; expected the labels {' and '.join(PAIR_LABELS)} on all of them, "
        f"each {' or '.join(_OUTCOMES)}: check what counts the pairs, and how Prometheus relabels it",
    )


def _cell(series: Series) -> _Cell:
    stable, candidate = (series.labels[label] != "correct" for label in PAIR_LABELS)
    return stable, candidate


def _process(series: Series) -> frozenset[tuple[str, str]]:
    """What a pair's four series have in common: they begin again together, also those that do not fall."""
    return frozenset((label, value) for label, value in series.labels.items() if label not in PAIR_LABELS)


def _rebirths(series: Iterable[Series]) -> Mapping[frozenset[tuple[str, str]], Reborn]:
    fallen: dict[frozenset[tuple[str, str]], list[float]] = {}
    for each in series:
        fallen.setdefault(_process(each), []).extend(falls(each.samples))
    return {process: reborn_at(times) for process, times in fallen.items()}


def _count(cells: Mapping[_Cell, float], *, alone: _Cell) -> Count:
    # Rounded once, so that no sum of fewer cells is above one of more.
    return Count(total=fsum(cells.values()), bad=fsum((cells[alone], cells[True, True])), alone=cells[alone])
