"""Environments on a real API server: read in few calls, edits after the start seen, Secrets left alone."""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.api.verdicts import CheckState
from controller.api.verify import Parity, ParityGroup
from controller.observe.cluster import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    NODES,
    PODS,
    REPLICA_SETS,
    SECRETS,
    Cluster,
    ClusterPort,
    Forbidden,
    Json,
    Kind,
    connect,
)
from controller.observe.environment import EnvironmentOrder, EnvironmentReader
from controller.observe.environment.content import MOST_READ, edited_at
from controller.observe.environment.reader import KEPT_SECONDS, NODE_KEPT_SECONDS
from controller.plan.verify.environment import Environment
from controller.plan.verify.parity import ParityResult, compare
from tests.cluster.layout import Layout
from tests.controlplane.conftest import Kubectl
from tests.controlplane.objects import Watched

pytestmark = pytest.mark.controlplane

ORDER = EnvironmentOrder()
SECOND = 1.1
"""Times in an object's history have whole seconds."""

NEEDED = frozenset(
    {("get", "deployments"), ("list", "pods"), ("list", "replicasets"), ("get", "nodes"), ("get", "configmaps")}
)
"""The calls of a reading without Secrets, and the rights that it needs."""


class Recorded(Watched):
    """The port with a note of every call."""

    def __init__(self, cluster: ClusterPort) -> None:
        super().__init__(cluster)
        self.reads: list[tuple[str, str]] = []

    def get(self, kind: Kind, namespace: str, name: str, *, subresource: str = "") -> Json:
        self.reads.append(("get", kind.plural))
        return super().get(kind, namespace, name, subresource=subresource)

    def list(self, kind: Kind, namespace: str | None, *, labels: str = "") -> tuple[Json, ...]:
        self.reads.append(("list", kind.plural))
        return super().list(kind, namespace, labels=labels)

    def list_metadata(self, kind: Kind, namespace: str | None, *, labels: str = "") -> tuple[Json, ...]:
        self.reads.append(("list", kind.plural))
        return super().list_metadata(kind, namespace, labels=labels)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def node(cluster: Cluster) -> Iterator[Callable[..., str]]:
    """Make nodes, which have no namespace to be removed with."""
    made = []

    def make(**labels: str) -> str:
        name = f"node-{uuid.uuid4().hex[:8]}"
        body: Json = {"metadata": {"name": name, "labels": {"kubernetes.io/arch": "amd64"} | labels}}
        cluster.create(NODES, "", body)
        made.append(name)
        return name

    yield make
    for name in made:
        cluster.delete(NODES, "", name)


def make_deployment(cluster: ClusterPort, namespace: str, name: str, **pod: Any) -> Json:
    """Create a Deployment; ``annotations`` of its template, the rest belongs to its one container or the pod spec."""
    labels = {"app": name}
    fields = {key: pod.pop(key) for key in ("env", "envFrom", "args", "resources", "volumeMounts") if key in pod}
    template = {
        "metadata": {"labels": labels, "annotations": pod.pop("annotations", {})},
        "spec": {"containers": [{"name": "model", "image": "fraud:1", **fields}], **pod},
    }
    body = {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": labels}, "template": template}}
    return cluster.create(DEPLOYMENTS, namespace, body)


def make_pod(cluster: ClusterPort, deployment: Json, *, digest: str = "a", **more: Any) -> Json:
    """Create a pod of the Deployment's template that has started, as its ReplicaSet and the kubelet would."""
    metadata, hashed = deployment["metadata"], more.get("hashed", "5d8f")
    namespace, name = metadata["namespace"], f"{metadata['name']}-{uuid.uuid4().hex[:5]}"
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"{metadata['name']}-{hashed}", "uid": "1"}
    template = deployment["spec"]["template"]
    body = {
        "metadata": {
            "name": name,
            "labels": template["metadata"]["labels"] | {"pod-template-hash": hashed},
            "annotations": template["metadata"].get("annotations") or {},
            "ownerReferences": [owner | {"controller": True}],
        },
        "spec": template["spec"] | {"automountServiceAccountToken": False, "nodeName": more.get("node", "nowhere")},
    }
    created = cluster.create(PODS, namespace, body)
    started = more.get("started") or created["metadata"]["creationTimestamp"]
    status = {
        "phase": "Running",
        "qosClass": created["status"]["qosClass"],
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": started}],
        "containerStatuses": [
            {
                "name": "model",
                "image": "fraud:1",
                "imageID": f"registry.example/fraud@sha256:{digest * 64}",
                "ready": True,
                "restartCount": more.get("restarts", 0),
                "state": {"running": {"startedAt": started}},
            }
        ],
    }
    return cluster.merge_patch(PODS, namespace, name, {"status": status}, subresource="status")


