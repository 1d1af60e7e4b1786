"""Words of the judge: roles of metrics and verdicts on them."""

from enum import StrEnum


class Role(StrEnum):
    """What a metric may decide."""

    RED_FLAG = "RedFlag"
    GUARDRAIL = "Guardrail"
    TARGET = "Target"
    WATCH = "Watch"


class Verdict(StrEnum):
    """What the evidence says."""

    NOT_WORSE = "NotWorse"
    WORSE = "Worse"
    UNDECIDED = "Undecided"
    INVALID = "Invalid"
    NO_DATA = "NoData"
