"""The runner of all levels, on small suites of its own: real processes, real runs of pytest."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.cluster.layout import SOURCE
from tests.levels.outcome import Outcome, summary, wrong_with_level
from tests.levels.running import GRACE_SECONDS, Run
from tests.levels.schedule import LANES, ON_CLUSTER, ON_CONTROL_PLANE, PURE, Lane, Level, Preparation, Step
from tests.levels.tally import Tally

CHECKOUT = SOURCE.parent.parent
SECONDS = 60.0


@dataclass
class Stage:
    """A folder for suites, and what was said while they ran, one entry per call."""

    folder: Path
    said: list[str] = field(default_factory=list)

    def level(self, name: str, text: str, *, needs: tuple[str, ...] = ()) -> Level:
        """Return a level of one file of tests."""
        file = self.folder / f"test_{name}.py"
        file.write_text(f"import os, time, pathlib, pytest\n{text}")
        return Level(name, (str(file), "-p", "no:cacheprovider"), needs)

    def run(self, *lanes: Sequence[Step], niceness: int = 0, report_seconds: float = 30.0) -> dict[str, Outcome]:
        """Run lanes to their end."""
        logs = self.folder / "logs"
        logs.mkdir()
        given = [Lane(tuple(steps), niceness) for steps in lanes]
        run = Run(given, python=sys.executable, folder=logs, say=self.said.append, report_seconds=report_seconds)
        return {each.name: each for each in asyncio.run(run.outcomes())}


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def python(name: str, text: str, *, needs: tuple[str, ...] = ()) -> Preparation:
    return Preparation(name, ("-c", text), needs)


GOOD = "def test_it():\n    print('fine')\n"


# --- what is scheduled ------------------------------------------------------------------------------------------


def test_no_lane_waits_for_ever() -> None:
    waiting, ended = [list(lane.steps) for lane in LANES], set[str]()
    while any(waiting):
        ready = [steps for steps in waiting if steps and ended.issuperset(steps[0].needs)]
        assert ready, f"these wait for one another: {[steps[0].name for steps in waiting if steps]}"
        ended |= {steps.pop(0).name for steps in ready}


MARKED = """
def test_plain(): pass
@pytest.mark.controlplane
def test_small(): pass
@pytest.mark.cluster
def test_full(): pass
@pytest.mark.cluster
@pytest.mark.controlplane
def test_both(): pass
"""


def test_every_test_is_in_exactly_one_level(tmp_path: Path) -> None:
    file = tmp_path / "test_marked.py"
    file.write_text(f"import pytest\n{MARKED}")
    configured = ("-c", str(CHECKOUT / "pyproject.toml"), "--rootdir", str(tmp_path), "--collect-only", "-q")
    found = {}
    for selection in (PURE, ON_CONTROL_PLANE, ON_CLUSTER):
        command = [sys.executable, "-m", "pytest", *configured, *selection, str(file)]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found[selection] = {line.partition("::")[2] for line in printed.splitlines() if "::" in line}
    assert found == {PURE: {"test_plain"}, ON_CONTROL_PLANE: {"test_small"}, ON_CLUSTER: {"test_full", "test_both"}}


# --- what is run ------------------------------------------------------------------------------------------------


def test_lanes_run_side_by_side_and_print_whole_logs(stage: Stage) -> None:
    """Each waits for the other's sign, so that one after the other they would never end."""
    meeting = """
@pytest.mark.parametrize("number", range(3))
def test_meeting(number):
    here, there = (pathlib.Path({folder!r}) / name / str(number) for name in {names!r})
    here.parent.mkdir(exist_ok=True)
    here.touch()
    while not there.exists():
        time.sleep(0.01)
"""
    pair = [
        stage.level(one, meeting.format(folder=str(stage.folder), names=(one, other)))
        for one, other in (("east", "west"), ("west", "east"))
    ]
    outcomes = stage.run([pair[0]], [pair[1]])
    assert [each.tally for each in outcomes.values()] == [Tally(collected=3, passed=3)] * 2
    for name in ("east", "west"):
        (log,) = (words for words in stage.said if f"===== {name}" in words)
        assert f"test_{name}.py" in log
        assert "3 passed" in log


