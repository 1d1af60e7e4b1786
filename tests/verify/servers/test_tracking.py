"""Provenance read from a real MLflow tracking server, and judged."""

from __future__ import annotations

import pytest

from controller.api.verdicts import CheckState
from controller.api.verify import MlflowModel, Provenance
from controller.observe.mlflow import MlflowError, MlflowServer, read_mlflow
from controller.plan.verify.provenance import check_provenance
from tests.verify.servers.process import RunningServer
from tests.verify.servers.tracking import (
    CODE_REVISION,
    CONFIG_DIGEST,
    DATA_DIGEST,
    ENVIRONMENT_DIGEST,
    MODEL_DIGEST,
    NONE,
    RegisteredVersion,
    register,
)

CARRIED = {
    "codeRevision": CODE_REVISION,
    "dataDigest": DATA_DIGEST,
    "environmentDigest": ENVIRONMENT_DIGEST,
    "modelDigest": MODEL_DIGEST,
    "configDigest": CONFIG_DIGEST,
}


@pytest.fixture(scope="session")
def version(mlflow_tracking: RunningServer) -> RegisteredVersion:
    return register(mlflow_tracking.url)


def read(version: RegisteredVersion, *, model: str | None = None, number: str | None = None) -> dict[str, str]:
    named = MlflowModel(
        tracking_uri=version.tracking_uri, model=model or version.model, version=number or version.version
    )
    return read_mlflow(named, servers=[MlflowServer(url=version.tracking_uri)])


def test_every_place_where_mlflow_keeps_it_is_read(version: RegisteredVersion) -> None:
    assert read(version) == CARRIED


def test_what_is_carried_passes_and_another_digest_fails(version: RegisteredVersion) -> None:
    declared = Provenance.model_validate({**CARRIED, "dataDigest": "0badc0de"})
    findings = {each.name: each for each in check_provenance(declared, read(version), "MLflow")}
    assert findings["provenance/codeRevision"].state == CheckState.PASSED
    wrong = findings["provenance/dataDigest"]
    assert wrong.state == CheckState.FAILED
    assert wrong.found.startswith(DATA_DIGEST)
    assert wrong.expected.startswith("0badc0de")


def test_a_run_without_any_of_it_carries_nothing(mlflow_tracking: RunningServer) -> None:
    bare = register(
        mlflow_tracking.url, model="bare", params={"seed": "7"}, tags=NONE, version_tags=NONE, datasets=NONE
    )
    assert read(bare) == {}
    assert bare.version == "1"


def test_each_version_carries_its_own(mlflow_tracking: RunningServer, version: RegisteredVersion) -> None:
    later = register(mlflow_tracking.url, tags={"mlflow.source.git.commit": "0" * 40})
    assert int(later.version) > int(version.version)
    assert read(later)["codeRevision"] == "0" * 40
    assert read(version)["codeRevision"] == CODE_REVISION


def test_the_servers_words_about_what_it_does_not_know_are_told(version: RegisteredVersion) -> None:
    with pytest.raises(MlflowError, match="tulips") as unknown:
        read(version, model="tulips")
    assert not unknown.value.passing
    with pytest.raises(MlflowError, match="99"):
        read(version, number="99")
