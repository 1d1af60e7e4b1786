"""The evidence on one ratio metric, from the first window of an epoch to its last."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import log
from types import MappingProxyType

from controller.api.verdicts import Role, Verdict
from controller.judge._interval import DifferenceInterval
from controller.judge._mixture import Plain, Restart, log_mean
from controller.judge._ratio import (
    MARGIN_FRACTIONS,
    ODDS_RATIOS,
    History,
    Window,
    log_factors,
    not_worse_alternatives,
    worse_alternatives,
)

__all__ = ["ALARM", "Evidence", "PerArm", "RatioTest"]

ALARM = 5.0
"""Worse evidence from which nothing is promoted and no step is entered, though nothing is decided yet."""

_CATASTROPHE = 8.0
_LARGEST_HARM_MARGIN = 0.99


@dataclass(frozen=True)
class RatioTest:
    """What is to be tested about one ratio metric; fixed for the epoch.

    Attributes:
        name: the metric's name.
        role: what it may cause.
        margin: effective margin δ in [0, 1). At 0 nothing can be shown to be not worse: no promotion.
        history: stable's effective counts before the epoch, None if there are none.
        horizon: windows over which a late onset is looked for (T of F6): deadline plus watch.
        harm_budget: extra bad requests allowed, as a share of all requests; None: the margin.
        steps: weights (percent) that ``Budgeted`` enters only with evidence for bounded harm.
        threshold: RedFlag only: candidate's rate in one window that raises the flag.
        min_requests: RedFlag only: candidate's raw requests in the window, below which there is no flag.
    """

    name: str
    role: Role
    margin: float
    history: History | None = None
    horizon: int = 500
    harm_budget: float | None = None
    steps: tuple[int, ...] = ()
    threshold: float | None = None
    min_requests: int = 0

    def __post_init__(self) -> None:
        problem = self._problem()
        if problem:
            msg = f"metric {self.name}: {problem}"
            raise ValueError(msg)

    def _problem(self) -> str | None:
        if not 0.0 <= self.margin < 1.0:
            return f"expected an effective margin of at least 0 and below 1, found {self.margin:g}"
        if self.horizon < 1:
            return f"expected a horizon of at least 1 window, found {self.horizon}"
        if self.harm_budget is not None and not 0.0 <= self.harm_budget < 1.0:
            return f"expected a harm budget of at least 0 and below 1, found {self.harm_budget:g}"
        if any(not 0 < step <= 100 for step in self.steps):
            return f"expected steps above 0 and at most 100 percent, found {self.steps}"
        if (self.role is Role.RED_FLAG) != (self.threshold is not None):
            return f"expected a threshold for the role RedFlag and for no other, found {self.threshold}"
        return None

    @cached_property
    def catastrophic_margin(self) -> float:
        """Margin of the guard against disasters: min(8δ, (1 − p0)/2), but never below δ, where it would accuse.

        p0 is stable's rate in the history, ½ without one (F1's guess before any data).
        """
        rate = self.history.rate if self.history is not None else None
        room = (1.0 - (0.5 if rate is None else rate)) / 2
        return max(self.margin, min(_CATASTROPHE * self.margin, room))

    @cached_property
    def harm_margins(self) -> Mapping[int, float]:
        """Difference of the rates that would use up the harm budget, per step: budget/weight, at most 0.99."""
        budget = self.margin if self.harm_budget is None else self.harm_budget
        return MappingProxyType({step: min(budget * 100 / step, _LARGEST_HARM_MARGIN) for step in self.steps})


@dataclass(frozen=True, slots=True)
class PerArm:
    """A number for each arm."""

    stable: float
    candidate: float


@dataclass(frozen=True, slots=True)
class _Rates:
    """Both arms' rates, each window weighted alike for both (Mantel–Haenszel), so that ramps cancel."""

    weight: float = 0.0
    stable: float = 0.0
    candidate: float = 0.0

    def update(self, window: Window) -> "_Rates":
        stable, candidate = window.stable, window.candidate
        total = stable.total + candidate.total
        return _Rates(
            weight=self.weight + stable.total * candidate.total / total,
            stable=self.stable + stable.bad * candidate.total / total,
            candidate=self.candidate + candidate.bad * stable.total / total,
        )


