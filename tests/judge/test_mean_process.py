"""The evidence on the mean of something without bounds, over many windows."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.api.verdicts import Role
from controller.judge import Evidence
from controller.judge._process import Window
from controller.judge.kinds.mean import MeanArm, Moments, log_one_sided
from controller.judge.kinds.mean_process import MeanTest, start_points
from controller.judge.kinds.rate import RateArm


def mean_test(*, margin=0.5, role=Role.GUARDRAIL, **more):
    return MeanTest("cost", role, margin=margin, **more)


def window(stable, candidate, *, counts=(1800, 200)):
    return Window(MeanArm(counts[0], counts[0] * stable), MeanArm(counts[1], counts[1] * candidate))


def after(seen, *, test, alpha=0.05):
    process = test.process(alpha)
    for each in seen:
        process = process.update(each)
    return process


def simulated(seed, *, shift, looks, spread=1.0):
    rng = np.random.default_rng(seed)
    season = 10 + 4 * np.sin(np.arange(looks) / 5)
    return [window(level, level + shift + spread * rng.normal()) for level in season]


def logs_of(process):
    return (
        process.log_worse,
        process.log_restart,
        process.log_catastrophic,
        process.log_not_worse,
        process.log_better,
    )


def test_every_process_is_the_mixture_on_its_own_side_of_its_own_line():
    seen = simulated(1, shift=0.2, looks=12)
    process = after(seen, test=mean_test(margin=0.5, role=Role.TARGET, must_be_better=True))
    differences = [each.candidate.mean - each.stable.mean for each in seen]

    def evidence(values):
        moments = Moments()
        for value in values:
            moments = moments.add(value)
        return float(log_one_sided((12,), (moments.alignment(0.0),))[0])

    assert process.log_worse == pytest.approx(evidence([d - 0.5 for d in differences]))
    assert process.log_catastrophic == pytest.approx(evidence([d - 4.0 for d in differences]))
    assert process.log_not_worse == pytest.approx(evidence([0.5 - d for d in differences]))
    assert process.log_better == pytest.approx(evidence([-d for d in differences]))


def test_the_restart_mixture_is_a_fixed_mean_over_fresh_starts():
    seen, test = simulated(2, shift=0.9, looks=40), mean_test(horizon=100)
    parts = {start: after(seen[start:], test=test).log_worse for start in test.starts if start < 40}
    weights = {start: 0.5 if start == 0 else 0.5 / 32 for start in test.starts}
    expected = sum(weights[start] * math.exp(log) for start, log in parts.items())
    expected += sum(weight for start, weight in weights.items() if start >= 40)

    assert len(test.starts) == 33
    assert math.exp(after(seen, test=test).log_restart) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("horizon", [1, 2, 5, 33, 34, 500, 10**5])
def test_starts_are_spread_over_the_horizon(horizon):
    starts = start_points(horizon)
    gaps = {later - earlier for earlier, later in pairwise(starts)}
    assert len(starts) == min(horizon, 33)
    assert starts[0] == 0
    assert list(starts) == sorted(set(starts))
    assert starts[-1] < horizon
    assert len(gaps) <= 2


def test_nothing_seen_is_one_whatever_the_horizon():
    for horizon in (1, 2, 40, 1000):
        process = after([window(1.0, 1.5)], test=mean_test(horizon=horizon))
        assert logs_of(process) == pytest.approx((0.0,) * 5, abs=1e-12)


def test_a_late_onset_is_found_sooner_by_the_restart():
    seen = simulated(3, shift=0.5 - 0.4, looks=150) + simulated(4, shift=0.5 + 1.2, looks=40)
    process = after(seen, test=mean_test(horizon=200))
    assert process.log_restart > math.log(20)
    assert process.log_worse < 0


def test_a_mean_beyond_the_margin_is_found_and_one_within_is_cleared():
    assert after(simulated(5, shift=1.5, looks=30), test=mean_test()).log_restart > math.log(20)
    equal = after(simulated(6, shift=0.0, looks=80), test=mean_test())
    assert equal.log_not_worse > math.log(20)
    assert max(equal.log_worse, equal.log_restart, equal.log_catastrophic) < 0


def test_nothing_is_decided_before_the_fifth_difference():
    drastic = [window(10.0, 100.0 + each) for each in range(6)]
    evidence = Evidence.start(mean_test(), 0.05)
    for each in drastic[:4]:
        evidence = evidence.update(each)
        assert not evidence.process.decisive
        assert evidence.process.interval is None
    assert evidence.log_combined == 0.0
    evidence = evidence.update(drastic[4])
    assert evidence.process.decisive
    assert evidence.decided_worse_at == 4


def test_equal_arms_are_cleared_without_any_spread():
    process = after([window(3.0, 3.0)] * 8, test=mean_test(margin=0.1, role=Role.TARGET, must_be_better=True))
    assert process.log_not_worse > math.log(20)
    assert process.log_worse < 0
    assert process.log_better < 0
    assert process.interval == pytest.approx((0.0, 0.0), abs=1e-6)
    assert logs_of(after([window(0.0, 0.0)] * 8, test=mean_test(margin=0.0)))[0] < 0


def test_rounding_rolls_nothing_back():
    process = after([window(0.3, 0.1 + 0.2)] * 200, test=mean_test(margin=0.0))
    assert max(logs_of(process)) < math.log(2)


def test_batches_are_differences_of_their_own():
    seen = simulated(7, shift=1.0, looks=30)
    batched = after(seen, test=mean_test(batch=5))
    averaged = []
    for first in range(0, 30, 5):
        rows = seen[first : first + 5]
        averaged.append(
            window(*(np.mean([getattr(each, arm).mean for each in rows]) for arm in ("stable", "candidate")))
        )
    expected = after(averaged, test=mean_test())

    assert batched.differences == 6
    assert batched.decisive
    assert batched.log_worse == pytest.approx(expected.log_worse, rel=1e-9)
    assert batched.rates.candidate == pytest.approx(expected.rates.candidate)
    assert after(seen[:24], test=mean_test(batch=5)).differences == 4
    assert mean_test(batch=5, horizon=101).starts == start_points(21)


def test_levels_follow_the_windows_whatever_their_weight():
    ramp = [window(10.0, 10.0, counts=(1800, 200)), window(20.0, 20.0, counts=(1000, 1000))]
    levels = after(ramp, test=mean_test()).rates
    assert (levels.stable, levels.candidate) == (15.0, 15.0)
    assert mean_test().process(0.05).rates is None


def test_the_interval_is_where_the_evidence_is_decisive():
    seen, alpha = simulated(8, shift=5.0, looks=20), 0.05
    process = after(seen[:5], test=mean_test(), alpha=alpha)
    lower, upper = process.interval

    assert after(seen[:5], test=mean_test(margin=lower)).log_worse == pytest.approx(-math.log(alpha), abs=1e-6)
    assert after(seen[:5], test=mean_test(margin=upper)).log_not_worse == pytest.approx(-math.log(alpha), abs=1e-6)
    for each in seen[5:]:
        process, before = process.update(each), process
        assert before.interval[0] <= process.interval[0] <= process.interval[1] <= before.interval[1]


def test_the_interval_holds_the_truth():
    missed = sum(
        not (bounds := after(simulated(seed, shift=0.7, looks=80), test=mean_test()).interval)[0] < 0.7 < bounds[1]
        for seed in range(60)
    )
    assert missed <= 6


def test_a_red_flag_is_a_mean_in_one_window():
    flag = MeanTest("cost", Role.RED_FLAG, threshold=10.0, min_requests=100)
    assert flag.raises_flag(window(1.0, 10.1))
    assert not flag.raises_flag(window(1.0, 10.0))
    assert not flag.raises_flag(window(1.0, 50.0, counts=(900, 99)))
    assert flag.level(window(1.0, 1.0, counts=(10, 0))) is None


def test_what_cannot_be_tested_is_refused():
    with pytest.raises(ValueError, match="metric cost: expected a batch of at least 1 window, found 0"):
        mean_test(batch=0)
    with pytest.raises(TypeError, match="expected a window of MeanArm"):
        mean_test().process(0.05).update(Window(RateArm(1, 1), RateArm(1, 1)))


means = st.floats(min_value=-1e6, max_value=1e6)


@given(st.lists(st.tuples(means, means), min_size=1, max_size=20), st.integers(1, 3), st.data())
def test_replay_is_the_same_as_having_been_there(values, batch, data):
    seen = [window(*each) for each in values]
    cut = data.draw(st.integers(0, len(seen)))
    test = mean_test(batch=batch, horizon=10, role=Role.TARGET, must_be_better=True)
    there = after(seen[:cut], test=test)
    for each in seen[cut:]:
        there = there.update(each)
    assert there == after(seen, test=test)


@given(
    st.lists(st.tuples(means, means), min_size=1, max_size=12), st.integers(-40, 40), st.sampled_from([0.0, 0.1, 7.0])
)
def test_the_unit_of_the_metric_does_not_matter(values, power, margin):
    unit = 2.0**power
    here = after([window(*each, counts=(8, 2)) for each in values], test=mean_test(margin=margin))
    there = after([window(unit * a, unit * b, counts=(8, 2)) for a, b in values], test=mean_test(margin=unit * margin))
    assert logs_of(here) == logs_of(there)


@pytest.mark.filterwarnings("error")
@given(
    st.lists(
        st.tuples(
            *[st.sampled_from([0.0, 1.0, -1.0, 1e-300, 1e9, -1e80, 1e80])] * 2,
            st.sampled_from([(1, 1), (1e9, 1), (1e9, 1e9)]),
        ),
        min_size=1,
        max_size=10,
    ),
    st.sampled_from([0.0, 1e-300, 1.0, 1e80]),
)
def test_extreme_windows_keep_everything_finite(values, margin):
    seen = [window(a, b, counts=counts) for a, b, counts in values]
    process = after(seen, test=mean_test(margin=margin, role=Role.TARGET, must_be_better=True))
    assert all(math.isfinite(value) for value in logs_of(process))
    assert process.interval is None or all(math.isfinite(end) for end in process.interval)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("mean", [-30.0, -0.1, 0.0, 0.1, 30.0])
def test_a_hundred_thousand_windows_are_no_harder_than_ten(mean):
    started = mean_test(horizon=10**5, role=Role.TARGET, must_be_better=True)
    many = tuple(Moments(10**5 - 1 - start, mean, 1.0 * (10**5 - start)) for start in started.starts)
    process = replace(started.process(0.05), _starts=many).update(window(10.0, 10.0 + mean))

    assert process.differences == 10**5
    assert all(math.isfinite(value) for value in logs_of(process))
    assert process.interval[0] < mean < process.interval[1]
