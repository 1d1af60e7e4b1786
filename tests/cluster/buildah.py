"""Builds images without Docker and without a registry, each once per content, as files that containerd loads.

Layers are kept in the cache, so that an edit of a program does not install its dependencies again.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.cluster import binaries, images
from tests.cluster.layout import cache_folder
from tests.cluster.progress import run, run_long

CERTIFICATES = Path("/etc/ssl/certs")


def archive(image: images.Image) -> Path:
    """Return the image as a file, building it first if need be."""
    key = images.key(image)
    with binaries.cached("images", key) as draft:
        if draft:
            # This format, because it alone keeps the short name that pods use.
            destination = f"docker-archive:{draft / 'image.tar'}:{image.name}"
            run([*_buildah(), "push", "--quiet", _build(image), destination])
    return cache_folder() / "images" / key / "image.tar"


def _build(image: images.Image) -> str:
    """Build into the layer store and return the reference there."""
    short = image.name.partition(":")[0]
    reference = f"localhost/{short}:{images.key(image)}"
    if reference in run([*_buildah(), "images", "--format", "{{.Name}}:{{.Tag}}"]).split():
        return reference
    base = [f"--build-arg=BASE_IMAGE={_build(image.base)}"] if image.base else []
    with images.staged(image) as folder, tempfile.NamedTemporaryFile("w", suffix=".conf") as pip:
        pip.write(pip_configuration(os.environ))
        pip.flush()
        options = ["--layers", "--network=host", "--pull-never", "--timestamp=0", *_volumes(Path(pip.name)), *base]
        run_long(
            f"building image {image.name}",
            [*_buildah(), "build", *options, "--tag", reference, folder],
            log=cache_folder() / "logs" / f"{short}.log",
            environment={**os.environ, "BUILDAH_ISOLATION": "chroot"},
        )
    return reference


def _volumes(pip: Path) -> list[str]:
    """Lend the build the machine's certificates and its way to packages; only empty names of them stay in the image."""
    wheels = [folder for folder in os.environ.get("PIP_FIND_LINKS", "").split() if Path(folder).is_dir()]
    pairs = {str(CERTIFICATES): str(CERTIFICATES), str(pip): "/etc/pip.conf", **{folder: folder for folder in wheels}}
    return [f"--volume={source}:{target}:ro" for source, target in pairs.items()]


def pip_configuration(environment: Mapping[str, str]) -> str:
    """Return the environment's settings for pip as a configuration file."""
    settings = {
        name.removeprefix("PIP_").lower().replace("_", "-"): value
        for name, value in environment.items()
        if name.startswith("PIP_") and name != "PIP_CONFIG_FILE"
    }
    settings["cert"] = str(CERTIFICATES / "ca-certificates.crt")
    return "[global]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items())


def _buildah() -> list[str]:
    storage = cache_folder() / "layers"
    return ["buildah", "--root", str(storage / "store"), "--runroot", str(storage / "run")]
