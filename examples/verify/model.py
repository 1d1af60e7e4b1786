"""Training and evaluation, as functions that the components and the reproduction share."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss

from examples.demo.train import RECIPES
from examples.verify.digits import Digits

STRENGTH = RECIPES["good"].strength
"""Inverse regularisation: that of the demo's model `good`."""


def fit(known: Digits) -> LogisticRegression:
    """Return the trained model.

    The function that it minimises is convex, so that there is one answer. The usual tolerance of 1e-4 stops short of
    it, by how much depends on the order in which threads add up: the log loss then differs by a thousandth.
    """
    return LogisticRegression(C=STRENGTH, tol=1e-8, max_iter=20_000).fit(*known)


def metrics(model: LogisticRegression, unseen: Digits) -> dict[str, float]:
    """Return how good it is on rows that it never saw."""
    scores = model.predict_proba(unseen.pixels)
    return {
        "accuracy": float(accuracy_score(unseen.labels, np.argmax(scores, axis=1))),
        "logLoss": float(log_loss(unseen.labels, scores)),
    }
