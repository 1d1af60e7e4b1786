"""Whether the candidate's pods scatter more than stable's did: the assumption behind calibrated counts, watched.

Where they do, the candidate's counts are deflated further. The factor rests on earlier windows alone, so that an
e-value stays one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

from controller.judge.noise.calibration import Calibration
from controller.judge.noise.scatter import QUANTILE, Cell, Variance, levels, poisson_variance, share_variance

__all__ = ["Dispersion"]


@dataclass(frozen=True, slots=True)
class Dispersion:
    """How far the candidate's own pods scattered in earlier windows, against what the calibration expects.

    Dispersions of windows add up. A candidate with one pod has none.

    Attributes:
        squares: squares of the pods' deviations from the arm's level, each by the pod's requests.
        expected: what the calibration expects of them.
        degrees: pods beyond the first.
        outcomes: requests times variance: how many rarer outcomes could tell.
    """

    squares: float = 0.0
    expected: float = 0.0
    degrees: int = 0
    outcomes: float = 0.0

    @classmethod
    def of_shares(cls, pods: Mapping[str, Cell], calibration: Calibration) -> "Dispersion":
        """Of one window of a ratio metric, from (requests, bad ones) by pod."""
        return cls._of(pods, calibration, share_variance)

    @classmethod
    def of_rates(cls, pods: Mapping[str, Cell], calibration: Calibration) -> "Dispersion":
        """Of one window of a rate metric, from (exposure, events) by pod."""
        return cls._of(pods, calibration, poisson_variance)

    @classmethod
    def _of(cls, pods: Mapping[str, Cell], calibration: Calibration, variance: Variance) -> "Dispersion":
        window = levels([pods])[0]
        of_one = 0.0 if window is None else variance(window.level, window.size)
        if window is None or of_one <= 0.0:
            return cls()
        degrees = len(window.pods) - 1
        correlation = calibration.intraclass
        if correlation is None:
            effects = degrees * calibration.design_effect
        else:
            effects = degrees + max(0.0, window.between - degrees * calibration.alone) * correlation
        return cls(squares=window.squares, expected=of_one * effects, degrees=degrees, outcomes=of_one * window.size)

    def __add__(self, other: "Dispersion") -> "Dispersion":
        return Dispersion(
            squares=self.squares + other.squares,
            expected=self.expected + other.expected,
            degrees=self.degrees + other.degrees,
            outcomes=self.outcomes + other.outcomes,
        )

    @property
    def inflation(self) -> float:
        """By how much the candidate's design effect is larger than calibrated; 1 while that may be chance (5 %)."""
        if self.degrees == 0 or self.expected <= 0.0:
            return 1.0
        found = self.squares / self.expected
        error = sqrt((2.0 + 2.0 * self.degrees / self.outcomes) / self.degrees)
        return found if found > 1.0 + QUANTILE * error else 1.0
