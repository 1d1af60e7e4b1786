"""The course of evidence is what the processes themselves do in windows that are all alike."""

from itertools import pairwise
from math import inf, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.api.verdicts import Role
from controller.judge import Arm, History, RatioTest, Window
from controller.judge._mixture import Plain, Restart
from controller.judge.outlook.course import Combined, Lines, Rising, restarted

SLOPES = st.lists(
    st.integers(-3_000_000, 3_000_000).map(lambda millionths: millionths / 1e6), min_size=1, max_size=10
).map(tuple)


@given(SLOPES, st.integers(1, 40), st.sampled_from([1, 2, 15, 40, 500]))
def test_the_restart_mixture_in_closed_form_is_the_folded_one(slopes, windows, horizon):
    folded = Restart.start(len(slopes), horizon)
    for _ in range(windows):
        folded = folded.update(slopes)

    assert restarted(slopes, windows=windows, horizon=horizon) == pytest.approx(folded.log_value, abs=1e-9)


@given(SLOPES, st.integers(1, 40))
def test_lines_are_the_folded_bets(slopes, windows):
    folded = Plain.start(len(slopes))
    for _ in range(windows):
        folded = folded.update(slopes)

    assert Lines(slopes).at(windows) == pytest.approx(folded.log_value, abs=1e-9)


@given(SLOPES, st.floats(0.5, 20.0))
def test_the_course_is_followed_to_where_the_evidence_is_enough(slopes, needed):
    found = Lines(slopes).until(needed, known=0.0)

    if max(slopes) <= 0.0:
        assert found == inf
    else:
        assert -1e-9 <= Lines(slopes).at(found) - needed <= log(len(slopes)) / 2**7 + 1e-9


@pytest.mark.parametrize("course", [Lines((0.1, 0.3, -0.2)), Combined((0.1, 0.3), (-0.5, 0.05), 300)])
def test_evidence_that_is_there_spares_windows_and_a_lack_of_it_costs_some(course):
    found = [course.until(log(20), known=known) for known in (-2.0, -1.0, 0.0, 1.0, 2.0, 2.99, log(20))]

    assert all(more > less for more, less in pairwise(found))
    assert found[-1] == 0.0
    assert found[1] == pytest.approx(found[2] + 1.0 / 0.3)


def test_what_rises_too_late_or_never():
    assert Rising(lambda windows: 0.1 * windows, first=5.0).until(3.0, known=0.0) == pytest.approx(30.0, rel=1e-3)
    assert Rising(lambda windows: 2.0 * windows, first=5.0).until(3.0, known=0.0) == 5.0
    assert Rising(lambda windows: 0.1 * windows, first=5.0).until(3.0, known=1.0) == pytest.approx(20.0, rel=1e-2)
    assert Rising(lambda _: -1.0, first=5.0).until(3.0, known=0.0) == inf


def test_the_combined_course_is_what_the_process_does():
    """With a history so long that stable's rate is known; then equal windows bring equal factors."""
    from controller.judge._process import PerArm
    from controller.judge.outlook.forecast import Expected, forecast

    test = RatioTest("m", Role.GUARDRAIL, 0.01, horizon=300, history=History(1e9, 8e7))
    process = test.process(0.05)
    window = Window(Arm(1800, 144), Arm(200, 24))
    for _ in range(50):
        process = process.update(window)
    courses = forecast(test, Expected(PerArm(0.08, 0.12), PerArm(1800, 200))).courses

    expected = log(0.5 * (2.718281828459045**process.log_restart + 2.718281828459045**process.log_catastrophic))
    assert courses.worse().at(50) == pytest.approx(expected, rel=1e-4)
    assert courses.not_worse().at(50) == pytest.approx(process.log_not_worse, rel=1e-4)
