"""One window of a ratio metric: the block 2×2 e-value with a margin (F1).

Source: Turner, Ly and Grünwald, "Generic E-variables for exact sequential k-sample tests", JSPI 230 (2024)
106116, and Turner and Grünwald, arXiv 2203.09785, for nulls with a margin. ``bad`` = 1 throughout: a higher
rate is worse. Pure ``math``: for ten alternatives numpy's overhead is larger than the work.
"""

from dataclasses import dataclass
from math import asin, isfinite, log, nan, sin, sqrt
from sys import float_info

from controller.judge._process import Window

__all__ = ["Arm", "History", "better_alternatives", "log_factors", "not_worse_alternatives", "worse_alternatives"]

ODDS_RATIOS = (1.1, 1.2, 1.35, 1.55, 1.8, 2.2, 3.0, 4.5, 8.0, 20.0)
MARGIN_FRACTIONS = (-1.0, -0.5, 0.0, 0.25, 0.5, 0.75)

RATE_FLOOR = 1e-12
"""Alternatives are kept inside (floor, 1 − floor), so that every logarithm is finite."""

EDGE = 1e-9
"""Alternatives of a line this far from 1 need no floor."""

ROUNDING_TOLERANCE = 1e-6
MAX_ITERATIONS = 100
STEP_TOLERANCE = 1e-12
CLOSED_FORM_TOLERANCE = 1e-7


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
    chosen = tuple(odds * ratio / (1.0 + odds * ratio) for ratio in ODDS_RATIOS)
    if RATE_FLOOR < line < 1.0 - EDGE:
        return chosen
    return tuple(max(line, _inside(rate)) for rate in chosen)


def not_worse_alternatives(rate: float, margin: float) -> tuple[float, ...]:
    """Candidate rates short of the line ``rate + margin``, by fractions of the margin; at margin 0 the line."""
    line = rate + margin
    chosen = tuple(rate + fraction * margin for fraction in MARGIN_FRACTIONS)
    if RATE_FLOOR < chosen[0] < line < 1.0 - EDGE:
        return chosen
    return tuple(min(line, _inside(rate)) for rate in chosen)


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
    stable, candidate = window.stable, window.candidate
    n0, n1, bad0, bad1 = stable.total, candidate.total, stable.bad, candidate.bad
    good0, good1, line, blur = n0 - bad0, n1 - bad1, rate + margin, n1 * float_info.epsilon / ROUNDING_TOLERANCE
    nearest = projections(rate, alternatives, margin=margin, weights=(n0, n1))
    factors = []
    for alternative, s0 in zip(alternatives, nearest, strict=True):
        s1 = s0 + margin
        short, short1 = 1.0 - alternative, 1.0 - s1
        # Next to 1 rounding of 1 − s1 moves the expectation: then there is no bet, by guesses and totals alone.
        if alternative == line or s0 <= 0.0 or short1 <= 0.0 or blur * short > short1 * short1:
            factors.append(0.0)
        else:
            factors.append(
                bad1 * log(alternative / s1)
                + good1 * log(short / short1)
                + bad0 * log(rate / s0)
                + good0 * log((1.0 - rate) / (1.0 - s0))
            )
    return tuple(factors)


def projections(
    rate: float, alternatives: tuple[float, ...], *, margin: float, weights: tuple[float, float]
) -> tuple[float, ...]:
    """Stable's rate s at the null's point (s, s + δ) nearest to each alternative in Kullback–Leibler terms.

    F1's g(s) times its denominators is, with s1 = s + δ and the arms' shares w of the requests, the cubic
    w0·(s − θ0)·s1(s1 − 1) + w1·(s1 − θ1)·s(s − 1). It has three real roots; s is the middle one and lies between
    θ0 and θ1 − δ. Its closed form is made exact by one step of Newton's method on the cubic as it is written above,
    where nothing cancels. If that step is not tiny (two roots nearly meet, and the arcsine loses its digits) the
    method begins anew from where it cannot fail.
    """
    n0, n1 = weights
    share0, share1 = n0 / (n0 + n1), n1 / (n0 + n1)
    if margin == 0.0:
        return tuple((n0 * rate + n1 * alternative) / (n0 + n1) for alternative in alternatives)
    skew, flank = 1.0 - 2.0 * margin, margin * (1.0 - margin)
    # Up to the alternative's own part, the cubic is s³ − square·s² + linear·s + 2·half.
    square, linear, half = share0 * (skew + rate) + share1, share0 * (rate * skew - flank), share0 * rate * flank / 2.0
    found = []
    for alternative in alternatives:
        pull = share1 * (alternative - margin)
        centre, slope = (square + pull) / 3.0, linear + pull
        squared = centre * centre
        spread = squared - slope / 3.0
        radius = sqrt(spread) if spread > 0.0 else nan
        sine = (half - centre * (squared - slope / 2.0)) / (spread * radius)
        s = centre + 2.0 * radius * sin(asin(sine) / 3.0) if -1.0 <= sine <= 1.0 else nan
        s1 = s + margin
        value = share0 * (s - rate) * s1 * (1.0 - s1) + share1 * (s1 - alternative) * s * (1.0 - s)
        descent = 3.0 * s * (2.0 * centre - s) - slope
        step = value / descent if descent > 0.0 else nan
        room = CLOSED_FORM_TOLERANCE * (s if s < 1.0 - s1 else 1.0 - s1)
        exact = -room <= step <= room
        found.append(s - step if exact else _iterated(rate, alternative, margin=margin, weights=weights))
    return tuple(found)


def _iterated(rate: float, alternative: float, *, margin: float, weights: tuple[float, float]) -> float:
    """One projection by Newton's method alone.

    From the point of inflection, or the end of the bracket (θ0, θ1 − δ) next to it, it moves towards the middle root
    without overshooting.
    """
    n0, n1 = weights
    shifted = alternative - margin
    low = max(min(rate, shifted), 0.0, -margin)
    high = min(max(rate, shifted), 1.0, 1.0 - margin)
    inflection = (n0 * (1.0 - 2.0 * margin + rate) + n1 * (1.0 + shifted)) / (3.0 * (n0 + n1))
    s = min(max(inflection, low), high)
    for _ in range(MAX_ITERATIONS):
        s1 = s + margin
        variance0, variance1 = s * (1.0 - s), s1 * (1.0 - s1)
        from_rate, from_alternative = n0 * (s - rate), n1 * (s1 - alternative)
        slope = n0 * variance1 + from_rate * (1.0 - 2.0 * s1) + n1 * variance0 + from_alternative * (1.0 - 2.0 * s)
        step = (from_rate * variance1 + from_alternative * variance0) / slope
        s -= step
        if abs(step) <= STEP_TOLERANCE * s:
            break
    return s


def _inside(rate: float) -> float:
    return min(max(rate, RATE_FLOOR), 1.0 - RATE_FLOOR)
