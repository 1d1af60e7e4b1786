"""Steps that ask who answers: ready, metadata, identity, signature."""

import re
from collections.abc import Iterator
from typing import Final

from controller.api.scalars import format_duration
from controller.api.verdicts import CheckState
from controller.api.verify import Endpoint, Identity
from controller.observe.probes.protocol import ModelDescription, Tensor
from controller.observe.probes.protocols import said
from controller.observe.probes.smoke.course import Course, Found
from controller.observe.probes.target import ProbeError
from controller.plan.verify.findings import shortened
from controller.plan.verify.fingerprint import same_model
from controller.plan.verify.signature import Direction, SignatureChange, SignaturePart, signature_changes

POLL: Final = 0.2
"""Seconds between two looks whether the pod is ready."""

_LONGEST_LOOK: Final = 5.0
_DIGEST: Final = re.compile(r"(?:sha256:)?([0-9a-f]{12,64})")


def ready(course: Course) -> Found:
    """Ask until the model is loaded, at most until the deadline; then read the metrics page for the first time."""
    protocol = course.pod.protocol
    while True:
        try:
            answer = course.pod.ask(protocol.ready(), timeout=_LONGEST_LOOK)
            if protocol.is_ready(answer):
                break
            last = said(answer)
        except ProbeError as error:
            last = str(error)
        if not course.wait(POLL):
            limit = format_duration(course.order.smoke.deadline)
            return Found(CheckState.FAILED, f"not ready after {limit}; at last: {last}", f"ready within {limit}")
    if course.order.smoke.metrics is not None:
        course.page_before = course.page()
    return Found(CheckState.PASSED, f"HTTP {answer.status}")


def metadata(course: Course) -> Found:
    """Read what the server says of its model."""
    course.description = course.pod.description()
    if course.description is None:
        return Found(CheckState.UNSUPPORTED, f"{course.order.protocol} servers like this one do not describe the model")
    return Found(CheckState.PASSED, _described(course.description))


def identity(course: Course) -> Found:
    """Look for proof that the pod runs the model that was meant."""
    asked = course.order.smoke.identity
    if asked is None:
        return Found(CheckState.SKIPPED, "verify.smoke.identity is not set")
    found = list(_identities(course, asked))
    wrong = next((each for each in found if each.state is not CheckState.PASSED), None)
    return wrong or Found(CheckState.PASSED, "; ".join(each.found for each in found))


def signature(course: Course) -> Found:
    """Hold the candidate's signature against stable's; only what clients of stable would trip over fails."""
    own = course.description
    if course.order.stable is None:
        return Found(CheckState.SKIPPED, "there is no stable to compare with")
    if own is None or not (own.inputs or own.outputs):
        return Found(CheckState.UNSUPPORTED, "the server does not tell its inputs and outputs")
    try:
        theirs = None if course.stable is None else course.stable.description()
    except ProbeError as error:
        return Found(CheckState.WARNED, f"not compared: stable did not tell its signature: {error}")
    if theirs is None or not (theirs.inputs or theirs.outputs):
        return Found(CheckState.UNSUPPORTED, "stable's server does not tell its inputs and outputs")
    changes = (
        *signature_changes(Direction.INPUT, stable=_parts(theirs.inputs), candidate=_parts(own.inputs)),
        *signature_changes(Direction.OUTPUT, stable=_parts(theirs.outputs), candidate=_parts(own.outputs)),
    )
    return _judged(changes)


def _judged(changes: tuple[SignatureChange, ...]) -> Found:
    words = "; ".join(change.words for change in sorted(changes, key=lambda change: not change.breaking))
    if any(change.breaking for change in changes):
        return Found(CheckState.FAILED, words, "a signature that takes stable's requests and gives stable's outputs")
    if any(change.added_input for change in changes):
        return Found(CheckState.WARNED, f"{words}; clients of stable do not send it", "stable's inputs")
    return Found(CheckState.PASSED, words or "the same as stable's")


def _identities(course: Course, asked: Identity) -> Iterator[Found]:
    if asked.digest is not None:
        yield _digest(course, asked.digest, asked.container)
    if asked.endpoint is not None:
        yield _endpoint(course.description, asked.endpoint)
    if asked.fingerprint is not None:
        yield _fingerprint(course, asked.fingerprint)


def _digest(course: Course, wanted: str, container: str | None) -> Found:
    images = course.order.images
    name = container or next(iter(images), "")
    if name not in images:
        listed = ", ".join(images) or "none"
        return Found(CheckState.FAILED, f"no image of container {name!r} is known; containers: {listed}", wanted)
    prefix = _DIGEST.fullmatch(wanted.strip().lower())
    if prefix is None:
        return Found(CheckState.FAILED, f"digest {wanted!r}", "sha256: and 12 to 64 hex digits")
    running = images[name]
    if running.lower().rpartition("sha256:")[2].startswith(prefix[1]):
        return Found(CheckState.PASSED, f"container {name} runs {running}")
    return Found(CheckState.FAILED, f"container {name} runs {running or 'an unknown image'}", wanted)


def _endpoint(description: ModelDescription | None, asked: Endpoint) -> Found:
    expected = f"{asked.field} = {asked.equals}"
    if description is None:
        return Found(CheckState.FAILED, "the server does not describe its model", expected)
    if asked.field not in description.fields:
        listed = ", ".join(f"{name} = {value}" for name, value in description.fields.items())
        return Found(
            CheckState.FAILED, f"no field {asked.field}; there is {shortened(listed, 200) or 'none'}", expected
        )
    found = f"{asked.field} = {description.fields[asked.field]}"
    return Found(CheckState.PASSED if found == expected else CheckState.FAILED, found, expected)


def _fingerprint(course: Course, wanted: str) -> Found:
    expected = f"fingerprint {wanted}"
    if not course.order.cases:
        return Found(CheckState.FAILED, "no fingerprint, because there are no golden requests", expected)
    course.ask_all()
    found = course.fingerprint()
    if found is None:
        problem = next((words for case in course.order.cases if (words := course.problem(case))), "not all were sent")
        return Found(CheckState.FAILED, f"no fingerprint, because a golden request failed: {problem}", expected)
    state = CheckState.PASSED if same_model(found, wanted) else CheckState.FAILED
    return Found(state, f"fingerprint {found}", expected)


def _described(description: ModelDescription) -> str:
    fields = ", ".join(f"{name} = {value}" for name, value in list(description.fields.items())[:8])
    tensors = [
        f"{side} {', '.join(map(str, _parts(each)))}"
        for side, each in (("inputs", description.inputs), ("outputs", description.outputs))
        if each
    ]
    return "; ".join([fields or "an empty description", *tensors])


def _parts(tensors: tuple[Tensor, ...]) -> tuple[SignaturePart, ...]:
    return tuple(SignaturePart(each.name, each.datatype, each.shape) for each in tensors)
