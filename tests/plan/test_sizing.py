from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.plan.sizing import reachable_weight, replicas_for


@pytest.mark.parametrize(
    ("weight", "stable_ready", "replicas"),
    [
        (5, 19, 1),  # exactly 1/20
        (5, 18, 1),  # one pod is the least, although it is more than 5 %
        (10, 9, 1),
        (25, 3, 1),
        (25, 8, 2),  # 2/10 is below, 3/11 would be above
        (50, 4, 4),
        (50, 1, 1),
        (99, 1, 99),
        (50, 0, 1),
        (100, 4, 4),
        (100, 0, 1),
    ],
)
def test_size_of_known_cases(weight: int, stable_ready: int, replicas: int) -> None:
    assert replicas_for(weight, stable_ready).replicas == replicas


@given(weight=st.integers(1, 99), stable_ready=st.integers(0, 500))
def test_size_is_the_largest_not_above_the_weight_or_one_pod(weight: int, stable_ready: int) -> None:
    sizing = replicas_for(weight, stable_ready)

    def share(replicas: int) -> Fraction:
        return Fraction(100 * replicas, replicas + stable_ready)

    assert sizing.replicas == 1 or share(sizing.replicas) <= weight
    assert share(sizing.replicas + 1) > weight
    assert sizing.reachable == pytest.approx(float(share(sizing.replicas)))


@pytest.mark.parametrize(("weight", "stable_ready"), [(0, 3), (101, 3), (50, -1)])
def test_nonsense_is_refused(weight: int, stable_ready: int) -> None:
    with pytest.raises(ValueError, match="expected a weight of 1 to 100"):
        replicas_for(weight, stable_ready)


def test_no_ready_pods_at_all_reach_nothing() -> None:
    assert reachable_weight(0, 0) == 0.0
    assert reachable_weight(1, 3) == 25.0
