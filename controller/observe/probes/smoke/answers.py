"""Steps that look at answers: golden requests, an invalid one, the same one twice."""

from collections.abc import Iterator
from typing import Final

from controller.api.scalars import format_duration
from controller.api.verdicts import CheckState
from controller.api.verify import GoldenCase
from controller.observe.probes.protocols import said
from controller.observe.probes.smoke.conversation import Reply
from controller.observe.probes.smoke.course import Course, Found
from controller.observe.probes.target import ProbeError
from controller.plan.verify.findings import shortened
from controller.plan.verify.golden import OUTPUT, Mismatch, case_problems, difference, requirement, within

_NOT_ABOUT_INPUT: Final = {
    401: "asks for credentials",
    403: "forbids it",
    404: "knows no such path or model",
    405: "takes no such method there",
    408: "did not wait for the body",
    429: "is overloaded",
}
"""Refusals that say nothing about the body."""

_NO_CASES: Final = Found(CheckState.SKIPPED, "there are no golden requests")


def golden(course: Course) -> Found:
    """Send the golden requests and hold each answer against what is expected."""
    cases = course.order.cases
    if not cases:
        return _NO_CASES
    unusable = next(case_problems(cases), None)
    if unusable is not None:
        return Found(CheckState.FAILED, unusable, "golden cases that can be used")
    course.ask_all()
    failed = [(case, mismatch) for case in cases if (mismatch := _mismatch(course, case)) is not None]
    if failed:
        return _failure(course, failed)
    uncompared = [words for case in cases if (words := _uncompared(course, case)) is not None]
    told = f"{len(cases)} of {len(cases)} golden requests answered as expected"
    if uncompared:
        return Found(CheckState.WARNED, f"{told}; {len(uncompared)} not compared with stable: {uncompared[0]}")
    return Found(CheckState.PASSED, told)


def _failure(course: Course, failed: list[tuple[GoldenCase, Mismatch]]) -> Found:
    case, mismatch = failed[0]
    found = f"golden case {case.name}: {mismatch.path} is {mismatch.found}"
    if len(failed) > 1:
        names = shortened(", ".join(each.name for each, _ in failed), 120)
        found += f"; {len(failed)} of {len(course.order.cases)} cases failed: {names}"
    return Found(CheckState.FAILED, found, mismatch.expected)


def _mismatch(course: Course, case: GoldenCase) -> Mismatch | None:
    if not course.was_sent(case):
        return None
    try:
        reply = course.reply(case)
        return next(_mismatches(course, case, reply), None)
    except ProbeError as error:
        return Mismatch("the request", f"not answered as it should: {error}", "an answer")


def _mismatches(course: Course, case: GoldenCase, reply: Reply) -> Iterator[Mismatch]:
    for problem in reply.problems:
        yield Mismatch(OUTPUT, f"not by the protocol: {problem}", f"an answer by {course.order.protocol}")
    if case.expect:
        output, body = reply.output, reply.body(case)
        found = (requirement(each).mismatch(output=output, body=body) for each in case.expect)
        yield from (each for each in found if each is not None)
    if case.differential is not None:
        yield from _from_stable(course, case, reply)
    if case.max_latency is not None:
        yield from _too_slow(course, case, reply)


def _from_stable(course: Course, case: GoldenCase, reply: Reply) -> Iterator[Mismatch]:
    tolerance = case.differential
    try:
        stable = course.stable_reply(case)
    except ProbeError:
        return
    if stable is None or tolerance is None:
        return
    mismatch = difference(reply.output, stable.output, agree=within(tolerance), path=OUTPUT)
    if mismatch is not None:
        words = f"{mismatch.expected} as stable answers, within atol {tolerance.atol} and rtol {tolerance.rtol}"
        yield Mismatch(mismatch.path, mismatch.found, words)


def _uncompared(course: Course, case: GoldenCase) -> str | None:
    """Return why a case could not be compared with stable, which is not the candidate's fault."""
    if case.differential is None:
        return None
    try:
        course.stable_reply(case)
    except ProbeError as error:
        return f"stable did not answer case {case.name}: {error}"
    return None


def _too_slow(course: Course, case: GoldenCase, reply: Reply) -> Iterator[Mismatch]:
    """Ask once more before an answer is called slow: the first may have met a cold model."""
    limit = case.max_latency
    if limit is None or reply.seconds <= limit.total_seconds():
        return
    second = course.again(case).seconds
    if second > limit.total_seconds():
        found = f"complete after {reply.seconds:.3g} s, and {second:.3g} s when asked again"
        yield Mismatch(OUTPUT, found, f"within {format_duration(limit)}")


def invalid_input(course: Course) -> Found:
    """Send a request that must be refused with 4xx: 200 hides errors, and 5xx is a crash."""
    asked = course.order.smoke.invalid_input
    if asked is None:
        return Found(CheckState.SKIPPED, "verify.smoke.invalidInput is not set")
    body = asked.request if asked.request is not None else course.pod.protocol.invalid()
    path = course.order.model.path or next((case.path for case in course.order.cases if case.path), None)
    answer = course.pod.ask(course.pod.protocol.infer(body, path))
    expected = f"HTTP 4xx to {shortened(body, 120)}"
    if not 400 <= answer.status < 500:
        content = answer.body[:120].decode(errors="replace")
        return Found(CheckState.FAILED, f"HTTP {answer.status} to an invalid request: {content}", expected)
    if answer.status in _NOT_ABOUT_INPUT:
        words = f"{said(answer)}: the server {_NOT_ABOUT_INPUT[answer.status]}, which says nothing about the input"
        return Found(CheckState.FAILED, words, expected)
    return Found(CheckState.PASSED, f"refused with {said(answer)}")


def determinism(course: Course) -> Found:
    """Send every golden request once more; the answers must be the same."""
    tolerance = course.order.smoke.determinism
    if tolerance is None:
        return Found(CheckState.SKIPPED, "verify.smoke.determinism is not set")
    if not course.order.cases:
        return _NO_CASES
    for case in course.order.cases:
        first, second = course.reply(case).output, course.again(case).output
        mismatch = difference(second, first, agree=within(tolerance), path=OUTPUT)
        if mismatch is not None:
            found = f"golden case {case.name}: {mismatch.path} is {mismatch.expected} at first, {mismatch.found} later"
            expected = f"the same answer twice, within atol {tolerance.atol} and rtol {tolerance.rtol}"
            return Found(CheckState.FAILED, found, expected)
    return Found(CheckState.PASSED, f"{len(course.order.cases)} golden requests answered the same twice")
