"""Where a pod template wants its pods to run, and as whom."""

from collections.abc import Mapping
from typing import Any, Final

from controller.observe.cluster import Json
from controller.plan.verify.environment import Fact, canonical, sealed, shown

_PLAIN: Final = {
    "priorityClassName": "priority class",
    "runtimeClassName": "runtime class",
    "schedulerName": "scheduler",
    "serviceAccountName": "service account",
    "hostNetwork": "host network",
    "hostIPC": "host IPC",
}
_STRUCTURED: Final = {
    "affinity": "affinity",
    "topologySpreadConstraints": "topology spread constraints",
    "tolerations": "tolerations",
    "securityContext": "security context",
}
_OWN: Final = "the arm's own"


def scheduling_facts(template: Json) -> dict[str, Fact]:
    """Return what decides where pods run.

    Selectors that name the arm's own labels (spread over nodes, away from each other) are the same for both arms.
    """
    spec, labels = template["spec"], (template.get("metadata") or {}).get("labels") or {}
    facts = {what: shown(str(spec[field])) for field, what in _PLAIN.items() if spec.get(field)}
    for key, value in (spec.get("nodeSelector") or {}).items():
        facts[f"node selector {key}"] = shown(value)
    for field, what in _STRUCTURED.items():
        if found := spec.get(field):
            facts[what] = sealed(canonical(_ordered(_neutral(found, labels))))
    return facts


def _neutral(value: Any, labels: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_neutral(each, labels) for each in value]
    if not isinstance(value, dict):
        return value
    if "operator" in value and isinstance(value.get("values"), list):
        own = labels.get(value.get("key", ""))
        return value | {"values": sorted(_OWN if each == own else each for each in value["values"])}
    return {
        key: {name: _OWN if labels.get(name) == wanted else wanted for name, wanted in each.items()}
        if key == "matchLabels"
        else _neutral(each, labels)
        for key, each in value.items()
    }


def _ordered(value: Any) -> Any:
    """Order lists, whose order means nothing in any of these fields."""
    if isinstance(value, list):
        return sorted((_ordered(each) for each in value), key=canonical)
    return {key: _ordered(each) for key, each in value.items()} if isinstance(value, dict) else value
