"""The regressions that ``detection`` looks for: rates, margins, traffic, and what the best possible test would need."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

from controller.judge.batch import BatchWindow
from controller.judge.kinds.ratio import projections

ALPHA = 0.05
REQUESTS = 200
SHARE = 0.1
HISTORY = 20 * REQUESTS
HORIZON = 500
LOOKS = 4000

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Metric:
    """Stable's and the candidate's rate of bad requests, and the margin between them that is tolerated."""

    stable: float
    candidate: float
    margin: float


@dataclass(frozen=True)
class Case:
    """A metric that became worse, and one that did not."""

    title: str
    worse: Metric
    other: Metric

    @property
    def metrics(self) -> dict[str, Metric]:
        """Both by name."""
        return {"worse": self.worse, "other": self.other}

    @property
    def reference(self) -> float:
        """Wald's expected number of candidate requests: ln(1/α)/I."""
        stable, candidate, margin = self.worse.stable, self.worse.candidate, self.worse.margin
        others = (1.0 - SHARE) / SHARE
        (nearest,) = projections(stable, (candidate,), margin=margin, weights=(others, 1.0))
        return -log(ALPHA) / (others * _divergence(stable, nearest) + _divergence(candidate, nearest + margin))


def _divergence(p: float, q: float) -> float:
    """Kullback and Leibler's, of a Bernoulli variable."""
    return p * log(p / q) + (1.0 - p) * log((1.0 - p) / (1.0 - q))


ERRORS, INACCURACY = 0.005, 0.08
ERROR_MARGIN, ACCURACY_MARGIN = max(0.0025, 0.5 * ERRORS), 0.01


def _errors(candidate: float, *, scale: float) -> Case:
    worse = Metric(ERRORS, candidate, scale * ERROR_MARGIN)
    return Case(
        f"errors 0.5 → {100 * candidate:g} %, {_named(scale)}",
        worse,
        Metric(INACCURACY, INACCURACY, scale * ACCURACY_MARGIN),
    )


def _accuracy(candidate: float, *, scale: float) -> Case:
    worse = Metric(INACCURACY, candidate, scale * ACCURACY_MARGIN)
    return Case(
        f"accuracy 92 → {100 * (1 - candidate):g} %, {_named(scale)}",
        worse,
        Metric(ERRORS, ERRORS, scale * ERROR_MARGIN),
    )


def _named(scale: float) -> str:
    return "default margin" if scale else "margin 0"


CASES = tuple(case(rate, scale=scale) for case, rate in ((_errors, 0.015), (_accuracy, 0.12)) for scale in (0.0, 1.0))
DISASTERS = (_errors(0.1, scale=1.0), _errors(0.5, scale=1.0), _accuracy(0.3, scale=1.0))


def traffic(case: Case, rng: np.random.Generator, runs: int, *, onset: int = 0) -> Iterator[dict[str, BatchWindow]]:
    """Windows of every run, one after the other; before window ``onset`` the candidate is as good as stable."""
    for number in range(LOOKS):
        total = rng.poisson(REQUESTS, runs)
        candidate = rng.binomial(total, SHARE)
        windows = {}
        for name, metric in case.metrics.items():
            rate = metric.candidate if number >= onset else metric.stable
            windows[name] = _window(
                (total - candidate, rng.binomial(total - candidate, metric.stable)),
                (candidate, rng.binomial(candidate, rate)),
            )
        yield windows
    msg = f"{case.title}: expected every run to decide within {LOOKS} windows"
    raise RuntimeError(msg)


def _window(stable: tuple[Counts, Counts], candidate: tuple[Counts, Counts]) -> BatchWindow:
    n0, bad0, n1, bad1 = (counts.astype(float) for counts in (*stable, *candidate))
    return BatchWindow(n0, bad0, n1, bad1, n0, n1)
