"""``python -m controller judge FILE``: golden outputs, exit codes, and the message for every bad file.

The golden files in ``golden/`` are ``NAME.windows.json`` (input), ``NAME.txt`` and ``NAME.json`` (output).
"""

import copy
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from controller.cli.main import main
from controller.judge import Arm, Window, read_windows_file

GOLDEN = Path(__file__).parent / "golden"
EXIT_CODES = {"worse": 2, "not-worse": 0, "undecided": 3, "no-data": 3, "calibrated": 2, "invalid": 3}


@pytest.mark.parametrize(("name", "code"), EXIT_CODES.items())
def test_text_is_as_it_was(name, code, capsys):
    assert main(["judge", str(GOLDEN / f"{name}.windows.json")]) == code
    assert capsys.readouterr().out == (GOLDEN / f"{name}.txt").read_text()


@pytest.mark.parametrize(("name", "code"), EXIT_CODES.items())
def test_json_is_as_it_was(name, code, capsys):
    assert main(["judge", "-o", "json", str(GOLDEN / f"{name}.windows.json")]) == code
    found = json.loads(capsys.readouterr().out)
    expected = json.loads((GOLDEN / f"{name}.json").read_text())

    # The last digits of a logarithm are the C library's.
    assert flat(found).keys() == flat(expected).keys()
    for place, value in flat(expected).items():
        assert flat(found)[place] == (pytest.approx(value, rel=1e-9, abs=1e-9) if isinstance(value, float) else value)


def flat(content, place=""):
    if isinstance(content, dict):
        return {k: v for key, value in content.items() for k, v in flat(value, f"{place}.{key}").items()}
    if isinstance(content, list):
        return {k: v for key, value in enumerate(content) for k, v in flat(value, f"{place}[{key}]").items()}
    return {place: content}


def test_json_has_one_entry_per_window_and_a_skipped_one_repeats():
    report = json.loads((GOLDEN / "undecided.json").read_text())
    evidence = report["metrics"][0]["logEvidence"]

    assert set(evidence) == {"worse", "restart", "catastrophic", "notWorse", "combined"}
    for values in evidence.values():
        assert len(values) == 4
        assert values[0] == values[1] == values[2] != values[3]


def test_the_first_window_by_hand():
    # One window: the plain process is F1 with θ̂0 = (½ + 200)/(1 + 40000) and ten equal weights.
    report = json.loads((GOLDEN / "worse.json").read_text())
    found = report["metrics"][0]["logEvidence"]
    rate, margin = 200.5 / 40_001, 0.0025
    values = []
    for ratio in (1.1, 1.2, 1.35, 1.55, 1.8, 2.2, 3, 4.5, 8, 20):
        odds = (rate + margin) / (1 - rate - margin) * ratio
        candidate = odds / (1 + odds)
        low, high = 1e-9, 1 - margin - 1e-9
        for _ in range(100):
            s = (low + high) / 2
            slope = 1800 * ((1 - rate) / (1 - s) - rate / s)
            slope += 200 * ((1 - candidate) / (1 - s - margin) - candidate / (s + margin))
            low, high = (s, high) if slope < 0 else (low, s)
        logs = 3 * math.log(candidate / (s + margin)) + 197 * math.log((1 - candidate) / (1 - s - margin))
        values.append(math.exp(logs + 9 * math.log(rate / s) + 1791 * math.log((1 - rate) / (1 - s))))
    worse = sum(values) / 10

    assert found["worse"][0] == pytest.approx(math.log(worse), abs=1e-9)
    assert found["restart"][0] == pytest.approx(math.log(worse / 2 + 1 / 2), abs=1e-9)


def test_the_module_runs_as_a_program():
    command = [sys.executable, "-m", "controller", "judge", str(GOLDEN / "worse.windows.json"), "-o", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=GOLDEN.parents[2], timeout=60)

    assert (done.returncode, json.loads(done.stdout)["verdict"], done.stderr) == (2, "Worse", "")


VALID = json.loads((GOLDEN / "worse.windows.json").read_text())


def changed(place, value):
    """The valid file with one value replaced; ``...`` removes it."""
    content = copy.deepcopy(VALID)
    *parents, last = place
    target = content
    for key in parents:
        target = target[key]
    if value is ...:
        del target[last]
    else:
        target[last] = value
    return content