def test_steps_of_a_lane_run_in_order_and_only_after_what_they_need(stage: Stage) -> None:
    file = stage.folder / "order"
    note = "import time; time.sleep({pause}); open({file!r}, 'a').write({name!r})"
    steps = {
        name: python(name, note.format(pause=pause, file=str(file), name=name), needs=needs)
        for name, pause, needs in (("a", 0.5, ()), ("b", 0, ()), ("c", 0, ("b",)), ("d", 0, ()))
    }
    outcomes = stage.run([steps["a"], steps["b"]], [steps["c"], steps["d"]])
    assert all(each.well for each in outcomes.values())
    assert file.read_text() == "abcd"
    assert any("c: waits for b" in words for words in stage.said)


def test_what_a_failed_step_was_needed_for_is_not_run_and_said_so(stage: Stage) -> None:
    """The rest is run all the same, and nothing of it counts as well."""
    steps = (
        python("boot", "print('no such machine'); raise SystemExit(3)"),
        stage.level("above", GOOD, needs=("boot",)),
        stage.level("beside", GOOD),
    )
    outcomes = stage.run(steps)
    assert outcomes["boot"].wrong == "it ended with 3"
    assert outcomes["above"].wrong == "not run: boot failed"
    assert outcomes["beside"].well
    assert any("boot: no such machine" in words for words in stage.said)
    assert any(line.startswith("above") and "not run" in line for line in summary(outcomes.values()))


def test_a_lane_is_as_polite_as_it_is_told(stage: Stage) -> None:
    stage.run([python("boot", "import os; print('nice', os.nice(0))")], niceness=3)
    expected = min(os.nice(0) + 3, 19)
    assert any(words.endswith(f"boot: nice {expected}") for words in stage.said), stage.said


def test_it_tells_how_far_a_level_is_and_what_failed_before_its_end(stage: Stage) -> None:
    text = f"""
def test_bad(): assert False
def test_waits():
    for _ in range(6000):
        if pathlib.Path({str(stage.folder / "seen")!r}).exists():
            return
        time.sleep(0.01)
    assert False
"""
    level = stage.level("some", text)
    say = stage.said.append

    def hear(words: str) -> None:
        say(words)
        if "1 of 2 tests, 1 failed" in words:
            (stage.folder / "seen").touch()

    run = Run([Lane((level,))], python=sys.executable, folder=stage.folder, say=hear, report_seconds=0.1)
    (outcome,) = asyncio.run(run.outcomes())
    assert outcome.tally is not None
    assert (outcome.tally.passed, outcome.wrong) == (1, "1 failed")
    failed = next(place for place, words in enumerate(stage.said) if "FAILED" in words and "test_bad" in words)
    assert failed < next(place for place, words in enumerate(stage.said) if "=====" in words)


# --- what counts as well ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "no test was collected (pytest ended with 5)"),
        (f"{GOOD}raise RuntimeError", "no test was collected (pytest ended with 2)"),
        (f"{GOOD}@pytest.mark.skip\ndef test_no(): pass", "1 skipped, but every test is to run"),
        (f"{GOOD}@pytest.mark.xfail\ndef test_no(): assert False", "1 skipped, but every test is to run"),
        (f"{GOOD}def test_no(): os._exit(0)", "pytest ended with 0 after 1 of 2 tests"),
        ("@pytest.fixture\ndef f():\n    yield\n    assert False\ndef test_it(f): pass", "1 failed"),
        ("@pytest.fixture\ndef f(): assert False\ndef test_it(f): pass", "1 failed"),
        (f"{GOOD}def test_no(): pytest.exit('enough', 0)", "pytest ended with 0 after 1 of 2 tests"),
    ],
)
def test_only_a_level_of_which_every_test_passed_is_well(stage: Stage, text: str, wrong: str) -> None:
    assert stage.run([stage.level("some", text)])["some"].wrong == wrong


def test_an_exit_code_is_believed_although_all_tests_passed() -> None:
    assert wrong_with_level(1, Tally(collected=2, passed=2)) == "pytest ended with 1"
    assert wrong_with_level(0, Tally(collected=2, passed=2)) == ""


