"""Kubernetes events: what ``kubectl describe`` tells about a rollout's course.

The same event is one object that counts, and is sent at most once a minute. Events are a courtesy: one that cannot be
sent is logged and never holds up a rollout.
"""

import hashlib
import logging
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from controller.api.names import API_VERSION, GROUP, ROLLOUT_KIND
from controller.observe.cluster import EVENTS, ClusterError, ClusterPort, Conflict, Json

QUIET: Final = timedelta(minutes=1)
"""How long the same event is not sent again."""
REMEMBERED_EVENTS: Final = 5_000
_MESSAGE_LENGTH: Final = 1024

_log = logging.getLogger(__name__)


class Announcement(Protocol):
    """What is to be told: ``kind`` is Normal or Warning, ``reason`` one CamelCase word, ``message`` a sentence."""

    @property
    def kind(self) -> str:
        """Normal or Warning."""

    @property
    def reason(self) -> str:
        """One CamelCase word."""

    @property
    def message(self) -> str:
        """A sentence with the numbers."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class EventSink:
    """Sends events; safe to share between threads."""

    def __init__(self, cluster: ClusterPort, *, clock: Callable[[], datetime] = _utc_now) -> None:
        self._cluster = cluster
        self._clock = clock
        self._sent: OrderedDict[str, datetime] = OrderedDict()
        self._lock = threading.Lock()
        self._instance = socket.gethostname()

    def post(self, rollout: Json, announcements: Iterable[Announcement]) -> None:
        """Send what was not sent within the last minute. Never raises: failures are logged."""
        for announcement in announcements:
            event = self._event(rollout, announcement)
            name = event["metadata"]["name"]
            if not self._is_due(name):
                continue
            try:
                self._send(event)
            except ClusterError as error:
                _log.warning("Event %s of %s was not sent: %s", announcement.reason, name, error)

    def _is_due(self, name: str) -> bool:
        now = self._clock()
        with self._lock:
            last = self._sent.get(name)
            if last is not None and now - last < QUIET:
                return False
            self._sent[name] = now
            self._sent.move_to_end(name)
            if len(self._sent) > REMEMBERED_EVENTS:
                self._sent.popitem(last=False)
            return True

    def _send(self, event: Json) -> None:
        namespace, name = event["metadata"]["namespace"], event["metadata"]["name"]
        try:
            self._cluster.create(EVENTS, namespace, event)
        except Conflict:
            known = self._cluster.get(EVENTS, namespace, name)
            body = {
                "metadata": {"resourceVersion": known["metadata"]["resourceVersion"]},
                "count": known.get("count", 1) + 1,
                "lastTimestamp": event["lastTimestamp"],
            }
            self._cluster.merge_patch(EVENTS, namespace, name, body)

    def _event(self, rollout: Json, announcement: Announcement) -> Json:
        """Return the event under a name that follows from its content, so that the same one is the same object."""
        metadata = rollout["metadata"]
        parts = (metadata["uid"], announcement.kind, announcement.reason, announcement.message)
        digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
        now = self._clock().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{metadata['name'][:230].rstrip('-.')}.{digest}", "namespace": metadata["namespace"]},
            "involvedObject": {
                "apiVersion": API_VERSION,
                "kind": ROLLOUT_KIND,
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
            },
            "type": announcement.kind,
            "reason": str(announcement.reason),
            "message": announcement.message[:_MESSAGE_LENGTH],
            "source": {"component": "modelrollout"},
            "reportingComponent": f"{GROUP}/controller",
            "reportingInstance": self._instance,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
