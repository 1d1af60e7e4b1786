"""One metric of simulated rollouts: its traffic, its calibration, and what is tested, for many runs side by side."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from controller.api.analysis import Noise
from controller.api.verdicts import Kind, Role
from controller.cli.traffic import Stream, TrafficModel
from controller.judge import DistributionTest, GroupTest, MetricTest
from controller.judge.batch import (
    AgreementBatch,
    BatchCalibration,
    BatchDemands,
    BatchTest,
    BatchWindow,
    DistributionBatchTest,
    Flags,
    Floats,
    GroupBatchTest,
    HistogramBatchTest,
    MeanBatchTest,
    PairBatchTest,
    PodCounts,
    QueryBatchTest,
    RateBatchTest,
    RatioBatchTest,
    above_edges,
    within_cells,
)
from controller.plan.freeze import MIN_EVENTS, MIN_HISTORY

__all__ = ["PlannedMetric", "SimulatedMetric"]

_LARGEST_SHARE_MARGIN: Final = 0.99
_WITHOUT_HISTORY: Final = (Kind.PAIRED, Kind.QUERY)
"""Kinds that nothing is calibrated for."""


@dataclass(frozen=True)
class PlannedMetric:
    """One metric of a plan, and the traffic that its counters see.

    Attributes:
        test: what is tested in every run; margins come with the calibration.
        absolute: margin as a difference of levels, None without one.
        relative: margin as a share of stable's level, None without one.
        noise: what the noise floor does to the margins.
        traffic: what is simulated; values with bounds are shares of their range.
        higher_is_better: whether the values of a mean without bounds are good when they are high.
        ordered: whether the cells of a distribution are buckets, which have edges, and no classes.
    """

    test: MetricTest
    absolute: float | None
    relative: float | None
    noise: Noise
    traffic: TrafficModel
    higher_is_better: bool = False
    ordered: bool = False

    @property
    def margin(self) -> float:
        """The margin at the stated level, in the unit in which the kind is judged, before calibration."""
        level = np.array([self.traffic.base])
        return float(self.margins(level, known=np.array([True]))[0])

    def margins(self, levels: Floats, *, known: Flags) -> Floats:
        """The margins before calibration, for stable's levels in the history, where that tells them.

        As an epoch resolves them: what would be set against a level that hardly anything is known about is left out.
        """
        absolute, relative = self.absolute or 0.0, self.relative or 0.0
        if self.traffic.kind is Kind.RATE:
            scaled = absolute / np.where(levels > 0.0, levels, np.inf)
            return np.maximum(relative, np.where(known, scaled, 0.0))
        return np.maximum(absolute, np.where(known, relative * np.abs(levels), 0.0))

    def shown(self, level: float) -> float:
        """A level of the traffic in the metric's own unit."""
        return self.test.unit.level(level) if self.traffic.kind is Kind.RATIO else level

    def shown_margin(self, margin: float) -> float:
        """A margin in the metric's own unit."""
        return abs(self.test.unit.difference(margin)) if self.traffic.kind is Kind.RATIO else margin


class SimulatedMetric:
    """A metric of the runs that still go on.

    Attributes:
        name: the metric's name.
        test: what is tested.
        demands: what else is asked of its evidence.
    """

    def __init__(
        self, planned: PlannedMetric, *, alpha: float, history: int, runs: int, rng: np.random.Generator
    ) -> None:
        self.name = planned.test.name
        self._sign = -1.0 if planned.higher_is_better else 1.0
        self._stream = Stream.start(planned.traffic, runs=runs, rng=rng)
        past = self._stream.history(0 if planned.traffic.kind in _WITHOUT_HISTORY else history)
        self._calibration = _calibrated(planned, past)
        self.test, self.demands = _tested(planned, self._calibration, past, alpha=alpha)

    def window(self, number: int, weights: Floats) -> BatchWindow:
        """The window's effective counts."""
        raw = self._stream.window(number, weights)
        stable, candidate = (self._calibration.effective(arm) for arm in raw)
        return BatchWindow(
            stable_total=stable.total,
            stable_bad=self._sign * stable.bad,
            candidate_total=candidate.total,
            candidate_bad=self._sign * candidate.bad,
            stable_requests=raw[0].total.sum(axis=0),
            candidate_requests=raw[1].total.sum(axis=0),
            stable_buckets=stable.buckets,
            candidate_buckets=candidate.buckets,
            stable_alone=raw[0].summed().alone,
            candidate_alone=raw[1].summed().alone,
        )

    def keep(self, runs: Flags) -> None:
        """Go on with these runs only."""
        self._stream, self._calibration = self._stream.keep(runs), self._calibration.keep(runs)


