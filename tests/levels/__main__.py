"""The command line: ``python -m tests.levels``; exit code 0 only if every test of every level has passed."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.levels.outcome import summary
from tests.levels.running import Run
from tests.levels.schedule import LANES


async def run(folder: Path) -> int:
    """Run all lanes, print how they ended and return the exit code."""
    lanes = Run(LANES, python=sys.executable, folder=folder, say=say)
    outcomes = await lanes.outcomes()
    say("\n".join(("", *summary(outcomes))))
    if lanes.broken_off is not None:
        return 128 + lanes.broken_off
    return 0 if all(each.well for each in outcomes) else 1


def say(words: str) -> None:
    """Print at once."""
    print(words, flush=True)


def main() -> int:
    """Run all levels; logs are printed, and not kept."""
    argparse.ArgumentParser(prog="python -m tests.levels", description=__doc__).parse_args()
    with tempfile.TemporaryDirectory(prefix="levels.") as folder:
        return asyncio.run(run(Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
