"""The API server itself keeps the record: what was stored never changes."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from controller.api.record import PAGE_WINDOWS
from tests.controlplane.conftest import Kubectl, Refusal

pytestmark = pytest.mark.controlplane

Json = dict[str, Any]
NAME = "fraud-3-0"
CHANGED = "spec: Invalid value: a recorded window must never change or be removed"

COUNTS: Json = {"total": "1800", "bad": "9", "effectiveTotal": "1800", "effectiveBad": "9", "pods": 2}
DECISION: Json = {
    "transition": 2,
    "at": "2026-01-02T03:05:00Z",
    "phase": "Progressing",
    "weight": 10,
    "reason": "StepAdvanced",
    "message": "10 % from here",
}


def window(number: int, *, transition: int = 1) -> Json:
    start = f"2026-01-02T{number // 60:02}:{number % 60:02}"
    row = {"metric": "errors", "stable": COUNTS, "candidate": COUNTS, "message": ""}
    edges = {"start": f"{start}:00Z", "end": f"{start}:30.500Z"}
    return {"transition": transition, "number": number, "weight": 5, **edges, "rows": [row]}


def revision(name: str) -> Json:
    return {"deployment": name, "service": name, "hash": "5d4f8c", "images": ["fraud:1"], "proven": False}


def page(**parts: object) -> Json:
    metric = {"name": "errors", "role": "Guardrail", "preset": "mlserver/errors"}
    frozen = {
        "hash": "1f",
        "attempt": 1,
        "alpha": "0.05",
        "steps": [5, 10],
        "interval": "30s",
        "horizon": 720,
        "minRequests": 100,
        "analysis": {
            "prometheus": {"name": "default"},
            "labels": {"namespace": "namespace", "pod": "pod"},
            "alpha": "0.05",
            "metrics": [metric],
        },
        "metrics": [{"metric": "errors", "margin": "0.0025", "bad": "b_total", "total": "t_total"}],
    }
    spec = {
        "rollout": "fraud",
        "rolloutUid": "e3b0c442",
        "epoch": 3,
        "page": 0,
        "stable": revision("fraud-v1"),
        "candidate": revision("fraud-v2"),
        "frozen": frozen,
        "windows": [],
        "decisions": [],
        **parts,
    }
    return {
        "apiVersion": "modelrollout.dev/v1alpha1",
        "kind": "RolloutRecord",
        "metadata": {"name": NAME},
        "spec": spec,
    }


@pytest.fixture
def records(kubectl: Kubectl) -> Kubectl:
    kubectl.create(page(windows=[window(0), window(1)], decisions=[DECISION]))
    return kubectl


def refusal_of(kubectl: Kubectl, change: Json | list[Json]) -> str:
    with pytest.raises(Refusal) as refusal:
        kubectl.patch("rrec", NAME, change)
    return str(refusal.value)


def test_a_page_is_stored_as_written(kubectl: Kubectl) -> None:
    body = page(windows=[window(0)], decisions=[DECISION])
    kubectl.create(body)
    assert kubectl.get("rrec", NAME)["spec"] == body["spec"]


def test_rows_decisions_and_verdict_are_added(records: Kubectl) -> None:
    records.patch("rrec", NAME, [{"op": "add", "path": "/spec/windows/-", "value": window(2)}])
    records.patch("rrec", NAME, [{"op": "add", "path": "/spec/decisions/-", "value": {**DECISION, "transition": 3}}])
    records.patch("rrec", NAME, {"spec": {"verdict": "Promoted"}})
    spec = records.get("rrec", NAME)["spec"]
    assert ([each["number"] for each in spec["windows"]], len(spec["decisions"])) == ([0, 1, 2], 2)
    row = records("get", "rrec", "--no-headers").split()
    assert " ".join(row[:-1]) == f"{NAME} fraud 3 0 fraud-v1 fraud-v2 Promoted"


@pytest.mark.parametrize(
    ("path", "value"),
    [("weight", 50), ("rows/0/candidate/bad", "0"), ("rows/0/skipped", "ScrapeGap"), ("end", "2026-01-02T00:01:00Z")],
)
def test_a_stored_window_never_changes(records: Kubectl, path: str, value: object) -> None:
    change = [{"op": "add", "path": f"/spec/windows/1/{path}", "value": value}]
    assert CHANGED in refusal_of(records, change)


@pytest.mark.parametrize(
    "change",
    [
        [{"op": "remove", "path": "/spec/windows/0"}],
        [{"op": "remove", "path": "/spec/windows"}],
        [{"op": "replace", "path": "/spec/windows/0/number", "value": 7}],
        [{"op": "move", "from": "/spec/windows/0", "path": "/spec/windows/1"}],
    ],
    ids=["one", "all", "renumbered", "moved"],
)
def test_a_stored_window_never_goes(records: Kubectl, change: list[Json]) -> None:
    assert CHANGED in refusal_of(records, change)


def test_no_window_is_stored_twice(records: Kubectl) -> None:
    again = {**window(1), "weight": 50}
    answer = refusal_of(records, [{"op": "add", "path": "/spec/windows/-", "value": again}])
    assert 'spec.windows[2]: Duplicate value: {"number":1,"transition":1}' in answer


@pytest.mark.parametrize(
    "change",
    [
        [{"op": "remove", "path": "/spec/decisions/0"}],
        [{"op": "replace", "path": "/spec/decisions/0/weight", "value": 0}],
    ],
    ids=["removed", "changed"],
)
def test_a_decision_lasts(records: Kubectl, change: list[Json]) -> None:
    assert "a recorded decision must never change or be removed" in refusal_of(records, change)


@pytest.mark.parametrize(
    "change",
    [
        {"rollout": "other"},
        {"rolloutUid": "other"},
        {"epoch": 4},
        {"page": 1},
        {"stable": {"hash": "other"}},
        {"candidate": {"deployment": "other"}},
        {"frozen": {"alpha": "0.5"}},
    ],
    ids="".join,
)
def test_what_a_page_is_about_never_changes(records: Kubectl, change: Json) -> None:
    (field,) = change
    assert f"{field} must not change once the page holds anything" in refusal_of(records, {"spec": change})


@pytest.mark.parametrize("verdict", ["RolledBack", None])
def test_a_verdict_lasts(records: Kubectl, verdict: str | None) -> None:
    records.patch("rrec", NAME, {"spec": {"verdict": "Promoted"}})
    assert "a verdict must never change" in refusal_of(records, {"spec": {"verdict": verdict}})


def test_a_page_that_holds_nothing_may_be_opened_anew(kubectl: Kubectl) -> None:
    kubectl.create(page())
    spec = copy.deepcopy(page()["spec"])
    spec["frozen"]["hash"], spec["candidate"]["hash"] = "2f", "other"
    kubectl.patch("rrec", NAME, [{"op": "replace", "path": "/spec", "value": spec}])
    assert kubectl.get("rrec", NAME)["spec"] == spec


def test_a_full_page_is_stored_and_stays_full(kubectl: Kubectl) -> None:
    decisions = [{**DECISION, "transition": number} for number in range(199)]
    kubectl.create(page(windows=[window(number) for number in range(PAGE_WINDOWS - 1)], decisions=decisions))
    last = [{"op": "add", "path": "/spec/windows/-", "value": window(PAGE_WINDOWS - 1)}]
    kubectl.patch("rrec", NAME, last)
    assert "must have at most 100 items" in refusal_of(kubectl, last)
