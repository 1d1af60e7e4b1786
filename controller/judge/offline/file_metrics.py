"""A metric in a file of windows, per kind: what is tested, and its windows as that test wants them."""

from abc import abstractmethod
from decimal import Decimal
from math import isclose
from typing import Annotated, Final, Generic, Literal, Self, TypedDict

from pydantic import Field, model_validator

from controller.api.kinds import Better, Bounds
from controller.api.model import ApiModel
from controller.api.verdicts import Role
from controller.judge._margin import resolve_margin, resolve_mean_margin, resolve_rate_margin
from controller.judge._process import ArmLike, MetricTest, Window, WindowLike, window_of
from controller.judge.kinds.buckets import BucketArm, aligned
from controller.judge.kinds.distribution import DistributionTest
from controller.judge.kinds.histogram import HistogramTest
from controller.judge.kinds.mean_process import MeanTest
from controller.judge.kinds.paired import PairArm
from controller.judge.kinds.paired_process import PairTest
from controller.judge.kinds.rate import RateArm
from controller.judge.kinds.rate_process import RateTest
from controller.judge.kinds.ratio import Arm, History
from controller.judge.kinds.ratio_process import RatioTest
from controller.judge.kinds.scale import MeanScale
from controller.judge.offline.file_entries import (
    BucketCounts,
    Counts,
    Entry,
    Events,
    Factor,
    Number,
    Pairs,
    Share,
    Values,
    WindowEntry,
)

__all__ = [
    "Calibration",
    "DistributionMetric",
    "HistogramMetric",
    "MeanMetric",
    "PairedMetric",
    "RateMetric",
    "RatioMetric",
]

_ROUNDING: Final = 1e-9


class Calibration(ApiModel):
    """What is known about noise between pods; without it the file is judged as it stands."""

    design_effect: Annotated[Number, Field(ge=1)] = Decimal(1)
    noise_floor: Share = Decimal(0)


class _Margin(ApiModel):
    absolute: Annotated[Number, Field(ge=0)] | None = None
    relative: Factor | None = None


class _Shared(TypedDict):
    name: str
    role: Role
    horizon: int
    weight: float
    threshold: float | None
    min_requests: int
    must_be_better: bool


class _Metric(ApiModel, Generic[Entry]):
    name: Annotated[str, Field(min_length=1)]
    role: Role = Role.GUARDRAIL
    margin: _Margin | None = None
    history: Entry | None = None
    weight: Annotated[Number, Field(ge=Decimal("1e-6"), le=Decimal("1e6"))] = Decimal(1)
    superiority: Literal["Reported", "Required"] = "Reported"
    threshold: Number | None = None
    min_requests: Annotated[int, Field(strict=True, ge=0)] = 0
    windows: tuple[WindowEntry[Entry] | None, ...]

    @model_validator(mode="after")
    def _testable(self) -> Self:
        self.test(Calibration(), horizon=1)
        return self

    @abstractmethod
    def test(self, calibration: Calibration, horizon: int) -> MetricTest:
        """What is tested, with the margin widened to the noise floor where that is one of shares."""

    @abstractmethod
    def arm(self, entry: Entry, design_effect: float) -> ArmLike:
        """What is judged of an arm's counts."""

    def judged(self, calibration: Calibration) -> list[WindowLike | None]:
        """The windows with effective counts; None for one that was skipped."""
        effect = float(calibration.design_effect)
        return [None if entry is None else self._window(entry, effect) for entry in self.windows]

    def _window(self, entry: WindowEntry[Entry], effect: float) -> Window[ArmLike]:
        return Window(stable=self.arm(entry.stable_sum, effect), candidate=self.arm(entry.candidate_sum, effect))

    @property
    def _tolerated(self) -> tuple[Decimal | None, Decimal | None]:
        """The margin's two forms; a red flag needs none."""
        if self.margin is None and self.role is Role.RED_FLAG:
            return Decimal(0), None
        margin = self.margin or _Margin()
        return margin.absolute, margin.relative

    def _shared(self, horizon: int) -> _Shared:
        return _Shared(
            name=self.name,
            role=self.role,
            horizon=horizon,
            weight=float(self.weight),
            threshold=None if self.threshold is None else float(self.threshold),
            min_requests=self.min_requests,
            must_be_better=self.superiority == "Required",
        )


class RatioMetric(_Metric[Counts]):
    """Bad requests over all requests."""

    kind: Literal["ratio"] = "ratio"

    def test(self, calibration: Calibration, horizon: int) -> RatioTest:
        """F1, with the margin in shares."""
        history = None
        if self.history is not None:
            counts = self.arm(self.history, float(calibration.design_effect))
            history = History(counts.total, counts.bad)
        margin = max(resolve_margin(*self._tolerated, history), float(calibration.noise_floor))
        return RatioTest(**self._shared(horizon), margin=margin, history=history)

    def arm(self, entry: Counts, design_effect: float) -> Arm:
        """Deflated requests and bad ones."""
        return Arm(entry.total / design_effect, entry.bad / design_effect, requests=entry.total)


class RateMetric(_Metric[Events]):
    """Events over exposure."""

    kind: Literal["rate"]

    def test(self, calibration: Calibration, horizon: int) -> RateTest:  # noqa: ARG002 - the floor is one of shares
        """F2, with the margin as a share of stable's rate."""
        known = self.history
        base = known.count / known.exposure if known is not None and known.exposure > 0 else None
        return RateTest(**self._shared(horizon), margin=resolve_rate_margin(*self._tolerated, base))

    def arm(self, entry: Events, design_effect: float) -> RateArm:
        """Deflated events and exposure."""
        return RateArm(entry.count / design_effect, entry.exposure, effective=entry.exposure / design_effect)


