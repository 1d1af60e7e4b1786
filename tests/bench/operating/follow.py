"""Let several methods watch the same traffic, and note when each would have taken the candidate back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from controller.cli.traffic import Stream
from controller.judge.batch import Floats
from tests.bench.operating.methods import Method

Weights = Callable[[int], float]


@dataclass(frozen=True, eq=False)
class Watched:
    """In which window (from 1) a method acted first, per run; infinite where it never did."""

    first: Floats

    @property
    def runs(self) -> int:
        return self.first.size

    @property
    def count(self) -> int:
        return int(np.isfinite(self.first).sum())

    @property
    def share(self) -> float:
        return self.count / self.runs

    @property
    def mean(self) -> float:
        """Windows until it acted, over the runs in which it did."""
        acted = self.first[np.isfinite(self.first)]
        return float(acted.mean()) if acted.size else float("nan")

    @property
    def error(self) -> float:
        """Standard error of that mean."""
        acted = self.first[np.isfinite(self.first)]
        return float(acted.std() / np.sqrt(acted.size)) if acted.size else float("inf")


def ten_percent(_: int) -> float:
    """The usual weight of the candidate."""
    return 10.0


def ramp(number: int) -> float:
    """1, 5, 10, 25, 50 % over 200 windows."""
    return (1.0, 5.0, 10.0, 25.0, 50.0)[min(number // 40, 4)]


def follow(
    stream: Stream, methods: Sequence[Method], *, windows: int, weights: Weights = ten_percent
) -> Mapping[str, Watched]:
    """Each method's first act within so many windows; all see the same ones. Ends early where all have acted."""
    first: dict[str, Floats] = {}
    runs = stream.runs
    for number in range(windows):
        stable, candidate = stream.window(number, np.full(runs, weights(number)))
        for method in methods:
            for name, flags in method.look(stable, candidate).items():
                known = first.setdefault(name, np.full(runs, np.inf))
                known[flags & np.isinf(known)] = number + 1
        if all(np.isfinite(each).all() for each in first.values()):
            break
    return {name: Watched(each) for name, each in first.items()}
