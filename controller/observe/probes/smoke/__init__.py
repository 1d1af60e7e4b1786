"""The smoke test of one pod: nine steps in order, each a finding; after one that failed the rest is not reached.

Nothing raises: what goes wrong with the pod is what was found. Where the process ends in the midst of a test, the
steps that are left are ``Pending``, which neither passed nor failed.
"""

import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final

from controller.api.verdicts import CheckState
from controller.observe.probes.smoke.answers import determinism, golden, invalid_input
from controller.observe.probes.smoke.course import Course, Found, StoppedError
from controller.observe.probes.smoke.load import latency, metrics
from controller.observe.probes.smoke.order import SmokeOrder
from controller.observe.probes.smoke.standing import identity, metadata, ready, signature
from controller.observe.probes.target import ProbeError
from controller.plan.verify.findings import Finding, Outcome
from controller.plan.verify.golden import GoldenCasesError, golden_cases

__all__ = ["GOLDEN", "STEPS", "GoldenCasesError", "SmokeOrder", "golden_cases", "run_golden", "run_smoke"]

Step = Callable[[Course], Found]

GOLDEN: Final = "smoke/golden"
STEPS: Final[dict[str, Step]] = {
    "smoke/ready": ready,
    "smoke/metadata": metadata,
    "smoke/identity": identity,
    "smoke/signature": signature,
    GOLDEN: golden,
    "smoke/invalid-input": invalid_input,
    "smoke/determinism": determinism,
    "smoke/latency": latency,
    "smoke/metrics": metrics,
}
"""By the name of their finding, in their order."""


def _never() -> bool:
    return False


def run_smoke(
    order: SmokeOrder,
    *,
    now: Callable[[], datetime],
    monotonic: Callable[[], float] = time.monotonic,
    stopping: Callable[[], bool] = _never,
) -> Outcome:
    """Carry out all steps; the pod has ``smoke.deadline`` from now to its last answer."""
    return _run(order, STEPS.items(), now=now, monotonic=monotonic, stopping=stopping)


def run_golden(
    order: SmokeOrder,
    *,
    now: Callable[[], datetime],
    monotonic: Callable[[], float] = time.monotonic,
    stopping: Callable[[], bool] = _never,
) -> Outcome:
    """Send the golden requests again to a pod that passed before; its metadata is not asked for."""
    return _run(order, [(GOLDEN, golden)], now=now, monotonic=monotonic, stopping=stopping)


def _run(
    order: SmokeOrder,
    steps: Iterable[tuple[str, Step]],
    *,
    now: Callable[[], datetime],
    monotonic: Callable[[], float],
    stopping: Callable[[], bool],
) -> Outcome:
    deadline = monotonic() + order.smoke.deadline.total_seconds()
    findings: list[Finding] = []
    ended: Found | None = None
    with Course(order, deadline=deadline, monotonic=monotonic, stopping=stopping) as course:
        for name, step in steps:
            began = monotonic()
            found = ended or _carried_out(course, step)
            findings.append(Finding(name, found.state, found.found, found.expected, monotonic() - began))
            ended = ended or _ending(name, found)
        return Outcome(
            tuple(findings),
            now(),
            fingerprint=course.fingerprint(),
            sent=course.sent,
            sent_to_stable=course.sent_to_stable,
        )


def _carried_out(course: Course, step: Step) -> Found:
    try:
        course.check_running()
        return step(course)
    except StoppedError:
        return Found(CheckState.PENDING, "the operator ended before this was known")
    except ProbeError as error:
        return Found(CheckState.FAILED, str(error), "an answer that can be read")


def _ending(name: str, found: Found) -> Found | None:
    """Return what is said of all later steps, when there is no point in them."""
    if found.state is CheckState.FAILED:
        return Found(CheckState.SKIPPED, f"not reached, because {name} failed")
    return found if found.state is CheckState.PENDING else None
