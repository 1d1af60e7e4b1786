"""Simulated traffic: requests of many runs, pod by pod and window by window, drawn from stated levels.

Requests per pod are Poisson. A ratio's bad ones are binomial, a rate's events Poisson, the values of a mean follow a
gamma distribution, those of a histogram a lognormal one whose median is its level. The level of a distribution is the
share of its first cell, the other cells share the rest as before. The level behind them is the base level, moved by
drift and season (both arms alike) and by the effect (the candidate alone), shifted by what is lasting about the pod and
drawn around it anew in each window and pod, which makes the intraclass correlation.

Pairs and queries know no pods. Of pairs, either arm's share of wrong answers is its level; half of the discordance is
each arm's own, and an effect makes the candidate alone wrong more often, or stable alone. The values of a query scatter
normally around its level.
"""

from dataclasses import dataclass, replace
from math import inf, pi

import numpy as np

from controller.api.verdicts import Kind
from controller.cli.latency import EDGES, bucket_shares
from controller.judge.batch import Flags, Floats, PodCounts

__all__ = ["Effect", "Stream", "TrafficModel"]

_SMALLEST_RATE = 1e-9


@dataclass(frozen=True, slots=True)
class Effect:
    """How the candidate's level follows from stable's: times ``factor``, plus ``absolute``."""

    absolute: float = 0.0
    factor: float = 1.0

    def on(self, levels: Floats, *, highest: float = 1.0) -> Floats:
        """The candidate's levels, none of them below 0 or above the highest that there can be."""
        moved: Floats = np.clip(levels * self.factor + self.absolute, 0.0, highest)
        return moved


