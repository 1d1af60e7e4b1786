"""Words that the command line does not know: exit code 1, because 2 is a verdict."""

import pytest

from controller.cli.main import COMMANDS, main


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
