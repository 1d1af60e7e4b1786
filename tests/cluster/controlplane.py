"""etcd and kube-apiserver: the whole of the small size, and the centre of the full one."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.binaries import KUBERNETES, ensure
from tests.cluster.certificates import Authority, kubeconfig
from tests.cluster.layout import ClusterError, Layout
from tests.cluster.native import start, write_enter
from tests.cluster.plan import Component, Option, Plan, flags

SERVICE_RANGE = "198.18.0.0/16"
"""Cluster addresses of Services: half of the range for benchmarks, which nothing real uses; 65,000 of them."""

FIRST_SERVICE = "198.18.0.1"
"""The address of the Service `kubernetes`."""

ISSUER = "https://kubernetes.default.svc.cluster.local"
NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
LOWEST_PORT = 21_000
PORTS = 10_000

OPERATOR = "system:serviceaccount:modelrollout-system:modelrollout"
"""The user that an installed operator is."""


@dataclass(frozen=True)
class Endpoint:
    """Where the API server is reached, and etcd behind it (always on loopback)."""

    address: str
    port: int
    etcd_port: int
    peer_port: int

    @property
    def url(self) -> str:
        """The API server's URL."""
        return f"https://{self.address}:{self.port}"


def up(layout: Layout) -> None:
    """Bring up the control plane of `layout` on loopback ports of its own, and wait until it is ready."""
    programs = ensure(KUBERNETES)
    layout.folder.mkdir(parents=True, exist_ok=True)
    authority = Authority(layout.certificates)
    endpoint = choose_ports(layout)
    certificate, key = authority.issue("admin", name="admin", organisation="system:masters")
    layout.kubeconfig.write_text(kubeconfig(authority, server=endpoint.url, certificate=certificate, key=key))
    layout.kubeconfig.chmod(0o600)
    write_enter(layout)
    # Nothing here makes the accounts that this admission demands of every pod, or serves `kubernetes`.
    alone: list[Option] = [("disable-admission-plugins", "ServiceAccount"), ("endpoint-reconciler-type", "none")]
    plan = Plan(str(layout.folder), components(layout, programs, authority, endpoint=endpoint, extra=alone))
    start(layout, plan)


def components(
    layout: Layout,
    programs: Path,
    authority: Authority,
    *,
    endpoint: Endpoint,
    extra: Sequence[Option] = (),
) -> tuple[Component, Component]:
    """Return etcd and the API server; `extra` are more options for the latter."""
    client, peer = (f"http://127.0.0.1:{port}" for port in (endpoint.etcd_port, endpoint.peer_port))
    etcd = flags(
        programs / "etcd",
        [
            ("data-dir", layout.folder / "etcd"),
            ("unsafe-no-fsync", "true"),  # nothing here has to survive a power cut
            ("listen-client-urls", client),
            ("advertise-client-urls", client),
            ("listen-peer-urls", peer),
            ("initial-advertise-peer-urls", peer),
            ("initial-cluster", f"default={peer}"),
            ("log-level", "warn"),
        ],
    )
    options = [*_server_options(layout, authority, endpoint), ("etcd-servers", client), *extra]
    return (
        Component("etcd", etcd),
        Component(
            "kube-apiserver", flags(programs / "kube-apiserver", options), (f"tcp:{client.removeprefix('http://')}",)
        ),
    )


def _server_options(layout: Layout, authority: Authority, endpoint: Endpoint) -> list[Option]:
    hosts = [*NAMES, *dict.fromkeys(("127.0.0.1", FIRST_SERVICE, endpoint.address))]
    serving, serving_key = authority.issue("kube-apiserver", name="kube-apiserver", hosts=hosts)
    admin, admin_key = authority.issue("admin", name="admin", organisation="system:masters")
    private, public = authority.service_account_keys()
    return [
        ("bind-address", endpoint.address if endpoint.address == "127.0.0.1" else "0.0.0.0"),
        ("advertise-address", endpoint.address),
        ("secure-port", endpoint.port),
        ("tls-cert-file", serving),
        ("tls-private-key-file", serving_key),
        ("cert-dir", layout.certificates),
        ("client-ca-file", authority.certificate),
        ("authorization-mode", "Node,RBAC"),
        ("allow-privileged", "true"),
        ("service-cluster-ip-range", SERVICE_RANGE),
        ("service-account-issuer", ISSUER),
        ("service-account-key-file", public),
        ("service-account-signing-key-file", private),
        ("kubelet-client-certificate", admin),
        ("kubelet-client-key", admin_key),
        ("kubelet-certificate-authority", authority.certificate),
        ("audit-policy-file", _audit_policy(layout)),
        ("audit-log-path", layout.audit_log),
        ("audit-log-maxsize", "100"),
        ("audit-log-maxbackup", "1"),
        # Else logs and exec look for the node's name in DNS.
        ("kubelet-preferred-address-types", "InternalIP"),
    ]


def _audit_policy(layout: Layout) -> Path:
    """Write down which requests are logged: those of the installed operator, by which its rights are measured."""
    file = layout.folder / "audit-policy.json"
    operator = {"level": "Metadata", "users": [OPERATOR], "omitStages": ["RequestReceived"]}
    policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [operator, {"level": "None"}]}
    file.write_text(json.dumps(policy))
    return file


def choose_ports(layout: Layout) -> Endpoint:
    """Return the ports of this checkout: those of last time while they are free or its own, else the next free ones.

    They start at a number made from the checkout's path, below the range from which outgoing connections take theirs.
    """
    file = layout.folder / "ports"
    if file.exists():
        ports = [int(word) for word in file.read_text().split()]
        if layout.supervisor.exists() or all(free(port) for port in ports):
            return Endpoint("127.0.0.1", *ports)
    first = LOWEST_PORT + int(layout.identity, 16) % PORTS
    found: list[int] = []
    for offset in range(PORTS):
        port = LOWEST_PORT + (first - LOWEST_PORT + offset) % PORTS
        if free(port):
            found.append(port)
        if len(found) == 3:
            file.write_text(" ".join(map(str, found)))
            return Endpoint("127.0.0.1", *found)
    raise ClusterError(f"no three free ports between {LOWEST_PORT} and {LOWEST_PORT + PORTS}; end what holds them")


def free(port: int) -> bool:
    """Tell whether a server could listen on the loopback port."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
