"""The evidence on one rate metric over many windows."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.api.verdicts import Role
from controller.judge import Evidence
from controller.judge._process import PerArm, Window
from controller.judge.kinds.rate import RateArm, log_factors, worse_ratios
from controller.judge.kinds.rate_process import RateTest, rate_ratio_grid
from controller.judge.kinds.ratio import Arm

windows = st.builds(
    lambda k0, k1, n0, n1: Window(RateArm(k0, n0), RateArm(k1, n1)),
    st.integers(0, 50),
    st.integers(0, 50),
    st.floats(0.1, 1000.0),
    st.floats(0.1, 1000.0),
)


def rate_test(*, margin=0.25, role=Role.GUARDRAIL, **more):
    return RateTest("exceptions", role, margin=margin, **more)


def after(seen, *, test, alpha=0.05):
    process = test.process(alpha)
    for window in seen:
        process = process.update(window)
    return process


def simulated(seed, *, ratio, looks, events=18.0):
    rng = np.random.default_rng(seed)
    return [
        Window(RateArm(rng.poisson(events), 1800), RateArm(rng.poisson(events * ratio / 9), 200)) for _ in range(looks)
    ]


def test_a_rate_far_beyond_the_margin_is_found_and_one_within_is_cleared():
    worse = after(simulated(1, ratio=4.0, looks=20), test=rate_test())
    equal = after(simulated(2, ratio=1.0, looks=400), test=rate_test(horizon=400))

    assert min(worse.log_worse, worse.log_restart, worse.log_catastrophic) > math.log(20)
    assert worse.log_not_worse < 0
    assert equal.log_not_worse > math.log(20)
    assert max(equal.log_worse, equal.log_catastrophic, equal.log_restart) < 0


def test_the_catastrophic_guard_tests_eight_margins():
    assert rate_test(margin=0.25).catastrophic_line == 3.0
    seen = Window(RateArm(9, 1800), RateArm(12, 200))
    expected = sum(math.exp(each) for each in log_factors(seen, line=3.0, alternatives=worse_ratios(3.0))) / 10
    assert math.exp(after([seen], test=rate_test()).log_catastrophic) == pytest.approx(expected)


def test_superiority_is_looked_for_where_it_is_asked():
    seen = simulated(3, ratio=0.4, looks=60)
    asked = after(seen, test=rate_test(role=Role.TARGET, must_be_better=True))
    assert asked.log_better > math.log(20)
    assert after(seen, test=rate_test(role=Role.TARGET)).log_better == 0.0


def test_at_margin_zero_nothing_is_shown_to_be_not_worse():
    assert after(simulated(4, ratio=0.2, looks=50), test=rate_test(margin=0.0)).log_not_worse == 0.0


def test_levels_are_weighted_alike_for_both_arms():
    # Stable's rate doubles while the weight changes from 10 to 50 percent: pooled, the candidate would look worse.
    ramp = [Window(RateArm(18, 1800), RateArm(2, 200)), Window(RateArm(20, 1000), RateArm(20, 1000))]
    levels = after(ramp, test=rate_test()).rates
    assert levels.stable == pytest.approx(levels.candidate)
    assert rate_test().process(0.05).rates is None


def test_a_red_flag_is_a_rate_in_one_window():
    flag = RateTest("restarts", Role.RED_FLAG, threshold=0.5, min_requests=10)
    assert flag.raises_flag(Window(RateArm(0, 90), RateArm(6, 10)))
    assert not flag.raises_flag(Window(RateArm(0, 90), RateArm(5, 10)))
    assert not flag.raises_flag(Window(RateArm(0, 90), RateArm(5, 9)))
    assert flag.level(Window(RateArm(0, 90), RateArm(0, 0))) is None


def test_an_evidence_holds_the_process():
    evidence = Evidence.start(rate_test(), 0.05)
    for window in [None, *simulated(5, ratio=5.0, looks=15), Window(RateArm(1, 5), RateArm(0, 0))]:
        evidence = evidence.update(window)
    assert (evidence.seen, evidence.windows) == (17, 15)
    assert evidence.verdict == "Worse"
    assert evidence.requests == PerArm(27_000, 3_000)


def test_windows_of_another_kind_are_refused():
    with pytest.raises(TypeError, match="expected a window of RateArm"):
        rate_test().process(0.05).update(Window(Arm(10, 1), Arm(10, 1)))


def test_a_margin_that_allows_anything_is_refused():
    with pytest.raises(ValueError, match=r"metric exceptions: expected an effective relative margin from 0 to 1e\+06"):
        rate_test(margin=1e7)


@given(margin=st.sampled_from([0.0, 0.01, 0.25, 3.0, 1e6]))
def test_the_grid_is_symmetric_and_holds_the_margin(margin):
    grid = rate_ratio_grid(margin)
    assert len(grid) == 41
    assert list(grid) == sorted(set(grid))
    assert [1 / ratio for ratio in reversed(grid)] == pytest.approx(list(grid))
    assert min(abs(math.log(ratio / (1 + margin))) for ratio in grid) < 1e-12


def test_the_interval_holds_the_truth_and_narrows():
    missed = 0
    for seed in range(50):
        seen = simulated(seed, ratio=1.5, looks=100)
        short, long = after(seen[:20], test=rate_test()), after(seen, test=rate_test())
        missed += not long.interval[0] < 1.5 < long.interval[1]
        if short.interval is not None:
            assert short.interval[0] <= long.interval[0]
            assert long.interval[1] <= short.interval[1]
    assert missed <= 8  # at most 2.5 of 50 per end are to be expected
    assert 1.0 < long.interval[0] < 1.5 < long.interval[1] < 2.5


def test_the_interval_says_what_the_processes_say():
    process = rate_test(margin=0.25).process(0.05)
    for window in simulated(6, ratio=2.0, looks=60):
        process = process.update(window)
        if process.log_worse >= -math.log(0.05):
            break
    assert process.log_worse >= -math.log(0.05)
    assert process.interval[0] >= 1.25 * (1 - 1e-12)


def test_there_is_no_interval_without_an_upper_end():
    seen = [Window(RateArm(0, 900), RateArm(5, 100))] * 30
    assert after(seen, test=rate_test()).interval is None
    assert after(seen[:1], test=rate_test()).interval is None
    assert after([Window(RateArm(50, 900), RateArm(0, 100))] * 30, test=rate_test()).interval[0] == 0.0


@given(st.lists(windows, min_size=2, max_size=12), st.data())
def test_replay_is_the_same_as_having_been_there(seen, data):
    cut = data.draw(st.integers(0, len(seen)))
    test = rate_test(role=Role.TARGET, must_be_better=True)
    there = after(seen[:cut], test=test)
    for window in seen[cut:]:
        there = there.update(window)
    replayed = after(seen, test=test)

    assert there == replayed
    assert there.interval == replayed.interval


@pytest.mark.filterwarnings("error")
@given(
    st.lists(
        st.builds(
            lambda k0, k1, n0, n1: Window(RateArm(k0, n0), RateArm(k1, n1)),
            *[st.sampled_from([0, 1, 200, 1e9])] * 2,
            *[st.sampled_from([1e-9, 1.0, 200.0, 1e9])] * 2,
        ),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from([0.0, 1e-9, 0.5, 1e6]),
)
def test_extreme_windows_keep_everything_finite(seen, margin):
    process = after(seen, test=rate_test(margin=margin, role=Role.TARGET, must_be_better=True))
    values = (process.log_worse, process.log_restart, process.log_catastrophic, process.log_not_worse)
    assert all(math.isfinite(value) for value in (*values, process.log_better))
    assert math.isfinite(process.rates.stable)
    assert process.interval is None or all(math.isfinite(end) for end in process.interval)
