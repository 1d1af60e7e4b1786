"""What was tried to detect sooner without giving up validity, and what it costs elsewhere.

Each variant is an e-process for the same nulls: weights are fixed and sum to 1, bets are chosen before the window is
seen. Requests until roll-back are in units of the reference, for the four cases of ``detection``. For policies also, at
the default margins: windows until a disaster is rolled back (errors 0.5 → 10 % and 50 %, accuracy 92 → 70 %), and
windows from the onset in window 200 until the regressions of ``detection`` are.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import log

import numpy as np

from controller.judge.kinds.ratio import ODDS_RATIOS
from controller.judge.numbers.vector import BatchWindow, Floats, log_factors, worse_alternatives
from tests.bench.detection_cases import ALPHA, CASES, DISASTERS, HISTORY, HORIZON, Case, Metric, traffic

ONSET = 200


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of a metric before a window, per run."""

    metric: Metric
    stable_total: Floats
    stable_bad: Floats
    candidate_total: Floats
    candidate_bad: Floats

    @classmethod
    def start(cls, metric: Metric, rng: np.random.Generator, runs: int) -> "Known":
        """Stable's history and nothing of the candidate."""
        bad = rng.binomial(HISTORY, metric.stable, runs).astype(float)
        return cls(metric, np.full(runs, float(HISTORY)), bad, np.zeros(runs), np.zeros(runs))

    def learn(self, window: BatchWindow) -> "Known":
        """The same after the window."""
        return replace(
            self,
            stable_total=self.stable_total + window.stable_total,
            stable_bad=self.stable_bad + window.stable_bad,
            candidate_total=self.candidate_total + window.candidate_total,
            candidate_bad=self.candidate_bad + window.candidate_bad,
        )

    @property
    def rates(self) -> Floats:
        """F1's guess of stable's rate."""
        return (0.5 + self.stable_bad) / (1.0 + self.stable_total)


# --- bets of the plain process ---------------------------------------------------------------------------------------

Bets = Callable[[Known], tuple[Floats, Floats]]
"""Guesses of stable's rate and alternatives (a row per bet) for the next window."""


def _grid(odds_ratios: tuple[float, ...]) -> Bets:
    def bets(known: Known) -> tuple[Floats, Floats]:
        lines = known.rates + known.metric.margin
        odds = lines / (1.0 - lines) * np.array(odds_ratios)[:, np.newaxis]
        return known.rates, odds / (1.0 + odds)

    return bets


def _plug_in(known: Known) -> tuple[Floats, Floats]:
    """One bet on the candidate's rate so far, drawn towards an odds ratio of 1.8 as if by 30 requests."""
    lines = known.rates + known.metric.margin
    odds = 1.8 * lines / (1.0 - lines)
    rates = (known.candidate_bad + 30.0 * odds / (1.0 + odds)) / (known.candidate_total + 30.0)
    return known.rates, np.maximum(rates, lines * 1.001)[np.newaxis]


def _told_candidate(known: Known) -> tuple[Floats, Floats]:
    return known.rates, np.full((1, known.rates.size), known.metric.candidate)


def _told_both(known: Known) -> tuple[Floats, Floats]:
    rates = np.full(known.rates.size, known.metric.stable)
    return rates, np.full((1, rates.size), known.metric.candidate)


EVEN = (1.0,) * len(ODDS_RATIOS)
HUMP = (0.5, 1.0, 1.5, 1.5, 1.5, 1.5, 1.0, 0.7, 0.5, 0.3)
FINE = tuple(float(ratio) for ratio in np.geomspace(1.05, 20, 30))
PLAIN: dict[str, tuple[Bets, tuple[float, ...]]] = {
    "told both rates (no such test)": (_told_both, (1.0,)),
    "told the candidate's rate": (_told_candidate, (1.0,)),
    "F1 as it is": (_grid(ODDS_RATIOS), EVEN),
    "F1, more weight on 1.35 to 2.2": (_grid(ODDS_RATIOS), HUMP),
    "F1, 30 odds ratios from 1.05 on": (_grid(FINE), (1.0,) * len(FINE)),
    "the candidate's rate so far": (_plug_in, (1.0,)),
}


def _plain_requests(case: Case, bets: Bets, weights: tuple[float, ...], *, runs: int, seed: int) -> float:
    rng = np.random.default_rng(seed)
    known, shares = Known.start(case.worse, rng, runs), _log_shares(weights)
    logs, requests, decided = np.zeros((len(weights), runs)), np.zeros(runs), np.zeros(runs, dtype=bool)
    for windows in traffic(case, rng, runs):
        rates, alternatives = bets(known)
        logs = logs + _factors(windows["worse"], rates, alternatives, np.full(runs, case.worse.margin))
        requests[~decided] += windows["worse"].candidate_requests[~decided]
        known = known.learn(windows["worse"])
        decided |= np.logaddexp.reduce(logs + shares, axis=0) >= -log(ALPHA)
        if decided.all():
            break
    return float(requests.mean())


def _factors(window: BatchWindow, rates: Floats, alternatives: Floats, margins: Floats) -> Floats:
    return log_factors(
        window, rates=rates, margins=np.broadcast_to(margins, alternatives.shape), alternatives=alternatives
    )


def _log_shares(weights: tuple[float, ...]) -> Floats:
    return np.log(np.array(weights) / sum(weights))[:, np.newaxis]


