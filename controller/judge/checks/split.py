"""Whether the arms got the share of the requests that they were meant to get (sample-ratio mismatch).

Requests that are routed one by one: a beta-binomial mixture against the desired weight (F7), an e-process. Source:
Lindon and Malek, "Anytime-valid inference for multinomial count data", NeurIPS 2022. With sticky routing it alarms
falsely, because requests of a session share their arm. There the windows' shares are compared with the weight instead,
whatever their variance: the two-sided t-mixture (F3). Source: Lindon, Ham, Tingley and Bojinov, "Anytime-valid linear
models and regression adjusted causal inference", 2022.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import lgamma, log
from types import MappingProxyType
from typing import Final, Protocol, Self

from controller.api.verdicts import ShareCheck
from controller.judge._mixture import log_mean

__all__ = ["SHARE_CHECKS", "SampleRatio", "SessionRatio", "Split", "SplitEvidence"]

_CONCENTRATION: Final = 1000.0
_ALARM: Final = 1000.0
_LARGEST_DEVIATION: Final = 0.1
_EFFECT_VARIANCES: Final = (0.05, 0.25, 1.0, 4.0)
_FEWEST_WINDOWS: Final = 5
_SILENCE: Final = 20.0


@dataclass(frozen=True, slots=True)
class Split:
    """The raw requests of both arms in one window, and the percent that the candidate was meant to get."""

    weight: float
    stable: float
    candidate: float

    @property
    def telling(self) -> bool:
        """Whether the window says something about the shares.

        It does not when one arm is meant to get everything, nor when an arm that was meant to get 20 requests got
        none: that is silence, which has its own name, and no wrong share. With fewer it is chance, and counts.
        """
        if not 0 < self.weight < 100 or not self.stable + self.candidate > 0:
            return False
        total, share = self.stable + self.candidate, self.weight / 100
        silent = (self.stable <= 0 and total * (1 - share) >= _SILENCE) or (
            self.candidate <= 0 and total * share >= _SILENCE
        )
        return not silent


@dataclass(frozen=True, slots=True)
class Shares:
    """The candidate's requests, wanted and found, over all telling windows."""

    total: float = 0.0
    wanted: float = 0.0
    found: float = 0.0

    def update(self, split: Split) -> "Shares":
        """The shares with one more window in them."""
        total = split.stable + split.candidate
        return Shares(
            total=self.total + total,
            wanted=self.wanted + split.weight / 100 * total,
            found=self.found + split.candidate,
        )

    @property
    def deviation(self) -> float:
        """How much more the candidate got than it should, as a share of what it should; −1: nothing at all."""
        return self.found / self.wanted - 1 if self.wanted > 0 else 0.0


class SplitEvidence(Protocol):
    """The evidence after some windows that the candidate's share is not the desired weight."""

    @property
    def shares(self) -> Shares:
        """What was wanted and found."""

    @property
    def log_evidence(self) -> float:
        """Log evidence that the shares differ from the weights: that of all steps, added up."""

    @property
    def mismatched(self) -> bool:
        """Whether the comparison is invalid: evidence of 1,000 and a deviation that matters, above 10 %."""

    def update(self, *, weight: float | None, stable: float, candidate: float) -> Self:
        """The evidence after one more window with these raw requests; one that is not telling changes nothing."""


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """The evidence where requests are routed one by one (F7).

    Attributes:
        weight: desired percent in the present step, None before the first window.
        concentration: how close to the weight another share is looked for (κ).
        stable: stable's requests in the present step.
        candidate: the candidate's requests in the present step.
        shares: what was wanted and found in all steps.
    """

    weight: float | None = None
    concentration: float = _CONCENTRATION
    stable: float = 0.0
    candidate: float = 0.0
    shares: Shares = field(default_factory=Shares)
    _earlier_steps: float = 0.0

    def update(self, *, weight: float | None, stable: float, candidate: float) -> "SampleRatio":
        """The evidence after one more window with these raw requests; one that is not telling changes nothing."""
        split = Split(weight or 0.0, stable, candidate)
        if not split.telling:
            return self
        step = self
        if split.weight != self.weight:
            step = replace(self, weight=split.weight, stable=0.0, candidate=0.0, _earlier_steps=self.log_evidence)
        return replace(
            step,
            stable=step.stable + split.stable,
            candidate=step.candidate + split.candidate,
            shares=step.shares.update(split),
        )

    @property
    def log_evidence(self) -> float:
        """Log evidence that the shares differ from the weights: that of all steps, added up."""
        if self.weight is None:
            return 0.0
        share = self.weight / 100
        a, b = self.concentration * share, self.concentration * (1 - share)
        mixture = _log_beta(a + self.candidate, b + self.stable) - _log_beta(a, b)
        return self._earlier_steps + mixture - self.candidate * log(share) - self.stable * log(1 - share)

    @property
    def deviation(self) -> float:
        """How much more the candidate got than it should, as a share of what it should."""
        return self.shares.deviation

    @property
    def mismatched(self) -> bool:
        """Whether the comparison is invalid: evidence of 1,000 and a deviation that matters, above 10 %."""
        return self.log_evidence >= log(_ALARM) and abs(self.deviation) > _LARGEST_DEVIATION


