"""The installation as written: complete, coherent with the code, and without a right too many."""

from __future__ import annotations

import re

import pytest

from controller.__main__ import OPERATOR
from controller.api.crd import record_definition, rollout_definition
from controller.cli.main import COMMANDS, main
from controller.run.settings import DEFAULT_PATH, ListenSettings, parse_settings
from tests.manifests.built import ROOT, Json, of_kind, pod_template


def container() -> Json:
    (only,) = pod_template()["spec"]["containers"]
    found: Json = only
    return found


def test_both_kinds_are_installed_as_generated() -> None:
    specs = {each["metadata"]["name"]: each["spec"] for each in of_kind("CustomResourceDefinition")}
    assert specs == {each["metadata"]["name"]: each["spec"] for each in (rollout_definition(), record_definition())}


def test_the_operator_starts_with_the_arguments_and_finds_its_settings(capsys: pytest.CaptureFixture[str]) -> None:
    command, *options = container()["args"]
    with pytest.raises(SystemExit) as end:
        main([command, *options, "--help"], commands={"run": OPERATOR, **COMMANDS})
    assert end.value.code == 0
    assert "--config" in capsys.readouterr().out
    assert options == ["--config", str(DEFAULT_PATH)]
    (mount,) = (each for each in container()["volumeMounts"] if each["name"] == "config")
    assert mount["mountPath"] == str(DEFAULT_PATH.parent)


def test_the_settings_are_valid_and_a_change_of_them_replaces_the_pods() -> None:
    (config,) = of_kind("ConfigMap")
    settings = parse_settings(config["data"][DEFAULT_PATH.name], origin="the ConfigMap")
    assert [server.name for server in settings.prometheus] == ["default"]
    assert re.fullmatch("modelrollout-config-[a-z0-9]{10}", config["metadata"]["name"])
    (volume,) = (each for each in pod_template()["spec"]["volumes"] if each["name"] == "config")
    assert volume["configMap"]["name"] == config["metadata"]["name"]


def test_probes_and_service_meet_the_port_that_the_operator_listens_on() -> None:
    (port,) = container()["ports"]
    assert port == {"name": "http", "containerPort": ListenSettings().port}
    probes = {name: container()[f"{name}Probe"]["httpGet"] for name in ("liveness", "readiness", "startup")}
    assert {name: probe["port"] for name, probe in probes.items()} == dict.fromkeys(probes, "http")
    assert [probes[name]["path"] for name in ("liveness", "readiness")] == ["/healthz", "/readyz"]
    (service,) = of_kind("Service")
    assert service["spec"]["ports"] == [{"name": "http", "port": ListenSettings().port, "targetPort": "http"}]
    assert service["spec"]["selector"].items() <= pod_template()["metadata"]["labels"].items()


def test_no_right_is_a_wildcard_or_reaches_secrets_or_definitions() -> None:
    rules = [rule for kind in ("ClusterRole", "Role") for role in of_kind(kind) for rule in role["rules"]]
    assert len(rules) > 10
    for rule in rules:
        assert "*" not in (*rule["apiGroups"], *rule["resources"], *rule["verbs"])
        assert not {"secrets", "pods/exec", "serviceaccounts"} & set(rule["resources"])
        if "configmaps" in rule["resources"]:
            assert set(rule["verbs"]) == {"get"}
        if "customresourcedefinitions" in rule["resources"]:
            assert set(rule["verbs"]) == {"list", "watch"}


def test_the_image_is_the_one_that_is_built_here() -> None:
    assert container()["image"] == "modelrollout:dev"
    assert container().get("command") is None
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert f"USER {pod_template()['spec']['securityContext']['runAsUser']}:" in dockerfile
    assert 'ENTRYPOINT ["python", "-m", "controller"]' in dockerfile


def test_the_image_has_the_versions_that_are_tested() -> None:
    runtime, tested = (
        dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))
        for name in ("requirements-runtime.lock", "requirements.lock")
    )
    assert {"kopf", "kubernetes", "numpy", "pydantic", "scipy"} <= set(runtime)
    assert not {"pytest", "mypy", "ruff"} & set(runtime)
    assert runtime.items() <= tested.items(), "run make lock"


def test_what_the_images_are_made_of_reaches_the_builder() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for dockerfile in (ROOT / "Dockerfile", ROOT / "examples" / "demo" / "Dockerfile"):
        copied = re.findall(r"^COPY (?!--from)(\S+)", dockerfile.read_text(), re.MULTILINE)
        assert copied
        assert {path.split("/")[0] for path in copied} <= allowed
