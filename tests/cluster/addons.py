"""What runs on the full cluster before anybody uses it: names, the Gateway API with a data plane, Prometheus."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import native
from tests.cluster.binaries import cached
from tests.cluster.layout import SOURCE, ClusterError, Layout, cache_folder, content_hash
from tests.cluster.progress import run, say, wait_for

READY_SECONDS = 120.0
GATEWAY_MODULE = "sigs.k8s.io/gateway-api"
FIELD_OWNER = "--field-manager=cluster"


@dataclass(frozen=True)
class Addon:
    """A manifest, and what answers at which path, through the API server's proxy, once it is in service."""

    manifest: str
    namespace: str
    service: str
    path: str

    @property
    def url(self) -> str:
        """The path of the question on the API server."""
        return f"/api/v1/namespaces/{self.namespace}/services/{self.service}/proxy{self.path}"


DNS = Addon("dns.yaml", "kube-system", "kube-dns:ready", "/ready")
GATEWAY = Addon("gateway.yaml", "gateway-system", "public:ping", "/ping")
PROMETHEUS = Addon("prometheus.yaml", "monitoring", "prometheus:http", "/-/ready")

OWN_NODE = (DNS,)
"""Which kind brings itself."""

EVERYWHERE = (GATEWAY, PROMETHEUS)
"""Which every full cluster gets."""


def apply(layout: Layout, addons: tuple[Addon, ...]) -> None:
    """Apply what changed since last time, then wait until all of it answers."""
    manifests = [SOURCE / "manifests" / addon.manifest for addon in addons]
    definitions = gateway_definitions()
    wanted = content_hash([definitions, *manifests])
    applied = layout.folder / "addons"
    if not applied.exists() or applied.read_text() != wanted:
        say("applying add-ons")
        for path in (definitions, *manifests):
            native.kubectl(layout, "apply", "--server-side", "--force-conflicts", FIELD_OWNER, f"--filename={path}")
            if path == definitions:
                established = ["--for=condition=Established", "customresourcedefinitions", "--all"]
                native.kubectl(layout, "wait", *established, "--timeout=30s")
        applied.write_text(wanted)
    for addon in addons:
        hint = f"look with: {layout.enter} kubectl -n {addon.namespace} describe pods"
        wait_for(f"{addon.service} in service", lambda: _answers(layout, addon), seconds=READY_SECONDS, hint=hint)  # noqa: B023


def _answers(layout: Layout, addon: Addon) -> bool:
    try:
        native.kubectl(layout, "get", "--raw", addon.url, "--request-timeout=5s")
    except ClusterError:
        return False
    return True


def gateway_definitions() -> Path:
    """Return the folder of the Gateway API's definitions, standard channel, of the version in go.mod."""
    module = SOURCE / "go" / "gateway-api"
    key = content_hash([module])
    with cached("gateway-api", key) as draft:
        if draft:
            downloaded = json.loads(run(["go", "mod", "download", "-json", GATEWAY_MODULE], cwd=module))
            shutil.copytree(Path(downloaded["Dir"]) / "config" / "crd" / "standard", draft / "standard")
            (draft / "standard").chmod(0o755)
    return cache_folder() / "gateway-api" / key / "standard"
