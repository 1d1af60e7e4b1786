"""The CustomResourceDefinitions of both kinds, made from the models."""

from typing import Final

from pydantic.json_schema import JsonSchemaValue

from controller.api.names import GROUP, RECORD_KIND, RECORD_PLURAL, ROLLOUT_KIND, ROLLOUT_PLURAL, VERSION
from controller.api.record import RolloutRecordSpec
from controller.api.schema import as_written, structural_schema
from controller.api.spec import ModelRolloutSpec
from controller.api.status import ModelRolloutStatus

_HEADER: Final[JsonSchemaValue] = {
    "apiVersion": {"type": "string"},
    "kind": {"type": "string"},
    "metadata": {"type": "object"},
}

_ROUTER: Final = "self.spec.traffic.{0} == oldSelf.spec.traffic.{0}"
_SAME_ROUTER: Final = " && ".join(
    f"has(self.spec.traffic.{router}) == has(oldSelf.spec.traffic.{router}) "
    f"&& (!has(self.spec.traffic.{router}) || {_ROUTER.format(router)})"
    for router in ("gateway", "service")
)
_TRAFFIC_STAYS: Final[JsonSchemaValue] = {
    "rule": (
        f"({_SAME_ROUTER}) || !has(oldSelf.status) || !has(oldSelf.status.traffic) "
        "|| oldSelf.status.traffic.desiredWeight == 0 && oldSelf.status.traffic.appliedWeight == 0"
    ),
    "message": "spec.traffic must not change while requests are diverted, or they would stay so; request abort first",
}
"""Admission is the last that knows the route which still has to be put right."""


def rollout_definition() -> JsonSchemaValue:
    """Return the CustomResourceDefinition of ModelRollout."""
    version = {
        "schema": {
            "openAPIV3Schema": {
                "type": "object",
                "description": "A new version of an ML model on its way into service, or back.",
                "required": ["spec"],
                "x-kubernetes-validations": [_TRAFFIC_STAYS],
                "properties": {
                    **_HEADER,
                    "spec": structural_schema(ModelRolloutSpec),
                    "status": as_written(structural_schema(ModelRolloutStatus)),
                },
            }
        },
        "subresources": {"status": {}},
        "additionalPrinterColumns": [
            _column("Phase", ".status.phase"),
            _column("Step", ".status.step"),
            _column("Weight", ".status.traffic.appliedWeight", kind="integer"),
            _column("Window", ".status.window.number", kind="integer"),
            _column("Verdict", ".status.analysis.verdict"),
            _column("Stable", ".status.stable.deployment"),
            _column("Candidate", ".status.candidate.deployment"),
            _column("Age", ".metadata.creationTimestamp", kind="date"),
            _wide(_column("Observed", ".status.traffic.observedWeight")),
            _wide(_column("Backup", ".status.backup.deployment")),
            _wide(_column("RedFlag", ".status.redFlags[0].reason")),
            _wide(_column("Message", ".status.message")),
        ],
    }
    names = {"kind": ROLLOUT_KIND, "plural": ROLLOUT_PLURAL, "shortNames": ["mro"], "categories": ["all", "mlops"]}
    return _definition(names, version)


def record_definition() -> JsonSchemaValue:
    """Return the CustomResourceDefinition of RolloutRecord."""
    version = {
        "schema": {
            "openAPIV3Schema": {
                "type": "object",
                "description": "The evidence of one epoch of a ModelRollout, page by page.",
                "required": ["spec"],
                "properties": {**_HEADER, "spec": as_written(structural_schema(RolloutRecordSpec))},
            }
        },
        "additionalPrinterColumns": [
            _column("Rollout", ".spec.rollout"),
            _column("Epoch", ".spec.epoch", kind="integer"),
            _column("Page", ".spec.page", kind="integer"),
            _column("Stable", ".spec.stable.deployment"),
            _column("Candidate", ".spec.candidate.deployment"),
            _column("Verdict", ".spec.verdict"),
            _column("Age", ".metadata.creationTimestamp", kind="date"),
            _wide(_column("Alpha", ".spec.frozen.alpha")),
            _wide(_column("Attempt", ".spec.frozen.attempt", kind="integer")),
        ],
    }
    return _definition(
        {"kind": RECORD_KIND, "plural": RECORD_PLURAL, "shortNames": ["rrec"], "categories": ["mlops"]}, version
    )


def _definition(names: JsonSchemaValue, version: JsonSchemaValue) -> JsonSchemaValue:
    kind = names["kind"]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names['plural']}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {**names, "singular": kind.lower(), "listKind": f"{kind}List"},
            "versions": [{"name": VERSION, "served": True, "storage": True, **version}],
        },
    }


def _column(title: str, path: str, *, kind: str = "string") -> JsonSchemaValue:
    return {"name": title, "type": kind, "jsonPath": path}


def _wide(column: JsonSchemaValue) -> JsonSchemaValue:
    """Show the column only with ``-o wide``."""
    return {**column, "priority": 1}
