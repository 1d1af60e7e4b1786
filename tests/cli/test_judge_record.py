"""``judge FILE`` with a RolloutRecord: the evidence of the record is that of the operator.

``golden/`` holds the record of an epoch as ``kubectl get rrec -o yaml`` prints it, and what ``judge`` says of it.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.api.reasons import Reason
from controller.api.record import RolloutRecordSpec, Row
from controller.cli.main import main
from controller.judge import Trial
from controller.plan.evidence import judged, start_trial
from tests.plan.stage import Stage, steady

Json = dict[str, Any]
Writer = Callable[[Iterable[Json]], str]

GOLDEN = Path(__file__).parent / "golden"
GOLDEN_CODES = {"promoted": 0, "rolled-back": 2}

WRITERS: dict[str, Writer] = {
    "List in YAML": lambda items: yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": list(items)}),
    "List in JSON": lambda items: json.dumps({"apiVersion": "v1", "kind": "List", "items": list(items)}, indent=2),
    "List of the kind": lambda items: json.dumps(
        {"kind": "RolloutRecordList", "items": list(items), "apiVersion": "modelrollout.dev/v1alpha1"}
    ),
    "YAML documents": lambda items: "---\n".join(yaml.safe_dump(item, sort_keys=False) for item in items) + "---\n",
}


@pytest.fixture(scope="module")
def stage() -> Stage:
    """A rollout that was promoted; its planner, judge and record are the real ones."""
    return Stage(traffic=steady(0.08, 0.081, requests=300)).run()


@pytest.fixture
def record(stage: Stage) -> RolloutRecordSpec:
    return stage.records[stage.status.epoch]


def paged(record: RolloutRecordSpec, windows: int) -> list[Json]:
    """The record as objects with so many windows on each page."""
    starts = range(0, max(1, len(record.windows)), windows)
    pages = [
        record.model_copy(update={"page": number, "windows": record.windows[start : start + windows]})
        for number, start in enumerate(starts)
    ]
    return [stored(page) for page in pages]


def stored(page: RolloutRecordSpec) -> Json:
    name = f"{page.rollout}-{page.epoch}-{page.page}"
    return {
        "apiVersion": "modelrollout.dev/v1alpha1",
        "kind": "RolloutRecord",
        "metadata": {"name": name},
        "spec": page.to_json(),
    }


def assert_same_evidence(report: Json, trial: Trial) -> None:
    assert report["verdict"] == trial.verdict
    assert report["decidedAt"] == trial.decided_at
    for metric, evidence in zip(report["metrics"], trial.metrics.values(), strict=True):
        assert metric["name"] == evidence.test.name
        last = {name: values[-1] for name, values in metric["logEvidence"].items()}
        assert last == {
            "worse": evidence.log_worse,
            "restart": evidence.log_restart,
            "catastrophic": evidence.log_catastrophic,
            "notWorse": evidence.log_not_worse,
            "combined": evidence.log_combined,
        }
        assert metric["difference"] == evidence.difference
        assert tuple(metric["interval"]) == evidence.interval


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_pages_in_any_order_give_the_evidence_that_decided(
    write: Writer, stage: Stage, record: RolloutRecordSpec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "record"
    pages = paged(record, windows=4)
    assert len(pages) > 2
    file.write_text(write(reversed(pages)))

    assert main(["judge", "-o", "json", str(file)]) == 0
    report = json.loads(capsys.readouterr().out)

    decided, trial = stage.trials[stage.status.epoch]
    assert decided == len(record.windows) == len(report["metrics"][0]["logEvidence"]["worse"])
    assert_same_evidence(report, trial)


@pytest.mark.parametrize("stop", [1, 5])
def test_one_page_of_an_epoch_under_way(
    stop: int, record: RolloutRecordSpec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = record.model_copy(update={"windows": record.windows[:stop]})
    file = tmp_path / "record.yaml"
    file.write_text(yaml.safe_dump(stored(page)))

    assert main(["judge", "-o", "json", str(file)]) == 3
    assert_same_evidence(
        json.loads(capsys.readouterr().out), judged(start_trial(page.frozen), page.windows, frozen=page.frozen)
    )


def test_a_skipped_window_is_shown_and_changes_nothing(
    record: RolloutRecordSpec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    skipped = record.windows[1].model_copy(update={"rows": (Row(metric="accuracy", skipped=Reason.SCRAPE_GAP),)})
    page = record.model_copy(update={"windows": (record.windows[0], skipped)})
    file = tmp_path / "record.yaml"
    file.write_text(yaml.safe_dump(stored(page)))

    assert main(["judge", str(file)]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[3].split()[:3] == ["1", "-", "-"]
    assert lines[2].split()[-2:] == lines[3].split()[-2:]


@pytest.mark.parametrize(("name", "code"), GOLDEN_CODES.items())
def test_output_is_as_it_was(name: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["judge", str(GOLDEN / f"{name}.record.yaml")]) == code
    assert capsys.readouterr().out == (GOLDEN / f"{name}.txt").read_text()


def other_epoch(pages: list[Json]) -> list[Json]:
    pages[1]["spec"]["epoch"] = 7
    return pages


def other_analysis(pages: list[Json]) -> list[Json]:
    pages[1]["spec"]["frozen"]["alpha"] = "0.1"
    return pages


def unresolved_metric(pages: list[Json]) -> list[Json]:
    del pages[0]["spec"]["frozen"]["metrics"]
    return [{**pages[0], "spec": {**pages[0]["spec"], "frozen": {**pages[0]["spec"]["frozen"], "metrics": []}}}]


def garbled(pages: list[Json]) -> list[Json]:
    pages[0]["spec"]["windows"][0]["weight"] = 500
    del pages[0]["spec"]["rolloutUid"]
    return pages


BAD_PAGES: dict[str, tuple[Callable[[list[Json]], list[Json]], str]] = {
    "two epochs": (other_epoch, "expected the pages of one epoch, found mro epoch 1 (uid uid-1), mro epoch 7"),
    "how to select": (other_epoch, "-l modelrollout.dev/rollout=mro,modelrollout.dev/epoch=7"),
    "another analysis": (other_analysis, "expected the same spec.frozen on every page"),
    "first page missing": (lambda pages: pages[1:], "page 0 is missing"),
    "middle page missing": (lambda pages: [pages[0], pages[2]], "expected pages 0 to 2, page 1 is missing"),
    "a page twice": (lambda pages: [*pages, pages[1]], "expected every page once, found page 1 more than once"),
    "no page": (lambda _: [], "expected the pages of a RolloutRecord, found none"),
    "another kind": (lambda pages: [*pages, {"kind": "Pod"}], "expected objects of kind RolloutRecord, found Pod"),
    "no object": (lambda pages: [*pages, "text"], "expected objects of kind RolloutRecord, found text"),
    "unresolved metric": (unresolved_metric, "expected every metric of the analysis, found none for accuracy"),
    "a field missing": (garbled, "mro-1-0: spec.rolloutUid: expected this key, found none"),
    "a field wrong": (garbled, "mro-1-0: spec.windows.0.weight: expected less than or equal to 100, found"),
}


@pytest.mark.parametrize(("change", "message"), BAD_PAGES.values(), ids=BAD_PAGES)
def test_what_is_not_one_whole_record_is_refused(
    change: Callable[[list[Json]], list[Json]],
    message: str,
    record: RolloutRecordSpec,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "record.yaml"
    file.write_text(WRITERS["List in YAML"](change(paged(record, windows=4))))

    assert main(["judge", str(file)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert all(line.startswith(f"error: {file}: ") for line in err.splitlines())


@pytest.mark.parametrize("text", ["apiVersion: [v1", '{"apiVersion": "v1"', "apiVersion: v1\nitems: " + "[" * 3_000])
def test_what_is_neither_yaml_nor_json(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "record.yaml"
    file.write_text(text)

    assert main(["judge", str(file)]) == 1
    assert "expected YAML or JSON, found" in capsys.readouterr().err
