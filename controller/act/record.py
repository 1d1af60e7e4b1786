"""RolloutRecords: rows that are written once and read by everybody, in pages that close.

Any number of operators may write at once. Rows are keyed, every write is conditional on the page's version, and
whether a page is full follows from its content alone: who sees it full opens the next one, and nobody can add a row to
a page that somebody else has seen full. So each key is stored once, and the first writer of a key wins.
"""

import hashlib
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from controller.api.names import API_VERSION, EPOCH_LABEL, RECORD_KIND, ROLLOUT_LABEL
from controller.api.record import PAGE_WINDOWS, FrozenAnalysis, RecordedDecision, RecordedWindow, RolloutRecordSpec
from controller.api.status import Revision
from controller.observe.cluster import RECORDS, ClusterPort, Conflict, Json, NotFound
from controller.plan.situation import Outcome

PAGE_BYTES: Final = 176 * 1024
"""Size of its JSON at which a page is full; the largest row still fits below 200 KiB."""
PAGE_DECISIONS: Final = 200
CONFLICTS: Final = 20
"""How often a write is tried again because somebody else wrote the page meanwhile."""
PAGES_KEPT: Final = 64
"""Closed pages that are kept in memory."""

_NAME_LENGTH: Final = 253
_LABEL_LENGTH: Final = 63
_SUFFIX_LENGTH: Final = 40


@dataclass(frozen=True)
class RecordKey:
    """One epoch of one ModelRollout; another one of the same name has another uid."""

    namespace: str
    rollout: str
    uid: str
    epoch: int


@dataclass(frozen=True)
class Record:
    """All pages of an epoch as one."""

    frozen: FrozenAnalysis
    stable: Revision
    candidate: Revision
    windows: tuple[RecordedWindow, ...]
    decisions: tuple[RecordedDecision, ...]
    verdict: Outcome | None


@dataclass(frozen=True)
class _Page:
    """A stored page; ``full`` ones never change again."""

    name: str
    version: str
    size: int
    spec: RolloutRecordSpec

    @property
    def full(self) -> bool:
        """Whether the next row belongs on the next page."""
        crowded = len(self.spec.windows) >= PAGE_WINDOWS or len(self.spec.decisions) >= PAGE_DECISIONS
        return crowded or self.size >= PAGE_BYTES


@dataclass(frozen=True)
class _Addition:
    """What is to be added to the last page."""

    windows: tuple[RecordedWindow, ...] = ()
    decisions: tuple[RecordedDecision, ...] = ()
    verdict: Outcome | None = None


