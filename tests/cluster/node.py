"""The full size on a machine without Docker: control plane, node and pods in namespaces of their own."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from pathlib import Path

from tests.cluster import addons, buildah, cgroups, controlplane, debian, images, native, network, processes
from tests.cluster.binaries import KUBERNETES, ensure
from tests.cluster.certificates import Authority, kubeconfig
from tests.cluster.layout import ClusterError, Layout
from tests.cluster.plan import Component, Option, Plan, flags
from tests.cluster.progress import run, wait_for

NODE = "node"
DNS_ADDRESS = "198.18.0.10"
API = controlplane.Endpoint(network.NODE_ADDRESS, port=6443, etcd_port=2379, peer_port=2380)
API_READY = f"{API.url}/readyz"
RUNTIME_SOCKET = "/run/containerd/containerd.sock"
VOLUME_PLUGINS = network.INSIDE / "kubelet" / "volume-plugins"
NODE_SECONDS = 60.0

CONTAINERD = """\
version = 2
root = "{inside}/containerd"
state = "/run/containerd"
[grpc]
address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
# Without CAP_SYS_RESOURCE pods could not be made more eligible for the out-of-memory killer's mercy.
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{inside}/configuration/network"
"""


def unusable() -> str:
    """Return what this machine lacks for a node, or nothing."""
    if os.geteuid() != 0:
        return "not run as root"
    if not shutil.which("go"):
        return "go is not installed"
    if debian.missing() and not shutil.which("apt-get"):
        return f"{', '.join(debian.missing())} not installed"
    return ""


def up(layout: Layout) -> None:
    """Bring up the cluster, load the images it needs, apply the add-ons, and wait until all of it answers."""
    debian.ensure()
    network.check_kernel()
    # Images first: the programs are also built for the small size, which may be coming up at the same time.
    archives = [buildah.archive(image) for image in images.ADDONS]
    programs = ensure(KUBERNETES)
    authority = Authority(layout.certificates)
    _write_configuration(layout, authority)
    native.write_enter(layout, body=_enter(layout))
    plan = Plan(
        folder=str(layout.folder),
        components=_components(layout, programs, authority),
        setup=network.setup(layout.folder, controlplane.SERVICE_RANGE),
    )
    native.start(layout, plan, namespaces=network.NAMESPACES, before=lambda: cgroups.renew(layout))
    for image, file in zip(images.ADDONS, archives, strict=True):
        load(layout, image, file)
    hint = f"see {layout.logs}/kubelet.log and containerd.log"
    wait_for("a ready node", lambda: _node_ready(layout), seconds=NODE_SECONDS, hint=hint)
    addons.apply(layout, addons.OWN_NODE + addons.EVERYWHERE)


def load(layout: Layout, image: images.Image, archive: Path) -> None:
    """Make an image known to the node, unless it knows exactly this one."""
    known = layout.folder / "images" / image.name
    if known.exists() and known.read_text() == str(archive):
        return
    client = ["ctr", "--address", RUNTIME_SOCKET, "--namespace", "k8s.io"]
    wait_for("containerd", lambda: _containerd_answers(layout, client), seconds=30, hint=f"see {layout.logs}")
    inside(layout, *client, "images", "import", "--all-platforms", str(archive))
    known.parent.mkdir(exist_ok=True)
    known.write_text(str(archive))


def inside(layout: Layout, *command: str) -> str:
    """Run a command in the node's mount and network namespaces."""
    process = processes.running(layout.supervisor)
    if process is None:
        raise ClusterError("the full cluster is not up: make cluster-up")
    return run(["nsenter", "--target", str(process.pid), "--mount", "--net", "--", *command])


def down(layout: Layout) -> None:
    """End every process and remove the control groups."""
    native.stop(layout)
    cgroups.remove(layout)


def _containerd_answers(layout: Layout, client: list[str]) -> bool:
    try:
        return bool(inside(layout, *client, "version"))
    except ClusterError:
        return False


def _node_ready(layout: Layout) -> bool:
    """Ask the kubelet itself, too: the API server remembers a node as ready for a while after its end."""
    status = "-o=jsonpath={.status.conditions[?(@.type=='Ready')].status}"
    try:
        healthy = native.kubectl(layout, "get", "--raw", f"/api/v1/nodes/{NODE}/proxy/healthz") == "ok"
        return healthy and native.kubectl(layout, "get", "node", NODE, status) == "True"
    except ClusterError:
        return False


