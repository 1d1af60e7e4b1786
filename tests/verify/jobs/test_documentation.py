"""What the pages show is accepted."""

import yaml

from controller.api.verify import Verify
from controller.plan.verify.pipeline import check_expressions
from tests.cluster.layout import SOURCE
from tests.docs.markdown import blocks

PAGES = ("provenance", "reproduction", "pipeline")


def test_every_part_that_is_shown_is_accepted_and_its_expressions_compile() -> None:
    docs = SOURCE.parent.parent / "docs"
    texts = [block.text for page in PAGES for block in blocks("yaml") if block.page == docs / f"{page}.md"]
    parts = [text for text in texts if text.startswith("# part of: spec.verify\n")]
    assert len(parts) == 4
    for part in parts:
        shown = Verify.model_validate(yaml.safe_load(part))
        assert check_expressions(shown.pipeline) is None
