"""docs/parity.md keeps what it says."""

import re

import yaml

from controller.api.verify import ParityGroup
from controller.observe.environment.content import MOST_READ
from controller.observe.environment.packages import packages
from controller.observe.environment.reader import KEPT_SECONDS, MOST_NODES, NODE_KEPT_SECONDS
from controller.observe.environment.template import template_facts
from controller.plan.verify.parity import LOAD_TOLERANCE
from docs.generate import ROOT
from tests.verify.parity.arms import container, template

TEXT = (ROOT / "docs" / "parity.md").read_text(encoding="utf-8")
WORDS = " ".join(TEXT.split())


def test_the_table_has_every_group_in_order() -> None:
    assert re.findall(r"^\| `(\w+)` \|", TEXT, flags=re.MULTILINE) == [str(group) for group in ParityGroup]


def test_its_numbers_are_those_of_the_code() -> None:
    assert f"within {LOAD_TOLERANCE:.0%} of stable's".replace("%", " %") in TEXT
    assert f"At most {MOST_READ} ConfigMaps, {MOST_READ} Secrets and {MOST_NODES} nodes" in TEXT
    assert f"kept for {KEPT_SECONDS:.0f} s, a node for {NODE_KEPT_SECONDS / 60:.0f} min" in WORDS


def test_the_annotations_that_it_shows_are_read() -> None:
    (block,) = (each for each in re.findall(r"```yaml\n(.*?)```", TEXT, flags=re.DOTALL) if each.startswith("metadata"))
    annotations = yaml.safe_load(block)["metadata"]["annotations"]
    facts = template_facts(template(container(), annotations=annotations))
    assert {ParityGroup.PACKAGES, ParityGroup.RUNTIME, ParityGroup.MODEL} <= facts.keys()
    assert facts[ParityGroup.PACKAGES].keys() == {*packages(annotations["modelrollout.dev/packages"]), "digest"}
