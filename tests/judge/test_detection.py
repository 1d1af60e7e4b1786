"""How soon a regression is rolled back, beside a test that is told both true rates (fixed seeds)."""

import math

import pytest

from tests.bench.detection import PLAIN_TARGET, POLICY_TARGET, measure
from tests.bench.detection_cases import CASES


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_detection_is_within_its_factor_of_walds_test(case):
    outcome = measure(case, runs=300, seed=0)

    assert case.reference < outcome.plain.mean() <= PLAIN_TARGET * case.reference
    assert outcome.plain.mean() < outcome.policy.mean() <= POLICY_TARGET * case.reference


def test_the_reference_is_walds():
    # At margin 0 the nearest point of the line is the pooled rate: 0.9·0.5 % + 0.1·1.5 %.
    pooled = 0.006
    information = 9 * (0.005 * math.log(0.005 / pooled) + 0.995 * math.log(0.995 / (1 - pooled)))
    information += 0.015 * math.log(0.015 / pooled) + 0.985 * math.log(0.985 / (1 - pooled))

    assert CASES[0].reference == pytest.approx(math.log(20) / information)
    assert [round(case.reference) for case in CASES] == [536, 1124, 354, 662]
