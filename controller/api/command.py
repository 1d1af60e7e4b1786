"""Commands of people: the annotation ``modelrollout.dev/request``."""

from typing import Annotated

from pydantic import StringConstraints, ValidationError

from controller.api.model import ApiModel
from controller.api.reasons import Action


class Command(ApiModel):
    """One request of a person; ``epoch`` protects from acting on another rollout than the one that was seen."""

    id: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    action: Action
    epoch: int
    reason: Annotated[str, StringConstraints(max_length=512)] = ""


def parse_command(annotation: str) -> Command:
    """Read the annotation.

    Raises:
        ValueError: with one sentence that says what was expected, when it is not a command.
    """
    try:
        return Command.model_validate_json(annotation)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the annotation"
        msg = (
            f"the request annotation must be JSON such as "
            f'{{"id":"1","epoch":3,"action":"abort","reason":"…"}}: {where}: {first["msg"]}'
        )
        raise ValueError(msg) from None
