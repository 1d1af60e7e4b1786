"""What is settled before the first window: the effective margin and the error per attempt."""

from decimal import Decimal
from math import pi

from controller.judge.kinds.ratio import History

__all__ = ["alpha_for_attempt", "resolve_margin", "resolve_mean_margin", "resolve_rate_margin"]


def resolve_margin(absolute: Decimal | None, relative: Decimal | None, history: History | None) -> float:
    """The effective margin δ, the larger of ``absolute`` and ``relative × stable's rate in the history``.

    Raises:
        ValueError: neither is given, a relative one comes without history, or δ is outside of [0, 1).
    """
    if absolute is None and relative is None:
        msg = "expected a margin, absolute or relative; found neither"
        raise ValueError(msg)
    candidates = [] if absolute is None else [float(absolute)]
    if relative is not None:
        rate = history.rate if history is not None else None
        if rate is None:
            msg = f"a relative margin ({relative}) needs stable's history; found none: give an absolute margin alone"
            raise ValueError(msg)
        candidates.append(float(relative) * rate)
    margin = max(candidates)
    if not 0.0 <= margin < 1.0:
        msg = f"expected an effective margin of at least 0 and below 1, found {margin:g}"
        raise ValueError(msg)
    return margin


def resolve_rate_margin(absolute: Decimal | None, relative: Decimal | None, base: float | None) -> float:
    """The effective margin of a rate, relative to stable's: the larger of ``relative`` and ``absolute / base``.

    Args:
        absolute: in events per exposure.
        relative: as a share of stable's rate.
        base: stable's rate in the history, None without one.

    Raises:
        ValueError: neither is given, or an absolute one comes without a history with events in it.
    """
    if absolute is None and relative is None:
        msg = "expected a margin, absolute or relative; found neither"
        raise ValueError(msg)
    margins = [] if relative is None else [float(relative)]
    if absolute is not None:
        if absolute and not base:
            msg = (
                f"an absolute margin ({absolute}) of a rate needs stable's history with events in it; found none: "
                "give a relative margin alone"
            )
            raise ValueError(msg)
        margins.append(float(absolute) / base if base else 0.0)
    return max(margins)


def resolve_mean_margin(absolute: Decimal | None, relative: Decimal | None, base: float | None) -> float:
    """The effective margin of a mean, in its unit: the larger of ``absolute`` and ``relative × |base|``.

    Args:
        absolute: in units of the mean.
        relative: as a share of stable's mean.
        base: stable's mean in the history, None without one.

    Raises:
        ValueError: neither is given, or a relative one comes without history.
    """
    if absolute is None and relative is None:
        msg = "expected a margin, absolute or relative; found neither"
        raise ValueError(msg)
    margins = [] if absolute is None else [float(absolute)]
    if relative is not None:
        if base is None:
            msg = f"a relative margin ({relative}) needs stable's history; found none: give an absolute margin alone"
            raise ValueError(msg)
        margins.append(float(relative) * abs(base))
    return max(margins)


def alpha_for_attempt(alpha: float, attempt: int) -> float:
    """Error probability of the k-th epoch (k ≥ 1) for the same two revisions: α·6/(π²k²).

    Sums to α over all attempts, so that trying again is no way round the error bound.
    """
    if attempt < 1:
        msg = f"expected an attempt of 1 or more, found {attempt}"
        raise ValueError(msg)
    return alpha * 6.0 / (pi * attempt) ** 2
