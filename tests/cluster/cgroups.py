"""The control groups below which all pods of one node live, so that two kubelets never see each other's."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from tests.cluster.layout import ClusterError, Layout

MOUNT = Path("/sys/fs/cgroup")
REMOVAL_SECONDS = 10.0


def name(layout: Layout) -> str:
    """Return the group's path within each hierarchy."""
    return f"/modelrollout-{layout.identity}"


def renew(layout: Layout) -> None:
    """Make the group, empty, in the one hierarchy of version 2 or in each of version 1.

    What a killed node left there would cost its successor's kubelet seconds per container.
    """
    remove(layout)
    for hierarchy in _hierarchies():
        group = Path(f"{hierarchy}{name(layout)}")
        group.mkdir(exist_ok=True)
        for level in (hierarchy, group):
            offered = level / "cgroup.controllers"
            for controller in offered.read_text().split() if offered.exists() else ():
                with contextlib.suppress(OSError):  # some cannot be passed on; the kubelet names those it misses
                    (level / "cgroup.subtree_control").write_text(f"+{controller}")


def remove(layout: Layout) -> None:
    """Remove the group and all below; the processes must have ended."""
    deadline = time.monotonic() + REMOVAL_SECONDS
    for hierarchy in _hierarchies():
        group = Path(f"{hierarchy}{name(layout)}")
        while group.exists():
            for folder in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True):
                with contextlib.suppress(OSError):
                    folder.rmdir()
            with contextlib.suppress(OSError):
                group.rmdir()
            if group.exists() and time.monotonic() > deadline:
                raise ClusterError(f"the control group {group} is still in use; see its cgroup.procs")


def _hierarchies() -> list[Path]:
    if (MOUNT / "cgroup.controllers").exists():
        return [MOUNT]
    return [path for path in MOUNT.iterdir() if path.is_dir() and not path.is_symlink()]
