"""The full size where Docker and kind are both usable: the same images, add-ons and files, on kind's node."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.cluster import addons, images, native
from tests.cluster.layout import SOURCE, ClusterError, Layout
from tests.cluster.progress import run, run_long

CONFIGURATION = SOURCE.parent.parent / "kind-config.yaml"
NODE_IMAGES = (images.TRAEFIK, images.PROMETHEUS)


def unusable() -> str:
    """Return what this machine lacks for kind, or nothing."""
    for program in ("docker", "kind"):
        if not shutil.which(program):
            return f"{program} is not installed"
    try:
        run(["docker", "version", "--format", "{{.Server.Version}}"])
    except ClusterError:
        return "no Docker daemon answers"
    return ""


def name(layout: Layout) -> str:
    """Return kind's name for the checkout's cluster."""
    return f"modelrollout-{layout.identity}"


def exists(layout: Layout) -> bool:
    """Tell whether kind knows the cluster."""
    return not unusable() and name(layout) in run(["kind", "get", "clusters"]).split()


def up(layout: Layout) -> None:
    """Create the cluster unless it is there and answers; load the images it needs and apply the add-ons."""
    if exists(layout) and not (layout.kubeconfig.exists() and native.ready(layout)):
        down(layout)
    if not exists(layout):
        create: list[str | Path] = [
            "kind",
            "create",
            "cluster",
            "--name",
            name(layout),
            "--config",
            CONFIGURATION,
            "--wait",
            "120s",
        ]
        log = layout.folder / "logs" / "kind.log"
        run_long("creating a kind cluster", [*create, "--kubeconfig", layout.kubeconfig], log=log)
        shutil.rmtree(layout.folder / "images", ignore_errors=True)
        (layout.folder / "addons").unlink(missing_ok=True)
    native.write_enter(layout)
    for image in NODE_IMAGES:
        load(layout, image)
    addons.apply(layout, addons.EVERYWHERE)


def load(layout: Layout, image: images.Image) -> None:
    """Build an image with Docker and load it into the node, unless the node has exactly this one."""
    known, key = layout.folder / "images" / image.name, images.key(image)
    if known.exists() and known.read_text() == key:
        return
    log = layout.folder / "logs" / "docker.log"
    with images.staged(image) as folder:
        run_long(f"building image {image.name}", ["docker", "build", "--tag", image.name, folder], log=log)
    run(["kind", "load", "docker-image", image.name, "--name", name(layout)])
    known.parent.mkdir(exist_ok=True)
    known.write_text(key)


def down(layout: Layout) -> None:
    """Delete the cluster."""
    run(["kind", "delete", "cluster", "--name", name(layout)])
