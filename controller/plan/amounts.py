"""Numbers of a forecast in words: rounded to what it is good for, so that they do not change at every look."""

from datetime import timedelta
from math import floor, isfinite, log10

__all__ = ["about_requests", "about_time", "points"]

_LONGEST = 3650.0
"""Days beyond which a forecast is no more than "never"."""


def about_requests(number: float) -> str:
    """Write a number of requests with two digits: ``1400``."""
    if number < 1.0:
        return "1"
    scale = max(0, floor(log10(number)) - 1)
    return f"{round(number / 10**scale) * 10**scale:.0f}"


def about_time(span: timedelta | float) -> str:
    """Write a span of time as people say it: ``40 s``, ``22 min``, ``3 h 20 min``, ``31 h``, ``5 days``.

    A float is seconds; infinite, or longer than ten years, is ``never``.
    """
    seconds = span.total_seconds() if isinstance(span, timedelta) else span
    if not isfinite(seconds) or seconds > _LONGEST * 86_400:
        return "never"
    if seconds < 60:
        return f"{max(10, round(seconds / 10) * 10):.0f} s"
    minutes = seconds / 60
    if round(minutes) < 60:
        return f"{about_requests(minutes)} min"
    if minutes < 10 * 60:
        hours, rest = divmod(round(minutes / 10) * 10, 60)
        return f"{hours:.0f} h" if not rest else f"{hours:.0f} h {rest:.0f} min"
    if minutes < 72 * 60:
        return f"{round(minutes / 60):.0f} h"
    return f"{round(minutes / 1440):.0f} days"


def points(share: float) -> str:
    """Write a difference of shares: ``0.25 points`` for 0.0025."""
    number = f"{100 * share:.3g}"
    return f"{number} point" if number == "1" else f"{number} points"
