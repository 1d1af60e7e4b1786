"""The informer: everything that knows kopf.

kopf logs in, lists, watches, resumes and re-lists; of its handlers only ``on.event`` is used, which writes nothing to
any object. Its own persistence (annotations, finalizers, change detection) is switched off in substance: the storages
below hold nothing, and the finalizer that it would *remove* where no handler needs it bears a name of its own.
"""

import asyncio
import logging
import os
import random
from collections.abc import Callable, Iterator, Sequence
from threading import Event, Thread
from typing import Any, Final, cast

import kopf

from controller.api.names import GROUP
from controller.observe.cluster import DEPLOYMENTS, HTTP_ROUTES, PODS, ROLLOUTS, SERVICES, Json, Kind
from controller.run.dispatch import Dispatch
from controller.run.index import Referent

_LONGEST_BACKOFF: Final = 60.0

_UNUSED_FINALIZER: Final = f"{GROUP}/informer"
"""On no object, ever. kopf takes away a finalizer of its configured name wherever none of its own handlers needs one,
so this must not be ``controller.api.names.FINALIZER``."""

_log = logging.getLogger(__name__)


class Informer:
    """Watches the cluster in a thread of its own and tells the dispatch.

    It logs in by the file that KUBECONFIG names, else by the pod's service account, else by kubectl's usual file.

    Args:
        dispatch: hears of every event.
        namespaces: what to watch; empty means the whole cluster.
        ended: called when it ends without having been asked to.
    """

    def __init__(self, dispatch: Dispatch, *, namespaces: Sequence[str], ended: Callable[[], None]) -> None:
        self._registry = _registry(dispatch)
        self._namespaces = namespaces
        self._ended = ended
        self._stopping = Event()
        self._asked = False
        self._thread = Thread(target=self._run, name="informer", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self, grace: float) -> None:
        """Stop watching and wait for the end for at most ``grace`` seconds."""
        self._asked = True
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(grace)

    def _run(self) -> None:
        try:
            asyncio.run(self._operate())
        except Exception:
            _log.exception("The informer failed")
        if not self._asked:
            self._ended()

    async def _operate(self) -> None:
        try:
            await kopf.operator(
                registry=self._registry,
                settings=_settings(self._namespaces),
                standalone=True,
                clusterwide=not self._namespaces,
                namespaces=list(self._namespaces),
                stop_flag=self._stopping,
            )
        finally:
            self._stopping.set()  # kopf waits for it in a thread that would otherwise outlive the loop


def _registry(dispatch: Dispatch) -> kopf.OperatorRegistry:
    """Return the handlers: each only looks up who is concerned, so none ever blocks the loop."""

    def rollout(event: str | None, thing: Json) -> None:
        if event == "DELETED":
            dispatch.rollout_gone(thing)
        else:
            dispatch.rollout(thing)

    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(_login)
    _on_event(registry, ROLLOUTS, rollout)
    _on_event(registry, DEPLOYMENTS, lambda _, thing: dispatch.referent(Referent.DEPLOYMENT, thing))
    _on_event(registry, SERVICES, lambda _, thing: dispatch.referent(Referent.SERVICE, thing))
    _on_event(registry, HTTP_ROUTES, lambda _, thing: dispatch.referent(Referent.HTTP_ROUTE, thing))
    _on_event(registry, PODS, lambda _, thing: dispatch.pod(thing))
    return registry


def _on_event(registry: kopf.OperatorRegistry, kind: Kind, react: Callable[[str | None, Json], None]) -> None:
    async def saw(event: kopf.RawEvent, **_: object) -> None:
        react(event["type"], cast("Json", event["object"]))

    kopf.on.event(group=kind.group, version=kind.version, plural=kind.plural, id=kind.plural, registry=registry)(saw)


async def _login(**context: Any) -> kopf.ConnectionInfo | None:
    if os.environ.get("KUBECONFIG"):
        return kopf.login_with_kubeconfig(**context)
    return kopf.login_with_service_account(**context) or kopf.login_with_kubeconfig(**context)


def _settings(namespaces: Sequence[str]) -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = bool(namespaces)  # with named namespaces nothing cluster-wide may be listed
    settings.posting.enabled = False
    settings.process.ultimate_exiting_timeout = None  # the process that embeds it sees to its own end
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.networking.error_backoffs = _Backoffs()
    settings.networking.enforce_retry_after = True
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 310
    settings.watching.connect_timeout = 5
    settings.watching.chunk_size = 100
    settings.watching.initial_streaming = False  # Kubernetes 1.34 and later only
    settings.queueing.worker_limit = None
    settings.queueing.idle_timeout = 0.01  # each object's worker holds its newest event, whole, until it goes
    settings.persistence.finalizer = _UNUSED_FINALIZER
    settings.persistence.diffbase_storage = _NoDiffs()
    settings.persistence.progress_storage = _NoProgress()
    return settings


class _Backoffs:
    """Seconds between tries, without end: the watch must outlive any outage and any mistake in the RBAC rules."""

    def __iter__(self) -> Iterator[float]:
        longest = 1.0
        while True:
            yield longest * random.uniform(0.5, 1)  # noqa: S311  not a secret
            longest = min(_LONGEST_BACKOFF, longest * 2)


class _NoDiffs(kopf.DiffBaseStorage):
    """No change detection; also spares a deep copy of each object in each event."""

    def build(self, **_: object) -> kopf.BodyEssence:
        return cast("kopf.BodyEssence", {})

    def fetch(self, **_: object) -> None:
        return None

    def store(self, **_: object) -> None:
        return None


class _NoProgress(kopf.ProgressStorage):
    """No handler has any progress to keep."""

    def fetch(self, **_: object) -> None:
        return None

    def store(self, **_: object) -> None:
        return None

    def purge(self, **_: object) -> None:
        return None

    def touch(self, **_: object) -> None:
        return None

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence
