"""The score statistic of a ratio metric over windows: how far the arms' difference is from a line, in its deviations.

Each window is compared within itself and weighted by n₀n₁/(n₀ + n₁) (Mantel and Haenszel), so that ramps and seasons
cancel. The variance is that of Sato, unbiased in every window however small: with N = n₀ + n₁,

    P = (n₁²k₀ − n₀²k₁ + n₀n₁(n₀ − n₁)/2)/N²,   Q = (k₁(n₀ − k₀) + k₀(n₁ − k₁))/(2N),   variance = δ·ΣP + ΣQ

Source: Sato, Greenland and Robins, "On the variance estimator for the Mantel–Haenszel risk difference", Biometrics 45
(1989).
"""

from dataclasses import dataclass
from math import sqrt

from controller.judge._process import Window
from controller.judge.kinds.ratio import Arm

__all__ = ["StratifiedScore"]


@dataclass(frozen=True, slots=True)
class StratifiedScore:
    """Sums over the windows so far; ``update`` returns those with one more."""

    difference: float = 0.0
    weight: float = 0.0
    per_margin: float = 0.0
    constant: float = 0.0

    def update(self, window: Window[Arm]) -> "StratifiedScore":
        """The sums after one more comparable window."""
        n0, k0, n1, k1 = window.stable.total, window.stable.bad, window.candidate.total, window.candidate.bad
        total = n0 + n1
        share0, share1 = n0 / total, n1 / total
        return StratifiedScore(
            difference=self.difference + k1 * share0 - k0 * share1,
            weight=self.weight + n0 * share1,
            per_margin=self.per_margin + share1**2 * k0 - share0**2 * k1 + 0.5 * share0 * share1 * (n0 - n1),
            constant=self.constant + 0.5 * (k1 * ((n0 - k0) / total) + k0 * ((n1 - k1) / total)),
        )

    def information(self, margin: float) -> float:
        """Variance of the score where candidate's rate is stable's + ``margin``; at least 0."""
        return max(0.0, margin * self.per_margin + self.constant)

    def z(self, margin: float) -> float:
        """The score in standard deviations: above 0 where the difference is above the margin; 0 without variance."""
        information = self.information(margin)
        return (self.difference - margin * self.weight) / sqrt(information) if information > 0.0 else 0.0
