"""How a step ended, and in which words that is told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tests.cluster.progress import minutes
from tests.levels.tally import Tally

NOTHING_WRONG: Final = ""


@dataclass(frozen=True)
class Outcome:
    """The end of a step.

    Attributes:
        name: the step's.
        wrong: what is wrong with it in one phrase, or nothing.
        seconds: it took.
        tally: of a level; preparations have none.
    """

    name: str
    wrong: str = NOTHING_WRONG
    seconds: float = 0.0
    tally: Tally | None = None

    @property
    def well(self) -> bool:
        """Whether it ended well."""
        return self.wrong == NOTHING_WRONG


def wrong_with_preparation(exit_code: int) -> str:
    """Return what is wrong with a preparation that ended so."""
    return f"it ended with {exit_code}" if exit_code else NOTHING_WRONG


def wrong_with_level(exit_code: int, tally: Tally) -> str:
    """Return what is wrong with a level that ended so; with one that had no test there is, too."""
    if tally.failed:
        return f"{len(tally.failed)} failed"
    if not tally.collected:
        return f"no test was collected (pytest ended with {exit_code})"
    if tally.done < tally.collected:
        return f"pytest ended with {exit_code} after {tally.done} of {tally.collected} tests"
    if tally.skipped:
        return f"{len(tally.skipped)} skipped, but every test is to run"
    return f"pytest ended with {exit_code}" if exit_code else NOTHING_WRONG


def progress(tally: Tally) -> str:
    """Return how far a level has come."""
    if not tally.collected:
        return "collecting tests"
    now = f", now {tally.running}" if tally.running else ""
    return f"{tally.done} of {tally.collected} tests, {len(tally.failed)} failed{now}"


def summary(outcomes: Iterable[Outcome]) -> list[str]:
    """Return the closing lines: a table of levels, what failed by name, and preparations only if they went wrong."""
    known = list(outcomes)
    lines = [f"{'level':<14} {'passed':>7} {'failed':>7} {'minutes':>8}"]
    for each in known:
        if each.tally is not None:
            passed, failed = each.tally.passed, len(each.tally.failed)
            lines.append(f"{each.name:<14} {passed:>7} {failed:>7} {minutes(each.seconds):>8}  {each.wrong}".rstrip())
    lines += [f"{each.name}: {each.wrong}" for each in known if each.tally is None and not each.well]
    for each in known:
        if each.tally is not None:
            lines += [f"FAILED {name}" for name in each.tally.failed]
            lines += [f"SKIPPED {name}" for name in each.tally.skipped]
    return lines
