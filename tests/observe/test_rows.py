"""Rows: raw counts and, beside them, what each pod's are worth by the calibration that was frozen."""

from dataclasses import replace

import pytest

from controller.api.record import ArmCounts
from controller.api.verdicts import Kind
from controller.judge import Calibration
from controller.observe.arms import MetricQuestion
from controller.observe.rows import counted
from controller.observe.tally import Count, Tally

MEASURED = Calibration(measured=True, intraclass=0.01)
RATIO = MetricQuestion("accuracy", "wrong_total", "answers_total", allow_absent=True, calibration=MEASURED)
PODS = Tally(
    stable={"a": Count(201, 30), "b": Count(101, 10)}, candidate={"x": Count(51, 6), "y": Count(1, 1), "z": Count(0, 0)}
)


def both(metric: MetricQuestion, counts: Tally = PODS) -> tuple[ArmCounts, ArmCounts]:
    row = counted(metric, counts, bad_seen=True)
    assert row.stable is not None
    assert row.candidate is not None
    return row.stable, row.candidate


def test_each_pod_is_deflated_by_its_own_design_effect() -> None:
    stable, candidate = both(RATIO)

    assert (stable.total, stable.bad, stable.pods) == ("302", "40", 2)
    # 201 requests count as 201/3, 101 as 101/2.
    assert (stable.effective_total, stable.effective_bad) == ("117.5", "15")
    assert (candidate.total, candidate.bad) == ("52", "7")
    assert (candidate.effective_total, candidate.effective_bad) == ("35", "5")


def test_the_prior_halves() -> None:
    stable, candidate = both(replace(RATIO, calibration=Calibration()))

    assert (stable.effective_total, stable.effective_bad) == ("151", "20")
    assert (candidate.effective_total, candidate.effective_bad) == ("26", "3.5")


def test_without_calibration_counts_are_as_they_are() -> None:
    stable, candidate = both(replace(RATIO, calibration=None))

    assert (stable.effective_total, stable.effective_bad) == (stable.total, stable.bad)
    assert (candidate.scatter, candidate.expected_scatter) == (None, None)


def test_inflation_is_the_candidates_alone() -> None:
    inflated = both(replace(RATIO, inflation=2.0))
    plain = both(RATIO)

    assert inflated[0] == plain[0]
    assert (inflated[1].effective_total, inflated[1].effective_bad) == ("17.5", "2.5")
    assert inflated[1].total == plain[1].total


def test_the_candidates_scatter_is_kept_for_later_windows() -> None:
    stable, candidate = both(RATIO)

    # Level 7/52: x lies 0.865 below what it gives it, y as much above.
    assert float(candidate.scatter or 0) == pytest.approx((6 - 51 * 7 / 52) ** 2 / 51 + (1 - 7 / 52) ** 2, rel=1e-5)
    variance = 7 / 52 * 45 / 52 * 52 / 51
    between = 52 - (51**2 + 1) / 52
    assert float(candidate.expected_scatter or 0) == pytest.approx(variance * (1 + (between - 1) * 0.01), rel=1e-5)
    assert stable.scatter is None


def test_one_pod_has_no_scatter() -> None:
    _, candidate = both(RATIO, replace(PODS, candidate={"x": Count(51, 6)}))

    assert candidate.scatter is None


def test_more_bad_requests_than_requests_are_cut_after_deflation_too() -> None:
    stable, _ = both(RATIO, replace(PODS, stable={"a": Count(101, 130)}))

    assert (stable.total, stable.bad) == ("101", "101")
    assert (stable.effective_total, stable.effective_bad) == ("50.5", "50.5")


def test_rates_have_no_smallest_exposure() -> None:
    calibration = Calibration(measured=True, intraclass=0.5, alone=0.0)
    stable, _ = both(replace(RATIO, kind=Kind.RATE, calibration=calibration), replace(PODS, stable={"a": Count(2, 8)}))

    assert (stable.effective_total, stable.effective_bad) == ("1", "4")


def test_buckets_are_pooled_as_they_are_and_worth_less() -> None:
    pods = {"a": Count(201, buckets=(101, 100)), "b": Count(101, buckets=(100, 1))}
    stable, _ = both(replace(RATIO, kind=Kind.HISTOGRAM), replace(PODS, stable=pods))

    assert stable.buckets == ("201", "101")
    assert float(stable.effective_total or 0) == pytest.approx(302**2 / (201 * 3 + 101 * 2), rel=1e-6)
    assert stable.effective_bad is None


def test_windows_of_a_mean_without_bounds_are_not_deflated() -> None:
    calibration = Calibration(measured=True, design_effect=1.0)
    stable, _ = both(replace(RATIO, kind=Kind.MEAN, calibration=calibration))

    assert (stable.total, stable.sum, stable.effective_total) == ("302", "40", "302")
