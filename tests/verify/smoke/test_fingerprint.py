"""Fingerprints: the same for a model that is started again, another one for another model."""

import json
import pickle
import warnings
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPRegressor
from threadpoolctl import threadpool_limits

from controller.plan.verify.findings import JsonValue
from controller.plan.verify.fingerprint import fingerprint, same_model

TRIALS = 20
X, Y = load_iris(return_X_y=True)
ASKED = np.random.default_rng(7).uniform(X.min(axis=0), X.max(axis=0), (20, 4))
Predict = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


@cache
def logistic(seed: int) -> bytes:
    rows = np.random.default_rng(seed).choice(len(X), len(X))
    return pickle.dumps(LogisticRegression(max_iter=200).fit(X[rows], Y[rows]).predict_proba)


@cache
def forest(seed: int) -> bytes:
    return pickle.dumps(RandomForestClassifier(5, random_state=seed).fit(X, Y).predict_proba)


@cache
def network(seed: int) -> bytes:
    trained = MLPRegressor(hidden_layer_sizes=(4,), activation="tanh", random_state=seed, max_iter=20, solver="lbfgs")
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        return pickle.dumps(trained.fit(X, Y).predict)


TRAINED: list[Callable[[int], bytes]] = [logistic, forest, network]


def of(stored: bytes, noise: float = 0.0, seed: int = 0) -> str:
    """Return the fingerprint of a stored model that is started anew, and sums its numbers in another order."""
    predict: Predict = pickle.loads(stored)
    random = np.random.default_rng(seed)
    found = np.atleast_2d(predict(ASKED).T).T
    shaken = found * (1 + noise * random.standard_normal(found.shape)) + noise * random.standard_normal(found.shape)
    return fingerprint((f"c{at}", json.loads(json.dumps(row.tolist()))) for at, row in enumerate(shaken))


@pytest.mark.parametrize("train", TRAINED)
@pytest.mark.parametrize("noise", [0.0, 1e-12, 1e-7])
def test_a_model_started_again_is_the_same(train: Callable[[int], bytes], noise: float) -> None:
    recorded = of(train(0))
    for trial in range(TRIALS):
        assert same_model(of(train(0), noise, trial), recorded), trial


@pytest.mark.parametrize("train", TRAINED)
def test_another_model_of_the_same_kind_and_data_differs(train: Callable[[int], bytes]) -> None:
    found = [of(train(seed)) for seed in range(TRIALS + 1)]
    assert [same_model(one, other) for at, one in enumerate(found) for other in found[at + 1 :]].count(True) == 0


@given(
    st.floats(-1e6, 1e6, allow_subnormal=False),
    st.floats(-1e-7, 1e-7),
    st.lists(st.floats(-10, 10), max_size=3),
)
def test_no_number_lies_on_an_edge_of_all_grids(number: float, noise: float, others: list[float]) -> None:
    before = fingerprint([("a", [number, *others])])
    assert same_model(before, fingerprint([("a", [number * (1 + noise) + noise, *others])]))


@given(st.floats(0.1, 1e9), st.sampled_from([-1, 1]))
def test_a_change_of_half_a_percent_is_seen(number: float, sign: int) -> None:
    assert not same_model(fingerprint([("a", sign * number)]), fingerprint([("a", sign * number * 1.005)]))


@pytest.mark.parametrize("number", [0.0, 1.0, -1.0])
@pytest.mark.parametrize("noise", [1e-17, -1e-17, 1e-9, -1e-9])
def test_saturated_answers_do_not_flicker_on_any_grid(number: float, noise: float) -> None:
    assert fingerprint([("a", number)]) == fingerprint([("a", number + noise)])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"a": 1.0, "b": 2.5}, {"b": 2.5, "a": 1.0}, True),
        ([1], [1.0], True),
        ([1], [True], False),
        ([0], [False], False),
        ([0], [None], False),
        (50_000, 50_001, False),
        ("cat", "dog", False),
        ("1", 1, False),
        ([[1, 2]], [1, 2], False),
        ([1, [2]], [[1], 2], False),
        ([], {}, False),
        ({"a": "b"}, {"b": "a"}, False),
        (float("nan"), float("nan"), True),
        (float("nan"), 0.0, False),
        (float("inf"), 1e300, False),
        (10**400, 10**400 + 1, False),
        (1e-12, 0.0, True),
    ],
)
def test_what_counts_as_the_same_answer(one: JsonValue, other: JsonValue, same: bool) -> None:
    assert same_model(fingerprint([("a", one)]), fingerprint([("a", other)])) is same


def test_the_cases_count_too() -> None:
    assert not same_model(fingerprint([("a", 1)]), fingerprint([("b", 1)]))
    assert not same_model(fingerprint([("a", 1)]), fingerprint([("a", 1), ("b", 1)]))


def test_one_part_of_a_fingerprint_is_compared_by_itself() -> None:
    whole = fingerprint([("a", 0.5)])
    assert len(whole) == 64
    assert same_model(whole[:16].upper(), whole)
    assert not same_model("", whole)
    assert not same_model("0" * 64, whole)


def test_texts_with_halves_of_characters_have_one_too() -> None:
    assert len(fingerprint([("a", json.loads('{"\\ud800": "\\udfff"}'))])) == 64
