"""Reproduction: recorded numbers and digests against those that a Job found again."""

from decimal import Decimal, localcontext
from typing import Final

from controller.api.verdicts import CheckState
from controller.api.verify import Number, Reproduction, Tolerance
from controller.plan.verify.findings import Finding, Part
from controller.plan.verify.jobs import Failed, JobState, Refused, Running, Succeeded
from controller.plan.verify.summaries import Summary, SummaryError, read_summary

JOB: Final = f"{Part.REPRODUCTION}/job"
_DIGITS: Final = 40
"""Digits of the arithmetic: exact for what a double and a decimal string can hold."""


def reproduction_findings(reproduction: Reproduction, state: JobState) -> tuple[Finding, ...]:
    """Return what the Job proves so far; no finding is ``Running`` once it has ended."""
    match state:
        case Running(job, detail):
            return (Finding(JOB, CheckState.RUNNING, f"job {job} runs {detail}".strip(), _expected(reproduction)),)
        case Succeeded(job, message, seconds):
            return check_reproduction(reproduction, message, job=job, seconds=seconds)
        case Failed(job, reason, hint, seconds):
            found = f"job {job} {reason}; see: {hint}"
            return (Finding(JOB, CheckState.FAILED, found, _expected(reproduction), seconds),)
        case Refused(sentence):
            return (Finding(JOB, CheckState.FAILED, sentence, _expected(reproduction)),)


def check_reproduction(
    reproduction: Reproduction, result_text: str, *, job: str = "", seconds: float = 0.0
) -> tuple[Finding, ...]:
    """Compare a Job's result with what was recorded: one finding for the Job, one for each recorded entry."""
    said = f"job {job} ended" if job else "the job ended"
    try:
        result = read_summary(result_text)
    except SummaryError as error:
        return (Finding(JOB, CheckState.FAILED, f"{said}, but: {error}", _expected(reproduction), seconds),)
    compared = (_compare(each, result, reproduction.tolerance) for each in reproduction.recorded)
    return (Finding(JOB, CheckState.PASSED, said, _expected(reproduction), seconds), *compared)


def _expected(reproduction: Reproduction) -> str:
    names = ", ".join(each.name for each in reproduction.recorded)
    return f"a Job from CronJob {reproduction.job_from} that reports: {names}"


def _compare(recorded: Number, result: Summary, tolerance: Tolerance) -> Finding:
    name = f"{Part.REPRODUCTION}/{recorded.name}"
    if recorded.name not in result:
        has = ", ".join(sorted(result)) or "nothing"
        return Finding(name, CheckState.FAILED, f"the result has no {recorded.name}; it has: {has}", _wanted(recorded))
    found = result[recorded.name]
    if recorded.value is None:
        state = CheckState.PASSED if found == recorded.digest else CheckState.FAILED
        return Finding(name, state, f"reproduced {found!r}", _wanted(recorded))
    if isinstance(found, bool) or not isinstance(found, int | float):
        return Finding(name, CheckState.FAILED, f"reproduced {found!r}, which is no number", _wanted(recorded))
    return _compare_number(name, recorded=recorded.value, found=found, tolerance=tolerance)


def _compare_number(name: str, *, recorded: Decimal, found: float, tolerance: Tolerance) -> Finding:
    with localcontext(prec=_DIGITS):
        # The shortest text that reads back as the same double is what the Job wrote.
        reproduced = Decimal(repr(found))
        difference = abs(reproduced - recorded)
        allowed = tolerance.atol + tolerance.rtol * abs(recorded)
        state = CheckState.PASSED if difference <= allowed else CheckState.FAILED
    return Finding(
        name,
        state,
        f"reproduced {_plain(reproduced)}, difference {_plain(difference)}",
        f"recorded {_plain(recorded)}, allowed difference {_plain(allowed)}",
    )


def _wanted(recorded: Number) -> str:
    return f"recorded {recorded.digest!r}" if recorded.value is None else f"recorded {_plain(recorded.value)}"


def _plain(number: Decimal) -> str:
    """Write a number as people read it: seven digits, an exponent only where zeros would hide it."""
    return f"{number:.7g}" if number else "0"
