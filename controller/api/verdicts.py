"""The words in which a comparison is asked for and answered: roles, verdicts, ways to advance."""

from enum import StrEnum

__all__ = ["Advance", "Kind", "Role", "ShareCheck", "Verdict"]


class Role(StrEnum):
    """What a metric may cause.

    ``RedFlag`` rolls back on a threshold, without statistics and outside of alpha. ``Guardrail`` and
    ``Target`` are gating: both sides of the comparison count. ``Watch`` is shown and has no weight.
    """

    RED_FLAG = "RedFlag"
    GUARDRAIL = "Guardrail"
    TARGET = "Target"
    WATCH = "Watch"

    @property
    def gating(self) -> bool:
        """Whether a promotion needs this metric's evidence and a roll-back may rest on it."""
        return self in (Role.GUARDRAIL, Role.TARGET)


class Verdict(StrEnum):
    """What the evidence so far says about the candidate, per metric or over all of them."""

    NOT_WORSE = "NotWorse"
    WORSE = "Worse"
    UNDECIDED = "Undecided"
    INVALID = "Invalid"
    NO_DATA = "NoData"


class Advance(StrEnum):
    """When the next step may be entered: as soon as the harm budget allows it, or after its windows."""

    BUDGETED = "Budgeted"
    FIXED = "Fixed"


class Kind(StrEnum):
    """What a metric is made of."""

    RATIO = "ratio"
    RATE = "rate"
    MEAN = "mean"
    HISTOGRAM = "histogram"
    DISTRIBUTION = "distribution"
    PAIRED = "paired"
    QUERY = "query"


class ShareCheck(StrEnum):
    """How the candidate's share of the requests is held against its weight.

    ``Independent``: requests are routed one by one. ``Sticky``: by session, so that whole windows are compared.
    ``Advisory``: connections to a Service are, and by pod counts; a deviation is told and makes nothing invalid.
    """

    INDEPENDENT = "Independent"
    STICKY = "Sticky"
    ADVISORY = "Advisory"


class CheckState(StrEnum):
    """How a check of ``spec.verify`` stands."""

    PENDING = "Pending"
    RUNNING = "Running"
    PASSED = "Passed"
    FAILED = "Failed"
    WARNED = "Warned"
    SKIPPED = "Skipped"
    UNSUPPORTED = "Unsupported"
