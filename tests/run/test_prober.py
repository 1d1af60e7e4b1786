"""Checks in threads: one rollout's pods that never answer keep nobody else's waiting."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

import pytest

from controller.plan.verify.findings import CheckKey, Outcome, Part
from controller.plan.world import ArmName
from controller.run.key import Key
from controller.run.verification.prober import ROLLOUTS, Prober

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ONE, OTHER = Key("team", "one"), Key("team", "other")


def check(number: int) -> CheckKey:
    return CheckKey(Part.SMOKE, ArmName.CANDIDATE, of="x", subject=f"pod-{number}")


class Stuck:
    """Checks that end when they are let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.begun: list[int] = []

    def __call__(self, number: int) -> Outcome:
        self.begun.append(number)
        assert self.go.wait(20)
        return Outcome((), at=NOW)


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    found = Stuck()
    yield found
    found.go.set()


def test_a_rollout_whose_pods_never_answer_leaves_room_for_others(stuck: Stuck) -> None:
    woken: list[Key] = []
    prober = Prober(woken.append, threads=4, of_one=3)
    for number in range(10):
        prober.start(ONE, "uid-one", check(number), partial(stuck, number))
    assert len(prober.running("uid-one")) == 3
    assert not prober.takes("uid-one", check(9))
    assert prober.takes("uid-other", check(0))

    prober.start(OTHER, "uid-other", check(0), lambda: Outcome((), at=NOW))
    until = time.monotonic() + 10
    while OTHER not in woken and time.monotonic() < until:
        time.sleep(0.01)
    assert set(prober.finished("uid-other")) == {check(0)}
    prober.stop()


def test_what_found_no_room_begins_once_another_check_has_ended(stuck: Stuck) -> None:
    ended = threading.Event()
    prober = Prober(lambda _: ended.set(), threads=4, of_one=1)
    prober.start(ONE, "uid", check(0), partial(stuck, 0))
    prober.start(ONE, "uid", check(1), partial(stuck, 1))
    assert prober.running("uid") == {check(0)}
    stuck.go.set()
    assert ended.wait(10)
    assert not prober.takes("uid", check(0))
    assert prober.takes("uid", check(1))
    prober.stop()


def test_what_is_remembered_is_bounded_over_rollouts_that_come_and_go() -> None:
    prober = Prober(lambda _: None, threads=1)
    for number in range(ROLLOUTS + 1):
        prober.note(f"uid-{number}", check(0), Outcome((), at=NOW))
        prober.note("uid-0", check(number), Outcome((), at=NOW))
    assert check(ROLLOUTS) in prober.finished("uid-0")
    assert not prober.finished("uid-1")
    assert prober.finished(f"uid-{ROLLOUTS}")
    prober.stop()
