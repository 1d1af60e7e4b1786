"""The Prometheus port: raw samples over HTTP, bounded in time and size, and every failure in words.

Only ``SourceError`` leaves this module. It means that nothing is known, not that nothing happened: the window stays
pending and is asked for again.
"""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NoReturn
from urllib.parse import urlsplit

import requests
import urllib3
from requests.auth import AuthBase

from controller.api.reasons import Reason
from controller.observe.counters import Accepts, Sample, Series, is_count
from controller.observe.deadline import DeadlineAdapter, complete_within, innermost

_CHUNK: Final = 65_536
_SHOWN: Final = 200
"""Characters of a foreign text in a message."""
_LONGEST_TOKEN: Final = 65_536

_ADVICE: Final = {
    401: "check the server's bearerTokenFile in the operator's settings",
    403: "check what the token in the server's bearerTokenFile may read",
    404: "check the server's url in the operator's settings, path prefix included",
    429: "the server has too many requests; it is asked again later",
}


_FAULTY_QUERY: Final = frozenset({400, 422})
"""What Prometheus answers to a query that it cannot parse or execute."""


class SourceError(Exception):
    """Prometheus could not be asked, or its answer is no evidence; the window stays pending."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class QueryRejected(SourceError):  # noqa: N818  it is an answer
    """Prometheus was asked, and the question itself is at fault: asking again changes nothing."""


@dataclass(frozen=True)
class PrometheusServer:
    """One of the operator's configured servers; seconds and bytes bound each answer."""

    name: str
    url: str
    scrape: timedelta
    settle: timedelta
    bearer_token_file: str | None = None
    connect_timeout: float = 3.0
    read_timeout: float = 10.0
    max_bytes: int = 16 * 2**20
    trust_env: bool = False
    """Whether proxies and netrc of the operator's environment apply."""


class _Bearer(AuthBase):
    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class Prometheus:
    """Asks one server; safe to use from several threads."""

    def __init__(self, server: PrometheusServer) -> None:
        self.server = server
        self._own = threading.local()
        address = urlsplit(server.url)
        # Messages go into status, where nobody may read a password.
        host = address.netloc.rpartition("@")[2]
        self._shown = f"{server.name!r} at {address.scheme}://{host}{address.path}"

    def instant(self, query: str, at: datetime, *, keep: Accepts = is_count) -> tuple[Series, ...]:
        """Return what the query gives when evaluated at ``at``: a matrix of raw samples, or a vector.

        ``keep`` tells which values a sample may have; the others are counted as lost.

        Raises:
            SourceError: no answer, or none that can be used.
        """
        form = {"query": query, "time": f"{at.timestamp():.3f}", "timeout": f"{self.server.read_timeout:g}s"}
        found = self._ask("POST", "/api/v1/query", form)
        try:
            return _series(found, keep)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self._refuse(f"an answer of unexpected shape ({_short(error)})", "check that url is a Prometheus server's")

    def label_values(self, label: str, selector: str, *, start: datetime, end: datetime) -> tuple[str, ...]:
        """Return the values of a label among the series that existed in that time and match the selector.

        Raises:
            SourceError: no answer, or none that can be used.
        """
        form = {"match[]": selector, "start": f"{start.timestamp():.3f}", "end": f"{end.timestamp():.3f}"}
        found = self._ask("GET", f"/api/v1/label/{label}/values", form)
        if not isinstance(found, list) or not all(isinstance(value, str) for value in found):
            self._refuse("label values of unexpected shape", "check that url is a Prometheus server's")
        return tuple(found)

    def values(self, query: str, at: datetime) -> tuple[float, ...]:
        """Return the numbers that a query gives when evaluated at ``at``: one of a scalar, one per series of a vector.

        Raises:
            QueryRejected: the query cannot be evaluated, or gives something else than numbers.
            SourceError: no answer, or none that can be used.
        """
        form = {"query": query, "time": f"{at.timestamp():.3f}", "timeout": f"{self.server.read_timeout:g}s"}
        found = self._ask("POST", "/api/v1/query", form)
        try:
            return tuple(_sample(*pair)[1] for pair in _pairs(found))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self._reject(f"no numbers ({_short(error)})", "write a query that gives a scalar or an instant vector")

    def types(self, name: str) -> frozenset[str]:
        """Return of which types the pods that are scraped now say that a metric is; empty where nobody says.

        Raises:
            SourceError: no answer, or none that can be used.
        """
        found = self._ask("GET", "/api/v1/metadata", {"metric": name})
        try:
            told = [entry["type"] for entry in found.get(name, ())] if isinstance(found, dict) else None
        except (KeyError, TypeError, AttributeError):
            told = None
        if told is None or not all(isinstance(each, str) for each in told):
            self._refuse("metadata of unexpected shape", "check that url is a Prometheus server's")
        return frozenset(told)

    def _ask(self, method: str, path: str, form: Mapping[str, str]) -> object:
        """Return ``data`` of a successful answer."""
        status, body = self._fetch(method, path, form)
        try:
            answer = json.loads(body, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            answer = None
        if status in _FAULTY_QUERY and isinstance(answer, dict) and answer.get("error"):
            self._reject(f"HTTP {status}: {_short(answer['error'])}", "mend the query")
        if status != requests.codes.ok:
            said = answer.get("error") if isinstance(answer, dict) else _text(body)
            self._refuse(f"HTTP {status}: {_short(said)}", _ADVICE.get(status, "see the log of that server"))
        if not isinstance(answer, dict) or answer.get("status") != "success":
            self._refuse(f"no Prometheus answer but {_short(_text(body))}", "check the server's url in the settings")
        warnings = answer.get("warnings")
        if isinstance(warnings, list) and warnings and all(str(each).startswith("PromQL ") for each in warnings):
            self._reject(f"a warning: {_short(warnings)}", "mend the query")
        if warnings:
            # For plain selectors a warning means that part of the storage was not reached.
            self._refuse(f"an incomplete answer: {_short(warnings)}", "see the log of that server")
        return answer.get("data")

    def _fetch(self, method: str, path: str, form: Mapping[str, str]) -> tuple[int, bytes]:
        server = self.server
        limit = server.connect_timeout + server.read_timeout
        auth = self._auth()
        try:
            with (
                complete_within(limit),
                self._session().request(
                    method,
                    server.url.rstrip("/") + path,
                    data=form if method == "POST" else None,
                    params=form if method == "GET" else None,
                    auth=auth,
                    timeout=(server.connect_timeout, server.read_timeout),
                    stream=True,
                    # A redirect would turn the POST into a GET and might carry the token elsewhere.
                    allow_redirects=False,
                ) as response,
            ):
                return response.status_code, self._body(response)
        except requests.ConnectTimeout:
            self._unreachable(f"did not accept a connection within {server.connect_timeout:g} s")
        except (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError):
            self._unreachable(f"gave no complete answer within {limit:g} s")
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            self._unreachable(f"gave no answer ({_short(innermost(error))})")

    def _body(self, response: requests.Response) -> bytes:
        """Read the answer as it comes; identity is asked for, so that few bytes cannot unfold into many."""
        body = bytearray()
        for piece in response.raw.stream(_CHUNK, decode_content=False):
            body += piece
            if len(body) > self.server.max_bytes:
                self._refuse(
                    f"more than {self.server.max_bytes} bytes",
                    "make the selectors narrower, the series fewer or strategy.interval shorter",
                )
        return bytes(body)

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._own, "session", None)
        if session is None:
            session = self._own.session = requests.Session()
            session.trust_env = self.server.trust_env
            session.headers.update({"Accept": "application/json", "Accept-Encoding": "identity"})
            for scheme in ("http://", "https://"):
                session.mount(scheme, DeadlineAdapter())
        return session

    def _auth(self) -> _Bearer | None:
        """Read the token anew for each request, because mounted tokens are rotated."""
        path = self.server.bearer_token_file
        if not path:
            return None
        try:
            with Path(path).open(encoding="ascii") as file:
                token = file.read(_LONGEST_TOKEN).strip()
        except (OSError, ValueError) as error:
            self._unreachable(f"was not asked, because bearerTokenFile {path} cannot be read: {_short(error)}")
        return _Bearer(token)

    def _unreachable(self, what: str) -> NoReturn:
        message = f"Prometheus {self._shown} {what}; check that it runs and can be reached"
        raise SourceError(Reason.PROMETHEUS_UNREACHABLE, message) from None

    def _reject(self, what: str, advice: str) -> NoReturn:
        message = f"Prometheus {self._shown} was asked and answered {what}; {advice}"
        raise QueryRejected(Reason.PROMETHEUS_ANSWER_INVALID, message) from None

    def _refuse(self, what: str, advice: str) -> NoReturn:
        message = f"Prometheus {self._shown} was asked for counters and answered {what}; {advice}"
        raise SourceError(Reason.PROMETHEUS_ANSWER_INVALID, message) from None


