"""The demo's manifests as kubectl renders them, against the API's own models and the code that runs in the pods."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.api.spec import ModelRolloutSpec
from examples.demo.classifier import VERSIONS
from tests.demo.conftest import ROOT

MANIFESTS = ROOT / "examples" / "demo" / "manifests"
GATEWAY = ("good", "wrong", "broken", "same", "weaker", "slow")

Object = dict[str, Any]


def render(folder: Path) -> list[Object]:
    kubectl = Path(sys.executable).parent / "kubectl"
    done = subprocess.run([kubectl, "kustomize", folder], check=True, capture_output=True, text=True)
    return list(yaml.safe_load_all(done.stdout))


@pytest.fixture(scope="module")
def gateway() -> list[Object]:
    return render(MANIFESTS)


@pytest.fixture(scope="module")
def service() -> list[Object]:
    return render(MANIFESTS / "service")


def named(objects: list[Object], kind: str) -> dict[str, Object]:
    return {each["metadata"]["name"]: each for each in objects if each["kind"] == kind}


def rollout(name: str) -> Object:
    document: Object = yaml.safe_load((MANIFESTS / "rollouts" / f"{name}.yaml").read_text())
    return document


def spec(name: str) -> ModelRolloutSpec:
    return ModelRolloutSpec.model_validate(rollout(name)["spec"])


def test_every_version_has_a_deployment_and_its_own_service(gateway: list[Object]) -> None:
    deployments, services = named(gateway, "Deployment"), named(gateway, "Service")
    for version in VERSIONS:
        labels = deployments[f"digits-{version}"]["spec"]["template"]["metadata"]["labels"]
        assert labels == {"app": "digits", "version": version}
        assert services[f"digits-{version}"]["spec"]["selector"] == labels


def test_feedback_reaches_the_service_of_each_version(gateway: list[Object], service: list[Object]) -> None:
    for objects in (gateway, service):
        container = named(objects, "Deployment")["traffic"]["spec"]["template"]["spec"]["containers"][0]
        url = next(argument for argument in container["args"] if argument.startswith("--feedback-url="))
        versions = {
            each["spec"]["template"]["metadata"]["labels"].get("version")
            for each in named(objects, "Deployment").values()
        } - {None}
        wanted = {f"--feedback-url=http://digits-{version}:8080/feedback" for version in versions}
        assert {url.replace("{version}", version) for version in versions} == wanted
        assert {f"digits-{version}" for version in versions} <= named(objects, "Service").keys()


@pytest.mark.parametrize("name", GATEWAY)
def test_route_holds_both_services_of_each_rollout_and_sends_all_to_stable(gateway: list[Object], name: str) -> None:
    asked = spec(name)
    assert asked.candidate is not None
    assert asked.traffic.gateway is not None
    (rule,) = named(gateway, "HTTPRoute")[asked.traffic.gateway.http_route]["spec"]["rules"]
    weights = {backend["name"]: backend["weight"] for backend in rule["backendRefs"]}
    assert weights[asked.stable.deployment] == 100
    assert weights[asked.candidate.deployment] == 0
    assert sum(weights.values()) == 100
    assert {asked.stable.deployment, asked.candidate.deployment} <= named(gateway, "Deployment").keys()


def test_scenes_of_the_gateway_differ_in_the_candidate_alone() -> None:
    first, *others = (rollout(name) for name in GATEWAY)
    for other in others:
        other["spec"]["candidate"] = first["spec"]["candidate"]
        assert other == first


def test_plain_service_picks_stable_and_the_common_labels_pick_only_the_two_arms(service: list[Object]) -> None:
    asked = spec("service")
    assert asked.candidate is not None
    assert asked.traffic.service is not None
    deployments = named(service, "Deployment")
    pods = {name: each["spec"]["template"]["metadata"]["labels"] for name, each in deployments.items()}
    stable, candidate = pods[asked.stable.deployment], pods[asked.candidate.deployment]
    assert named(service, "Service")[asked.traffic.service.name]["spec"]["selector"] == stable
    common = stable.items() & candidate.items()
    picked = {name for name, labels in pods.items() if common <= labels.items()}
    assert picked == {asked.stable.deployment, asked.candidate.deployment}


def test_rollouts_live_where_their_objects_do(gateway: list[Object], service: list[Object]) -> None:
    for objects, names in ((gateway, GATEWAY), (service, ("service",))):
        (namespace,) = named(objects, "Namespace")
        assert {each["metadata"].get("namespace", namespace) for each in objects} == {namespace}
        assert {rollout(name)["metadata"]["namespace"] for name in names} == {namespace}


def test_pods_are_restricted_scraped_and_end_gracefully(gateway: list[Object], service: list[Object]) -> None:
    for objects in (gateway, service):
        for name, deployment in named(objects, "Deployment").items():
            template = deployment["spec"]["template"]
            pod, (container,) = template["spec"], template["spec"]["containers"]
            assert template["metadata"]["annotations"]["prometheus.io/scrape"] == "true"
            assert pod["securityContext"]["runAsNonRoot"] is True
            assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            if name != "traffic":
                assert container["lifecycle"]["preStop"]
                assert container["readinessProbe"]["httpGet"]["path"] == "/v2/health/ready"
