"""Arms as the API has them, in pieces small enough to change one thing at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.observe.environment.content import Content, Contents, content_of
from controller.observe.environment.pods import pod_facts, stale_contents
from controller.observe.environment.variables import declared_facts
from controller.plan.verify.environment import Environment

Json = dict[str, Any]

DIGEST = "registry.example/fraud@sha256:" + "a" * 64
OTHER_DIGEST = "registry.example/fraud@sha256:" + "b" * 64


def container(name: str = "model", **fields: Any) -> Json:
    return {"name": name, "image": "registry.example/fraud:1", **fields}


def template(*containers: Json, annotations: Json | None = None, labels: Json | None = None, **spec: Any) -> Json:
    return {
        "metadata": {"labels": labels or {"app": "fraud"}, "annotations": annotations or {}},
        "spec": {"containers": list(containers) or [container()], **spec},
    }


def pod(of: Json, name: str = "pod-1", *, image_id: str = DIGEST, node: str = "node-1", **more: Any) -> Json:
    """Return a started pod of the template; ``images`` overrides image ids by container, ``started`` its start."""
    images: Mapping[str, str] = more.get("images", {})
    started = more.get("started", "2026-08-01T12:00:00Z")

    def status(each: Json) -> Json:
        running = {"running": {"startedAt": started}}
        return {"name": each["name"], "imageID": images.get(each["name"], image_id), "state": running}

    spec = of["spec"] | {"nodeName": node} | more.get("spec", {})
    return {
        "metadata": {"name": name, "uid": name, **of["metadata"]},
        "spec": spec,
        "status": {
            "qosClass": "Burstable",
            "initContainerStatuses": [status(each) for each in spec.get("initContainers", ())],
            "containerStatuses": [status(each) for each in spec["containers"]],
        },
    }


def node(labels: Json | None = None, **info: str) -> Json:
    known = {"kernelVersion": "6.1.0", "containerRuntimeVersion": "containerd://2.1.4", "osImage": "Debian 12"}
    return {
        "metadata": {"labels": {"kubernetes.io/arch": "amd64"} | (labels or {})},
        "status": {"nodeInfo": known | info},
    }


def config_map(name: str, data: Json, *, edits: Json | None = None, created: str = "2026-08-01T11:00:00Z") -> Content:
    """Return a ConfigMap's content; ``edits`` is the time of each writer's last change of data."""
    entries = [
        {"manager": manager, "time": at, "fieldsV1": {"f:data": {"f:x": {}}}} for manager, at in (edits or {}).items()
    ]
    metadata = {"name": name, "uid": name, "creationTimestamp": created, "managedFields": entries}
    return content_of({"kind": "ConfigMap", "metadata": metadata, "data": data})


def secret(name: str, data: Json, uid: str = "uid") -> Content:
    return content_of({"kind": "Secret", "metadata": {"name": name, "uid": uid}, "data": data})


def contents(*config_maps: Content, secrets: tuple[Content, ...] = ()) -> Contents:
    return Contents(
        config_maps={each.name: each for each in config_maps}, secrets={each.name: each for each in secrets}
    )


def arm(of: Json, *pods: Json, name: str = "fraud-v1", read: Contents | None = None, **more: Any) -> Environment:
    """Return the environment of an arm; ``nodes`` by name, the rest goes into the Environment."""
    read = read or Contents()
    nodes = more.pop("nodes", {"node-1": node()})
    return Environment(
        deployment=name,
        declared=declared_facts(of, read, more.pop("runtime", {})),
        observed=pod_facts(pods, read, nodes),
        pods=len(pods),
        stale=stale_contents(name, pods, read),
        **more,
    )
