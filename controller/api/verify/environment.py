"""``spec.verify.parity``: which parts of the two environments must be the same."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from controller.api.model import ApiModel
from controller.api.rules import rule


class ParityGroup(StrEnum):
    """Parts of an environment that are compared as one; docs say what belongs to each."""

    IMAGES = "Images"
    SIDECARS = "Sidecars"
    MODEL = "Model"
    ENV = "Env"
    CONFIG = "Config"
    COMMAND = "Command"
    RESOURCES = "Resources"
    GPU = "Gpu"
    NODES = "Nodes"
    SCHEDULING = "Scheduling"
    RUNTIME = "Runtime"
    PACKAGES = "Packages"
    NUMERICS = "Numerics"
    LOAD = "Load"


class OnMismatch(StrEnum):
    """What a difference in a required group does."""

    FAIL = "Fail"
    WARN = "Warn"


_Groups = tuple[ParityGroup, ...]


class Parity(ApiModel):
    """Environments of both arms, compared group by group."""

    require: Annotated[_Groups, Field(max_length=14, description="Groups that must be equal, or onMismatch acts.")] = ()
    allow_diff: Annotated[
        _Groups, Field(max_length=14, description="Groups whose differences are not even warned of.")
    ] = ()
    on_mismatch: Annotated[OnMismatch, Field(description="What a difference in a required group does.")] = (
        OnMismatch.FAIL
    )
    read_secrets: Annotated[
        bool,
        Field(
            strict=True,
            description="Compare the content of Secrets by hash (the operator needs the right to read them). "
            "Otherwise by name and key alone.",
        ),
    ] = False

    @rule(
        "!has(self.require) || !has(self.allowDiff) || !self.require.exists(each, each in self.allowDiff)",
        "a group can be in require or in allowDiff, not in both",
    )
    def _apart(self) -> bool:
        return not set(self.require) & set(self.allow_diff)
