"""A bad pod that is born while the candidate serves: a red flag; behind the readiness gate it never serves at all."""

import json

import pytest

from tests.e2e.scene import Json, Scene, model
from tests.e2e.verify.candidates import config_map, faulty, golden, rollout_of, route_of

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

HELD = {"steps": [50], "minWindows": 1000, "interval": "5s", "warmup": "5s", "dataTimeout": "1h"}
"""Nothing but a red flag ends it."""


@pytest.fixture(scope="module")
def stage(shared_scene: Scene) -> Scene:
    """Two candidates, one of them behind the gate, both serving half of their route's requests."""
    scene = shared_scene
    scene.apply(*model("v1", 1), config_map("golden", **{"cases.json": json.dumps(golden(scene, 5))}))
    for name, gated in (("open", False), ("gated", True)):
        verify = {"smoke": {"configMap": "golden", "metrics": {}, "repeatEvery": 2}}
        scene.apply(*faulty(name, gated=gated, annotations={}), route_of(scene, name))
        scene.apply(rollout_of(name, verify, strategy=HELD))
    scene.wait("both serve", lambda each: all(_weight(each, name) == 50 for name in ("open", "gated")))
    return scene


def _weight(scene: Scene, name: str) -> int | None:
    weight: int | None = scene.get("mro", name).get("status", {}).get("traffic", {}).get("appliedWeight")
    return weight


def newest_pod(scene: Scene, name: str) -> Json:
    """The pod of a candidate that was born last."""
    pods: list[Json] = json.loads(scene.kubectl("get", "pods", "-l", f"version={name}", "-o", "json"))["items"]
    return max(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))


def _is(pod: Json, condition: str) -> bool:
    return any(each["type"] == condition and each["status"] == "True" for each in pod["status"]["conditions"])


def give_birth_to_a_bad_pod(scene: Scene, name: str) -> Json:
    """Let the candidate have a second pod, which answers NaN, and wait until that ended its rollout."""
    scene.kubectl("patch", "configmap", f"fault-{name}", "--type=merge", "-p", '{"data":{"fault":"nan"}}')
    scene.kubectl("scale", "deployment", f"digits-{name}", "--replicas=2")
    scene.wait("rolled back", lambda each: each.get("mro", name)["status"]["phase"] == "RolledBack")
    status: Json = scene.get("mro", name)["status"]
    return status


@pytest.mark.parametrize("name", ["open", "gated"])
def test_a_bad_pod_ends_the_rollout(stage: Scene, name: str) -> None:
    stage.wait(
        "the golden requests were repeated",
        lambda each: each.get("mro", name)["status"]["verification"]["goldenAt"] >= 2,
    )
    status = give_birth_to_a_bad_pod(stage, name)
    assert status["redFlags"][0]["reason"] == "GoldenFailed"
    assert newest_pod(stage, name)["metadata"]["name"] in status["redFlags"][0]["message"]
    assert status["rejected"][0]["reason"] == "GoldenFailed"


def test_behind_the_gate_it_was_never_ready(stage: Scene) -> None:
    stage.wait(
        "the bad pod's container is ready, so that only the gate keeps it from serving",
        lambda scene: _is(newest_pod(scene, "gated"), "ContainersReady"),
    )
    pod = newest_pod(stage, "gated")
    conditions = {each["type"]: each for each in pod["status"]["conditions"]}
    assert conditions["Ready"]["status"] == "False"
    assert conditions.get("modelrollout.dev/verified", {}).get("status") != "True"
    slices = json.loads(stage.kubectl("get", "endpointslices", "-o", "json"))["items"]
    serving = [
        end["targetRef"]["name"]
        for each in slices
        for end in each.get("endpoints") or ()
        if end["conditions"].get("ready") and end.get("targetRef")
    ]
    assert pod["metadata"]["name"] not in serving
    assert [name for name in serving if name.startswith("digits-gated")], "expected the good pod to serve"


@pytest.mark.parametrize("name", ["open", "gated"])
def test_after_the_roll_back_stable_answers_as_before(stage: Scene, name: str) -> None:
    def restored(scene: Scene) -> bool:
        return "smoke/restored" in {row["name"] for row in scene.get("mro", name)["status"]["verification"]["checks"]}

    stage.wait("stable was asked again", restored)
    status = stage.get("mro", name)["status"]
    row = next(row for row in status["verification"]["checks"] if row["name"] == "smoke/restored")
    assert row["state"] == "Passed", row
    assert status["stable"]["fingerprint"] in row["found"]
