"""The page on planning: what ``plan-size`` prints on it is what it prints."""

import shlex

import pytest

from controller.cli.main import main
from docs.generate import ROOT
from tests.docs.markdown import blocks

PLANNED = [
    (block.text.splitlines()[0].removeprefix("$ "), block.text.partition("\n")[2])
    for block in blocks("console")
    if block.text.startswith("$ python -m controller plan-size ")
]


@pytest.mark.parametrize(("command", "printed"), PLANNED, ids=[command for command, _ in PLANNED])
def test_the_tables_are_what_plan_size_prints(
    command: str, printed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(shlex.split(command.removeprefix("python -m controller "))) == 0
    assert capsys.readouterr().out == printed
    assert len(PLANNED) == 2
