"""Environment variables of every container, with what they refer to, and files of ConfigMaps and Secrets.

Values appear as hashes only. A variable from a ConfigMap is compared by its value, so that arms whose ConfigMaps have
other names but say the same are equal; one from a Secret by the Secret's name and key, unless Secrets are read.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from controller.api.verify import ParityGroup
from controller.observe.cluster import Json
from controller.observe.environment.arguments import group_of_variable
from controller.observe.environment.content import Content, Contents
from controller.observe.environment.references import Mount, Source, containers, mounts
from controller.observe.environment.template import Groups, main_container, named, template_facts
from controller.plan.verify.environment import Fact, canonical, sealed, shown

_MISSING: Final = Fact(marks=("missing",), text="missing")


def declared_facts(template: Json, contents: Contents, runtime: Mapping[str, str]) -> Groups:
    """Return all that a template declares, with the content that it refers to and what its server says of itself."""
    facts = defaultdict[ParityGroup, dict[str, Fact]](dict, template_facts(template))
    for group, found in variable_facts(template, contents).items():
        facts[group].update(found)
    facts[ParityGroup.CONFIG].update(file_facts(template, contents))
    facts[ParityGroup.RUNTIME].update({name: shown(version) for name, version in runtime.items()})
    return dict(facts)


def variable_facts(pod: Json, contents: Contents) -> Groups:
    """Return the variables of every container: those that name the model or set numeric knobs in their own groups.

    Of a variable that is set twice the last one counts, and ``env`` before ``envFrom``, as for the kubelet.
    """
    main = main_container(pod)
    facts = defaultdict[ParityGroup, dict[str, Fact]](dict)
    for container in containers(pod["spec"]):
        variables = {**dict(_imported(container, contents)), **dict(_set(container, contents))}
        for variable, fact in variables.items():
            facts[group_of_variable(variable)][named(container["name"], variable, main)] = fact
    return dict(facts)


def file_facts(template: Json, contents: Contents) -> dict[str, Fact]:
    """Return the files that come from ConfigMaps and Secrets by path, whatever the objects are called."""
    main, facts = main_container(template), dict[str, Fact]()
    for mount in mounts(template["spec"]):
        for path, fact in _files(mount, contents):
            facts[named(mount.container, path, main)] = fact
    return facts


def _set(container: Json, contents: Contents) -> Iterator[tuple[str, Fact]]:
    for variable in container.get("env") or ():
        yield variable["name"], _value(variable, contents)


def _value(variable: Json, contents: Contents) -> Fact:
    source = variable.get("valueFrom")
    if not source:
        return sealed(variable.get("value") or "")
    if found := source.get("configMapKeyRef"):
        return _key(contents.config_maps, found, kind=Source.CONFIG_MAP)
    if found := source.get("secretKeyRef"):
        return _key(contents.secrets, found, kind=Source.SECRET)
    return shown(canonical(source))


def _key(read: Mapping[str, Content | None], reference: Json, *, kind: Source) -> Fact:
    name, key = reference["name"], reference["key"]
    if name not in read:
        return shown(f"from {kind} {name}, key {key}")
    content = read[name]
    return (content.files.get(key) if content else None) or _MISSING


def _imported(container: Json, contents: Contents) -> Iterator[tuple[str, Fact]]:
    for each in container.get("envFrom") or ():
        prefix = each.get("prefix") or ""
        for field, kind, read in (
            ("configMapRef", Source.CONFIG_MAP, contents.config_maps),
            ("secretRef", Source.SECRET, contents.secrets),
        ):
            if not (reference := each.get(field)):
                continue
            content = read.get(reference["name"])
            if reference["name"] not in read:
                yield f"all of {kind} {reference['name']}{' as ' + prefix if prefix else ''}", shown("imported")
            for key, fact in (content.files if content else {}).items():
                yield f"{prefix}{key}", fact


def _files(mount: Mount, contents: Contents) -> Iterator[tuple[str, Fact]]:
    read = contents.config_maps if mount.source is Source.CONFIG_MAP else contents.secrets
    directory = mount.directory.rstrip("/")
    if mount.name not in read:
        yield f"files at {directory}", shown(f"of {mount.source} {mount.name}")
        return
    content = read[mount.name]
    if content is None:
        yield f"files at {directory}", _MISSING
        return
    paths = dict(mount.items) if mount.items else {key: key for key in content.files}
    for key, path in paths.items():
        fact = content.files.get(key, _MISSING)
        if not mount.sub_path:
            yield f"file {directory}/{path}", fact
        elif path == mount.sub_path:
            yield f"file {directory}", fact
        elif path.startswith(f"{mount.sub_path}/"):
            yield f"file {directory}/{path.removeprefix(mount.sub_path + '/')}", fact
