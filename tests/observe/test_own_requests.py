"""The operator's golden requests are left out of the arms' shares, in the window in which servers show them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from controller.api.record import RecordedWindow, RequestCounts
from controller.observe.own_requests import own_requests, without_own
from controller.plan.verify.findings import CheckKey, Outcome, Part
from controller.plan.world import ArmName

START = datetime(2026, 1, 1, tzinfo=UTC)
SCRAPE = timedelta(seconds=2)


def window(stable: int = 180, candidate: int = 80) -> RecordedWindow:
    """Ten seconds with so many requests."""
    return RecordedWindow(
        transition=1,
        number=0,
        weight=10,
        start=START,
        end=START + timedelta(seconds=10),
        observed_weight="30.8",
        requests=RequestCounts(stable=str(stable), candidate=str(candidate), weight="10"),
        rows=(),
    )


def check(seconds: float, *, sent: int = 60, to_stable: int = 0) -> Outcome:
    """A check that ended so long after the window began."""
    return Outcome((), START + timedelta(seconds=seconds), sent=sent, sent_to_stable=to_stable)


def key(arm: ArmName = ArmName.CANDIDATE) -> CheckKey:
    return CheckKey(part=Part.SMOKE, arm=arm, of="x", subject="uid#1.10")


def test_what_the_operator_asked_is_no_request_of_a_user() -> None:
    own = own_requests(key(), check(5, to_stable=20))
    left = without_own(window(200, 80), [own], scrape=SCRAPE)
    assert left.requests is not None
    assert (left.requests.stable, left.requests.candidate, left.requests.own) == ("180", "20", "80")
    assert left.observed_weight is not None
    assert float(left.observed_weight) == pytest.approx(10.0)


def test_a_test_of_stable_counts_for_stable() -> None:
    left = without_own(window(), [own_requests(key(ArmName.STABLE), check(5))], scrape=SCRAPE)
    assert left.requests is not None
    assert (left.requests.stable, left.requests.candidate) == ("120", "80")


@pytest.mark.parametrize(("seconds", "within"), [(-1.5, False), (-0.5, True), (8.5, True), (9.5, False), (30, False)])
def test_it_counts_in_the_window_in_which_the_next_scrape_shows_it(seconds: float, within: bool) -> None:
    seen = window()
    left = without_own(seen, [own_requests(key(), check(seconds))], scrape=SCRAPE)
    assert (left != seen) is within


def test_less_than_nothing_is_left_of_no_arm() -> None:
    left = without_own(window(180, 10), [own_requests(key(), check(5))], scrape=SCRAPE)
    assert left.requests is not None
    assert left.requests.candidate == "0"


def test_a_window_whose_requests_are_not_known_stays_as_it_is() -> None:
    seen = window().model_copy(update={"requests": None})
    assert without_own(seen, [own_requests(key(), check(5))], scrape=SCRAPE) is seen
