"""The root of an increasing function."""

from collections.abc import Callable

__all__ = ["upper_root"]


def upper_root(excess: Callable[[float], float], *, low: float, high: float, tolerance: float) -> float | None:
    """A point from which on ``excess`` is at least 0, next to its root; None where it is below 0 at ``high`` too.

    False position with the modification of Illinois: the end that stays a second time counts half.

    Args:
        excess: increasing on [low, high].
        low: where to begin; itself the answer where ``excess`` is at least 0 there.
        high: the largest point allowed.
        tolerance: how close to the root the answer is, in ``excess`` or as a part of the bracket's upper end.
    """
    below, above = excess(low), excess(high)
    if above < 0.0:
        return None
    if below >= 0.0:
        return low
    reached, moved = above, 0
    while high - low > tolerance * abs(high) and reached > tolerance:
        middle = (low * above - high * below) / (above - below)
        if not low < middle < high:
            middle = 0.5 * (low + high)
        value = excess(middle)
        if value >= 0.0:
            high, above, below, moved = middle, value, below / (1 + max(moved, 0)), 1
            reached = value
        else:
            low, below, above, moved = middle, value, above / (1 + max(-moved, 0)), -1
    return high
