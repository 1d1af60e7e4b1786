"""The operator's own requests to model servers: counted by them like a user's, and left out of the arms' shares.

Golden requests go to every pod of the candidate alike, whatever its weight; where users send little, they would look
like a route that sends too much to the candidate.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from controller.api.record import RecordedWindow
from controller.observe.counters import plain
from controller.observe.evidence import observed_weight
from controller.plan.verify.findings import CheckKey, Outcome
from controller.plan.world import ArmName


@dataclass(frozen=True)
class OwnRequests:
    """Requests of one check, and when it ended."""

    stable: int
    candidate: int
    at: datetime


def own_requests(key: CheckKey, outcome: Outcome) -> OwnRequests:
    """Return what a check sent to each arm."""
    if key.arm is ArmName.STABLE:
        return OwnRequests(stable=outcome.sent, candidate=0, at=outcome.at)
    return OwnRequests(stable=outcome.sent_to_stable, candidate=outcome.sent, at=outcome.at)


def without_own(window: RecordedWindow, own: Iterable[OwnRequests], *, scrape: timedelta) -> RecordedWindow:
    """Return the window with the operator's requests left out of its shares.

    A check takes far less than a window. The server shows its requests at the next scrape, which is half of one away on
    average, so that is when they count.
    """
    counts = window.requests
    within = [each for each in own if window.start < each.at + scrape / 2 <= window.end]
    if counts is None or not within:
        return window
    stable = max(0.0, float(counts.stable) - sum(each.stable for each in within))
    candidate = max(0.0, float(counts.candidate) - sum(each.candidate for each in within))
    left = counts.model_copy(
        update={
            "stable": plain(stable),
            "candidate": plain(candidate),
            "own": plain(float(sum(each.stable + each.candidate for each in within))),
        }
    )
    return window.model_copy(update={"requests": left, "observed_weight": observed_weight(left)})
