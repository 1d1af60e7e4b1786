"""The node's own little world: a network without an uplink, and mounts that leave the machine's alone.

All of it belongs to namespaces that the kernel removes with their last process, so that there is nothing to undo, and
the same names and addresses serve every checkout.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.cluster.layout import ClusterError
from tests.cluster.progress import run

NODE_ADDRESS = "198.19.0.1"
POD_RANGE = "198.19.0.0/16"
"""Addresses of pods and the node: the other half of the range for benchmarks."""

BRIDGE = "cni0"
INSIDE = Path("/run/cluster")
"""Where the run folder appears in the node's mount namespace: short enough for the name of a socket."""

NAMESPACES = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child=KILL", "--propagation", "private")
FILTER_BRIDGED = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
TUNED_BY_KUBELET = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)


def setup(folder: Path, service_range: str) -> tuple[tuple[str, ...], ...]:
    """Return the commands that the first process of the namespaces runs."""
    return tuple(("sh", "-ec", command) for command in (*_mounts(folder), *_links(service_range)))


def _mounts(folder: Path) -> list[str]:
    """Hide what containerd and kubelet would otherwise write to the machine."""
    tuned = [
        f"cat {setting} > /run/tuned/{number} && mount --bind /run/tuned/{number} {setting}"
        for number, setting in enumerate(f"/proc/sys/{name}" for name in TUNED_BY_KUBELET)
    ]
    return [
        "mount -t proc proc /proc",
        f"mount --bind '{folder}' /mnt && mount -t tmpfs tmpfs /run && mkdir {INSIDE} && mount --move /mnt {INSIDE}",
        # Plug-in sockets have a fixed place below /var/lib/kubelet.
        "mkdir -p /run/var-lib/upper /run/var-lib/work /run/tuned",
        "mount -t overlay overlay -o lowerdir=/var/lib,upperdir=/run/var-lib/upper,workdir=/run/var-lib/work /var/lib",
        f"mkdir -p {INSIDE}/pod-logs && mount --bind {INSIDE}/pod-logs /var/log",
        # The kubelet sets these for the whole machine; here it sets a copy.
        *tuned,
        # Volumes may ask for mounts to propagate.
        "mount --make-rshared /",
    ]


def _links(service_range: str) -> list[str]:
    """Make the bridge that carries the node's address, and routes to pods and Services only.

    Without a default route every other address is unreachable at once, instead of after a timeout.
    """
    return [
        "ip link set lo up",
        f"ip link add {BRIDGE} type bridge && ip link set {BRIDGE} up",
        f"ip address add {NODE_ADDRESS}/{POD_RANGE.partition('/')[2]} dev {BRIDGE}",
        f"ip route add {service_range} dev {BRIDGE}",
        "echo 1 > /proc/sys/net/ipv4/ip_forward",
        # A reply between two pods must pass the rules that know the Service's address.
        f"echo 1 > {FILTER_BRIDGED}",
    ]


def check_kernel() -> None:
    """Load the kernel's filter for bridges if it is a module."""
    if not FILTER_BRIDGED.exists():
        try:
            run(["modprobe", "br_netfilter"])
        except ClusterError as error:
            raise ClusterError(f"the kernel lacks br_netfilter, without which Services do not work: {error}") from error


def pod_network() -> str:
    """Return the configuration of the network plug-ins."""
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": POD_RANGE, "rangeStart": "198.19.1.1", "gateway": NODE_ADDRESS}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": "/run/pod-addresses",
    }
    bridge = {"type": "bridge", "bridge": BRIDGE, "isGateway": True, "hairpinMode": True, "ipam": addresses}
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return json.dumps({"cniVersion": "0.4.0", "name": "cluster", "plugins": [bridge, ports]}, indent=1)
