"""The course of whole rollouts through the real planner and judge."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from controller.api.reasons import ConditionType, Phase, Reason
from controller.api.record import Row
from controller.plan.windows import Window
from controller.plan.world import Problem
from tests.plan.stage import Stage, Traffic, row, silent, spec_with, steady, workload

STRATEGY = {"interval": "10s", "steps": [10, 25, 50]}


def progressing(stage: Stage) -> bool:
    return stage.status.phase is Phase.PROGRESSING and stage.status.traffic.applied_weight > 0


def test_good_candidate_climbs_every_step_and_swaps_roles() -> None:
    stage = Stage().run()
    assert stage.weights == [10, 25, 50, 100]
    assert stage.phases == [Phase.IDLE, Phase.VERIFYING, Phase.PROGRESSING, Phase.PROMOTING, Phase.IDLE]
    assert stage.status.stable is not None
    assert (stage.status.stable.deployment, stage.status.stable.proven) == ("v2", True)
    assert stage.status.backup is not None
    assert stage.status.backup.deployment == "v1"
    assert stage.route.weights == {"v1": 0, "v2": 100}
    assert stage.route.roles is not None
    assert stage.route.roles.stable == "v2"
    assert not stage.finalized
    promoted = stage.status.condition(ConditionType.PROMOTED)
    assert promoted is not None
    assert promoted.status == "True"


def test_worse_candidate_is_returned_and_rejected_for_good() -> None:
    stage = Stage(traffic=steady(0.08, 0.18)).run()
    assert stage.status.phase is Phase.ROLLED_BACK
    assert stage.weights[-1] == 0
    assert 100 not in stage.weights
    assert [(each.deployment, each.reason) for each in stage.status.rejected] == [("v2", Reason.JUDGED_WORSE)]
    assert "accuracy" in stage.status.message
    before = stage.status.epoch
    stage.run()
    assert stage.status.epoch == before


def test_catastrophe_is_caught_within_two_windows() -> None:
    stage = Stage(traffic=steady(0.05, 0.5)).run()
    assert stage.status.phase is Phase.ROLLED_BACK
    assert stage.weights == [10, 0]
    assert stage.status.history[0].windows <= 2


def test_all_requests_bad_is_a_red_flag_in_the_first_window() -> None:
    stage = Stage(traffic=steady(0.05, 1.0)).run()
    assert stage.weights == [10, 0]
    assert stage.status.history[0].windows == 1
    assert stage.status.red_flags[0].reason is Reason.ALL_REQUESTS_BAD


def test_outage_of_both_arms_is_no_red_flag() -> None:
    stage = Stage(traffic=steady(1.0, 1.0)).run(30)
    assert stage.status.phase is Phase.PROGRESSING


def test_changed_candidate_mid_rollout_begins_a_new_epoch_from_nothing() -> None:
    stage = Stage().run(until=lambda s: s.status.traffic.applied_weight == 25)
    epoch = stage.status.epoch
    stage.deployments["v2"] = workload("v2", "b")
    stage.run()
    assert stage.status.epoch == epoch + 1
    assert stage.weights == [10, 25, 0, 10, 25, 50, 100]
    assert stage.status.attempts[0].count == 1


def test_pause_tells_of_what_is_wrong_and_no_longer_when_it_is_mended() -> None:
    stage = Stage().run(until=progressing)
    stage.ask("pause").run(until=lambda s: s.status.phase is Phase.PAUSED)
    stage.rivals = ("older",)
    stage.run(3)
    assert (stage.status.phase, stage.status.reason) == (Phase.PAUSED, Reason.ROUTE_CLAIMED)
    stage.rivals = ()
    stage.run(3)
    assert (stage.status.phase, stage.status.reason) == (Phase.PAUSED, Reason.REQUESTED)


def test_another_candidate_mid_rollout_first_takes_the_requests_from_the_old_one() -> None:
    stage = Stage().run(until=lambda s: s.status.traffic.applied_weight == 25)
    stage.deployments["v3"] = workload("v3")
    stage.spec = spec_with(candidate={"deployment": "v3"})
    stage.run(until=lambda s: s.status.epoch == 2 and s.status.traffic.applied_weight == 10)
    assert stage.weights == [10, 25, 0, 10]
    assert stage.route.weights == {"v1": 90, "v2": 0, "v3": 10}
    assert stage.status.history[0].outcome == "Withdrawn"
    assert stage.status.rejected == ()
    stage.run()
    assert stage.route.weights == {"v1": 0, "v2": 0, "v3": 100}


def test_harm_budget_that_is_edited_begins_a_new_epoch() -> None:
    stage = Stage().run(until=progressing)
    stage.spec = spec_with(strategy=STRATEGY | {"harmBudget": "0.5"})
    stage.run(until=lambda s: progressing(s) and s.status.epoch == 2)
    assert stage.records[2].frozen.harm_budget == "0.5"


def test_min_requests_may_be_lowered_without_beginning_again() -> None:
    stage = Stage(spec=spec_with(strategy=STRATEGY | {"minRequests": 1_000_000})).run(150)
    stage.spec = spec_with(strategy=STRATEGY | {"minRequests": 100})
    stage.run()
    assert stage.status.epoch == 1
    assert stage.weights[-1] == 100


def test_half_rolled_out_candidate_gets_no_request() -> None:
    stage = Stage()
    stage.deployments["v2"] = replace(workload("v2"), ready=1, rolled_out=False)
    stage.run(10)
    assert stage.status.phase is Phase.VERIFYING
    assert stage.weights == []
    assert "1 of 3 pods" in stage.status.message


def test_edited_analysis_begins_a_new_epoch_at_a_stricter_bound() -> None:
    stage = Stage().run(until=progressing)
    first = stage.status.analysis
    assert first is not None
    stage.spec = spec_with(strategy={"interval": "10s", "steps": [10, 50]})
    stage.run(until=lambda s: progressing(s) and s.status.epoch == 2)
    second = stage.status.analysis
    assert second is not None
    assert (first.attempt, second.attempt) == (1, 2)
    assert float(second.alpha) == pytest.approx(float(first.alpha) / 4, rel=1e-4)


def test_stable_changed_by_others_holds_the_weight_until_it_returns() -> None:
    stage = Stage().run(until=lambda s: s.status.traffic.applied_weight == 25)
    stage.deployments["v1"] = workload("v1", "other")
    stage.run(5)
    assert (stage.status.phase, stage.status.reason) == (Phase.STALLED, Reason.STABLE_CHANGED)
    assert stage.weights[-1] == 25
    stage.deployments["v1"] = workload("v1")
    stage.run()
    assert stage.weights == [10, 25, 50, 100]


def test_stable_changed_at_rest_is_adopted() -> None:
    stage = Stage(spec=spec_with(candidate=None)).run(5)
    stage.deployments["v1"] = workload("v1", "newer")
    stage.run(5)
    assert stage.status.stable is not None
    assert stage.status.stable.hash == "newer"
    assert Reason.STABLE_ADOPTED in [each.reason for each in stage.announcements]


@pytest.mark.parametrize(
    "reason", [Reason.NO_TRAFFIC, Reason.NO_SERIES, Reason.SCRAPE_GAP, Reason.NO_CANDIDATE_TRAFFIC]
)
def test_silence_neither_promotes_nor_rolls_back(reason: Reason) -> None:
    stage = Stage(traffic=silent(reason)).run(150)
    assert (stage.status.phase, stage.status.reason) == (Phase.STALLED, Reason.DATA_TIMED_OUT)
    assert stage.weights == [10]
    available = stage.status.condition(ConditionType.DATA_AVAILABLE)
    assert available is not None
    assert (available.status, available.reason) == ("False", reason)


def test_silence_withdraws_where_the_policy_says_so() -> None:
    stage = Stage(spec=spec_with(strategy=STRATEGY | {"onNoData": "Withdraw"}), traffic=silent()).run(200)
    assert stage.status.phase is Phase.ROLLED_BACK
    assert stage.status.rejected == ()
    assert stage.weights == [10, 0]


def test_data_that_returns_ends_the_stall() -> None:
    stage = Stage(traffic=silent()).run(until=lambda s: s.status.phase is Phase.STALLED)
    stage.traffic = steady(0.08, 0.08)
    stage.run()
    assert stage.weights == [10, 25, 50, 100]


def undecided() -> Stage:
    """On the margin: neither verdict comes."""
    strategy = STRATEGY | {"deadline": "5m", "advance": "Fixed"}
    return Stage(spec=spec_with(strategy=strategy), traffic=steady(0.08, 0.10))


def test_deadline_holds_by_default_and_resume_starts_it_anew() -> None:
    stage = undecided().run(until=lambda s: s.status.phase is Phase.STALLED)
    assert stage.status.reason is Reason.DEADLINE_PASSED
    assert stage.weights[-1] == 50
    stage.ask("resume").run(until=progressing)
    assert stage.status.phase is Phase.PROGRESSING
    stage.run(until=lambda s: s.status.phase is Phase.STALLED)
    assert stage.status.window.counted >= 60


@pytest.mark.parametrize(
    ("policy", "weight", "phase"), [("Withdraw", 0, Phase.ROLLED_BACK), ("Promote", 100, Phase.IDLE)]
)
def test_deadline_policies(policy: str, weight: int, phase: Phase) -> None:
    stage = undecided()
    strategy = STRATEGY | {"deadline": "5m", "advance": "Fixed", "onUndecided": policy}
    stage.spec = spec_with(strategy=strategy)
    stage.run(400)
    assert (stage.weights[-1], stage.status.phase) == (weight, phase)
    assert stage.status.rejected == ()


def test_manual_approval_waits_for_a_person() -> None:
    stage = Stage(spec=spec_with(strategy=STRATEGY | {"approval": "Manual"}))
    stage.run(until=lambda s: s.status.phase is Phase.AWAITING_APPROVAL)
    stage.run(10)
    assert stage.weights[-1] == 50
    stage.ask("promote").run()
    assert stage.weights[-1] == 100
    assert stage.status.last_request is not None
    assert stage.status.last_request.accepted


def test_worse_acts_while_a_person_is_asked() -> None:
    stage = Stage(spec=spec_with(strategy=STRATEGY | {"approval": "Manual"}))
    stage.run(until=lambda s: s.status.phase is Phase.AWAITING_APPROVAL)
    stage.traffic = steady(0.08, 0.6)
    stage.run()
    assert stage.status.phase is Phase.ROLLED_BACK


def test_router_that_never_obeys_never_gets_a_second_step() -> None:
    stage = Stage(obeys=False).run(100)
    assert stage.status.step == "1/3"
    assert stage.status.traffic.applied_weight == 0
    assert stage.status.window.number == 0


UNSEEN = {"name": "accuracy", "ratio": {"bad": "b", "total": "t"}, "margin": {"absolute": "0.02"}}


def unseen(window: Window, weight: int) -> tuple[Row, ...]:
    """No failure, and no series that could have told of one."""
    return tuple(each.model_copy(update={"bad_seen": False}) for each in steady(0, 0)(window, weight))


def test_zero_that_no_series_ever_showed_promotes_nothing() -> None:
    stage = Stage(spec=spec_with(analysis={"metrics": [UNSEEN]}), traffic=unseen).run(100)
    assert stage.status.phase is Phase.PROGRESSING
    assert 100 not in stage.weights
    assert stage.status.analysis is not None
    assert stage.status.analysis.metrics[0].state is Reason.BAD_SERIES_NEVER_SEEN


def test_suspended_acts_on_nothing_and_goes_on_where_it_stood() -> None:
    stage = Stage().run(until=lambda s: s.status.traffic.applied_weight == 25)
    stage.spec = stage.spec.model_copy(update={"suspend": True})
    stage.run(10)
    assert stage.status.phase is Phase.SUSPENDED
    stage.traffic = steady(0.08, 1.0)
    stage.now += timedelta(minutes=1)
    stage.run(10)
    assert stage.weights[-1] == 25
    stage.spec = stage.spec.model_copy(update={"suspend": False})
    stage.run()
    assert stage.weights[-1] == 0


@pytest.mark.parametrize("suspended", [False, True])
def test_deletion_returns_traffic_before_the_object_goes(suspended: bool) -> None:
    stage = Stage().run(until=lambda s: s.status.traffic.applied_weight == 25)
    assert stage.finalized
    stage.spec = stage.spec.model_copy(update={"suspend": suspended})
    stage.run(3)
    stage.deleting = True
    stage.run(10)
    assert stage.gone
    assert stage.route.weights["v2"] == 0


def test_deletion_with_the_route_gone_does_not_hang() -> None:
    stage = Stage().run(until=lambda s: s.status.traffic.applied_weight == 25)
    stage.route = replace(stage.route, exists=False)
    stage.deleting = True
    stage.run(5)
    assert stage.gone


def test_recreated_object_leaves_production_where_it_is() -> None:
    stage = Stage().run()
    again = Stage(route=stage.route, uid="uid-2").run(10)
    assert again.status.stable is not None
    assert again.status.stable.deployment == "v2"
    assert again.status.phase is Phase.IDLE
    assert again.weights == []


def test_route_that_disagrees_is_left_alone() -> None:
    stage = Stage()
    stage.route = replace(stage.route, weights={"v1": 50, "v2": 50})
    stage.run(5)
    assert (stage.status.phase, stage.status.reason) == (Phase.STALLED, Reason.ROUTE_DISAGREES)
    assert stage.weights == []
    stage.route = replace(stage.route, weights={"v1": 100, "v2": 0})
    stage.run(until=progressing)
    assert stage.weights == [10]


def test_second_rollout_on_one_route_is_refused() -> None:
    stage = Stage(rivals=("older",)).run(5)
    accepted = stage.status.condition(ConditionType.SPEC_ACCEPTED)
    assert accepted is not None
    assert (accepted.status, accepted.reason) == ("False", Reason.ROUTE_CLAIMED)
    assert stage.weights == []


def test_deadline_leaves_out_windows_that_were_judged_while_holding() -> None:
    stage = undecided().run(until=lambda s: s.status.window.counted == 5)
    stage.ask("pause").run(until=lambda s: s.status.phase is Phase.PAUSED)
    held = stage.status.window.counted
    stage.run(400, until=lambda s: s.status.window.counted >= held + 40)
    stage.ask("resume").run(until=progressing)
    stage.run(until=lambda s: s.status.phase is Phase.STALLED)
    assert stage.status.window.counted >= held + 40 + 30


def test_stall_that_ends_by_itself_does_not_use_up_the_deadline() -> None:
    stage = undecided().run(until=lambda s: s.status.window.counted == 5)
    stage.deployments["v1"] = workload("v1", "other")
    stage.run(3)
    stage.deployments["v1"] = workload("v1")
    stage.run(until=lambda s: s.status.phase is Phase.STALLED)
    assert stage.status.reason is Reason.DEADLINE_PASSED
    assert stage.status.window.counted >= 30


@pytest.mark.parametrize(("policy", "phase"), [("Hold", Phase.STALLED), ("Withdraw", Phase.ROLLED_BACK)])
def test_prometheus_that_never_answers_again_runs_into_the_time_out(policy: str, phase: Phase) -> None:
    stage = Stage(spec=spec_with(strategy=STRATEGY | {"onNoData": policy})).run(until=progressing)
    stage.source_problem = Problem(Reason.PROMETHEUS_UNREACHABLE, "no answer")
    stage.run(600, until=lambda s: s.status.phase is phase)
    assert stage.status.phase is phase
    assert stage.status.rejected == ()


def test_person_may_promote_where_the_operator_sizes_the_candidate() -> None:
    spec = spec_with(traffic={"service": {"name": "model"}}, strategy=STRATEGY | {"steps": [25], "approval": "Manual"})
    stage = Stage(spec=spec)
    stage.deployments["v2"] = workload("v2", pods=1)
    stage.run(until=lambda s: s.status.phase is Phase.AWAITING_APPROVAL)
    decision = stage.ask("promote").turn()
    assert decision.status.phase is Phase.PROMOTING
    assert decision.desired is not None
    assert decision.desired.candidate_replicas == 3


def test_zero_nobody_ever_saw_is_named_with_what_exists() -> None:
    stage = Stage(spec=spec_with(analysis={"metrics": [UNSEEN]}), traffic=unseen).run(100)
    assert stage.status.reason is Reason.BAD_SERIES_NEVER_SEEN
    assert "allowAbsent" in stage.status.message


def test_too_few_requests_is_a_reason_of_its_own() -> None:
    spec = spec_with(strategy=STRATEGY | {"minRequests": 1_000_000})
    stage = Stage(spec=spec).run(150)
    assert stage.status.reason is Reason.TOO_FEW_REQUESTS
    assert "1000000" in stage.status.message


def test_margin_without_history_is_refused_in_words() -> None:
    metric = {"name": "other", "ratio": {"bad": "b", "total": "t"}, "margin": {"relative": "0.5"}}
    stage = Stage(spec=spec_with(analysis={"metrics": [metric]})).run(20)
    accepted = stage.status.condition(ConditionType.SPEC_ACCEPTED)
    assert accepted is not None
    assert (accepted.status, accepted.reason) == ("False", Reason.MARGIN_NOT_RESOLVABLE)
    assert "margin.absolute" in accepted.message
    assert stage.weights == []


def noisy(seed: int, *, rate: float = 0.08) -> Traffic:
    """An unchanged model: both arms fail at the same rate, requests and failures at random."""
    random = np.random.default_rng(seed)

    def traffic(_: Window, weight: int) -> tuple[Row, ...]:
        requests = random.poisson(200)
        candidate = random.binomial(requests, weight / 100)
        stable = requests - candidate
        if not candidate or not stable:
            return (Row(metric="accuracy", skipped=Reason.NO_TRAFFIC),)
        return (row((stable, random.binomial(stable, rate)), (candidate, random.binomial(candidate, rate))),)

    return traffic


@pytest.mark.parametrize("seed", range(20))
def test_unchanged_model_is_never_rolled_back_in_200_windows(seed: int) -> None:
    """Held in the rollout by a person's approval, so that all 200 windows are judged."""
    stage = Stage(spec=spec_with(strategy=STRATEGY | {"approval": "Manual"}), traffic=noisy(seed))
    stage.run(2000, until=lambda s: s.status.window.number >= 200)
    assert stage.status.window.number >= 200
    assert stage.status.phase in (Phase.PROGRESSING, Phase.AWAITING_APPROVAL)
    assert stage.status.rejected == ()