class MeanMetric(_Metric[Values]):
    """A sum over a number of values; with bounds, judged as a share (F1), else by F3."""

    kind: Literal["mean"]
    bounds: Bounds | None = None
    better: Better = Better.LOWER

    @property
    def _scale(self) -> MeanScale:
        bounds = None if self.bounds is None else (float(self.bounds.low), float(self.bounds.high))
        return MeanScale(better=self.better, bounds=bounds)

    def test(self, calibration: Calibration, horizon: int) -> MetricTest:
        """With the margin in units of the mean."""
        known, scale, shared = self.history, self._scale, self._shared(horizon)
        base = known.sum / known.count if known is not None and known.count > 0 else None
        margin = resolve_mean_margin(*self._tolerated, base) / scale.room
        if shared["threshold"] is not None:
            shared["threshold"] = scale.judged_level(shared["threshold"])
        if self.bounds is None:
            return MeanTest(**shared, margin=margin, unit=scale.unit)
        history = None if known is None else self.arm(known, float(calibration.design_effect))
        return RatioTest(
            **shared,
            margin=max(margin, float(calibration.noise_floor)),
            history=History(history.total, history.bad) if isinstance(history, Arm) else None,
            unit=scale.unit,
        )

    def arm(self, entry: Values, design_effect: float) -> ArmLike:
        """A deflated share with bounds; as it stands without, F3 being robust."""
        return self._scale.arm(entry.count, entry.sum, design_effect=design_effect)


class _BucketMetric(_Metric[BucketCounts]):
    @model_validator(mode="after")
    def _comparable(self) -> Self:
        classes = None if self.history is None or self.history.edges else len(self.history.buckets)
        for number, window in enumerate(self.judged(Calibration())):
            if window is not None:
                classes = _compared(window_of(window, BucketArm), classes, number)
        return self

    def arm(self, entry: BucketCounts, design_effect: float) -> BucketArm:
        """Deflated requests per bucket."""
        counts = tuple(count / design_effect for count in entry.buckets)
        return BucketArm(counts, entry.edges, requests=sum(entry.buckets))

    def _known(self, calibration: Calibration) -> BucketArm | None:
        return None if self.history is None else self.arm(self.history, float(calibration.design_effect))

    def _points(self, calibration: Calibration) -> float:
        return max(resolve_margin(*self._tolerated, None), float(calibration.noise_floor))


def _compared(window: Window[BucketArm], classes: int | None, number: int) -> int | None:
    """The number of classes, once the arms and the windows before agree on it.

    Raises:
        ValueError: they do not, or have no edge in common.
    """
    try:
        aligned(window)
    except ValueError as error:
        msg = f"windows[{number}]: {error}"
        raise ValueError(msg) from None
    found = None if window.stable.edges else len(window.stable.counts)
    if classes is not None and found not in (None, classes):
        msg = f"windows[{number}]: expected {classes} classes as before, found {found}"
        raise ValueError(msg)
    return classes if found is None else found


class HistogramMetric(_BucketMetric):
    """Requests per bucket, of which higher ones are worse."""

    kind: Literal["histogram"]

    def test(self, calibration: Calibration, horizon: int) -> HistogramTest:
        """F1 above every edge, with the margin in shares."""
        known = self._known(calibration)
        return HistogramTest(**self._shared(horizon), margin=self._points(calibration), history=known)


class DistributionMetric(_BucketMetric):
    """Requests per bucket or class, of which any change matters."""

    kind: Literal["distribution"]
    floor: Annotated[Number, Field(ge=0)] = Decimal("0.1")

    def test(self, calibration: Calibration, horizon: int) -> DistributionTest:
        """F4, with the margin in shares and the floor as a stability index."""
        return DistributionTest(
            **self._shared(horizon),
            margin=self._points(calibration),
            history=self._known(calibration),
            floor=float(self.floor),
        )


class PairedMetric(_Metric[Pairs]):
    """Answers of both arms to the same requests, of which some were wrong.

    Stable's answers are in every pair beside the candidate's: there is no history, and no calibration is applied.
    """

    kind: Literal["paired"]
    history: None = None

    @model_validator(mode="after")
    def _same_pairs(self) -> Self:
        for number, entry in enumerate(self.windows):
            problem = None if entry is None else _unpaired(entry)
            if problem is not None:
                msg = f"{problem} in windows[{number}]"
                raise ValueError(msg)
        return self

    def test(self, calibration: Calibration, horizon: int) -> PairTest:  # noqa: ARG002 - none is applied
        """F10 and bets, with the margin in shares."""
        return PairTest(**self._shared(horizon), margin=resolve_margin(*self._tolerated, None))

    def arm(self, entry: Pairs, design_effect: float) -> PairArm:  # noqa: ARG002 - none is applied
        """Pairs as they are."""
        return PairArm(entry.total, entry.bad, entry.alone)


def _unpaired(entry: WindowEntry[Pairs]) -> str | None:
    """Say why a window's arms cannot be two sides of the same pairs; None where they can."""
    if entry.weight is not None:
        return f"expected no weight, as pairs do not tell the arms' shares of the requests; found {entry.weight:g}"
    stable, candidate = entry.stable_sum, entry.candidate_sum
    both = stable.bad - stable.alone, candidate.bad - candidate.alone
    if isclose(stable.total, candidate.total) and isclose(*both, abs_tol=_ROUNDING * stable.total):
        return None
    return (
        "expected the same pairs for both arms, as many in all (total) and as many in which both were wrong "
        f"(bad - alone); found {stable.total:g} and {both[0]:g} for stable, {candidate.total:g} and {both[1]:g} for "
        "the candidate"
    )
