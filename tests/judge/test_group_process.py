"""The group-sequential test in the place of the e-processes."""

import math

import numpy as np
import pytest

from controller.api.verdicts import Role
from controller.judge import Evidence
from controller.judge._process import Window
from controller.judge._trial import Trial
from controller.judge.kinds.group_process import GroupTest
from controller.judge.kinds.ratio import Arm
from controller.judge.kinds.ratio_process import RatioTest


def group_test(*, name="errors", margin=0.01, role=Role.GUARDRAIL, max_requests=4000, **more):
    return GroupTest(name, role, margin=margin, max_requests=max_requests, **more)


def simulated(seed, *, rates, looks=30):
    rng = np.random.default_rng(seed)
    return [
        Window(Arm(1800, int(rng.binomial(1800, rates[0]))), Arm(200, int(rng.binomial(200, rates[1]))))
        for _ in range(looks)
    ]


def after(seen, *, test, alpha=0.05):
    process = test.process(alpha)
    for window in seen:
        process = process.update(window)
    return process


def test_nothing_is_decided_between_looks():
    seen, evidence = simulated(1, rates=(0.05, 0.30)), Evidence.start(group_test(), 0.05)
    for window in seen[:3]:
        evidence = evidence.update(window)
    assert evidence.verdict == "Undecided"
    assert evidence.process.next_look == 800
    evidence = evidence.update(seen[3])
    assert evidence.verdict == "Worse"
    assert evidence.decided_worse_at == 3


def test_a_candidate_within_the_margin_is_cleared_at_a_look():
    process = after(simulated(2, rates=(0.05, 0.03)), test=group_test())
    assert process.log_not_worse == pytest.approx(math.log(20))
    assert process.log_worse == process.log_restart == process.log_catastrophic == 0.0
    assert process.log_better == 0.0
    asked = group_test(role=Role.TARGET, must_be_better=True)
    assert after(simulated(2, rates=(0.05, 0.03)), test=asked).log_better == pytest.approx(math.log(20))
    assert after(simulated(2, rates=(0.05, 0.03)), test=group_test(margin=0.0)).log_not_worse == 0.0


def test_after_the_last_look_nothing_is_decided():
    even = simulated(3, rates=(0.05, 0.06), looks=20)
    process = after(even, test=group_test())
    if process.log_worse == process.log_not_worse == 0.0:
        assert process.next_look is None
    drastic = after([*even, *simulated(4, rates=(0.05, 0.5), looks=10)], test=group_test())
    assert (drastic.log_worse, drastic.log_not_worse) == (process.log_worse, process.log_not_worse)


def test_what_is_shown_is_that_of_every_look():
    seen = simulated(5, rates=(0.05, 0.05), looks=12)
    plain, grouped = RatioTest("errors", Role.GUARDRAIL, margin=0.01, steps=(10, 50)), group_test(steps=(10, 50))
    expected, found = after(seen, test=plain), after(seen, test=grouped)
    assert found.interval == expected.interval
    assert found.rates == expected.rates
    assert found.log_harm == expected.log_harm


def test_one_of_several_metrics_rolls_back_and_alpha_is_shared():
    tests = [group_test(name=name, share=1 / 3) for name in ("a", "b", "c")]
    trial = Trial.start(tests, alpha=0.05)
    bad, good = simulated(6, rates=(0.05, 0.15)), simulated(7, rates=(0.05, 0.05))
    for one, other in zip(bad, good, strict=True):
        trial = trial.update({"a": other, "b": one, "c": other})
    assert trial.verdict == "Worse"
    assert trial.metrics["b"].log_combined == pytest.approx(math.log(60))
    schedule = trial.metrics["b"].process._worse
    assert schedule.alpha == pytest.approx(0.95 * 0.05 / 3)


def test_replay_is_the_same_as_having_been_there():
    seen = simulated(8, rates=(0.05, 0.06))
    there = after(seen[:11], test=group_test())
    for window in seen[11:]:
        there = there.update(window)
    assert there == after(seen, test=group_test())


def test_errors_on_the_line_stay_at_alpha():
    runs, worse, not_worse = 150, 0, 0
    for seed in range(runs):
        process = after(simulated(1000 + seed, rates=(0.05, 0.06), looks=20), test=group_test())
        worse, not_worse = worse + (process.log_worse > 0.0), not_worse + (process.log_not_worse > 0.0)
    assert 0 < worse <= runs * (0.05 + 3 * math.sqrt(0.05 * 0.95 / runs))
    assert 0 < not_worse <= runs * (0.05 + 3 * math.sqrt(0.05 * 0.95 / runs))


def test_a_share_that_is_none_is_refused():
    with pytest.raises(ValueError, match="metric errors: expected a share of alpha above 0 and at most 1, found 0"):
        group_test(share=0.0)


@pytest.mark.parametrize("alpha", [0.05, 0.0304, 0.01, 0.1, 0.025])
@pytest.mark.parametrize("weights", [(1.0, 1.0), (2.0, 1.0), (1.0, 3.0), (0.5, 2.0)])
def test_a_crossing_decides_whatever_the_other_metrics_say(alpha, weights):
    """The mean over the metrics is then just 1/alpha; no rounding may keep it below."""
    share = weights[0] / sum(weights)
    tests = [
        group_test(share=share, weight=weights[0], looks=1),
        RatioTest("accuracy", Role.GUARDRAIL, margin=0.02, horizon=2, weight=weights[1]),
    ]
    trial = Trial.start(tests, alpha=alpha)
    better = [Window(Arm(1800, 900), Arm(200, 10))] * 30
    for bad, good in zip(simulated(1, rates=(0.05, 0.30)), better, strict=True):
        trial = trial.update({"errors": bad, "accuracy": good})
    assert trial.metrics["accuracy"].log_combined < -40
    assert trial.metrics["errors"].log_worse > 0
    assert trial.worse_at is not None
