"""How long it still takes: from what the windows of an epoch brought to a forecast per metric.

Everything rests on recorded windows alone, never on the clock, so that status changes with them and not at every look.
A forecast decides nothing: it neither promotes nor takes back.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from math import ceil, inf, isfinite, sqrt
from statistics import pstdev
from typing import Final

from controller.api.record import ArmCounts, FrozenMetric, RecordedWindow
from controller.api.verdicts import Kind
from controller.judge import (
    Calibration,
    Expected,
    Forecast,
    HistogramTest,
    MeanTest,
    MetricTest,
    PerArm,
    RateTest,
    RatioTest,
    forecast,
)
from controller.judge import Evidence as MetricEvidence
from controller.plan.calibration import calibration_of
from controller.plan.situation import Evidence

__all__ = ["Heading", "Needs", "Outlook", "outlooks"]

_RECENT: Final = 20
"""Judged windows that show how much traffic there is."""
_SCATTERED: Final = 100
"""Judged windows that show how much the arms' differences scatter."""
_FEWEST_DIFFERENCES: Final = 3
_LEANING: Final = 1.645
"""Standard errors by which the difference may be another than estimated: one time in twenty it is by more."""


class Heading(StrEnum):
    """Where the evidence goes if windows go on as they were."""

    NOT_WORSE = "NotWorse"
    WORSE = "Worse"
    NOWHERE = "Nowhere"


@dataclass(frozen=True)
class Needs:
    """What a verdict still needs at one weight: windows (infinite: it never comes) and requests of the candidate."""

    weight: int
    windows: float
    requests: float


@dataclass(frozen=True)
class Outlook:
    """One metric's way to its verdict.

    Attributes:
        evidence: what there is.
        heading: which verdict comes, if one does.
        needs: what it needs, at the present weight first, then at the next step and at the last one.
    """

    evidence: MetricEvidence
    heading: Heading
    needs: tuple[Needs, ...]
    _way: "_Way"
    _weights: tuple[int, ...]

    @property
    def fewest(self) -> Needs:
        """What it needs at the weight at which it needs the fewest windows."""
        return min(self.needs, key=lambda each: each.windows)

    def may_come(self, heading: Heading, *, within: float) -> bool:
        """Whether that verdict comes within so many windows, at the best weight.

        That is, if the difference is as favourable to it as the estimate allows, because early estimates are rough.
        """
        if self.heading is heading and self.fewest.windows <= within:
            return True
        way = self._way.leaning(heading)
        return any(way.needs(weight, heading).windows <= within for weight in reversed(self._weights))


def outlooks(evidence: Evidence) -> Mapping[str, Outlook]:
    """Return the outlook of every metric that has one, by name."""
    if not evidence.windows or not 0 < evidence.windows[-1].weight < 100:
        return {}
    weight = evidence.windows[-1].weight
    later = tuple(step for step in evidence.frozen.steps if step > weight)
    weights = (weight, *dict.fromkeys((*later[:1], *later[-1:])))
    frozen = {each.metric: each for each in evidence.frozen.metrics}
    total = sum(each.test.weight for each in evidence.trial.gating)
    found = {}
    for name, each in evidence.trial.metrics.items():
        pace = _pace(each.test, frozen[name], evidence.windows)
        if pace is not None and each.rates is not None and each.test.margin > 0.0:
            share = each.test.weight / total if each.test.role.gating else 1.0
            outlook = _outlook(_Way(each, each.rates, pace, share), weights)
            if outlook is not None:
                found[name] = outlook
    return found


def _outlook(way: "_Way", weights: tuple[int, ...]) -> Outlook | None:
    """None for kinds that have no forecast."""
    if way.forecast(weights[0]) is None:
        return None
    for heading in (Heading.NOT_WORSE, Heading.WORSE):
        now = way.needs(weights[0], heading)
        if isfinite(now.windows):
            later = (way.needs(weight, heading) for weight in weights[1:])
            return Outlook(way.evidence, heading, (now, *later), way, weights)
    return Outlook(way.evidence, Heading.NOWHERE, (Needs(weights[0], inf, inf),), way, weights)


@dataclass(frozen=True)
class _Way:
    """How one metric goes on, at any weight; ``share`` is its weight in the common worse evidence."""

    evidence: MetricEvidence
    rates: PerArm
    pace: "_Pace"
    share: float

    def forecast(self, weight: int) -> Forecast | None:
        return forecast(self.evidence.test, self.pace.expected(self.rates, weight))

    def leaning(self, heading: Heading) -> "_Way":
        """The same with a candidate that is as good, or as bad, as the estimate allows."""
        sign = 1.0 if heading is Heading.WORSE else -1.0
        candidate = self.rates.candidate + sign * _LEANING * self.pace.error(self.evidence, self.rates)
        if self.evidence.test.kind is not Kind.MEAN or isinstance(self.evidence.test, RatioTest):
            candidate = max(0.0, candidate)
        if isinstance(self.evidence.test, RatioTest | HistogramTest):
            candidate = min(1.0, candidate)
        return replace(self, rates=PerArm(self.rates.stable, candidate))

    def needs(self, weight: int, heading: Heading) -> Needs:
        each, found = self.evidence, self.forecast(weight)
        if found is None:
            return Needs(weight, inf, inf)
        if heading is Heading.NOT_WORSE:
            windows = found.until_not_worse(each.alpha, evidence=each.log_not_worse, better=each.log_better)
        else:
            windows = found.until_worse(each.alpha, evidence=each.log_combined, share=self.share)
        whole = float(ceil(windows)) if isfinite(windows) else inf
        return Needs(weight, whole, whole * self.pace.requests * weight / 100)


