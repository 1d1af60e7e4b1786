"""Pairs: the same request was answered by both arms (shadow traffic), and each answer was right or wrong.

Pairs in which both were right or both wrong say nothing about which arm is better; of the discordant ones about half
should be the candidate's fault if it is as good as stable. Two kinds of evidence:

- against "not worse", margin 0: McNemar's test as an e-process (F10), a uniform mixture over the candidate's share of
  the discordant pairs between ½ and 1;
- against a margin δ: bets 1 + λ(x − δ) on x = 1 where only the candidate was wrong, −1 where only stable was, 0 else.
  At δ = 0 that is 2p for the one and 2(1 − p) for the other with p = (1 + λ)/2, so F10 is the mixture over all λ.

Both hold for pairs that depend on what came before, as long as the line holds for each given the past.
Sources: statistics F10; Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting",
JRSSB 86 (2024), for the bets.
"""

from dataclasses import dataclass
from math import isfinite, log, log1p

from scipy.special import betaln

from controller.judge._process import Window
from controller.judge.numbers.tails import log_beta_cdf

__all__ = ["BETS", "PairArm", "log_factors", "log_mcnemar"]

BETS = (0.01, 0.03, 0.08, 0.16, 0.3, 0.5, 0.7, 0.9)
"""Stakes λ as parts of the largest that cannot lose everything, 1/(1 + δ)."""


@dataclass(frozen=True, slots=True)
class PairArm:
    """What one arm did with the pairs of one window.

    Attributes:
        total: number of pairs; the same for both arms.
        bad: pairs in which this arm was wrong.
        alone: pairs in which this arm was wrong and the other was right.
    """

    total: float
    bad: float
    alone: float

    def __post_init__(self) -> None:
        if not (isfinite(self.total) and 0 <= self.alone <= self.bad <= self.total):
            msg = (
                "expected 0 <= alone <= bad <= total, all finite; "
                f"found alone={self.alone!r}, bad={self.bad!r}, total={self.total!r}"
            )
            raise ValueError(msg)

    @property
    def exposure(self) -> float:
        """Number of pairs."""
        return self.total

    @property
    def silent(self) -> bool:
        """Whether there was no pair."""
        return not self.total > 0

    @property
    def shown(self) -> str:
        """Wrong alone of all pairs."""
        return f"{self.alone:g}/{self.total:g}"


def log_mcnemar(worse: float, better: float) -> float:
    """Natural log evidence (F10) that of the discordant pairs more than half belong to ``worse``.

    Args:
        worse: all pairs so far in which only the candidate was wrong.
        better: all pairs so far in which only stable was wrong.
    """
    a, b = worse + 1.0, better + 1.0
    return (worse + better + 1.0) * log(2.0) + float(betaln(a, b)) + log_beta_cdf(0.5, a=b, b=a)


def log_factors(window: Window[PairArm], *, line: float) -> tuple[float, ...]:
    """Natural log e-value of one window for each bet, against "the candidate is worse by at most ``line``".

    The difference is that of the shares of wrong answers; the line lies in (−1, 1). Mirrored windows (the arms
    exchanged) with the line −δ speak against "the candidate is worse by at least δ".
    """
    up, down = window.candidate.alone, window.stable.alone
    level = window.stable.total - up - down
    stakes = (part / (1.0 + line) for part in BETS)
    return tuple(
        up * log1p(stake * (1.0 - line)) + down * log1p(-stake * (1.0 + line)) + level * log1p(-stake * line)
        for stake in stakes
    )
