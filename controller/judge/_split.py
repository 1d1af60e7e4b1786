"""Whether the arms got the share of the requests that they were meant to get (F7, sample-ratio mismatch).

A beta-binomial mixture against the desired weight, an e-process. Source: Lindon and Malek, "Anytime-valid inference
for multinomial count data", NeurIPS 2022. It needs requests that are routed independently: with sticky routing it
alarms falsely.
"""

from dataclasses import dataclass, replace
from math import lgamma, log

__all__ = ["SampleRatio"]

_CONCENTRATION = 1000.0
_ALARM = 1000.0
_LARGEST_DEVIATION = 0.1


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """The evidence after some windows that the candidate's share is not the desired weight.

    Attributes:
        weight: desired percent in the present step, None before the first window.
        concentration: how close to the weight another share is looked for (κ).
        stable: stable's requests in the present step.
        candidate: the candidate's requests in the present step.
    """

    weight: float | None = None
    concentration: float = _CONCENTRATION
    stable: float = 0.0
    candidate: float = 0.0
    _earlier_steps: float = 0.0
    _expected: float = 0.0
    _observed: float = 0.0

    def update(self, *, weight: float | None, stable: float, candidate: float) -> "SampleRatio":
        """The evidence after one more window with these raw requests.

        A window without a desired weight, or in which one arm is meant to get everything, changes nothing.
        """
        if weight is None or not 0 < weight < 100:
            return self
        if weight != self.weight:
            step = replace(self, weight=weight, stable=0.0, candidate=0.0, _earlier_steps=self.log_evidence)
            return step.update(weight=weight, stable=stable, candidate=candidate)
        return replace(
            self,
            stable=self.stable + stable,
            candidate=self.candidate + candidate,
            _expected=self._expected + weight / 100 * (stable + candidate),
            _observed=self._observed + candidate,
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
        """How much more the candidate got than it should, as a share of what it should; −1: nothing at all."""
        return self._observed / self._expected - 1 if self._expected > 0 else 0.0

    @property
    def mismatched(self) -> bool:
        """Whether the comparison is invalid: evidence of 1,000 and a deviation that matters, above 10 %."""
        return self.log_evidence >= log(_ALARM) and abs(self.deviation) > _LARGEST_DEVIATION


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)
