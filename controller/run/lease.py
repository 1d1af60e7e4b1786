"""Leader election by a Lease: of several replicas one works, the others wait.

It saves double work, nothing more: what keeps two operators apart are the preconditions and the fence of every write.
Times are judged by this process's monotonic clock alone, so that clocks that disagree do no harm: a foreign holder is
gone when its record did not change for the duration that it declared, and the own leadership ends ``renew_within``
seconds after the last renewal that was confirmed, counted from before it was sent.
"""

import logging
import random
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Final
from uuid import uuid4

from controller.observe.cluster import LEASES, ClusterError, ClusterPort, Conflict, Json, NotFound
from controller.run.settings import LeaderElectionSettings, SettingsError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Terms:
    """Seconds: how long others respect the holder, how long it keeps trying to renew, how often it tries."""

    duration: float = 15.0
    renew_within: float = 10.0
    retry: float = 2.0


_NAMESPACE_FILE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

DEFAULT_TERMS: Final = Terms()

RELEASE_WITHIN: Final = 5.0
"""Seconds that leaving the Lease may take."""


@dataclass(frozen=True)
class LeaseName:
    """Where the Lease lies, and who wants it."""

    namespace: str
    name: str
    identity: str


def lease_name(election: LeaderElectionSettings, namespace_file: Path = _NAMESPACE_FILE) -> LeaseName | None:
    """Return which Lease this process wants; None when leader election is off.

    Raises:
        SettingsError: when the settings name no namespace and the process runs in no pod.
    """
    if not election.enabled:
        return None
    namespace = election.namespace
    if namespace is None:
        try:
            namespace = namespace_file.read_text(encoding="utf-8").strip()
        except OSError:
            msg = (
                "cannot tell the own namespace for the Lease, because this process runs in no pod; "
                "set leaderElection.namespace, or pass --no-leader-election for a single process"
            )
            raise SettingsError(msg) from None
    return LeaseName(namespace=namespace, name=election.name, identity=f"{socket.gethostname()}_{uuid4()}")


