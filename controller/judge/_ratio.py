"""One window of a ratio metric: the block 2×2 e-value with a margin (F1).

Source: Turner, Ly and Grünwald, "Generic E-variables for exact sequential k-sample tests", JSPI 230 (2024)
106116, and Turner and Grünwald, arXiv 2203.09785, for nulls with a margin. ``bad`` = 1 throughout: a higher
rate is worse. Pure ``math``: for ten alternatives numpy's overhead is larger than the work.
"""

from dataclasses import dataclass
from math import isfinite, log
from sys import float_info

from controller.judge._process import Window

__all__ = ["Arm", "History", "better_alternatives", "log_factors", "not_worse_alternatives", "worse_alternatives"]

ODDS_RATIOS = (1.1, 1.2, 1.35, 1.55, 1.8, 2.2, 3.0, 4.5, 8.0, 20.0)
MARGIN_FRACTIONS = (-1.0, -0.5, 0.0, 0.25, 0.5, 0.75)

RATE_FLOOR = 1e-12
"""Alternatives are kept inside (floor, 1 − floor), so that every logarithm is finite."""

ROUNDING_TOLERANCE = 1e-6
MAX_ITERATIONS = 100
STEP_TOLERANCE = 1e-12


def _check_counts(total: float, bad: float) -> None:
    if not (isfinite(total) and 0 <= bad <= total):
        msg = f"expected 0 <= bad <= total, both finite; found bad={bad!r}, total={total!r}"
        raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Arm:
    """What one arm did in one window.

    Attributes:
        total: effective number of requests (equals the raw one while the design effect is 1).
        bad: effective number of bad ones among them.
        requests: raw number of requests where it differs from ``total``.
    """

    total: float
    bad: float
    requests: float | None = None

    def __post_init__(self) -> None:
        _check_counts(self.total, self.bad)

    @property
    def exposure(self) -> float:
        """Raw number of requests."""
        return self.total if self.requests is None else self.requests

    @property
    def silent(self) -> bool:
        """Whether there was no request."""
        return not self.total > 0

    @property
    def shown(self) -> str:
        """Bad ones of all, as the judge counts them."""
        return f"{self.bad:g}/{self.total:g}"


@dataclass(frozen=True, slots=True)
class History:
    """Stable's effective counts before the epoch. They only guide the bets; validity never needs them."""

    total: float
    bad: float

    def __post_init__(self) -> None:
        _check_counts(self.total, self.bad)

    @property
    def rate(self) -> float | None:
        """Share of bad requests, None without any request."""
        return self.bad / self.total if self.total > 0 else None

    @property
    def expected_rate(self) -> float:
        """The predictable guess θ̂0 for stable's next window: (½ + bad)/(1 + total), ½ before any data."""
        return (0.5 + self.bad) / (1.0 + self.total)

    def learn(self, arm: Arm) -> "History":
        """The history with one more of stable's windows in it."""
        return History(self.total + arm.total, self.bad + arm.bad)


def worse_alternatives(rate: float, margin: float) -> tuple[float, ...]:
    """Candidate rates beyond the line ``rate + margin``, by odds ratio. One that would not be is the line."""
    line = rate + margin
    if line >= 1.0 - RATE_FLOOR:
        return (line,) * len(ODDS_RATIOS)
    odds = line / (1.0 - line)
    return tuple(max(line, _inside(odds * ratio / (1.0 + odds * ratio))) for ratio in ODDS_RATIOS)


def not_worse_alternatives(rate: float, margin: float) -> tuple[float, ...]:
    """Candidate rates short of the line ``rate + margin``, by fractions of the margin; at margin 0 the line."""
    line = rate + margin
    return tuple(min(line, _inside(rate + fraction * margin)) for fraction in MARGIN_FRACTIONS)


def better_alternatives(rate: float) -> tuple[float, ...]:
    """Candidate rates below stable's, by odds ratio: those of the worse side, inverted."""
    odds = rate / (1.0 - rate)
    return tuple(_inside(odds / ratio / (1.0 + odds / ratio)) for ratio in ODDS_RATIOS)


def log_factors(
    window: Window[Arm], *, rate: float, margin: float, alternatives: tuple[float, ...]
) -> tuple[float, ...]:
    """Natural log e-value of one window for each alternative, against the null bounded by ``margin``.

    Args:
        window: both arms' counts; both totals above 0.
        rate: the guess for stable's rate, chosen before the window was seen.
        margin: δ in (−1, 1); the null is "candidate ≤ stable + δ" for alternatives beyond the line
            ``rate + δ`` and "candidate ≥ stable + δ" for alternatives short of it.
        alternatives: candidate rates, chosen before the window was seen; one on the line bets nothing.
    """
    line = rate + margin
    return tuple(
        0.0 if alternative == line else _log_factor(window, rate=rate, margin=margin, alternative=alternative)
        for alternative in alternatives
    )


def _log_factor(window: Window[Arm], *, rate: float, margin: float, alternative: float) -> float:
    stable, candidate = window.stable, window.candidate
    s0 = projection(rate, alternative, margin=margin, weights=(stable.total, candidate.total))
    s1 = s0 + margin
    if s0 <= 0.0 or s1 >= 1.0 or rounding(s1, alternative, candidate.total) > ROUNDING_TOLERANCE:
        return 0.0
    return (
        candidate.bad * log(alternative / s1)
        + (candidate.total - candidate.bad) * log((1.0 - alternative) / (1.0 - s1))
        + stable.bad * log(rate / s0)
        + (stable.total - stable.bad) * log((1.0 - rate) / (1.0 - s0))
    )


def projection(rate: float, alternative: float, *, margin: float, weights: tuple[float, float]) -> float:
    """Stable's rate s at the null's point (s, s + δ) nearest to the alternative in Kullback–Leibler terms.

    F1's g(s) times its denominators is the cubic n0·(s − θ0)·s1(1 − s1) + n1·(s1 − θ1)·s(1 − s), s1 = s + δ.
    It has three real roots; s is the middle one and lies between θ0 and θ1 − δ. From the point of inflection,
    or the end of that bracket next to it, Newton's method moves towards the middle root without overshooting.
    """
    n0, n1 = weights
    if margin == 0.0:
        return (n0 * rate + n1 * alternative) / (n0 + n1)
    shifted = alternative - margin
    low = max(min(rate, shifted), 0.0, -margin)
    high = min(max(rate, shifted), 1.0, 1.0 - margin)
    inflection = (n0 * (1.0 - 2.0 * margin + rate) + n1 * (1.0 + shifted)) / (3.0 * (n0 + n1))
    s = min(max(inflection, low), high)
    for _ in range(MAX_ITERATIONS):
        s1 = s + margin
        variance0, variance1 = s * (1.0 - s), s1 * (1.0 - s1)
        value = n0 * (s - rate) * variance1 + n1 * (s1 - alternative) * variance0
        slope = n0 * (variance1 + (s - rate) * (1.0 - 2.0 * s1)) + n1 * (
            variance0 + (s1 - alternative) * (1.0 - 2.0 * s)
        )
        step = value / slope
        s -= step
        if abs(step) <= STEP_TOLERANCE * s:
            break
    return s


def rounding(s1: float, alternative: float, total: float) -> float:
    """How far rounding in 1 − s1 can move the log e-value's expectation, for s1 next to 1.

    Where that is too far, the bet is left out: that rests on guesses and totals alone, so an e-value remains.
    """
    return total * (1.0 - alternative) * float_info.epsilon / (1.0 - s1) ** 2


def _inside(rate: float) -> float:
    return min(max(rate, RATE_FLOOR), 1.0 - RATE_FLOOR)
