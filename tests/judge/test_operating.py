"""How the judge decides on simulated traffic, against the reference's simulations (fixed seeds).

Per window the total is Poisson, the candidate's share of it binomial (10 %), outcomes are independent; stable's
history is that of 20 windows. Bounds for wrong decisions are the 99.9 % quantile of a binomial with 5 %.
"""

import math
from collections.abc import Iterator

import numpy as np
import pytest
from scipy.special import bdtr

from controller.api.verdicts import Role, Verdict
from controller.judge import Arm, History, RatioTest, Trial, Window
from controller.judge._mixture import Plain
from controller.judge.kinds.ratio import ODDS_RATIOS, log_factors, worse_alternatives


def traffic(seed: int, p0: float, p1: float, *, requests: int) -> Iterator[Window]:
    rng = np.random.default_rng(seed)
    while True:
        total = int(rng.poisson(requests))
        n1 = int(rng.binomial(total, 0.1))
        n0 = total - n1
        yield Window(Arm(n0, int(rng.binomial(n0, p0))), Arm(n1, int(rng.binomial(n1, p1))))


def history(seed: int, p0: float, *, requests: int) -> History:
    total = requests * 20
    return History(total, int(np.random.default_rng(seed + 10**6).binomial(total, p0)))


def tolerated(runs: int, share: float = 0.05) -> int:
    return next(k for k in range(runs + 1) if bdtr(k, runs, share) >= 0.999)


def plain_windows_to_worse(seed: int, p0: float, p1: float, *, requests: int, looks: int = 500) -> float:
    """Windows until the plain process at margin 0 reaches 20; infinite when it does not."""
    known, process = history(seed, p0, requests=requests), Plain.start(len(ODDS_RATIOS))
    for look, window in zip(range(1, looks + 1), traffic(seed, p0, p1, requests=requests), strict=False):
        if window.comparable:
            rate = known.expected_rate
            bets = worse_alternatives(rate, 0.0)
            process = process.update(log_factors(window, rate=rate, margin=0.0, alternatives=bets))
            known = known.learn(window.stable)
        if process.log_value >= math.log(20):
            return look
    return math.inf


@pytest.mark.parametrize(
    ("p0", "p1", "requests", "published"),
    [
        (0.005, 0.015, 200, 39.5),
        (0.08, 0.12, 200, 25.8),
        (0.005, 0.015, 2000, 4.7),
        (0.08, 0.12, 2000, 3.3),
    ],
)
def test_windows_to_detection_of_table_4_1(p0, p1, requests, published):
    taken = np.array([plain_windows_to_worse(seed, p0, p1, requests=requests) for seed in range(300)])

    error = taken.std() / math.sqrt(taken.size)
    assert np.isfinite(taken).all()
    assert abs(taken.mean() - published) <= 4 * error + 0.05 * published


@pytest.mark.parametrize("rate", [0.005, 0.08])
def test_false_alarms_over_500_looks_of_table_4_1(rate):
    runs = 120
    false = sum(math.isfinite(plain_windows_to_worse(seed, rate, rate, requests=200)) for seed in range(runs))

    assert false <= tolerated(runs)


def judged(seed: int, p0: float, p1: float, *, margin: float, requests: int, looks: int, known: bool = True) -> Trial:
    """The trial at its first verdict, or after all looks."""
    before = history(seed, p0, requests=requests) if known else None
    test = RatioTest("metric", Role.GUARDRAIL, margin, history=before, horizon=looks)
    trial = Trial.start([test], alpha=0.05, min_requests=100)
    for _, window in zip(range(looks), traffic(seed, p0, p1, requests=requests), strict=False):
        trial = trial.update({"metric": window})
        if trial.verdict in (Verdict.WORSE, Verdict.NOT_WORSE):
            break
    return trial


@pytest.mark.parametrize(
    ("p0", "p1", "margin", "verdict", "windows"),
    [
        (0.08, 0.07, 0.01, Verdict.NOT_WORSE, 8.7),
        (0.08, 0.12, 0.01, Verdict.WORSE, 6.1),
        (0.005, 0.005, 0.0025, Verdict.NOT_WORSE, 40),
        (0.005, 0.015, 0.0025, Verdict.WORSE, 9.1),
    ],
)
def test_two_sided_decisions_of_table_4_6(p0, p1, margin, verdict, windows):
    trials = [judged(seed, p0, p1, margin=margin, requests=2000, looks=500) for seed in range(40)]
    taken = np.array([trial.decided_at + 1 for trial in trials])

    assert {trial.verdict for trial in trials} == {verdict}
    # The deciding evidence is a mixture of two processes; that costs up to ln 2 of the ln 20.
    assert 0.6 * windows <= taken.mean() <= 1.5 * windows


@pytest.mark.parametrize(("p0", "margin"), [(0.08, 0.01), (0.005, 0.0025)])
def test_on_the_line_both_errors_keep_their_bound(p0, margin):
    runs = 40
    verdicts = [judged(seed, p0, p0 + margin, margin=margin, requests=200, looks=150).verdict for seed in range(runs)]

    assert verdicts.count(Verdict.WORSE) <= tolerated(runs)
    assert verdicts.count(Verdict.NOT_WORSE) <= tolerated(runs)


@pytest.mark.parametrize("known", [True, False])
def test_an_unchanged_model_is_never_rolled_back(known):
    for seed in range(20):
        before = history(seed, 0.08, requests=200) if known else None
        tests = [RatioTest(name, Role.GUARDRAIL, 0.01, history=before, horizon=300) for name in ("accuracy", "errors")]
        trial = Trial.start(tests, alpha=0.05)
        streams = zip(
            traffic(seed, 0.08, 0.08, requests=200), traffic(seed + 99, 0.08, 0.08, requests=200), strict=True
        )
        for _, (accuracy, errors) in zip(range(200), streams, strict=False):
            trial = trial.update({"accuracy": accuracy, "errors": errors})
        assert trial.worse_at is None
        assert trial.seen == 200


@pytest.mark.parametrize(("p0", "p1", "margin"), [(0.08, 0.30, 0.01), (0.005, 0.10, 0.0025), (0.005, 0.30, 0.0025)])
def test_disasters_are_found_within_two_windows(p0, p1, margin):
    taken = [judged(seed, p0, p1, margin=margin, requests=2000, looks=50).decided_at + 1 for seed in range(40)]

    assert np.mean(taken) <= 1.6
    assert max(taken) <= 2


def test_a_late_onset_is_found_sooner_by_the_restart_mixture():
    plain, restart = [], []
    for seed in range(12):
        test = RatioTest("m", Role.WATCH, 0.01, history=history(seed, 0.08, requests=2000), horizon=500)
        trial = Trial.start([test], alpha=0.05)
        good, bad = (traffic(seed, 0.08, p1, requests=2000) for p1 in (0.08, 0.12))
        reached = {}
        for number in range(180):
            trial = trial.update({"m": next(good if number < 100 else bad)})
            evidence = trial.metrics["m"]
            for name, value in (("plain", evidence.log_worse), ("restart", evidence.log_restart)):
                if value >= math.log(20):
                    reached.setdefault(name, number)
        plain.append(reached.get("plain", 180))
        restart.append(reached["restart"])
    assert min(restart) >= 100
    assert np.mean(restart) - 100 < 0.6 * (np.mean(plain) - 100)
