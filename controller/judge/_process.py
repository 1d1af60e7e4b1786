"""What every kind of metric offers to the judge: its windows, what is to be tested, and its evidence processes."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from types import MappingProxyType
from typing import ClassVar, Generic, Protocol, Self, TypeVar, cast

from controller.api.verdicts import Kind, Role

__all__ = ["ArmLike", "MetricTest", "PerArm", "Process", "Unit", "Window", "WindowLike", "window_of"]

_LARGEST_HARM_MARGIN = 0.99


@dataclass(frozen=True, slots=True)
class PerArm:
    """A number for each arm."""

    stable: float
    candidate: float


@dataclass(frozen=True, slots=True)
class Unit:
    """The metric's own unit, in which people read it: what 0 and 1 of a judged level are there.

    The judge sees everything as "higher is worse", and means with known bounds as shares.
    """

    zero: float = 0.0
    one: float = 1.0

    def level(self, judged: float) -> float:
        """A judged level in the unit."""
        return self.zero + (self.one - self.zero) * judged

    def difference(self, judged: float) -> float:
        """A difference of judged levels in the unit."""
        return (self.one - self.zero) * judged


class ArmLike(Protocol):
    """What one arm did in one window, whatever the kind."""

    @property
    def exposure(self) -> float:
        """Raw number of requests, or of what else was exposed to the question."""

    @property
    def silent(self) -> bool:
        """Whether there is nothing to compare."""

    @property
    def shown(self) -> str:
        """The counts in a word, for tables: ``9/1800``."""


A_co = TypeVar("A_co", bound=ArmLike, covariant=True)
A = TypeVar("A", bound=ArmLike)


class WindowLike(Protocol):
    """Both arms in one window, whatever the kind."""

    @property
    def comparable(self) -> bool:
        """Whether both arms have something to compare; a window without says nothing and is skipped."""

    @property
    def exposures(self) -> PerArm:
        """Raw requests per arm."""

    @property
    def shown(self) -> tuple[str, str]:
        """Stable's and the candidate's counts in a word each, for tables."""


@dataclass(frozen=True, slots=True)
class Window(Generic[A_co]):
    """Both arms in the same window; they are compared with each other and with nothing else."""

    stable: A_co
    candidate: A_co

    @property
    def comparable(self) -> bool:
        """Whether both arms had requests; a window without says nothing and is skipped."""
        return not (self.stable.silent or self.candidate.silent)

    @property
    def exposures(self) -> PerArm:
        """Raw requests per arm."""
        return PerArm(self.stable.exposure, self.candidate.exposure)

    @property
    def shown(self) -> tuple[str, str]:
        """Stable's and the candidate's counts in a word each, for tables."""
        return self.stable.shown, self.candidate.shown


def window_of(window: WindowLike, arm: type[A]) -> Window[A]:
    """Return the window as one of that kind of arm.

    Raises:
        TypeError: it is of another kind; a metric's windows are all of its own.
    """
    if isinstance(window, Window) and isinstance(window.stable, arm) and isinstance(window.candidate, arm):
        return cast("Window[A]", window)
    msg = f"expected a window of {arm.__name__}, found {window!r}"
    raise TypeError(msg)


class Process(Protocol):
    """The evidence processes of one metric after some windows, as natural logarithms of e-values.

    Under the hypothesis that it speaks against, each exceeds 1/α with probability at most α, at any time.
    """

    @property
    def log_worse(self) -> float:
        """Against "the candidate is within the margin": the plain process."""

    @property
    def log_restart(self) -> float:
        """The same bets, mixed over the window in which the candidate became worse (F6)."""

    @property
    def log_catastrophic(self) -> float:
        """Against "the candidate is within the catastrophic margin"."""

    @property
    def log_not_worse(self) -> float:
        """Against "the candidate is beyond the margin"."""

    @property
    def log_better(self) -> float:
        """Against "the candidate is not better than stable"; 0 for kinds that know no better."""

    @property
    def log_harm(self) -> tuple[float, ...]:
        """Against "the harm at that weight exceeds the budget", per step of the test; empty for kinds without."""

    @property
    def rates(self) -> PerArm | None:
        """The level of each arm, each window weighted alike for both; None before the first."""

    @property
    def interval(self) -> tuple[float, float] | None:
        """Bounds of the difference of the levels, valid at every look; None for kinds without."""

    @property
    def decisive(self) -> bool:
        """Whether the worse evidence may decide already."""

    def update(self, window: WindowLike, /) -> Self:
        """The processes after one more comparable window of this kind."""


@dataclass(frozen=True)
class MetricTest(ABC):
    """What is to be tested about one metric; fixed for the epoch. Each kind adds what it needs.

    Attributes:
        kind: what the metric is made of.
        name: its name.
        role: what it may cause.
        margin: effective margin, at least 0, in the unit of its kind. At 0 nothing can be shown to be not worse.
        horizon: windows over which a late onset is looked for (T of F6): deadline plus watch.
        weight: share in the common worse evidence, in relation to the other gating metrics.
        harm_budget: extra bad requests allowed, as a share of all requests; None: the margin.
        steps: weights (percent) that ``Budgeted`` enters only with evidence for bounded harm.
        threshold: RedFlag only: the candidate's level in one window above which the flag is raised.
        min_requests: RedFlag only: candidate's raw requests in the window, below which there is no flag.
        must_be_better: whether a promotion needs evidence that the candidate is better than stable.
        must_agree: whether the differences between windows must agree with the counts, as the design effect of these
            is only assumed; see ``_agreement``.
        promotion_margin: margin of "not worse" where it is another than that of "worse", at least 0 and at most that.
        unit: in which the levels are shown; the margin is in judged levels.
    """

    kind: ClassVar[Kind] = Kind.RATIO

    name: str
    role: Role
    margin: float = 0.0
    horizon: int = 500
    weight: float = 1.0
    harm_budget: float | None = None
    steps: tuple[int, ...] = ()
    threshold: float | None = None
    min_requests: int = 0
    must_be_better: bool = False
    must_agree: bool = False
    promotion_margin: float | None = None
    unit: Unit = Unit()

    def __post_init__(self) -> None:
        problem = self.problem()
        if problem:
            msg = f"metric {self.name}: {problem}"
            raise ValueError(msg)

    def problem(self) -> str | None:
        """What stands against the test: expected and found; kinds add their own."""
        flag, budget = self.role is Role.RED_FLAG, self.harm_budget
        demands = (
            (isfinite(self.margin) and self.margin >= 0.0, f"an effective margin of at least 0, found {self.margin:g}"),
            (self.horizon >= 1, f"a horizon of at least 1 window, found {self.horizon}"),
            (isfinite(self.weight) and self.weight > 0.0, f"a weight above 0, found {self.weight:g}"),
            (budget is None or 0.0 <= budget < 1.0, f"a harm budget of at least 0 and below 1, found {budget}"),
            (all(0 < step <= 100 for step in self.steps), f"steps above 0 and at most 100 percent, found {self.steps}"),
            (
                flag == (self.threshold is not None),
                f"a threshold for the role RedFlag and for no other, found {self.threshold}",
            ),
            (
                self.promotion_margin is None or 0.0 <= self.promotion_margin <= self.margin,
                f"a promotion margin from 0 to the margin {self.margin:g}, found {self.promotion_margin}",
            ),
            (
                not self.must_be_better or self.role is Role.TARGET,
                f"superiority for the role Target alone, found it for {self.role}",
            ),
        )
        return next((f"expected {demand}" for met, demand in demands if not met), None)

    @cached_property
    def harm_margins(self) -> Mapping[int, float]:
        """Difference of the rates that would use up the harm budget, per step: budget/weight, at most 0.99."""
        budget = self.margin if self.harm_budget is None else self.harm_budget
        return MappingProxyType({step: min(budget * 100 / step, _LARGEST_HARM_MARGIN) for step in self.steps})

    @property
    def fewest_windows(self) -> int:
        """Windows before which nothing is shown to be not worse, whatever the evidence says."""
        return 1

    @abstractmethod
    def process(self, alpha: float) -> Process:
        """Evidence 1 on every process, before the first window; ``alpha`` is the error of each end of the interval."""

    @abstractmethod
    def level(self, window: WindowLike) -> float | None:
        """The candidate's level in one window, for the threshold; None where it has none."""

    def raises_flag(self, window: WindowLike | None) -> bool:
        """Whether the candidate's level in the window is above the threshold, on enough requests."""
        if window is None or self.threshold is None or window.exposures.candidate < self.min_requests:
            return False
        level = self.level(window)
        return level is not None and level > self.threshold
