"""Numbers as status and events write them."""

from math import exp

__all__ = ["e_value"]

_HIGHEST_SHOWN = 1e6


def e_value(log_value: float) -> str:
    """Write evidence for people: four digits, and no more than a million."""
    value = exp(min(log_value, 50.0))
    return f">{_HIGHEST_SHOWN:.0f}" if value > _HIGHEST_SHOWN else f"{value:.4g}"
