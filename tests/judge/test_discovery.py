"""Findings named at once."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.judge._mixture import log_mean
from controller.judge.checks.discovery import discoveries

evidence = st.dictionaries(
    st.text(alphabet="abcdefgh", min_size=1, max_size=3), st.floats(min_value=-50, max_value=50), max_size=12
)


def logs(**values):
    return {name: math.log(value) for name, value in values.items()}


def test_published_value_c52():
    values = logs(a=60.0, b=1.0, c=45.0, d=0.2, e=30.0)
    assert discoveries(values, 0.05) == ()
    assert math.exp(log_mean(tuple(values.values()))) == pytest.approx(27.24)


def test_several_findings_support_each_other():
    # The bars are 100, 50 and 33.3.
    assert discoveries(logs(a=60.0, b=1.0, c=45.0, d=0.2, e=34.0), 0.05) == ("a", "c", "e")
    assert discoveries(logs(a=101.0, b=1.0, c=45.0, d=0.2, e=30.0), 0.05) == ("a",)
    assert discoveries(logs(a=60.0, b=1.0, c=51.0, d=0.2, e=30.0), 0.05) == ("a", "c")


def test_a_finding_on_the_bar_is_named():
    assert discoveries({"only": math.log(1 / 0.05)}, 0.05) == ("only",)
    assert discoveries({"only": math.log(1 / 0.05) - 1e-9}, 0.05) == ()
    assert discoveries({}, 0.05) == ()


def by_definition(values, alpha):
    """The largest k for which the k-th largest e-value is at least M/(kα)."""
    ordered = sorted(values, reverse=True)
    fitting = [k for k in range(1, len(ordered) + 1) if math.exp(ordered[k - 1]) * k * alpha >= len(ordered)]
    return max(fitting, default=0)


@given(evidence, st.floats(min_value=0.001, max_value=0.5))
def test_it_is_the_procedure_as_defined(values, alpha):
    named = discoveries(values, alpha)
    assert len(named) == by_definition(values.values(), alpha)
    assert all(values[a] >= values[b] for a, b in pairwise(named))
    assert all(values[name] <= min(values[one] for one in named) for name in values.keys() - set(named) if named)


@given(evidence, st.floats(min_value=0.001, max_value=0.5), st.data())
def test_more_evidence_never_names_less(values, alpha, data):
    if values:
        stronger = values | {data.draw(st.sampled_from(sorted(values))): 60.0}
        assert set(discoveries(values, alpha)) <= set(discoveries(stronger, alpha))


def test_false_discoveries_stay_below_alpha():
    rng, alpha, wrong = np.random.default_rng(21), 0.1, []
    for _ in range(2000):
        # e-values exp(λz − λ²/2) that share half of their noise; the first three are of something real.
        noise = rng.normal() * math.sqrt(0.5) + rng.normal(size=20) * math.sqrt(0.5)
        effect = np.where(np.arange(20) < 3, 3.0, 0.0)
        named = discoveries({str(i): float(3 * z - 4.5) for i, z in enumerate(noise + effect)}, alpha)
        wrong.append(sum(int(name) >= 3 for name in named) / max(len(named), 1))
    assert 0.0 < np.mean(wrong) < alpha


@pytest.mark.parametrize("alpha", [0.0, 1.0, math.nan])
def test_an_alpha_that_is_none_is_refused(alpha):
    with pytest.raises(ValueError, match="expected an alpha between 0 and 1"):
        discoveries({"a": 1.0}, alpha)
