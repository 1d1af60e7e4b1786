"""Sample-ratio mismatch."""

import math

import numpy as np
import pytest
from scipy.special import comb

from controller.judge import SampleRatio


def test_published_value_c21():
    found = SampleRatio(concentration=100).update(weight=10, stable=870, candidate=130)
    assert math.exp(found.log_evidence) == pytest.approx(18.355622, rel=1e-7)


def test_expectation_is_one_over_two_steps():
    expectation = 0.0
    for first in range(9):
        for second in range(9):
            evidence = SampleRatio(concentration=5).update(weight=10, stable=8 - first, candidate=first)
            evidence = evidence.update(weight=50, stable=8 - second, candidate=second)
            probability = comb(8, first) * 0.1**first * 0.9 ** (8 - first) * comb(8, second) * 0.5**8
            expectation += probability * math.exp(evidence.log_evidence)
    assert expectation == pytest.approx(1.0)


def windows_to_alarm(seed, share, *, requests, looks):
    rng, evidence = np.random.default_rng(seed), SampleRatio()
    for number in range(looks):
        total = int(rng.poisson(requests))
        candidate = int(rng.binomial(total, share))
        evidence = evidence.update(weight=10, stable=total - candidate, candidate=candidate)
        if evidence.mismatched:
            return number + 1
    return None


@pytest.mark.parametrize(("share", "requests", "published"), [(0.15, 200, 6), (0.12, 2000, 3), (0.12, 200, 23)])
def test_mismatches_are_found_as_published(share, requests, published):
    taken = [windows_to_alarm(seed, share, requests=requests, looks=500) for seed in range(60)]
    assert np.mean(taken) == pytest.approx(published, rel=0.35)


def test_the_right_share_raises_no_alarm():
    assert [windows_to_alarm(seed, 0.10, requests=200, looks=200) for seed in range(40)] == [None] * 40


def test_a_small_deviation_is_no_mismatch_however_sure():
    evidence = SampleRatio().update(weight=10, stable=890_000, candidate=110_000 - 2_000)
    assert evidence.log_evidence > math.log(1000)
    assert evidence.deviation == pytest.approx(0.08, rel=0.05)
    assert not evidence.mismatched


def test_windows_without_a_split_say_nothing():
    evidence = SampleRatio().update(weight=10, stable=880, candidate=120)
    for weight in (None, 0, 100):
        assert evidence.update(weight=weight, stable=100, candidate=900) == evidence
    assert SampleRatio().log_evidence == 0.0
    assert SampleRatio().deviation == 0.0
