"""Builds the cluster's programs from their Go modules, once per content and user.

`<cache>/<module>/<hash>/` holds the result; the hash is over the module's files and the flags, so an edit of
any of them builds anew and going back finds the old build. A folder appears there only when it is complete.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.layout import SOURCE, ClusterError, cache_folder, content_hash
from tests.cluster.progress import run_long, say

KUBERNETES_VERSION = "v1.36.3"
# No debug tables, not even compiled: a fifth less work, half the size.
COMPILE = ("-trimpath", "-gcflags=all=-dwarf=false")
# Static, so that a binary also runs in an empty image; a lazier collector, as compilers live briefly.
ENVIRONMENT = {"CGO_ENABLED": "0", "GOGC": "400"}


@dataclass(frozen=True)
class Program:
    """A Go module below `go/`, and what comes out of it.

    Attributes:
        module: folder, and name of the binary.
        title: what the person waiting reads.
        link: settings for the linker.
        names: what the binary is also called; it picks what it does by its name.
    """

    module: str
    title: str
    link: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


def _version_settings() -> tuple[str, ...]:
    package = "k8s.io/component-base/version"
    major, minor, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
    values = {"gitVersion": KUBERNETES_VERSION, "gitMajor": major, "gitMinor": minor}
    return tuple(f"-X={package}.{name}={value}" for name, value in values.items())


KUBERNETES = Program(
    module="kubernetes",
    title="building etcd, kube-apiserver, kubelet … (4 to 7 minutes the first time)",
    link=_version_settings(),
    names=("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"),
)
COREDNS = Program(module="coredns", title="building CoreDNS (1 to 2 minutes the first time)")
PAUSE = Program(module="pause", title="building pause")


def ensure(program: Program) -> Path:
    """Return the folder that holds the program, building it first if need be."""
    with cached(program.module, key(program)) as draft:
        if draft:
            _build(program, draft)
    return cache_folder() / program.module / key(program)


def key(program: Program) -> str:
    """Return the hash that tells a build of the program apart from others."""
    source = SOURCE / "go" / program.module
    files = [source / name for name in ("go.mod", "go.sum", "main.go") if (source / name).exists()]
    return content_hash(files, *COMPILE, *program.link, *program.names)


def _build(program: Program, draft: Path) -> None:
    go = shutil.which("go")
    if go is None:
        raise ClusterError("go is missing: the cluster's programs are built from source; install Go 1.26 or newer")
    link = " ".join(("-s", "-w", *program.link))
    command: list[str | Path] = [go, "build", *COMPILE, f"-ldflags={link}", "-o", draft / program.module, "."]
    log = cache_folder() / "logs" / f"{program.module}.log"
    run_long(
        program.title,
        command,
        log=log,
        cwd=SOURCE / "go" / program.module,
        environment=_merged(os.environ, ENVIRONMENT),
    )
    for name in program.names:
        (draft / name).symlink_to(program.module)


def _merged(*parts: Mapping[str, str]) -> dict[str, str]:
    return {name: value for part in parts for name, value in part.items()}


@contextlib.contextmanager
def cached(kind: str, key: str) -> Iterator[Path | None]:
    """Offer an empty folder to fill if `<cache>/<kind>/<key>` is not there yet, else None.

    What was filled appears under its name all at once when the block ends well. Of several processes one fills and the
    others wait for it.
    """
    target = cache_folder() / kind / key
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        yield None
        return
    with locked(cache_folder() / kind / f"{key}.lock", waiting=f"waiting for another process that makes {kind}"):
        if target.exists():
            yield None
            return
        draft = Path(tempfile.mkdtemp(prefix=f"{key}.", dir=target.parent))
        try:
            draft.chmod(0o755)
            yield draft
            draft.rename(target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


@contextlib.contextmanager
def locked(file: Path, *, waiting: str) -> Iterator[None]:
    """Hold a lock between processes, saying `waiting` if it is not to be had at once."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(waiting)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
