"""What makes a comparison invalid, or holds it: shares, labels, lost metrics, parts of the requests."""

import math
import warnings
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from controller.api.reasons import Reason
from controller.api.verdicts import Advance, Role, ShareCheck, Verdict
from controller.judge import (
    Arm,
    Circumstances,
    Coverage,
    PerArm,
    RateArm,
    RatioTest,
    SampleRatio,
    SessionRatio,
    Split,
    Trial,
    Window,
)

TEST = RatioTest(name="errors", role=Role.GUARDRAIL, margin=0.02, steps=(10, 50))
OTHER = RatioTest(name="accuracy", role=Role.TARGET, margin=0.02, steps=(10, 50))
ALPHA = 0.05


def window(stable=(900, 45), candidate=(100, 5)):
    return Window(Arm(*stable), Arm(*candidate))


GOOD = window()
BAD = window(candidate=(100, 25))


def trial(*tests, check=ShareCheck.INDEPENDENT):
    return Trial.start(tests or (TEST,), alpha=ALPHA, share_check=check)


def run(start, windows, circumstances=(), *, times=1):
    for _ in range(times):
        start = start.update(windows, *circumstances)
    return start


RIGHT = Circumstances(split=Split(10, 900, 100))
WRONG = Circumstances(split=Split(10, 850, 150))


def test_wrong_shares_make_invalid_what_would_be_not_worse():
    start = trial()
    assert run(start, {"errors": GOOD}, (RIGHT,), times=60).verdict is Verdict.NOT_WORSE
    invalid = run(start, {"errors": GOOD}, (WRONG,), times=60)
    assert invalid.verdict is Verdict.INVALID
    assert invalid.decided_at is None
    assert not invalid.may_enter(50, advance=Advance.FIXED)


def test_advisory_shares_decide_nothing():
    seen = run(trial(check=ShareCheck.ADVISORY), {"errors": GOOD}, (WRONG,), times=60)
    assert seen.validity.split.mismatched
    assert seen.verdict is Verdict.NOT_WORSE


def test_worse_waits_until_the_shares_are_right_again():
    seen = run(trial(), {"errors": GOOD}, (Circumstances(split=Split(10, 8500, 1500)),), times=2)
    seen = run(seen, {"errors": BAD}, (WRONG,), times=20)
    assert seen.metrics["errors"].log_combined > -math.log(ALPHA)
    assert seen.verdict is Verdict.INVALID
    mended = run(seen, {}, (Circumstances(split=Split(10, 95_000, 9_300)),), times=3)
    assert not mended.validity.mismatched
    assert mended.verdict is Verdict.WORSE
    assert mended.worse_at is not None
    assert mended.worse_at >= seen.seen


def test_worse_that_was_decided_stays_whatever_the_shares():
    seen = run(trial(), {"errors": BAD}, (RIGHT,), times=20)
    assert seen.verdict is Verdict.WORSE
    assert run(seen, {"errors": BAD}, (Circumstances(split=Split(10, 1, 10_000)),), times=20).verdict is Verdict.WORSE


def test_red_flag_acts_while_the_shares_are_wrong():
    flag = RatioTest(name="refused", role=Role.RED_FLAG, threshold=0.5, min_requests=20)
    seen = run(trial(TEST, flag), {"errors": GOOD, "refused": GOOD}, (WRONG,), times=20)
    assert seen.verdict is Verdict.INVALID
    seen = seen.update({"refused": window(candidate=(100, 90))}, WRONG)
    assert seen.verdict is Verdict.WORSE


LOST = Circumstances(lost=frozenset({"accuracy"}))


def test_metric_is_lost_after_three_windows_in_a_row():
    seen = run(trial(TEST, OTHER), {"errors": GOOD, "accuracy": GOOD}, times=30)
    two = run(seen, {"errors": GOOD}, (LOST,), times=2)
    assert two.verdict is Verdict.NOT_WORSE
    # A window in which nothing is known of it neither ends nor adds to the row.
    three = run(run(two, {"errors": GOOD}), {"errors": GOOD}, (LOST,))
    assert three.verdict is Verdict.INVALID
    assert three.metrics["accuracy"].doubt is Reason.METRIC_LOST
    assert three.metrics["accuracy"].verdict is Verdict.INVALID
    assert three.metrics["errors"].verdict is Verdict.NOT_WORSE
    back = run(three, {"errors": GOOD, "accuracy": GOOD})
    assert back.verdict is Verdict.NOT_WORSE


def test_other_metrics_roll_back_while_one_is_lost():
    seen = run(trial(TEST, OTHER), {"errors": GOOD, "accuracy": GOOD}, times=5)
    seen = run(seen, {"errors": GOOD}, (LOST,), times=3)
    assert run(seen, {"errors": BAD}, (LOST,), times=30).verdict is Verdict.WORSE


def test_metric_that_nothing_rests_on_adds_nothing_to_a_roll_back():
    seen = run(trial(TEST, OTHER), {"errors": GOOD, "accuracy": window(candidate=(100, 15))}, times=2)
    assert 0 < seen.log_combined < -math.log(ALPHA)
    assert run(seen, {}, (LOST,), times=3).log_combined < 0


def test_lost_metric_that_is_only_watched_holds_nothing():
    watched = RatioTest(name="accuracy", role=Role.WATCH, margin=0.02)
    seen = run(trial(TEST, watched), {"errors": GOOD}, (LOST,), times=60)
    assert seen.metrics["accuracy"].verdict is Verdict.INVALID
    assert seen.verdict is Verdict.NOT_WORSE


def labels(stable, candidate, *, stable_requests=900.0, candidate_requests=100.0):
    return Window(RateArm(stable, stable_requests), RateArm(candidate, candidate_requests))


