"""Verification at the limits: what pods say, how many there are, and specs that change under way."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from controller.api.reasons import ConditionType, Phase, Reason
from controller.api.verdicts import CheckState
from controller.api.verify import ParityGroup, Provenance, Reproduction, Verify
from controller.plan.verify.findings import CheckKey, Finding, Outcome, Part
from controller.plan.verify.pipeline import follow_pipeline
from controller.plan.verify.table import row_of
from controller.plan.verify.work import RESTORED
from controller.plan.world import Pod, Problem
from tests.plan.stage import START, Stage, spec_with, steady, workload
from tests.plan.test_verify import REPRODUCTION, SMOKE, failing, passing, pods, serving, stage_with


def refused(stage: Stage) -> bool:
    return stage.status.phase is Phase.ROLLED_BACK


def test_half_characters_and_control_characters_of_a_pod_do_not_stop_the_rollout() -> None:
    stage = stage_with(smoke=SMOKE)
    told = "found \ud800 and \x1b[31m\x00"
    stage.checks = lambda _: Outcome((Finding("smoke/golden", CheckState.FAILED, told, told),), at=START)
    stage.run(turns=30, until=refused)
    assert refused(stage)
    assert "found � and �[31m�" in stage.status.message


def test_the_table_has_room_for_all_that_a_spec_can_ask_for() -> None:
    recorded = [{"name": f"{number}-{'n' * 190}", "value": "1"} for number in range(50)]
    components = [{"name": f"c{n}", "jobFrom": "job", "entry": ["1 > 0"], "exit": ["1 > 0"]} for n in range(16)]
    verify = Verify.model_validate(
        {"reproduction": REPRODUCTION | {"recorded": recorded}, "pipeline": components, "smoke": SMOKE}
    )
    found = {
        Part.SMOKE: [f"smoke/{number}" for number in range(9)],
        Part.PARITY: [f"parity/{group}" for group in ParityGroup],
        Part.PROVENANCE: [f"provenance/{name}" for name in Provenance.model_fields if name != "mlflow"],
        Part.REPRODUCTION: ["reproduction/job", *(f"reproduction/{each['name']}" for each in recorded)],
        Part.PIPELINE: [each.name for each in follow_pipeline(verify.pipeline, {}).findings],
    }
    stage = stage_with(
        smoke=SMOKE,
        parity={"require": ["Images"]},
        provenance={"dataDigest": "sha256:1"},
        reproduction=REPRODUCTION,
        pipeline=[{"name": "ingest", "jobFrom": "ingest"}],
    )
    stage.checks = lambda key: Outcome(tuple(Finding(name, CheckState.PASSED) for name in found[key.part]), at=START)
    stage.run(until=serving)
    assert serving(stage)
    assert stage.status.verification is not None
    assert len(stage.status.verification.checks) == sum(map(len, found.values())) + 1


def test_a_name_that_no_row_could_have_is_refused_in_the_spec() -> None:
    entry = {"name": "n" * 201, "value": "1"}
    with pytest.raises(ValueError, match="at most 200"):
        Reproduction.model_validate(REPRODUCTION | {"recorded": [entry]})
    longest = Reproduction.model_validate(REPRODUCTION | {"recorded": [entry | {"name": "n" * 200}]})
    assert row_of(Finding(f"reproduction/{longest.recorded[0].name}", CheckState.PASSED)).state is CheckState.PASSED


@pytest.mark.parametrize(
    "seen",
    [(), pods("v2", 1), tuple(replace(pod, address=None) for pod in pods("v2"))],
    ids=["none", "one of three", "without addresses"],
)
def test_pods_that_cannot_be_tested_keep_the_candidate_from_serving(seen: tuple[Pod, ...]) -> None:
    stage = stage_with(smoke=SMOKE)
    stage.pods["v2"] = seen
    stage.run(turns=30)
    assert stage.status.phase is Phase.VERIFYING
    assert not stage.weights
    assert "of its 3 ready pods could be tested" in stage.status.message
    stage.pods["v2"] = pods("v2")
    stage.run(until=serving)
    assert serving(stage)


def test_a_large_candidate_is_counted_whole_and_tested_whole_after_a_restart() -> None:
    stage = stage_with(smoke=SMOKE)
    stage.pods = {"v1": pods("v1", 150), "v2": pods("v2", 210)}
    stage.deployments = {"v1": workload("v1", pods=150), "v2": workload("v2", pods=210)}
    stage.checks = lambda key: None if key.part is Part.SMOKE and "v2-uid-209" in key.subject else passing(key)
    stage.run(turns=10)
    assert stage.status.phase is Phase.VERIFYING
    stage.outcomes.clear()
    stage.checks = passing
    stage.run(until=serving)
    assert serving(stage)
    verification = stage.status.verification
    assert verification is not None
    assert next(row for row in verification.checks if row.name == "smoke/golden").pods == "210/210"
    assert len(verification.pods) == 200


def test_answers_that_take_longer_than_a_window_are_waited_for_before_they_are_asked_again() -> None:
    stage = stage_with(smoke=SMOKE)
    stage.traffic = steady(0.08, 0.08, requests=100)
    begun: dict[CheckKey, datetime] = {}

    def slow(key: CheckKey) -> Outcome | None:
        since = stage.now - begun.setdefault(key, stage.now)
        return passing(key) if "#" not in key.subject or since > timedelta(seconds=25) else None

    stage.checks = slow
    stage.run(turns=3000, until=lambda s: s.status.window.number >= 30)
    repetitions = {key.subject.partition("#")[2] for key in stage.asked if "#" in key.subject}
    assert 3 <= len(repetitions) <= 5
    assert stage.status.verification is not None
    assert stage.status.verification.golden_at >= 20


def test_a_smoke_test_that_is_asked_for_while_the_candidate_serves_is_carried_out() -> None:
    stage = Stage(pods={"v1": pods("v1"), "v2": pods("v2")}, checks=passing)
    stage.run(until=serving)
    stage.spec = spec_with(model={"protocol": "Plain"}, verify={"smoke": SMOKE})
    stage.run(turns=3)
    assert stage.status.verification is not None
    assert {pod.name for pod in stage.status.verification.pods} == {"v2-0", "v2-1", "v2-2"}
    stage.pods["v2"] = (*pods("v2"), *pods("v2", 1, start=3))
    stage.checks = failing(Part.SMOKE, subject="v2-uid-3")
    stage.run(turns=40, until=refused)
    assert refused(stage)
    assert stage.status.red_flags[0].reason is Reason.GOLDEN_FAILED


def test_other_parts_that_are_asked_for_while_it_serves_are_not_claimed_as_proven() -> None:
    stage = Stage(pods={"v1": pods("v1"), "v2": pods("v2")}, checks=passing)
    stage.run(until=serving)
    stage.spec = spec_with(verify={"provenance": {"dataDigest": "sha256:1"}})
    stage.run(turns=3)
    condition = stage.status.condition(ConditionType.VERIFIED)
    assert condition is not None
    assert condition.status == "Unknown"


def test_what_failed_under_a_spec_that_asks_for_nothing_any_more_refuses_nobody() -> None:
    stage = stage_with(smoke=SMOKE)
    stage.checks = failing(Part.SMOKE)
    stage.run(until=refused)
    stage.spec = spec_with(model={"protocol": "Plain", "version": "2"})
    stage.ask("retry").run(turns=40, until=serving)
    assert serving(stage)


def test_answers_to_other_golden_requests_are_not_held_against_stable_after_a_roll_back() -> None:
    stage = stage_with(smoke=SMOKE)
    stage.run(until=serving)
    others = {"cases": [{"name": "two", "request": "[]", "expect": [{"finite": True}]}]}
    stage.spec = spec_with(model={"protocol": "Plain", "version": "2"}, verify={"smoke": others})
    stage.checks = lambda key: replace(passing(key), fingerprint="of-other-answers")
    stage.ask("abort").run(turns=60)
    assert refused(stage)
    assert stage.status.verification is not None
    assert RESTORED not in {row.name for row in stage.status.verification.checks}
    assert not any(told.reason is Reason.FINGERPRINT_CHANGED for told in stage.announcements)


def test_what_a_person_must_mend_is_told_while_pods_wait_behind_their_gate_for_it() -> None:
    stage = stage_with(smoke=SMOKE)
    stage.deployments["v2"] = replace(workload("v2"), ready=0, rolled_out=False)
    stage.checks = lambda _: None
    stage.obstacle = Problem(Reason.INVALID_SPEC, "ConfigMap golden is not there; create it")
    stage.run(turns=10)
    assert stage.status.phase is Phase.VERIFYING
    assert (stage.status.reason, stage.status.message) == (Reason.INVALID_SPEC, stage.obstacle.message)


@pytest.mark.parametrize("part", [Part.SMOKE, Part.PARITY, Part.PROVENANCE])
def test_a_retry_asks_again_what_failed_though_neither_pods_nor_spec_have_changed(part: Part) -> None:
    stage = stage_with(smoke=SMOKE, parity={"require": ["Images"]}, provenance={"dataDigest": "sha256:1"})
    stage.checks = failing(part)
    stage.run(until=refused)
    assert refused(stage)
    stage.checks = passing  # say, a ConfigMap, or a tag in the registry, was mended
    stage.ask("retry").run(turns=60, until=serving)
    assert serving(stage)


def test_what_passed_in_an_epoch_is_asked_again_in_the_next_one() -> None:
    stage = stage_with(smoke=SMOKE)
    stage.run(until=serving)
    stage.ask("abort").run(until=refused)
    stage.checks = failing(Part.SMOKE)  # say, the ConfigMap with golden requests was edited
    stage.ask("retry").run(turns=60, until=serving)
    assert refused(stage)
    assert stage.status.epoch == 2
