"""The commands of ``examples/verify/README.md``: real training, real Jobs; each variant is refused by its check."""

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import CHECKOUT
from tests.e2e.scene import Json, Scene

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

MANIFESTS = CHECKOUT / "examples" / "verify" / "manifests"


@pytest.fixture(scope="module")
def example(operator: Scene) -> Iterator[Scene]:
    """The example's namespace, with both models ready."""
    scene = Scene(operator.layout, "verify")
    scene.kubectl("apply", "-k", str(MANIFESTS))
    try:
        for version in ("v1", "good"):
            scene.kubectl("rollout", "status", f"deployment/digits-{version}", "--timeout=170s")
        yield scene
    finally:
        scene.kubectl("delete", "namespace", scene.namespace, "--wait=false")


@pytest.fixture(params=["wrong-data", "other-library", "changed-seed", "incomplete-data", "good"])
def tried(example: Scene, request: pytest.FixtureRequest) -> Iterator[tuple[str, Json]]:
    """One rollout of the example and its status once the candidate is refused or serves."""
    example.kubectl("apply", "-f", str(MANIFESTS / "rollouts" / f"{request.param}.yaml"))
    ends = ("RolledBack", "Progressing")
    example.wait("refused or serving", lambda scene: scene.status.get("phase") in ends, seconds=300)
    yield request.param, example.status
    example.kubectl("delete", "modelrollout", "digits", "--timeout=100s")


FAILS = {
    "wrong-data": "provenance/dataDigest",
    "other-library": "reproduction/scikitLearn",
    "changed-seed": "reproduction/accuracy",
    "incomplete-data": "pipeline/ingest/exit",
}


def test_what_is_broken_is_found_and_nothing_else(tried: tuple[str, Json]) -> None:
    name, status = tried
    states = {row["name"]: row["state"] for row in status["verification"]["checks"]}
    failed = {row for row, state in states.items() if state == "Failed"}
    if name == "good":
        assert (failed, status["phase"]) == (set(), "Progressing")
        assert {"pipeline/ingest/exit", "pipeline/train/exit", "pipeline/evaluate/exit"} <= set(states)
        assert {state for row, state in states.items() if row.startswith(("pipeline", "repro"))} == {"Passed"}
        return
    assert FAILS[name] in failed
    assert status["phase"] == "RolledBack"
    assert status["traffic"]["appliedWeight"] == 0
