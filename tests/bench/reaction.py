"""How fast harm ends, on the whole cluster: a model that fails 30 %, a pod that crashes, a bad pod that is born.

    python -m tests.bench.reaction [--runs 5]

Windows of 10 s, scrapes every 2 s, 50 requests/s, first weight 10 %. Counted from the client's first bad answer to the
moment at which the route's weight is 0, from the pod's failure to the decision in status, and from a bad pod's becoming
Ready to the red flag of its smoke test (negative: the flag came first).
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from tests.cluster.layout import SOURCE, Layout, Size
from tests.e2e.conftest import CHECKOUT, INSTALL, SYSTEM
from tests.e2e.scene import Json, Scene, rollout, route
from tests.e2e.verify.candidates import config_map, faulty, golden, rollout_of, route_of

LIFETIME = 40
"""Seconds after which the candidate's container ends by itself."""

STRATEGY = {"steps": [10, 25, 50], "interval": "10s", "minWindows": 3, "warmup": "10s"}


def main() -> None:
    """Measure all reactions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    layout = Layout(CHECKOUT, Size.FULL)
    _prepare(layout)
    seconds, bad = zip(*[_broken_model(layout) for _ in range(runs)], strict=True)
    print(f"first bad answer to weight 0 (30 % errors, n={runs}): {_spread(seconds)} s")
    print(f"bad answers served until then: {_spread(bad)}")
    print(f"bad pod Ready to red flag (n={runs}): {_spread([_bad_pod_born(layout) for _ in range(runs)])} s")
    print(f"failed pod to decision (n={runs}): {_spread([_crashing_pod(layout) for _ in range(runs)])} s")


def _prepare(layout: Layout) -> None:
    for arguments in (("up",), ("images",)):
        subprocess.run([sys.executable, "-m", "tests.cluster", *arguments], cwd=SOURCE.parent.parent, check=True)
    system = Scene(layout, SYSTEM)
    rendered = system.kubectl("kustomize", str(INSTALL))
    system.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=rendered)
    system.kubectl("rollout", "status", "deployment", "modelrollout", "--timeout=170s")


@contextmanager
def _scene(layout: Layout, candidate: str) -> Iterator[Scene]:
    scene = Scene(layout, f"bench-{uuid.uuid4().hex[:8]}")
    scene.kubectl("create", "namespace", scene.namespace)
    scene.deploy(v1=1, **{candidate: 1})
    scene.apply(route(scene, "v1", candidate))
    yield scene
    scene.kubectl("delete", "namespace", scene.namespace, "--wait=false")


def _broken_model(layout: Layout) -> tuple[float, float]:
    """Return the seconds from the first bad answer to weight 0, and the bad answers."""
    with _scene(layout, "broken") as scene, scene.client(rate=50, connections="keepalive") as client:
        time.sleep(5)
        scene.apply(rollout("broken", strategy=STRATEGY))
        scene.wait("weight 10", lambda each: _weight(each) == 10)
        scene.wait("weight 0", lambda each: _weight(each) == 0)
        zero = time.time()
        counted = client.stop()
    failures = counted["versions"]["broken"]
    return zero - failures["first_failure"], failures["http_errors"] + failures["connection_errors"]


def _weight(scene: Scene) -> int:
    weight: int = scene.get("httproute", "digits")["spec"]["rules"][0]["backendRefs"][1]["weight"]
    return weight


MORTAL = f"python -m examples.demo.server & sleep {LIFETIME}; kill -9 $!; exit 1"


def _crashing_pod(layout: Layout) -> float:
    """Return the seconds from the end of the candidate's only container to the confirmed return of the requests.

    The kubelet reports the end in whole seconds, so the figure is exact to one second.
    """
    with _scene(layout, "good") as scene:
        command = [{"op": "add", "path": "/spec/template/spec/containers/0/command", "value": ["sh", "-c", MORTAL]}]
        scene.kubectl("patch", "deployment", "digits-good", "--type=json", f"--patch={json.dumps(command)}")
        scene.kubectl("rollout", "status", "deployment", "digits-good", "--timeout=60s")
        scene.apply(rollout("good", strategy=STRATEGY | {"warmup": "1h"}))
        scene.wait_for_weight(10)
        scene.wait("the way back", lambda each: each.condition("RolledBack").get("status") == "True", seconds=120)
        ended = datetime.fromisoformat(_end(scene))
        decided = datetime.fromisoformat(scene.condition("RolledBack")["lastTransitionTime"])
        return max(0.0, (decided - ended).total_seconds())


def _bad_pod_born(layout: Layout) -> float:
    """Return the seconds from the moment at which the bad pod is Ready to the red flag.

    Readiness is told in whole seconds, so the figure is exact to one second.
    """
    with _scene(layout, "good") as scene:
        golden_requests = config_map("golden", **{"cases.json": json.dumps(golden(scene))})
        scene.apply(golden_requests, *faulty("late", annotations={}), route_of(scene, "late"))
        scene.apply(rollout_of("late", {"smoke": {"configMap": "golden"}}, strategy=STRATEGY | {"minWindows": 1000}))
        scene.wait("it serves", lambda each: bool(_late(each).get("traffic", {}).get("appliedWeight")))
        scene.kubectl("patch", "configmap", "fault-late", "--type=merge", '--patch={"data":{"fault":"nan"}}')
        scene.kubectl("scale", "deployment", "digits-late", "--replicas=2")
        scene.wait("the red flag", lambda each: bool(_late(each).get("redFlags")))
        flagged = datetime.fromisoformat(_late(scene)["redFlags"][0]["at"])
        scene.kubectl("wait", "pod", "-l", "version=late", "--for=condition=Ready", "--timeout=60s")
        pods = json.loads(scene.kubectl("get", "pods", "-l", "version=late", "-o", "json"))["items"]
        ready = max(
            str(each["lastTransitionTime"])
            for pod in pods
            for each in pod["status"]["conditions"]
            if each["type"] == "Ready"
        )
        return (flagged - datetime.fromisoformat(ready)).total_seconds()


def _late(scene: Scene) -> Json:
    status: Json = scene.get("mro", "late").get("status", {})
    return status


def _end(scene: Scene) -> str:
    pods = json.loads(scene.kubectl("get", "pods", "-l", "version=good", "-o", "json"))["items"]
    statuses = [status for pod in pods for status in pod["status"].get("containerStatuses", [])]
    states = [
        status[state]["terminated"]
        for status in statuses
        for state in ("state", "lastState")
        if "terminated" in status.get(state, {})
    ]
    return min(str(state["finishedAt"]) for state in states)


def _spread(numbers: "tuple[float, ...] | list[float]") -> str:
    return f"min {min(numbers):.1f}, median {statistics.median(numbers):.1f}, max {max(numbers):.1f}"


if __name__ == "__main__":
    main()
