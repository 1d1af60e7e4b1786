"""How long until a verdict: the course that the evidence takes in windows as they are expected.

The log e-value of a window is linear in its counts. So expected counts give the expected growth of every bet, each
bet's path is a straight line, and the mixtures over the bets (F1, F2), over the window of onset (F6) and with the
catastrophic guard follow from these lines exactly. What is left out is chance: it moves a single run by half of the
forecast easily, the mean of many runs by less than a fourth (a test compares it with simulated runs).

A mean is forecast by F3 on differences that scatter as they did, a histogram at one of its edges.
"""

from dataclasses import dataclass, replace
from math import inf, isfinite, log, sqrt

from controller.judge._process import MetricTest
from controller.judge.kinds.mean_process import MeanTest
from controller.judge.kinds.rate_process import RateTest
from controller.judge.outlook.courses import Courses, Expected, courses_of

__all__ = ["Expected", "Forecast", "forecast", "resolvable_margin"]

_HALVINGS = 40
_SMALLEST_PART = 1e-9
_LARGEST_RELATIVE = 1e3


@dataclass(frozen=True, slots=True)
class Forecast:
    """When one metric's evidence is expected to decide; answers in windows, infinite where it never does."""

    test: MetricTest
    courses: Courses
    promotion: Courses
    """With the margin of the promotion side, where that is another."""

    def until_not_worse(self, alpha: float, *, evidence: float = 0.0, better: float = 0.0) -> float:
        """Windows until "not worse" (and "better", where the test asks for it) has evidence 1/α.

        Args:
            alpha: error probability of the epoch.
            evidence: logarithm of what there is of it.
            better: the same for "better".
        """
        if self.test.promotion_margin == 0.0:
            return inf
        found = self.promotion.not_worse().until(-log(alpha), known=evidence)
        if not self.test.must_be_better or found == inf:
            return found
        return max(found, self.courses.better().until(-log(alpha), known=better))

    def until_worse(self, alpha: float, *, evidence: float = 0.0, share: float = 1.0) -> float:
        """Windows until this metric alone brings the common worse evidence to 1/α.

        Args:
            alpha: error probability of the epoch.
            evidence: logarithm of the metric's own worse evidence.
            share: the metric's weight among all that decide, in (0, 1]: the others are taken to say nothing.
        """
        return self.courses.worse().until(-log(alpha * share), known=evidence)


def forecast(test: MetricTest, expected: Expected) -> Forecast | None:
    """The course of the test's evidence in such windows; None for kinds that have no forecast."""
    sizes = (expected.exposure.stable, expected.exposure.candidate)
    if not all(isfinite(size) and size > 0.0 for size in sizes):
        msg = f"expected requests per window above 0 in both arms, found {sizes}"
        raise ValueError(msg)
    courses = courses_of(test, expected)
    promotion = courses_of(replace(test, margin=test.promotion_margin), expected) if test.promotion_margin else courses
    return None if courses is None or promotion is None else Forecast(test, courses, promotion)


def resolvable_margin(test: MetricTest, expected: Expected, *, windows: float, alpha: float) -> float | None:
    """The smallest margin at which equal arms are shown to be not worse within so many windows, if there is one."""
    largest = _largest_margin(test, expected)

    def enough(margin: float) -> bool:
        found = forecast(replace(test, margin=margin, promotion_margin=None, must_be_better=False), expected.equal)
        return found is not None and found.until_not_worse(alpha) <= windows

    low, high = _SMALLEST_PART * largest, largest
    if not enough(high):
        return None
    for _ in range(_HALVINGS):
        middle = sqrt(low * high)
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _largest_margin(test: MetricTest, expected: Expected) -> float:
    if isinstance(test, RateTest):
        return _LARGEST_RELATIVE
    if isinstance(test, MeanTest):
        return 100.0 * max(expected.deviation or 0.0, _SMALLEST_PART)
    return max((1.0 - expected.levels.stable) / 2, _SMALLEST_PART)
