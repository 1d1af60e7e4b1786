"""The world as the planner sees it: frozen models that ``observe`` fills and ``plan`` reads.

``None`` and empty always mean "seen, and not there"; what could not be read at all raises in ``observe`` and the turn
is tried again, so that silence never looks like an answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from controller.api.reasons import Reason


class ArmName(StrEnum):
    """The two arms; they never swap names within an epoch."""

    STABLE = "stable"
    CANDIDATE = "candidate"


@dataclass(frozen=True)
class Problem:
    """Something that only the cluster can tell and that a person has to mend."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class Workload:
    """A Deployment as it is now.

    ``hash`` is that of the pod template, ``rolled_out`` says that every replica runs that template and is ready.
    """

    deployment: str
    hash: str
    images: tuple[str, ...]
    replicas: int
    ready: int
    rolled_out: bool
    autoscaler: str | None = None
    """``HorizontalPodAutoscaler/name`` (or ScaledObject) that targets it."""
    port: int | None = None
    """The first port that its containers name."""
    gated: bool = False
    """Its pods wait for the readiness gate ``modelrollout.dev/verified``."""


@dataclass(frozen=True)
class Pod:
    """A live pod of an arm.

    ``ready_at`` is when it first became ready as far as anybody saw; ``trouble`` is a red flag of the pod itself;
    ``images`` are the digests that its containers really run; ``gate`` is None where it has no readiness gate of ours,
    else whether that is open; ``host_ports`` are, for a pod on its node's network, the ports of the node that are its
    own, and None for a pod with an address of its own.
    """

    name: str
    uid: str
    ready: bool
    started_at: datetime | None = None
    ready_at: datetime | None = None
    trouble: Problem | None = None
    address: str | None = None
    images: Mapping[str, str] = field(default_factory=dict)
    gate: bool | None = None
    host_ports: frozenset[int] | None = None


@dataclass(frozen=True)
class Roles:
    """Who is what, as the route remembers it beyond the life of the ModelRollout."""

    stable: str
    backup: str | None = None


@dataclass(frozen=True)
class Fence:
    """The transition that wrote the route last."""

    uid: str
    transition: int


@dataclass(frozen=True)
class Route:
    """The router's object as it is now.

    ``weights`` is the percent of requests per Deployment (rounded; for router ``service``: what the selector picks,
    1 for each picked Deployment). ``strangers`` are backends of neither arm that get requests.
    """

    exists: bool
    weights: dict[str, int] = field(default_factory=dict)
    strangers: tuple[str, ...] = ()
    fence: Fence | None = None
    roles: Roles | None = None
    owner: str | None = None
    problem: Problem | None = None
    reachable: float | None = None
    """Router ``service``: ready candidate pods over all ready pods of the picked Deployments, in percent."""


@dataclass(frozen=True)
class Desired:
    """The desired world of one transition: what the router must hold."""

    uid: str
    rollout: str
    transition: int
    stable: str
    candidate: str | None
    stable_service: str
    candidate_service: str | None
    weight: int
    """Percent of requests for the candidate."""
    roles: Roles
    candidate_replicas: int | None = None
    """Pods that the candidate must have ready before the weight is written, where the operator sizes it."""


@dataclass(frozen=True)
class World:
    """Everything seen in one turn."""

    stable: Workload | None
    candidate: Workload | None
    route: Route
    backup: Workload | None = None
    stable_pods: tuple[Pod, ...] = ()
    candidate_pods: tuple[Pod, ...] = ()
    backup_pods: tuple[Pod, ...] = ()
    """Read only where they wait for a readiness gate."""
    rivals: tuple[str, ...] = ()
    """Older ModelRollouts of the namespace that steer the same route."""
    problems: tuple[Problem, ...] = ()
    """What is wrong with the spec against the cluster and the operator's configuration."""
