"""Parts of the requests in which the candidate is worse, though it may be fine over all of them.

Each part has an evidence process of its own (F1, restarted as in F6) from the window on in which it was first seen. Of
all parts of all metrics those are named that e-BH picks (F8): of the parts named at any moment, the expected share of
those in which the candidate is within the margin is at most α. A named part holds the rollout. It never rolls back,
because α is spent on the metrics as a whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from controller.judge._mixture import Restart
from controller.judge._process import MetricTest, PerArm, Window
from controller.judge.checks.discovery import discoveries
from controller.judge.checks.validity import Slice
from controller.judge.kinds.levels import Levels
from controller.judge.kinds.ratio import ODDS_RATIOS, Arm, History, log_factors, worse_alternatives

__all__ = ["SliceEvidence", "Slices"]

_GUESSED_REQUESTS: Final = 20.0
"""As so many requests the metric's own rate counts in the first guess of a part's."""


@dataclass(frozen=True)
class SliceEvidence:
    """The evidence that the candidate is worse than the margin in one part of the requests.

    Attributes:
        margin: the metric's effective margin.
        requests: raw requests per arm.
    """

    margin: float
    requests: PerArm
    _worse: Restart
    _known: History
    _levels: Levels = field(default_factory=Levels)

    @classmethod
    def start(cls, test: MetricTest, rate: float | None) -> "SliceEvidence":
        """Before the first window; ``rate`` is stable's over all requests, if known, and only guides the bets."""
        guess = History(0.0, 0.0) if rate is None else History(_GUESSED_REQUESTS, _GUESSED_REQUESTS * rate)
        worse = Restart.start(len(ODDS_RATIOS), test.horizon)
        return cls(margin=test.margin, requests=PerArm(0.0, 0.0), _worse=worse, _known=guess)

    def update(self, window: Window[Arm]) -> "SliceEvidence":
        """The evidence after one more window; one in which an arm had no request changes nothing."""
        if not window.comparable:
            return self
        rate, exposures = self._known.expected_rate, window.exposures
        factors = log_factors(window, rate=rate, margin=self.margin, alternatives=worse_alternatives(rate, self.margin))
        return SliceEvidence(
            margin=self.margin,
            requests=PerArm(self.requests.stable + exposures.stable, self.requests.candidate + exposures.candidate),
            _worse=self._worse.update(factors),
            _known=self._known.learn(window.stable),
            _levels=self._levels.update(
                sizes=(window.stable.total, window.candidate.total), amounts=(window.stable.bad, window.candidate.bad)
            ),
        )

    @property
    def log_worse(self) -> float:
        """Log evidence that the candidate is worse than the margin here."""
        return self._worse.log_value

    @property
    def rates(self) -> PerArm | None:
        """Shares of bad requests here; None before the first window in which both arms had some."""
        return self._levels.rates


@dataclass(frozen=True)
class Slices:
    """All parts that were seen so far, per metric."""

    parts: Mapping[str, Mapping[Slice, SliceEvidence]] = field(default_factory=lambda: MappingProxyType({}))

    def update(
        self,
        found: Mapping[str, Mapping[Slice, Window[Arm]]],
        *,
        tests: Mapping[str, MetricTest],
        rates: Mapping[str, PerArm | None],
    ) -> "Slices":
        """The evidence after one more window; ``rates`` are those of the metrics before it."""
        if not found:
            return self
        parts = {name: dict(known) for name, known in self.parts.items()}
        for name, windows in found.items():
            known, overall = parts.setdefault(name, {}), rates.get(name)
            for part, window in windows.items():
                before = known.get(part) or SliceEvidence.start(tests[name], overall.stable if overall else None)
                known[part] = before.update(window)
        return Slices(parts)

    def worse(self, alpha: float) -> Mapping[str, tuple[Slice, ...]]:
        """The parts in which the candidate is worse, the surest first, per metric that has any (see above)."""
        places = {"\0".join((name, *part)): (name, part) for name, parts in self.parts.items() for part in parts}
        evidence = {place: self.parts[name][part].log_worse for place, (name, part) in places.items()}
        named: dict[str, tuple[Slice, ...]] = {}
        for place in discoveries(evidence, alpha):
            name, part = places[place]
            named[name] = (*named.get(name, ()), part)
        return named
