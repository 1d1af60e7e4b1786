"""What the protocols share: requests with a JSON body, answers that are objects, and a server's error in its words."""

from typing import Final

from controller.observe.probes.target import Answer, Exchange, ProbeError
from controller.plan.verify.findings import JsonValue, shortened

MALFORMED: Final = '{"not": "closed"'
"""No JSON: what every server that reads JSON has to refuse."""

_SHOWN: Final = 200
_MOST_FIELDS: Final = 256
_LONGEST_FIELD: Final = 512
_ERRORS: Final = ("error", "detail", "message", "error_message", "reason")
_IN_ERRORS: Final = ("message", "msg", "detail")


def get(path: str) -> Exchange:
    """Return a request without a body."""
    return Exchange("GET", path)


def post(path: str, body: str) -> Exchange:
    """Return a request with a JSON body, exactly as the user wrote it.

    The content type carries no charset: one MLflow release refuses any but utf-8, others any at all.
    """
    return Exchange("POST", path, body.encode(errors="replace"), {"Content-Type": "application/json"})


def said(answer: Answer) -> str:
    """Return the status and the server's own words about it, in one line."""
    words = _error_of(answer)
    return f"HTTP {answer.status}: {words!r}" if words else f"HTTP {answer.status}"


def accepted(answer: Answer) -> JsonValue:
    """Return the JSON of an answer of status 200.

    Raises:
        ProbeError: another status, or no JSON.
    """
    if answer.status != 200:
        msg = f"expected HTTP 200, found {said(answer)}"
        raise ProbeError(msg)
    return answer.json()


def accepted_text(answer: Answer) -> JsonValue:
    """Return the JSON of an answer of any 2xx status; text where the server calls it plain text.

    Raises:
        ProbeError: another status, no content, or no JSON.
    """
    if not 200 <= answer.status < 300:
        msg = f"expected HTTP 200, found {said(answer)}"
        raise ProbeError(msg)
    if answer.headers.get("content-type", "").startswith("text/plain"):
        return answer.body.decode(errors="replace")
    return answer.json()


def members(value: JsonValue, *, of: str) -> dict[str, JsonValue]:
    """Return a JSON object's members.

    Raises:
        ProbeError: it is none; ``of`` names what was expected.
    """
    if not isinstance(value, dict):
        msg = f"expected {of} as a JSON object, found {shortened(repr(value), _SHOWN)}"
        raise ProbeError(msg)
    return value


def elements(value: JsonValue, *, of: str) -> list[JsonValue]:
    """Return a JSON list's elements.

    Raises:
        ProbeError: it is none; ``of`` names what was expected.
    """
    if not isinstance(value, list):
        msg = f"expected {of} as a JSON list, found {shortened(repr(value), _SHOWN)}"
        raise ProbeError(msg)
    return value


def member(document: dict[str, JsonValue], *names: str) -> JsonValue:
    """Return the first of these members that is there.

    Raises:
        ProbeError: none is.
    """
    for name in names:
        if name in document:
            return document[name]
    found = shortened(", ".join(document), _SHOWN) or "none"
    msg = f"expected an answer with {' or '.join(names)}, found only: {found}"
    raise ProbeError(msg)


def flattened(value: JsonValue) -> dict[str, str]:
    """Return the scalars of a document by their place, as ``versions[0]`` or ``server.name``; null is left out."""
    found: dict[str, str] = {}
    rest: list[tuple[str, JsonValue]] = [("", value)]
    while rest and len(found) < _MOST_FIELDS:
        place, each = rest.pop()
        match each:
            case dict():
                rest.extend((f"{place}.{name}" if place else name, inner) for name, inner in reversed(each.items()))
            case list():
                rest.extend((f"{place}[{index}]", inner) for index, inner in reversed(list(enumerate(each))))
            case bool():
                found[place] = "true" if each else "false"
            case None:
                pass
            case _:
                found[place] = str(each)[:_LONGEST_FIELD]
    return found


def _error_of(answer: Answer) -> str:
    """Return what servers write into an error: under one of several names, as text, an object or a list of them."""
    try:
        value = answer.json()
    except ProbeError:
        return shortened(answer.body[: 4 * _SHOWN].decode(errors="replace"), _SHOWN)
    # BentoML lists the errors of a method's own, pydantic those of one field each.
    value = _first(value)
    if isinstance(value, dict):
        value = next((value[name] for name in _ERRORS if value.get(name)), value)
    value = _first(value)
    if isinstance(value, dict):
        value = next((value[name] for name in _IN_ERRORS if value.get(name)), value)
    return shortened(value if isinstance(value, str) else repr(value), _SHOWN)


def _first(value: JsonValue) -> JsonValue:
    return value[0] if isinstance(value, list) and value else value
