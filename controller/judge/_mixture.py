"""How the e-values of windows and alternatives become one evidence process, in logarithms throughout."""

from dataclasses import dataclass
from math import exp, inf, log, log1p

__all__ = ["Plain", "Restart", "log_add", "log_mean", "log_weighted_mean"]


def log_mean(logs: tuple[float, ...]) -> float:
    """Logarithm of the mean of the numbers whose logarithms are given; 0 (the number 1) for none.

    A fixed mean of e-values is an e-value under any dependence (F8); it never says more than one of its parts.
    """
    if not logs:
        return 0.0
    largest = max(logs)
    if largest == -inf:
        return -inf
    return largest + log(sum([exp(value - largest) for value in logs]) / len(logs))


def log_weighted_mean(logs: tuple[float, ...], *, weights: tuple[float, ...]) -> float:
    """As ``log_mean``, with fixed weights above 0 of any sum."""
    if len(set(weights)) <= 1:
        return log_mean(logs)
    total = sum(weights)
    terms = [value + log(weight / total) for value, weight in zip(logs, weights, strict=True)]
    largest = max(terms)
    return largest if largest == -inf else largest + log(sum(exp(term - largest) for term in terms))


def log_add(a: float, b: float) -> float:
    """Logarithm of the sum of the two numbers whose logarithms are given."""
    high, low = (a, b) if a >= b else (b, a)
    return high if low == -inf else high + log1p(exp(low - high))


@dataclass(frozen=True, slots=True)
class Plain:
    """The product over windows for each alternative, and the mean over the alternatives (F1).

    Attributes:
        logs: log of the product, per alternative.
        log_value: log evidence.
    """

    logs: tuple[float, ...]
    log_value: float = 0.0

    @classmethod
    def start(cls, size: int) -> "Plain":
        """Evidence 1 for ``size`` alternatives."""
        return cls(logs=(0.0,) * size)

    def update(self, factors: tuple[float, ...]) -> "Plain":
        """The evidence after one more window."""
        logs = tuple([value + factor for value, factor in zip(self.logs, factors, strict=True)])
        return Plain(logs, log_mean(logs))


@dataclass(frozen=True, slots=True)
class Restart:
    """A mixture over the window in which the regression began, for the same alternatives (F6).

    Half of the weight begins with the first window, half is spread evenly over the windows 2 … horizon;
    what has not begun yet is kept as 1. Still a test martingale: no error is added.

    Attributes:
        logs: log of what has begun, per alternative.
        horizon: number of windows over which the weight is spread, at least 1.
        windows: windows counted so far.
        log_value: log evidence.
    """

    logs: tuple[float, ...]
    horizon: int
    windows: int = 0
    log_value: float = 0.0

    @classmethod
    def start(cls, size: int, horizon: int) -> "Restart":
        """Evidence 1 for ``size`` alternatives, nothing begun."""
        if horizon < 1:
            msg = f"expected a horizon of at least 1 window, found {horizon}"
            raise ValueError(msg)
        return cls(logs=(-inf,) * size, horizon=horizon)

    def update(self, factors: tuple[float, ...]) -> "Restart":
        """The evidence after one more window."""
        windows = self.windows + 1
        reserve = self._reserve(windows)
        begun = _log(self._reserve(self.windows) - reserve)
        logs = tuple([log_add(value, begun) + factor for value, factor in zip(self.logs, factors, strict=True)])
        return Restart(logs, self.horizon, windows, log_add(log_mean(logs), _log(reserve)))

    def _reserve(self, windows: int) -> float:
        """Weight that has not begun after so many windows."""
        if windows == 0:
            return 1.0
        if self.horizon == 1:
            return 0.5
        return 0.5 * max(self.horizon - windows, 0) / (self.horizon - 1)


def _log(weight: float) -> float:
    return log(weight) if weight > 0.0 else -inf