def _calibrated(planned: PlannedMetric, history: PodCounts) -> BatchCalibration:
    """What an epoch measures; red flags are judged on counts as they are."""
    model = planned.traffic
    if planned.test.role is Role.RED_FLAG or model.kind in _WITHOUT_HISTORY:
        return BatchCalibration.nothing(history.total.shape[-1])
    match model.kind:
        case Kind.RATE:
            calibrate = BatchCalibration.of_rates
        case Kind.MEAN:
            calibrate = BatchCalibration.of_means
        case Kind.HISTOGRAM:
            calibrate = BatchCalibration.of_buckets
        case Kind.DISTRIBUTION:
            calibrate = BatchCalibration.of_classes
        case _:
            calibrate = BatchCalibration.of_shares
    return calibrate(history, stable_pods=model.stable_pods, candidate_pods=model.candidate_pods)


def _tested(
    planned: PlannedMetric, calibration: BatchCalibration, history: PodCounts, *, alpha: float
) -> tuple[BatchTest, BatchDemands]:
    total, bad = history.total.sum(axis=(0, 1)), history.bad.sum(axis=(0, 1))
    enough = bad >= MIN_EVENTS if planned.traffic.kind is Kind.RATE else total >= MIN_HISTORY
    asked = planned.margins(bad / np.where(total > 0.0, total, 1.0), known=enough)
    floor = calibration.noise_floor
    margins = np.maximum(asked, floor)
    if planned.traffic.kind in (Kind.RATIO, Kind.HISTOGRAM, Kind.DISTRIBUTION):
        margins = np.minimum(margins, np.maximum(asked, _LARGEST_SHARE_MARGIN))
    known = calibration.effective(history)
    test = _test(planned, margins, calibration, known, alpha=alpha)
    promotion = None
    if planned.noise is Noise.STRICT and floor.any():
        narrowed = np.where(floor > 0.0, np.maximum(asked - floor, 0.0), margins)
        alone = replace(planned, test=replace(planned.test, steps=()))
        promotion = _test(alone, narrowed, calibration, known, alpha=alpha)
    return test, BatchDemands(promotion, _agreement(planned, margins, calibration))


def _test(
    planned: PlannedMetric, margins: Floats, calibration: BatchCalibration, history: PodCounts, *, alpha: float
) -> BatchTest:
    """What is tested; ``history`` holds effective counts per window and run."""
    test, buckets = planned.test, np.zeros((0, 0)) if history.buckets is None else history.buckets.sum(axis=1)
    match planned.traffic.kind:
        case Kind.MEAN:
            return MeanBatchTest(test, margins, calibration.batches)
        case Kind.HISTOGRAM:
            return HistogramBatchTest(test, margins, buckets)
        case Kind.RATE | Kind.PAIRED | Kind.QUERY:
            return _BY_WINDOWS_ALONE[planned.traffic.kind](test, margins)
        case _:
            if isinstance(test, DistributionTest):
                return DistributionBatchTest(test, margins, buckets, above_edges if planned.ordered else within_cells)
            ratio = RatioBatchTest(test, margins, history.total.sum(axis=0), history.bad.sum(axis=0))
            return GroupBatchTest(test, ratio, alpha) if isinstance(test, GroupTest) else ratio


_BY_WINDOWS_ALONE: Final[Mapping[Kind, type[RateBatchTest | PairBatchTest | QueryBatchTest]]] = {
    Kind.RATE: RateBatchTest,
    Kind.PAIRED: PairBatchTest,
    Kind.QUERY: QueryBatchTest,
}
"""Kinds whose test learns nothing from what stable did before."""


def _agreement(planned: PlannedMetric, margins: Floats, calibration: BatchCalibration) -> AgreementBatch | None:
    needed, even = calibration.assumed, np.ones_like(margins)
    if not needed.any() or planned.traffic.kind not in (Kind.RATIO, Kind.RATE):
        return None
    if planned.traffic.kind is Kind.RATE:
        return AgreementBatch.start(needed, planned.test, margins=np.zeros_like(margins), lines=even + margins)
    return AgreementBatch.start(needed, planned.test, margins=margins, lines=even)
