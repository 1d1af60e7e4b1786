"""What became of every request, by the version that answered it."""

import time
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from threading import Lock
from typing import TypedDict

NOBODY = "none"
"""The version of a request that no version answered."""

_KEPT_FAILURES = 20


class VersionStats(TypedDict):
    """What one version did with the requests it got. Times are Unix seconds; None: no failure yet.

    `requests` = `ok` + `http_errors` + `connection_errors`; `labelled` = answers whose truth was known;
    `incorrect` of them were wrong.
    """

    requests: int
    ok: int
    http_errors: int
    connection_errors: int
    labelled: int
    incorrect: int
    first_failure: float | None
    last_failure: float | None


class Failure(TypedDict):
    """One failed request. Time is Unix seconds."""

    at: float
    version: str
    reason: str


class Stats(TypedDict):
    """All that is known about the traffic so far.

    `missed` requests were due while every connection was busy and were never sent; `failed_requests` counts all
    `http_errors` and `connection_errors`; `failures` holds the newest of them.
    """

    seconds: float
    requests: int
    failed_requests: int
    missed: int
    feedback: dict[str, int]
    versions: dict[str, VersionStats]
    failures: list[Failure]


@dataclass(slots=True)
class _Counts:
    numbers: Counter[str] = field(default_factory=Counter)
    first_failure: float | None = None
    last_failure: float | None = None

    def stats(self) -> VersionStats:
        ok, http, connection = (self.numbers[name] for name in ("ok", "http_errors", "connection_errors"))
        return VersionStats(
            requests=ok + http + connection,
            ok=ok,
            http_errors=http,
            connection_errors=connection,
            labelled=self.numbers["labelled"],
            incorrect=self.numbers["incorrect"],
            first_failure=self.first_failure,
            last_failure=self.last_failure,
        )


class Ledger:
    """Counts what became of requests; safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._started: float | None = None
        self._counts: defaultdict[str, _Counts] = defaultdict(_Counts)
        self._failures: deque[Failure] = deque(maxlen=_KEPT_FAILURES)
        self._feedback = {"posted": 0, "failed": 0}
        self._missed = 0

    def start(self) -> None:
        """Time runs from now on."""
        self._started = time.monotonic()

    def count_answer(self, version: str, *, prediction: int, label: int | None) -> None:
        """Count a request that was answered; `label` is the true answer, if known."""
        with self._lock:
            numbers = self._counts[version].numbers
            numbers["ok"] += 1
            if label is not None:
                numbers["labelled"] += 1
                numbers["incorrect"] += prediction != label

    def count_http_error(self, version: str, reason: str) -> None:
        """Count a request that was answered with an error, or with something that is no prediction."""
        self._count_failure(version, "http_errors", reason)

    def count_connection_error(self, reason: str) -> None:
        """Count a request that was not answered at all."""
        self._count_failure(NOBODY, "connection_errors", reason)

    def _count_failure(self, version: str, kind: str, reason: str) -> None:
        now = round(time.time(), 3)
        with self._lock:
            counts = self._counts[version]
            counts.numbers[kind] += 1
            counts.first_failure = counts.first_failure or now
            counts.last_failure = now
            self._failures.append(Failure(at=now, version=version, reason=reason))

    def count_missed(self) -> None:
        """Count a request that was due while every connection was busy."""
        with self._lock:
            self._missed += 1

    def count_feedback(self, result: str) -> None:
        """Count one label sent back; `result` is posted or failed."""
        with self._lock:
            self._feedback[result] += 1

    def stats(self) -> Stats:
        """Everything counted so far."""
        with self._lock:
            versions = {version: counts.stats() for version, counts in sorted(self._counts.items())}
            return Stats(
                seconds=round(time.monotonic() - self._started, 3) if self._started is not None else 0.0,
                requests=sum(counts["requests"] for counts in versions.values()),
                failed_requests=sum(
                    counts["http_errors"] + counts["connection_errors"] for counts in versions.values()
                ),
                missed=self._missed,
                feedback=dict(self._feedback),
                versions=versions,
                failures=list(self._failures),
            )


def exposition(stats: Stats) -> bytes:
    """The counts in Prometheus' text format; other names than a model's own, so that no judge counts them twice."""
    lines = ["# TYPE demo_client_requests_total counter"]
    for version, counts in stats["versions"].items():
        outcomes = {
            "ok": counts["ok"],
            "http_error": counts["http_errors"],
            "connection_error": counts["connection_errors"],
        }
        lines += [
            f'demo_client_requests_total{{version="{version}",outcome="{outcome}"}} {count}'
            for outcome, count in outcomes.items()
        ]
    lines.append("# TYPE demo_client_incorrect_total counter")
    lines += [
        f'demo_client_incorrect_total{{version="{version}"}} {counts["incorrect"]}'
        for version, counts in stats["versions"].items()
    ]
    lines += ["# TYPE demo_client_missed_total counter", f"demo_client_missed_total {stats['missed']}"]
    return ("\n".join(lines) + "\n").encode()
