"""``python -m controller crds``: print the CustomResourceDefinitions."""

import argparse
import sys
from typing import TYPE_CHECKING, Final

import yaml
from pydantic.json_schema import JsonSchemaValue

from controller.api.crd import record_definition, rollout_definition

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 (it has no public name)

_HEADER: Final = "# Generated from the models in controller/api: python -m controller crds. Do not edit.\n"


class _Dumper(yaml.SafeDumper):
    """YAML without anchors, which people would have to resolve in their heads."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 (the signature is yaml's)
        """Write everything out."""
        return True


def as_yaml(definition: JsonSchemaValue) -> str:
    """Return the definition as it is committed in ``manifests/crds``."""
    # Parts without parts of their own stay on one line: the file is deep, and most of it would be indentation.
    body = yaml.dump(
        definition, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None
    )
    return _HEADER + body


def add_parser(subparsers: "Subparsers") -> None:
    """Add the command ``crds``."""
    parser = subparsers.add_parser("crds", help="print the CustomResourceDefinitions")
    parser.set_defaults(run=run)


def run(_: argparse.Namespace) -> int:
    """Print both definitions as one YAML stream."""
    sys.stdout.write("---\n".join(map(as_yaml, (rollout_definition(), record_definition()))))
    return 0
