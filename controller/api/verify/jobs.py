"""``spec.verify.provenance``, ``reproduction`` and ``pipeline``: where the model comes from, proven again."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from controller.api.model import ApiModel
from controller.api.rules import rule
from controller.api.scalars import Duration, ObjectName, ShortName, SignedDecimal, Text
from controller.api.verify.smoke import Tolerance


class MlflowModel(ApiModel):
    """A version in an MLflow registry, whose run carries what provenance declares."""

    tracking_uri: Annotated[
        str,
        Field(max_length=512, description="The tracking server; it must be one of the operator's configured ones."),
    ]
    model: Annotated[Text, Field(description="Name of the registered model.")]
    version: Annotated[Text, Field(description="Its version.")]


class Provenance(ApiModel):
    """What the candidate must carry; every value that is set is looked for."""

    code_revision: Annotated[Text | None, Field(description="Commit of the training code.")] = None
    data_digest: Annotated[Text | None, Field(description="Digest of the training data.")] = None
    environment_digest: Annotated[
        Text | None, Field(description="Digest of the image, or of the lock file, that it was trained with.")
    ] = None
    model_digest: Annotated[Text | None, Field(description="Digest of the model artifact.")] = None
    config_digest: Annotated[Text | None, Field(description="Digest of the training configuration.")] = None
    mlflow: Annotated[
        MlflowModel | None,
        Field(description="Look there. Default: annotations modelrollout.dev/<name> of the candidate's pod template."),
    ] = None

    @rule(
        "has(self.codeRevision) || has(self.dataDigest) || has(self.environmentDigest) || has(self.modelDigest) "
        "|| has(self.configDigest)",
        "provenance must declare at least one of: codeRevision, dataDigest, environmentDigest, modelDigest, "
        "configDigest",
    )
    def _declares(self) -> bool:
        return bool(self.declared())

    def declared(self) -> dict[str, str]:
        """Return what is declared, by its name in YAML."""
        found = self.model_dump(by_alias=True, exclude_none=True, exclude={"mlflow"})
        return {name: str(value) for name, value in found.items()}


class Number(ApiModel):
    """A recorded number or digest."""

    name: Annotated[str, Field(min_length=1, max_length=200, description="Its key in the Job's result.")]
    value: Annotated[SignedDecimal | None, Field(description="The recorded number.")] = None
    digest: Annotated[Text | None, Field(description="Or the recorded text, which must be equal.")] = None

    @rule("has(self.value) != has(self.digest)", "each recorded entry must set value or digest")
    def _one(self) -> bool:
        return (self.value is None) != (self.digest is None)


class Reproduction(ApiModel):
    """A Job trains or scores again; its numbers must match the recorded ones."""

    job_from: Annotated[ObjectName, Field(description="Suspended CronJob with label modelrollout.dev/allow: 'true'.")]
    recorded: Annotated[
        tuple[Number, ...],
        Field(
            min_length=1,
            max_length=50,
            description="What it must report again.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ]
    tolerance: Annotated[Tolerance, Field(description="How far numbers may differ.")] = Tolerance()
    timeout: Annotated[Duration, Field(description="For the Job, from its creation.")] = timedelta(hours=1)


_Expression = Annotated[str, Field(min_length=1, max_length=512)]


class PipelineComponent(ApiModel):
    """One Job of the pipeline."""

    name: Annotated[ShortName, Field(description="What it is called in status.")]
    job_from: Annotated[ObjectName, Field(description="Suspended CronJob with label modelrollout.dev/allow: 'true'.")]
    entry: Annotated[
        tuple[_Expression, ...],
        Field(
            max_length=20,
            description="CEL over the summaries of the components before it, by name: ingest.rows >= 1000.",
        ),
    ] = ()
    exit: Annotated[
        tuple[_Expression, ...],
        Field(max_length=20, description="CEL over its own summary: rows >= 1000."),
    ] = ()
    timeout: Annotated[Duration, Field(description="For the Job, from its creation.")] = timedelta(hours=1)
