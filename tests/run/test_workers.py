"""The workers: a turn that raises is put back, logged with its rollout, and never ends its thread."""

import io
import json
import logging
from collections.abc import Iterator
from threading import Event

import pytest

from controller.observe.cluster import Conflict, Forbidden, Unavailable
from controller.run.key import Key
from controller.run.logs import JsonFormatter
from controller.run.workers import Outcome, Turn, Workers
from controller.run.workqueue import WorkQueue
from tests.run.doubles import Witness

A = Key("shop", "fraud")


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("controller.run")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield stream
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


class Bench:
    """Runs one key through the real queue and threads until the turn has been called often enough."""

    def __init__(self, *answers: Exception | float | None) -> None:
        self.witness = Witness()
        self.queue = WorkQueue(self.witness, spacing=0.0, chance=lambda: 0.0)
        self._answers = list(answers)
        self._last = Event()
        self.workers = Workers(self.queue, self.turn, count=2, observer=self.witness)

    def turn(self, key: Key) -> float | None:
        assert key == A
        answer = self._answers.pop(0)
        if not self._answers:
            self._last.set()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def run(self) -> list[Outcome]:
        self.workers.start()
        self.queue.put(A)
        assert self._last.wait(30)
        assert self.workers.stop(30)
        return self.witness.outcomes


def test_a_turn_says_when_it_wants_the_next_one() -> None:
    assert Bench(0.0, 0.01, None).run() == [Outcome.DONE] * 3


def test_a_lost_race_starts_again_at_once_without_noise(lines: io.StringIO) -> None:
    bench = Bench(Conflict("somebody wrote", status=409), None)
    assert bench.run() == [Outcome.CONFLICT, Outcome.DONE]
    assert bench.witness.retries == 1
    assert all(json.loads(line)["level"] == "debug" for line in lines.getvalue().splitlines())


def test_an_unavailable_server_is_a_warning_and_a_back_off(lines: io.StringIO) -> None:
    outcomes = Bench(Unavailable("no answer"), None).run()
    assert outcomes == [Outcome.UNAVAILABLE, Outcome.DONE]
    line = json.loads(lines.getvalue().splitlines()[0])
    assert line["level"] == "warning"
    assert line["rollout"] == "shop/fraud"
    assert "error" not in line


def test_a_refusal_is_an_error_without_a_traceback(lines: io.StringIO) -> None:
    assert Bench(Forbidden("patch services: 403", status=403), None).run() == [Outcome.FAILED, Outcome.DONE]
    line = json.loads(lines.getvalue().splitlines()[0])
    assert line["level"] == "error"
    assert "patch services: 403" in line["message"]


def test_a_defect_is_logged_with_its_traceback_and_tried_again(lines: io.StringIO) -> None:
    assert Bench(ZeroDivisionError("a defect"), None).run() == [Outcome.FAILED, Outcome.DONE]
    line = json.loads(lines.getvalue().splitlines()[0])
    assert line["rollout"] == "shop/fraud"
    assert "ZeroDivisionError: a defect" in line["error"]


def test_stopping_waits_for_the_turn_in_flight_and_begins_no_other() -> None:
    began, may_end = Event(), Event()
    ended: list[Key] = []

    def slow(key: Key) -> None:
        began.set()
        assert may_end.wait(30)
        ended.append(key)

    workers, queue = _single(slow)
    queue.put(A)
    queue.put(Key("shop", "other"), 0.001)
    assert began.wait(30)
    assert not workers.stop(0.05), "a turn is still in flight"
    may_end.set()
    assert workers.stop(30)
    assert ended == [A]


def _single(turn: Turn) -> tuple[Workers, WorkQueue]:
    witness = Witness()
    queue = WorkQueue(witness)
    workers = Workers(queue, turn, count=1, observer=witness)
    workers.start()
    return workers, queue
