"""Where the design effect is only assumed, windows must agree; where noise is above the margin, nothing is shown."""

import math
from dataclasses import replace

import numpy as np
import pytest

from controller.api.verdicts import Role, Verdict
from controller.judge import Arm, Evidence, RateArm, RateTest, RatioTest, Trial, Window

ASSUMED = RatioTest(name="accuracy", role=Role.GUARDRAIL, margin=0.02, must_agree=True)
TRUSTED = replace(ASSUMED, must_agree=False)
NEEDED = math.log(20)


def window(stable, candidate, *, effect=2.0):
    """Counts as they are recorded with the prior: halved."""
    (n0, k0), (n1, k1) = stable, candidate
    return Window(Arm(n0 / effect, k0 / effect, requests=n0), Arm(n1 / effect, k1 / effect, requests=n1))


def after(test, windows, *, alpha=0.05):
    evidence = Evidence.start(test, alpha)
    for each in windows:
        evidence = evidence.update(each)
    return evidence


def clear_windows(rng, *, count, rates=(0.08, 0.20), requests=(1800, 200)):
    return [window(*((n, rng.binomial(n, p)) for n, p in zip(requests, rates, strict=True))) for _ in range(count)]


def test_before_five_windows_counts_alone_decide_nothing_but_a_catastrophe():
    windows = clear_windows(np.random.default_rng(1), count=4)

    alone, both = after(TRUSTED, windows), after(ASSUMED, windows)

    assert alone.log_restart > NEEDED
    assert both.log_restart <= 0.0
    assert both.log_catastrophic == alone.log_catastrophic
    assert both.log_worse == alone.log_worse


def test_a_catastrophe_needs_no_agreement():
    evidence = after(ASSUMED, clear_windows(np.random.default_rng(2), count=2, rates=(0.08, 0.7)))

    assert evidence.verdict is Verdict.WORSE


@pytest.mark.parametrize(("rate", "verdict"), [(0.20, Verdict.WORSE), (0.08, Verdict.NOT_WORSE)])
def test_when_windows_agree_there_is_a_verdict(rate, verdict):
    windows = clear_windows(np.random.default_rng(3), count=40, rates=(0.08, rate))

    evidence = after(ASSUMED, windows)

    assert evidence.verdict is verdict
    assert evidence.log_restart <= after(TRUSTED, windows).log_restart
    assert evidence.log_not_worse <= after(TRUSTED, windows).log_not_worse


def test_few_bad_windows_of_many_are_no_agreement():
    """One pod that fails for three windows of forty: for the counts alone that is proof, for the windows it is not."""
    rng = np.random.default_rng(4)
    windows = clear_windows(rng, count=40, rates=(0.08, 0.08))
    for place in (20, 21, 22):
        windows[place] = window((1800, 144), (200, 120))

    assert after(TRUSTED, windows).log_worse > NEEDED
    assert after(ASSUMED, windows).log_restart < math.log(2)


def test_false_roll_backs_when_the_guess_of_two_is_far_too_low():
    """Shocks of a design effect of 10: the guess alone accuses good candidates, with the agreement it does not."""
    accused = {True: 0, False: 0}
    for seed in range(60):
        rng = np.random.default_rng(seed)
        concentration = 1 / 0.05 - 1
        shocks = rng.beta(0.08 * concentration, 0.92 * concentration, (120, 10))
        counts = rng.binomial(200, shocks)
        windows = [window((1800, row[:9].sum()), (200, row[9])) for row in counts]
        for test in (replace(ASSUMED, margin=0.0), replace(TRUSTED, margin=0.0)):
            verdicts = Evidence.start(test, 0.05)
            restarts = []
            for each in windows:
                verdicts = verdicts.update(each)
                restarts.append(verdicts.log_restart)
            accused[test.must_agree] += max(restarts) >= NEEDED

    assert accused[False] > 12
    assert accused[True] <= 4


def test_rates_agree_on_the_line_of_their_relative_margin():
    test = RateTest(name="exceptions", role=Role.GUARDRAIL, margin=0.5, must_agree=True)
    rng = np.random.default_rng(5)

    def windows(factor):
        return [Window(RateArm(rng.poisson(90), 1800.0), RateArm(rng.poisson(10 * factor), 200.0)) for _ in range(60)]

    assert after(test, windows(2.5)).verdict is Verdict.WORSE
    assert after(test, windows(1.0)).verdict is Verdict.NOT_WORSE
    assert after(test, windows(1.5)).verdict is Verdict.UNDECIDED


def test_incremental_and_replayed_evidence_are_the_same():
    windows = clear_windows(np.random.default_rng(6), count=12)
    trial = Trial.start([ASSUMED], alpha=0.05)
    for each in windows:
        trial = trial.update({"accuracy": each})

    assert trial.metrics["accuracy"] == after(ASSUMED, windows)


class TestPromotionMargin:
    strict = replace(TRUSTED, margin=0.03, promotion_margin=0.01)

    def test_each_side_has_its_own(self):
        windows = clear_windows(np.random.default_rng(7), count=30, rates=(0.08, 0.09))

        both = after(self.strict, windows)

        assert both.log_restart == after(replace(TRUSTED, margin=0.03), windows).log_restart
        assert both.log_not_worse == after(replace(TRUSTED, margin=0.01), windows).log_not_worse
        assert both.interval == after(replace(TRUSTED, margin=0.03), windows).interval

    def test_at_nothing_nothing_is_shown(self):
        windows = clear_windows(np.random.default_rng(8), count=60, rates=(0.2, 0.02))

        assert after(TRUSTED, windows).verdict is Verdict.NOT_WORSE
        assert after(replace(TRUSTED, promotion_margin=0.0), windows).log_not_worse == 0.0

    @pytest.mark.parametrize("margin", [-0.01, 0.04, math.nan])
    def test_it_lies_between_nothing_and_the_margin(self, margin):
        with pytest.raises(ValueError, match="promotion margin"):
            replace(self.strict, promotion_margin=margin)
