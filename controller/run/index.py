"""Which rollouts an event concerns: a small memory of what each one refers to.

Of a rollout nothing is kept but its version, its phase and the names that it refers to. What it means is read afresh
in each turn; this only decides who gets a turn.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from threading import Lock
from typing import Any, Final

from controller.api.names import REQUEST_ANNOTATION
from controller.api.reasons import Phase
from controller.run.key import Key

Json = dict[str, Any]

POD_PHASES: Final = frozenset(
    {
        Phase.VERIFYING,
        Phase.PROGRESSING,
        Phase.PAUSED,
        Phase.AWAITING_APPROVAL,
        Phase.PROMOTING,
        Phase.ROLLING_BACK,
        Phase.STALLED,
    }
)
"""Phases in which a single pod can change what is decided; in the others the Deployment's own events suffice."""


class Referent(StrEnum):
    """Kinds of objects that rollouts refer to."""

    DEPLOYMENT = "Deployment"
    SERVICE = "Service"
    HTTP_ROUTE = "HTTPRoute"


@dataclass(frozen=True)
class Reference:
    """An object of the rollout's own namespace."""

    kind: Referent
    name: str


@dataclass(frozen=True, slots=True)
class Sighting:
    """What is kept of a rollout.

    ``cause`` changes whenever something other than the operator's own status write does.
    """

    uid: str
    version: str
    phase: str
    cause: tuple[object, ...]
    references: frozenset[Reference]


class Index:
    """All rollouts that were seen; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._sightings: dict[Key, Sighting] = {}
        self._users: dict[tuple[str, Reference], frozenset[Key]] = {}

    def remember(self, rollout: Json) -> frozenset[Key]:
        """Take in a rollout as it is now; return who needs a turn because of that.

        It is the rollout itself unless only its status was written and the phase stayed, and the other users of a route
        that it has just let go.
        """
        key = key_of(rollout)
        now = sight(rollout)
        with self._lock:
            before = self._sightings.get(key)
            self._sightings[key] = now
            left = before.references - now.references if before else frozenset()
            self._link(key, before.references if before else frozenset(), now.references)
            concerned = self._sharing(key, left)
        changed = before is None or (before.cause, before.phase) != (now.cause, now.phase)
        return concerned | {key} if changed else concerned

    def forget(self, key: Key, uid: str) -> frozenset[Key]:
        """Drop a deleted rollout unless one of the same name took its place; return who shared a route with it."""
        with self._lock:
            before = self._sightings.get(key)
            if before is None or before.uid != uid:
                return frozenset()
            del self._sightings[key]
            self._link(key, before.references, frozenset())
            return self._sharing(key, before.references)

    def get(self, key: Key) -> Sighting | None:
        """Return what is kept of a rollout."""
        with self._lock:
            return self._sightings.get(key)

    def all(self) -> dict[Key, Sighting]:
        """Return all rollouts at this moment."""
        with self._lock:
            return dict(self._sightings)

    def users(self, namespace: str, reference: Reference) -> frozenset[Key]:
        """Return the rollouts that refer to the object."""
        with self._lock:
            return self._users.get((namespace, reference), frozenset())

    def shares_route(self, rollout: Json) -> bool:
        """Whether another rollout is known that names the same HTTPRoute or Service as its router."""
        key = key_of(rollout)
        return any(self.users(key.namespace, reference) - {key} for reference in _routes(rollout))

    def watchers(self, namespace: str, deployment: str) -> frozenset[Key]:
        """Return the rollouts for which a single pod of the Deployment matters now."""
        with self._lock:
            keys = self._users.get((namespace, Reference(Referent.DEPLOYMENT, deployment)), frozenset())
            return frozenset(key for key in keys if self._sightings[key].phase in POD_PHASES)

    def _link(self, key: Key, before: frozenset[Reference], now: frozenset[Reference]) -> None:
        for reference in before - now:
            self._set_users(key.namespace, reference, self._users[(key.namespace, reference)] - {key})
        for reference in now - before:
            self._set_users(key.namespace, reference, self._users.get((key.namespace, reference), frozenset()) | {key})

    def _set_users(self, namespace: str, reference: Reference, keys: frozenset[Key]) -> None:
        if keys:
            self._users[(namespace, reference)] = keys
        else:
            self._users.pop((namespace, reference), None)

    def _sharing(self, key: Key, references: Collection[Reference]) -> frozenset[Key]:
        routes = (each for each in references if each.kind is not Referent.DEPLOYMENT)
        users = (self._users.get((key.namespace, route), frozenset()) for route in routes)
        return frozenset().union(*users) - {key}


def key_of(rollout: Json) -> Key:
    """Return the key of an object."""
    return Key(rollout["metadata"]["namespace"], rollout["metadata"]["name"])


def sight(rollout: Json) -> Sighting:
    """Return what is kept of a rollout; whatever is not as the CRD says counts as absent."""
    metadata = rollout["metadata"]
    annotations = metadata.get("annotations") or {}
    return Sighting(
        uid=metadata["uid"],
        version=metadata["resourceVersion"],
        phase=str(_at(rollout, "status", "phase") or ""),
        cause=(
            metadata["uid"],
            metadata.get("generation"),
            metadata.get("deletionTimestamp"),
            annotations.get(REQUEST_ANNOTATION),
        ),
        references=frozenset(_references(rollout)),
    )


def deployment_of(pod: Json) -> str | None:
    """Return the Deployment whose ReplicaSet owns the pod, by their names; None for other pods."""
    metadata = pod["metadata"]
    template = (metadata.get("labels") or {}).get("pod-template-hash")
    for owner in metadata.get("ownerReferences") or ():
        if owner.get("kind") == "ReplicaSet" and template and owner["name"].endswith(f"-{template}"):
            return str(owner["name"].removesuffix(f"-{template}"))
    return None


_ARMS: Final = (("spec", "stable"), ("spec", "candidate"), ("status", "stable"), ("status", "candidate"))
_BACKUP: Final = ("status", "backup")


def _references(rollout: Json) -> Iterator[Reference]:
    for path in (*_ARMS, _BACKUP):
        deployment = _at(rollout, *path, "deployment")
        service = _at(rollout, *path, "service") or deployment
        yield from _named((Referent.DEPLOYMENT, deployment), (Referent.SERVICE, service))
    yield from _routes(rollout)


def _routes(rollout: Json) -> Iterable[Reference]:
    return _named(
        (Referent.SERVICE, _at(rollout, "spec", "traffic", "service", "name")),
        (Referent.HTTP_ROUTE, _at(rollout, "spec", "traffic", "gateway", "httpRoute")),
    )


def _named(*pairs: tuple[Referent, object]) -> Iterable[Reference]:
    return (Reference(kind, name) for kind, name in pairs if isinstance(name, str) and name)


def _at(rollout: Json, *path: str) -> object:
    """Return what lies at the path; None where it ends early."""
    found: object = rollout
    for part in path:
        found = found.get(part) if isinstance(found, dict) else None
    return found
