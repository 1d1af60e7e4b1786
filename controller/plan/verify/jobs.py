"""Jobs of a verification, as the pure part sees them: what is to be run, and how it stands."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from controller.api.scalars import format_duration

CODE_REVISION: Final = "MODELROLLOUT_CODE_REVISION"
DATA_DIGEST: Final = "MODELROLLOUT_DATA_DIGEST"
ENVIRONMENT_DIGEST: Final = "MODELROLLOUT_ENVIRONMENT_DIGEST"
MODEL_DIGEST: Final = "MODELROLLOUT_MODEL_DIGEST"
CONFIG_DIGEST: Final = "MODELROLLOUT_CONFIG_DIGEST"
MODEL_NAME: Final = "MODELROLLOUT_MODEL_NAME"
MODEL_VERSION: Final = "MODELROLLOUT_MODEL_VERSION"
CANDIDATE: Final = "MODELROLLOUT_CANDIDATE"

PROVENANCE_VARIABLES: Final = {
    "codeRevision": CODE_REVISION,
    "dataDigest": DATA_DIGEST,
    "environmentDigest": ENVIRONMENT_DIGEST,
    "modelDigest": MODEL_DIGEST,
    "configDigest": CONFIG_DIGEST,
}
"""Environment variable of each version that ``provenance`` may declare, by its name in YAML."""


@dataclass(frozen=True)
class JobOrder:
    """A Job that must have run once.

    ``of`` is the hash of the revision and of all that the result depends on in the spec: the same ``task`` of the same
    ``of`` is the same Job, whoever asks and however often. A retry needs another ``of``.
    """

    namespace: str
    rollout: str
    uid: str
    """Of the ModelRollout, which owns the Job."""
    task: str
    """``reproduction``, or ``pipeline/<component>``."""
    of: str
    job_from: str
    """Name of the suspended CronJob."""
    timeout: timedelta
    variables: dict[str, str] = field(default_factory=dict)
    """Environment variables that its containers get beside their own."""


@dataclass(frozen=True)
class Running:
    """It has not ended; ``job`` is its name, ``detail`` what holds it up, where that can be told."""

    job: str
    detail: str = ""


@dataclass(frozen=True)
class Succeeded:
    """It ended well; ``message`` is the termination message of its container, ``seconds`` how long it took."""

    job: str
    message: str
    seconds: float = 0.0


@dataclass(frozen=True)
class Failed:
    """It failed; ``reason`` says how, ``hint`` is the command that shows its logs."""

    job: str
    reason: str
    hint: str
    seconds: float = 0.0


@dataclass(frozen=True)
class Refused:
    """It was not made; ``sentence`` says what a person has to mend."""

    sentence: str


JobState = Running | Succeeded | Failed | Refused


def too_late(timeout: timedelta) -> str:
    """Return how a Job that never ended is told of."""
    return f"did not end within {format_duration(timeout)}"


def logs_hint(namespace: str, job: str) -> str:
    """Return the command that shows what the Job said."""
    return f"kubectl logs --namespace {namespace} job/{job}"


def variables(
    *, candidate: str, model_name: str | None, model_version: str | None, declared: dict[str, str]
) -> dict[str, str]:
    """Return the environment variables of a Job; ``declared`` is what provenance declares, by name in YAML."""
    known = {CANDIDATE: candidate, MODEL_NAME: model_name, MODEL_VERSION: model_version}
    recorded = {PROVENANCE_VARIABLES[name]: value for name, value in declared.items()}
    return {name: value for name, value in known.items() if value} | recorded
