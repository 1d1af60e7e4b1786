"""All metrics together: the merged evidence, the verdict and the steps."""

import math

import pytest

from controller.api.verdicts import Advance, Role, Verdict
from controller.judge import Arm, History, RatioTest, Trial, Window

HISTORY = History(9000, 450)
EQUAL = Window(Arm(900, 45), Arm(900, 40))
SMALL = Window(Arm(180, 9), Arm(180, 8))
POOR = Window(Arm(900, 45), Arm(100, 9))
AWFUL = Window(Arm(900, 45), Arm(100, 60))


def metric(name, role=Role.GUARDRAIL, **changes):
    values = {"margin": 0.03, "history": HISTORY, "steps": (10, 50)} | changes
    return RatioTest(name=name, role=role, **values)


def after(trial, windows, times=1):
    for _ in range(times):
        trial = trial.update(windows)
    return trial


def start(*tests, **changes):
    return Trial.start(tests, **({"alpha": 0.05} | changes))


def test_evidence_is_the_mean_over_gating_metrics():
    tests = [metric("a"), metric("b", Role.TARGET), metric("c", Role.WATCH)]
    trial = start(*tests).update({"a": POOR, "b": EQUAL, "c": AWFUL})

    mean = sum(math.exp(trial.metrics[name].log_combined) for name in "ab") / 2
    assert math.exp(trial.log_combined) == pytest.approx(mean)
    assert trial.verdict is Verdict.UNDECIDED
    assert trial.metrics["c"].verdict is Verdict.WORSE


def test_one_awful_metric_among_good_ones_is_enough_and_stays():
    trial = start(metric("a"), metric("b"), metric("c"))
    trial = after(trial, {"a": EQUAL, "b": EQUAL, "c": EQUAL}, times=2)
    trial = trial.update({"a": EQUAL, "b": AWFUL, "c": EQUAL})
    assert (trial.verdict, trial.decided_at) == (Verdict.WORSE, 2)

    later = after(trial, {"a": EQUAL, "b": EQUAL, "c": EQUAL}, times=30)
    assert (later.verdict, later.decided_at, later.seen) == (Verdict.WORSE, 2, 33)


def test_not_worse_needs_every_gating_metric_and_holds_only_while_true():
    trial = start(metric("a"), metric("b"), metric("w", Role.WATCH))
    trial = after(trial, {"a": EQUAL, "b": None}, times=20)
    assert trial.metrics["a"].verdict is Verdict.NOT_WORSE
    assert trial.verdict is Verdict.UNDECIDED

    trial = after(trial, {"b": SMALL}, times=20)
    assert trial.verdict is Verdict.NOT_WORSE
    since = trial.decided_at
    assert 20 < since < 40
    assert after(trial, {"b": SMALL}).decided_at == since

    fallen = after(trial, {"a": EQUAL, "b": Window(Arm(900, 45), Arm(900, 75))}, times=30)
    assert fallen.verdict is not Verdict.NOT_WORSE


def test_worse_evidence_of_five_blocks_promotion_though_nothing_is_decided():
    trial = after(start(metric("a"), metric("b")), {"a": EQUAL, "b": EQUAL}, times=40)
    assert trial.verdict is Verdict.NOT_WORSE

    poor = Window(Arm(900, 45), Arm(900, 85))
    while math.exp(trial.metrics["b"].log_combined) < 5:
        trial = trial.update({"a": EQUAL, "b": poor})
    assert trial.verdict is Verdict.UNDECIDED
    assert trial.metrics["b"].alarmed
    assert not trial.may_enter(10, advance=Advance.FIXED)


def test_too_few_raw_requests_support_no_promotion():
    assert after(start(metric("a"), min_requests=18_001), {"a": EQUAL}, times=20).verdict is Verdict.UNDECIDED
    assert after(start(metric("a"), min_requests=18_000), {"a": EQUAL}, times=20).verdict is Verdict.NOT_WORSE


def test_silence_is_no_data():
    trial = start(metric("a"), metric("w", Role.WATCH))
    assert trial.verdict is Verdict.NO_DATA
    silent = after(trial, {"a": Window(Arm(900, 1), Arm(0, 0)), "w": None}, times=5)
    assert (silent.verdict, silent.decided_at, silent.seen) == (Verdict.NO_DATA, None, 5)


def test_metrics_without_weight_decide_nothing():
    trial = after(start(metric("w", Role.WATCH)), {"w": EQUAL}, times=40)
    assert trial.metrics["w"].verdict is Verdict.NOT_WORSE
    assert trial.verdict is Verdict.UNDECIDED
    assert after(trial, {"w": AWFUL}).verdict is Verdict.UNDECIDED


def test_a_red_flag_is_worse_at_once_and_outside_of_the_evidence():
    flag = metric("f", Role.RED_FLAG, margin=0.0, threshold=0.5, min_requests=20)
    trial = after(start(metric("a"), flag), {"a": EQUAL, "f": POOR}, times=3)
    assert (trial.red_flags, trial.verdict) == ((), Verdict.NOT_WORSE)

    flagged = trial.update({"a": EQUAL, "f": AWFUL})
    assert (flagged.red_flags, flagged.verdict, flagged.decided_at) == (("f",), Verdict.WORSE, 3)
    assert flagged.log_combined == flagged.metrics["a"].log_combined


def test_budgeted_steps_wait_for_evidence_that_harm_is_bounded():
    trial = start(metric("a", margin=0.01), metric("w", Role.WATCH))
    assert trial.may_enter(10, advance=Advance.FIXED)
    assert not trial.may_enter(10, advance=Advance.BUDGETED)

    small = Window(Arm(90, 4), Arm(10, 0))
    entered = {}
    for number in range(400):
        trial = trial.update({"a": small, "w": AWFUL})
        for weight in (10, 50):
            if weight not in entered and trial.may_enter(weight, advance=Advance.BUDGETED):
                entered[weight] = number
    assert entered[10] < entered[50]


def test_budgeted_steps_ask_every_gating_metric():
    trial = after(start(metric("a"), metric("b")), {"a": EQUAL}, times=30)
    assert not trial.may_enter(50, advance=Advance.BUDGETED)
    assert after(trial, {"b": EQUAL}, times=30).may_enter(50, advance=Advance.BUDGETED)


def test_no_step_is_entered_after_worse():
    trial = start(metric("a")).update({"a": AWFUL})
    assert not trial.may_enter(10, advance=Advance.FIXED)


def test_names_must_differ_and_be_known():
    with pytest.raises(ValueError, match=r"metric names that differ, found \['a', 'a'\]"):
        start(metric("a"), metric("a"))
    with pytest.raises(ValueError, match=r"windows of the metrics \['a'\], found also \['b'\]"):
        start(metric("a")).update({"b": EQUAL})
