"""Provenance: versions that the spec declares against those that the candidate carries."""

from collections.abc import Mapping
from typing import Final

from controller.api.names import GROUP
from controller.api.verdicts import CheckState
from controller.api.verify import Provenance
from controller.plan.verify.findings import Finding, Part

FIELDS: Final = ("codeRevision", "dataDigest", "environmentDigest", "modelDigest", "configDigest")
"""What can be declared, by its name in YAML."""
MARKS: Final = {name: f"{GROUP}/{name}" for name in FIELDS}
"""The annotation of a pod template, and the tag or parameter in MLflow, that carries each."""

_ENVIRONMENT: Final = "environmentDigest"
ENVIRONMENT: Final = f"{Part.PROVENANCE}/{_ENVIRONMENT}"


def needs_image(provenance: Provenance, annotations: Mapping[str, str]) -> bool:
    """Whether what is declared is to be held against the image, because the pod template has no word of its own."""
    return provenance.environment_digest is not None and MARKS[_ENVIRONMENT] not in annotations


def carried_by_template(annotations: Mapping[str, str], *, image_digest: str | None = None) -> dict[str, str]:
    """Return what a pod template carries; without its own annotation, the environment is the image's digest."""
    environment = {_ENVIRONMENT: image_digest} if image_digest else {}
    return environment | {name: annotations[mark] for name, mark in MARKS.items() if mark in annotations}


def check_provenance(provenance: Provenance, carried: Mapping[str, str], source: str) -> tuple[Finding, ...]:
    """Compare what is declared with what is carried, one finding each; ``source`` says where it was looked for."""
    return tuple(_compare(name, value, carried.get(name), source) for name, value in provenance.declared().items())


def _compare(name: str, declared: str, found: str | None, source: str) -> Finding:
    check, expected = f"{Part.PROVENANCE}/{name}", f"{declared} (declared)"
    if found is None:
        return Finding(check, CheckState.FAILED, f"{source} carries no {name}; set {MARKS[name]} there", expected)
    if found == declared:
        return Finding(check, CheckState.PASSED, f"{found} ({source})", expected)
    cut = found.startswith(declared) or declared.startswith(found)
    advice = "; one is the beginning of the other: write both in full" if cut and found and declared else ""
    return Finding(check, CheckState.FAILED, f"{found} ({source}){advice}", expected)
