"""Requests of people."""

from __future__ import annotations

import json

import pytest

from controller.api.command import Command, parse_command
from controller.api.reasons import Action


@pytest.mark.parametrize("action", list(Action))
def test_every_action_is_read(action: Action) -> None:
    text = json.dumps({"id": "42", "epoch": 3, "action": action.value, "reason": "seen enough"})
    assert parse_command(text) == Command(id="42", epoch=3, action=action, reason="seen enough")


@pytest.mark.parametrize(
    ("annotation", "where"),
    [
        ("abort", "the annotation"),
        ("[]", "the annotation"),
        ('{"epoch":3,"action":"abort"}', "id"),
        ('{"id":"","epoch":3,"action":"abort"}', "id"),
        ('{"id":"1","epoch":3,"action":"explode"}', "action"),
        ('{"id":"1","action":"abort"}', "epoch"),
        ('{"id":"1","epoch":3,"action":"abort","force":true}', "force"),
    ],
)
def test_anything_else_is_explained_with_an_example(annotation: str, where: str) -> None:
    with pytest.raises(ValueError, match=rf'must be JSON such as \{{"id":"1".*: {where}: '):
        parse_command(annotation)
