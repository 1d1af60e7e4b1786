"""What a pod spec declares, group by group; the same reading serves a template and a pod that admission has changed."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from controller.api.names import GROUP
from controller.api.verify import ParityGroup
from controller.observe.cluster import Json
from controller.observe.environment.arguments import arguments, public
from controller.observe.environment.packages import packages
from controller.observe.environment.quantities import amount
from controller.observe.environment.references import containers
from controller.observe.environment.scheduling import scheduling_facts
from controller.plan.verify.environment import MODEL_DIGEST, Fact, canonical, digest, sealed, shown

PACKAGES_ANNOTATION: Final = f"{GROUP}/packages"
"""On a pod template: ``numpy==1.26.4,…``, or the text of a lock file."""
PACKAGES_DIGEST_ANNOTATION: Final = f"{GROUP}/packages-digest"
"""On a pod template: digest of the lock file."""
RUNTIME_ANNOTATION: Final = f"{GROUP}/runtime"
"""On a pod template: versions of interpreter and server, as ``python==3.11.9,mlserver==1.6.1``."""
MODEL_DIGEST_ANNOTATION: Final = f"{GROUP}/modelDigest"
"""On a pod template: digest of the model artifact."""

DEFAULT_CONTAINER_ANNOTATION: Final = "kubectl.kubernetes.io/default-container"
_KSERVE_SOURCE: Final = "internal.serving.kserve.io/storage-initializer-sourceuri"
_CHECKSUM: Final = "checksum/"
_STORAGE_INITIALIZER: Final = "storage-initializer"
_MODELCARS: Final = frozenset({"modelcar", "modelcar-init"})

Groups = dict[ParityGroup, dict[str, Fact]]


def main_container(pod: Json) -> str:
    """Return the name of the model server's container: the annotated default container, else the first."""
    names: list[str] = [each["name"] for each in pod["spec"]["containers"]]
    annotated = _annotations(pod).get(DEFAULT_CONTAINER_ANNOTATION)
    return next((name for name in names if name == annotated), names[0])


def named(container: str, what: str, main: str) -> str:
    """Return a fact's name: of the model server without its container's name, which may differ between the arms."""
    return what if container == main else f"{container}: {what}"


def image_group(container: str, main: str) -> ParityGroup:
    """Return the group of a container's image: KServe puts a model that is itself an image into one of its own."""
    if container in _MODELCARS:
        return ParityGroup.MODEL
    return ParityGroup.IMAGES if container == main else ParityGroup.SIDECARS


def template_facts(template: Json) -> Groups:
    """Return what a template declares, without its environment variables and the content that it refers to."""
    main = main_container(template)
    facts = defaultdict[ParityGroup, dict[str, Fact]](dict)
    for container in containers(template["spec"]):
        facts[image_group(container["name"], main)][named(container["name"], "image", main)] = shown(
            container.get("image", "")
        )
    for group, name, fact in (*_annotated(template), *_volumes(template["spec"])):
        facts[group][name] = fact
    facts[ParityGroup.SCHEDULING].update(scheduling_facts(template))
    for group, found in container_facts(template).items():
        facts[group].update(found)
    return dict(facts)


def container_facts(pod: Json) -> Groups:
    """Return command lines and resources, which admission may have changed in a pod."""
    main = main_container(pod)
    facts = defaultdict[ParityGroup, dict[str, Fact]](dict)
    for container in containers(pod["spec"]):
        for group, what, fact in (*_command(container), *_resources(container)):
            facts[group][named(container["name"], what, main)] = fact
    for what, quantity in _quantities(pod["spec"].get("resources") or {}):
        facts[ParityGroup.RESOURCES][f"pod {what}"] = quantity
    if claims := pod["spec"].get("resourceClaims"):
        facts[ParityGroup.RESOURCES]["resource claims"] = sealed(canonical(claims))
    return dict(facts)


def _command(container: Json) -> Iterator[tuple[ParityGroup, str, Fact]]:
    """Read the command line. Values of arguments are shown only where they are known to be no secret."""
    if container["name"] == _STORAGE_INITIALIZER and container.get("args"):
        yield ParityGroup.MODEL, "source", _reference(container["args"][0])
        return
    for group, name, value in arguments([*(container.get("command") or ()), *(container.get("args") or ())]):
        yield group, name, _argument(group, value)


def _argument(group: ParityGroup, value: str) -> Fact:
    if group is ParityGroup.MODEL:
        return _reference(value)
    return shown(value) if group is ParityGroup.NUMERICS and len(value) <= 64 else sealed(value)


def _reference(value: str) -> Fact:
    """Compare the whole reference, and show it without credentials."""
    return Fact(marks=(digest(value),), text=public(value))


def _resources(container: Json) -> Iterator[tuple[ParityGroup, str, Fact]]:
    resources = container.get("resources") or {}
    for what, quantity in _quantities(resources):
        yield ParityGroup.RESOURCES, what, quantity
    if claims := resources.get("claims"):
        yield ParityGroup.RESOURCES, "claims", sealed(canonical(claims))


def _quantities(resources: Json) -> Iterator[tuple[str, Fact]]:
    for kind in ("requests", "limits"):
        for name, quantity in (resources.get(kind) or {}).items():
            yield f"{kind} {name}", Fact(marks=(amount(str(quantity)),), text=str(quantity))


def _annotated(template: Json) -> Iterator[tuple[ParityGroup, str, Fact]]:
    annotations = _annotations(template)
    for name, version in packages(annotations.get(PACKAGES_ANNOTATION, "")).items():
        yield ParityGroup.PACKAGES, name, shown(version)
    if found := annotations.get(PACKAGES_DIGEST_ANNOTATION):
        yield ParityGroup.PACKAGES, "digest", shown(found)
    for name, version in packages(annotations.get(RUNTIME_ANNOTATION, "")).items():
        yield ParityGroup.RUNTIME, name, shown(version)
    if found := annotations.get(MODEL_DIGEST_ANNOTATION):
        yield ParityGroup.MODEL, MODEL_DIGEST, shown(found)
    if found := annotations.get(_KSERVE_SOURCE):
        yield ParityGroup.MODEL, "source", _reference(found)
    for key, value in annotations.items():
        if key.startswith(_CHECKSUM):
            yield ParityGroup.CONFIG, f"annotation {key}", sealed(value)


def _volumes(spec: Json) -> Iterator[tuple[ParityGroup, str, Fact]]:
    """Yield where volumes say that the model comes from: an image as a volume, a claim."""
    mounted = {
        mount["name"]: mount["mountPath"] for each in containers(spec) for mount in each.get("volumeMounts") or ()
    }
    for volume in spec.get("volumes") or ():
        place = f"volume at {mounted.get(volume['name'], volume['name'])}"
        if image := volume.get("image"):
            yield ParityGroup.MODEL, place, shown(image.get("reference", ""))
        if claim := volume.get("persistentVolumeClaim"):
            yield ParityGroup.MODEL, place, shown(f"PersistentVolumeClaim {claim['claimName']}")


def _annotations(pod: Json) -> Json:
    found: Json = (pod.get("metadata") or {}).get("annotations") or {}
    return found
