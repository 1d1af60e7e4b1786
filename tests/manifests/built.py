"""What ``kubectl apply -k manifests`` applies."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]
ROOT = Path(__file__).parents[2]
KUBECTL = Path(sys.executable).parent / "kubectl"


@functools.cache
def objects() -> tuple[Json, ...]:
    """Return all objects of the kustomization."""
    done = subprocess.run([KUBECTL, "kustomize", ROOT / "manifests"], capture_output=True, text=True, check=True)
    return tuple(yaml.safe_load_all(done.stdout))


def of_kind(kind: str) -> list[Json]:
    """Return the objects of a kind."""
    return [each for each in objects() if each["kind"] == kind]


def pod_template() -> Json:
    """Return the template of the operator's Pods."""
    (deployment,) = of_kind("Deployment")
    template: Json = deployment["spec"]["template"]
    return template
