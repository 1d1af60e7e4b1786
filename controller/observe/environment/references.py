"""Which ConfigMaps and Secrets a pod template refers to, and how each container gets their content."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from controller.observe.cluster import Json


class Source(StrEnum):
    """What is referred to."""

    CONFIG_MAP = "ConfigMap"
    SECRET = "Secret"  # noqa: S105 - the kind's name


class Way(StrEnum):
    """How a container gets the content, which decides what an edit after its start does."""

    VARIABLES = "environment variables"
    SUB_PATH = "files (subPath)"
    FILES = "files"


@dataclass(frozen=True)
class Mount:
    """A ConfigMap or Secret as files: where, and which key becomes which path (empty: every key, by its name)."""

    source: Source
    name: str
    container: str
    way: Way
    directory: str
    items: tuple[tuple[str, str], ...] = ()
    sub_path: str = ""


@dataclass(frozen=True)
class Reference:
    """A container's use of a ConfigMap or Secret."""

    source: Source
    name: str
    container: str
    way: Way


def containers(spec: Json) -> Iterator[Json]:
    """Yield all containers of a pod spec, those that only prepare it first."""
    yield from spec.get("initContainers") or ()
    yield from spec.get("containers") or ()


def references(spec: Json) -> frozenset[Reference]:
    """Return every use of a ConfigMap or Secret by a container."""
    mounted = {Reference(each.source, each.name, each.container, each.way) for each in mounts(spec)}
    return frozenset(mounted | {found for each in containers(spec) for found in _in_variables(each)})


def mounts(spec: Json) -> Iterator[Mount]:
    """Yield ConfigMaps and Secrets that containers mount, whole or by subPath, projected ones included."""
    volumes = {volume["name"]: tuple(_sources(volume)) for volume in spec.get("volumes") or ()}
    for container in containers(spec):
        for mounted in container.get("volumeMounts") or ():
            sub_path = mounted.get("subPath") or mounted.get("subPathExpr") or ""
            for source, name, items in volumes.get(mounted["name"], ()):
                yield Mount(
                    source=source,
                    name=name,
                    container=container["name"],
                    way=Way.SUB_PATH if sub_path else Way.FILES,
                    directory=mounted["mountPath"],
                    items=items,
                    sub_path=sub_path,
                )


def _sources(volume: Json) -> Iterator[tuple[Source, str, tuple[tuple[str, str], ...]]]:
    if found := volume.get("configMap"):
        yield Source.CONFIG_MAP, found["name"], _items(found)
    if found := volume.get("secret"):
        yield Source.SECRET, found["secretName"], _items(found)
    for projected in (volume.get("projected") or {}).get("sources") or ():
        if found := projected.get("configMap"):
            yield Source.CONFIG_MAP, found["name"], _items(found)
        if found := projected.get("secret"):
            yield Source.SECRET, found["name"], _items(found)


def _items(source: Json) -> tuple[tuple[str, str], ...]:
    return tuple((item["key"], item["path"]) for item in source.get("items") or ())


def _in_variables(container: Json) -> Iterator[Reference]:
    for each in container.get("envFrom") or ():
        if found := each.get("configMapRef"):
            yield Reference(Source.CONFIG_MAP, found["name"], container["name"], Way.VARIABLES)
        if found := each.get("secretRef"):
            yield Reference(Source.SECRET, found["name"], container["name"], Way.VARIABLES)
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        if found := source.get("configMapKeyRef"):
            yield Reference(Source.CONFIG_MAP, found["name"], container["name"], Way.VARIABLES)
        if found := source.get("secretKeyRef"):
            yield Reference(Source.SECRET, found["name"], container["name"], Way.VARIABLES)
