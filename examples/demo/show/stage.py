"""Everything that has to be there before the first scene: cluster, operator, models and the users' requests."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from examples.demo.ledger import Stats
from examples.demo.show.kubectl import ENTER, ROOT, Kubectl, ShowError

NAMESPACE: Final = "demo"
SYSTEM: Final = "modelrollout-system"

_DEMO: Final = "examples/demo"
_FIRST_REQUESTS: Final = 100
_KNOWN_TO_PROMETHEUS: Final = f'sum(mlr_feedback_total{{namespace="{NAMESPACE}"}}) > 0'


def set_up(kubectl: Kubectl) -> None:
    """Set the stage, and say what is being waited for; what an earlier show left is removed first.

    Raises:
        ShowError: Something did not come up.
    """
    _boot()
    _install(kubectl)
    _clear(kubectl)
    _serve(kubectl)


def traffic_stats(kubectl: Kubectl) -> Stats:
    """Ask the users what became of their requests.

    Raises:
        ShowError: They do not answer.
    """
    found: Stats = json.loads(kubectl.service(NAMESPACE, "traffic:http", "/stats"))
    return found


def _boot() -> None:
    say("Booting the cluster: the first time builds it for 4 to 8 minutes, a later time takes half a minute")
    _cluster("up")
    say("Building the images of the operator and of the models, where something changed (about a minute each)")
    _cluster("images")


def _cluster(command: str) -> None:
    done = subprocess.run([sys.executable, "-m", "tests.cluster", command], cwd=ROOT, check=False)
    if done.returncode:
        raise ShowError(f"python -m tests.cluster {command} ended with {done.returncode}: it says why above")


def _install(kubectl: Kubectl) -> None:
    say(f"Installing the operator: kubectl apply -k {_DEMO}/operator")
    known = kubectl.run("get", "deployment", "modelrollout", "-n", SYSTEM, "--ignore-not-found", "-o", "name")
    _apply(kubectl, f"{_DEMO}/operator")
    if known:  # its image may have changed under the same name
        kubectl.run("-n", SYSTEM, "rollout", "restart", "deployment/modelrollout")
    _wait_for_deployment(kubectl, SYSTEM, "modelrollout")


def _clear(kubectl: Kubectl) -> None:
    if kubectl.run("get", "namespace", NAMESPACE, "--ignore-not-found", "-o", "name"):
        say("Removing what the last show left (up to a minute: pods end without losing a request)")
        kubectl.run("delete", "namespace", NAMESPACE, "--timeout=180s", seconds=200)


def _serve(kubectl: Kubectl) -> None:
    say(f"Serving seven versions of a classifier behind a Gateway: kubectl apply -k {_DEMO}/manifests/gateway")
    _apply(kubectl, f"{_DEMO}/manifests/gateway")
    names = kubectl.run("-n", NAMESPACE, "get", "deployments", "-o", "jsonpath={.items[*].metadata.name}").split()
    for name in names:
        _wait_for_deployment(kubectl, NAMESPACE, name)
    _wait_until("users get answers from v1", lambda: _answered(kubectl), seconds=120)
    _wait_until("Prometheus counts right and wrong answers", lambda: _counted(kubectl), seconds=60)


def _apply(kubectl: Kubectl, folder: str) -> None:
    kubectl.run("apply", "--server-side", "--force-conflicts", "-k", folder)


def _wait_for_deployment(kubectl: Kubectl, namespace: str, name: str) -> None:
    say(f"  waiting until the pods of {name} are ready")
    try:
        kubectl.run("-n", namespace, "rollout", "status", f"deployment/{name}", "--timeout=180s", seconds=200)
    except ShowError as error:
        hint = f"{ENTER} kubectl -n {namespace} describe pods; {ENTER} kubectl -n {namespace} logs deployment/{name}"
        raise ShowError(f"the pods of {name} did not become ready ({error}); look with: {hint}") from None


def _wait_until(what: str, holds: Callable[[], bool], *, seconds: float) -> None:
    say(f"  waiting until {what}")
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            look = f"{ENTER} kubectl -n {NAMESPACE}"
            hint = f"look with: {look} get pods,httproutes; {look} logs deployment/traffic"
            raise ShowError(f"expected within {seconds:.0f} s that {what}, and it did not come; {hint}")
        time.sleep(1.0)


def _answered(kubectl: Kubectl) -> bool:
    try:
        versions = traffic_stats(kubectl)["versions"]
    except ShowError:
        return False
    return "v1" in versions and versions["v1"]["ok"] >= _FIRST_REQUESTS


def _counted(kubectl: Kubectl) -> bool:
    try:
        answer = kubectl.service("monitoring", "prometheus:9090", f"/api/v1/query?query={quote(_KNOWN_TO_PROMETHEUS)}")
    except ShowError:
        return False
    return bool(json.loads(answer)["data"]["result"])


def say(line: str) -> None:
    """Print a line of progress."""
    print(line, flush=True)
