"""RolloutRecords as ``kubectl get rrec -o yaml`` (or ``-o json``) writes them, made into what the judge replays.

The trial is the operator's own, from what was frozen when the epoch began: the same rows give the same evidence.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

import yaml
from pydantic import ValidationError

from controller.api.names import EPOCH_LABEL, RECORD_KIND, ROLLOUT_LABEL
from controller.api.record import RolloutRecordSpec
from controller.cli.problems import problems
from controller.judge import Case
from controller.plan.evidence import judged_counts, start_trial
from controller.plan.validity import circumstances

__all__ = ["looks_like_record", "read_record"]

Json = dict[str, object]

_Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The loader in C, where it was built: a page has some thousand lines."""

_HEADER: Final = re.compile(r'\bapiVersion"?\s*:')


def looks_like_record(text: str) -> bool:
    """Whether the text is meant to be Kubernetes objects and not a file of windows."""
    return _HEADER.search(text) is not None


def read_record(text: str) -> Case:
    """Read all pages of one epoch, from one object, a List or several YAML documents, in any order.

    Raises:
        ValueError: the text does not hold exactly the pages of one epoch; one line per problem, each with what was
            expected and what was found.
    """
    pages = sorted((_page(item) for item in _objects(text)), key=lambda page: page.page)
    _require_one_epoch(pages)
    _require_every_page(pages)
    return _case(pages)


def _case(pages: list[RolloutRecordSpec]) -> Case:
    frozen = pages[0].frozen
    unresolved = {metric.name for metric in frozen.analysis.metrics} - {each.metric for each in frozen.metrics}
    if unresolved:
        msg = f"spec.frozen.metrics: expected every metric of the analysis, found none for {', '.join(unresolved)}"
        raise ValueError(msg)
    trial = start_trial(frozen)
    return Case(
        tests=tuple(evidence.test for evidence in trial.metrics.values()),
        alpha=trial.alpha,
        windows=tuple(judged_counts(window, frozen=frozen) for page in pages for window in page.windows),
        min_requests=trial.min_requests,
        circumstances=tuple(circumstances(window) for page in pages for window in page.windows),
        share_check=frozen.share_check,
    )


def _objects(text: str) -> Iterator[Json]:
    """Yield the objects of all documents, those inside of Lists one by one."""
    for document in map(_mapping, _documents(text)):
        items = document.get("items")
        if str(document.get("kind")).endswith("List") and isinstance(items, list):
            yield from (_mapping(item) for item in items)
        else:
            yield document


def _documents(text: str) -> list[object]:
    try:
        return [json.loads(text)]
    except (ValueError, RecursionError):
        pass  # YAML then; what is neither is explained as YAML, of which JSON is a part
    try:
        return [document for document in yaml.load_all(text, Loader=_Loader) if document is not None]
    except (yaml.YAMLError, RecursionError) as error:
        msg = f"expected YAML or JSON, found {' '.join(str(error).split())}"
        raise ValueError(msg) from None


def _page(item: Json) -> RolloutRecordSpec:
    if item.get("kind") != RECORD_KIND:
        msg = f"expected objects of kind {RECORD_KIND}, found {_shown(item.get('kind'))}"
        raise ValueError(msg)
    metadata = item.get("metadata")
    name = metadata.get("name", "a page") if isinstance(metadata, dict) else "a page"
    try:
        return RolloutRecordSpec.model_validate(item.get("spec"))
    except ValidationError as error:
        raise ValueError("\n".join(problems(error, root=f"{name}: spec"))) from None


def _require_one_epoch(pages: list[RolloutRecordSpec]) -> None:
    if not pages:
        msg = f"expected the pages of a {RECORD_KIND}, found none; is the label selector right?"
        raise ValueError(msg)
    epochs = sorted({(page.rollout, page.epoch, page.rollout_uid) for page in pages})
    if len(epochs) > 1:
        found = ", ".join(f"{rollout} epoch {epoch} (uid {uid})" for rollout, epoch, uid in epochs)
        rollout, epoch, _ = epochs[-1]
        msg = (
            f"expected the pages of one epoch, found {found}; "
            f"select one with -l {ROLLOUT_LABEL}={rollout},{EPOCH_LABEL}={epoch}"
        )
        raise ValueError(msg)
    if any(page.frozen != pages[0].frozen for page in pages):
        msg = "expected the same spec.frozen on every page, found different ones: these pages are of different records"
        raise ValueError(msg)


def _require_every_page(pages: list[RolloutRecordSpec]) -> None:
    """The last page may be the one that is still written; all before it must be there, once."""
    found = Counter(page.page for page in pages)
    twice = sorted(number for number, count in found.items() if count > 1)
    missing = sorted(set(range(max(found))) - set(found))
    if twice:
        msg = f"expected every page once, found page {_listed(twice)} more than once"
        raise ValueError(msg)
    if missing:
        msg = (
            f"expected pages 0 to {max(found)}, page {_listed(missing)} is missing: without its windows the evidence "
            "would be another"
        )
        raise ValueError(msg)


def _mapping(value: object) -> Json:
    if not isinstance(value, dict):
        msg = f"expected objects of kind {RECORD_KIND}, found {_shown(value)}"
        raise ValueError(msg)
    return value


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))


def _shown(value: object) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
