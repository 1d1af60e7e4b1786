"""All metrics of an epoch together: the verdict, and whether the next step may be entered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import log

from controller.api.verdicts import Advance, Verdict
from controller.judge._evidence import Evidence
from controller.judge._mixture import log_weighted_mean
from controller.judge._process import MetricTest, WindowLike

__all__ = ["Trial"]


@dataclass(frozen=True)
class Trial:
    """The evidence of an epoch after some windows; ``update`` returns the one after one more.

    P(``Worse`` although every gating metric is within its margin) ≤ α over all windows and metrics, and so is
    P(``NotWorse`` at a given window although one is beyond). Red flags are outside of α.

    Attributes:
        alpha: error probability per side.
        min_requests: raw requests per arm and gating metric before anything is ``NotWorse``.
        metrics: the evidence per metric name.
        seen: windows so far, skipped ones included.
        worse_at: number (from 0) of the window in which ``Worse`` was decided; it stays.
        not_worse_since: number of the window since which ``NotWorse`` has held without a break.
    """

    alpha: float
    min_requests: int
    metrics: Mapping[str, Evidence]
    seen: int = 0
    worse_at: int | None = None
    not_worse_since: int | None = None

    @classmethod
    def start(cls, tests: Sequence[MetricTest], *, alpha: float, min_requests: int = 0) -> "Trial":
        """Before the first window."""
        metrics = {test.name: Evidence.start(test, alpha) for test in tests}
        if len(metrics) < len(tests):
            msg = f"expected metric names that differ, found {sorted(test.name for test in tests)}"
            raise ValueError(msg)
        return cls(alpha=alpha, min_requests=min_requests, metrics=metrics)

    def update(self, windows: Mapping[str, WindowLike | None]) -> "Trial":
        """The trial after one more window of every metric; None or a missing name: that one was skipped."""
        unknown = windows.keys() - self.metrics.keys()
        if unknown:
            msg = f"expected windows of the metrics {sorted(self.metrics)}, found also {sorted(unknown)}"
            raise ValueError(msg)
        metrics = {name: evidence.update(windows.get(name)) for name, evidence in self.metrics.items()}
        after = replace(self, metrics=metrics, seen=self.seen + 1)
        worse_at, since = self.worse_at, self.not_worse_since
        if worse_at is None and (after.log_combined >= -log(self.alpha) or after.red_flags):
            worse_at = self.seen
        if not after.not_worse_now:
            since = None
        elif since is None:
            since = self.seen
        return replace(after, worse_at=worse_at, not_worse_since=since)

    @property
    def gating(self) -> tuple[Evidence, ...]:
        """The Guardrail and Target metrics."""
        return tuple(evidence for evidence in self.metrics.values() if evidence.test.role.gating)

    @property
    def log_combined(self) -> float:
        """Log of the weighted mean of the gating metrics' worse evidence (F8); 0 without a gating metric."""
        return log_weighted_mean(
            tuple(evidence.log_combined for evidence in self.gating),
            weights=tuple(evidence.test.weight for evidence in self.gating),
        )

    @property
    def red_flags(self) -> tuple[str, ...]:
        """Names of the metrics whose threshold was reached."""
        return tuple(name for name, evidence in self.metrics.items() if evidence.flagged_at is not None)

    @property
    def not_worse_now(self) -> bool:
        """Whether every gating metric (at least one) is not worse at present, with enough requests per arm."""
        return bool(self.gating) and all(
            evidence.not_worse_now and min(evidence.requests.stable, evidence.requests.candidate) >= self.min_requests
            for evidence in self.gating
        )

    @property
    def verdict(self) -> Verdict:
        """Over all metrics. ``Worse`` stays, ``NotWorse`` holds while it is true, else more windows are needed."""
        if self.worse_at is not None:
            return Verdict.WORSE
        if all(evidence.windows == 0 for evidence in self.metrics.values()):
            return Verdict.NO_DATA
        return Verdict.NOT_WORSE if self.not_worse_since is not None else Verdict.UNDECIDED

    @property
    def decided_at(self) -> int | None:
        """Number of the window that decided the verdict: when ``Worse`` was, or since when ``NotWorse`` is."""
        return self.worse_at if self.worse_at is not None else self.not_worse_since

    def may_enter(self, weight: int, *, advance: Advance) -> bool:
        """Whether the evidence lets the candidate get ``weight`` percent next.

        Never while a gating metric's worse evidence is at 5 or more. ``Fixed`` asks for no more;
        ``Budgeted`` also wants every gating metric's evidence that the harm at that weight stays within the
        budget to be at 1/α now (of the kinds that count bad requests), so ``weight`` must be one of the tests' steps.
        """
        if self.worse_at is not None or any(evidence.alarmed for evidence in self.gating):
            return False
        if advance is Advance.FIXED:
            return True
        harmful = [evidence.log_harm for evidence in self.gating if evidence.log_harm]
        return all(harm[weight] >= -log(self.alpha) for harm in harmful)
