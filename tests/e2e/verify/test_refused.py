"""Each candidate with a fault is refused before one request of a user reaches it, in words; without it, it serves."""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.scene import Client, Json, Scene, model
from tests.e2e.verify.candidates import config_map, cron_job, faulty, golden, rollout_of, route_of

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

DIGEST = "sha256:0123456789abcdef"
NUMBERS = 'echo {\\"accuracy\\": 0.9634, \\"rows\\": 1797}'


@dataclass(frozen=True)
class Candidate:
    """One candidate: what runs, what is asked of it, and what must be said of it ("" where it is as it should be)."""

    name: str
    verify: Json
    reason: str = ""
    told: tuple[str, ...] = ()
    fault: str = "none"
    artefact: str = "good"
    replicas: int = 1


def smoke(**changes: Any) -> Json:
    """The whole smoke test with golden requests from the ConfigMap."""
    return {
        "smoke": {"configMap": "golden", "invalidInput": {}, "determinism": {"atol": "0.000001"}, "metrics": {}}
        | changes
    }


def reproduction(job: str, *, timeout: str = "2m") -> Json:
    """A Job that must report the recorded accuracy."""
    recorded = [{"name": "accuracy", "value": "0.9634"}]
    return {"reproduction": {"jobFrom": job, "recorded": recorded, "tolerance": {"rtol": "0.001"}, "timeout": timeout}}


def pipeline(expression: str) -> Json:
    """One component with one expectation on its way out."""
    return {"pipeline": [{"name": "ingest", "jobFrom": "numbers", "exit": [expression], "timeout": "2m"}]}


PACKAGES = {"parity": {"require": ["Packages"]}}
CONFIG = {"parity": {"require": ["Config"], "allowDiff": ["Model"]}}
DATA = {"provenance": {"dataDigest": DIGEST}}

CANDIDATES = (
    Candidate("sound", smoke() | PACKAGES | DATA | reproduction("numbers") | pipeline("rows >= 1000")),
    Candidate("impostor", smoke(), "GoldenFailed", ("smoke/golden", "digit-"), artefact="wrong"),
    Candidate("transposed", smoke(), "GoldenFailed", ("smoke/golden", "digit-"), fault="transposed"),
    Candidate("nan", smoke(), "GoldenFailed", ("NaN",), fault="nan"),
    Candidate("credulous", smoke(), "SmokeFailed", ("smoke/invalid-input", "200", "4xx"), fault="credulous"),
    Candidate("unsteady", smoke(), "GoldenFailed", ("Pod digits-unsteady-", "2/3"), replicas=3),
    Candidate("modern", PACKAGES, "ParityMismatch", ("numpy", "1.26.4", "2.0.1")),
    Candidate("edited", CONFIG, "ParityMismatch", ("fault-edited",)),
    Candidate("elsewhere", DATA, "ProvenanceMismatch", (DIGEST, "sha256:fedc")),
    Candidate("drifted", reproduction("other-numbers"), "ReproductionFailed", ("0.9634", "0.95", "reproduc")),
    Candidate("thin", pipeline("rows >= 2000"), "PipelineFailed", ("ingest", "rows >= 2000", "1797")),
    Candidate("endless", reproduction("endless", timeout="8s"), "ReproductionFailed", ("did not end within 8s",)),
    Candidate("talkative", reproduction("talkative"), "ReproductionFailed", ("JSON",)),
)
JOBS = (
    cron_job("numbers", NUMBERS),
    cron_job("other-numbers", NUMBERS.replace("0.9634", "0.95")),
    cron_job("endless", "sleep 600"),
    cron_job("talkative", "echo all is well"),
)
ANNOTATIONS = {"packages": "numpy==1.26.4", "dataDigest": DIGEST}
OTHERS = {"modern": {"packages": "numpy==2.0.1"}, "elsewhere": {"dataDigest": "sha256:fedcba9876543210"}}