class RecordKeeper:
    """Writes and reads the records of all rollouts; safe to share between threads.

    The cluster's errors pass through. ``NotFound`` from anything but ``read`` means that the record was deleted.
    """

    def __init__(self, cluster: ClusterPort) -> None:
        self._cluster = cluster
        self._closed: OrderedDict[tuple[RecordKey, int], _Page] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, namespace: str, page: RolloutRecordSpec) -> Record:
        """Store page 0 of an epoch, unless it is there, and return what is stored.

        Who opened the epoch first has fixed its analysis. Only a page that speaks of other revisions or of another
        analysis and holds nothing yet is replaced: it was left by an operator that ended before it could commit.
        """
        key = RecordKey(namespace, page.rollout, page.rollout_uid, page.epoch)
        stored = self._pages(key)
        if not stored:
            try:
                return _record([self._create(key, page)])
            except Conflict:
                stored = self._existing(key)
        first = stored[0].spec
        unused = len(stored) == 1 and not (first.windows or first.decisions or first.verdict)
        if unused and not _same_trial(first, page):
            operations = [_version_test(stored[0]), {"op": "replace", "path": "/spec", "value": page.to_json()}]
            stored = [_page(self._cluster.json_patch(RECORDS, namespace, stored[0].name, operations))]
        return _record(stored)

    def read(self, key: RecordKey) -> Record | None:
        """Return the record as it is stored, or None when there is none."""
        pages = self._pages(key)
        return _record(pages) if pages else None

    def append(self, key: RecordKey, windows: Sequence[RecordedWindow]) -> Record:
        """Store the windows whose keys are not stored yet, in this order, and return the record as it is stored.

        A window whose key was stored before is as it was stored then: the first writer wins.
        """

        def missing(pages: list[_Page]) -> _Addition | None:
            known = {window.key for page in pages for window in page.spec.windows}
            new = [window for window in windows if window.key not in known]
            return _Addition(windows=tuple(_fitting(new, pages[-1]))) if new else None

        return _record(self._extend(key, missing))

    def note(self, key: RecordKey, decision: RecordedDecision) -> None:
        """Store a decision, unless the very same one is stored."""

        def missing(pages: list[_Page]) -> _Addition | None:
            known = (each.to_json() for page in pages for each in page.spec.decisions)
            return None if decision.to_json() in known else _Addition(decisions=(decision,))

        self._extend(key, missing)

    def close(self, key: RecordKey, verdict: Outcome) -> None:
        """Store how the epoch ended, unless an end is stored."""

        def missing(pages: list[_Page]) -> _Addition | None:
            return None if any(page.spec.verdict for page in pages) else _Addition(verdict=verdict)

        self._extend(key, missing)

    def highest_epoch(self, namespace: str, rollout: str) -> int:
        """Return the highest epoch that any ModelRollout of this name has a record of; 0 without records.

        A re-created ModelRollout counts on from here, so that its records do not meet those of its predecessor.
        """
        return max((_epoch_of(each) for each in self._all(namespace, rollout)), default=0)

    def prune(self, namespace: str, rollout: str, *, keep: int) -> int:
        """Delete the records of all but the newest ``keep`` epochs; return how many pages went."""
        pages = self._all(namespace, rollout)
        kept = sorted({_epoch_of(each) for each in pages}, reverse=True)[:keep]
        old = [each["metadata"]["name"] for each in pages if _epoch_of(each) not in kept]
        for name in old:
            try:
                self._cluster.delete(RECORDS, namespace, name)
            except NotFound:
                continue  # somebody else pruned it
        return len(old)

    def _all(self, namespace: str, rollout: str) -> tuple[Json, ...]:
        return self._cluster.list_metadata(RECORDS, namespace, labels=f"{ROLLOUT_LABEL}={label_value(rollout)}")

    def _pages(self, key: RecordKey) -> list[_Page]:
        pages: list[_Page] = []
        while (page := self._get(key, len(pages))) is not None:
            pages.append(page)
            if not page.full:
                break
        return pages

    def _existing(self, key: RecordKey) -> list[_Page]:
        pages = self._pages(key)
        if not pages:
            msg = f"the record of epoch {key.epoch} of ModelRollout {key.namespace}/{key.rollout} is gone"
            raise NotFound(msg, status=404)
        return pages

    def _get(self, key: RecordKey, number: int) -> _Page | None:
        with self._lock:
            if (closed := self._closed.get((key, number))) is not None:
                self._closed.move_to_end((key, number))
                return closed
        for name in _names(key, number):
            try:
                page = _page(self._cluster.get(RECORDS, key.namespace, name))
            except NotFound:
                continue
            if page.spec.rollout_uid == key.uid:
                self._keep(key, page)
                return page
        return None

    def _keep(self, key: RecordKey, page: _Page) -> None:
        if page.full:
            with self._lock:
                self._closed[key, page.spec.page] = page
                if len(self._closed) > PAGES_KEPT:
                    self._closed.popitem(last=False)

    def _extend(self, key: RecordKey, missing: Callable[[list[_Page]], _Addition | None]) -> list[_Page]:
        """Add what ``missing`` finds missing until it finds nothing; return the pages that it looked at last."""
        conflicts = 0
        while True:
            pages = self._existing(key)
            addition = missing(pages)
            if addition is None:
                return pages
            try:
                self._add(key, pages, addition)
            except Conflict:
                conflicts += 1
                if conflicts > CONFLICTS:
                    raise

    def _add(self, key: RecordKey, pages: list[_Page], addition: _Addition) -> None:
        last = pages[-1]
        if last.full:
            page = pages[0].spec.model_copy(
                update={
                    "page": len(pages),
                    "windows": addition.windows,
                    "decisions": addition.decisions,
                    "verdict": addition.verdict,
                }
            )
            self._create(key, page)
            return
        operations = [_version_test(last), *_addition_operations(addition)]
        self._cluster.json_patch(RECORDS, key.namespace, last.name, operations)

    def _create(self, key: RecordKey, page: RolloutRecordSpec) -> _Page:
        """Create a page; a name that a namesake's record holds is left to it.

        Raises:
            Conflict: another operator created this page first.
        """
        plain, fallback = _names(key, page.page)
        try:
            return _page(self._cluster.create(RECORDS, key.namespace, _body(plain, page)))
        except Conflict:
            if self._get(key, page.page) is not None:
                raise
        return _page(self._cluster.create(RECORDS, key.namespace, _body(fallback, page)))


