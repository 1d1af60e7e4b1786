"""What all routers have in common: the arms, the answers to a write, and the fence.

The fence is the annotation ``modelrollout.dev/transition: <uid>/<number>`` on the object that splits the traffic. It is
written in the same atomic write as the split and never goes back to a lower number, so that an operator that was
frozen between its decision and its act cannot undo what another one did meanwhile.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from controller.api.names import OWNER_ANNOTATION, ROLES_ANNOTATION, TRANSITION_ANNOTATION
from controller.observe.cluster import ROLLOUTS, ClusterPort, Json, NotFound
from controller.plan.world import Desired, Fence, Problem, Roles


@dataclass(frozen=True)
class Arm:
    """Where an arm's requests go: its Deployment, and for ``gateway`` the Service of its pods."""

    deployment: str
    service: str


@dataclass(frozen=True)
class Arms:
    """The arms that a route is read or written for; ``candidate`` is None while there is none."""

    stable: Arm
    candidate: Arm | None = None

    def __iter__(self) -> Iterator[Arm]:
        yield self.stable
        if self.candidate is not None:
            yield self.candidate


@dataclass(frozen=True)
class WriteResult:
    """``pending`` says what the router waits for; empty: the route holds what was desired."""

    pending: str = ""

    @property
    def applied(self) -> bool:
        """Whether the route holds the desired split."""
        return not self.pending


APPLIED = WriteResult()


class RouteProblem(Exception):  # noqa: N818 - it carries a Problem
    """The route cannot hold the desired split; ``problem`` says what a person has to mend."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class Fenced(Exception):  # noqa: N818 - the fence did its work
    """A later transition was written already, or the ModelRollout is gone: this write is too late and is dropped."""


@dataclass(frozen=True)
class Marks:
    """What the annotations of a route say; None where one is absent or was garbled by somebody."""

    fence: Fence | None
    roles: Roles | None
    owner: str | None


def arms_of(desired: Desired) -> Arms:
    """Return the arms that a desired world names."""
    candidate = None
    if desired.candidate is not None:
        candidate = Arm(desired.candidate, desired.candidate_service or desired.candidate)
    return Arms(Arm(desired.stable, desired.stable_service), candidate)


def read_marks(route: Json) -> Marks:
    """Read the annotations of a route."""
    annotations = route["metadata"].get("annotations") or {}
    return Marks(
        fence=_fence(annotations.get(TRANSITION_ANNOTATION, "")),
        roles=_roles(annotations.get(ROLES_ANNOTATION, "")),
        owner=annotations.get(OWNER_ANNOTATION),
    )


def marks_of(desired: Desired) -> Marks:
    """Return what the annotations have to say once the desired world is written."""
    return Marks(Fence(desired.uid, desired.transition), desired.roles, desired.rollout)


def guard(cluster: ClusterPort, namespace: str, *, fence: Fence | None, desired: Desired) -> None:
    """Refuse a write that comes too late.

    Numbers of another ModelRollout cannot be compared. Then the one that writes must at least still exist, or a
    process that was frozen while its rollout was deleted and created again would turn the traffic back.

    Raises:
        Fenced: the route carries a higher number, or the ModelRollout with this uid is gone.
    """
    if fence is not None and fence.uid == desired.uid:
        if fence.transition > desired.transition:
            msg = f"the route holds transition {fence.transition} already; {desired.transition} comes too late"
            raise Fenced(msg)
        return
    try:
        found = cluster.get(ROLLOUTS, namespace, desired.rollout)["metadata"]["uid"]
    except NotFound:
        found = None
    if found != desired.uid:
        msg = f"ModelRollout {desired.rollout} with uid {desired.uid} is gone; its transition is not written"
        raise Fenced(msg)


def mark_operations(route: Json, desired: Desired) -> list[Json]:
    """Return the JSON patch that marks exactly this version of the route as written by the transition."""
    metadata = route["metadata"]
    operations: list[Json] = [{"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]}]
    if not metadata.get("annotations"):
        operations.append({"op": "add", "path": "/metadata/annotations", "value": {}})
    roles = {role: name for role, name in asdict(desired.roles).items() if name is not None}
    values = {
        TRANSITION_ANNOTATION: f"{desired.uid}/{desired.transition}",
        ROLES_ANNOTATION: json.dumps(roles, sort_keys=True),
        OWNER_ANNOTATION: desired.rollout,
    }
    for name, value in values.items():
        operations.append({"op": "add", "path": f"/metadata/annotations/{pointer(name)}", "value": value})
    return operations


def pointer(name: str) -> str:
    """Return a name as one part of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def _fence(text: str) -> Fence | None:
    uid, _, number = text.rpartition("/")
    return Fence(uid, int(number)) if uid and number.isdecimal() else None


def _roles(text: str) -> Roles | None:
    try:
        found = json.loads(text)
        stable, backup = found["stable"], found.get("backup")
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    if not isinstance(stable, str) or not isinstance(backup, str | None):
        return None
    return Roles(stable=stable, backup=backup)
