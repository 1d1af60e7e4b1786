"""ConfigMaps and Secrets: what they hold now, by hash, and when that was edited last.

The API server keeps no history of an object. What it does keep is, per writer, when that writer last changed fields
and which fields are its own (``managedFields``); the newest entry that owns content is the newest edit. Two things it
cannot tell: a removed key leaves no time behind, and a writer of content who only changes a label moves its time.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from controller.observe.cluster import CONFIG_MAPS, SECRETS, ClusterPort, Forbidden, Json, Kind, NotFound
from controller.observe.trouble import parse_time
from controller.plan.verify.environment import Fact, digest, sealed

MOST_READ: Final = 20
"""ConfigMaps, and as many Secrets, that are read for one arm. Each has at most 1 MiB: the API server's own bound."""

_CONTENT: Final = frozenset({"f:data", "f:binaryData"})


@dataclass(frozen=True)
class Content:
    """A ConfigMap or Secret: the hash of each key's value, and when they were edited last."""

    name: str
    files: Mapping[str, Fact]
    edited_at: datetime | None


@dataclass(frozen=True)
class Contents:
    """What was read for one arm, by name; None stands for an object that is not there.

    ``unread`` says of the others why they were not read, and what to do.
    """

    config_maps: Mapping[str, Content | None] = field(default_factory=dict)
    secrets: Mapping[str, Content | None] = field(default_factory=dict)
    unread: tuple[str, ...] = ()


def read_contents(
    cluster: ClusterPort, namespace: str, *, config_maps: Iterable[str], secrets: Iterable[str]
) -> Contents:
    """Read the named objects; Secrets must be named only where the user opted in.

    Raises:
        ClusterError: when the API server could not be asked; a refusal is told in ``unread`` instead.
    """
    unread: list[str] = []
    return Contents(
        config_maps=_read_all(cluster, CONFIG_MAPS, namespace, sorted(config_maps), unread=unread),
        secrets=_read_all(cluster, SECRETS, namespace, sorted(secrets), unread=unread),
        unread=tuple(unread),
    )


def _read_all(
    cluster: ClusterPort, kind: Kind, namespace: str, names: list[str], *, unread: list[str]
) -> dict[str, Content | None]:
    if left := names[MOST_READ:]:
        unread.append(f"more than {MOST_READ} {kind.plural} are referred to; not read: {', '.join(left)}")
    found: dict[str, Content | None] = {}
    for name in names[:MOST_READ]:
        try:
            found[name] = content_of(cluster.get(kind, namespace, name))
        except NotFound:
            found[name] = None
        except Forbidden:
            unread.append(f"the operator may not read {kind.plural}; grant it get {kind.plural}")
            break
    return found


def content_of(item: Json) -> Content:
    """Return the hashes of a ConfigMap or Secret."""
    secret = item.get("kind") == "Secret"
    encoded = item.get("data") if secret else item.get("binaryData")
    files = {} if secret else {key: sealed(value) for key, value in (item.get("data") or {}).items()}
    seal = _keyed(item["metadata"]["uid"]) if secret else sealed
    for key, value in (encoded or {}).items():
        files[key] = seal(base64.b64decode(value))
    return Content(name=item["metadata"]["name"], files=files, edited_at=edited_at(item["metadata"]))


def edited_at(metadata: Json) -> datetime | None:
    """Return when the content was edited last, to the second and by the API server's clock."""
    times = [
        entry["time"]
        for entry in metadata.get("managedFields") or ()
        if _CONTENT & set(entry.get("fieldsV1") or ()) and entry.get("time")
    ]
    moments = [parse_time(time) for time in (metadata.get("creationTimestamp"), *times) if time]
    return max(moments, default=None)


def _keyed(uid: str) -> Callable[[bytes], Fact]:
    """Seal so that the fingerprint in status helps nobody to guess: its hash is keyed by the Secret's own uid.

    Only who may read the Secret knows that uid. Within the process the plain hash is compared, so that two Secrets with
    one content are equal.
    """

    def seal(content: bytes) -> Fact:
        published = hmac.new(uid.encode(), content, hashlib.sha256).hexdigest()
        return Fact(marks=(digest(content),), published=(published,))

    return seal