@pytest.fixture(scope="module")
def stage(shared_scene: Scene) -> Scene:
    """All candidates beside one stable, each with its own route; a client asks the first route all the while."""
    scene = shared_scene
    stable, exposed = model("v1", 1)
    stable["spec"]["template"]["metadata"]["annotations"] |= {
        f"modelrollout.dev/{name}": value for name, value in ANNOTATIONS.items()
    }
    cases = golden(scene)
    scene.apply(stable, exposed, config_map("golden", **{"cases.json": json.dumps(cases)}), *JOBS)
    for each in CANDIDATES:
        annotations = ANNOTATIONS | OTHERS.get(each.name, {})
        objects = faulty(each.name, each.fault, replicas=each.replicas, artefact=each.artefact, annotations=annotations)
        scene.apply(*objects, route_of(scene, each.name))
    for each in CANDIDATES:
        scene.kubectl("rollout", "status", "deployment", f"digits-{each.name}", "--timeout=300s", seconds=310)
    scene.kubectl("patch", "configmap", "fault-unsteady", "--type=merge", "-p", '{"data":{"fault":"nan"}}')
    pod = scene.kubectl("get", "pods", "-l", "version=unsteady", "-o", "name").split()[0]
    scene.kubectl("delete", pod)  # the one that replaces it reads the fault
    scene.kubectl("rollout", "status", "deployment", "digits-unsteady", "--timeout=300s", seconds=310)
    scene.kubectl("patch", "configmap", "fault-edited", "--type=merge", "-p", '{"data":{"more":"since"}}')
    return scene


@pytest.fixture(scope="module")
def judged(stage: Scene) -> dict[str, Json]:
    """Every rollout once it is refused or serves; and what a client of all routes saw until then."""
    stage.apply(*(rollout_of(each.name, each.verify) for each in CANDIDATES))

    def settled(scene: Scene) -> bool:
        phases = {each["metadata"]["name"]: each.get("status", {}).get("phase") for each in scene.get_all("mro")}
        return all(phases.get(each.name) == ("RolledBack" if each.reason else "Progressing") for each in CANDIDATES)

    stage.wait("all candidates refused or serving", settled, seconds=300)
    return {each["metadata"]["name"]: each for each in stage.get_all("mro")}


@pytest.mark.parametrize("candidate", [each for each in CANDIDATES if each.reason], ids=lambda each: each.name)
def test_a_fault_is_found_before_anyone_is_served(judged: dict[str, Json], candidate: Candidate) -> None:
    status = judged[candidate.name]["status"]
    verified = next(each for each in status["conditions"] if each["type"] == "Verified")
    rows = {row["name"]: row for row in status["verification"]["checks"]}
    failed = [row for row in rows.values() if row["state"] == "Failed"]
    assert (verified["status"], verified["reason"]) == ("False", candidate.reason)
    assert failed, rows
    said = verified["message"] + json.dumps(failed)
    assert [words for words in candidate.told if words not in said] == []
    assert status["rejected"][0]["reason"] == candidate.reason
    assert status["traffic"]["appliedWeight"] == 0
    assert "divertedAt" not in status["traffic"]
    assert [past["outcome"] for past in status["history"]] == ["RolledBack"]


def test_the_same_without_a_fault_is_served(judged: dict[str, Json]) -> None:
    status = judged["sound"]["status"]
    states = {row["name"]: row["state"] for row in status["verification"]["checks"]}
    assert set(states.values()) <= {"Passed", "Skipped", "Warned", "Unsupported"}, states
    assert {"smoke/golden", "smoke/invalid-input", "smoke/determinism", "smoke/metrics", "smoke/stable"} <= set(states)
    assert states["smoke/golden"] == states["smoke/metrics"] == "Passed"
    assert (
        states["reproduction/accuracy"] == states["pipeline/ingest/exit"] == states["provenance/dataDigest"] == "Passed"
    )
    assert status["stable"]["proven"]
    assert status["stable"]["fingerprint"]


def test_no_candidate_with_a_fault_was_asked_by_the_route(stage: Scene, judged: dict[str, Json]) -> None:
    """Requests through a refused candidate's route are answered by stable alone, before and after."""
    assert judged
    for name in ("impostor", "unsteady"):
        host = f"{name}.{stage.host}"
        client = Client.start(stage, rate=50, connections="keepalive", count=200, host=host)
        assert set(client.finish()["versions"]) == {"v1"}


def test_every_refusal_is_on_record_and_told_as_an_event(stage: Scene, judged: dict[str, Json]) -> None:
    events = [each for each in stage.get_all("events") if each["involvedObject"]["kind"] == "ModelRollout"]
    recorded = {each["spec"]["rollout"]: each["spec"] for each in stage.get_all("rolloutrecords")}
    for each in CANDIDATES:
        if each.reason:
            told = [event["reason"] for event in events if event["involvedObject"]["name"] == each.name]
            assert each.reason in told, told
            rows = judged[each.name]["status"]["verification"]["checks"]
            failed = [row for row in rows if row["state"] == "Failed"]
            assert [row for row in recorded[each.name]["verification"]["checks"] if row["state"] == "Failed"] == failed
            assert recorded[each.name]["verdict"] == "RolledBack"
