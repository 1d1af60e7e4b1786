"""What the API server refuses is refused offline, too, in the same words."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from controller.api.rules import NOT_SUPPORTED, VALIDATIONS
from controller.api.schema import structural_schema, walk
from controller.api.spec import ModelRolloutSpec
from tests.api.examples import REFUSED, SMALLEST, Refused, changed


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case.mistake}")
def test_a_mistake_is_explained(case: Refused) -> None:
    with pytest.raises(ValidationError) as refusal:
        ModelRolloutSpec.model_validate(changed(case.changes))
    assert case.told_offline in str(refusal.value)


def test_every_rule_is_broken_by_some_mistake() -> None:
    messages = {
        rule["message"]
        for _, schema in walk(structural_schema(ModelRolloutSpec))
        for rule in schema.get(VALIDATIONS, ())
    }
    told = [case.message for case in REFUSED]
    assert len(messages) > 20
    assert [message for message in messages if not any(words in message for words in told)] == []


def test_every_unsupported_field_is_in_the_table() -> None:
    later = {
        path.removeprefix(".").replace("[]", "[1]")
        for path, schema in walk(structural_schema(ModelRolloutSpec))
        if any(rule["message"] == NOT_SUPPORTED for rule in schema.get(VALIDATIONS, ()))
    }
    assert later == {case.field for case in REFUSED if case.message == NOT_SUPPORTED}


def test_the_smallest_spec_is_accepted() -> None:
    assert ModelRolloutSpec.model_validate(SMALLEST).analysis.metrics[1].name == "accuracy"
