"""The work queue, in a time that only passes when the test says so."""

from threading import Thread

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from controller.run.key import Key
from controller.run.workqueue import LONGEST_RETRY, SPACING, WorkQueue
from tests.run.doubles import FakeClock, Witness

A, B, C = (Key("shop", name) for name in "abc")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def witness() -> Witness:
    return Witness()


@pytest.fixture
def queue(clock: FakeClock, witness: Witness) -> WorkQueue:
    return WorkQueue(witness, clock=clock, chance=lambda: 0.0)


def drain(queue: WorkQueue) -> list[Key]:
    taken = []
    while (key := queue.poll()) is not None:
        taken.append(key)
    return taken


def test_keys_leave_in_the_order_in_which_they_became_due(queue: WorkQueue, clock: FakeClock) -> None:
    queue.put(A, 3)
    queue.put(B, 1)
    queue.put(C, 2)
    assert drain(queue) == []
    clock.advance(2)
    assert drain(queue) == [B, C]
    clock.advance(1)
    assert drain(queue) == [A]


def test_of_several_wishes_the_earliest_wins(queue: WorkQueue, clock: FakeClock) -> None:
    queue.put(A, 10)
    queue.put(A, 2)
    queue.put(A, 5)
    clock.advance(2)
    assert drain(queue) == [A]
    queue.done(A, None)
    clock.advance(100)
    assert drain(queue) == []


def test_a_storm_of_events_is_one_turn_and_one_more_after_it(queue: WorkQueue, clock: FakeClock) -> None:
    for _ in range(1000):
        queue.put(A)
    assert drain(queue) == [A]
    for _ in range(1000):
        queue.put(A)
    assert drain(queue) == []
    queue.done(A, None)
    clock.advance(SPACING)
    assert drain(queue) == [A]
    queue.done(A, None)
    clock.advance(100)
    assert drain(queue) == []


def test_events_that_never_end_give_at_most_one_turn_per_spacing(queue: WorkQueue, clock: FakeClock) -> None:
    turns = 0
    for _ in range(1000):  # 10 seconds of an event every 10 ms
        queue.put(A)
        for key in drain(queue):
            turns += 1
            queue.done(key, None)
        clock.advance(0.01)
    assert 10 / SPACING - 1 <= turns <= 10 / SPACING + 1


def test_the_time_that_a_turn_asked_for_is_exact_in_spite_of_the_spacing(queue: WorkQueue, clock: FakeClock) -> None:
    queue.put(A)
    drain(queue)
    queue.done(A, SPACING / 5)
    clock.advance(SPACING / 5)
    assert drain(queue) == [A]


def test_a_busy_key_starves_nobody(queue: WorkQueue) -> None:
    queue.put(B)
    queue.put(A)
    order = []
    for _ in range(3):
        key = queue.poll()
        assert key is not None
        order.append(key)
        queue.done(key, 0)
    assert order == [B, A, B]
    queue.put(C)  # asks last, and is served before either of them comes round for the second time
    assert [queue.poll(), queue.poll(), queue.poll()] == [A, B, C]


def test_failures_in_a_row_wait_twice_as_long_up_to_a_limit(queue: WorkQueue, clock: FakeClock) -> None:
    queue.put(A)
    delays = []
    for _ in range(9):
        assert drain(queue) == [A]
        delays.append(queue.failed(A))
        clock.advance(delays[-1])
    assert delays == [1, 2, 4, 8, 15, 15, 15, 15, 15]


def test_a_success_starts_the_back_off_again(queue: WorkQueue, clock: FakeClock, witness: Witness) -> None:
    queue.put(A)
    for _ in range(4):
        drain(queue)
        clock.advance(queue.failed(A))
    drain(queue)
    queue.done(A, 0)
    drain(queue)
    assert queue.failed(A) == 1
    assert witness.retries == 5


def test_the_jitter_only_shortens_and_by_a_quarter_at_most(clock: FakeClock, witness: Witness) -> None:
    queue = WorkQueue(witness, clock=clock, chance=lambda: 0.999)
    queue.put(A)
    drain(queue)
    assert 0.75 <= queue.failed(A) <= 0.76


def test_a_server_that_asks_to_wait_is_obeyed(queue: WorkQueue) -> None:
    queue.put(A)
    drain(queue)
    assert queue.failed(A, at_least=90) == 90 > LONGEST_RETRY


def test_an_event_cuts_a_back_off_short_because_it_may_be_the_repair(queue: WorkQueue, clock: FakeClock) -> None:
    queue.put(A)
    for _ in range(6):
        drain(queue)
        delay = queue.failed(A)
        clock.advance(delay)
    drain(queue)
    queue.failed(A)
    clock.advance(SPACING)
    queue.put(A)
    assert drain(queue) == [A]


def test_a_dropped_key_does_not_come_back_by_what_waited(queue: WorkQueue, clock: FakeClock) -> None:
    queue.put(A, 5)
    queue.put(B)
    assert drain(queue) == [B]
    queue.put(B)
    queue.drop(A)
    queue.drop(B)
    queue.done(B, None)
    clock.advance(100)
    assert drain(queue) == []


