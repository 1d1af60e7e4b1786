import base64
import time
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from kubernetes.client.configuration import Configuration
from kubernetes.config.incluster_config import InClusterConfigLoader

from controller.observe import cluster as port
from controller.observe.cluster import (
    HTTP_ROUTES,
    ROLLOUTS,
    SERVICES,
    Cluster,
    Conflict,
    Forbidden,
    Invalid,
    Json,
    Kind,
    NotFound,
    Unavailable,
    connect,
)
from tests.cluster.certificates import Authority
from tests.cluster.layout import Layout
from tests.controlplane.objects import make_rollout, make_service

pytestmark = pytest.mark.controlplane

ACCOUNTS = Kind("", "v1", "serviceaccounts")
ROLES = Kind("rbac.authorization.k8s.io", "v1", "roles")
BINDINGS = Kind("rbac.authorization.k8s.io", "v1", "rolebindings")


def test_patch_tests_hold_the_version_that_was_read(cluster: Cluster, namespace: str) -> None:
    old = make_service(cluster, namespace, "fraud", selector={"app": "fraud"})
    test = {"op": "test", "path": "/metadata/resourceVersion", "value": old["metadata"]["resourceVersion"]}
    select = {"op": "add", "path": "/spec/selector", "value": {"app": "x"}}
    new = cluster.json_patch(SERVICES, namespace, "fraud", [test, select])
    assert new["spec"]["selector"] == {"app": "x"}
    with pytest.raises(Conflict):
        cluster.json_patch(SERVICES, namespace, "fraud", [test, select | {"value": {"app": "late"}}])
    version = {"resourceVersion": old["metadata"]["resourceVersion"]}
    with pytest.raises(Conflict) as caught:
        cluster.merge_patch(SERVICES, namespace, "fraud", {"metadata": version, "spec": {"selector": {"a": "late"}}})
    assert (caught.value.status, caught.value.reason) == (409, "Conflict")
    assert cluster.get(SERVICES, namespace, "fraud") == new


def test_refusals_of_a_real_server(cluster: Cluster, namespace: str) -> None:
    make_service(cluster, namespace, "fraud")
    with pytest.raises(Conflict) as taken:
        make_service(cluster, namespace, "fraud")
    assert taken.value.reason == "AlreadyExists"
    with pytest.raises(Invalid):
        cluster.json_patch(SERVICES, namespace, "fraud", [{"op": "add", "path": "/spec/selector", "value": 7}])
    with pytest.raises(Invalid):
        make_service(cluster, namespace, "Not_A_Name")
    with pytest.raises(NotFound):
        cluster.get(HTTP_ROUTES, namespace, "nothing")
    with pytest.raises(NotFound):
        cluster.list(Kind("example.com", "v1", "things"), namespace)
    with pytest.raises(NotFound):
        cluster.delete(SERVICES, namespace, "nothing")


def test_list_takes_all_pages(cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(7):
        make_rollout(cluster, namespace, f"r{number}")
    monkeypatch.setattr(port, "PAGE_ITEMS", 3)
    found = cluster.list(ROLLOUTS, namespace)
    assert [each["metadata"]["name"] for each in found] == [f"r{number}" for number in range(7)]
    assert not any("managedFields" in each["metadata"] for each in found)
    bare = cluster.list_metadata(ROLLOUTS, namespace)
    assert [each["metadata"]["uid"] for each in bare] == [each["metadata"]["uid"] for each in found]
    assert not any("spec" in each for each in bare)


def test_write_is_known_by_the_operators_name(cluster: Cluster, namespace: str) -> None:
    make_service(cluster, namespace, "fraud")
    raw = cluster._exchange(
        "GET", path=f"/api/v1/namespaces/{namespace}/services/fraud", headers=cluster._authorization(), body=None
    )
    assert b'"manager":"modelrollout"' in raw.body


@pytest.fixture
def service_account(control_plane: Layout, tmp_path: Path) -> Cluster:
    """The port as a pod would have it: its token and CA in files, the API server's address in the environment."""
    config = yaml.safe_load(control_plane.kubeconfig.read_text())["clusters"][0]["cluster"]
    authority = tmp_path / "ca.crt"
    if "certificate-authority-data" in config:
        authority.write_bytes(base64.b64decode(config["certificate-authority-data"]))
    else:
        authority.write_text(Path(config["certificate-authority"]).read_text())
    address = urlsplit(config["server"])
    (tmp_path / "token").write_text("not a token yet")
    loader = InClusterConfigLoader(
        token_filename=str(tmp_path / "token"),
        cert_filename=str(authority),
        environ={"KUBERNETES_SERVICE_HOST": address.hostname, "KUBERNETES_SERVICE_PORT": str(address.port)},
    )
    loader._token_refresh_period = timedelta(0)
    configuration = Configuration()
    loader.load_and_set(configuration)
    return Cluster(configuration)


def test_token_that_was_renewed_is_used_and_tells_what_the_operator_may(
    service_account: Cluster, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    with pytest.raises(Forbidden) as nobody:
        service_account.list(SERVICES, namespace)
    assert nobody.value.status == 401
    cluster.create(ACCOUNTS, namespace, {"metadata": {"name": "operator"}})
    request: Json = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/operator/token"
    answer = cluster._call("POST", path, body=request, content_type="application/json")
    (tmp_path / "token").write_text(answer["status"]["token"])
    with pytest.raises(Forbidden) as stranger:
        service_account.list(SERVICES, namespace)
    assert stranger.value.status == 403
    rule = {"apiGroups": [""], "resources": ["services"], "verbs": ["list"]}
    cluster.create(ROLES, namespace, {"metadata": {"name": "operator"}, "rules": [rule]})
    binding = {
        "metadata": {"name": "operator"},
        "roleRef": {"apiGroup": ROLES.group, "kind": "Role", "name": "operator"},
        "subjects": [{"kind": "ServiceAccount", "name": "operator", "namespace": namespace}],
    }
    cluster.create(BINDINGS, namespace, binding)
    assert eventually_allowed(service_account, namespace) == ()
    with pytest.raises(Forbidden):
        make_service(service_account, namespace, "fraud")


def eventually_allowed(account: Cluster, namespace: str) -> tuple[Json, ...]:
    """The API server hears of a new role a moment after it was written."""
    for _ in range(100):
        try:
            return account.list(SERVICES, namespace)
        except Forbidden:
            time.sleep(0.1)
    return account.list(SERVICES, namespace)


def test_server_that_another_authority_vouches_for_is_not_spoken_to(control_plane: Layout, tmp_path: Path) -> None:
    config = yaml.safe_load(control_plane.kubeconfig.read_text())
    entry = config["clusters"][0]["cluster"]
    entry.pop("certificate-authority-data", None)
    entry["certificate-authority"] = str(Authority(tmp_path).certificate)
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
        connect(str(tmp_path / "kubeconfig")).list(SERVICES, "default")
