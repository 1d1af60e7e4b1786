"""What the real API server makes of both kinds: refusals in words, defaults, columns, records that last."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

from tests.api.examples import KINDS, REFUSED, SMALLEST, Refused, changed, rollout
from tests.controlplane.conftest import Kubectl, Refusal

pytestmark = pytest.mark.controlplane

Json = dict[str, Any]

DEFAULTS = {"mean": {"better": "Lower"}, "distribution": {"floor": "0.1"}}
"""What the API server adds to a kind's counters."""


@pytest.fixture(scope="module")
def shared(administrator: Kubectl, fresh_namespace: Callable[[], AbstractContextManager[str]]) -> Iterator[Kubectl]:
    """One namespace for the tests that leave nothing behind."""
    with fresh_namespace() as name:
        yield administrator.within(name)


def refusal_of(kubectl: Kubectl, body: Json) -> str:
    with pytest.raises(Refusal) as refusal:
        kubectl("create", "--dry-run=server", "--filename=-", stdin=json.dumps(body))
    return str(refusal.value)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case.mistake}")
def test_a_mistake_is_refused_with_the_place_and_the_reason(shared: Kubectl, case: Refused) -> None:
    answer = refusal_of(shared, rollout(changed(case.changes)))
    assert case.message in answer
    assert case.field in answer


def test_one_mistake_gets_one_sentence(shared: Kubectl) -> None:
    answer = refusal_of(shared, rollout(changed({"strategy.interval": "30"})))
    assert answer == (
        'The ModelRollout "fraud" is invalid: spec.strategy.interval: Invalid value: "30": '
        "must be a duration such as 30s, 10m or 1h30m, at most 8760h"
    )


def test_the_smallest_rollout_shows_its_whole_policy(kubectl: Kubectl) -> None:
    kubectl.create(rollout())
    assert kubectl.get("mro", "fraud")["spec"] == {
        **SMALLEST,
        "suspend": False,
        "historyLimit": 10,
        "traffic": {"gateway": {"httpRoute": "fraud", "sectionName": ""}, "sessions": "Independent"},
        "strategy": {
            "steps": [5, 10, 25, 50],
            "advance": "Budgeted",
            "minWindows": 3,
            "interval": "30s",
            "warmup": "1m",
            "minRequests": 100,
            "deadline": "6h",
            "onUndecided": "Hold",
            "onNoData": "Hold",
            "dataTimeout": "10m",
            "approval": "Automatic",
        },
        "analysis": {
            "prometheus": {"name": "default"},
            "labels": {"namespace": "namespace", "pod": "pod"},
            "alpha": "0.05",
            "noise": "Widen",
            "metrics": [
                {"role": "Guardrail", "weight": "1", "superiority": "Reported", "slices": [], **metric}
                for metric in SMALLEST["analysis"]["metrics"]
            ],
        },
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"candidate": ...},
        {"candidate.deployment": "fraud-v1"},
        {"strategy": {}},
        {"strategy.harmBudget": ""},
        {"strategy.harmBudget": "0.001"},
        {"strategy.steps": [1]},
        {"analysis.metrics.0.arms": {}},
        {"analysis.metrics.0.margin": {"absolute": "0", "relative": "0.5"}},
        {"analysis.metrics.1.ratio.total": '{__name__=~"a_(b|c)_total",le!~"x\\"y",}'},
        {"analysis.metrics.1.weight": "0.25", "analysis.noise": "Strict"},
        {"analysis.metrics.1.role": "Target", "analysis.metrics.1.superiority": "Required"},
        {"analysis.metrics.1.slices": ["tenant", "region"]},
        {"analysis.metrics.1": {"name": "mirrored", "role": "Target", "superiority": "Required", **KINDS["paired"]}},
        {"analysis.metrics.1": {"name": "mirrored", "arms": {}, **KINDS["paired"]}},
        {
            "analysis.metrics.1": KINDS["paired"]
            | {"name": "p", "paired": {"counter": 'pairs{a="{stable=",b!="candidate"}'}}
        },
        {"analysis.metrics.1.labelDelay": "10m", "analysis.metrics.1.cohort": "predicted_at"},
        {"analysis.groupSequential": {"maxRequests": 100000, "looks": 10, "spending": "Pocock"}},
        {"traffic.sessions": "Sticky"},
        {"traffic": {"service": {"name": "fraud"}}},
        {"traffic": {"service": {"name": "fraud"}}, "candidate.service": "fraud-v1"},
    ],
    ids=" ".join,
)
def test_what_makes_sense_is_accepted(shared: Kubectl, changes: Json) -> None:
    spec = changed({path: value for path, value in changes.items() if value is not ...})
    if changes.get("candidate") is ...:
        del spec["candidate"]
    shared("create", "--dry-run=server", "--filename=-", stdin=json.dumps(rollout(spec)))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_metric_is_accepted(shared: Kubectl, kind: str) -> None:
    metrics = [*SMALLEST["analysis"]["metrics"], {"name": "third", **KINDS[kind]}]
    body = rollout(changed({"analysis.metrics": metrics}))
    stored = json.loads(shared("create", "--dry-run=server", "--output=json", "--filename=-", stdin=json.dumps(body)))
    given, found = KINDS[kind][kind], stored["spec"]["analysis"]["metrics"][2][kind]
    assert found == (given if isinstance(given, str) else DEFAULTS.get(kind, {}) | given)


