"""Writes what is generated from the source: the CustomResourceDefinitions, the field reference and the page of states.

``make crds`` runs it; a test compares the committed files with what it would write.
"""

import sys
from pathlib import Path
from typing import Final

from controller.api.crd import record_definition, rollout_definition
from controller.cli.crds import as_yaml
from docs.reference_pages import presets_page, record_page, spec_page, status_page
from docs.states import states_page

ROOT: Final = Path(__file__).resolve().parents[1]


def generated() -> dict[str, str]:
    """Return the content of every generated file by its path from the root of the repository."""
    definitions = (rollout_definition(), record_definition())
    return {
        **{f"manifests/crds/{each['spec']['names']['plural']}.yaml": as_yaml(each) for each in definitions},
        "docs/states.md": states_page(),
        "docs/reference/spec.md": spec_page(),
        "docs/reference/status.md": status_page(),
        "docs/reference/record.md": record_page(),
        "docs/reference/presets.md": presets_page(),
    }


def main() -> None:
    """Write the files that differ, and name them."""
    for name, content in generated().items():
        path = ROOT / name
        if path.exists() and path.read_text(encoding="utf-8") == content:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        sys.stdout.write(f"wrote {name}\n")


if __name__ == "__main__":
    main()