@dataclass(frozen=True)
class _Pace:
    """What the recent windows of a metric brought, on average.

    Attributes:
        requests: of both arms together, per window.
        sizes: of each arm.
        worth: what a request of each arm is worth in independent ones.
        pods: of each arm.
        calibration: how that changes with a pod's requests.
        deviation: how much the difference of the arms' levels scatters between windows.
    """

    requests: float
    sizes: PerArm
    worth: PerArm
    pods: PerArm
    calibration: Calibration | None
    deviation: float | None

    def expected(self, levels: PerArm, weight: int) -> Expected:
        """What a window at that weight brings; the pods stay as many."""
        raw = PerArm(self.requests * (100 - weight) / 100, self.requests * weight / 100)
        exposure = PerArm(
            self._worth(raw.stable, self.sizes.stable, pods=self.pods.stable, now=self.worth.stable),
            self._worth(raw.candidate, self.sizes.candidate, pods=self.pods.candidate, now=self.worth.candidate),
        )
        if self.deviation is None:
            return Expected(levels, exposure)
        was = 1.0 / (self.sizes.stable * self.worth.stable) + 1.0 / (self.sizes.candidate * self.worth.candidate)
        scale = sqrt((1.0 / exposure.stable + 1.0 / exposure.candidate) / was)
        return Expected(levels, exposure, self.deviation * scale)

    def error(self, evidence: MetricEvidence, levels: PerArm) -> float:
        """The standard error of the difference of the levels, after the windows that counted."""
        if isinstance(evidence.test, MeanTest):
            return (self.deviation or 0.0) / sqrt(max(1, evidence.windows))
        sizes = PerArm(evidence.requests.stable * self.worth.stable, evidence.requests.candidate * self.worth.candidate)
        level = max((levels.stable + levels.candidate) / 2, 0.5 / (sizes.stable + sizes.candidate))
        variance = level if isinstance(evidence.test, RateTest) else level * (1.0 - min(level, 1.0))
        return sqrt(variance * (1.0 / sizes.stable + 1.0 / sizes.candidate))

    def _worth(self, size: float, before: float, *, pods: float, now: float) -> float:
        if self.calibration is None:
            return size * now
        effect = self.calibration.design_effect_of(size / pods)
        return size * now * self.calibration.design_effect_of(before / pods) / effect


def _pace(test: MetricTest, frozen: FrozenMetric, windows: tuple[RecordedWindow, ...]) -> _Pace | None:
    scatters = test.must_agree or test.kind is Kind.MEAN
    pairs = list(islice(_pairs(test.name, windows), _SCATTERED if scatters else _RECENT))
    recent = pairs[:_RECENT]
    if not recent:
        return None
    sizes = PerArm(*(sum(float(arm.total) for arm in arms) / len(recent) for arms in zip(*recent, strict=True)))
    effective = PerArm(*(sum(_effective(arm) for arm in arms) / len(recent) for arms in zip(*recent, strict=True)))
    if min(effective.stable, effective.candidate) <= 0.0:
        return None
    return _Pace(
        requests=sizes.stable + sizes.candidate,
        sizes=sizes,
        worth=PerArm(effective.stable / sizes.stable, effective.candidate / sizes.candidate),
        pods=PerArm(*(float(max(1, arm.pods or 1)) for arm in recent[0])),
        calibration=calibration_of(frozen.calibration, test.kind),
        deviation=_deviation(test, pairs) if scatters else None,
    )


def _pairs(metric: str, windows: tuple[RecordedWindow, ...]) -> Iterator[tuple[ArmCounts, ArmCounts]]:
    """Both arms' counts in the judged windows of a metric, newest first."""
    for window in reversed(windows):
        row = next((each for each in window.rows if each.metric == metric), None)
        if row is not None and row.skipped is None and row.stable is not None and row.candidate is not None:
            yield row.stable, row.candidate


def _effective(counts: ArmCounts) -> float:
    return float(counts.effective_total or counts.total)


def _deviation(test: MetricTest, pairs: list[tuple[ArmCounts, ArmCounts]]) -> float | None:
    """Standard deviation of the differences between the arms' levels, in judged units; None without levels."""
    levels = [(_level(stable), _level(candidate)) for stable, candidate in pairs]
    differences = [candidate - stable for stable, candidate in levels if stable is not None and candidate is not None]
    if len(differences) < _FEWEST_DIFFERENCES:
        return None
    return pstdev(differences) / abs(test.unit.difference(1.0))


def _level(counts: ArmCounts) -> float | None:
    amount, total = counts.sum if counts.sum is not None else counts.bad, float(counts.total)
    return float(amount) / total if amount is not None and total > 0.0 else None