def test_as_many_metrics_as_there_may_be_are_accepted(shared: Kubectl) -> None:
    metrics = [{"name": f"number-{number}", **metric} for number, metric in enumerate((list(KINDS.values()) * 4)[:20])]
    shared(
        "create", "--dry-run=server", "--filename=-", stdin=json.dumps(rollout(changed({"analysis.metrics": metrics})))
    )


def test_columns_tell_how_far_a_rollout_is(kubectl: Kubectl) -> None:
    kubectl.create(rollout())
    revisions = {
        arm: {"deployment": name, "service": name, "hash": "5d4f8c", "images": []}
        for arm, name in (("stable", "fraud-v1"), ("candidate", "fraud-v2"), ("backup", "fraud-v0"))
    }
    status = {
        **revisions,
        "phase": "Progressing",
        "step": "2/4",
        "traffic": {"appliedWeight": 10, "observedWeight": "9.8"},
        "window": {"number": 14},
        "analysis": {
            "alpha": "0.05",
            "calibration": "none",
            "frozen": "1f",
            "startedAt": "2026-01-02T03:04:05.250Z",
            "verdict": "Undecided",
        },
        "redFlags": [{"reason": "CrashLoop", "message": "m", "at": "2026-01-02T03:04:05Z"}],
        "message": "Gathering evidence",
    }
    kubectl.patch("mro", "fraud", {"status": status}, subresource="status")
    narrow, wide = (kubectl("get", "mro", *form).splitlines() for form in ((), ("--output=wide",)))
    assert " ".join(narrow[0].split()) == "NAME PHASE STEP WEIGHT WINDOW VERDICT STABLE CANDIDATE AGE"
    assert " ".join(narrow[1].split()[:-1]) == "fraud Progressing 2/4 10 14 Undecided fraud-v1 fraud-v2"
    assert " ".join(wide[0].split()[-4:]) == "OBSERVED BACKUP REDFLAG MESSAGE"
    assert " ".join(wide[1].split()[-5:]) == "9.8 fraud-v0 CrashLoop Gathering evidence"


def test_status_is_stored_as_written(kubectl: Kubectl) -> None:
    kubectl.create(rollout())
    kubectl.patch("mro", "fraud", {"status": {"phase": "Idle", "traffic": {}}}, subresource="status")
    assert kubectl.get("mro", "fraud")["status"] == {"phase": "Idle", "traffic": {}}


def test_the_route_cannot_be_changed_while_it_diverts_requests(kubectl: Kubectl) -> None:
    kubectl.create(rollout(SMALLEST))
    name = rollout(SMALLEST)["metadata"]["name"]
    other = {"spec": {"traffic": {"gateway": {"httpRoute": "other"}}}}
    for weight in (10, 0):
        kubectl.patch(
            "mro",
            name,
            {"status": {"traffic": {"desiredWeight": weight, "appliedWeight": 0, "appliedTransition": 0}}},
            subresource="status",
        )
        if weight:
            with pytest.raises(Refusal, match="request abort first"):
                kubectl.patch("mro", name, other)
            kubectl.patch("mro", name, {"spec": {"suspend": True}})
        else:
            kubectl.patch("mro", name, other)


def test_the_short_names_and_categories_are_served(shared: Kubectl) -> None:
    kinds = [line.split()[0] for line in shared("api-resources", "--categories=mlops", "--no-headers").splitlines()]
    assert kinds == ["modelrollouts", "rolloutrecords"]
    assert shared("get", "rrec,mro", "--output=name") == ""