def label_value(rollout: str) -> str:
    """Return a rollout's name as a label value, which may only be a quarter as long."""
    if len(rollout) <= _LABEL_LENGTH:
        return rollout
    return f"{rollout[: _LABEL_LENGTH - 11].rstrip('-.')}-{_digest(rollout)}"


def _names(key: RecordKey, number: int) -> tuple[str, str]:
    """Return the usual name of a page, and the one that is used when a namesake's record holds that."""
    rollout = key.rollout
    if len(rollout) > _NAME_LENGTH - _SUFFIX_LENGTH:
        rollout = f"{rollout[: _NAME_LENGTH - _SUFFIX_LENGTH - 11].rstrip('-.')}-{_digest(rollout)}"
    return f"{rollout}-{key.epoch}-{number}", f"{rollout}-{key.epoch}-{_digest(key.uid)}-{number}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _body(name: str, page: RolloutRecordSpec) -> Json:
    labels = {ROLLOUT_LABEL: label_value(page.rollout), EPOCH_LABEL: str(page.epoch)}
    metadata = {"name": name, "labels": labels}
    return {"apiVersion": API_VERSION, "kind": RECORD_KIND, "metadata": metadata, "spec": page.to_json()}


def _page(body: Json) -> _Page:
    metadata, spec = body["metadata"], body["spec"]
    return _Page(
        name=metadata["name"],
        version=metadata["resourceVersion"],
        size=_size(spec),
        spec=RolloutRecordSpec.model_validate(spec),
    )


def _record(pages: list[_Page]) -> Record:
    first = pages[0].spec
    return Record(
        frozen=first.frozen,
        stable=first.stable,
        candidate=first.candidate,
        windows=tuple(window for page in pages for window in page.spec.windows),
        decisions=tuple(decision for page in pages for decision in page.spec.decisions),
        verdict=next((page.spec.verdict for page in pages if page.spec.verdict), None),
    )


def _same_trial(one: RolloutRecordSpec, other: RolloutRecordSpec) -> bool:
    same_arms = one.stable.same_as(other.stable) and one.candidate.same_as(other.candidate)
    return same_arms and one.frozen.hash == other.frozen.hash


def _fitting(windows: Sequence[RecordedWindow], last: _Page) -> Iterator[RecordedWindow]:
    """Yield the windows that the page takes (or the next one, when it is full)."""
    count, size = (0, 0) if last.full else (len(last.spec.windows), last.size)
    for window in windows:
        if count >= PAGE_WINDOWS or size >= PAGE_BYTES:
            return
        count, size = count + 1, size + _size(window.to_json())
        yield window


def _addition_operations(addition: _Addition) -> Iterator[Json]:
    for window in addition.windows:
        yield {"op": "add", "path": "/spec/windows/-", "value": window.to_json()}
    for decision in addition.decisions:
        yield {"op": "add", "path": "/spec/decisions/-", "value": decision.to_json()}
    if addition.verdict is not None:
        yield {"op": "add", "path": "/spec/verdict", "value": addition.verdict}


def _version_test(page: _Page) -> Json:
    return {"op": "test", "path": "/metadata/resourceVersion", "value": page.version}


def _size(value: object) -> int:
    return len(json.dumps(value, separators=(",", ":")))


def _epoch_of(metadata: Json) -> int:
    text = (metadata["metadata"].get("labels") or {}).get(EPOCH_LABEL, "")
    return int(text) if re.fullmatch("[0-9]+", text) else 0