def test_the_sum_has_a_line_per_level_and_names_what_failed() -> None:
    outcomes = [
        Outcome("boot", seconds=3.0),
        Outcome("pure", seconds=61.0, tally=Tally(collected=2, passed=2)),
        Outcome(
            "cluster", "1 failed", seconds=130.0, tally=Tally(collected=2, passed=1, failed=("test_a.py::test_b",))
        ),
    ]
    assert summary(outcomes) == [
        "level           passed  failed  minutes",
        "pure                 2       0     1:01",
        "cluster              1       1     2:10  1 failed",
        "FAILED test_a.py::test_b",
    ]


# --- how it ends early ------------------------------------------------------------------------------------------

MORTAL = """
@pytest.fixture
def neighbour():
    import subprocess
    process = subprocess.Popen(["sleep", "600"])
    pathlib.Path({folder!r}, "neighbour").write_text(str(process.pid))
    yield
    {teardown}
    process.kill()
    process.wait()
    pathlib.Path({folder!r}, "tidy").touch()
def test_long(neighbour):
    pathlib.Path({folder!r}, "begun").touch()
    time.sleep(600)
"""

ENTRY = """
import asyncio, pathlib, sys
from tests.levels.running import Run
from tests.levels.schedule import Lane, Level, Preparation
steps = (Level("long", ({file!r}, "-p", "no:cacheprovider")), Preparation("never", ("-c", "print('it ran')")))
lanes, folder = [Lane(steps)], pathlib.Path({folder!r})
run = Run(lanes, python=sys.executable, folder=folder, say=lambda words: print(words, flush=True))
print([each.wrong for each in asyncio.run(run.outcomes())], run.broken_off.name)
"""


def until(file: Path) -> None:
    end = time.monotonic() + SECONDS
    while not file.exists():
        assert time.monotonic() < end, f"{file.name} did not come"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    """Tell whether a process has ended; its parent may not have asked yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def begin(stage: Stage, teardown: str) -> subprocess.Popen[str]:
    """Start a run, and wait until its test has begun."""
    folder = str(stage.folder)
    level = stage.level("long", MORTAL.format(folder=folder, teardown=teardown))
    entry = ENTRY.format(file=level.selection[0], folder=folder)
    run = subprocess.Popen([sys.executable, "-c", entry], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
    until(stage.folder / "begun")
    return run


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("times", [1, 2])
def test_broken_off_it_lets_tests_tidy_up_and_starts_nothing_more(
    stage: Stage, number: signal.Signals, times: int
) -> None:
    """The same signal from the terminal and from `make` counts once."""
    run = begin(stage, teardown="pass")
    for _ in range(times):
        run.send_signal(number)
    printed, _ = run.communicate(timeout=SECONDS)
    assert (stage.folder / "tidy").exists()
    assert printed.splitlines()[-1] == (
        f"['pytest ended with 2 after 0 of 1 tests', 'not run: broken off'] {number.name}"
    )
    assert "it ran" not in printed


def test_broken_off_twice_it_kills_what_does_not_end(stage: Stage) -> None:
    run = begin(stage, teardown=f"pathlib.Path({str(stage.folder)!r}, 'stuck').touch(); time.sleep(600)")
    run.send_signal(signal.SIGTERM)
    until(stage.folder / "stuck")
    # Two that come at once count for one, so it is told as often as it takes.
    end = time.monotonic() + GRACE_SECONDS / 2
    while run.poll() is None and time.monotonic() < end:
        run.send_signal(signal.SIGTERM)
        time.sleep(0.2)
    printed, _ = run.communicate(timeout=SECONDS)
    assert f"pytest ended with {-signal.SIGKILL} " in printed.splitlines()[-1]
    assert gone(int((stage.folder / "neighbour").read_text()))


def test_what_a_test_leaves_running_ends_with_its_level(stage: Stage) -> None:
    pid = stage.folder / "pid"
    text = f"""
def test_forgetful():
    import subprocess
    pathlib.Path({str(pid)!r}).write_text(str(subprocess.Popen(["sleep", "600"]).pid))
"""
    assert stage.run([stage.level("forgetful", text)])["forgetful"].well
    left = int(pid.read_text())
    end = time.monotonic() + SECONDS
    while not gone(left):
        assert time.monotonic() < end, "it still runs"
        time.sleep(0.02)
