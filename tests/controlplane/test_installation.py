"""``kubectl apply -k manifests`` on a real API server: accepted, admitted, and allowed what it needs and no more."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from controller.observe.cluster import Cluster
from tests.controlplane.conftest import Kubectl, Refusal, remove_namespace
from tests.manifests.built import ROOT, objects, pod_template

pytestmark = pytest.mark.controlplane

NAMESPACE = "modelrollout-system"
OPERATOR = f"system:serviceaccount:{NAMESPACE}:modelrollout"

NEEDED = (
    "get modelrollouts.modelrollout.dev",
    "list modelrollouts.modelrollout.dev",
    "watch modelrollouts.modelrollout.dev",
    "patch modelrollouts.modelrollout.dev",
    "patch modelrollouts.modelrollout.dev/status",
    "get rolloutrecords.modelrollout.dev",
    "list rolloutrecords.modelrollout.dev",
    "create rolloutrecords.modelrollout.dev",
    "patch rolloutrecords.modelrollout.dev",
    "delete rolloutrecords.modelrollout.dev",
    "get deployments.apps",
    "watch deployments.apps",
    "patch deployments.apps/scale",
    "list pods",
    "watch pods",
    "patch pods/status",
    "get configmaps",
    "get nodes",
    "get cronjobs.batch",
    "create jobs.batch",
    "patch services",
    "watch services",
    "patch httproutes.gateway.networking.k8s.io",
    "list horizontalpodautoscalers.autoscaling",
    "list scaledobjects.keda.sh",
    "create events",
    "patch events",
    "watch customresourcedefinitions.apiextensions.k8s.io",
)
TOO_MUCH = (
    "create modelrollouts.modelrollout.dev",
    "update modelrollouts.modelrollout.dev",
    "delete modelrollouts.modelrollout.dev",
    "update rolloutrecords.modelrollout.dev",
    "patch deployments.apps",
    "update deployments.apps/scale",
    "delete deployments.apps",
    "create pods",
    "delete pods",
    "create pods/exec",
    "create services",
    "delete services",
    "delete httproutes.gateway.networking.k8s.io",
    "patch horizontalpodautoscalers.autoscaling",
    "get secrets",
    "list configmaps",
    "delete jobs.batch",
    "create cronjobs.batch",
    "patch pods",
    "patch customresourcedefinitions.apiextensions.k8s.io",
    "patch namespaces",
    "get leases.coordination.k8s.io",
    "create clusterrolebindings.rbac.authorization.k8s.io",
)


def allowed(kubectl: Kubectl, right: str, *, user: str, namespace: str = "default", name: str = "") -> bool:
    """Ask the authorizer about "<verb> <resource>[.<group>][/<subresource>]"."""
    verb, _, resource = right.partition(" ")
    kind, _, subresource = resource.partition("/")
    plural, _, group = kind.partition(".")
    attributes = {"verb": verb, "group": group, "resource": plural, "subresource": subresource}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "resourceAttributes": {**attributes, "namespace": namespace, "name": name}},
    }
    answer = json.loads(kubectl("create", "--filename=-", "--output=json", stdin=json.dumps(review)))
    return bool(answer["status"]["allowed"])


def wait_until_known(kubectl: Kubectl, right: str, *, user: str, namespace: str = "default") -> None:
    """Wait for the authorizer, which learns of new roles from a watch."""
    for _ in range(100):
        if allowed(kubectl, right, user=user, namespace=namespace):
            return
        time.sleep(0.1)
    pytest.fail(f"10 s after the roles were made, {user} may not {right}")


@pytest.fixture(scope="module")
def installed(administrator: Kubectl, cluster: Cluster) -> Iterator[Kubectl]:
    """The installation; the definitions stay, because other tests use them."""
    administrator("apply", "--server-side", "--force-conflicts", "--field-manager=tests", "-k", str(ROOT / "manifests"))
    wait_until_known(administrator, "list modelrollouts.modelrollout.dev", user=OPERATOR)
    yield administrator
    roles = [each["metadata"]["name"] for each in objects() if each["kind"] == "ClusterRole"]
    administrator("delete", "clusterrolebinding", "modelrollout")
    administrator("delete", "clusterrole", *roles)
    administrator.within(NAMESPACE)(
        "delete", "poddisruptionbudgets,configmaps,serviceaccounts,roles,rolebindings", "--all"
    )
    remove_namespace(NAMESPACE, administrator, cluster)


def test_everything_is_there(installed: Kubectl) -> None:
    names = installed("get", "-k", str(ROOT / "manifests"), "--output=name").split()
    assert len(names) == len(objects())


def test_applying_again_changes_nothing(installed: Kubectl) -> None:
    # diff fails when there is a difference.
    assert installed("diff", "--server-side", "--field-manager=tests", "-k", str(ROOT / "manifests")) == ""


def test_the_pods_pass_the_restricted_standard(installed: Kubectl) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", **pod_template()}
    pod["metadata"] = {**pod["metadata"], "name": "modelrollout"}
    inside = installed.within(NAMESPACE)
    inside("create", "--dry-run=server", "--filename=-", stdin=json.dumps(pod))
    pod["spec"] = {**pod["spec"], "securityContext": {}}
    with pytest.raises(Refusal, match='violates PodSecurity "restricted'):
        inside("create", "--dry-run=server", "--filename=-", stdin=json.dumps(pod))


@pytest.mark.parametrize("right", NEEDED)
def test_the_operator_may(installed: Kubectl, right: str) -> None:
    assert allowed(installed, right, user=OPERATOR)


@pytest.mark.parametrize("right", TOO_MUCH)
def test_the_operator_may_not(installed: Kubectl, right: str) -> None:
    assert not allowed(installed, right, user=OPERATOR)


@pytest.mark.parametrize(("name", "may"), [("modelrollout", True), ("other", False)])
@pytest.mark.parametrize("verb", ["get", "update"])
def test_only_its_own_lease_may_be_held(installed: Kubectl, verb: str, name: str, may: bool) -> None:
    right = f"{verb} leases.coordination.k8s.io"
    assert allowed(installed, right, user=OPERATOR, namespace=NAMESPACE, name=name) is may


@pytest.mark.parametrize(
    ("role", "may", "may_not"),
    [
        (
            "modelrollout-view",
            (
                "get modelrollouts.modelrollout.dev",
                "watch modelrollouts.modelrollout.dev",
                "list rolloutrecords.modelrollout.dev",
            ),
            ("patch modelrollouts.modelrollout.dev", "create modelrollouts.modelrollout.dev"),
        ),
        (
            "modelrollout-edit",
            (
                "create modelrollouts.modelrollout.dev",
                "patch modelrollouts.modelrollout.dev",
                "delete modelrollouts.modelrollout.dev",
            ),
            (
                "patch modelrollouts.modelrollout.dev/status",
                "patch rolloutrecords.modelrollout.dev",
                "delete rolloutrecords.modelrollout.dev",
            ),
        ),
    ],
)
def test_people_may_ask_and_only_the_operator_answers(
    installed: Kubectl, namespace: str, role: str, may: tuple[str, ...], may_not: tuple[str, ...]
) -> None:
    installed.within(namespace)("create", "rolebinding", "people", f"--clusterrole={role}", "--user=jane")
    wait_until_known(installed, may[0], user="jane", namespace=namespace)
    for rights, answer in ((may, True), (may_not, False)):
        for right in rights:
            assert allowed(installed, right, user="jane", namespace=namespace) is answer, right