# --- weights of the policy -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Policy:
    """Weights of the mixtures: onset in the first window; catastrophic guard; odds ratios; the metric that is worse."""

    title: str
    start: float = 0.5
    guard: float = 0.5
    odds: tuple[float, ...] = EVEN
    share: float = 0.5


POLICIES = (
    Policy("policy as it is"),
    Policy("onset at once 3/4", start=0.75),
    Policy("onset at once 9/10", start=0.9),
    Policy("guard 1/4", guard=0.25),
    Policy("guard 1/10", guard=0.1),
    Policy("onset at once 3/4, guard 1/4", start=0.75, guard=0.25),
    Policy("onset at once 9/10, guard 1/10", start=0.9, guard=0.1),
    Policy("more weight on 1.35 to 2.2", odds=HUMP),
    Policy("all three", start=0.9, guard=0.1, odds=HUMP),
    Policy("one metric alone", share=1.0),
)


def _windows_to_rollback(case: Case, *, runs: int, seed: int, onset: int = 0) -> tuple[Floats, Floats]:
    """Windows until roll-back and candidate requests until it, per policy and run; all see the same traffic."""
    rng = np.random.default_rng(seed)
    known = {name: Known.start(metric, rng, runs) for name, metric in case.metrics.items()}
    begun = {name: np.full((len(POLICIES), len(ODDS_RATIOS), runs), -np.inf) for name in known}
    guard = {name: np.zeros((len(ODDS_RATIOS), runs)) for name in known}
    guarded = {name: _catastrophic_margins(each) for name, each in known.items()}
    decided = np.zeros((len(POLICIES), runs), dtype=bool)
    taken, requests = np.zeros((2, len(POLICIES), runs))
    for number, windows in enumerate(traffic(case, rng, runs, onset=onset)):
        evidence = {}
        for name, each in known.items():
            rates, margins = each.rates, np.full(runs, each.metric.margin)
            bets = _factors(windows[name], rates, worse_alternatives(rates, margins), margins)
            weights = np.array([_onset(policy, number) for policy in POLICIES])[:, np.newaxis, np.newaxis]
            begun[name] = np.logaddexp(begun[name], np.log(np.maximum(weights, 1e-300))) + bets
            far = worse_alternatives(rates, guarded[name])
            guard[name] = guard[name] + _factors(windows[name], rates, far, guarded[name])
            evidence[name] = np.stack(list(_mixtures(begun[name], guard[name], number)))
            known[name] = each.learn(windows[name])
        taken += ~decided
        requests += ~decided * windows["worse"].candidate_requests
        decided |= _merged(evidence["worse"], evidence["other"]) >= -log(ALPHA)
        if decided.all():
            break
    return taken, requests


def _catastrophic_margins(known: Known) -> Floats:
    room = (1.0 - known.stable_bad / known.stable_total) / 2
    return np.maximum(known.metric.margin, np.minimum(8.0 * known.metric.margin, room))


def _onset(policy: Policy, number: int) -> float:
    if number == 0:
        return policy.start
    return (1.0 - policy.start) / (HORIZON - 1) if number < HORIZON else 0.0


def _mixtures(begun: Floats, guard: Floats, number: int) -> Iterator[Floats]:
    for policy, logs in zip(POLICIES, begun, strict=True):
        shares = _log_shares(policy.odds)
        reserve = (1.0 - policy.start) * max(HORIZON - 1 - number, 0) / (HORIZON - 1)
        restart = np.logaddexp(np.logaddexp.reduce(logs + shares, axis=0), log(max(reserve, 1e-300)))
        catastrophic = np.logaddexp.reduce(guard + shares, axis=0)
        yield np.logaddexp(restart + log(1.0 - policy.guard), catastrophic + log(policy.guard))


def _merged(worse: Floats, other: Floats) -> Floats:
    shares = np.array([[policy.share] for policy in POLICIES])
    merged: Floats = np.logaddexp(worse + np.log(shares), other + np.log(np.maximum(1.0 - shares, 1e-300)))
    return merged


def report(*, runs: int) -> None:
    """Print all variants."""
    print(f"\nvariants, n={runs}, in units of the SPRT: {' | '.join(case.title for case in CASES)}")
    for title, (bets, weights) in PLAIN.items():
        ratios = [
            _plain_requests(case, bets, weights, runs=runs, seed=seed) / case.reference
            for seed, case in enumerate(CASES)
        ]
        print(f"{title:>32}  {_row(ratios)}", flush=True)
    print(f"the same | windows to {', '.join(case.title for case in DISASTERS)} | windows from a late onset")
    requests = [
        _windows_to_rollback(case, runs=runs, seed=seed)[1].mean(axis=1) / case.reference
        for seed, case in enumerate(CASES)
    ]
    disasters = [_windows_to_rollback(case, runs=runs, seed=9)[0].mean(axis=1) for case in DISASTERS]
    late = [_windows_to_rollback(case, runs=runs, seed=9, onset=ONSET)[0].mean(axis=1) - ONSET for case in CASES[1::2]]
    for number, policy in enumerate(POLICIES):
        columns = ([float(each[number]) for each in group] for group in (requests, disasters, late))
        print(f"{policy.title:>32}  {'  |  '.join(_row(column) for column in columns)}")


def _row(ratios: list[float]) -> str:
    return "  ".join(f"{ratio:>5.2f}" for ratio in ratios)
