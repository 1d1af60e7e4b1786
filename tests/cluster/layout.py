"""Where everything is: the run folder of one cluster size in one checkout, and the cache they all share."""

from __future__ import annotations

import enum
import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).resolve().parent
"""The folder of this package: Go modules, images and manifests are next to the code."""


class ClusterError(Exception):
    """Something the person at the keyboard can act on; the message is one sentence that says what."""


class Size(enum.StrEnum):
    """What a cluster consists of."""

    CONTROL_PLANE = "control-plane"
    FULL = "full"


@dataclass(frozen=True)
class Layout:
    """The paths of one cluster: `size` in `checkout` (absolute)."""

    checkout: Path
    size: Size

    @property
    def root(self) -> Path:
        """Holds all run state of the checkout's clusters."""
        return self.checkout / ".cluster"

    @property
    def folder(self) -> Path:
        """Holds all run state of this cluster."""
        return self.root / self.size.value

    @property
    def kubeconfig(self) -> Path:
        """Makes a client the administrator."""
        return self.folder / "kubeconfig"

    @property
    def enter(self) -> Path:
        """The executable that runs a command where the cluster's addresses mean something."""
        return self.folder / "enter"

    @property
    def certificates(self) -> Path:
        """Keys and certificates."""
        return self.folder / "certificates"

    @property
    def audit_log(self) -> Path:
        """What the installed operator asked of the API server, a JSON object on each line."""
        return self.folder / "logs" / "audit.log"

    @property
    def logs(self) -> Path:
        """One file per component, and the supervisor's."""
        return self.folder / "logs"

    @property
    def pids(self) -> Path:
        """One file per process: pid as the machine sees it, and start time."""
        return self.folder / "pids"

    @property
    def supervisor(self) -> Path:
        """The pid file of the process on which all others depend."""
        return self.pids / "supervisor"

    @property
    def plan(self) -> Path:
        """What the supervisor runs."""
        return self.folder / "plan.json"

    @property
    def identity(self) -> str:
        """Eight hexadecimal digits that tell this checkout from others on the machine."""
        return hashlib.sha256(str(self.checkout).encode()).hexdigest()[:8]


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where builds are kept: outside the checkout, so that all checkouts of a user share them."""
    if own := environment.get("MODELROLLOUT_CACHE"):
        return Path(own).expanduser().resolve()
    shared = environment.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(shared).expanduser().resolve() / "modelrollout"


def content_hash(paths: Iterable[Path], *words: str) -> str:
    """Sixteen hexadecimal digits over names, permission to execute and content of files, and over words.

    A folder stands for all files below it. Names are those below the
    given path, so that the hash does not depend on where a checkout is.
    """
    digest = hashlib.sha256("\0".join(words).encode())
    for path in paths:
        for file in sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]:
            mode = "x" if os.access(file, os.X_OK) else "-"
            name = file.name if file == path else file.relative_to(path)
            digest.update(f"\0{name}\0{mode}\0".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def point_to(layout: Layout) -> None:
    """Make `.cluster/kubeconfig` and `.cluster/enter` those of the full cluster, or of the only one."""
    full = Layout(layout.checkout, Size.FULL)
    target = full if full.kubeconfig.exists() else Layout(layout.checkout, Size.CONTROL_PLANE)
    for name in ("kubeconfig", "enter"):
        link, wanted = layout.root / name, f"{target.size.value}/{name}"
        if not (target.folder / name).exists():
            link.unlink(missing_ok=True)
        elif not link.is_symlink() or link.readlink() != Path(wanted):
            draft = layout.root / f".{name}"
            draft.unlink(missing_ok=True)
            draft.symlink_to(wanted)
            draft.rename(link)
