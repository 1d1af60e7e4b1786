"""The example's Jobs, run as processes the way pods run them, and its manifests against what they report."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.api.spec import ModelRolloutSpec
from controller.api.verdicts import CheckState
from controller.api.verify import Reproduction, Verify
from controller.plan.verify.findings import Finding, first_failed
from controller.plan.verify.jobs import Failed, JobState, Succeeded, variables
from controller.plan.verify.numbers import check_reproduction
from controller.plan.verify.pipeline import check_expressions, follow_pipeline
from controller.plan.verify.provenance import carried_by_template, check_provenance
from tests.cluster.layout import SOURCE

ROOT = SOURCE.parent.parent
EXAMPLE = ROOT / "examples" / "verify"
ROLLOUTS = {path.stem: path for path in sorted((EXAMPLE / "manifests" / "rollouts").glob("*.yaml"))}

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""As in the image; several would only wait for each other here."""

Object = dict[str, Any]


@pytest.fixture(scope="module")
def objects() -> list[Object]:
    kubectl = Path(sys.executable).parent / "kubectl"
    done = subprocess.run([kubectl, "kustomize", EXAMPLE / "manifests"], check=True, capture_output=True, text=True)
    return list(yaml.safe_load_all(done.stdout))


@pytest.fixture(scope="module")
def cron_jobs(objects: list[Object]) -> dict[str, Object]:
    return {each["metadata"]["name"]: each for each in objects if each["kind"] == "CronJob"}


def spec(name: str) -> ModelRolloutSpec:
    return ModelRolloutSpec.model_validate(yaml.safe_load(ROLLOUTS[name].read_text())["spec"])


def verify(name: str) -> Verify:
    found = spec(name).verify
    assert found is not None
    return found


def run(cron_job: Object, declared: dict[str, str], folder: Path) -> JobState:
    """Run a CronJob's container as the operator would, and read its message."""
    (container,) = cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    message = folder / "termination-log"
    message.write_text("")
    added = variables(candidate="digits-good", model_name=None, model_version=None, declared=declared)
    own = {each["name"]: each["value"] for each in container.get("env", ())}
    environment = {**os.environ, **ONE_THREAD, **own, **added, "TERMINATION_LOG": str(message)}
    command = [sys.executable, *container["command"][1:]]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        return Failed("job", f"failed: {message.read_text()}", "kubectl logs job/job")
    return Succeeded("job", message.read_text())


def run_pipeline(name: str, cron_jobs: dict[str, Object], folder: Path) -> tuple[Finding, ...]:
    wanted = verify(name)
    assert check_expressions(wanted.pipeline) is None
    declared = wanted.provenance.declared() if wanted.provenance else {}
    states: dict[str, JobState] = {}
    while (course := follow_pipeline(wanted.pipeline, states)).due is not None:
        states[course.due.name] = run(cron_jobs[course.due.job_from], declared, folder)
    return course.findings


def run_reproduction(name: str, cron_jobs: dict[str, Object], folder: Path) -> tuple[Reproduction, JobState]:
    wanted = verify(name)
    assert wanted.reproduction is not None
    declared = wanted.provenance.declared() if wanted.provenance else {}
    return wanted.reproduction, run(cron_jobs[wanted.reproduction.job_from], declared, folder)


def failed(findings: tuple[Finding, ...]) -> Finding:
    found = first_failed(findings)
    assert found is not None
    return found


def test_the_pipeline_holds(cron_jobs: dict[str, Object], tmp_path: Path) -> None:
    findings = run_pipeline("good", cron_jobs, tmp_path)
    assert {each.state for each in findings} == {CheckState.PASSED}
    assert len(findings) == 8


def test_the_training_is_reproduced_twice_to_the_last_digit(cron_jobs: dict[str, Object], tmp_path: Path) -> None:
    reproduction, first = run_reproduction("good", cron_jobs, tmp_path)
    _, second = run_reproduction("good", cron_jobs, tmp_path)
    assert isinstance(first, Succeeded)
    assert first == second
    findings = check_reproduction(reproduction, first.message)
    assert {each.state for each in findings} == {CheckState.PASSED}


def test_other_data_than_declared_ends_every_job(cron_jobs: dict[str, Object], tmp_path: Path) -> None:
    broken = failed(run_pipeline("wrong-data", cron_jobs, tmp_path))
    assert broken.name == "pipeline/ingest/job"
    assert "expected data with digest sha256:0000" in broken.found


def test_a_null_rate_too_high_breaks_the_exit_of_ingest(cron_jobs: dict[str, Object], tmp_path: Path) -> None:
    broken = failed(run_pipeline("incomplete-data", cron_jobs, tmp_path))
    assert broken.name == "pipeline/ingest/exit"
    assert '"nullRate": 0.050127' in broken.found
    assert broken.expected == "columns.all(name, columns[name].nullRate <= 0.01)"


def test_a_changed_seed_is_beyond_the_tolerance(cron_jobs: dict[str, Object], tmp_path: Path) -> None:
    reproduction, state = run_reproduction("changed-seed", cron_jobs, tmp_path)
    assert isinstance(state, Succeeded)
    broken = failed(check_reproduction(reproduction, state.message))
    assert broken.name == "reproduction/accuracy"
    assert broken.found.startswith("reproduced 0.968854")


def test_another_library_version_is_told(cron_jobs: dict[str, Object], tmp_path: Path) -> None:
    reproduction, state = run_reproduction("other-library", cron_jobs, tmp_path)
    assert isinstance(state, Succeeded)
    findings = check_reproduction(reproduction, state.message)
    assert [each.name for each in findings if each.state is CheckState.FAILED] == ["reproduction/scikitLearn"]


def test_the_candidate_carries_what_the_good_rollout_declares(objects: list[Object]) -> None:
    (candidate,) = (
        each for each in objects if each["kind"] == "Deployment" and each["metadata"]["name"] == "digits-good"
    )
    carried = carried_by_template(candidate["spec"]["template"]["metadata"]["annotations"])
    for name, broken in {"good": [], "wrong-data": ["provenance/dataDigest"], "incomplete-data": []}.items():
        provenance = verify(name).provenance
        assert provenance is not None
        findings = check_provenance(provenance, carried, "the pod template")
        assert [each.name for each in findings if each.state is CheckState.FAILED] == broken


def test_the_recorded_library_is_the_one_in_the_image() -> None:
    locked = (ROOT / "examples" / "demo" / "requirements.txt").read_text()
    (version,) = re.findall(r"^scikit-learn==(\S+)", locked, re.MULTILINE)
    reproduction = verify("good").reproduction
    assert reproduction is not None
    assert {each.name: each.digest for each in reproduction.recorded}["scikitLearn"] == version


def test_every_job_of_every_rollout_is_there_suspended_and_allowed(cron_jobs: dict[str, Object]) -> None:
    assert set(ROLLOUTS) == {"good", "wrong-data", "other-library", "changed-seed", "incomplete-data"}
    for name in ROLLOUTS:
        wanted = verify(name)
        assert wanted.reproduction is not None
        assert {wanted.reproduction.job_from, *(each.job_from for each in wanted.pipeline)} <= set(cron_jobs)
    for cron_job in cron_jobs.values():
        assert cron_job["spec"]["suspend"] is True
        assert cron_job["metadata"]["labels"]["modelrollout.dev/allow"] == "true"


def test_a_job_without_a_place_for_its_message_still_prints_it() -> None:
    environment = {**os.environ, "TERMINATION_LOG": os.devnull}
    command = [sys.executable, "-m", "examples.verify.ingest"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=120)
    assert json.loads(done.stdout)["rows"] == 1797
