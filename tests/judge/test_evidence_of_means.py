"""What holds for means before there are enough windows to know their spread."""

from dataclasses import replace
from math import log

from controller.api.verdicts import Role, Verdict
from controller.judge import Evidence, MeanArm, MeanTest, Window

TEST = MeanTest(name="cost", role=Role.GUARDRAIL, margin=1.0)


def evidence_after(differences: list[float], test: MeanTest = TEST) -> Evidence:
    evidence = Evidence.start(test, 0.05)
    for each in differences:
        evidence = evidence.update(Window(stable=MeanArm(count=10, sum=100), candidate=MeanArm(10, 100 + 10 * each)))
    return evidence


def test_four_nearly_equal_windows_prove_nothing_and_five_may() -> None:
    alike = [0.0, 0.01, -0.01, 0.005, -0.005]
    four, five = evidence_after(alike[:4]), evidence_after(alike)
    assert four.log_not_worse >= log(20)
    assert four.verdict is Verdict.UNDECIDED
    assert five.verdict is Verdict.NOT_WORSE


def test_four_windows_far_beyond_the_margin_decide_nothing_and_five_may() -> None:
    beyond = [3.0, 3.01, 2.99, 3.005, 2.995]
    assert evidence_after(beyond[:4]).verdict is Verdict.UNDECIDED
    assert evidence_after(beyond).verdict is Verdict.WORSE


def test_windows_that_are_averaged_count_as_one() -> None:
    alike = [0.0, 0.01, -0.01, 0.005, -0.005] * 2
    assert evidence_after(alike[:9], replace(TEST, batch=2)).verdict is Verdict.UNDECIDED
    assert evidence_after(alike, replace(TEST, batch=2)).verdict is Verdict.NOT_WORSE
