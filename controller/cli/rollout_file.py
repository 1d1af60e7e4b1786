"""ModelRollouts from files, as they are written for ``kubectl apply``."""

from dataclasses import dataclass

import yaml
from pydantic import ValidationError

from controller.api.names import ROLLOUT_KIND
from controller.api.spec import ModelRolloutSpec
from controller.cli.problems import problems

__all__ = ["RolloutFile", "read_rollout"]


@dataclass(frozen=True)
class RolloutFile:
    """What a file says of one ModelRollout; its namespace may be left to kubectl."""

    name: str
    namespace: str | None
    spec: ModelRolloutSpec


def read_rollout(text: str) -> RolloutFile:
    """Read the one ModelRollout among the YAML documents of the text.

    Raises:
        ValueError: there is none, more than one, or it breaks a rule of the spec; one line per problem.
    """
    try:
        documents = [each for each in yaml.safe_load_all(text) if isinstance(each, dict)]
    except yaml.YAMLError as error:
        msg = f"expected YAML, found {' '.join(str(error).split())}"
        raise ValueError(msg) from None
    found = [each for each in documents if each.get("kind") == ROLLOUT_KIND]
    if len(found) != 1:
        kinds = ", ".join(str(each.get("kind")) for each in documents) or "none"
        msg = f"expected one object of kind {ROLLOUT_KIND}, found {len(found)} among: {kinds}"
        raise ValueError(msg)
    try:
        spec = ModelRolloutSpec.model_validate(found[0].get("spec"))
    except ValidationError as error:
        raise ValueError("\n".join(problems(error, root="spec"))) from None
    metadata = found[0].get("metadata")
    names = metadata if isinstance(metadata, dict) else {}
    namespace = names.get("namespace")
    return RolloutFile(str(names.get("name", "")), None if namespace is None else str(namespace), spec)
