"""Training and evaluation, as functions that the components and the reproduction share."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss

from examples.demo.train import RECIPES
from examples.verify.digits import Digits

STRENGTH = RECIPES["good"].strength
"""Inverse regularisation: that of the demo's model `good`."""


def fit(known: Digits) -> LogisticRegression:
    """Return the trained model. The function that it minimises is convex: it comes out the same on every machine."""
    return LogisticRegression(C=STRENGTH, max_iter=5000).fit(*known)


def metrics(model: LogisticRegression, unseen: Digits) -> dict[str, float]:
    """Return how good it is on rows that it never saw."""
    scores = model.predict_proba(unseen.pixels)
    return {
        "accuracy": float(accuracy_score(unseen.labels, np.argmax(scores, axis=1))),
        "logLoss": float(log_loss(unseen.labels, scores)),
    }
