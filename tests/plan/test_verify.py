"""Verification on the stage: what is asked for, what a failed check does, what is never asked twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.api.reasons import ConditionType, Phase, Reason
from controller.api.verdicts import CheckState
from controller.plan.verify.findings import CheckKey, Finding, Outcome, Part
from controller.plan.verify.table import STABLE_ROW
from controller.plan.verify.work import RESTORED
from controller.plan.world import ArmName, Pod, Problem
from tests.plan.stage import START, Stage, spec_with, steady, workload

SMOKE = {"cases": [{"name": "one", "request": "{}", "expect": [{"finite": True}]}], "repeatEvery": 5}
PROVENANCE = {"dataDigest": "sha256:1"}
REPRODUCTION = {"jobFrom": "train", "recorded": [{"name": "accuracy", "value": "0.9"}]}
PIPELINE = [{"name": "ingest", "jobFrom": "ingest", "exit": ["rows > 1"]}]


def pods(name: str, count: int = 3, *, start: int = 0) -> tuple[Pod, ...]:
    """Ready pods with addresses."""
    numbers = range(start, start + count)
    return tuple(Pod(name=f"{name}-{n}", uid=f"{name}-uid-{n}", ready=True, address=f"10.0.0.{n}") for n in numbers)


def stage_with(**verify: Any) -> Stage:
    """A stage on which every check passes."""
    spec = spec_with(model={"protocol": "Plain", "version": "2"}, verify=verify)
    return Stage(spec=spec, pods={"v1": pods("v1"), "v2": pods("v2")}, checks=passing)


def passing(key: CheckKey) -> Outcome:
    """Everything is as it should be."""
    return Outcome((Finding(_NAMES[key.part], CheckState.PASSED, seconds=0.5),), at=START, fingerprint=_answers(key))


_NAMES = {
    Part.SMOKE: "smoke/golden",
    Part.PARITY: "parity/Images",
    Part.PROVENANCE: "provenance/dataDigest",
    Part.REPRODUCTION: "reproduction/accuracy",
    Part.PIPELINE: "pipeline/ingest/exit",
}


def _answers(key: CheckKey) -> str | None:
    return f"answers-of-{key.arm}" if key.part is Part.SMOKE else None


def failing(part: Part, *, arm: ArmName = ArmName.CANDIDATE, subject: str = "") -> Any:
    """One check fails, all others pass."""

    def checks(key: CheckKey) -> Outcome:
        if key.part is part and key.arm is arm and subject in key.subject:
            return Outcome((Finding(_NAMES[part], CheckState.FAILED, "found 3", "5"),), at=START)
        return passing(key)

    return checks


def serving(stage: Stage) -> bool:
    """Whether the candidate gets requests."""
    return stage.status.phase is Phase.PROGRESSING and stage.status.traffic.applied_weight > 0


def test_every_part_is_proven_before_the_first_request() -> None:
    stage = stage_with(
        smoke=SMOKE, parity={"require": ["Images"]}, provenance=PROVENANCE, reproduction=REPRODUCTION, pipeline=PIPELINE
    )
    stage.run(until=serving)
    assert serving(stage)
    verification = stage.status.verification
    assert verification is not None
    assert {row.name: row.state for row in verification.checks} == {
        **dict.fromkeys(_NAMES.values(), CheckState.PASSED),
        STABLE_ROW: CheckState.PASSED,
    }
    smoke = next(row for row in verification.checks if row.name == "smoke/golden")
    assert smoke.pods == "3/3"
    condition = stage.status.condition(ConditionType.VERIFIED)
    assert condition is not None
    assert (condition.status, condition.reason) == ("True", Reason.VERIFIED)
    assert any(told.reason is Reason.VERIFIED for told in stage.announcements)
    assert verification.finished_at is not None
    assert stage.records[1].verification == verification
    assert stage.status.stable is not None
    assert stage.status.stable.proven
    assert stage.status.stable.fingerprint == "answers-of-stable"


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (Part.SMOKE, Reason.GOLDEN_FAILED),
        (Part.PARITY, Reason.PARITY_MISMATCH),
        (Part.PROVENANCE, Reason.PROVENANCE_MISMATCH),
        (Part.REPRODUCTION, Reason.REPRODUCTION_FAILED),
        (Part.PIPELINE, Reason.PIPELINE_FAILED),
    ],
)
def test_a_failed_check_refuses_the_candidate_before_any_request(part: Part, reason: Reason) -> None:
    stage = stage_with(
        smoke=SMOKE, parity={"require": ["Images"]}, provenance=PROVENANCE, reproduction=REPRODUCTION, pipeline=PIPELINE
    )
    stage.checks = failing(part)
    stage.run(until=lambda s: s.status.phase is Phase.ROLLED_BACK)
    assert stage.status.phase is Phase.ROLLED_BACK
    assert set(stage.weights) <= {0}, "no weight may reach the route"
    assert stage.status.rejected[0].reason is reason
    condition = stage.status.condition(ConditionType.VERIFIED)
    assert condition is not None
    assert (condition.status, condition.reason) == ("False", reason)
    assert "found 3; expected 5" in condition.message
    assert stage.status.history[0].outcome == "RolledBack"
    assert stage.records[1].verification is not None


def test_one_bad_pod_of_three_is_enough() -> None:
    stage = stage_with(smoke=SMOKE)
    stage.checks = failing(Part.SMOKE, subject="v2-uid-1")
    stage.run(until=lambda s: s.status.phase is Phase.ROLLED_BACK)
    assert stage.status.phase is Phase.ROLLED_BACK
    assert "Pod v2-1: found 3" in stage.status.message


def test_a_bad_pod_is_refused_while_others_still_start() -> None:
    stage = stage_with(smoke=SMOKE)
    stage.deployments["v2"] = replace(workload("v2"), ready=2, rolled_out=False)
    stage.checks = failing(Part.SMOKE, subject="v2-uid-1")
    stage.run(turns=30, until=lambda s: s.status.phase is Phase.ROLLED_BACK)
    assert stage.status.phase is Phase.ROLLED_BACK


def test_nothing_is_asked_again_after_a_restart() -> None:
    stage = stage_with(smoke=SMOKE, reproduction=REPRODUCTION, pipeline=PIPELINE)
    stage.checks = lambda key: None if key.part is Part.PIPELINE else passing(key)
    stage.run(turns=20)
    assert stage.status.phase is Phase.VERIFYING
    assert stage.status.reason is Reason.CHECKS_RUNNING
    before = list(stage.asked)
    stage.outcomes.clear()
    stage.asked.clear()
    stage.run(turns=5)
    assert [key.part for key in stage.asked] == [Part.PIPELINE]
    stage.checks = passing
    stage.run(until=serving)
    assert serving(stage)
    assert before


def test_a_reproduction_that_passed_is_not_run_for_the_next_epoch_of_the_same_revision() -> None:
    stage = stage_with(reproduction=REPRODUCTION, smoke=SMOKE)
    stage.run(until=serving)
    stage.ask("abort").run(until=lambda s: s.status.phase is Phase.ROLLED_BACK)
    stage.asked.clear()
    stage.ask("retry").run(until=serving)
    assert stage.status.epoch == 2
    assert serving(stage)
    assert Part.REPRODUCTION not in {key.part for key in stage.asked}


def test_a_retry_runs_what_failed_again() -> None:
    stage = stage_with(reproduction=REPRODUCTION)
    stage.checks = failing(Part.REPRODUCTION)
    stage.run(until=lambda s: s.status.phase is Phase.ROLLED_BACK)
    stage.checks = passing
    stage.ask("retry").run(until=serving)
    assert serving(stage)
    assert len({key.of for key in stage.asked if key.part is Part.REPRODUCTION}) == 2


def test_a_retry_asks_pods_that_failed_again() -> None:
    stage = stage_with(smoke=SMOKE)
    stage.checks = failing(Part.SMOKE)
    stage.run(until=lambda s: s.status.phase is Phase.ROLLED_BACK)
    stage.checks = passing
    stage.ask("retry").run(until=serving)
    assert serving(stage)


def test_a_retry_runs_no_job_again_that_passed() -> None:
    stage = stage_with(reproduction=REPRODUCTION, pipeline=PIPELINE)
    stage.checks = failing(Part.REPRODUCTION)
    stage.run(until=lambda s: s.status.phase is Phase.ROLLED_BACK)
    stage.checks = passing
    stage.ask("retry").run(until=serving)
    assert serving(stage)
    assert len({key for key in stage.asked if key.part is Part.PIPELINE}) == 1
    assert len({key for key in stage.asked if key.part is Part.REPRODUCTION}) == 2


def test_a_bad_pod_born_while_serving_rolls_back() -> None:
    stage = stage_with(smoke=SMOKE)
    stage.run(until=serving)
    stage.pods["v2"] = (*pods("v2"), *pods("v2", 1, start=3))
    stage.checks = failing(Part.SMOKE, subject="v2-uid-3")
    stage.run(until=lambda s: s.status.phase is Phase.ROLLED_BACK)
    assert stage.status.phase is Phase.ROLLED_BACK
    assert stage.status.red_flags[0].reason is Reason.GOLDEN_FAILED
    assert stage.status.rejected


def test_golden_requests_are_sent_again_and_a_wrong_answer_rolls_back() -> None:
    stage = stage_with(smoke=SMOKE)
    stage.traffic = steady(0.08, 0.08, requests=100)
    stage.run(until=lambda s: s.status.window.number >= 12)
    repeated = {key.subject.partition("#")[2] for key in stage.asked if "#" in key.subject}
    assert len(repeated) == 2
    stage.checks = failing(Part.SMOKE, subject="v2-uid-2#")
    stage.run(until=lambda s: s.status.phase is Phase.ROLLED_BACK)
    assert stage.status.phase is Phase.ROLLED_BACK
    assert stage.status.red_flags[0].reason is Reason.GOLDEN_FAILED
    stage.checks = passing
    stage.ask("retry").run(until=serving)
    assert serving(stage), "a wrong answer of an earlier epoch is not held against it"


def test_a_stable_that_fails_its_own_test_starts_nothing_and_rejects_nobody() -> None:
    stage = stage_with(smoke=SMOKE)
    stage.checks = failing(Part.SMOKE, arm=ArmName.STABLE)
    stage.run(turns=30)
    assert stage.status.phase is Phase.VERIFYING
    assert stage.status.reason is Reason.SMOKE_FAILED
    assert "Stable does not pass" in stage.status.message
    assert not stage.status.rejected
    assert not stage.weights
    assert stage.status.stable is not None
    assert not stage.status.stable.proven


def test_after_a_roll_back_stable_must_answer_as_before() -> None:
    stage = stage_with(smoke=SMOKE)
    stage.run(until=serving)
    stage.ask("abort").run(turns=60)
    verification = stage.status.verification
    assert verification is not None
    assert next(row for row in verification.checks if row.name == RESTORED).state is CheckState.PASSED


def test_after_a_roll_back_other_answers_of_stable_are_told() -> None:
    stage = stage_with(smoke=SMOKE)
    stage.run(until=serving)
    stage.checks = lambda key: replace(passing(key), fingerprint="somebody-else")
    stage.ask("abort").run(turns=60)
    verification = stage.status.verification
    assert verification is not None
    row = next(row for row in verification.checks if row.name == RESTORED)
    assert row.state is CheckState.FAILED
    assert any(told.reason is Reason.FINGERPRINT_CHANGED for told in stage.announcements)


def test_what_a_person_must_mend_is_told_and_rejects_nobody() -> None:
    stage = stage_with(smoke=SMOKE)
    stage.checks = lambda _: None
    stage.obstacle = Problem(Reason.INVALID_SPEC, "ConfigMap golden does not exist; create it")
    stage.run(turns=20)
    assert stage.status.phase is Phase.VERIFYING
    assert stage.status.message == stage.obstacle.message
    stage.obstacle, stage.checks = None, passing
    stage.run(until=serving)
    assert serving(stage)


def test_a_new_candidate_is_verified_anew() -> None:
    stage = stage_with(smoke=SMOKE, provenance=PROVENANCE)
    stage.run(until=serving)
    stage.asked.clear()
    stage.deployments["v2"] = workload("v2", "b")
    stage.pods["v2"] = pods("v2", start=10)
    stage.run(until=lambda s: s.status.epoch == 2 and serving(s))
    assert stage.status.epoch == 2
    assert serving(stage)
    assert {key.part for key in stage.asked} == {Part.SMOKE, Part.PROVENANCE}


def test_a_verify_that_is_edited_before_serving_begins_anew() -> None:
    stage = stage_with(provenance=PROVENANCE)
    stage.checks = lambda _: None
    stage.run(turns=10)
    stage.spec = spec_with(
        model={"protocol": "Plain", "version": "2"}, verify={"provenance": {"dataDigest": "sha256:2"}}
    )
    stage.checks = passing
    stage.run(until=serving)
    assert serving(stage)
    assert len({key.of for key in stage.asked}) == 2


def test_without_verify_nothing_is_asked_and_nothing_is_said() -> None:
    stage = Stage()
    stage.run(until=serving)
    assert serving(stage)
    assert not stage.asked
    assert stage.status.verification is None
    assert stage.status.condition(ConditionType.VERIFIED) is None