def make_config_map(cluster: ClusterPort, namespace: str, name: str, **data: str) -> Json:
    return cluster.create(CONFIG_MAPS, namespace, {"metadata": {"name": name}, "data": data})


def found(reader: EnvironmentReader, namespace: str, name: str, order: EnvironmentOrder = ORDER) -> Environment:
    environment = reader.find(namespace, name, order)
    assert environment is not None
    return environment


def state(result: ParityResult, group: ParityGroup) -> tuple[CheckState, str]:
    (finding,) = (each for each in result.findings if each.name == f"parity/{group}")
    return finding.state, finding.found


def test_a_deployment_that_is_not_there(cluster: Cluster, namespace: str) -> None:
    assert EnvironmentReader(cluster).find(namespace, "fraud-v1", ORDER) is None


def test_two_arms_and_what_differs(cluster: Cluster, namespace: str, node: Callable[..., str]) -> None:
    zone = "topology.kubernetes.io/zone"
    places = {"fraud-v1": node(**{zone: "a"}), "fraud-v2": node(**{zone: "b"})}
    for name, numpy in (("fraud-v1", "1.26.4"), ("fraud-v2", "2.0.1")):
        limits = {"cpu": "1" if name == "fraud-v1" else "2", "memory": "1Gi"}
        deployment = make_deployment(
            cluster,
            namespace,
            name,
            annotations={"modelrollout.dev/packages": f"numpy=={numpy},scipy==1.13.0"},
            resources={"limits": limits},
        )
        make_pod(cluster, deployment, node=places[name])
    reader = EnvironmentReader(cluster)
    stable, candidate = (found(reader, namespace, name) for name in ("fraud-v1", "fraud-v2"))
    result = compare(Parity(require=(ParityGroup.PACKAGES,)), stable, candidate)
    assert state(result, ParityGroup.PACKAGES) == (CheckState.FAILED, "numpy 1.26.4 against 2.0.1")
    assert state(result, ParityGroup.IMAGES) == (CheckState.PASSED, "equal (1 compared)")
    assert state(result, ParityGroup.NODES) == (CheckState.WARNED, "zone a against b")
    assert result.environment.differences == (
        "Resources: limits cpu 1 against 2",
        "Resources: requests cpu 1 against 2",
        "Nodes: zone a against b",
        "Packages: numpy 1.26.4 against 2.0.1",
    )
    assert result.latency_void is not None


def test_one_replica_of_another_image(cluster: Cluster, namespace: str) -> None:
    deployment = make_deployment(cluster, namespace, "fraud-v1")
    for digest in "aab":
        make_pod(cluster, deployment, digest=digest)
    environment = found(EnvironmentReader(cluster), namespace, "fraud-v1")
    told, words = state(compare(Parity(), environment, environment), ParityGroup.IMAGES)
    assert told is CheckState.FAILED
    assert f"fraud:1 ({'a' * 12}) and fraud:1 ({'b' * 12})" in words


def test_a_restored_arm_has_the_fingerprint_that_it_had(
    cluster: Cluster, namespace: str, node: Callable[..., str]
) -> None:
    make_config_map(cluster, namespace, "settings", threshold="0.5")
    importing = [{"configMapRef": {"name": "settings"}}]
    deployment = make_deployment(cluster, namespace, "fraud-v1", envFrom=importing, args=["--dtype=float16"])
    first = make_pod(cluster, deployment, node=node())
    before = found(EnvironmentReader(cluster), namespace, "fraud-v1").status()
    cluster.delete(PODS, namespace, first["metadata"]["name"])
    for _ in range(2):
        make_pod(cluster, deployment, node=node(), restarts=3)
    assert found(EnvironmentReader(cluster), namespace, "fraud-v1").status() == before
    cluster.merge_patch(CONFIG_MAPS, namespace, "settings", {"data": {"threshold": "0.6"}})
    assert found(EnvironmentReader(cluster), namespace, "fraud-v1").status().declared != before.declared