def _series(found: object, keep: Accepts) -> tuple[Series, ...]:
    """Take a matrix or vector apart; anything else raises one of the errors of a wrong shape."""
    if not isinstance(found, dict) or found["resultType"] not in ("matrix", "vector"):
        msg = "neither matrix nor vector"
        raise ValueError(msg)
    return tuple(_one_series(each, keep) for each in found["result"])


def _pairs(found: object) -> list[tuple[object, object]]:
    """Return [time, value] of a scalar, or of each series of a vector."""
    if not isinstance(found, dict) or found["resultType"] not in ("scalar", "vector"):
        msg = "neither scalar nor instant vector"
        raise ValueError(msg)
    return [found["result"]] if found["resultType"] == "scalar" else [each["value"] for each in found["result"]]


def _one_series(each: Mapping[str, object], keep: Accepts) -> Series:
    metric, values, histograms = each["metric"], _samples(each, "value"), _samples(each, "histogram")
    if not isinstance(metric, dict) or not all(isinstance(text, str) for pair in metric.items() for text in pair):
        msg = "labels that are no strings"
        raise TypeError(msg)
    if not values and not histograms:
        msg = "a series without samples"
        raise ValueError(msg)
    read = [_sample(*pair) for pair in values]
    kept = tuple(sorted(sample for sample in read if keep(sample[1])))
    return Series(labels=metric, samples=kept, lost=len(read) - len(kept), native=len(histograms))


def _samples(each: Mapping[str, object], form: str) -> list[tuple[object, object]]:
    """Return the samples of a matrix (``values``) or of a vector (``value``), or of native histograms alike."""
    found = each.get(f"{form}s") if f"{form}s" in each else [each[form]] if form in each else []
    if not isinstance(found, list):
        msg = f"{form}s that are no list"
        raise TypeError(msg)
    return found


def _sample(time: object, value: object) -> Sample:
    if not isinstance(time, int | float) or not isinstance(value, str):
        msg = "a sample that is not [seconds, text]"
        raise TypeError(msg)
    return (float(time), float(value))


def _no_constant(name: str) -> NoReturn:
    """Refuse NaN and Infinity outside of strings: they are no JSON."""
    msg = f"{name} is no JSON"
    raise ValueError(msg)


def _text(body: bytes) -> str:
    return body[: 4 * _SHOWN].decode("utf-8", errors="replace") or "nothing"


def _short(said: object) -> str:
    """Return a foreign text in one printable line of at most ``_SHOWN`` characters."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in str(said)).split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"
