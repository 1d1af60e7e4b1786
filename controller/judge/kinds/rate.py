"""One window of a rate metric: the conditional binomial e-value for the ratio of two rates (F2).

Events per exposure: exceptions per request, restarts per pod-hour. Given how many events the arms had together, how
many of them were the candidate's depends on nothing but the ratio of the rates, so no history is needed.

The e-value of a window, with K events in all, k₁ of them the candidate's, exposures n₀ and n₁, the line r₀ and an
alternative r, is (r/r₀)^k₁ · c^K with c = (n₁r₀ + n₀)/(n₁r + n₀). Its expectation is exactly 1 on the line for Poisson
counts, whatever the rates do within the window; only their averages matter. It is at most 1 for independent requests
with at most one event each too, on any line: E = (1 + p₁(c·r/r₀ − 1))^n₁ · (1 + p₀(c − 1))^n₀, and with ln(1 + x) ≤ x
its logarithm is at most p₀(c(n₁r + n₀) − (n₁r₀ + n₀)) = 0 where p₁ = r₀p₀.

Source: Lindon and Malek, "Anytime-valid inference for multinomial count data", NeurIPS 2022.
"""

from dataclasses import dataclass
from math import isfinite, log, log1p

from controller.judge._process import Window
from controller.judge.kinds.ratio import MARGIN_FRACTIONS, ODDS_RATIOS

__all__ = ["RateArm", "better_ratios", "log_factors", "not_worse_ratios", "worse_ratios"]


@dataclass(frozen=True, slots=True)
class RateArm:
    """What one arm did in one window.

    Attributes:
        count: effective number of events (equals the raw one while the design effect is 1); more than one per unit
            of exposure is possible.
        exposure: raw exposure: requests, or pod-hours, or what else the rate is per; the same unit for both arms.
        effective: effective exposure where it differs from the raw one.
    """

    count: float
    exposure: float
    effective: float | None = None

    def __post_init__(self) -> None:
        numbers = (self.count, self.exposure, self.total)
        if not all(isfinite(number) and number >= 0.0 for number in numbers):
            msg = (
                "expected a count and an exposure of at least 0, both finite; "
                f"found count={self.count!r}, exposure={self.exposure!r}, effective={self.effective!r}"
            )
            raise ValueError(msg)

    @property
    def total(self) -> float:
        """Effective exposure."""
        return self.exposure if self.effective is None else self.effective

    @property
    def silent(self) -> bool:
        """Whether nothing was exposed."""
        return not self.total > 0.0

    @property
    def shown(self) -> str:
        """Events by exposure, as the judge counts them."""
        return f"{self.count:g}/{self.total:g}"


def worse_ratios(line: float) -> tuple[float, ...]:
    """Rate ratios beyond the line: the odds ratios of F1 as multiples of it."""
    return tuple(line * ratio for ratio in ODDS_RATIOS)


def not_worse_ratios(line: float) -> tuple[float, ...]:
    """Rate ratios short of the line r₀ ≥ 1: r₀^f for F1's fractions f of the margin, so 1/r₀ … r₀^¾.

    For a small margin δ that is 1 + f·δ, the alternatives of F1; as powers they stay above 0 for a large one.
    """
    return tuple(line**fraction for fraction in MARGIN_FRACTIONS)


def better_ratios(line: float) -> tuple[float, ...]:
    """Rate ratios below the line, by the same steps as those beyond it."""
    return tuple(line / ratio for ratio in ODDS_RATIOS)


def log_factors(window: Window[RateArm], *, line: float, alternatives: tuple[float, ...]) -> tuple[float, ...]:
    """Natural log e-value of one window for each alternative rate ratio.

    Args:
        window: both arms' counts; both exposures above 0.
        line: the rate ratio r₀ > 0 that bounds the null: "candidate's rate ≤ r₀ × stable's" for alternatives above
            it, "≥" for alternatives below it; one on the line bets nothing.
        alternatives: rate ratios above 0, chosen before the window was seen.
    """
    stable, candidate = window.stable, window.candidate
    events = stable.count + candidate.count
    total = candidate.total + stable.total
    share = candidate.total / total
    middle = share * line + stable.total / total
    return tuple(
        candidate.count * log(ratio / line) - events * log1p(share * (ratio - line) / middle) for ratio in alternatives
    )
