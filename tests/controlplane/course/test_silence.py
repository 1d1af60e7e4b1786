"""Prometheus that is away, broken or has nothing to tell: nothing is decided, status says why, nothing gets lost."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest

from tests.controlplane.course.counters import Counters, Fault, Model
from tests.controlplane.course.scene import QUICK, Course, condition, merged
from tests.observe.faulty import Answer, body, silence

pytestmark = pytest.mark.controlplane

Json = dict[str, Any]

UNANSWERED = 60.0
"""Seconds for which a request gets no answer; the operator's patience ends long before."""


def nan(answer: str) -> Answer:
    """Answer with counters that are all not a number."""
    return body(answer if '"up"' in answer else re.sub(r'"\d+"\]', '"NaN"]', answer))


@dataclass(frozen=True)
class Broken:
    """A way in which a Prometheus server fails, and what status says about it."""

    server: str
    reason: str
    words: str
    fault: Fault | None
    """What it answers instead; None: connections are refused."""
    words_before: str = ""
    """What is said before the first request is diverted, where that differs."""


HTML = "<!DOCTYPE html><html><body><h1>Please log in</h1></body></html>"
KINDS = (
    Broken("error", "PrometheusAnswerInvalid", "HTTP 500: out of memory", lambda _: body("out of memory", status=500)),
    Broken("html", "PrometheusAnswerInvalid", "Please log in", lambda _: body(HTML, kind="text/html")),
    Broken("garbage", "PrometheusAnswerInvalid", 'no Prometheus answer but {"status":', lambda _: body('{"status": ')),
    Broken("nan", "ScrapeGap", "are no counts (NaN", nan, "(they are NaN"),
    Broken("mute", "PrometheusUnreachable", "gave no complete answer within 13 s", lambda _: silence(UNANSWERED)),
    Broken("refused", "PrometheusUnreachable", "Connection refused", None),
)
NOT_NAN = tuple(kind for kind in KINDS if kind.server != "nan")
IMPATIENT = merged(QUICK, {"strategy": {"dataTimeout": "3s", "minWindows": 1000}})
WITHDRAWING = merged(IMPATIENT, {"strategy": {"onNoData": "Withdraw"}})
ENDLESS = merged(QUICK, {"strategy": {"minWindows": 1000}})


def asking(server: str, changes: Json) -> Json:
    """Return the changes with another Prometheus server."""
    return merged(changes, {"analysis": {"prometheus": {"name": server}}})


@pytest.fixture(scope="module")
def servers() -> tuple[str, ...]:
    return ("default", *(kind.server for kind in KINDS))


@pytest.fixture(scope="module")
def broken(course: Course) -> Course:
    """All servers broken, while some rollouts stand at 25 % and others have just begun."""
    running = {f"held-{kind.server}": asking(kind.server, ENDLESS) for kind in KINDS}
    running |= {"patient": asking("refused", IMPATIENT), "impatient": asking("refused", WITHDRAWING)}
    for name, changes in running.items():
        course.stage(name)
        course.roll_out(name, changes)
    none = Model(requests=0)
    for name, candidate, changes in (
        ("quiet", none, IMPATIENT),
        ("forsaken", none, WITHDRAWING),
        ("lonely", none, ENDLESS),
    ):
        course.stage(name, good=Model() if name == "lonely" else none, candidate=candidate)
        course.roll_out(name, changes)
    for kind in KINDS:
        course.stage(f"late-{kind.server}")
    course.operator.start()
    for name in running:
        course.until(name, lambda status: status.get("window", {}).get("counted", 0) >= 1)
    for kind in KINDS:
        server = course.counters[kind.server]
        server.asked = 0
        if kind.fault is None:
            server.end()
        else:
            server.fault = kind.fault
    for kind in KINDS:
        course.roll_out(f"late-{kind.server}", asking(kind.server, ENDLESS))
    return course


@pytest.fixture(scope="module")
def known(broken: Course) -> dict[str, int]:
    """How many windows of each held rollout were on record when its server was about to answer again."""
    return {kind.server: broken.status(f"held-{kind.server}")["window"]["number"] for kind in KINDS}


@pytest.fixture(scope="module")
def mended(broken: Course, known: dict[str, int]) -> Course:
    """The same, with servers that answer again."""
    assert known
    for kind in KINDS:
        server = broken.counters[kind.server]
        if kind.fault is None:
            broken.counters[kind.server] = Counters(broken.traffic, port=server.server_port)
        else:
            server.fault = body
    return broken


