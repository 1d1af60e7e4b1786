"""Silence in all its forms, with a real Prometheus: neither a promotion nor a roll-back follows from it."""

import time
from itertools import pairwise

import pytest

from tests.e2e.laboratory import Laboratory, frozen_prometheus
from tests.e2e.scene import Json, Scene, rollout, route

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

INTERVAL = 5
LINKED = {"prometheus": {"name": "linked"}}


def analysis(**changes: Json) -> Json:
    """The usual metrics, asked of another server."""
    spec = rollout()["spec"]["analysis"]
    return spec | changes


def windows(scene: Scene) -> list[Json]:
    """All recorded windows of the newest epoch, in order."""
    records = scene.get_all("rolloutrecords")
    pages = sorted(records, key=lambda each: (each["spec"]["epoch"], each["spec"]["page"]))
    newest = pages[-1]["spec"]["epoch"]
    return [window for page in pages if page["spec"]["epoch"] == newest for window in page["spec"].get("windows", [])]


def assert_contiguous(recorded: list[Json]) -> None:
    """Every window of a transition once, each beginning where the one before ended."""
    for before, after in pairwise(recorded):
        if before["transition"] == after["transition"]:
            assert after["number"] == before["number"] + 1
            assert after["start"] == before["end"]
        else:
            assert after["number"] == 0


def test_no_request_at_all_holds_and_says_so(scene: Scene) -> None:
    scene.deploy(v1=1, good=1)
    scene.apply(route(scene, "v1", "good"), rollout("good"))
    scene.wait_for_phase("Stalled")
    status = scene.status
    assert status["traffic"]["appliedWeight"] == 10
    assert status["reason"] == "DataTimedOut"
    available = scene.condition("DataAvailable")
    assert (available["status"], available["reason"]) == ("False", "NoTraffic")
    assert "request" in available["message"]
    assert status.get("rejected", []) == []


@pytest.mark.parametrize(
    ("fault", "seconds", "told"), [("cut", 3 * INTERVAL, "gave no"), ("hush", 30, "gave no complete answer within")]
)
def test_windows_missed_while_prometheus_was_away_are_judged_from_history(
    scene: Scene, laboratory: Laboratory, fault: str, seconds: int, told: str
) -> None:
    """The link is cut, or accepts every question and answers none for 30 s."""
    scene.deploy(v1=1, good=1)
    held = {"steps": [25, 50], "advance": "Fixed", "minWindows": 8 + seconds // INTERVAL, "dataTimeout": "5m"}
    scene.apply(route(scene, "v1", "good"))
    with scene.client(rate=40, connections="keepalive"):
        scene.apply(rollout("good", strategy=held, analysis=analysis(**LINKED)))
        scene.wait("a counted window", lambda each: each.status.get("window", {}).get("counted", 0) >= 1)
        with getattr(laboratory, fault)():
            scene.wait(
                "the reason in status",
                lambda each: each.condition("DataAvailable").get("reason") == "PrometheusUnreachable",
            )
            assert told in scene.condition("DataAvailable")["message"]
            before = len(windows(scene))
            time.sleep(seconds)
            assert len(windows(scene)) == before
            assert scene.status["phase"] == "Progressing"
            assert scene.status["traffic"]["appliedWeight"] == 25
        missing = seconds // INTERVAL
        scene.wait("the windows missed", lambda each: len(windows(each)) >= before + missing, seconds=60)
    recorded = windows(scene)
    assert_contiguous(recorded)
    missed = recorded[before : before + missing]
    assert [row.get("skipped") for window in missed for row in window["rows"]] == [None] * 2 * missing


def test_windows_without_scrapes_are_skipped_and_the_rollout_goes_on(scene: Scene) -> None:
    scene.deploy(v1=1, good=1)
    held = {"steps": [25, 50], "advance": "Fixed", "minWindows": 12, "dataTimeout": "5m"}
    scene.apply(route(scene, "v1", "good"))
    with scene.client(rate=40, connections="keepalive"):
        scene.apply(rollout("good", strategy=held))
        scene.wait("a counted window", lambda each: each.status.get("window", {}).get("counted", 0) >= 1)
        counted = scene.status["window"]["counted"]
        with frozen_prometheus(scene.layout):
            time.sleep(4 * INTERVAL)
        scene.wait("windows after the gap", lambda each: each.status["window"]["counted"] >= counted + 3)
    recorded = windows(scene)
    assert_contiguous(recorded)
    skipped = [row["skipped"] for window in recorded for row in window["rows"] if row.get("skipped") == "ScrapeGap"]
    assert len(skipped) >= 2 * 3 - 2
    assert scene.status["phase"] == "Progressing"
