"""Whether the arms can be compared at all: their shares of the requests, their labels, and whether they are measured.

None of this speaks for or against the candidate. What cannot be compared is ``Invalid``: nothing is promoted on it and
nothing is rolled back on it, until it is mended or a new epoch begins.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import log
from types import MappingProxyType
from typing import Final

from controller.api.reasons import Reason
from controller.api.verdicts import ShareCheck
from controller.judge._mixture import Restart, log_mean
from controller.judge._process import MetricTest, Window, WindowLike
from controller.judge.checks.split import SHARE_CHECKS, SampleRatio, Split, SplitEvidence
from controller.judge.kinds.rate import RateArm, log_factors, worse_ratios
from controller.judge.kinds.ratio import Arm

__all__ = ["LOST_WINDOWS", "Circumstances", "Coverage", "Slice", "Validity"]

LOST_WINDOWS: Final = 3
"""Windows in a row in which stable exports a metric and the candidate does not, until the metric is lost."""

_ALARM: Final = 1000.0
_TOLERATED_RATIO: Final = 1.1
"""How much more of its requests one arm may get labels for."""

Slice = tuple[str, str]
"""Label and value."""


@dataclass(frozen=True)
class Circumstances:
    """What a window tells besides the counts of its metrics.

    Attributes:
        split: the raw requests of both arms; None where they are not known.
        labels: per metric that counts labels: the arms' labels (``count``) by their requests (``exposure``).
        lost: metrics that stable exports and the candidate, which serves, does not.
        slices: per metric, the counts of parts of its requests.
    """

    split: Split | None = None
    labels: Mapping[str, Window[RateArm]] = field(default_factory=dict)
    lost: frozenset[str] = frozenset()
    slices: Mapping[str, Mapping[Slice, Window[Arm]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Coverage:
    """The evidence that the arms get labels for different shares of their requests.

    Both ways the rate ratio beyond 1.1 is tested (F2, restarted as in F6): labels that arrive in a window may belong
    to requests before it, so that they can be more than its requests, which F1 does not know.

    Attributes:
        stable: stable's labels and requests so far.
        candidate: the candidate's.
        windows: windows so far.
    """

    _more: Restart
    _fewer: Restart
    stable: RateArm = field(default_factory=lambda: RateArm(0.0, 0.0))
    candidate: RateArm = field(default_factory=lambda: RateArm(0.0, 0.0))
    windows: int = 0

    @classmethod
    def start(cls, horizon: int) -> "Coverage":
        """Before the first window."""
        nothing = Restart.start(len(worse_ratios(_TOLERATED_RATIO)), horizon)
        return cls(_more=nothing, _fewer=nothing)

    def update(self, window: Window[RateArm]) -> "Coverage":
        """The evidence after one more window."""
        if not window.comparable:
            return self
        mirrored = Window(stable=window.candidate, candidate=window.stable)
        return Coverage(
            _more=self._more.update(_factors(window)),
            _fewer=self._fewer.update(_factors(mirrored)),
            stable=_added(self.stable, window.stable),
            candidate=_added(self.candidate, window.candidate),
            windows=self.windows + 1,
        )

    @property
    def behind(self) -> float | None:
        """Windows by which the candidate's labels come later than stable's, if none are lost; below 0: earlier.

        While requests come evenly, labels that take L windows are those of all but the last L. None without labels of
        stable.
        """
        stable, candidate = self.stable, self.candidate
        if not (stable.count > 0 and candidate.exposure > 0):
            return None
        return self.windows * (1 - candidate.count / candidate.exposure * (stable.exposure / stable.count))

    @property
    def log_evidence(self) -> float:
        """Log evidence that one arm's labels per request are more than 1.1 times the other's."""
        return log_mean((self._more.log_value, self._fewer.log_value))

    @property
    def differs(self) -> bool:
        """Whether the comparison is invalid: evidence of 1,000, and a difference that all windows together show."""
        return self.log_evidence >= log(_ALARM) and self._apart

    @property
    def _apart(self) -> bool:
        """Whether one arm has labels for more than 1.1 times the other's share of its requests."""
        stable, candidate = self.stable, self.candidate
        low, high = sorted((stable.count * candidate.exposure, candidate.count * stable.exposure))
        return high > _TOLERATED_RATIO * low


@dataclass(frozen=True)
class Validity:
    """What speaks against the comparison after some windows; ``update`` returns it after one more.

    Attributes:
        check: how the shares are checked, and whether they make the comparison invalid.
        split: the evidence on the arms' shares of the requests.
        coverage: the evidence on the arms' labels, per metric.
        lost: windows in a row in which the candidate lost the metric, per metric.
        void: metrics that cannot be compared at all, because the arms run under different conditions.
    """

    check: ShareCheck = ShareCheck.INDEPENDENT
    split: SplitEvidence = field(default_factory=SampleRatio)
    coverage: Mapping[str, Coverage] = field(default_factory=lambda: MappingProxyType({}))
    lost: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    void: frozenset[str] = frozenset()

    @classmethod
    def start(cls, check: ShareCheck, void: frozenset[str] = frozenset()) -> "Validity":
        """Before the first window."""
        return cls(check=check, split=SHARE_CHECKS[check](), void=void)

    def update(
        self,
        circumstances: Circumstances,
        *,
        windows: Mapping[str, WindowLike | None],
        tests: Mapping[str, MetricTest],
    ) -> "Validity":
        """What speaks against the comparison after one more window of the metrics."""
        split = circumstances.split
        coverage = {
            name: (self.coverage.get(name) or Coverage.start(tests[name].horizon)).update(labels)
            for name, labels in circumstances.labels.items()
        }
        return replace(
            self,
            split=self.split
            if split is None
            else self.split.update(weight=split.weight, stable=split.stable, candidate=split.candidate),
            coverage={**self.coverage, **coverage},
            lost={name: self._lost(name, circumstances, windows.get(name)) for name in tests},
        )

    def _lost(self, name: str, circumstances: Circumstances, window: WindowLike | None) -> int:
        """Windows in a row; one in which nothing is known of the metric neither adds nor ends anything."""
        before = self.lost.get(name, 0)
        if name in circumstances.lost:
            return before + 1
        return before if window is None else 0

    @property
    def mismatched(self) -> bool:
        """Whether the shares make the whole comparison invalid."""
        return self.check is not ShareCheck.ADVISORY and self.split.mismatched

    def doubt(self, name: str) -> Reason | None:
        """Why nothing may rest on a metric by itself, or None."""
        if name in self.void:
            return Reason.ENVIRONMENTS_DIFFER
        if self.lost.get(name, 0) >= LOST_WINDOWS:
            return Reason.METRIC_LOST
        coverage = self.coverage.get(name)
        return Reason.LABELS_DIFFER if coverage is not None and coverage.differs else None


def _factors(window: Window[RateArm]) -> tuple[float, ...]:
    return log_factors(window, line=_TOLERATED_RATIO, alternatives=worse_ratios(_TOLERATED_RATIO))


def _added(before: RateArm, now: RateArm) -> RateArm:
    return RateArm(count=before.count + now.count, exposure=before.exposure + now.exposure)
