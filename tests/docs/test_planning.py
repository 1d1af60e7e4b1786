"""The page on planning: what ``plan-size`` prints on it is what it prints."""

import re
import shlex

import pytest

from controller.api.verdicts import Role, Verdict
from controller.cli.main import main
from controller.judge import Expected, History, PerArm, RatioTest, forecast
from docs.generate import ROOT
from tests.docs.markdown import blocks, text_of

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


ROWS = re.findall(
    r"^\| ([\d.]+) % \| ([\d.]+) % \| ([\d.]+) points? \| (\w+) \| ([\d.]+) \| ([\d.]+) \|$",
    text_of(ROOT / "docs" / "planning.md"),
    re.MULTILINE,
)


@pytest.mark.parametrize("row", ROWS, ids=" ".join)
def test_the_forecasts_beside_the_simulations_are_what_is_forecast(row: tuple[str, ...]) -> None:
    stable, candidate, margin = (float(cell) / 100 for cell in row[:3])
    test = RatioTest("m", Role.GUARDRAIL, margin, history=History(40_000, 40_000 * stable), horizon=720)
    found = forecast(test, Expected(PerArm(stable, candidate), PerArm(180, 20)))
    assert found is not None
    windows = found.until_not_worse(0.05) if row[3] == Verdict.NOT_WORSE else found.until_worse(0.05)

    assert f"{windows:.1f}" == row[5]
    assert windows == pytest.approx(float(row[4]), rel=0.25)
    assert len(ROWS) == 6