@pytest.mark.parametrize("way", ["envFrom", "files"])
def test_a_config_map_that_was_edited_after_pods_had_started(cluster: Cluster, namespace: str, way: str) -> None:
    make_config_map(cluster, namespace, "settings", threshold="0.5")
    use: Json = {"envFrom": [{"configMapRef": {"name": "settings"}}]}
    if way == "files":
        use = {"volumeMounts": [{"name": "s", "mountPath": "/etc/s"}]}
        use["volumes"] = [{"name": "s", "configMap": {"name": "settings"}}]
    stable, candidate = (make_deployment(cluster, namespace, name, **use) for name in ("fraud-v1", "fraud-v2"))
    make_pod(cluster, stable)
    before = found(EnvironmentReader(cluster), namespace, "fraud-v1")
    assert before.stale == ()
    time.sleep(SECOND)
    edited = cluster.merge_patch(CONFIG_MAPS, namespace, "settings", {"data": {"threshold": "0.9"}})
    make_pod(cluster, candidate)
    reader = EnvironmentReader(cluster)
    arms = [found(reader, namespace, name) for name in ("fraud-v1", "fraud-v2")]
    assert arms[1].stale == ()
    told, words = state(compare(Parity(require=(ParityGroup.CONFIG,)), *arms), ParityGroup.CONFIG)
    assert told is CheckState.FAILED
    assert words.startswith("ConfigMap settings was edited at ")
    assert "after 1 of 1 pods of fraud-v1 had started" in words
    assert edited_at(edited["metadata"]) is not None


def history(cluster: Cluster, namespace: str) -> datetime:
    moment = edited_at(cluster.get(CONFIG_MAPS, namespace, "settings")["metadata"])
    assert moment is not None
    return moment


def test_what_the_api_server_tells_of_edits(cluster: Cluster, kubectl: Kubectl, namespace: str) -> None:
    """The limits that docs/parity.md states, each as it really is."""
    made = make_config_map(cluster, namespace, "settings", a="1", b="1")
    moments = [history(cluster, namespace)]
    assert moments[0].isoformat() == made["metadata"]["creationTimestamp"].replace("Z", "+00:00")

    def after(change: Callable[[], object]) -> bool:
        """Whether the change moved the moment."""
        time.sleep(SECOND)
        change()
        moments.append(history(cluster, namespace))
        return moments[-1] > moments[-2]

    def patch(body: Json) -> Callable[[], object]:
        return lambda: cluster.merge_patch(CONFIG_MAPS, namespace, "settings", body)

    assert after(patch({"data": {"a": "2"}}))
    assert after(lambda: kubectl.patch("configmap", "settings", {"data": {"a": "3"}}))
    assert not after(patch({"data": {"a": "3"}}))
    assert not after(lambda: kubectl("label", "configmap", "settings", "by=another-writer"))
    assert not after(patch({"data": {"b": None}}))
    assert after(patch({"metadata": {"labels": {"by": "a-writer-of-content"}}}))


def test_pods_of_an_older_template_are_left_out(cluster: Cluster, namespace: str) -> None:
    deployment = make_deployment(cluster, namespace, "fraud-v1")
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "fraud-v1", "controller": True}
    for hashed, revision in (("old", "9"), ("new", "10")):
        labels = {"app": "fraud-v1", "pod-template-hash": hashed}
        metadata = {
            "name": f"fraud-v1-{hashed}",
            "labels": labels,
            "annotations": {"deployment.kubernetes.io/revision": revision},
            "ownerReferences": [owner | {"uid": deployment["metadata"]["uid"]}],
        }
        template = deployment["spec"]["template"] | {"metadata": {"labels": labels}}
        spec = {"selector": {"matchLabels": labels}, "template": template}
        cluster.create(REPLICA_SETS, namespace, {"metadata": metadata, "spec": spec})
    make_pod(cluster, deployment, hashed="old", digest="b")
    make_pod(cluster, deployment, hashed="new", digest="a")
    environment = found(EnvironmentReader(cluster), namespace, "fraud-v1")
    assert environment.pods == 1
    assert environment.observed[ParityGroup.IMAGES]["image"].text == f"fraud:1 ({'a' * 12})"


