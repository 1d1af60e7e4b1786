"""The command line of the operator, as a person meets it."""

import os
import subprocess
import sys
from pathlib import Path

SETTINGS = "prometheus: [{name: default, url: 'http://prometheus:9090'}]\n"


def controller(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m controller`` outside of any pod and without a kubeconfig of the machine's user."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("KUBE", "XDG"))}
    return subprocess.run(
        [sys.executable, "-m", "controller", *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**clean, "HOME": "/nonexistent", **environment},
    )


def test_a_missing_settings_file_is_one_line_that_says_what_to_do() -> None:
    answer = controller("run", "--no-leader-election")
    assert answer.returncode == 1
    assert answer.stderr.count("\n") == 1
    assert "/etc/modelrollout/config.yaml" in answer.stderr
    assert "--config" in answer.stderr


def test_without_a_cluster_it_says_how_to_name_one(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(SETTINGS)
    answer = controller("run", "--config", str(config), "--no-leader-election")
    assert answer.returncode == 1
    assert answer.stderr.startswith("error: ")
    assert "--kubeconfig" in answer.stderr


def test_outside_of_a_pod_leader_election_needs_a_namespace(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(SETTINGS)
    answer = controller("run", "--config", str(config))
    assert answer.returncode == 1
    assert "leaderElection.namespace" in answer.stderr


def test_help_documents_the_settings_file() -> None:
    answer = controller("run", "--help")
    assert answer.returncode == 0
    for word in ("--config", "--kubeconfig", "scrapeInterval", "leaderElection", "namespaces"):
        assert word in answer.stdout


def test_the_overview_names_every_command_and_loads_none() -> None:
    answer = controller("--help", PYTHONPROFILEIMPORTTIME="1")
    assert answer.returncode == 0
    for word in ("run", "judge", "crds"):
        assert word in answer.stdout
    for heavy in ("kopf", "kubernetes", "scipy", "pydantic"):
        assert f" {heavy}\n" not in answer.stderr


def test_judging_offline_starts_without_the_informer() -> None:
    answer = controller("judge", "--help", PYTHONPROFILEIMPORTTIME="1")
    assert answer.returncode == 0
    for heavy in ("kopf", "kubernetes", "aiohttp"):
        assert f" {heavy}\n" not in answer.stderr


def test_running_needs_no_statistics_beyond_the_special_functions() -> None:
    answer = controller("run", "--help", PYTHONPROFILEIMPORTTIME="1")
    assert " kopf\n" in answer.stderr
    assert " scipy.stats\n" not in answer.stderr