def _enter(layout: Layout) -> str:
    pid_file, resolver = (shlex.quote(str(path)) for path in (layout.supervisor, layout.folder / "resolv.conf"))
    return native.ENTER_NAMESPACE.format(pid_file=pid_file, resolver=resolver)


def _write_configuration(layout: Layout, authority: Authority) -> None:
    folder = layout.folder / "configuration"
    (folder / "network").mkdir(parents=True, exist_ok=True)
    members = {
        "kubelet": authority.issue(
            "kubelet", name=f"system:node:{NODE}", organisation="system:nodes", hosts=[API.address, NODE]
        ),
        **{
            name: authority.issue(name, name=f"system:{name}")
            for name in ("kube-controller-manager", "kube-scheduler", "kube-proxy")
        },
        "admin": authority.issue("admin", name="admin", organisation="system:masters"),
    }
    for name, (certificate, key) in members.items():
        text = kubeconfig(authority, server=API.url, certificate=certificate, key=key)
        file = layout.kubeconfig if name == "admin" else folder / name
        file.write_text(text)
        file.chmod(0o600)
    search = "svc.cluster.local cluster.local"
    (layout.folder / "resolv.conf").write_text(f"nameserver {DNS_ADDRESS}\nsearch {search}\noptions ndots:5\n")
    (folder / "network" / "cluster.conflist").write_text(network.pod_network())
    (folder / "kubelet.json").write_text(json.dumps(_kubelet(layout, authority), indent=1))
    (folder / "containerd.toml").write_text(
        CONTAINERD.format(
            inside=network.INSIDE,
            socket=RUNTIME_SOCKET,
            pause=images.PAUSE.name,
            plugins=debian.network_plugins(),
        )
    )


def _kubelet(layout: Layout, authority: Authority) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": False}, "x509": {"clientCAFile": str(authority.certificate)}},
        "tlsCertFile": str(layout.certificates / "kubelet.crt"),
        "tlsPrivateKeyFile": str(layout.certificates / "kubelet.key"),
        "containerRuntimeEndpoint": f"unix://{RUNTIME_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroups.name(layout),
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": "",
        "volumePluginDir": str(VOLUME_PLUGINS),
        # The images are all there is: no registry to get them from again.
        "evictionHard": {},
        "imageGCHighThresholdPercent": 100,
        "maxPods": 200,
        "kubeAPIQPS": 100,
        "kubeAPIBurst": 200,
    }


def _components(layout: Layout, programs: Path, authority: Authority) -> tuple[Component, ...]:
    folder = layout.folder / "configuration"
    private, _ = authority.service_account_keys()
    manager: list[Option] = [
        ("kubeconfig", folder / "kube-controller-manager"),
        ("root-ca-file", authority.certificate),
        ("service-account-private-key-file", private),
        ("use-service-account-credentials", "true"),
        ("leader-elect", "false"),
        ("flex-volume-plugin-dir", VOLUME_PLUGINS),
        ("kube-api-qps", 100),
        ("kube-api-burst", 200),
    ]
    scheduler: list[Option] = [("kubeconfig", folder / "kube-scheduler"), ("leader-elect", "false")]
    kubelet: list[Option] = [
        ("config", folder / "kubelet.json"),
        ("kubeconfig", folder / "kubelet"),
        ("root-dir", network.INSIDE / "kubelet"),
        ("hostname-override", NODE),
        ("node-ip", API.address),
    ]
    proxy: list[Option] = [
        ("kubeconfig", folder / "kube-proxy"),
        ("hostname-override", NODE),
        ("proxy-mode", "iptables"),
        ("cluster-cidr", network.POD_RANGE),
        ("conntrack-max-per-core", 0),
        ("oom-score-adj", 0),
        ("iptables-min-sync-period", "100ms"),
    ]
    after = (API_READY,)
    runtime = shutil.which("containerd") or "containerd"
    return (
        *controlplane.components(layout, programs, authority, endpoint=API),
        Component("containerd", (runtime, "--config", str(folder / "containerd.toml"))),
        Component("kube-controller-manager", flags(programs / "kube-controller-manager", manager), after),
        Component("kube-scheduler", flags(programs / "kube-scheduler", scheduler), after),
        Component("kubelet", flags(programs / "kubelet", kubelet), (*after, f"unix:{RUNTIME_SOCKET}")),
        Component("kube-proxy", flags(programs / "kube-proxy", proxy), after),
    )
