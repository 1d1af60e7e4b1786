"""Shares of the same requests in many runs side by side: every share of every run is a ratio to F1, as a run."""

import numpy as np

from controller.judge.numbers.vector import BatchWindow, Floats, log_factors

__all__ = ["above_edges", "as_runs", "buckets_of", "factors_of"]


def buckets_of(window: BatchWindow) -> tuple[Floats, Floats]:
    """Both arms' requests per bucket, buckets by runs.

    Raises:
        TypeError: the window has totals alone.
    """
    if window.stable_buckets is None or window.candidate_buckets is None:
        msg = "expected a window with buckets, found one with totals alone"
        raise TypeError(msg)
    return window.stable_buckets, window.candidate_buckets


def above_edges(buckets: Floats) -> Floats:
    """Requests above each inner edge."""
    above: Floats = np.cumsum(buckets[::-1], axis=0)[::-1][1:]
    return above


def as_runs(window: BatchWindow, stable: Floats, candidate: Floats) -> BatchWindow:
    """The window with every share of every run as a run of its own; shares come as requests, shares by runs."""
    size = len(stable)
    totals = np.tile(window.stable_total, size), np.tile(window.candidate_total, size)
    return BatchWindow(totals[0], stable.ravel(), totals[1], candidate.ravel(), *totals)


def factors_of(window: BatchWindow, rates: Floats, margins: Floats, alternatives: Floats) -> Floats:
    """Log e-value (F1) of each bet on each share; the margin is that of the share."""
    lines = np.broadcast_to(margins, alternatives.shape)
    return log_factors(window, rates=rates, margins=lines, alternatives=alternatives)