def test_labels_for_different_shares_of_the_requests_are_found_both_ways():
    for factor in (0.5, 2.0):
        coverage = Coverage.start(100)
        for _ in range(20):
            coverage = coverage.update(labels(450, 50 * factor))
        assert coverage.differs
        assert coverage.candidate.count / coverage.candidate.exposure == pytest.approx(0.5 * factor)


def test_lag_is_told_in_windows_as_if_no_label_were_lost():
    coverage = Coverage.start(100)
    assert coverage.behind is None
    for number in range(10):
        coverage = coverage.update(labels(450, 50 if number >= 4 else 0))
    assert coverage.behind == pytest.approx(4)


def test_more_labels_than_requests_and_none_at_all_are_numbers_like_others():
    coverage = Coverage.start(100).update(labels(2000, 0))
    assert math.isfinite(coverage.log_evidence)
    assert coverage.differs
    assert not Coverage.start(100).update(labels(0, 0)).differs


@pytest.mark.parametrize("ratio", [1 / 1.1, 1.0, 1.1])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_expectation_is_at_most_one_while_the_shares_differ_by_less_than_a_tenth(share, ratio):
    """Exact, for requests of which each gets a label or none."""
    stable_n, candidate_n = 12, 6
    start, expectation = Coverage.start(100), 0.0
    for stable, candidate in product(range(stable_n + 1), range(candidate_n + 1)):
        probability = binom.pmf(stable, stable_n, share) * binom.pmf(candidate, candidate_n, share * ratio)
        seen = labels(stable, candidate, stable_requests=stable_n, candidate_requests=candidate_n)
        expectation += probability * math.exp(start.update(seen).log_evidence)
    assert expectation <= 1 + 1e-9


def test_equal_coverage_raises_no_alarm():
    rng = np.random.default_rng(3)
    for _ in range(40):
        coverage = Coverage.start(500)
        for _ in range(200):
            coverage = coverage.update(labels(rng.binomial(900, 0.6), rng.binomial(100, 0.6)))
            assert not coverage.differs


def test_different_labels_hold_their_metric_alone():
    unequal = Circumstances(labels={"accuracy": labels(810, 45)})
    seen = run(trial(TEST, OTHER), {"errors": GOOD, "accuracy": GOOD}, (unequal,), times=40)
    assert seen.metrics["accuracy"].verdict is Verdict.INVALID
    assert seen.metrics["errors"].verdict is Verdict.NOT_WORSE
    assert seen.verdict is Verdict.INVALID


def parts(**rates):
    """Parts of the requests by country, each with its own failures of the candidate."""
    slices = {("country", value): window((90, 5), (10, failures)) for value, failures in rates.items()}
    return Circumstances(slices={"errors": slices})


def test_slice_that_is_worse_is_named_and_holds():
    seen = run(trial(), {"errors": GOOD}, (parts(de=0, fr=8, it=1),), times=20)
    assert seen.worse_slices == {"errors": (("country", "fr"),)}
    assert seen.verdict is Verdict.UNDECIDED
    assert not seen.may_enter(50, advance=Advance.FIXED)
    assert seen.worse_at is None
    assert seen.slices.parts["errors"]["country", "fr"].rates == PerArm(pytest.approx(5 / 90), pytest.approx(0.8))


def test_slice_begins_when_it_is_first_seen():
    seen = run(trial(), {"errors": GOOD}, (parts(de=0),), times=20)
    seen = run(seen, {"errors": GOOD}, (parts(de=0, fr=9),), times=10)
    assert seen.slices.parts["errors"]["country", "fr"].requests == PerArm(900, 100)
    assert seen.worse_slices == {"errors": (("country", "fr"),)}


def test_slices_of_a_watched_metric_hold_nothing():
    watched = RatioTest(name="watched", role=Role.WATCH, margin=0.02)
    found = {("country", "fr"): window((90, 5), (10, 9))}
    seen = run(trial(TEST, watched), {"errors": GOOD}, (Circumstances(slices={"watched": found}),), times=40)
    assert seen.slices.worse(ALPHA) == {"watched": (("country", "fr"),)}
    assert seen.verdict is Verdict.NOT_WORSE


def test_equal_slices_are_named_in_no_more_than_a_share_alpha_of_the_rollouts():
    """At the margin, over all looks; 99.9 % binomial tolerance."""
    rng, runs, named = np.random.default_rng(5), 60, 0
    for _ in range(runs):
        seen = trial()
        for _ in range(60):
            slices = {
                ("country", str(value)): window((180, rng.binomial(180, 0.05)), (20, rng.binomial(20, 0.07)))
                for value in range(6)
            }
            seen = seen.update({}, Circumstances(slices={"errors": slices}))
            if seen.worse_slices:
                named += 1
                break
    assert named <= binom.ppf(0.999, runs, ALPHA)


amounts = st.one_of(st.just(0.0), st.floats(1e-6, 1e9))


@given(st.lists(st.tuples(st.sampled_from([1, 5, 10, 50, 99]), amounts, amounts), max_size=30))
@settings(deadline=None, max_examples=60)
def test_whatever_is_counted_the_evidence_is_a_number(windows):
    evidences = [SampleRatio(), SessionRatio(), Coverage.start(50)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for weight, first, second in windows:
            evidences[:2] = [each.update(weight=weight, stable=first, candidate=second) for each in evidences[:2]]
            evidences[2] = evidences[2].update(labels(first, second, stable_requests=second, candidate_requests=first))
    for each in evidences:
        assert math.isfinite(each.log_evidence)
    assert math.isfinite(evidences[0].deviation)
    assert isinstance(evidences[2].differs, bool)
