"""The Kubernetes port: JSON objects in, JSON objects out, over the transport of the official client.

Only its configuration (kubeconfig, service account, token refresh) and its connection pool are used. Its typed models
would drop fields that they do not know, and its patch calls guess the content type; here both are explicit. Each call
is bounded in time and in size, and none is retried: the turn that needed it is tried again from a fresh read.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import quote, urlencode

import urllib3
from kubernetes.client.configuration import Configuration
from kubernetes.client.rest import RESTClientObject
from kubernetes.config import ConfigException, load_incluster_config, load_kube_config

from controller.api.names import GROUP, RECORD_PLURAL, ROLLOUT_PLURAL, VERSION

Json = dict[str, Any]

CONNECT_TIMEOUT: Final = 3.0
"""Seconds until a connection must stand."""
READ_TIMEOUT: Final = 10.0
"""Seconds of silence within an answer."""
ANSWER_TIMEOUT: Final = 30.0
"""Seconds until an answer must be complete."""
ANSWER_BYTES: Final = 32 * 2**20
"""Size of an answer, at most."""
PAGE_ITEMS: Final = 250
"""Objects per answer of a list."""
POOL_CONNECTIONS: Final = 32

_CHUNK_BYTES: Final = 64 * 1024
_MESSAGE_BYTES: Final = 500
_JSON: Final = "application/json"
_MERGE_PATCH: Final = "application/merge-patch+json"
_JSON_PATCH: Final = "application/json-patch+json"
_METADATA_LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_USER_AGENT: Final = "modelrollout"  # the API server takes it as the field manager, too


@dataclass(frozen=True)
class Kind:
    """A kind of object as the API server's paths name it; ``group`` is empty for core."""

    group: str
    version: str
    plural: str

    @property
    def base(self) -> str:
        """The path of its group and version."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"


DEPLOYMENTS: Final = Kind("apps", "v1", "deployments")
REPLICA_SETS: Final = Kind("apps", "v1", "replicasets")
PODS: Final = Kind("", "v1", "pods")
NODES: Final = Kind("", "v1", "nodes")
"""Of no namespace: pass an empty one."""
CONFIG_MAPS: Final = Kind("", "v1", "configmaps")
SECRETS: Final = Kind("", "v1", "secrets")
SERVICES: Final = Kind("", "v1", "services")
EVENTS: Final = Kind("", "v1", "events")
HTTP_ROUTES: Final = Kind("gateway.networking.k8s.io", "v1", "httproutes")
JOBS: Final = Kind("batch", "v1", "jobs")
CRON_JOBS: Final = Kind("batch", "v1", "cronjobs")
LEASES: Final = Kind("coordination.k8s.io", "v1", "leases")
AUTOSCALERS: Final = Kind("autoscaling", "v2", "horizontalpodautoscalers")
SCALED_OBJECTS: Final = Kind("keda.sh", "v1alpha1", "scaledobjects")
ROLLOUTS: Final = Kind(GROUP, VERSION, ROLLOUT_PLURAL)
RECORDS: Final = Kind(GROUP, VERSION, RECORD_PLURAL)


class ClusterError(Exception):
    """The API server refused, or could not be asked.

    ``status`` is the HTTP status (0 when there was no answer), ``reason`` the API server's word for it.
    """

    def __init__(self, message: str, *, status: int = 0, reason: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.reason = reason
        self.retry_after = retry_after
        """Seconds that the API server asks to wait."""


class NotFound(ClusterError):  # noqa: N818 - the API's own word
    """The object, or its kind, is not there (404)."""


class Conflict(ClusterError):  # noqa: N818 - the API's own word
    """The object is not what the write was based on (409, or a JSON patch ``test`` that failed)."""


class Forbidden(ClusterError):  # noqa: N818 - the API's own word
    """The operator may not do this (401, 403)."""


class Invalid(ClusterError):  # noqa: N818 - the API's own word
    """The API server does not accept the body (400, 413, 422)."""


class Unavailable(ClusterError):  # noqa: N818 - the API's own word
    """No answer, or one that says to try later (connection, time-out, 429, 5xx)."""


class ClusterPort(Protocol):
    """What the operator asks of an API server; tests wrap it to crash or count at each call."""

    def get(self, kind: Kind, namespace: str, name: str, *, subresource: str = "") -> Json:
        """Return one object."""

    def list(self, kind: Kind, namespace: str | None, *, labels: str = "") -> tuple[Json, ...]:
        """Return all objects of a namespace (None: of all) that the label selector picks."""

    def list_metadata(self, kind: Kind, namespace: str | None, *, labels: str = "") -> tuple[Json, ...]:
        """Return the same objects with nothing but their metadata."""

    def create(self, kind: Kind, namespace: str, body: Json) -> Json:
        """Create an object; ``Conflict`` when the name is taken."""

    def merge_patch(self, kind: Kind, namespace: str, name: str, body: Json, *, subresource: str = "") -> Json:
        """Apply a merge patch; with ``metadata.resourceVersion`` in it, ``Conflict`` when somebody wrote meanwhile."""

    def json_patch(
        self, kind: Kind, namespace: str, name: str, operations: Sequence[Json], *, subresource: str = ""
    ) -> Json:
        """Apply a JSON patch; ``Conflict`` when one of its tests fails."""

    def replace(self, kind: Kind, namespace: str, name: str, body: Json) -> Json:
        """Replace an object that belongs to the operator wholly (the Lease)."""

    def delete(self, kind: Kind, namespace: str, name: str) -> None:
        """Delete an object; ``NotFound`` when it is gone already."""


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


class Cluster:
    """The port on a real API server; safe to share between threads.

    All methods raise ``NotFound``, ``Conflict``, ``Forbidden``, ``Invalid``, ``Unavailable`` or plain ``ClusterError``.
    """

    def __init__(self, configuration: Configuration) -> None:
        # The pool must not repeat a write on its own: only the turn knows whether it still wants it.
        configuration.retries = False
        configuration.keep_alive = True
        configuration.connection_pool_maxsize = POOL_CONNECTIONS
        self._configuration = configuration
        self._pool: urllib3.PoolManager = RESTClientObject(configuration).pool_manager
        self._login = threading.Lock()

    def get(self, kind: Kind, namespace: str, name: str, *, subresource: str = "") -> Json:
        """Return one object."""
        return self._call("GET", _path(kind, namespace, name, subresource))

    def list(self, kind: Kind, namespace: str | None, *, labels: str = "") -> tuple[Json, ...]:
        """Return all objects of a namespace (None: of all) that the label selector picks."""
        return self._pages(_path(kind, namespace), labels=labels, accept=_JSON)

    def list_metadata(self, kind: Kind, namespace: str | None, *, labels: str = "") -> tuple[Json, ...]:
        """Return the same objects with nothing but their metadata."""
        return self._pages(_path(kind, namespace), labels=labels, accept=_METADATA_LIST)

    def create(self, kind: Kind, namespace: str, body: Json) -> Json:
        """Create an object; ``Conflict`` when the name is taken."""
        return self._call("POST", _path(kind, namespace), body=body, content_type=_JSON)

    def merge_patch(self, kind: Kind, namespace: str, name: str, body: Json, *, subresource: str = "") -> Json:
        """Apply a merge patch; with ``metadata.resourceVersion`` in it, ``Conflict`` when somebody wrote meanwhile."""
        path = _path(kind, namespace, name, subresource)
        return self._call("PATCH", path, body=body, content_type=_MERGE_PATCH)

    def json_patch(
        self, kind: Kind, namespace: str, name: str, operations: Sequence[Json], *, subresource: str = ""
    ) -> Json:
        """Apply a JSON patch; ``Conflict`` when one of its tests fails."""
        path = _path(kind, namespace, name, subresource)
        return self._call("PATCH", path, body=operations, content_type=_JSON_PATCH)

    def replace(self, kind: Kind, namespace: str, name: str, body: Json) -> Json:
        """Replace an object that belongs to the operator wholly (the Lease)."""
        return self._call("PUT", _path(kind, namespace, name), body=body, content_type=_JSON)

    def delete(self, kind: Kind, namespace: str, name: str) -> None:
        """Delete an object; ``NotFound`` when it is gone already."""
        self._call("DELETE", _path(kind, namespace, name))

    def _pages(self, path: str, *, labels: str, accept: str) -> tuple[Json, ...]:
        query = {"limit": str(PAGE_ITEMS)} | ({"labelSelector": labels} if labels else {})
        items: list[Json] = []
        while True:
            page = self._call("GET", f"{path}?{urlencode(query)}", accept=accept)
            items += [_slim(item) for item in page.get("items") or ()]
            following = page.get("metadata", {}).get("continue")
            if not following:
                return tuple(items)
            query["continue"] = following

    def _call(
        self, method: str, path: str, *, body: object = None, content_type: str = "", accept: str = _JSON
    ) -> Json:
        headers = {"Accept": accept, "User-Agent": _USER_AGENT} | self._authorization()
        if content_type:
            headers["Content-Type"] = content_type
        encoded = None if body is None else json.dumps(body).encode()
        call = f"{method} {path.partition('?')[0]}"
        answer = self._exchange(call, path=path, headers=headers, body=encoded)
        if not 200 <= answer.status < 300:
            raise _error(call, answer, content_type=content_type)
        return _slim(_object(call, answer))

    def _authorization(self) -> dict[str, str]:
        """Return the token as a header; the configuration reads it again when it is about to expire."""
        with self._login:
            token = self._configuration.auth_settings().get("BearerToken")
        return {"Authorization": token["value"]} if token and token["value"] else {}

    def _exchange(self, call: str, *, path: str, headers: dict[str, str], body: bytes | None) -> _Answer:
        try:
            response = self._pool.request(
                call.partition(" ")[0],
                self._configuration.host.rstrip("/") + path,
                headers=headers,
                body=body,
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT, read=READ_TIMEOUT),
                retries=False,
                redirect=False,
                preload_content=False,
            )
            return _read(call, response, clock=time.monotonic)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            msg = f"{call}: the API server could not be asked: {error}"
            raise Unavailable(msg) from error


def connect(kubeconfig: str | None) -> Cluster:
    """Return the port to the cluster of ``kubeconfig``, else of the pod's service account, else of kubectl.

    Raises:
        ClusterError: when none of them tells where the cluster is.
    """
    configuration = Configuration()
    try:
        if kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ:
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            load_kube_config(  # type: ignore[no-untyped-call]
                kubeconfig, client_configuration=configuration, persist_config=False
            )
    except (ConfigException, OSError) as error:
        where = kubeconfig or "the pod's service account or kubectl's configuration"
        msg = f"expected access to a cluster by {where}: {error}; pass --kubeconfig FILE"
        raise ClusterError(msg) from error
    return Cluster(configuration)


def _path(kind: Kind, namespace: str | None, name: str = "", subresource: str = "") -> str:
    parts = ["namespaces", namespace] if namespace else []
    parts += [part for part in (kind.plural, name, subresource) if part]
    return "/".join((kind.base, *(quote(part, safe="") for part in parts)))


def _slim(body: Json) -> Json:
    """Drop what nobody here reads and what is often the larger half of an object.

    Of configuration it is kept: nothing else tells when its content was edited.
    """
    if body.get("kind") in ("ConfigMap", "Secret"):
        return body
    if isinstance(metadata := body.get("metadata"), dict):
        metadata.pop("managedFields", None)
    return body


def _read(call: str, response: urllib3.BaseHTTPResponse, *, clock: Callable[[], float]) -> _Answer:
    """Read the answer in small pieces, so that neither a flood nor a trickle holds a worker."""
    end = clock() + ANSWER_TIMEOUT
    body = bytearray()
    try:
        while piece := response.read1(_CHUNK_BYTES):
            body += piece
            if len(body) > ANSWER_BYTES or clock() > end:
                response.close()
                msg = f"{call}: expected an answer within {ANSWER_TIMEOUT:.0f} s and {ANSWER_BYTES >> 20} MiB"
                raise Unavailable(msg, status=response.status)
    finally:
        response.release_conn()
    return _Answer(response.status, response.headers, bytes(body))


def _object(call: str, answer: _Answer) -> Json:
    try:
        body = json.loads(answer.body)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        found = answer.headers.get("Content-Type", "no content type")
        msg = f"{call}: expected a JSON object from the API server, found {found}: {answer.body[:80]!r}"
        raise Unavailable(msg, status=answer.status)
    return body


_CLASSES: Final[dict[int, type[ClusterError]]] = {
    400: Invalid,
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: Invalid,
    422: Invalid,
    429: Unavailable,
}


def _error(call: str, answer: _Answer, *, content_type: str) -> ClusterError:
    """Translate an answer that is no success; it need not come from an API server (proxies answer HTML)."""
    try:
        status = json.loads(answer.body)
    except ValueError:
        status = {}
    status = status if isinstance(status, dict) else {}
    message = status.get("message") or answer.body[:_MESSAGE_BYTES].decode(errors="replace")
    default = Unavailable if answer.status >= 500 else ClusterError
    kind = _CLASSES.get(answer.status, default)
    # A JSON patch that does not apply is refused without details; a result that is not valid names what is wrong.
    if content_type == _JSON_PATCH and answer.status == 422 and not status.get("details"):
        kind, message = Conflict, "the object is not what the patch was based on"
    return kind(
        f"{call}: {answer.status}: {message[:_MESSAGE_BYTES]}",
        status=answer.status,
        reason=status.get("reason", ""),
        retry_after=_seconds(answer.headers.get("Retry-After", "")),
    )


def _seconds(text: str) -> float | None:
    return float(text) if text.isdigit() else None
