"""What was asked, where an answer has to repeat it."""

import json

from controller.plan.verify.findings import JsonValue


def request_of(body: str) -> dict[str, JsonValue]:
    """Return the members of a request's body; none where it is no JSON object, which is the user's right."""
    try:
        found: JsonValue = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
