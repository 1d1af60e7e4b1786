"""How far a run of pytest has come: a plugin that writes it to a file before and after each test, and who reads it.

``pytest -p tests.levels.tally --tally=FILE``; the file is whole at every moment, also when pytest is killed.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Tally:
    """Tests of one run of pytest.

    Attributes:
        collected: how many it is to run; 0 while it collects.
        passed: in every phase.
        skipped: names of those skipped or expected to fail: neither shows that anything works.
        failed: names of those that failed in any phase.
        running: the name of the test that runs, or nothing.
    """

    collected: int = 0
    passed: int = 0
    skipped: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    running: str = ""

    @property
    def done(self) -> int:
        """How many have ended."""
        return self.passed + len(self.skipped) + len(self.failed)

    @classmethod
    def read(cls, file: Path) -> Tally:
        """Return what the file says; while there is none, no test is known."""
        try:
            content = json.loads(file.read_text())
        except FileNotFoundError:
            return cls()
        return cls(**content | {name: tuple(content[name]) for name in ("skipped", "failed")})

    def write(self, file: Path) -> None:
        """Make this the file's content, at once."""
        draft = file.with_suffix(".draft")
        draft.write_text(json.dumps(asdict(self)))
        draft.rename(file)

    def ended(self, name: str, outcomes: set[str]) -> Tally:
        """Return the tally after a test of which the phases had these outcomes."""
        if "failed" in outcomes:
            return replace(self, running="", failed=(*self.failed, name))
        if "skipped" in outcomes:
            return replace(self, running="", skipped=(*self.skipped, name))
        return replace(self, running="", passed=self.passed + 1)


class Counter:
    """The plugin."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._tally = Tally()
        self._outcomes: set[str] = set()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Take the number of tests that are left after all selection."""
        self._now(replace(self._tally, collected=len(session.items)))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Begin a test."""
        self._outcomes = set()
        self._now(replace(self._tally, running=nodeid))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the outcome of a phase; the end of fixtures that tests share belongs to the last of them."""
        self._outcomes.add(report.outcome)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """End a test."""
        self._now(self._tally.ended(nodeid, self._outcomes))

    def _now(self, tally: Tally) -> None:
        self._tally = tally
        tally.write(self._file)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    words = "write which tests were collected, passed, skipped and failed so far, as JSON"
    parser.addoption("--tally", type=Path, metavar="FILE", required=True, help=words)


def pytest_configure(config: pytest.Config) -> None:
    """Count this run."""
    config.pluginmanager.register(Counter(config.getoption("tally")), "counter")
