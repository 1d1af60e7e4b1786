"""Which of many findings may be named at once: the e-BH procedure.

Of what it names, at most a share α is wrong on average (false discovery rate), whatever the dependence between the
findings. Source: Wang and Ramdas, "False discovery rate control with e-values", JRSSB 84 (2022).
"""

from collections.abc import Mapping
from math import log

__all__ = ["discoveries"]


def discoveries(log_evidence: Mapping[str, float], alpha: float) -> tuple[str, ...]:
    """Names of the findings to report, the strongest first; equal ones by name.

    Args:
        log_evidence: natural log of each finding's e-value, all that were looked at and not only the large ones.
        alpha: false discovery rate, in (0, 1).
    """
    if not 0.0 < alpha < 1.0:
        msg = f"expected an alpha between 0 and 1, found {alpha:g}"
        raise ValueError(msg)
    ranked = sorted(log_evidence, key=lambda name: (-log_evidence[name], name))
    needed = log(len(ranked) / alpha) if ranked else 0.0
    named = [k for k, name in enumerate(ranked, start=1) if log_evidence[name] >= needed - log(k)]
    return tuple(ranked[: max(named, default=0)])
