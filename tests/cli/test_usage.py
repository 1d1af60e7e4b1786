"""Words that the command line does not know, and ends before the end: exit code 1 or 130, because 2 is a verdict."""

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from controller.cli.main import COMMANDS, Command, main


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["jugde"], "invalid choice: 'jugde'"),
        (["judge"], "the following arguments are required: FILE"),
        (["judge", "a.json", "b.json"], "unrecognized arguments: b.json"),
        (["judge", "a.json", "-o", "xml"], "invalid choice: 'xml'"),
        (["crds", "--all"], "unrecognized arguments: --all"),
    ],
)
def test_a_usage_error_exits_with_1(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words, program="controller")

    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (1, "")
    assert message in err
    assert err.startswith("usage: controller")


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help_is_no_error(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words, program="controller")

    out, err = capsys.readouterr()
    assert (ended.value.code, err) == (0, "")
    assert out.startswith("usage: controller")


def test_an_interrupt_leaves_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def add_parser(subparsers) -> None:
        subparsers.add_parser("wait").set_defaults(run=_interrupted)

    def _interrupted(_arguments: object) -> int:
        raise KeyboardInterrupt

    module = types.ModuleType("waiting")
    module.add_parser = add_parser  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "waiting", module)

    assert main(["wait"], commands={"wait": Command("waiting", "waits")}) == 130
    assert capsys.readouterr().err == "\ninterrupted\n"


def test_output_that_nobody_reads_is_no_traceback() -> None:
    example = Path(__file__).parents[2] / "docs/examples/equal.json"
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run(
        [sys.executable, "-m", "controller", "judge", str(example)], stdout=write, stderr=subprocess.PIPE, check=False
    )
    os.close(write)

    assert (ended.returncode, ended.stderr) == (1, b"")
