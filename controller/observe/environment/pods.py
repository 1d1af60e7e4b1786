"""What pods and their nodes really run: images by digest, class of service, hardware."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from controller.api.verify import ParityGroup
from controller.observe.cluster import Json
from controller.observe.environment.content import Content, Contents
from controller.observe.environment.references import Reference, Source, Way, containers, references
from controller.observe.environment.template import Groups, container_facts, image_group, main_container, named
from controller.observe.environment.variables import variable_facts
from controller.observe.trouble import parse_time
from controller.plan.verify.environment import Fact, Likeness, joined, shown

_VENDORS: Final = {
    "nvidia.com": ("nvidia.com/",),
    "amd.com": ("amd.com/", "beta.amd.com/"),
    "gpu.intel.com": ("gpu.intel.com/",),
    "google.com": ("cloud.google.com/gke-tpu", "cloud.google.com/gke-accelerator"),
}
"""Labels of nodes by the domain of the extended resource that pods ask for."""

_GPU_WORDS: Final = (
    "product",
    "memory",
    "driver",
    "runtime",
    "mig",
    "compute",
    "sharing",
    "accelerator",
    "tpu",
    "vram",
)
"""Of these labels, the ones that tell of the hardware and its drivers; others are of installation and deployment."""

_WORDS_OF_ONE_NODE: Final = ("state", "config", "timestamp", "deploy")

_LABELS: Final = {
    "kubernetes.io/arch": ("arch", Likeness.SAME),
    "node.kubernetes.io/instance-type": ("instance type", Likeness.AMONG),
    "topology.kubernetes.io/zone": ("zone", Likeness.AMONG),
}
_NODE_INFO: Final = {
    "kernelVersion": "kernel",
    "containerRuntimeVersion": "container runtime",
    "osImage": "operating system",
}

_MORE: Final = {
    Way.VARIABLES: "their environment variables still hold what it said before",
    Way.SUB_PATH: "their files (subPath) still hold what it said before",
    Way.FILES: "their files are renewed within about a minute, but most servers read them only when they start",
}


def has_started(pod: Json) -> bool:
    """Whether the model server of the pod has run at least once, so that its image is known."""
    main = main_container(pod)
    return any(each["name"] == main and each.get("imageID") for each in _statuses(pod))


def pod_facts(pods: Sequence[Json], contents: Contents, nodes: Mapping[str, Json]) -> Groups:
    """Return what the pods say together, with the nodes that were read, by name."""
    several: dict[ParityGroup, dict[str, list[Fact]]] = defaultdict(lambda: defaultdict(list))
    for pod in pods:
        node = nodes.get(pod["spec"].get("nodeName", ""))
        found = [*_images(pod), *_changed(pod, contents)]
        found.append((ParityGroup.RESOURCES, "QoS class", shown(pod["status"].get("qosClass", "unknown"))))
        found += [*_hardware(node), *_accelerators(pod, node)] if node is not None else []
        for group, name, fact in found:
            several[group][name].append(fact)
    return {group: {name: joined(facts) for name, facts in found.items()} for group, found in several.items()}


def stale_contents(deployment: str, pods: Sequence[Json], contents: Contents) -> tuple[str, ...]:
    """Say which ConfigMaps and Secrets were edited after containers that use them had started, pods not being newer."""
    started = [(pod, _started(pod)) for pod in pods]
    late: dict[tuple[Source, str, Way], set[str]] = defaultdict(set)
    for pod, moments in started:
        for each in references(pod["spec"]):
            content = _content(contents, each)
            start = moments.get(each.container)
            edited = content.edited_at if content else None
            if edited is not None and start is not None and edited > start:
                late[each.source, each.name, each.way].add(pod["metadata"]["name"])
    return tuple(
        _stale(deployment, key, len(names), pods=len(pods), contents=contents) for key, names in sorted(late.items())
    )


def _stale(deployment: str, key: tuple[Source, str, Way], number: int, *, pods: int, contents: Contents) -> str:
    source, name, way = key
    content = (contents.config_maps if source is Source.CONFIG_MAP else contents.secrets)[name]
    edited = f"{content.edited_at:%Y-%m-%dT%H:%M:%SZ}" if content and content.edited_at else ""
    return (
        f"{source} {name} was edited at {edited}, after {number} of {pods} pods of {deployment} had started: "
        f"{_MORE[way]}; restart them (kubectl rollout restart deployment/{deployment})"
    )


def _content(contents: Contents, reference: Reference) -> Content | None:
    read = contents.config_maps if reference.source is Source.CONFIG_MAP else contents.secrets
    return read.get(reference.name)


def _started(pod: Json) -> dict[str, datetime]:
    """Return when each container last started: a restart in place reads variables and subPaths anew."""
    moments = {}
    for each in _statuses(pod):
        state = each.get("state") or {}
        start = (state.get("running") or state.get("terminated") or {}).get("startedAt")
        if start:
            moments[each["name"]] = parse_time(start)
    return moments


def _changed(pod: Json, contents: Contents) -> Iterator[tuple[ParityGroup, str, Fact]]:
    """Yield what admission may have changed since the template: variables, command lines, resources."""
    for groups in (container_facts(pod), variable_facts(pod, contents)):
        for group, facts in groups.items():
            for name, fact in facts.items():
                yield group, name, fact


def _images(pod: Json) -> Iterator[tuple[ParityGroup, str, Fact]]:
    main = main_container(pod)
    references_by_name = {each["name"]: each.get("image", "") for each in containers(pod["spec"])}
    for status in _statuses(pod):
        name, image_id = status["name"], status.get("imageID")
        if not image_id:
            continue
        yield (
            image_group(name, main),
            named(name, "image", main),
            image_fact(references_by_name.get(name, ""), image_id),
        )


def image_fact(reference: str, image_id: str) -> Fact:
    """Return an image by the digest that runs, whatever it was called.

    Runtimes report the digest of the registry's manifest after ``@``, or, for an image that was imported, the hash of
    its configuration alone; the two cannot be compared.
    """
    _, at, manifest = image_id.rpartition("@")
    short = manifest.removeprefix("sha256:")[:12]
    mark = f"{'manifest' if at else 'config'}:{manifest.rpartition('//')[2]}"
    return Fact(marks=(mark,), text=f"{reference.partition('@')[0]} ({short})")


def _statuses(pod: Json) -> tuple[Json, ...]:
    status = pod.get("status") or {}
    return (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))


def _hardware(node: Json) -> Iterator[tuple[ParityGroup, str, Fact]]:
    labels = node["metadata"].get("labels") or {}
    for label, (what, likeness) in _LABELS.items():
        if label in labels:
            yield ParityGroup.NODES, what, shown(labels[label], likeness)
    info = (node.get("status") or {}).get("nodeInfo") or {}
    for key, what in _NODE_INFO.items():
        if info.get(key):
            yield ParityGroup.NODES, what, shown(info[key], Likeness.AMONG)


def _accelerators(pod: Json, node: Json) -> Iterator[tuple[ParityGroup, str, Fact]]:
    """Yield what the node says of the accelerators that the pod asks for; of those it does not ask for, nothing."""
    asked = {
        resource.partition("/")[0]
        for container in containers(pod["spec"])
        for part in ("requests", "limits")
        for resource in (container.get("resources") or {}).get(part) or {}
        if "/" in resource
    }
    prefixes = tuple(prefix for vendor in sorted(asked) for prefix in _VENDORS.get(vendor, ()))
    for label, value in (node["metadata"].get("labels") or {}).items():
        words = label.partition("/")[2]
        tells = any(word in words for word in _GPU_WORDS) and not any(word in words for word in _WORDS_OF_ONE_NODE)
        if label.startswith(prefixes) and tells:
            yield ParityGroup.GPU, label, shown(value)