METRIC = ("metrics", 0)
FIRST = (*METRIC, "windows", 0)
BAD_FILES = [
    (("alpha",), "1.5", "alpha: expected less than 1, found"),
    (("alpha",), "often", 'alpha: expected a number such as "0.01", found "often"'),
    (("alpha",), True, 'alpha: expected a number such as "0.01", found true'),
    (("alpha",), math.nan, "alpha: expected a finite number, found NaN"),
    (("horizon",), 0, "horizon: expected greater than or equal to 1, found 0"),
    (("windows",), [], "windows: expected no such key, found []"),
    (("metrics",), [], "expected at least one metric"),
    (("metrics",), ..., "metrics: expected this key, found none"),
    (("calibration",), {"designEffect": "0.5"}, "calibration.designEffect: expected greater than or equal to 1"),
    ((*METRIC, "kind"), "mean", "metrics[0].windows[0].stable.count: expected this key, found none"),
    ((*METRIC, "kind"), "histogram", "metrics[0].windows[0].candidate.buckets: expected this key, found none"),
    ((*METRIC, "kind"), "query", "metrics[0]: expected the kind 'ratio' or 'rate' or 'mean'"),
    ((*METRIC, "kind"), "ratios", "or 'distribution' or 'paired', found 'ratios'"),
    ((*METRIC, "role"), "Judge", "metrics[0].role: expected 'RedFlag', 'Guardrail', 'Target' or 'Watch'"),
    ((*METRIC, "role"), "RedFlag", "threshold for the role RedFlag and for no other"),
    ((*METRIC, "margin"), ..., "metrics[0]: expected a margin, absolute or relative; found neither"),
    ((*METRIC, "margin"), {"absolute": "-1"}, "metrics[0].margin.absolute: expected greater than or equal to 0"),
    ((*METRIC, "margin"), {"relative": "300"}, "metrics[0]: expected an effective margin of at least 0 and below 1"),
    (
        (*METRIC, "history"),
        {"total": 1, "bad": 2},
        "metrics[0].history: expected bad of at most total (1); found bad 2",
    ),
    ((*FIRST, "stable"), ..., "metrics[0].windows[0].stable: expected this key, found none"),
    ((*FIRST, "stable", "bad"), 1801, "metrics[0].windows[0].stable: expected bad of at most total (1800)"),
    ((*FIRST, "stable", "bad"), "9", 'metrics[0].windows[0].stable.bad: expected a valid number, found "9"'),
    ((*FIRST, "candidate", "total"), math.inf, "metrics[0].windows[0].candidate.total: expected a finite number"),
    ((*FIRST, "candidate", "total"), -1, "candidate.total: expected greater than or equal to 0, found -1"),
    ((*FIRST, "candidate"), {"pods": []}, "metrics[0].windows[0].candidate.pods:"),
    (
        (*FIRST, "candidate"),
        {"pods": [{"total": 1, "bad": 0}], "bad": 0},
        "candidate: expected either the arm's own counts or pods; found pods and bad",
    ),
    ((*FIRST, "weight"), 101, "metrics[0].windows[0].weight: expected less than or equal to 100, found 101"),
]


@pytest.mark.parametrize(("place", "value", "message"), BAD_FILES, ids=[case[2][:60] for case in BAD_FILES])
def test_bad_file(place, value, message, tmp_path, capsys):
    file = tmp_path / "windows.json"
    file.write_text(json.dumps(changed(place, value)))

    assert main(["judge", str(file)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert all(line.startswith(f"error: {file}: ") for line in err.splitlines())


def test_a_relative_margin_needs_history(tmp_path, capsys):
    content = changed((*METRIC, "margin"), {"relative": "0.5"})
    del content["metrics"][0]["history"]
    file = tmp_path / "windows.json"
    file.write_text(json.dumps(content))

    assert main(["judge", str(file)]) == 1
    assert "metrics[0]: a relative margin (0.5) needs stable's history; found none" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"alpha": "0.05",\n "metrics": [}', "line 2, column 14: expected JSON, found expecting value"),
        (b"[]", "the file: expected an object, found []"),
        (b"[" + b"9" * 5_000 + b"]", "found a number with thousands of digits"),
        (b"", "line 1, column 1: expected JSON"),
        (b"\xff\xfe{}", "expected text in UTF-8, found the byte 0xff at 0"),
        (b"[" * 200_000, "nested too deeply"),
        (json.dumps(changed((*FIRST, "stable", "total"), 10**400)).encode(), "stable.total: expected a"),
    ],
)
def test_what_is_no_such_file_at_all(content, message, tmp_path, capsys):
    file = tmp_path / "windows.json"
    file.write_bytes(content)

    assert main(["judge", str(file)]) == 1
    assert message in capsys.readouterr().err


def test_a_missing_file(tmp_path, capsys):
    assert main(["judge", str(tmp_path / "none.json")]) == 1
    assert "none.json: expected a file that can be read, found: No such file or directory" in capsys.readouterr().err


def test_every_problem_is_named_at_once():
    content = changed((*FIRST, "weight"), -1) | {"alpha": "2", "colour": "red"}
    with pytest.raises(ValueError, match="alpha: ") as caught:
        read_windows_file(json.dumps(content))
    assert len(str(caught.value).splitlines()) == 3


def test_calibration_deflates_counts_and_widens_the_margin():
    case = read_windows_file((GOLDEN / "calibrated.windows.json").read_text())

    (test,) = case.tests
    assert test.margin == 0.004
    assert (test.history.total, test.history.bad) == (20_000, 100)
    assert case.windows[0] == {
        "errors": Window(stable=Arm(900, 4.5, requests=1800), candidate=Arm(100, 1.5, requests=200))
    }


def test_metrics_of_different_length_share_the_windows_they_have():
    case = read_windows_file((GOLDEN / "not-worse.windows.json").read_text())

    assert [window["latency"] is None for window in case.windows] == [False, True, True, True, True, True]
    assert [test.horizon for test in case.tests] == [100, 100]
    assert case.tests[0].margin == pytest.approx(0.02)
