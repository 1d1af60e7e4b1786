"""Which pods there were, as their series tell; and how those of one Deployment are dealt out to two arms."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain
from math import ceil
from typing import Final

from controller.api.selectors import parse_selector
from controller.api.verdicts import Kind
from controller.observe.arms import PodArms, Question
from controller.observe.prometheus import Prometheus, PrometheusServer
from controller.plan.world import ArmName

__all__ = ["Lives", "dealt", "lives"]

_FINEST: Final = timedelta(minutes=1)
_MOST_LOOKS: Final = 500
"""Moments at which it is looked which pods there were, at most."""


@dataclass(frozen=True)
class Lives:
    """When each pod was seen, in Unix seconds, at looks that are ``apart``."""

    seen: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    apart: timedelta = _FINEST

    @property
    def pods(self) -> tuple[str, ...]:
        """All pods, in the order of their names."""
        return tuple(sorted(self.seen))

    def at(self, moment: datetime) -> tuple[str, ...]:
        """The pods that were seen within two looks of the moment."""
        near = 2 * self.apart.total_seconds()
        return tuple(pod for pod in self.pods if any(abs(time - moment.timestamp()) <= near for time in self.seen[pod]))


def lives(server: PrometheusServer, question: Question, *, start: datetime, end: datetime) -> Lives:
    """Look which pods of both arms had the metrics' counters; the answers are small, however long the time.

    Raises:
        SourceError: nothing is known.
    """
    apart = max(_FINEST, timedelta(seconds=ceil((end - start).total_seconds() / _MOST_LOOKS)))
    label, matchers = question.labels.pod, PodArms(question).matchers(*ArmName)
    whole, step = (end - start + apart).total_seconds(), apart.total_seconds()
    seen: dict[str, list[float]] = {}
    for counter in dict.fromkeys(metric.total for metric in question.metrics if metric.kind is not Kind.QUERY):
        selector = parse_selector(counter).narrowed(*matchers)
        query = f"group by ({label}) ({selector})[{whole:.0f}s:{step:.0f}s]"
        for series in Prometheus(server).instant(query, end):
            seen.setdefault(series.labels.get(label, ""), []).extend(time for time, _ in series.samples)
    return Lives({pod: tuple(times) for pod, times in seen.items() if pod}, apart)


def dealt(pods: Sequence[str], *, seed: int) -> dict[str, ArmName]:
    """Deal pods out to both arms, half and half of each ReplicaSet; the same seed and pods give the same arms."""
    sets: dict[str, list[str]] = {}
    for pod in sorted(pods):
        sets.setdefault(pod.rpartition("-")[0], []).append(pod)
    chance = random.Random(seed)  # noqa: S311 - nothing is kept secret by it
    shuffled = chain.from_iterable(chance.sample(group, len(group)) for group in sets.values())
    arms = tuple(ArmName)
    return {pod: arms[number % 2] for number, pod in enumerate(shuffled)}