def no_data(reason: str) -> Callable[[Json], bool]:
    """Return whether a status says that there is no data for that reason."""

    def says(status: Json) -> bool:
        answer = condition(status, "DataAvailable")
        return (answer.get("status"), answer.get("reason")) == ("False", reason)

    return says


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.server)
def test_weight_is_held_and_status_says_why(broken: Course, kind: Broken) -> None:
    name = f"held-{kind.server}"
    status = broken.until(name, no_data(kind.reason))
    assert kind.words in condition(status, "DataAvailable")["message"]
    status = broken.until(name, lambda status: kind.words in status["message"])
    assert status["message"].startswith(f"25 % of requests on {name}-v2; ")
    assert (status["phase"], status["transition"], status["rejected"]) == ("Progressing", 1, [])
    assert broken.weights(name)[f"{name}-v2"] == 25


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.server)
def test_no_request_is_diverted_before_it_can_be_judged(broken: Course, kind: Broken) -> None:
    name = f"late-{kind.server}"
    words = kind.words_before or kind.words
    status = broken.until(name, lambda status: words in status.get("message", ""))
    assert status["message"].startswith("No request is diverted before it can be judged: ")
    reason = "PrometheusAnswerInvalid" if kind.server == "nan" else kind.reason
    assert (status["phase"], status["reason"], status["transition"]) == ("Verifying", reason, 0)
    assert no_data(reason)(status)
    assert condition(status, "Stalled")["status"] == "True"
    assert broken.seen_weights(name) == [0]


def test_at_the_time_out_the_policy_holds(broken: Course) -> None:
    status = broken.until_phase("patient", "Stalled")
    assert status["reason"] == "DataTimedOut"
    assert status["message"].startswith("No window could be judged for 3s: Prometheus 'refused' at http://127.0.0.1:")
    assert broken.weights("patient")["patient-v2"] == 25


@pytest.mark.parametrize("name", ["impatient", "forsaken"])
def test_at_the_time_out_the_policy_withdraws_and_rejects_nothing(broken: Course, name: str) -> None:
    status = broken.until_phase(name, "RolledBack")
    assert (status["reason"], status["rejected"]) == ("DataTimedOut", [])
    (past,) = status["history"]
    assert (past["outcome"], past["reason"]) == ("Withdrawn", "DataTimedOut")
    assert broken.seen_weights(name) == [0, 25, 0]


def test_without_requests_nothing_is_decided(broken: Course) -> None:
    status = broken.until_phase("quiet", "Stalled")
    assert status["reason"] == "DataTimedOut"
    assert status["message"] == (
        "No window could be judged for 3s: errors: NoTraffic: neither arm got a request in the window; check that "
        "clients send any"
    )
    assert no_data("NoTraffic")(status)
    assert (status["analysis"]["verdict"], status["window"]["counted"], status["rejected"]) == ("NoData", 0, [])
    assert broken.weights("quiet")["quiet-v2"] == 25


def test_candidate_without_requests_has_a_reason_of_its_own(broken: Course) -> None:
    status = broken.until("lonely", no_data("NoCandidateTraffic"))
    assert "the candidate got no request in the window; check the route" in status["message"]
    assert (status["phase"], status["window"]["counted"]) == ("Progressing", 0)


def test_server_in_trouble_is_not_stormed(broken: Course) -> None:
    """Two rollouts ask it; a loop without pause would have asked thousands of times by now."""
    assert max(broken.counters[kind.server].asked for kind in NOT_NAN) < 300


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.server)
def test_missed_windows_are_judged_afterwards_none_twice_none_skipped(
    mended: Course, known: dict[str, int], kind: Broken
) -> None:
    name = f"held-{kind.server}"
    mended.until(name, lambda status: status["window"]["number"] >= known[kind.server] + 5)
    status = mended.until(name, lambda status: condition(status, "DataAvailable")["status"] == "True")
    windows = mended.windows(name)[: status["window"]["number"]]
    assert [(each["transition"], each["number"]) for each in windows] == [(1, n) for n in range(len(windows))]
    assert all(before["end"] == after["start"] for before, after in pairwise(windows))
    rows = [window["rows"][0] for window in windows]
    if kind.server == "nan":
        assert {row.get("skipped") for row in rows} == {None, "ScrapeGap"}
        return
    assert {row.get("skipped") for row in rows} == {None}
    judged = sum(int(row[arm]["total"]) for row in rows for arm in ("stable", "candidate"))
    one_scrape = 20_000
    assert abs(judged - 100_000 * len(windows)) <= one_scrape
    assert mended.seen_weights(name) == [0, 25]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.server)
def test_those_that_waited_begin(mended: Course, kind: Broken) -> None:
    status = mended.until_serving(f"late-{kind.server}")
    assert condition(status, "Stalled")["status"] == "False"


def test_stall_for_want_of_data_ends_with_the_data(mended: Course) -> None:
    status = mended.until_serving("patient")
    assert status["epoch"] == 1
    assert mended.seen_weights("patient") == [0, 25]