@dataclass(frozen=True, slots=True)
class TrafficModel:
    """What one metric's counters see.

    Attributes:
        base: stable's level: share of bad requests or wrong answers, events per exposure, mean, median of a histogram,
            share of the first cell of a distribution, or value of a query.
        requests: expected requests per window, of both arms together; for a rate the exposure, or pairs.
        effect: what the candidate makes of the level.
        onset: number of the window from which on it does.
        kind: what the counters are of.
        stable_pods: pods of stable.
        candidate_pods: pods of the candidate.
        intraclass: correlation of one pod's requests in one window, in [0, 1); for a rate its excess variance.
        pod_deviation: standard deviation of the pods' lasting differences, on the logit (ratios) or logarithm.
        deviation: standard deviation of the single values of a mean, as a share of it; of a histogram's logarithms;
            of a query's values.
        cells: of a distribution: stable's share of each bucket or class, the first of them the base.
        discordance: of pairs: the share in which one arm alone is wrong, as long as both are alike.
        season: amplitude of a sine on the base level, as a share of it, in [0, 1).
        period: its length in windows.
        drift: what the base level is multiplied by at the last window, reached evenly from 1 at the first.
        windows: windows over which it drifts.
    """

    base: float
    requests: float
    effect: Effect = Effect()
    onset: int = 0
    kind: Kind = Kind.RATIO
    stable_pods: int = 9
    candidate_pods: int = 1
    intraclass: float = 0.0
    pod_deviation: float = 0.0
    deviation: float = 1.0
    cells: tuple[float, ...] = ()
    discordance: float = 0.0
    season: float = 0.0
    period: int = 100
    drift: float = 1.0
    windows: int = 500

    @property
    def highest(self) -> float:
        """The highest level that there can be."""
        return 1.0 if self.kind in (Kind.RATIO, Kind.DISTRIBUTION, Kind.PAIRED) else inf

    @property
    def buckets(self) -> int:
        """How many buckets or classes are counted."""
        return len(self.cells) if self.kind is Kind.DISTRIBUTION else len(EDGES)

    @property
    def changed(self) -> float:
        """The candidate's level, seasons and drift aside."""
        return float(self.effect.on(np.array([self.base]), highest=self.highest)[0])


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
        share = np.full(self.runs, 1.0 - weight / 100)
        counts = [self._draw(self._stable, self._levels(number), share=share) for number in range(-intervals, 0)]
        if not counts:
            none = np.zeros((0, *self._stable.shape))
            return PodCounts(none, none, np.zeros((self.model.buckets, *none.shape)))
        buckets = [each.buckets for each in counts if each.buckets is not None]
        return PodCounts(
            total=np.stack([each.total for each in counts]),
            bad=np.stack([each.bad for each in counts]),
            buckets=np.stack(buckets, axis=1) if buckets else None,
        )

    def window(self, number: int, weights: Floats) -> tuple[PodCounts, PodCounts]:
        """Both arms' pods in the window; ``weights`` is the candidate's percent of the requests, per run."""
        levels, share = self._levels(number), weights / 100
        effect = self.model.effect if number >= self.model.onset else Effect()
        changed = effect.on(levels, highest=self.model.highest)
        if self.model.kind is Kind.PAIRED:
            return self._pairs(levels, changed)
        stable = self._draw(self._stable, levels, share=1.0 - share)
        return stable, self._draw(self._candidate, changed, share=share)

    def keep(self, runs: Flags) -> "Stream":
        """Only these runs."""
        return replace(
            self, _phase=self._phase[runs], _stable=self._stable[:, runs], _candidate=self._candidate[:, runs]
        )

    def _levels(self, number: int) -> Floats:
        model = self.model
        drifted = 1.0 + (model.drift - 1.0) * min(max(number / max(model.windows - 1, 1), 0.0), 1.0)
        season = 1.0 + model.season * np.sin(2 * pi * (number / model.period + self._phase))
        levels: Floats = np.clip(model.base * drifted * season, 0.0, model.highest)
        return levels

    def _draw(self, pods: Floats, levels: Floats, *, share: Floats) -> PodCounts:
        requests = self.model.requests * share / len(pods)
        if self.model.kind in (Kind.HISTOGRAM, Kind.DISTRIBUTION):
            buckets = self._rng.poisson(requests * self._parts(pods, levels)).astype(np.float64)
            return PodCounts(buckets.sum(axis=0), np.zeros(pods.shape), buckets)
        total = self._rng.poisson(requests, size=pods.shape).astype(np.float64)
        match self.model.kind:
            case Kind.RATE:
                variances = self.model.intraclass / np.maximum(levels, _SMALLEST_RATE)
                return PodCounts(total, self._rng.poisson(total * self._scaled(pods, levels, variances)).astype(float))
            case Kind.QUERY:
                one = np.ones((1, levels.size))
                return PodCounts(one, levels + self.model.deviation * self._rng.normal(size=one.shape))
            case Kind.MEAN:
                variance = max(self.model.deviation**2, _SMALLEST_RATE)
                own = self._scaled(pods, levels, np.full(levels.shape, self.model.intraclass * variance))
                return PodCounts(total, self._rng.gamma(total / variance, own * variance))
            case _:
                shares = self._shares(pods, levels)
                return PodCounts(total, self._rng.binomial(total.astype(np.int64), shares).astype(float))

    def _parts(self, pods: Floats, levels: Floats) -> Floats:
        """Each pod's shares of the buckets in the window."""
        if self.model.kind is Kind.DISTRIBUTION:
            first, others = self._lasting(pods, levels), np.array(self.model.cells[1:]).reshape(-1, 1, 1)
            shares = np.concatenate([first[np.newaxis], (1.0 - first) * others / others.sum()])
        else:
            shares = bucket_shares(np.maximum(levels, _SMALLEST_RATE) * np.exp(pods), self.model.deviation)
        if self.model.intraclass == 0.0:
            return shares
        drawn = self._rng.gamma(shares * (1.0 - self.model.intraclass) / self.model.intraclass)
        parts: Floats = drawn / np.maximum(drawn.sum(axis=0), _SMALLEST_RATE)
        return parts

    def _scaled(self, pods: Floats, levels: Floats, variances: Floats) -> Floats:
        """Each pod's level in the window, around its lasting one with that relative variance."""
        own = levels * np.exp(pods)
        if self.model.intraclass > 0.0:
            shapes = 1.0 / np.maximum(variances, _SMALLEST_RATE)
            own = own * self._rng.gamma(np.broadcast_to(shapes, own.shape), 1.0) / shapes
        return own

    def _shares(self, pods: Floats, levels: Floats) -> Floats:
        """Each pod's share in the window, around its lasting one."""
        model, own = self.model, self._lasting(pods, levels)
        if model.intraclass > 0.0:
            inside = np.clip(own, _SMALLEST_RATE, 1.0 - _SMALLEST_RATE)
            spread = (1.0 - model.intraclass) / model.intraclass
            own = self._rng.beta(inside * spread, (1.0 - inside) * spread)
        return own

    def _lasting(self, pods: Floats, levels: Floats) -> Floats:
        """Each pod's share, as far as it lasts."""
        own = np.broadcast_to(levels, pods.shape)
        if self.model.pod_deviation == 0.0:
            return own
        inside = np.clip(own, _SMALLEST_RATE, 1.0 - _SMALLEST_RATE)
        odds = inside / (1.0 - inside) * np.exp(pods)
        shifted: Floats = odds / (1.0 + odds)
        return shifted

    def _pairs(self, stable: Floats, candidate: Floats) -> tuple[PodCounts, PodCounts]:
        """Both arms' wrong answers to the same requests, at these levels."""
        more = candidate - stable
        own = np.minimum(self.model.discordance / 2 + np.maximum(-more, 0.0), np.minimum(stable, 1.0 - candidate))
        parts = np.stack([own, np.maximum(own + more, 0.0), np.maximum(stable - own, 0.0)])
        right = np.maximum(1.0 - parts.sum(axis=0), 0.0)
        wrong = self._rng.poisson(self.model.requests * parts).astype(np.float64)[:, np.newaxis]
        total = wrong.sum(axis=0) + self._rng.poisson(self.model.requests * right)
        down, up, both = wrong
        return PodCounts(total, down + both, alone=down), PodCounts(total, up + both, alone=up)
