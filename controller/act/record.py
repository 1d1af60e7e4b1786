"""RolloutRecords: rows that are written once and read by everybody, in pages that close.

Any number of operators may write at once. Rows are keyed, every write is conditional on the page's version, and
whether a page is full follows from its content alone: who sees it full opens the next one, and nobody can add a row to
a page that somebody else has seen full. So each key is stored once, and the first writer of a key wins.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from controller.act.pages import (
    Addition,
    Page,
    RecordKey,
    addition_operations,
    epoch_of,
    fitting,
    label_value,
    page_body,
    page_names,
    read_page,
    same_trial,
    version_test,
)
from controller.api.names import ROLLOUT_LABEL
from controller.api.record import FrozenAnalysis, RecordedDecision, RecordedWindow, RolloutRecordSpec
from controller.api.status import Revision
from controller.observe.cluster import RECORDS, ClusterPort, Conflict, Json, NotFound
from controller.plan.situation import Outcome

__all__ = ["Record", "RecordKeeper", "RecordKey"]

CONFLICTS: Final = 20
"""How often a write is tried again because somebody else wrote the page meanwhile."""
PAGES_KEPT: Final = 64
"""Closed pages that are kept in memory."""


@dataclass(frozen=True)
class Record:
    """All pages of an epoch as one."""

    frozen: FrozenAnalysis
    stable: Revision
    candidate: Revision
    windows: tuple[RecordedWindow, ...]
    decisions: tuple[RecordedDecision, ...]
    verdict: Outcome | None


class RecordKeeper:
    """Writes and reads the records of all rollouts; safe to share between threads.

    The cluster's errors pass through. ``NotFound`` from anything but ``read`` means that the record was deleted.
    """

    def __init__(self, cluster: ClusterPort) -> None:
        self._cluster = cluster
        self._closed: OrderedDict[tuple[RecordKey, int], Page] = OrderedDict()
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
        if unused and not same_trial(first, page):
            operations = [version_test(stored[0]), {"op": "replace", "path": "/spec", "value": page.to_json()}]
            stored = [read_page(self._cluster.json_patch(RECORDS, namespace, stored[0].name, operations))]
        return _record(stored)

    def read(self, key: RecordKey) -> Record | None:
        """Return the record as it is stored, or None when there is none."""
        pages = self._pages(key)
        return _record(pages) if pages else None

    def append(self, key: RecordKey, windows: Sequence[RecordedWindow]) -> Record:
        """Store the windows whose keys are not stored yet, in this order, and return the record as it is stored.

        A window whose key was stored before is as it was stored then: the first writer wins.
        """

        def missing(pages: list[Page]) -> Addition | None:
            known = {window.key for page in pages for window in page.spec.windows}
            new = [window for window in windows if window.key not in known]
            return Addition(windows=tuple(fitting(new, pages[-1]))) if new else None

        return _record(self._extend(key, missing))

    def note(self, key: RecordKey, decision: RecordedDecision) -> None:
        """Store a decision, unless it is stored: taken again after a lost race it differs in nothing but the moment."""

        def missing(pages: list[Page]) -> Addition | None:
            stored = [each for page in pages for each in page.spec.decisions]
            same = bool(stored) and stored[-1].model_copy(update={"at": decision.at}) == decision
            return None if same or decision in stored else Addition(decisions=(decision,))

        self._extend(key, missing)

    def close(self, key: RecordKey, verdict: Outcome) -> None:
        """Store how the epoch ended, unless an end is stored."""

        def missing(pages: list[Page]) -> Addition | None:
            return None if any(page.spec.verdict for page in pages) else Addition(verdict=verdict)

        self._extend(key, missing)

    def highest_epoch(self, namespace: str, rollout: str) -> int:
        """Return the highest epoch that any ModelRollout of this name has a record of; 0 without records.

        A re-created ModelRollout counts on from here, so that its records do not meet those of its predecessor.
        """
        return max((epoch_of(each) for each in self._all(namespace, rollout)), default=0)

    def prune(self, namespace: str, rollout: str, *, keep: int) -> int:
        """Delete the records of all but the newest ``keep`` epochs; return how many pages went."""
        pages = self._all(namespace, rollout)
        kept = sorted({epoch_of(each) for each in pages}, reverse=True)[:keep]
        old = [each["metadata"]["name"] for each in pages if epoch_of(each) not in kept]
        for name in old:
            try:
                self._cluster.delete(RECORDS, namespace, name)
            except NotFound:
                continue  # somebody else pruned it
        return len(old)

    def _all(self, namespace: str, rollout: str) -> tuple[Json, ...]:
        return self._cluster.list_metadata(RECORDS, namespace, labels=f"{ROLLOUT_LABEL}={label_value(rollout)}")

    def _pages(self, key: RecordKey) -> list[Page]:
        pages: list[Page] = []
        while (page := self._get(key, len(pages))) is not None:
            pages.append(page)
            if not page.full:
                break
        return pages

    def _existing(self, key: RecordKey) -> list[Page]:
        pages = self._pages(key)
        if not pages:
            msg = f"the record of epoch {key.epoch} of ModelRollout {key.namespace}/{key.rollout} is gone"
            raise NotFound(msg, status=404)
        return pages

    def _get(self, key: RecordKey, number: int) -> Page | None:
        with self._lock:
            if (closed := self._closed.get((key, number))) is not None:
                self._closed.move_to_end((key, number))
                return closed
        for name in page_names(key, number):
            try:
                page = read_page(self._cluster.get(RECORDS, key.namespace, name))
            except NotFound:
                continue
            if page.spec.rollout_uid == key.uid:
                self._keep(key, page)
                return page
        return None

    def _keep(self, key: RecordKey, page: Page) -> None:
        if page.full:
            with self._lock:
                self._closed[key, page.spec.page] = page
                if len(self._closed) > PAGES_KEPT:
                    self._closed.popitem(last=False)

    def _extend(self, key: RecordKey, missing: Callable[[list[Page]], Addition | None]) -> list[Page]:
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

    def _add(self, key: RecordKey, pages: list[Page], addition: Addition) -> None:
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
        operations = [version_test(last), *addition_operations(addition)]
        self._cluster.json_patch(RECORDS, key.namespace, last.name, operations)

    def _create(self, key: RecordKey, page: RolloutRecordSpec) -> Page:
        """Create a page; a name that a namesake's record holds is left to it.

        Raises:
            Conflict: another operator created this page first.
        """
        plain, fallback = page_names(key, page.page)
        try:
            return read_page(self._cluster.create(RECORDS, key.namespace, page_body(plain, page)))
        except Conflict:
            if self._get(key, page.page) is not None:
                raise
        return read_page(self._cluster.create(RECORDS, key.namespace, page_body(fallback, page)))


def _record(pages: list[Page]) -> Record:
    first = pages[0].spec
    return Record(
        frozen=first.frozen,
        stable=first.stable,
        candidate=first.candidate,
        windows=tuple(window for page in pages for window in page.spec.windows),
        decisions=tuple(decision for page in pages for decision in page.spec.decisions),
        verdict=next((page.spec.verdict for page in pages if page.spec.verdict), None),
    )
