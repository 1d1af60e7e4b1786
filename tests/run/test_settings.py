"""The settings file: defaults, and an error for each mistake that says what to do."""

from datetime import timedelta
from pathlib import Path

import pytest

from controller.run.lease import lease_name
from controller.run.settings import LogFormat, SettingsError, parse_settings, read_settings

SMALLEST = "prometheus: [{name: default, url: 'http://prometheus.monitoring.svc:9090'}]\n"

FULL = """
prometheus:
- name: default
  url: http://prometheus.monitoring.svc:9090
  scrapeInterval: 30s
  settle: ""
  bearerTokenFile: ""
- name: mesh
  url: https://mesh.example:9090/select/0
  settle: 1m30s
  bearerTokenFile: /var/run/token
mlflow:
- url: http://mlflow.ml.svc:5000
- {url: https://mlflow.example/team, bearerTokenFile: /var/run/mlflow}
namespaces: [shop, bank]
workers: 3
leaderElection: {enabled: false, name: other, namespace: ""}
listen: {address: 127.0.0.1, port: 9000}
logs: {format: text, level: debug}
"""


def refusal(text: str) -> str:
    with pytest.raises(SettingsError) as error:
        parse_settings(text, origin="config.yaml")
    return str(error.value)


def test_only_prometheus_is_required() -> None:
    settings = parse_settings(SMALLEST, origin="config.yaml")
    assert settings.namespaces == ()
    assert settings.workers == 8
    assert settings.leader_election.enabled
    assert settings.leader_election.name == "modelrollout"
    assert settings.leader_election.namespace is None
    assert (settings.listen.address, settings.listen.port) == ("0.0.0.0", 8081)
    assert settings.logs.format is LogFormat.JSON
    assert settings.prometheus[0].scrape_interval == timedelta(seconds=15)
    assert settings.prometheus[0].allow_queries is False


def test_settle_is_two_scrapes_and_five_seconds_unless_it_is_set() -> None:
    first, second = parse_settings(FULL, origin="config.yaml").prometheus
    assert first.settling == timedelta(seconds=65)
    assert first.bearer_token_file is None
    assert second.settling == timedelta(seconds=90)
    assert second.bearer_token_file == Path("/var/run/token")


def test_mlflow_servers_are_optional_each_with_its_own_token() -> None:
    assert parse_settings(SMALLEST, origin="config.yaml").mlflow == ()
    first, second = parse_settings(FULL, origin="config.yaml").mlflow
    assert (first.url, first.bearer_token_file) == ("http://mlflow.ml.svc:5000", None)
    assert (second.url, second.bearer_token_file) == ("https://mlflow.example/team", Path("/var/run/mlflow"))
    assert "mlflow[0].url" in refusal(SMALLEST + "mlflow: [{url: 'file:///etc'}]")


def test_a_missing_file_is_named_with_the_option_that_names_another(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as error:
        read_settings(tmp_path / "absent.yaml")
    assert str(tmp_path / "absent.yaml") in str(error.value)
    assert "--config" in str(error.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "must be a YAML mapping"),
        ("- a", "must be a YAML mapping"),
        ("prometheus: [", "is no YAML"),
        ("workers: 8", "prometheus: Field required"),
        ("prometheus: []", "the file: prometheus must name at least one server"),
        (SMALLEST + "worker: 8", "worker: Extra inputs are not permitted"),
        (SMALLEST + "workers: 0", "workers: "),
        (SMALLEST + "workers: many", "workers: "),
        (SMALLEST + "namespaces: [Shop]", "namespaces[0]: "),
        (SMALLEST + "logs: {format: xml}", "logs.format: Input should be 'json' or 'text'"),
        (SMALLEST + "listen: {port: 70000}", "listen.port: "),
        ("prometheus: [{name: default, url: 'prometheus:9090'}]", "prometheus[0].url: "),
        ("prometheus: [{name: default}]", "prometheus[0].url: Field required"),
        (
            "prometheus: [{name: a, url: 'http://a', scrapeInterval: fast}]",
            "prometheus[0].scrapeInterval: must be a duration such as 30s",
        ),
        (
            "prometheus: [{name: a, url: 'http://a', scrapeInterval: 0s}]",
            "prometheus[0].scrapeInterval: must be longer than 0s",
        ),
        ("prometheus: [{name: a, url: 'http://a'}, {name: a, url: 'http://b'}]", "found twice: a"),
    ],
)
def test_each_mistake_is_named_at_its_place(text: str, expected: str) -> None:
    message = refusal(text)
    assert message.startswith("config.yaml ")
    assert expected in message


def test_all_mistakes_are_named_at_once() -> None:
    message = refusal("prometheus: [{name: a, url: x}]\nworkers: 0\nlogs: {level: loud}")
    assert "prometheus[0].url" in message
    assert "workers" in message
    assert "logs.level" in message


def test_the_lease_lies_in_the_pods_namespace_by_default(tmp_path: Path) -> None:
    election = parse_settings(SMALLEST, origin="config.yaml").leader_election
    own = tmp_path / "namespace"
    own.write_text("operators\n")
    lease = lease_name(election, own)
    assert lease is not None
    assert (lease.namespace, lease.name) == ("operators", "modelrollout")
    other = lease_name(election, own)
    assert other is not None
    assert other.identity != lease.identity


def test_outside_of_a_pod_the_namespace_must_be_named(tmp_path: Path) -> None:
    election = parse_settings(SMALLEST, origin="config.yaml").leader_election
    with pytest.raises(SettingsError, match=r"leaderElection\.namespace"):
        lease_name(election, tmp_path / "absent")
    off = parse_settings(FULL, origin="config.yaml").leader_election
    assert lease_name(off, tmp_path / "absent") is None
