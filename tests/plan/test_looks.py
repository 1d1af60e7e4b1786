"""When a rollout looks again by itself: never at rest, soon while something is under way, now and then when refused."""

from dataclasses import replace
from datetime import timedelta

from controller.api.reasons import Phase, Reason
from controller.plan.move import MENDED_UNSEEN
from controller.plan.world import Problem
from tests.plan.stage import Stage, steady


def test_rest_needs_no_look() -> None:
    for stage in (Stage().run(), Stage(traffic=steady(0.08, 0.5)).run()):
        assert stage.status.phase in (Phase.IDLE, Phase.ROLLED_BACK)
        assert stage.turn().next_look is None


def test_what_no_event_tells_of_is_looked_for_now_and_then() -> None:
    """An autoscaler that goes, a pod of somebody else: nobody says that the spec can be carried out again."""
    stage = Stage(rivals=("elder",))
    stage.turn()
    assert stage.turn().next_look == stage.now + MENDED_UNSEEN


def test_route_that_went_at_rest_is_not_asked_for_every_second() -> None:
    stage = Stage().run()
    gone = Problem(Reason.ROUTE_MISSING, "HTTPRoute route is not in namespace ns")
    stage.route = replace(stage.route, exists=False, problem=gone)
    stage.turn()
    assert stage.turn().next_look == stage.now + MENDED_UNSEEN


def test_way_back_is_tried_again_soon_whatever_is_wrong() -> None:
    stage = Stage().run(until=lambda stage: stage.status.traffic.applied_weight == 25)
    stage.obeys = False
    stage.route = replace(stage.route, problem=Problem(Reason.SERVICE_MISSING, "Service v2 is not there"))
    stage.ask("abort").turn()
    assert stage.status.phase is Phase.ROLLING_BACK
    look = stage.turn().next_look
    assert look is not None
    assert look - stage.now <= timedelta(seconds=1)