SECRET_ENV = {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "creds", "key": "password"}}}


def make_secret(cluster: Cluster, namespace: str, name: str, value: str) -> None:
    data = {"password": base64.b64encode(value.encode()).decode()}
    cluster.create(SECRETS, namespace, {"metadata": {"name": name}, "data": data})


def arm_with_everything(cluster: Cluster, namespace: str, node: Callable[..., str]) -> None:
    make_config_map(cluster, namespace, "settings", threshold="0.5")
    make_secret(cluster, namespace, "creds", "hunter2")
    deployment = make_deployment(
        cluster,
        namespace,
        "fraud-v1",
        env=[SECRET_ENV],
        envFrom=[{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "creds"}}],
        volumeMounts=[{"name": "creds", "mountPath": "/etc/creds"}],
        volumes=[{"name": "creds", "secret": {"secretName": "creds"}}],
    )
    make_pod(cluster, deployment, node=node())


@pytest.fixture
def limited(
    kubectl: Kubectl, administrator: Kubectl, control_plane: Layout, namespace: str, tmp_path: Path
) -> Iterator[Callable[..., Cluster]]:
    """The port of a service account that has exactly the named rights."""
    user = f"system:serviceaccount:{namespace}:reader"

    def login(rights: frozenset[tuple[str, str]]) -> Cluster:
        kubectl("create", "serviceaccount", "reader")
        rules = [
            {
                "apiGroups": ["apps" if kind in ("deployments", "replicasets") else ""],
                "resources": [kind],
                "verbs": [it],
            }
            for it, kind in sorted(rights)
        ]
        api = "rbac.authorization.k8s.io/v1"
        administrator.create(
            {"apiVersion": api, "kind": "ClusterRole", "metadata": {"name": namespace}, "rules": rules}
        )
        administrator("create", "clusterrolebinding", namespace, f"--clusterrole={namespace}", f"--user={user}")
        content = yaml.safe_load(control_plane.kubeconfig.read_text())
        content["users"][0]["user"] = {"token": kubectl("create", "token", "reader").strip()}
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(content))
        port = connect(str(tmp_path / "kubeconfig"))
        wait_until_may_list_pods(port, namespace)
        return port

    yield login
    administrator("delete", f"clusterrole/{namespace}", f"clusterrolebinding/{namespace}")


def wait_until_may_list_pods(port: Cluster, namespace: str) -> None:
    """The authorizer learns of new roles from a watch."""
    for _ in range(100):
        try:
            port.list(PODS, namespace)
        except Forbidden:
            time.sleep(0.1)
        else:
            return
    pytest.fail("10 s after the role was bound, pods may not be listed")


def test_secrets_are_left_alone_and_these_rights_suffice(
    cluster: Cluster, namespace: str, node: Callable[..., str], limited: Callable[..., Cluster]
) -> None:
    arm_with_everything(cluster, namespace, node)
    port = Recorded(limited(NEEDED))
    environment = found(EnvironmentReader(port), namespace, "fraud-v1")
    assert set(port.reads) == NEEDED
    assert port.writes == []
    assert dict(environment.unknown) == {}
    assert environment.declared[ParityGroup.ENV]["PASSWORD"].text == "from Secret creds, key password"
    assert environment.declared[ParityGroup.CONFIG]["files at /etc/creds"].text == "of Secret creds"


def test_secrets_are_compared_by_content_where_that_is_wanted(
    cluster: Cluster, namespace: str, limited: Callable[..., Cluster]
) -> None:
    for arm, value in (("v1", "hunter2"), ("v2", "hunter2"), ("v3", "swordfish")):
        make_secret(cluster, namespace, f"creds-{arm}", value)
        source = {"secretKeyRef": {"name": f"creds-{arm}", "key": "password"}}
        make_deployment(cluster, namespace, f"fraud-{arm}", env=[{"name": "PASSWORD", "valueFrom": source}])
    order = EnvironmentOrder(read_secrets=True)
    reader = EnvironmentReader(limited(NEEDED | {("get", "secrets")}))
    first, same, other = (found(reader, namespace, f"fraud-{arm}", order) for arm in ("v1", "v2", "v3"))
    assert compare(Parity(), first, same).environment.differences == ()
    assert compare(Parity(), first, other).environment.differences == ("Env: PASSWORD differs",)
    assert "hunter2" not in f"{first}{same}{other}"


