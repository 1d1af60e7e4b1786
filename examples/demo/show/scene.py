"""A scene: one candidate tries to take over, and the operator decides."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import Final, Literal, Protocol

from controller.api.status import ModelRolloutStatus, PastEpoch
from examples.demo.ledger import Stats, VersionStats
from examples.demo.show.kubectl import Kubectl, ShowError
from examples.demo.show.stage import NAMESPACE, traffic_stats

ROLLOUT: Final = "digits"
"""The one ModelRollout of all scenes; each names another candidate."""

_MANIFESTS: Final = "examples/demo/manifests/rollouts"
_STATS_EVERY_SECONDS: Final = 2.0

Outcome = Literal["Promoted", "RolledBack", "Withdrawn", "Superseded"]


@dataclass(frozen=True, slots=True)
class Scene:
    """What is shown.

    Attributes:
        name: Of the candidate's version, of its manifest, and of the scene.
        model: What is the matter with the candidate.
        expected: How it has to end.
        usual: Whether it is played when none is asked for.
    """

    name: str
    model: str
    expected: Outcome
    usual: bool = True

    @property
    def candidate(self) -> str:
        """The candidate's Deployment."""
        return f"{ROLLOUT}-{self.name}"

    @property
    def manifest(self) -> str:
        """The ModelRollout, from the checkout's root."""
        return f"{_MANIFESTS}/{self.name}.yaml"


SCENES: Final = (
    Scene("wrong", "10 points less accurate, and not one error", "RolledBack"),
    Scene("broken", "answers 500 to 30 % of its requests", "RolledBack"),
    Scene("slow", "equally good answers, 30 % later", "RolledBack"),
    Scene("weaker", "4 points less accurate, where 2 are tolerated", "RolledBack", usual=False),
    Scene("same", "the one that serves, under another name", "Promoted", usual=False),
    Scene("good", "better than the one that serves", "Promoted"),
)
"""In the order in which they are played. Who is promoted comes last: the others would be compared with it."""


@dataclass(frozen=True, slots=True)
class Users:
    """What users met since the scene began, by the version that answered (`ledger.NOBODY`: none did)."""

    versions: Mapping[str, VersionStats]

    @classmethod
    def between(cls, before: Stats, after: Stats) -> "Users":
        """Return what was counted from one look to a later one."""
        earlier = before["versions"]
        return cls({version: _since(earlier.get(version), counts) for version, counts in after["versions"].items()})

    def requests(self, version: str) -> int:
        """Requests that a version answered, well or not."""
        return self.versions[version]["requests"] if version in self.versions else 0

    def incorrect(self, version: str) -> int:
        """Wrong answers of a version."""
        return self.versions[version]["incorrect"] if version in self.versions else 0

    def failed(self, version: str) -> int:
        """Requests of a version that ended with an error."""
        counts = self.versions.get(version)
        return counts["http_errors"] + counts["connection_errors"] if counts else 0

    def failed_elsewhere(self, version: str) -> int:
        """Failed requests that were not this version's: all that moving weights could have caused."""
        return sum(self.failed(each) for each in self.versions if each != version)


def _since(before: VersionStats | None, after: VersionStats) -> VersionStats:
    if before is None:
        return after
    return VersionStats(
        requests=after["requests"] - before["requests"],
        ok=after["ok"] - before["ok"],
        http_errors=after["http_errors"] - before["http_errors"],
        connection_errors=after["connection_errors"] - before["connection_errors"],
        labelled=after["labelled"] - before["labelled"],
        incorrect=after["incorrect"] - before["incorrect"],
        first_failure=after["first_failure"],
        last_failure=after["last_failure"],
    )


@dataclass(frozen=True, slots=True)
class Moment:
    """What is known at one moment of a scene.

    Attributes:
        scene: Which one.
        seconds: Since its ModelRollout was applied.
        status: The newest; it may still speak of the scene before.
        users: What users met since the scene began.
    """

    scene: Scene
    seconds: float
    status: ModelRolloutStatus
    users: Users

    @property
    def begun(self) -> bool:
        """Whether status already speaks of this scene's candidate."""
        candidate = self.status.candidate
        return self.ending is not None or (candidate is not None and candidate.deployment == self.scene.candidate)

    @property
    def ending(self) -> PastEpoch | None:
        """The epoch of the scene's candidate, once it is over."""
        newest = self.status.history[0] if self.status.history else None
        if newest is None or newest.epoch != self.status.epoch:
            return None
        return newest if newest.candidate.deployment == self.scene.candidate else None

    @property
    def as_expected(self) -> bool:
        """Whether the scene ended as it has to."""
        return self.ending is not None and self.ending.outcome == self.scene.expected

    @property
    def judged(self) -> int:
        """Requests of the candidate that the operator has judged."""
        metrics = self.status.analysis.metrics if self.begun and self.status.analysis else ()
        return max((int(metric.requests.candidate or 0) for metric in metrics), default=0)


class Viewer(Protocol):
    """Shows a scene to somebody."""

    def show(self, moment: Moment) -> None:
        """Show a moment; called about once a second and after every change of status."""


def play(kubectl: Kubectl, scene: Scene, *, viewer: Viewer, limit: float) -> Moment:
    """Apply the scene's ModelRollout and show what happens until the operator has decided and all requests have moved.

    Args:
        kubectl: The cluster.
        scene: What to play.
        viewer: Who shows it.
        limit: Seconds after which it is broken off.

    Returns:
        The last moment; without an ending if the scene was broken off.

    Raises:
        ShowError: The rollout cannot be applied, or the users do not answer.
    """
    onlooker = _Onlooker(lambda: traffic_stats(kubectl))
    started = time.monotonic()
    kubectl.run("apply", "--server-side", "--force-conflicts", "-f", scene.manifest)
    moment = Moment(scene=scene, seconds=0.0, status=ModelRolloutStatus(), users=onlooker.look())
    with kubectl.watch(NAMESPACE, ROLLOUT) as statuses:
        while moment.ending is None and moment.seconds < limit:
            viewer.show(moment)
            status = _next(statuses) or moment.status
            moment = replace(moment, status=status, seconds=time.monotonic() - started, users=onlooker.look())
    viewer.show(moment)
    return replace(moment, users=onlooker.last())


def _next(statuses: SimpleQueue[ModelRolloutStatus]) -> ModelRolloutStatus | None:
    try:
        return statuses.get(timeout=1.0)
    except Empty:
        return None


class _Onlooker:
    """Asks the users every other second; where no answer comes, the last one stands."""

    def __init__(self, ask: Callable[[], Stats]) -> None:
        self._ask = ask
        self._first = self._newest = ask()
        self._asked = time.monotonic()

    def look(self) -> Users:
        if time.monotonic() - self._asked >= _STATS_EVERY_SECONDS:
            self._renew()
        return Users.between(self._first, self._newest)

    def last(self) -> Users:
        """What users met in all, after a pause in which requests under way have ended."""
        time.sleep(_STATS_EVERY_SECONDS)
        self._renew()
        return Users.between(self._first, self._newest)

    def _renew(self) -> None:
        self._asked = time.monotonic()
        with suppress(ShowError):
            self._newest = self._ask()
