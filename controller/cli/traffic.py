"""Simulated traffic: requests of many runs, pod by pod and window by window, drawn from stated rates.

Requests per pod are Poisson; bad ones binomial with the pod's rate in the window. That rate is the base rate, moved by
drift and season (both arms alike) and by the effect (the candidate alone), shifted by what is lasting about the pod
(normal on the logit) and drawn around it anew in each window (beta; the intraclass correlation).
"""

from dataclasses import dataclass, replace
from math import pi

import numpy as np

from controller.judge.batch import Flags, Floats, PodCounts

__all__ = ["Effect", "Stream", "TrafficModel"]

_SMALLEST_RATE = 1e-9


@dataclass(frozen=True, slots=True)
class Effect:
    """How the candidate's rate follows from stable's: times ``factor``, plus ``absolute``."""

    absolute: float = 0.0
    factor: float = 1.0

    def on(self, rates: Floats) -> Floats:
        """The candidate's rates."""
        moved: Floats = np.clip(rates * self.factor + self.absolute, 0.0, 1.0)
        return moved


@dataclass(frozen=True, slots=True)
class TrafficModel:
    """What one metric's counters see.

    Attributes:
        base: stable's rate of bad requests.
        requests: expected requests per window, of both arms together.
        effect: what the candidate makes of the rate.
        onset: number of the window from which on it does.
        stable_pods: pods of stable.
        candidate_pods: pods of the candidate.
        intraclass: correlation of the outcomes of one pod's requests in one window, in [0, 1).
        pod_deviation: standard deviation of the pods' lasting differences, on the logit.
        season: amplitude of a sine on the base rate, as a share of it, in [0, 1).
        period: its length in windows.
        drift: what the base rate is multiplied by at the last window, reached evenly from 1 at the first.
        windows: windows over which it drifts.
    """

    base: float
    requests: float
    effect: Effect = Effect()
    onset: int = 0
    stable_pods: int = 9
    candidate_pods: int = 1
    intraclass: float = 0.0
    pod_deviation: float = 0.0
    season: float = 0.0
    period: int = 100
    drift: float = 1.0
    windows: int = 500


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """The traffic of some runs; each call draws on from the generator."""

    model: TrafficModel
    _rng: np.random.Generator
    _phase: Floats
    _stable: Floats
    _candidate: Floats

    @classmethod
    def start(cls, model: TrafficModel, *, runs: int, rng: np.random.Generator) -> "Stream":
        """Draw the pods and the season's phase of every run."""
        return cls(
            model=model,
            _rng=rng,
            _phase=rng.random(runs),
            _stable=model.pod_deviation * rng.normal(size=(model.stable_pods, runs)),
            _candidate=model.pod_deviation * rng.normal(size=(model.candidate_pods, runs)),
        )

    @property
    def runs(self) -> int:
        """How many runs there are."""
        return self._phase.size

    def history(self, intervals: int, *, weight: float = 0.0) -> PodCounts:
        """Stable's pods in the windows before the first, of shape (intervals, pods, runs).

        Args:
            intervals: how many windows.
            weight: percent of the requests that went elsewhere.
        """
        share = np.full(self._phase.size, 1.0 - weight / 100)
        counts = [self._draw(self._stable, self._rates(number), share=share) for number in range(-intervals, 0)]
        shape = (0, *self._stable.shape)
        total, bad = ([getattr(each, name) for each in counts] for name in ("total", "bad"))
        return PodCounts(*(np.stack(each) if each else np.zeros(shape) for each in (total, bad)))

    def window(self, number: int, weights: Floats) -> tuple[PodCounts, PodCounts]:
        """Both arms' pods in the window; ``weights`` is the candidate's percent of the requests, per run."""
        rates, share = self._rates(number), weights / 100
        stable = self._draw(self._stable, rates, share=1.0 - share)
        effect = self.model.effect if number >= self.model.onset else Effect()
        return stable, self._draw(self._candidate, effect.on(rates), share=share)

    def keep(self, runs: Flags) -> "Stream":
        """Only these runs."""
        return replace(
            self, _phase=self._phase[runs], _stable=self._stable[:, runs], _candidate=self._candidate[:, runs]
        )

    def _rates(self, number: int) -> Floats:
        model = self.model
        drifted = 1.0 + (model.drift - 1.0) * min(max(number / max(model.windows - 1, 1), 0.0), 1.0)
        season = 1.0 + model.season * np.sin(2 * pi * (number / model.period + self._phase))
        rates: Floats = np.clip(model.base * drifted * season, 0.0, 1.0)
        return rates

    def _draw(self, pods: Floats, rates: Floats, *, share: Floats) -> PodCounts:
        total = self._rng.poisson(self.model.requests * share / len(pods), size=pods.shape)
        bad = self._rng.binomial(total, self._pod_rates(pods, rates))
        return PodCounts(total.astype(np.float64), bad.astype(np.float64))

    def _pod_rates(self, pods: Floats, rates: Floats) -> Floats:
        model = self.model
        own = np.broadcast_to(rates, pods.shape)
        if model.pod_deviation > 0.0:
            inside = np.clip(own, _SMALLEST_RATE, 1.0 - _SMALLEST_RATE)
            odds = inside / (1.0 - inside) * np.exp(pods)
            own = odds / (1.0 + odds)
        if model.intraclass > 0.0:
            inside = np.clip(own, _SMALLEST_RATE, 1.0 - _SMALLEST_RATE)
            spread = (1.0 - model.intraclass) / model.intraclass
            own = self._rng.beta(inside * spread, (1.0 - inside) * spread)
        return own
