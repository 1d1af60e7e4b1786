"""All metrics of an epoch together: the verdict, and whether the next step may be entered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import log
from typing import Final

from controller.api.verdicts import Advance, Role, ShareCheck, Verdict
from controller.judge._evidence import Evidence
from controller.judge._mixture import log_weighted_mean
from controller.judge._process import MetricTest, WindowLike
from controller.judge.checks.slices import Slices
from controller.judge.checks.validity import Circumstances, Slice, Validity

__all__ = ["Trial"]

_NOTHING_ELSE: Final = Circumstances()


@dataclass(frozen=True)
class Trial:
    """The evidence of an epoch after some windows; ``update`` returns the one after one more.

    P(``Worse`` although every gating metric is within its margin) ≤ α over all windows and metrics, and so is
    P(``NotWorse`` at a given window although one is beyond). Red flags are outside of α.

    While the arms' shares are not the desired ones the trial is ``Invalid``: nothing is decided, and what the evidence
    says by then counts once they are. While it is ``Invalid`` because of single metrics, those add nothing to a
    roll-back, and the others still can. Red flags always act, and a trial that was ``Worse`` stays so.

    Attributes:
        alpha: error probability per side.
        min_requests: raw requests per arm and gating metric before anything is ``NotWorse``.
        metrics: the evidence per metric name.
        validity: what speaks against the comparison.
        slices: the evidence on parts of the requests.
        seen: windows so far, skipped ones included.
        worse_at: number (from 0) of the window in which ``Worse`` was decided; it stays.
        not_worse_since: number of the window since which ``NotWorse`` has held without a break.
    """

    alpha: float
    min_requests: int
    metrics: Mapping[str, Evidence]
    validity: Validity = field(default_factory=Validity)
    slices: Slices = field(default_factory=Slices)
    seen: int = 0
    worse_at: int | None = None
    not_worse_since: int | None = None

    @classmethod
    def start(
        cls,
        tests: Sequence[MetricTest],
        *,
        alpha: float,
        min_requests: int = 0,
        share_check: ShareCheck = ShareCheck.INDEPENDENT,
        void: frozenset[str] = frozenset(),
    ) -> "Trial":
        """Before the first window; ``void`` are metrics for which the arms are not comparable."""
        metrics = {test.name: Evidence.start(test, alpha) for test in tests}
        if len(metrics) < len(tests):
            msg = f"expected metric names that differ, found {sorted(test.name for test in tests)}"
            raise ValueError(msg)
        return cls(alpha=alpha, min_requests=min_requests, metrics=metrics, validity=Validity.start(share_check, void))

    def update(self, windows: Mapping[str, WindowLike | None], circumstances: Circumstances = _NOTHING_ELSE) -> "Trial":
        """The trial after one more window of every metric; None or a missing name: that one was skipped."""
        unknown = windows.keys() - self.metrics.keys()
        if unknown:
            msg = f"expected windows of the metrics {sorted(self.metrics)}, found also {sorted(unknown)}"
            raise ValueError(msg)
        tests = {name: evidence.test for name, evidence in self.metrics.items()}
        validity = self.validity.update(circumstances, windows=windows, tests=tests)
        metrics = {
            name: evidence.doubted(validity.doubt(name)).update(windows.get(name))
            for name, evidence in self.metrics.items()
        }
        parts = {name: found for name, found in circumstances.slices.items() if metrics[name].doubt is None}
        rates = {name: self.metrics[name].rates for name in parts}
        slices = self.slices.update(parts, tests=tests, rates=rates)
        after = replace(self, metrics=metrics, validity=validity, slices=slices, seen=self.seen + 1)
        worse_at, since = self.worse_at, self.not_worse_since
        worse = after.log_combined >= -log(self.alpha) and not validity.mismatched
        if worse_at is None and (worse or after.red_flags):
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
            tuple(evidence.log_counting for evidence in self.gating),
            weights=tuple(evidence.test.weight for evidence in self.gating),
        )

    @property
    def red_flags(self) -> tuple[str, ...]:
        """Names of the metrics whose threshold was reached."""
        return tuple(name for name, evidence in self.metrics.items() if evidence.flagged_at is not None)

    @property
    def doubtful(self) -> tuple[Evidence, ...]:
        """The metrics that decide something and that nothing may rest on at present."""
        return tuple(each for each in self.metrics.values() if each.doubt and each.test.role is not Role.WATCH)

    @property
    def invalid(self) -> bool:
        """Whether the arms cannot be compared: by their shares of the requests, or in a metric that decides."""
        return self.validity.mismatched or bool(self.doubtful)

    @property
    def worse_slices(self) -> Mapping[str, tuple[Slice, ...]]:
        """Per gating metric: parts of its requests in which the candidate is worse."""
        found = self.slices.worse(self.alpha)
        return {name: parts for name, parts in found.items() if self.metrics[name].test.role.gating}

    @property
    def held(self) -> bool:
        """Whether nothing may go on: the comparison is invalid, or the candidate is worse in a part of the requests."""
        return self.invalid or bool(self.worse_slices)

    @property
    def not_worse_now(self) -> bool:
        """Whether every gating metric (at least one) is not worse at present, with enough requests per arm.

        Not while anything holds the trial.
        """
        gating = self.gating
        return (
            bool(gating)
            and all(
                evidence.not_worse_now
                and min(evidence.requests.stable, evidence.requests.candidate) >= self.min_requests
                for evidence in gating
            )
            and not self.held
        )

    @property
    def verdict(self) -> Verdict:
        """Over all metrics. ``Worse`` stays, ``Invalid`` and ``NotWorse`` hold while they are true."""
        if self.worse_at is not None:
            return Verdict.WORSE
        if self.invalid:
            return Verdict.INVALID
        if all(evidence.windows == 0 for evidence in self.metrics.values()):
            return Verdict.NO_DATA
        return Verdict.NOT_WORSE if self.not_worse_since is not None else Verdict.UNDECIDED

    @property
    def decided_at(self) -> int | None:
        """Number of the window that decided the verdict: when ``Worse`` was, or since when ``NotWorse`` is."""
        return self.worse_at if self.worse_at is not None else self.not_worse_since

    def may_enter(self, weight: int, *, advance: Advance) -> bool:
        """Whether the evidence lets the candidate get ``weight`` percent next.

        Never while the trial is held, or a gating metric's worse evidence is at 5 or more. ``Fixed`` asks for no more;
        ``Budgeted`` also wants every gating metric's evidence that the harm at that weight stays within the
        budget to be at 1/α now (of the kinds that have such), so ``weight`` must be one of the tests' steps.
        """
        if self.held or self.worse_at is not None or any(evidence.alarmed for evidence in self.gating):
            return False
        if advance is Advance.FIXED:
            return True
        harmful = [evidence.log_harm for evidence in self.gating if evidence.log_harm]
        return all(harm[weight] >= -log(self.alpha) for harm in harmful)
