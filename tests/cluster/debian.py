"""Installs the few Debian packages that the node needs, without letting any of them start a service."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.cluster.layout import ClusterError, cache_folder
from tests.cluster.progress import run_long, say

PACKAGES = {
    "containerd": "containerd",
    "runc": "runc",
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "iptables": "iptables",
    "openssl": "openssl",
    "ip": "iproute2",
    "prometheus": "prometheus",
}
"""Program that must be there, and the package that brings it."""

NETWORK_PLUGINS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
NETWORK_PLUGINS_PACKAGE = "containernetworking-plugins"
POLICY = Path("/usr/sbin/policy-rc.d")


def missing() -> list[str]:
    """Return the packages of which the programs are not there."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    packages = [package for program, package in PACKAGES.items() if not shutil.which(program, path=path)]
    if not any((folder / "bridge").exists() for folder in NETWORK_PLUGINS):
        packages.append(NETWORK_PLUGINS_PACKAGE)
    return packages


def network_plugins() -> Path:
    """Return the folder of the programs that connect pods."""
    return next((folder for folder in NETWORK_PLUGINS if (folder / "bridge").exists()), NETWORK_PLUGINS[0])


def ensure() -> None:
    """Install what is missing."""
    packages = missing()
    if not packages:
        return
    if not shutil.which("apt-get"):
        raise ClusterError(f"{', '.join(packages)} missing and no apt-get to install them; install them or use Docker")
    say(f"installing {', '.join(packages)}")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    logs = cache_folder() / "logs"
    with _no_services():
        run_long("  apt-get update", ["apt-get", "update"], log=logs / "apt-update.log", environment=environment)
        install = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
        run_long("  apt-get install", install, log=logs / "apt-install.log", environment=environment)
    if "containerd" in packages and shutil.which("systemctl"):
        # Nor at the next start of the machine.
        subprocess.run(["systemctl", "disable", "--quiet", "containerd"], check=False)


@contextlib.contextmanager
def _no_services() -> Iterator[None]:
    """Tell packages not to start their services: Debian asks this file, and 101 means no."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()
