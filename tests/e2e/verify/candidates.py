"""Candidates, their golden requests, Jobs and rollouts; every one has a route of its own, so that all run at once."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.e2e.scene import PORT, Json, Scene, model, service

SCRIPT: Final = Path(__file__).with_name("faulty_server.py")
IMAGE: Final = "modelrollout-demo:dev"
STABLE: Final = "v1"


def config_map(name: str, **content: str) -> Json:
    """A ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": content}


def faulty(
    name: str,
    fault: str = "none",
    *,
    replicas: int = 1,
    artefact: str = "good",
    gated: bool = False,
    annotations: Mapping[str, str],
) -> list[Json]:
    """A Deployment ``digits-<name>`` of the good model with a fault, and its Service.

    ``artefact`` is the model that it really serves, whatever it says; ``annotations`` are those of its pods.
    """
    deployment, exposed = model("good", replicas)
    labels = {"app": "digits", "version": name}
    deployment["metadata"] = {"name": f"digits-{name}", "labels": labels}
    deployment["spec"]["selector"] = {"matchLabels": labels}
    template = deployment["spec"]["template"]
    template["metadata"]["labels"] = labels
    template["metadata"]["annotations"] |= {f"modelrollout.dev/{key}": value for key, value in annotations.items()}
    container = template["spec"]["containers"][0]
    container["command"] = ["python", "/fault/faulty_server.py"]
    container["env"] = [
        {"name": "MODEL_VERSION", "value": artefact},
        {"name": "MODEL_REVISION", "value": "good"},
        {"name": "PYTHONPATH", "value": "/app"},
    ]
    container["volumeMounts"] = [{"name": "fault", "mountPath": "/fault"}]
    template["spec"]["volumes"] = [{"name": "fault", "configMap": {"name": f"fault-{name}"}}]
    if gated:
        template["spec"]["readinessGates"] = [{"conditionType": "modelrollout.dev/verified"}]
    exposed = service(f"digits-{name}", labels)
    content = {"faulty_server.py": SCRIPT.read_text(), "fault": fault}
    return [config_map(f"fault-{name}", **content), deployment, exposed]


def golden(scene: Scene, count: int = 20) -> list[Json]:
    """Golden requests from samples that both versions answer rightly: the first of them must be."""
    document = json.loads((scene.layout.root / "models" / "holdout.json").read_text())
    rows = list(zip(document["inputs"], document["labels"], strict=True))[:count]
    return [_case(number, pixels, label) for number, (pixels, label) in enumerate(rows)]


def _case(number: int, pixels: list[float], label: int) -> Json:
    body = {"inputs": [{"name": "pixels", "shape": [1, 64], "datatype": "FP32", "data": pixels}]}
    expect = [
        {"path": "$.outputs[0].data[0]", "oneOf": [str(label)]},
        {"path": "$.outputs[1].data[0]", "finite": True},
        {"path": "$.outputs[1].data[0]", "range": {"min": "0", "max": "1"}},
    ]
    return {"name": f"digit-{number}", "request": json.dumps(body), "expect": expect}


def route_of(scene: Scene, name: str) -> Json:
    """The candidate's own HTTPRoute: all to stable."""
    backends = [
        {"name": f"digits-{STABLE}", "port": PORT, "weight": 100},
        {"name": f"digits-{name}", "port": PORT, "weight": 0},
    ]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name},
        "spec": {
            "parentRefs": [{"name": "public", "namespace": "gateway-system"}],
            "hostnames": [f"{name}.{scene.host}"],
            "rules": [{"backendRefs": backends}],
        },
    }


def rollout_of(name: str, verify: Json, **changes: Any) -> Json:
    """The candidate's own ModelRollout."""
    spec: Json = {
        "stable": {"deployment": f"digits-{STABLE}"},
        "candidate": {"deployment": f"digits-{name}"},
        "model": {"name": "digits", "version": "good", "protocol": "OpenInference", "port": PORT},
        "traffic": {"gateway": {"httpRoute": name}, "requests": "mlr_requests_total"},
        "strategy": {"steps": [10, 50], "minWindows": 2, "interval": "5s", "warmup": "5s"},
        "analysis": {"metrics": [{"name": "errors", "preset": "mlr/errors", "margin": {"absolute": "0.05"}}]},
        "verify": verify,
    }
    return {
        "apiVersion": "modelrollout.dev/v1alpha1",
        "kind": "ModelRollout",
        "metadata": {"name": name},
        "spec": spec | changes,
    }


def cron_job(name: str, script: str) -> Json:
    """A suspended CronJob that rollouts may run; what the script prints is its summary."""
    container = {
        "name": "job",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", f"({script}) > /dev/termination-log"],
    }
    pod = {"restartPolicy": "Never", "containers": [container], "automountServiceAccountToken": False}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name, "labels": {"modelrollout.dev/allow": "true"}},
        "spec": {
            "schedule": "0 0 1 1 *",
            "suspend": True,
            "jobTemplate": {"spec": {"template": {"spec": pod}}},
        },
    }
