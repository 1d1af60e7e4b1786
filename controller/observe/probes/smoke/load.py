"""Steps that need many requests: latency of the warm pod, counters that moved."""

from collections.abc import Iterator
from itertools import cycle, islice
from math import ceil
from typing import Final

from controller.api.scalars import format_duration
from controller.api.verdicts import CheckState
from controller.api.verify import LatencyBound
from controller.observe.probes.smoke.course import Course, Found

_MOVES_WITHIN: Final = 10
"""Looks at the metrics page: some servers count after they have answered."""

_LOOK_EVERY: Final = 0.2


def latency(course: Course) -> Found:
    """Measure the warm pod: golden requests one after the other, a quantile of their times."""
    bound = course.order.smoke.latency
    if bound is None:
        return Found(CheckState.SKIPPED, "verify.smoke.latency is not set")
    if not course.order.cases:
        return Found(CheckState.SKIPPED, "there are no golden requests")
    if not 0 < bound.quantile <= 1:
        return Found(CheckState.FAILED, f"quantile {bound.quantile}", "a quantile above 0 and at most 1, such as 0.95")
    cases = cycle(course.order.cases)
    for case in islice(cases, bound.warmups):
        course.again(case)
    times = sorted(course.again(case).seconds for case in islice(cases, bound.requests))
    return _judged(times, bound)


def _judged(times: list[float], bound: LatencyBound) -> Found:
    found = times[ceil(bound.quantile * len(times)) - 1]
    words = f"quantile {bound.quantile} of {len(times)} requests is {found * 1000:.3g} ms"
    words += f" (the slowest: {times[-1] * 1000:.3g} ms)"
    state = CheckState.PASSED if found <= bound.max.total_seconds() else CheckState.FAILED
    return Found(state, words, f"at most {format_duration(bound.max)}")


def metrics(course: Course) -> Found:
    """Read the metrics page again: the judge's counters must have counted the requests."""
    check = course.order.smoke.metrics
    if check is None:
        return Found(CheckState.SKIPPED, "verify.smoke.metrics is not set")
    counters = (check.counter,) if check.counter is not None else course.order.counters
    if not counters:
        return Found(CheckState.SKIPPED, "no metric of the analysis counts requests; set verify.smoke.metrics.counter")
    if not course.pod.answered:
        return Found(CheckState.SKIPPED, "no golden request was answered that could be counted")
    for _ in range(_MOVES_WITHIN):
        problem = next(_unmoved(course, counters), None)
        if problem is None or not course.wait(_LOOK_EVERY):
            break
    if problem is not None:
        return problem
    return Found(CheckState.PASSED, f"{', '.join(counters)} counted the {course.pod.answered} requests")


def _unmoved(course: Course, counters: tuple[str, ...]) -> Iterator[Found]:
    before, after = course.page_before, course.page()
    sent = course.pod.answered
    for counter in counters:
        total = after.total(counter)
        expected = f"{counter} moved by at least the {sent} requests that were answered"
        if total is None:
            yield Found(CheckState.FAILED, f"the page has no {counter}; it has {after.similar(counter)}", expected)
            continue
        started = (before.total(counter) if before is not None else None) or 0.0
        moved = total - started
        if moved < sent:
            why = "; do several processes behind the port count each for itself?" if moved else ""
            yield Found(
                CheckState.FAILED, f"{counter} moved by {moved:g}, from {started:g} to {total:g}{why}", expected
            )
