"""The documentation keeps what it says: its objects are accepted, its links lead somewhere, its commands exist."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.__main__ import OPERATOR
from controller.api.command import parse_command
from controller.api.reasons import Action, ConditionType, Phase, Reason
from controller.api.spec import ModelRolloutSpec, Scale
from controller.api.strategy import Approval, OnNoData, OnUndecided
from controller.api.verdicts import Advance, CheckState, Kind, Role, Verdict
from controller.api.verify import OnMismatch, ParityGroup, Protocol
from controller.cli.main import COMMANDS, main
from controller.plan.sizing import replicas_for
from controller.plan.transitions import Event, allowed
from controller.run.settings import parse_settings
from controller.run.telemetry import Telemetry
from docs.generate import ROOT
from docs.meanings import REASONS
from tests.cluster.__main__ import COMMANDS as CLUSTER_COMMANDS
from tests.docs.markdown import PAGES, Block, anchors, blocks, commands, links, name_of, objects, text_of

DOCS = ROOT / "docs"
ROLLOUTS = [(block, document) for block, document in objects() if document["kind"] == "ModelRollout"]


@pytest.mark.parametrize("document", [each for _, each in ROLLOUTS], ids=[str(block) for block, _ in ROLLOUTS])
def test_every_model_rollout_is_accepted(document: dict[str, Any]) -> None:
    assert document["apiVersion"] == "modelrollout.dev/v1alpha1"
    ModelRolloutSpec.model_validate(document["spec"])


def test_there_are_model_rollouts_on_the_pages_that_need_them() -> None:
    assert {name_of(block.page) for block, _ in ROLLOUTS} >= {
        "README.md",
        "docs/quickstart.md",
        "docs/routers.md",
        "docs/metrics.md",
        "docs/operations.md",
    }


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_every_yaml_block_is_yaml(block: Block) -> None:
    assert list(yaml.safe_load_all(block.text)) != [None]


METRICS = [
    metric for block in blocks("yaml") if block.text.startswith("- name:") for metric in yaml.safe_load(block.text)
]


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric["name"])
def test_a_metric_on_its_own_is_accepted(metric: dict[str, Any]) -> None:
    (_, document) = ROLLOUTS[0]
    decisive = {"name": "decisive", "preset": "mlr/errors"}
    ModelRolloutSpec.model_validate(document["spec"] | {"analysis": {"metrics": [metric, decisive]}})


def test_there_is_an_example_of_every_kind() -> None:
    shown = [metric for _, document in ROLLOUTS for metric in document["spec"]["analysis"]["metrics"]]
    assert set(Kind) <= {key for metric in (*METRICS, *shown) for key in metric}


def test_the_settings_are_accepted() -> None:
    (block,) = (block for block in blocks("yaml") if block.text.startswith("# settings\n"))
    settings = parse_settings(block.text, origin="docs/install.md")
    assert settings == parse_settings(
        "prometheus: [{name: default, url: 'http://prometheus.monitoring.svc:9090'}]", origin=""
    )


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in links(page):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_the_documentation_is_complete_and_the_readme_short() -> None:
    linked = {target.partition("#")[0] for target in links(ROOT / "README.md")}
    assert {f"docs/{page.name}" for page in DOCS.glob("*.md")} <= linked
    assert len(text_of(ROOT / "README.md").splitlines()) <= 150


@pytest.mark.parametrize(("page", "command"), list(commands()))
def test_every_command_exists(page: Path, command: str) -> None:
    program, *words = shlex.split(command.partition("#")[0].partition("|")[0])
    match program:
        case "make":
            assert re.search(rf"^{words[0]}:", text_of(ROOT / "Makefile"), re.MULTILINE)
        case "python":
            assert words[:2] == ["-m", "controller"]
            assert words[2] in {"run": OPERATOR, **COMMANDS}
        case "docker":
            assert words[0] == "build"
            assert (ROOT / "Dockerfile").exists()
        case ".cluster/enter":
            assert words[0] == "kubectl"
        case "kubectl":
            assert_kubectl(words)
        case _:
            pytest.fail(f"{name_of(page)} tells to type {program}; this test does not know it")


def assert_kubectl(words: list[str]) -> None:
    words = words[2:] if words[0] == "-n" else words
    assert words[0] in {"apply", "get", "describe", "wait", "annotate", "patch", "delete", "events"}
    if "-k" in words:
        assert (ROOT / words[words.index("-k") + 1] / "kustomization.yaml").exists()


def test_requests_on_the_page_are_requests() -> None:
    found = [
        word for _, line in commands() for word in shlex.split(line) if word.startswith("modelrollout.dev/request=")
    ]
    assert [parse_command(word.partition("=")[2]).action for word in found] == [Action.PAUSE]


EVENTS = {
    "promote": Event.PROMOTION_DECIDED,
    "abort": Event.WITHDRAWN,
    "retry": Event.RETRY_REQUESTED,
    "pause": Event.PAUSE_REQUESTED,
    "resume": Event.RESUME_REQUESTED,
}


@pytest.mark.parametrize(("action", "event"), EVENTS.items())
def test_the_phases_in_which_a_request_is_possible(action: str, event: Event) -> None:
    (line,) = (line for line in text_of(DOCS / "operations.md").splitlines() if line.startswith(f"| `{action}` |"))
    phases = {word.strip() for word in line.rstrip(" |").rpartition("|")[2].split(",")}
    assert phases == {str(phase) for phase in Phase if allowed(phase, event)}


def test_troubleshooting_speaks_of_every_reason_that_may_need_a_person() -> None:
    page = text_of(DOCS / "troubleshooting.md")
    groups = ("The spec against the cluster", "Verification", "Evidence", "Red flags", "Stable and backup")
    well = {Reason.STABLE_ADOPTED, Reason.BACKUP_WARM, Reason.VERIFIED}
    needed = {reason for group in groups for reason in REASONS[group]} - well
    assert {str(reason) for reason in needed if f"`{reason}`" not in page} == set()


WORDS = {
    str(word)
    for words in (
        *(Reason, Phase, ConditionType, Event, Verdict, Role, Advance, Approval, OnUndecided, OnNoData, Scale),
        *(CheckState, OnMismatch, ParityGroup, Protocol),
    )
    for word in words
}
OTHERS = {"ModelRollout", "RolloutRecord", "CrashLoopBackOff", "Superseded"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_uses_a_word_that_does_not_exist(page: Path) -> None:
    told = set(re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`", text_of(page)))
    assert told - WORDS - OTHERS == set()


def test_metrics_of_the_operator_exist() -> None:
    told = set(re.findall(r"`(modelrollout_\w+)", text_of(DOCS / "operations.md")))
    telemetry = Telemetry()
    telemetry.follow_queue(depth=lambda: 0, lateness=lambda: 0.0)
    known = {
        name
        for family in telemetry.registry.collect()
        for name in (family.name, f"{family.name}_total", f"{family.name}_count")
    }
    assert len(told) > 10
    assert told - known == set()


def test_the_reachable_weights_are_what_pods_allow() -> None:
    rows = re.findall(r"^\| (\d+) \|((?: [\d.]+ % \|){4})$", text_of(DOCS / "routers.md"), re.MULTILINE)
    assert len(rows) == 3
    for pods, cells in rows:
        expected = [f"{replicas_for(step, int(pods)).reachable:.1f}" for step in (5, 10, 25, 50)]
        assert re.findall(r"[\d.]+", cells) == expected


JUDGED = [
    (block.text.splitlines()[0].removeprefix("$ "), block.text.partition("\n")[2])
    for block in blocks("console")
    if block.text.startswith("$ python -m controller judge ") and len(block.text.splitlines()) > 1
]


@pytest.mark.parametrize(("command", "printed"), JUDGED, ids=[command for command, _ in JUDGED])
def test_the_worked_examples_are_what_judge_prints(
    command: str, printed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    main(command.removeprefix("python -m controller ").split())

    assert capsys.readouterr().out == printed
    assert len(JUDGED) == 3


def test_the_file_of_windows_on_the_page_can_be_judged(tmp_path: Path) -> None:
    (block,) = blocks("json")
    file = tmp_path / "windows.json"
    file.write_text(block.text)
    assert main(["judge", str(file)]) == 3


def test_commands_of_the_test_cluster_exist() -> None:
    told = re.findall(r"python -m tests\.cluster (\w+)", "".join(map(text_of, PAGES)) + text_of(ROOT / "Makefile"))
    assert told
    assert set(told) <= set(CLUSTER_COMMANDS)
