"""What is generated is committed as it is generated, and says something about every word of status."""

import re

import pytest

from controller.api.reasons import ConditionType, Phase, Reason
from controller.plan.transitions import TABLE
from docs.generate import ROOT, generated
from docs.meanings import CONDITIONS, PHASES, every_reason


@pytest.mark.parametrize("name", generated())
def test_committed_as_generated(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == generated()[name], "run make crds"


def test_every_word_of_status_has_a_meaning() -> None:
    assert list(PHASES) == list(Phase)
    assert list(CONDITIONS) == list(ConditionType)
    assert list(every_reason()) == list(Reason)


def test_the_page_of_states_has_a_line_for_every_transition() -> None:
    page = generated()["docs/states.md"]
    lines = page.partition("## Transitions")[2].partition("## Conditions")[0].splitlines()
    for transition in TABLE:
        target = f"| `{transition.target}` |" if transition.target else "|"
        assert any(
            line.startswith(f"| `{transition.event}` |")
            and target in line
            and line.endswith(f"| {transition.writes} |")
            for line in lines
        )


def test_the_reference_names_every_field_that_may_be_set() -> None:
    page = generated()["docs/reference/spec.md"]
    fields = re.findall(r"^\| `([\w.\[\]]+)` \|", page, re.MULTILINE)
    assert len(fields) == len(set(fields))
    assert {"traffic.gateway.httpRoute", "strategy.harmBudget", "analysis.metrics[].ratio.bad"} <= set(fields)
    assert not any(field.startswith(("backup", "watch")) for field in fields)
