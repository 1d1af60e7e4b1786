"""The MLflow port: what a registered model version carries, over the tracking server's REST API.

Bounded in time and size, without redirects, and only to servers of the operator's settings: whoever may write a
ModelRollout cannot make the operator ask an address, or send a token to one.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

import requests
import urllib3

from controller.api.verify import MlflowModel
from controller.observe.deadline import DeadlineAdapter, complete_within, innermost
from controller.plan.verify.findings import shortened
from controller.plan.verify.provenance import MARKS

ANSWER_BYTES: Final = 4 * 2**20
"""Size of an answer, at most; a run of 10,000 parameters and tags stays below."""
ANSWER_SECONDS: Final = 10.0
"""Seconds until an answer must be complete."""
CONNECT_SECONDS: Final = 3.0

COMMIT_TAG: Final = "mlflow.source.git.commit"
IMAGE_TAG: Final = "mlflow.docker.image.id"
CONTEXT_TAG: Final = "mlflow.data.context"
"""On a dataset that a run used: ``training``, ``eval`` and the like."""

_API: Final = "api/2.0/mlflow"
_CHUNK: Final = 65_536
_LONGEST_TOKEN: Final = 65_536
_LONGEST_VALUE: Final = 253
_SHOWN: Final = 160

_Json = dict[str, Any]


class MlflowError(Exception):
    """Nothing was learned; the message says what was asked, what came back and what to do.

    ``passing`` tells whether asking again later may help.
    """

    def __init__(self, message: str, *, passing: bool) -> None:
        super().__init__(message)
        self.message = message
        self.passing = passing


@dataclass(frozen=True)
class MlflowServer:
    """One of the operator's configured tracking servers."""

    url: str
    bearer_token_file: str | None = None


def read_mlflow(model: MlflowModel, *, servers: Sequence[MlflowServer]) -> dict[str, str]:
    """Return what a model version and its run carry, by the name in YAML; docs/provenance.md says from where.

    Raises:
        MlflowError: the server is not configured, does not answer, or knows no such model version.
    """
    server = next((each for each in servers if _shown(each.url) == model.tracking_uri.rstrip("/")), None)
    if server is None:
        configured = ", ".join(_shown(each.url) for each in servers) or "there is none"
        msg = f"{model.tracking_uri} is no MLflow server of the operator's settings ({configured}); add it to mlflow"
        raise MlflowError(msg, passing=False)
    with _Session(server) as session:
        asked = {"name": model.model, "version": model.version}
        version = _object(session.get("model-versions/get", asked), "model_version")
        run_id = version.get("run_id")
        run = _object(session.get("runs/get", {"run_id": str(run_id)}), "run") if run_id else {}
    return _carried(version, run)


def _carried(version: _Json, run: _Json) -> dict[str, str]:
    """Return what is carried; the project's own marks come before what MLflow writes by itself."""
    content = run.get("data") or {}
    tags, params = _pairs(content.get("tags")), _pairs(content.get("params"))
    own = (_pairs(version.get("tags")), tags, params)
    found = {
        "codeRevision": tags.get(COMMIT_TAG),
        "dataDigest": _training_data((run.get("inputs") or {}).get("dataset_inputs")),
        "environmentDigest": tags.get(IMAGE_TAG),
    }
    for name, mark in MARKS.items():
        told = (each[key] for each in own for key in (mark, name) if key in each)
        found[name] = next(told, found.get(name))
    return {name: value[:_LONGEST_VALUE] for name, value in found.items() if value}


def _training_data(inputs: object) -> str | None:
    """Return the digest of the one dataset that a run was trained with; None where that is not one."""
    used = [each for each in inputs if isinstance(each, dict)] if isinstance(inputs, list) else []
    training = [each for each in used if _pairs(each.get("tags")).get(CONTEXT_TAG) == "training"]
    digests = {str((each.get("dataset") or {}).get("digest") or "") for each in training or used}
    return digests.pop() or None if len(digests) == 1 else None


def _pairs(entries: object) -> Mapping[str, str]:
    """Return MLflow's lists of key and value as a mapping; what has another shape is left out."""
    listed: Iterable[object] = entries if isinstance(entries, list) else ()
    return {str(each["key"]): str(each["value"]) for each in listed if isinstance(each, dict) and "value" in each}


def _object(answer: _Json, name: str) -> _Json:
    found = answer.get(name)
    if not isinstance(found, dict):
        msg = f"expected {name} in MLflow's answer, found {shortened(json.dumps(answer), _SHOWN)}"
        raise MlflowError(msg, passing=False)
    return found


def _shown(url: str) -> str:
    """Return an address without the password that the operator's settings may hold: messages go into status."""
    address = urlsplit(url)
    return f"{address.scheme}://{address.netloc.rpartition('@')[2]}{address.path}".rstrip("/")


class _Session:
    """Asks one server a few questions."""

    def __init__(self, server: MlflowServer) -> None:
        self._server = server
        self._session = requests.Session()
        # Proxies and netrc of the environment would carry the question, and the token, elsewhere.
        self._session.trust_env = False
        self._session.headers.update({"Accept": "application/json", "Accept-Encoding": "identity"})
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, DeadlineAdapter())

    def __enter__(self) -> "_Session":
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def get(self, path: str, query: Mapping[str, str]) -> _Json:
        """Return the answer to a question."""
        status, body = self._fetch(path, query)
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            answer = None
        if status != requests.codes.ok:
            said = answer.get("message") if isinstance(answer, dict) else body[:_SHOWN].decode(errors="replace")
            passing = status >= 500 or status == requests.codes.too_many_requests
            self._fail(f"HTTP {status}: {shortened(str(said), _SHOWN)}", path, passing=passing)
        if not isinstance(answer, dict):
            self._fail(f"no JSON object but {body[:_SHOWN]!r}", path, passing=False)
        return answer

    def _fetch(self, path: str, query: Mapping[str, str]) -> tuple[int, bytes]:
        url = f"{self._server.url.rstrip('/')}/{_API}/{path}"
        try:
            with (
                complete_within(ANSWER_SECONDS),
                self._session.get(
                    url,
                    params=dict(query),
                    headers=self._authorization(path),
                    timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
                    stream=True,
                    allow_redirects=False,
                ) as response,
            ):
                return response.status_code, self._body(response, path)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            said = shortened(innermost(error), _SHOWN)
            self._fail(f"nothing complete within {ANSWER_SECONDS:.0f} s ({said})", path, passing=True)

    def _body(self, response: requests.Response, path: str) -> bytes:
        body = bytearray()
        for piece in response.raw.stream(_CHUNK, decode_content=False):
            body += piece
            if len(body) > ANSWER_BYTES:
                self._fail(f"more than {ANSWER_BYTES >> 20} MiB", path, passing=False)
        return bytes(body)

    def _authorization(self, path: str) -> dict[str, str]:
        """Read the token anew for each question, because mounted tokens are rotated."""
        file = self._server.bearer_token_file
        if not file:
            return {}
        try:
            with Path(file).open(encoding="ascii") as opened:
                return {"Authorization": f"Bearer {opened.read(_LONGEST_TOKEN).strip()}"}
        except (OSError, ValueError) as error:
            self._fail(f"nothing, because bearerTokenFile {file} cannot be read ({error})", path, passing=True)

    def _fail(self, what: str, path: str, *, passing: bool) -> NoReturn:
        msg = f"MLflow at {_shown(self._server.url)} was asked for {path} and answered {what}"
        raise MlflowError(msg, passing=passing) from None
