"""Simulated histograms: lognormal values in the default buckets of the Prometheus client."""

from math import inf, log
from typing import Final

import numpy as np
from scipy.special import ndtr

from controller.judge.batch import Floats

__all__ = ["EDGES", "bucket_shares", "factor_of"]

EDGES: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, inf)
"""Upper bounds of the buckets, in the unit of the values (seconds)."""

_LARGEST_FACTOR: Final = 1e6
_HALVINGS: Final = 60


def bucket_shares(medians: Floats, spread: float) -> Floats:
    """Share of the values in each bucket, in front of the medians' own axes; ``spread`` is that of their logarithms."""
    edges = np.log(np.array(EDGES[:-1])).reshape(-1, *[1] * medians.ndim)
    below = ndtr((edges - np.log(medians)) / spread)
    ends = np.zeros((1, *medians.shape))
    shares: Floats = np.diff(np.concatenate([ends, below, ends + 1.0]), axis=0)
    return shares


def factor_of(share: float, *, median: float, spread: float) -> float:
    """By what the values must be multiplied so that, at one edge, so many more of them are above and at none more.

    A negative share is one fewer. Where so many cannot be reached, a factor that comes near.
    """
    direction = 1.0 if share >= 0.0 else -1.0
    low, high = 0.0, log(_LARGEST_FACTOR)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        moved = bucket_shares(np.array([median * np.exp(direction * middle), median]), spread)
        above = np.cumsum(moved[::-1], axis=0)[::-1]
        if float(np.abs(above[:, 0] - above[:, 1]).max()) < abs(share):
            low = middle
        else:
            high = middle
    return float(np.exp(direction * high))
