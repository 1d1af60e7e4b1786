"""One metric over the windows of an epoch: exact validity of every process, replay, skipping, roles."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import comb

from controller.api.verdicts import Role, Verdict
from controller.judge import Arm, Evidence, History, PerArm, RatioTest, Window


def ratio_test(**changes):
    values = {"name": "errors", "role": Role.GUARDRAIL, "margin": 0.01, "steps": (5, 25)} | changes
    return RatioTest(**values)


def window(stable, candidate):
    return Window(stable=Arm(*stable), candidate=Arm(*candidate))


arms = st.integers(0, 3000).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))
windows = st.one_of(st.none(), st.builds(window, arms, arms))


def fold(evidence, seen):
    for each in seen:
        evidence = evidence.update(each)
    return evidence


@settings(max_examples=40)
@given(st.lists(windows, max_size=12), st.integers(0, 12), st.sampled_from([None, History(500, 40)]))
def test_replay_is_bit_for_bit_what_it_was(seen, stop, history):
    start = Evidence.start(ratio_test(history=history), 0.05)
    interrupted = fold(fold(start, seen[:stop]), seen[stop:])
    replayed = fold(start, seen)

    assert replayed == interrupted
    assert replayed.interval == interrupted.interval
    assert replayed.log_harm == interrupted.log_harm
    assert start == Evidence.start(ratio_test(history=history), 0.05)


@settings(max_examples=25)
@given(st.lists(windows, max_size=8), st.lists(st.integers(0, 8), max_size=4))
def test_a_window_that_does_not_count_changes_nothing(seen, places):
    with_gaps = list(seen)
    for place, gap in zip(places, itertools.cycle([None, window((50, 3), (0, 0)), window((0, 0), (9, 9))])):
        with_gaps.insert(place, gap)
    plain = fold(Evidence.start(ratio_test(), 0.05), seen)
    gapped = fold(Evidence.start(ratio_test(), 0.05), with_gaps)

    assert gapped.seen == plain.seen + len(places)
    assert numbers(gapped) == numbers(plain)
    assert (gapped.windows, gapped.rates, gapped.interval) == (plain.windows, plain.rates, plain.interval)
    assert gapped.requests == plain.requests


def numbers(evidence):
    return (
        evidence.log_worse,
        evidence.log_restart,
        evidence.log_catastrophic,
        evidence.log_combined,
        evidence.log_not_worse,
        *evidence.log_harm.values(),
    )


@settings(max_examples=60)
@given(
    margin=st.floats(0, 0.999),
    n0=st.sampled_from([1, 300, 10**9]),
    n1=st.sampled_from([1, 300, 10**9]),
    shares=st.lists(st.tuples(*[st.sampled_from([0.0, 0.01, 1.0])] * 2), min_size=1, max_size=3),
)
def test_extreme_counts_give_finite_numbers(margin, n0, n1, shares):
    evidence = Evidence.start(ratio_test(margin=margin, horizon=2), 0.05)
    for bad0, bad1 in shares:
        evidence = evidence.update(window((n0, int(n0 * bad0)), (n1, int(n1 * bad1))))

    low, high = evidence.interval
    assert all(math.isfinite(number) for number in numbers(evidence))
    assert -1 <= low <= 1
    assert -1 <= high <= 1
    assert 0 <= evidence.rates.stable <= 1


def tree(test, n0, n1, depth):
    """Every path of counts with its evidence: ((k0, k1), …) → Evidence."""
    level = {(): Evidence.start(test, 0.05)}
    for _ in range(depth):
        level = {
            (*path, counts): evidence.update(window((n0, counts[0]), (n1, counts[1])))
            for path, evidence in level.items()
            for counts in itertools.product(range(n0 + 1), range(n1 + 1))
        }
    return level


def expectations(level, n0, n1, points):
    """E[e] of every process when window t has the rates ``points[t]``."""

    def probability(path):
        factors = [
            comb(n0, k0) * p0**k0 * (1 - p0) ** (n0 - k0) * comb(n1, k1) * p1**k1 * (1 - p1) ** (n1 - k1)
            for (k0, k1), (p0, p1) in zip(path, points, strict=True)
        ]
        return math.prod(factors)

    values = np.array([[math.exp(number) for number in numbers(evidence)] for evidence in level.values()])
    return np.array([probability(path) for path in level]) @ values


LINES = [(0.0, 0.3), (0.2, 0.5), (0.6, 0.9)]


@pytest.mark.parametrize("history", [None, History(20, 5)])
def test_every_process_is_valid_over_several_windows_with_rates_that_move(history):
    margin, n0, n1 = 0.3, 3, 2
    level = tree(ratio_test(margin=margin, history=history, horizon=3, steps=(50,)), n0, n1, depth=3)

    for points in itertools.product(LINES, repeat=3):
        worse, restart, catastrophic, combined, not_worse, harm = expectations(level, n0, n1, points)
        assert max(worse, restart, catastrophic, combined, not_worse) <= 1 + 1e-9
        beyond = [(p0, min(p0 + 0.6, 1.0)) for p0, _ in points]
        if all(p0 + 0.6 <= 1.0 for p0, _ in points):
            assert expectations(level, n0, n1, beyond)[-1] <= 1 + 1e-9
        assert harm > 0
    inside = [(p0, p1 / 2) for p0, p1 in LINES]
    assert max(expectations(level, n0, n1, inside)[:4]) <= 1 + 1e-9
    assert expectations(level, n0, n1, [(0.2, 0.9)] * 3)[0] > 1.5


def test_catastrophic_margin_never_accuses_within_the_margin():
    assert ratio_test(margin=0.01, history=History(100, 8)).catastrophic_margin == pytest.approx(0.08)
    assert ratio_test(margin=0.1, history=History(100, 20)).catastrophic_margin == pytest.approx(0.4)
    assert ratio_test(margin=0.1).catastrophic_margin == pytest.approx(0.25)
    assert ratio_test(margin=0.6, history=History(100, 20)).catastrophic_margin == pytest.approx(0.6)
    assert ratio_test(margin=0.0).catastrophic_margin == 0.0


def test_harm_margins_grow_as_the_weight_falls():
    assert dict(ratio_test(margin=0.01, steps=(5, 50)).harm_margins) == pytest.approx({5: 0.2, 50: 0.02})
    assert dict(ratio_test(harm_budget=0.3, steps=(5, 50)).harm_margins) == pytest.approx({5: 0.99, 50: 0.6})


def test_combined_is_half_restart_half_catastrophic():
    evidence = fold(Evidence.start(ratio_test(), 0.05), [window((900, 9), (100, 4))] * 3)

    halves = (math.exp(evidence.log_restart) + math.exp(evidence.log_catastrophic)) / 2
    assert math.exp(evidence.log_combined) == pytest.approx(halves)


def test_a_disaster_is_decided_in_the_first_window_and_stays_decided():
    start = Evidence.start(ratio_test(margin=0.0025, history=History(40_000, 200)), 0.05)
    evidence = start.update(None).update(window((1800, 9), (200, 40)))
    assert evidence.decided_worse_at == 1
    assert evidence.verdict is Verdict.WORSE

    after = fold(evidence, [window((1800, 9), (200, 0))] * 60)
    assert after.log_worse < evidence.log_worse
    assert (after.decided_worse_at, after.verdict) == (1, Verdict.WORSE)


def test_not_worse_is_taken_back_when_the_evidence_falls():
    good, bad = window((900, 45), (900, 30)), window((900, 45), (900, 100))
    evidence = fold(Evidence.start(ratio_test(margin=0.03, history=History(9000, 450)), 0.05), [good] * 10)
    assert evidence.verdict is Verdict.NOT_WORSE

    fallen = fold(evidence, [bad] * 10)
    assert fallen.verdict is not Verdict.NOT_WORSE


def test_at_margin_zero_nothing_is_shown_to_be_not_worse():
    evidence = fold(Evidence.start(ratio_test(margin=0.0), 0.05), [window((5000, 900), (5000, 1))] * 3)

    assert evidence.log_not_worse == 0.0
    assert evidence.verdict is Verdict.UNDECIDED


def test_without_a_window_that_counts_there_is_no_data():
    evidence = Evidence.start(ratio_test(), 0.05).update(None).update(window((10, 1), (0, 0)))

    assert evidence.verdict is Verdict.NO_DATA
    assert (evidence.rates, evidence.difference, evidence.interval) == (None, None, (-1.0, 1.0))


def test_rates_weigh_windows_alike_so_that_a_ramp_under_drift_shows_no_difference():
    ramp = [window((9000, 90), (1000, 10)), window((5000, 150), (5000, 150)), window((1000, 50), (9000, 450))]
    evidence = fold(Evidence.start(ratio_test(), 0.05), ramp)

    assert evidence.difference == pytest.approx(0.0, abs=1e-12)
    steady = fold(Evidence.start(ratio_test(), 0.05), [window((900, 9), (100, 4)), window((1800, 36), (200, 1))])
    assert steady.rates.stable == pytest.approx(45 / 2700)
    assert steady.rates.candidate == pytest.approx(5 / 300)


def test_raw_requests_are_counted_apart_from_effective_ones():
    deflated = Window(stable=Arm(900, 9, requests=1800), candidate=Arm(100, 4, requests=200))
    evidence = Evidence.start(ratio_test(), 0.05).update(deflated).update(window((10, 1), (10, 1)))

    assert evidence.requests == PerArm(1810, 210)


@pytest.mark.parametrize(
    ("candidate", "flagged"),
    [((20, 20), True), ((19, 19), False), ((40, 21), True), ((40, 20), False), ((0, 0), False)],
)
def test_a_red_flag_needs_its_threshold_in_one_window_with_enough_requests(candidate, flagged):
    test = ratio_test(role=Role.RED_FLAG, margin=0.0, threshold=0.5, min_requests=20)
    evidence = Evidence.start(test, 0.05).update(None).update(window((0, 0), candidate)).update(window((9, 0), (9, 0)))

    assert evidence.flagged_at == (1 if flagged else None)
    assert evidence.verdict is (Verdict.WORSE if flagged else Verdict.UNDECIDED)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"margin": 1.0}, "errors: expected an effective margin of at least 0 and below 1, found 1"),
        ({"horizon": 0}, "horizon of at least 1 window, found 0"),
        ({"steps": (0,)}, "steps above 0 and at most 100 percent"),
        ({"harm_budget": 1.5}, "harm budget of at least 0 and below 1, found 1.5"),
        ({"threshold": 0.5}, "threshold for the role RedFlag and for no other"),
        ({"role": Role.RED_FLAG}, "threshold for the role RedFlag and for no other"),
    ],
)
def test_impossible_tests_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        ratio_test(**changes)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1])
def test_impossible_alphas_are_refused(alpha):
    with pytest.raises(ValueError, match="alpha between 0 and 1"):
        Evidence.start(ratio_test(), alpha)
