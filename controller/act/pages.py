"""Pages of RolloutRecords: their names, when one is full, and what is added to one. Pure."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from controller.api.names import API_VERSION, EPOCH_LABEL, RECORD_KIND, ROLLOUT_LABEL
from controller.api.record import PAGE_DECISIONS, PAGE_WINDOWS, RecordedDecision, RecordedWindow, RolloutRecordSpec
from controller.observe.cluster import Json
from controller.plan.situation import Outcome

PAGE_BYTES: Final = 176 * 1024
"""Size of its JSON at which a page is full; the largest row still fits below 200 KiB."""

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
class Page:
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
class Addition:
    """What is to be added to the last page."""

    windows: tuple[RecordedWindow, ...] = ()
    decisions: tuple[RecordedDecision, ...] = ()
    verdict: Outcome | None = None


def label_value(rollout: str) -> str:
    """Return a rollout's name as a label value, which may only be a quarter as long."""
    if len(rollout) <= _LABEL_LENGTH:
        return rollout
    return f"{rollout[: _LABEL_LENGTH - 11].rstrip('-.')}-{_digest(rollout)}"


def page_names(key: RecordKey, number: int) -> tuple[str, str]:
    """Return the usual name of a page, and the one that is used when a namesake's record holds that."""
    rollout = key.rollout
    if len(rollout) > _NAME_LENGTH - _SUFFIX_LENGTH:
        rollout = f"{rollout[: _NAME_LENGTH - _SUFFIX_LENGTH - 11].rstrip('-.')}-{_digest(rollout)}"
    return f"{rollout}-{key.epoch}-{number}", f"{rollout}-{key.epoch}-{_digest(key.uid)}-{number}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def page_body(name: str, page: RolloutRecordSpec) -> Json:
    """Return the object to create."""
    labels = {ROLLOUT_LABEL: label_value(page.rollout), EPOCH_LABEL: str(page.epoch)}
    metadata = {"name": name, "labels": labels}
    return {"apiVersion": API_VERSION, "kind": RECORD_KIND, "metadata": metadata, "spec": page.to_json()}


def read_page(body: Json) -> Page:
    """Return the page that an object holds."""
    metadata, spec = body["metadata"], body["spec"]
    return Page(
        name=metadata["name"],
        version=metadata["resourceVersion"],
        size=json_size(spec),
        spec=RolloutRecordSpec.model_validate(spec),
    )


def same_trial(one: RolloutRecordSpec, other: RolloutRecordSpec) -> bool:
    """Whether both compare the same revisions by the same analysis."""
    same_arms = one.stable.same_as(other.stable) and one.candidate.same_as(other.candidate)
    return same_arms and one.frozen.hash == other.frozen.hash


def fitting(windows: Sequence[RecordedWindow], last: Page) -> Iterator[RecordedWindow]:
    """Yield the windows that the page takes (or the next one, when it is full)."""
    count, size = (0, _bare_size(last)) if last.full else (len(last.spec.windows), last.size)
    for window in windows:
        if count >= PAGE_WINDOWS or size >= PAGE_BYTES:
            return
        count, size = count + 1, size + json_size(window.to_json())
        yield window


def _bare_size(page: Page) -> int:
    """Return the size of the next page while it holds nothing but what every page repeats."""
    return json_size(page.spec.model_copy(update={"windows": (), "decisions": ()}).to_json())


def addition_operations(addition: Addition) -> Iterator[Json]:
    """Yield the JSON patch that adds to a page, after its version was tested."""
    for window in addition.windows:
        yield {"op": "add", "path": "/spec/windows/-", "value": window.to_json()}
    for decision in addition.decisions:
        yield {"op": "add", "path": "/spec/decisions/-", "value": decision.to_json()}
    if addition.verdict is not None:
        yield {"op": "add", "path": "/spec/verdict", "value": addition.verdict}


def version_test(page: Page) -> Json:
    """Return the operation that lets a JSON patch apply to exactly this version of the page."""
    return {"op": "test", "path": "/metadata/resourceVersion", "value": page.version}


def json_size(value: object) -> int:
    """Return the bytes that a value takes as JSON."""
    return len(json.dumps(value, separators=(",", ":")))


def epoch_of(metadata: Json) -> int:
    """Return the epoch that an object's label names; 0 where somebody garbled it."""
    text = (metadata["metadata"].get("labels") or {}).get(EPOCH_LABEL, "")
    return int(text) if re.fullmatch("[0-9]+", text) else 0
