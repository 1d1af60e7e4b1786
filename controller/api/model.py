"""The base of all API models: frozen, camelCase outside, unknown fields refused."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class ApiModel(BaseModel):
    """A frozen piece of the API; field names are camelCase in YAML and snake_case in Python."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        ser_json_inf_nan="strings",
    )

    def to_json(self) -> dict[str, object]:
        """Return the model as Kubernetes stores it: JSON types, camelCase, absent instead of null."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class StatusModel(ApiModel):
    """A frozen piece that the operator itself wrote; an older operator must survive newer fields."""

    model_config = ConfigDict(extra="ignore")