@dataclass(frozen=True, slots=True)
class SessionRatio:
    """The evidence where sessions, or connections, are routed (F3, two-sided): the unit is a window's share.

    Within a window requests may depend on each other in any way. The shares of different windows may not, so sessions
    should be short against a window.

    Attributes:
        weight: desired percent in the present step, None before the first window.
        windows: telling windows in the present step.
        mean: mean of their shares minus the weight.
        scatter: sum of squared distances from that mean.
        seen: telling windows in all steps.
        shares: what was wanted and found in all steps.
    """

    weight: float | None = None
    windows: int = 0
    mean: float = 0.0
    scatter: float = 0.0
    seen: int = 0
    shares: Shares = field(default_factory=Shares)
    _earlier_steps: float = 0.0

    def update(self, *, weight: float | None, stable: float, candidate: float) -> "SessionRatio":
        """The evidence after one more window with these raw requests; one that is not telling changes nothing."""
        split = Split(weight or 0.0, stable, candidate)
        if not split.telling:
            return self
        step = self
        if split.weight != self.weight:
            step = replace(
                self, weight=split.weight, windows=0, mean=0.0, scatter=0.0, _earlier_steps=self.log_evidence
            )
        windows = step.windows + 1
        off = split.candidate / (split.stable + split.candidate) - split.weight / 100
        mean = step.mean + (off - step.mean) / windows
        return replace(
            step,
            windows=windows,
            mean=mean,
            scatter=step.scatter + (off - step.mean) * (off - mean),
            seen=step.seen + 1,
            shares=step.shares.update(split),
        )

    @property
    def log_evidence(self) -> float:
        """Log evidence that the shares differ from the weights: that of all steps, added up."""
        if self.windows < 2:
            return self._earlier_steps
        mixture = log_mean(tuple(self._log_bayes_factor(variance) for variance in _EFFECT_VARIANCES))
        return self._earlier_steps + mixture

    @property
    def deviation(self) -> float:
        """How much more the candidate got than it should, as a share of what it should."""
        return self.shares.deviation

    @property
    def mismatched(self) -> bool:
        """As with ``SampleRatio``; and not before 5 windows, whose shares are no better than roughly normal."""
        enough = self.seen >= _FEWEST_WINDOWS and self.log_evidence >= log(_ALARM)
        return enough and abs(self.deviation) > _LARGEST_DEVIATION

    def _log_bayes_factor(self, effect_variance: float) -> float:
        """F3's ln BF, with 1 + T²/ν written as (S + n·mean²)/S, which needs no scatter above 0."""
        n, shift = self.windows, self.windows * self.mean**2
        shrink = 1 / (1 + n * effect_variance)
        spread = self.scatter + shrink * shift
        ratio = (self.scatter + shift) / spread if spread > 0 else 1.0
        return 0.5 * log(shrink) + 0.5 * n * log(ratio)


SHARE_CHECKS: Final[Mapping[ShareCheck, Callable[[], SplitEvidence]]] = MappingProxyType(
    {
        ShareCheck.INDEPENDENT: SampleRatio,
        ShareCheck.STICKY: SessionRatio,
        ShareCheck.ADVISORY: SessionRatio,
    }
)
"""What begins the evidence, per way in which the shares are checked."""


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)
