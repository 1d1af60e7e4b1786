"""Logarithms of tail probabilities that are themselves too small for a float."""

from math import log, log1p

import numpy as np
from scipy.special import betainc, betaln, stdtr

from controller.judge.numbers.vector import Floats

__all__ = ["log_beta_cdf", "log_student_cdf"]

_SMALL = 1e-280
"""Below this the tail is computed as a logarithm from the start."""

_TERMS = 14
_MAX_ITERATIONS = 100_000
_EPSILON = 1e-15
_TINY = 1e-300


def log_student_cdf(x: Floats, freedom: Floats) -> Floats:
    """Natural log of P(T ≤ x) for Student's t; ``freedom`` above 0, of the same shape as ``x``; finite for finite x.

    Relative error of the logarithm below 1e-11 for |x| ≤ 10⁹ and up to 10⁶ degrees of freedom.
    """
    tail = stdtr(freedom, -np.abs(x))
    far = tail < _SMALL
    logs = np.log(np.where(far, 1.0, tail))
    if far.any():
        logs[far] = _log_far_tail(x[far], freedom[far])
    cdf: Floats = np.where(x < 0.0, logs, np.log1p(-tail))
    return cdf


def _log_far_tail(x: Floats, freedom: Floats) -> Floats:
    """Log of P(T ≤ −|x|) where that is below 1e-280.

    ½·I_z(a, ½) with a = ν/2, z = ν/(ν + x²), and I_z by the hypergeometric series ₂F₁(½, 1; a + 1; −ν/x²)
    (DLMF 8.17.8 and 15.8.1). It alternates, so the error is below the first term left out; this far out each
    term is at most (k + ½)/640 of the one before.
    """
    a, y = 0.5 * freedom, freedom / x**2
    series, term = np.ones_like(x), np.ones_like(x)
    for k in range(_TERMS):
        term = term * (-(k + 0.5) / (a + 1.0 + k) * y)
        series = series + term
    logs: Floats = -a * np.log1p(1.0 / y) + 0.5 * np.log1p(y) - np.log(2.0 * a) - betaln(a, 0.5) + np.log(series)
    return logs


def log_beta_cdf(x: float, *, a: float, b: float) -> float:
    """Natural log of the regularised incomplete beta function I_x(a, b) for x in (0, 1) and a, b > 0."""
    value = float(betainc(a, b, x))
    if value >= _SMALL:
        return log(value)
    # So far out x is left of the mean, where the continued fraction converges fast (DLMF 8.17.22).
    return a * log(x) + b * log1p(-x) - log(a) - float(betaln(a, b)) + log(_continued_fraction(x, a=a, b=b))


def _continued_fraction(x: float, *, a: float, b: float) -> float:
    """1/(1 + d₁/(1 + d₂/(1 + …))) of DLMF 8.17.22, by the method of Lentz as modified by Thompson and Barnett."""
    value, c, d = 1.0, 1.0, 0.0
    for i in range(1, _MAX_ITERATIONS):
        m = i // 2
        if i % 2:
            partial = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
        else:
            partial = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        d = 1.0 / _away_from_zero(1.0 + partial * d)
        c = _away_from_zero(1.0 + partial / c)
        value *= c * d
        if abs(c * d - 1.0) < _EPSILON:
            break
    return 1.0 / value


def _away_from_zero(number: float) -> float:
    return number if abs(number) > _TINY else _TINY
