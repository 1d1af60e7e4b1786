"""The evidence on one metric, whatever its kind, from the first window of an epoch to its last."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import log

from controller.api.reasons import Reason
from controller.api.verdicts import Role, Verdict
from controller.judge._agreement import Agreement
from controller.judge._mixture import log_mean
from controller.judge._process import MetricTest, PerArm, Process, WindowLike
from controller.judge.kinds.rate_process import RateTest
from controller.judge.kinds.ratio_process import RatioTest

__all__ = ["ALARM", "Evidence"]

ALARM = 5.0
"""Worse evidence from which nothing is promoted and no step is entered, though nothing is decided yet."""


@dataclass(frozen=True)
class Evidence:
    """The evidence after some windows; ``update`` returns the evidence after one more.

    A window that is None, or in which an arm had no requests, changes nothing but ``seen`` (a red flag is looked for
    all the same), and so does one while the arms' labels differ: whether it counts rests on how many labels there are,
    never on what they say. Folding the recorded windows gives the same numbers as having been there.

    Attributes:
        test: what is tested.
        alpha: error probability of the epoch, per side.
        process: the evidence processes of the metric's kind.
        promotion: those with the margin of the promotion side, where it is another.
        agreement: what must say the same, where the design effect is only assumed.
        seen: windows so far, skipped ones included.
        windows: windows that counted.
        requests: raw requests per arm in the windows that counted.
        decided_worse_at: number (from 0) of the window in which this metric's evidence alone reached 1/α.
        flagged_at: number of the window that raised the red flag.
        doubt: why nothing may rest on this metric at present. Only a red flag still acts, and what was ``Worse`` stays.
    """

    test: MetricTest
    alpha: float
    process: Process
    promotion: Process | None = None
    agreement: Agreement | None = None
    seen: int = 0
    windows: int = 0
    requests: PerArm = field(default_factory=lambda: PerArm(0.0, 0.0))
    decided_worse_at: int | None = None
    flagged_at: int | None = None
    doubt: Reason | None = None

    @classmethod
    def start(cls, test: MetricTest, alpha: float) -> "Evidence":
        """Evidence 1 on every process, before the first window."""
        if not 0.0 < alpha < 1.0:
            msg = f"expected an alpha between 0 and 1, found {alpha:g}"
            raise ValueError(msg)
        return cls(
            test=test,
            alpha=alpha,
            process=test.process(alpha),
            promotion=_promotion(test, alpha),
            agreement=_agreement(test, alpha),
        )

    def doubted(self, doubt: Reason | None) -> "Evidence":
        """The same evidence with that doubt, or with none."""
        return self if doubt is self.doubt else replace(self, doubt=doubt)

    def update(self, window: WindowLike | None) -> "Evidence":
        """The evidence after one more window; None for one that was skipped."""
        flagged = self.flagged_at is None and self.test.raises_flag(window)
        flagged_at = self.seen if flagged else self.flagged_at
        if window is None or not window.comparable or self.doubt is Reason.LABELS_DIFFER:
            return replace(self, seen=self.seen + 1, flagged_at=flagged_at)
        exposures = window.exposures
        after = replace(
            self,
            process=self.process.update(window),
            promotion=None if self.promotion is None else self.promotion.update(window),
            agreement=None if self.agreement is None else self.agreement.update(window),
            seen=self.seen + 1,
            windows=self.windows + 1,
            requests=PerArm(
                self.requests.stable + exposures.stable,
                self.requests.candidate + exposures.candidate,
            ),
            flagged_at=flagged_at,
        )
        if after.decided_worse_at is None and after.log_counting >= -log(self.alpha):
            return replace(after, decided_worse_at=self.seen)
        return after

    @property
    def log_worse(self) -> float:
        """Log evidence that the candidate is worse than the margin: the plain process."""
        return self.process.log_worse

    @property
    def log_restart(self) -> float:
        """The same bets, mixed over the window in which it became worse; at most what the agreement gives."""
        own = self.process.log_restart
        return own if self.agreement is None else min(own, self.agreement.log_restart)

    @property
    def log_catastrophic(self) -> float:
        """Log evidence that the candidate is worse by the catastrophic margin."""
        return self.process.log_catastrophic

    @cached_property
    def log_combined(self) -> float:
        """What a roll-back rests on: half ``restart``, half ``catastrophic``.

        While the kind is not decisive yet it is at most 0: cutting an e-value down leaves an e-value.
        """
        combined = log_mean((self.log_restart, self.log_catastrophic))
        return combined if self.process.decisive else min(combined, 0.0)

    @property
    def log_counting(self) -> float:
        """What the metric adds to the common evidence: at most 0 while it is in doubt."""
        return min(self.log_combined, 0.0) if self.doubt else self.log_combined

    @property
    def log_not_worse(self) -> float:
        """Log evidence that the candidate is not worse than the margin; at most what the agreement gives.

        0 for ever at a margin of 0: then it cannot be shown.
        """
        if self.test.promotion_margin == 0.0:
            return 0.0
        own = (self.promotion or self.process).log_not_worse
        return own if self.agreement is None else min(own, self.agreement.log_not_worse)

    @property
    def log_better(self) -> float:
        """Log evidence that the candidate is better than stable; 0 where that is not asked."""
        return self.process.log_better

    @property
    def log_harm(self) -> Mapping[int, float]:
        """Log evidence that each step's weight keeps the harm within its budget; empty for kinds without harm."""
        return dict(zip(self.test.steps, self.process.log_harm, strict=False))

    @property
    def rates(self) -> PerArm | None:
        """Both levels over the windows that counted, weighted alike for both arms; None before the first."""
        return self.process.rates

    @property
    def difference(self) -> float | None:
        """Candidate's level minus stable's, compared within windows; None before the first."""
        return self.rates.candidate - self.rates.stable if self.rates else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Bounds of the difference that hold at every window at once, each with error α; None for kinds without."""
        return self.process.interval

    @property
    def shown_rates(self) -> PerArm | None:
        """Both levels in the metric's own unit."""
        unit, rates = self.test.unit, self.rates
        return PerArm(unit.level(rates.stable), unit.level(rates.candidate)) if rates else None

    @property
    def shown_difference(self) -> float | None:
        """Candidate's level minus stable's in the metric's own unit."""
        return None if self.difference is None else self.test.unit.difference(self.difference)

    @property
    def shown_interval(self) -> tuple[float, float] | None:
        """The interval in the metric's own unit, its lower end first; that of a rate is of the ratio of both."""
        if self.interval is None:
            return None
        low, high = sorted(self.test.unit.difference(bound) for bound in self.interval)
        return low, high

    @property
    def alarmed(self) -> bool:
        """Whether the worse evidence is at least 5: nothing is promoted, no step is entered."""
        return self.log_combined >= log(ALARM)

    @property
    def not_worse_now(self) -> bool:
        """Whether the evidence for "not worse" is at 1/α at present and none against it alarms.

        Where the test asks for superiority, the evidence for "better" must be there too.
        """
        needed = -log(self.alpha)
        proven = self.log_not_worse >= needed and (not self.test.must_be_better or self.log_better >= needed)
        enough = self.windows >= self.test.fewest_windows
        return proven and enough and not self.alarmed and self.doubt is None

    @property
    def verdict(self) -> Verdict:
        """This metric alone. ``Worse`` stays, ``NotWorse`` holds while it is true."""
        if self.flagged_at is not None:
            return Verdict.WORSE
        if self.decided_worse_at is not None and self.test.role is not Role.RED_FLAG:
            return Verdict.WORSE
        if self.doubt is not None:
            return Verdict.INVALID
        if self.windows == 0:
            return Verdict.NO_DATA
        if self.test.role is Role.RED_FLAG:
            return Verdict.UNDECIDED
        return Verdict.NOT_WORSE if self.not_worse_now else Verdict.UNDECIDED


def _promotion(test: MetricTest, alpha: float) -> Process | None:
    """The processes at the margin of the promotion side; None where it is that of the other, or nothing to show."""
    if not test.promotion_margin:
        return None
    return replace(test, margin=test.promotion_margin, promotion_margin=None, steps=()).process(alpha)


def _agreement(test: MetricTest, alpha: float) -> Agreement | None:
    """For the kinds whose counts are deflated by a design effect and have one level per window."""
    if not test.must_agree:
        return None
    if isinstance(test, RateTest):
        return Agreement.of_rates(test, alpha)
    return Agreement.start(test, alpha) if isinstance(test, RatioTest) else None