class Leadership:
    """The wish to hold a Lease, pursued by two threads: one acquires and renews, one watches the clock.

    The second one is there because a renewal that hangs in the network cannot notice that time is up.

    Args:
        cluster: where the Lease lies.
        lease: which one, and as whom.
        on_acquired: called once, when the Lease is held.
        on_lost: called once, when it could not be renewed in time or somebody else holds it.
    """

    def __init__(
        self,
        cluster: ClusterPort,
        lease: LeaseName,
        *,
        on_acquired: Callable[[], None],
        on_lost: Callable[[], None],
        terms: Terms = DEFAULT_TERMS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster = cluster
        self._lease = lease
        self._on_acquired = on_acquired
        self._on_lost = on_lost
        self._terms = terms
        self._clock = clock
        self._stopping = Event()
        self._written: Json | None = None
        self._seen: Json | None = None
        self._seen_at = 0.0
        self._complaint = ""
        self._renewed_at: float | None = None
        self._over = Lock()
        self._threads = (
            Thread(target=self._pursue, name="lease", daemon=True),
            Thread(target=self._watch, name="lease-watchdog", daemon=True),
        )

    def start(self) -> None:
        """Begin to try for the Lease."""
        for thread in self._threads:
            thread.start()

    def held(self) -> bool:
        """Return whether the Lease is ours by our own clock, as if no further renewal came."""
        renewed_at = self._renewed_at  # another thread may take it back between two looks
        return renewed_at is not None and self._clock() < renewed_at + self._terms.renew_within

    def release(self) -> None:
        """Stop trying, and if the Lease is ours leave it without a holder so that the next one need not wait.

        Gives up after a few seconds when the API server does not answer; then the Lease expires by itself.
        """
        self._stopping.set()
        leave = Thread(target=self._leave, name="lease-release", daemon=True)
        leave.start()
        leave.join(RELEASE_WITHIN)

    def _leave(self) -> None:
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        if self._written is None or not self.held():
            return
        spec = {**self._written["spec"], "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
        try:
            # Based on what was written last: if somebody else has it by now, this is a conflict.
            body = {**self._written, "spec": spec}
            self._cluster.replace(LEASES, self._lease.namespace, self._lease.name, body)
            _log.info("Released the Lease %s/%s", self._lease.namespace, self._lease.name)
        except ClusterError as error:
            _log.warning("Could not release the Lease, the next leader waits until it expires: %s", error)

    def attempt(self) -> bool:
        """Acquire or renew once; return whether the Lease is ours now. Raises ``ClusterError``."""
        if self._written is not None:
            try:
                return self._replace(self._written)
            except (Conflict, NotFound):
                self._written = None  # somebody touched it: look first
        try:
            lease = self._cluster.get(LEASES, self._lease.namespace, self._lease.name)
        except NotFound:
            return self._create()
        spec = lease.get("spec") or {}
        if spec != self._seen:
            self._seen, self._seen_at = spec, self._clock()
        if not self._free(spec):
            return False
        try:
            return self._replace(lease)
        except Conflict:
            return False  # somebody was faster; the next look tells who

    def _replace(self, lease: Json) -> bool:
        started = self._clock()
        body = {**lease, "spec": self._claim(lease.get("spec") or {})}
        return self._confirm(self._cluster.replace(LEASES, self._lease.namespace, self._lease.name, body), started)

    def _create(self) -> bool:
        started = self._clock()
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._lease.name, "namespace": self._lease.namespace},
            "spec": self._claim({}),
        }
        try:
            written = self._cluster.create(LEASES, self._lease.namespace, body)
        except Conflict:
            return False
        return self._confirm(written, started)

    def _confirm(self, written: Json, started: float) -> bool:
        self._written = written
        self._seen, self._seen_at = written["spec"], started
        self._renewed_at = started
        return True

    def _free(self, spec: Json) -> bool:
        holder = spec.get("holderIdentity")
        if not holder or holder == self._lease.identity:
            return True
        return self._clock() >= self._seen_at + float(spec.get("leaseDurationSeconds") or self._terms.duration)

    def _claim(self, spec: Json) -> Json:
        ours = spec.get("holderIdentity") == self._lease.identity
        return {
            **spec,
            "holderIdentity": self._lease.identity,
            "leaseDurationSeconds": max(1, round(self._terms.duration)),
            "acquireTime": spec.get("acquireTime") if ours else _now(),
            "renewTime": _now(),
            "leaseTransitions": int(spec.get("leaseTransitions") or 0) + (0 if ours or not spec else 1),
        }

    def _pursue(self) -> None:
        acquired = False
        while not self._stopping.is_set():
            ours = self._try()
            if ours and not acquired:
                acquired = True
                _log.info("Leading: holds the Lease %s/%s", self._lease.namespace, self._lease.name)
                self._on_acquired()
            elif acquired and not ours and self._foreign():
                self._lose("somebody else holds the Lease")
                return
            self._stopping.wait(self._terms.retry * (1 + random.random() / 5))  # noqa: S311  not a secret

    def _try(self) -> bool:
        try:
            ours = self.attempt()
        except ClusterError as error:
            if str(error) != self._complaint:  # once, not every two seconds
                _log.warning("Could not ask for the Lease %s/%s: %s", self._lease.namespace, self._lease.name, error)
            self._complaint = str(error)
            return False
        self._complaint = ""
        return ours

    def _foreign(self) -> bool:
        holder = (self._seen or {}).get("holderIdentity")
        return bool(holder) and holder != self._lease.identity

    def _watch(self) -> None:
        while not self._stopping.wait(min(0.5, self._terms.retry / 4)):
            if self._renewed_at is not None and not self.held():
                self._lose(f"could not renew the Lease within {self._terms.renew_within:g} s")
                return

    def _lose(self, why: str) -> None:
        if not self._over.acquire(blocking=False):
            return
        self._stopping.set()
        self._renewed_at = None
        _log.error("Leading no longer: %s", why)
        self._on_lost()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
