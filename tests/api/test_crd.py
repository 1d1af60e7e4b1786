"""The CustomResourceDefinitions: structural, bounded, small, and as committed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.api.crd import record_definition, rollout_definition
from controller.api.model import ApiModel
from controller.api.rules import NOT_SUPPORTED, VALIDATIONS
from controller.api.schema import structural_schema, walk
from controller.cli.crds import as_yaml
from controller.cli.main import main

Json = dict[str, Any]
FOLDER = Path(__file__).parents[2] / "manifests" / "crds"
DEFINITIONS = [rollout_definition(), record_definition()]
both = pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda each: each["spec"]["names"]["plural"])


def written_by_us(definition: Json) -> Iterator[tuple[str, Json]]:
    """Yield all schemas below spec and status."""
    (version,) = definition["spec"]["versions"]
    for part in ("spec", "status"):
        schema = version["schema"]["openAPIV3Schema"]["properties"].get(part)
        if schema is not None:
            yield from walk(schema, f".{part}")


@both
def test_committed_as_generated(definition: Json) -> None:
    committed = FOLDER / f"{definition['spec']['names']['plural']}.yaml"
    assert committed.read_text() == as_yaml(definition)


def test_the_command_prints_both(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["crds"]) == 0
    assert list(yaml.safe_load_all(capsys.readouterr().out)) == DEFINITIONS


@both
def test_small_enough_for_kubectl_apply(definition: Json) -> None:
    assert len(as_yaml(definition)) < 100_000


@both
def test_every_text_list_and_map_is_bounded(definition: Json) -> None:
    for path, schema in written_by_us(definition):
        match schema.get("type"):
            case "string":
                assert {"maxLength", "enum"} & set(schema) or schema.get("format") == "date-time", path
            case "array":
                assert schema["maxItems"] <= 200, path
                assert "items" in schema, path
            case "object":
                assert "properties" in schema or "maxProperties" in schema, path
            case "integer" | "boolean":
                pass
            case kind:
                assert schema.get("x-kubernetes-int-or-string"), f"{path} is of type {kind}"


@both
def test_nothing_that_a_structural_schema_must_not_hold(definition: Json) -> None:
    for path, schema in written_by_us(definition):
        forbidden = {"$ref", "anyOf", "oneOf", "title", "nullable", "x-kubernetes-preserve-unknown-fields"}
        assert not forbidden & set(schema), path
        assert schema.get("additionalProperties") is not False, path


@both
def test_every_named_field_is_described(definition: Json) -> None:
    later = tuple(
        f"{path}." for path, schema in written_by_us(definition) if NOT_SUPPORTED in str(schema.get(VALIDATIONS))
    )
    for path, schema in written_by_us(definition):
        if not path.endswith(("[]", "{}")) and not path.startswith(later):
            assert 4 <= len(schema.get("description", "")) <= 200, path


def test_defaults_of_parts_make_the_default_of_the_whole() -> None:
    schemas = dict(written_by_us(rollout_definition()))
    for path, schema in schemas.items():
        if schema.get("type") == "object" and "default" in schema:
            parts = {name: child["default"] for name, child in schema["properties"].items() if "default" in child}
            assert schema["default"] == parts, path
    assert schemas[".spec.strategy"]["default"]["interval"] == "30s"
    assert schemas[".spec.analysis"].get("default") is None


def test_what_the_operator_writes_is_stored_as_written() -> None:
    status = [each for each in written_by_us(rollout_definition()) if each[0].startswith(".status")]
    stored = [*status, *written_by_us(record_definition())]
    assert len(stored) > 100
    assert [path for path, schema in stored if "default" in schema or "enum" in schema] == []


def test_what_no_structural_schema_can_hold_is_refused() -> None:
    class Precise(ApiModel):
        share: float

    class Multiple(ApiModel):
        number: int | str

    with pytest.raises(ValueError, match="one type"):
        structural_schema(Multiple)
    with pytest.raises(ValueError, match="floats"):
        structural_schema(Precise)