def test_what_may_not_be_read_is_told_with_the_right_that_is_missing(
    cluster: Cluster, namespace: str, node: Callable[..., str], limited: Callable[..., Cluster]
) -> None:
    arm_with_everything(cluster, namespace, node)
    reader = EnvironmentReader(limited(NEEDED - {("get", "nodes"), ("get", "configmaps")}))
    environment = found(reader, namespace, "fraud-v1", EnvironmentOrder(read_secrets=True))
    result = compare(Parity(require=(ParityGroup.NODES,)), environment, environment)
    told, words = state(result, ParityGroup.CONFIG)
    assert told is CheckState.UNSUPPORTED
    assert "grant it get configmaps" in words
    assert "grant it get secrets" in words
    told, words = state(result, ParityGroup.NODES)
    assert told is CheckState.FAILED
    assert "grant it get nodes" in words


def test_many_config_maps_are_not_all_read(cluster: Cluster, namespace: str) -> None:
    names = [f"settings-{index:02}" for index in range(MOST_READ + 5)]
    for name in names:
        make_config_map(cluster, namespace, name, key=name)
    importing = [{"configMapRef": {"name": name}, "prefix": f"{name[-2:]}_"} for name in names]
    make_deployment(cluster, namespace, "fraud-v1", envFrom=importing)
    port = Recorded(cluster)
    environment = found(EnvironmentReader(port), namespace, "fraud-v1")
    assert port.reads.count(("get", "configmaps")) == MOST_READ
    assert environment.unknown[ParityGroup.CONFIG].startswith(
        f"more than {MOST_READ} configmaps are referred to; not read: settings-20, settings-21, "
    )


def test_an_environment_is_read_again_only_when_it_may_have_changed(
    cluster: Cluster, namespace: str, node: Callable[..., str]
) -> None:
    arm_with_everything(cluster, namespace, node)
    port, clock = Recorded(cluster), Clock()
    reader = EnvironmentReader(port, clock=clock)

    def reads() -> set[tuple[str, str]]:
        port.reads.clear()
        found(reader, namespace, "fraud-v1")
        return set(port.reads) - {("get", "deployments"), ("list", "pods")}

    everything = {("list", "replicasets"), ("get", "configmaps"), ("get", "nodes")}
    assert reads() == everything
    assert reads() == set()
    clock.now += KEPT_SECONDS
    assert reads() == everything - {("get", "nodes")}
    make_pod(cluster, cluster.get(DEPLOYMENTS, namespace, "fraud-v1"), restarts=1)
    assert reads() == everything
    cluster.merge_patch(
        DEPLOYMENTS,
        namespace,
        "fraud-v1",
        {"spec": {"template": {"metadata": {"annotations": {"modelrollout.dev/modelDigest": "x"}}}}},
    )
    assert ("get", "configmaps") in reads()
    clock.now += NODE_KEPT_SECONDS
    assert reads() == everything


def test_load_and_version_are_those_of_this_very_moment(cluster: Cluster, namespace: str) -> None:
    make_pod(cluster, make_deployment(cluster, namespace, "fraud-v1"))
    reader = EnvironmentReader(cluster)
    assert found(reader, namespace, "fraud-v1").load is None
    now = found(reader, namespace, "fraud-v1", EnvironmentOrder(percent=75.0, version="7"))
    assert now.load is not None
    assert (now.load.pods, now.load.percent, now.version) == (1, 75.0, "7")


def test_the_manifests_grant_nothing_of_secrets(installed_role: list[Json]) -> None:
    assert not any("secrets" in rule["resources"] or "*" in rule["resources"] for rule in installed_role)


@pytest.fixture
def installed_role() -> list[Json]:
    text = (Path(__file__).parents[2] / "manifests" / "rbac.yaml").read_text()
    return [rule for each in yaml.safe_load_all(text) for rule in each.get("rules", ())]