def test_lateness_and_depth_tell_how_far_the_workers_are_behind(
    queue: WorkQueue, clock: FakeClock, witness: Witness
) -> None:
    queue.put(A)
    queue.put(B, 4)
    queue.put(C, 60)
    assert (queue.depth(), queue.lateness()) == (1, 0)
    clock.advance(7)
    assert (queue.depth(), queue.lateness()) == (2, 7)
    drain(queue)
    assert (queue.depth(), queue.lateness()) == (0, 0)
    assert witness.lateness == [7, 3]


def test_slow_turns_are_late_but_only_a_worker_that_never_comes_is_a_standstill(
    queue: WorkQueue, clock: FakeClock
) -> None:
    for key in (A, B, C):
        queue.put(key)
    clock.advance(100)
    assert queue.poll() is not None
    clock.advance(100)
    assert queue.poll() is not None
    clock.advance(30)
    assert (queue.lateness(), queue.standstill()) == (230, 30)
    assert queue.poll() is not None
    clock.advance(1000)
    assert queue.standstill() == 0, "nothing is due"


def test_nothing_is_remembered_of_keys_that_are_done(queue: WorkQueue, clock: FakeClock) -> None:
    for number in range(500):
        key = Key("shop", str(number))
        queue.put(key)
        drain(queue)
        queue.done(key, None)
        clock.advance(1)
    assert len(queue._resting) <= 2
    assert not queue._waiting
    assert not queue._in_flight
    assert not queue._heap


def test_closing_wakes_those_who_wait_and_begins_no_turn(witness: Witness) -> None:
    queue = WorkQueue(witness)
    taken: list[Key | None] = []
    waiting = [Thread(target=lambda: taken.append(queue.take())) for _ in range(4)]
    for thread in waiting:
        thread.start()
    queue.close()
    for thread in waiting:
        thread.join(10)
    assert taken == [None] * 4
    queue.put(A)
    assert queue.take() is None


def test_many_threads_take_each_key_once_and_lose_none(witness: Witness) -> None:
    queue = WorkQueue(witness, spacing=0.0)
    taken: list[Key] = []

    def work() -> None:
        while (key := queue.take()) is not None:
            taken.append(key)
            queue.done(key, None)
            if len(taken) == 400:
                queue.close()

    threads = [Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    keys = [Key("shop", str(number)) for number in range(400)]
    for number, key in enumerate(keys):
        queue.put(key, (number % 7) / 100)
    for thread in threads:
        thread.join(30)
    assert sorted(taken) == sorted(keys)


class QueueMachine(RuleBasedStateMachine):
    """Any interleaving of puts, turns and time against the plainest possible model of the promises."""

    KEYS = st.sampled_from([A, B, C])
    SECONDS = st.sampled_from([0.0, 0.2, 1.0, 7.0, 90.0])

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.queue = WorkQueue(Witness(), clock=self.clock, chance=lambda: 0.0)
        self.wanted: dict[Key, float] = {}
        """The latest moment at which each key must be takeable."""
        self.in_flight: set[Key] = set()
        self.wanted_after: dict[Key, float] = {}
        self.rested_from: dict[Key, float] = {}

    @rule(key=KEYS, delay=SECONDS)
    def put(self, key: Key, delay: float) -> None:
        self.queue.put(key, delay)
        due = max(self.clock.now + delay, self.rested_from.get(key, 0))
        book = self.wanted_after if key in self.in_flight else self.wanted
        book[key] = min(due, book.get(key, due))

    @rule()
    def take(self) -> None:
        key = self.queue.poll()
        due = {each: at for each, at in self.wanted.items() if at <= self.clock.now}
        if key is None:
            assert not due, "a key that is due was withheld"
            return
        assert key not in self.in_flight, "two turns of one key"
        assert key in due, "a turn began that nobody wanted yet"
        assert due[key] == min(due.values()), "somebody who was due earlier was passed over"
        del self.wanted[key]
        self.in_flight.add(key)

    @rule(key=KEYS, again=st.none() | SECONDS)
    def finish(self, key: Key, again: float | None) -> None:
        if key in self.in_flight:
            self.queue.done(key, again)
            self._ended(key, None if again is None else self.clock.now + again)

    @rule(key=KEYS)
    def fail(self, key: Key) -> None:
        if key in self.in_flight:
            self._ended(key, self.clock.now + self.queue.failed(key))

    @rule(seconds=SECONDS)
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @invariant()
    def every_wish_is_kept(self) -> None:
        waiting = sum(at <= self.clock.now for at in self.wanted.values())
        assert self.queue.depth() == waiting

    def _ended(self, key: Key, again: float | None) -> None:
        self.in_flight.discard(key)
        self.rested_from[key] = self.clock.now + SPACING
        wishes = [] if again is None else [again]
        if key in self.wanted_after:
            wishes.append(max(self.wanted_after.pop(key), self.clock.now + SPACING))
        if wishes:
            self.wanted[key] = min(wishes)


QueueMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
TestQueueMachine = QueueMachine.TestCase