@dataclass(frozen=True)
class Evidence:
    """The evidence after some windows; ``update`` returns the evidence after one more.

    A window that is None, or in which an arm had no requests, changes nothing but ``seen`` (a red flag is
    looked for all the same). Folding the recorded windows gives the same numbers as having been there.

    Attributes:
        test: what is tested.
        alpha: error probability of the epoch, per side.
        seen: windows so far, skipped ones included.
        windows: windows that counted.
        requests: raw requests per arm in the windows that counted.
        decided_worse_at: number (from 0) of the window in which this metric's evidence alone reached 1/α.
        flagged_at: number of the window that raised the red flag.
    """

    test: RatioTest
    alpha: float
    _worse: Plain
    _restart: Restart
    _catastrophic: Plain
    _not_worse: Plain
    _harm: tuple[Plain, ...]
    _known: History
    _interval: DifferenceInterval = field(compare=False, repr=False)
    _rates: _Rates = field(default_factory=_Rates)
    seen: int = 0
    windows: int = 0
    requests: PerArm = PerArm(0.0, 0.0)
    decided_worse_at: int | None = None
    flagged_at: int | None = None

    @classmethod
    def start(cls, test: RatioTest, alpha: float) -> "Evidence":
        """Evidence 1 on every process, before the first window."""
        if not 0.0 < alpha < 1.0:
            msg = f"expected an alpha between 0 and 1, found {alpha:g}"
            raise ValueError(msg)
        return cls(
            test=test,
            alpha=alpha,
            _worse=Plain.start(len(ODDS_RATIOS)),
            _restart=Restart.start(len(ODDS_RATIOS), test.horizon),
            _catastrophic=Plain.start(len(ODDS_RATIOS)),
            _not_worse=Plain.start(len(MARGIN_FRACTIONS)),
            _harm=tuple(Plain.start(len(MARGIN_FRACTIONS)) for _ in test.steps),
            _known=test.history or History(0.0, 0.0),
            _interval=DifferenceInterval.start(test.margin, alpha),
        )

    def update(self, window: Window | None) -> "Evidence":
        """The evidence after one more window; None for one that was skipped."""
        flagged_at = self.seen if self.flagged_at is None and self._raises_flag(window) else self.flagged_at
        if window is None or not window.comparable:
            return replace(self, seen=self.seen + 1, flagged_at=flagged_at)
        after = replace(
            self._bet(window),
            _known=self._known.learn(window.stable),
            _rates=self._rates.update(window),
            seen=self.seen + 1,
            windows=self.windows + 1,
            requests=PerArm(
                self.requests.stable + window.stable.exposure,
                self.requests.candidate + window.candidate.exposure,
            ),
            flagged_at=flagged_at,
        )
        if after.decided_worse_at is None and after.log_combined >= -log(self.alpha):
            return replace(after, decided_worse_at=self.seen)
        return after

    def _bet(self, window: Window) -> "Evidence":
        """Every process after the window; all guesses rest on earlier windows alone."""
        rate = self._known.expected_rate
        worse = _worse_factors(window, rate, self.test.margin)
        return replace(
            self,
            _worse=self._worse.update(worse),
            _restart=self._restart.update(worse),
            _catastrophic=self._catastrophic.update(_worse_factors(window, rate, self.test.catastrophic_margin)),
            _not_worse=self._not_worse.update(_not_worse_factors(window, rate, self.test.margin)),
            _harm=tuple(
                process.update(_not_worse_factors(window, rate, margin))
                for process, margin in zip(self._harm, self.test.harm_margins.values(), strict=True)
            ),
            _interval=self._interval.update(window, rate),
        )

    def _raises_flag(self, window: Window | None) -> bool:
        threshold = self.test.threshold
        if window is None or threshold is None:
            return False
        arm = window.candidate
        enough = arm.total > 0 and arm.exposure >= self.test.min_requests
        return enough and arm.bad > threshold * arm.total

    @property
    def log_worse(self) -> float:
        """Log evidence that the candidate is worse than the margin: the plain process."""
        return self._worse.log_value

    @property
    def log_restart(self) -> float:
        """The same bets, mixed over the window in which it became worse."""
        return self._restart.log_value

    @property
    def log_catastrophic(self) -> float:
        """Log evidence that the candidate is worse by the catastrophic margin."""
        return self._catastrophic.log_value

    @property
    def log_combined(self) -> float:
        """What a roll-back rests on: half ``restart``, half ``catastrophic``."""
        return log_mean((self.log_restart, self.log_catastrophic))

    @property
    def log_not_worse(self) -> float:
        """Log evidence that the candidate is not worse than the margin; 0 for ever at margin 0."""
        return self._not_worse.log_value

    @property
    def log_harm(self) -> Mapping[int, float]:
        """Log evidence that each step's weight keeps the harm within its budget."""
        return {step: process.log_value for step, process in zip(self.test.steps, self._harm, strict=True)}

    @property
    def rates(self) -> PerArm | None:
        """Both rates over the windows that counted, weighted alike for both arms; None before the first.

        While the arms' traffic keeps its proportion these are bad requests divided by requests.
        """
        total = self._rates
        return PerArm(total.stable / total.weight, total.candidate / total.weight) if total.weight else None

    @property
    def difference(self) -> float | None:
        """Candidate's rate minus stable's, compared within windows; None before the first."""
        return self.rates.candidate - self.rates.stable if self.rates else None

    @property
    def interval(self) -> tuple[float, float]:
        """Bounds of the difference that hold at every window at once, each with error α."""
        return self._interval.bounds

    @property
    def alarmed(self) -> bool:
        """Whether the worse evidence is at least 5: nothing is promoted, no step is entered."""
        return self.log_combined >= log(ALARM)

    @property
    def not_worse_now(self) -> bool:
        """Whether the evidence for "not worse" is at 1/α at present and none against it alarms."""
        return self.log_not_worse >= -log(self.alpha) and not self.alarmed

    @property
    def verdict(self) -> Verdict:
        """This metric alone. ``Worse`` stays, ``NotWorse`` holds while it is true."""
        if self.flagged_at is not None:
            return Verdict.WORSE
        if self.windows == 0:
            return Verdict.NO_DATA
        if self.test.role is Role.RED_FLAG:
            return Verdict.UNDECIDED
        if self.decided_worse_at is not None:
            return Verdict.WORSE
        return Verdict.NOT_WORSE if self.not_worse_now else Verdict.UNDECIDED


def _worse_factors(window: Window, rate: float, margin: float) -> tuple[float, ...]:
    return log_factors(window, rate=rate, margin=margin, alternatives=worse_alternatives(rate, margin))


def _not_worse_factors(window: Window, rate: float, margin: float) -> tuple[float, ...]:
    return log_factors(window, rate=rate, margin=margin, alternatives=not_worse_alternatives(rate, margin))
