"""Runs lanes side by side, tells how far they are, and ends them when told to."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Final

from tests.cluster.progress import minutes
from tests.levels.outcome import Outcome, progress, wrong_with_level, wrong_with_preparation
from tests.levels.schedule import CHECKOUT, Lane, Level, Preparation, Step, arguments
from tests.levels.session import Session
from tests.levels.tally import Tally

REPORT_SECONDS: Final = 30.0
GRACE_SECONDS: Final = 60.0
"""Longer than tests take to remove what they have put into a cluster."""
ONE_WISH_SECONDS: Final = 1.0
"""Signals so close together are one wish: `make` sends on what its whole process group has got."""


class Run:
    """One run of all lanes.

    Args:
        lanes: what to run.
        python: what runs the steps.
        folder: an empty one, for logs and tallies.
        say: prints; what is told in one call stays together.
        report_seconds: between two lines on a level that runs.
    """

    def __init__(
        self,
        lanes: Sequence[Lane],
        *,
        python: str,
        folder: Path,
        say: Callable[[str], None],
        report_seconds: float = REPORT_SECONDS,
    ) -> None:
        self._lanes = lanes
        self._python = python
        self._folder = folder
        self._say = say
        self._report_seconds = report_seconds
        self._begun = time.monotonic()
        self._ends: dict[str, asyncio.Future[Outcome]] = {}
        self._sessions: set[Session] = set()
        self.broken_off: signal.Signals | None = None
        """The signal that ended the run early."""
        self._broken_off_at = 0.0

    async def outcomes(self) -> list[Outcome]:
        """Run everything and return how each step ended, lane by lane."""
        loop = asyncio.get_running_loop()
        self._ends = {step.name: loop.create_future() for lane in self._lanes for step in lane.steps}
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._break_off, number)
        try:
            await asyncio.gather(*(self._run_lane(lane) for lane in self._lanes))
        finally:
            self._kill()
        return [end.result() for end in self._ends.values()]

    def _break_off(self, number: signal.Signals) -> None:
        """Ask what runs to end; at the second signal, or when it takes too long, kill it."""
        now = time.monotonic()
        if self.broken_off is not None:
            if now > self._broken_off_at + ONE_WISH_SECONDS:
                self._kill()
            return
        self.broken_off, self._broken_off_at = number, now
        self._say(f"{number.name}: waiting until tests have removed what they put up; once more to kill them")
        for session in self._sessions:
            session.interrupt()
        asyncio.get_running_loop().call_later(GRACE_SECONDS, self._kill)

    def _kill(self) -> None:
        for session in self._sessions:
            session.kill()

    async def _run_lane(self, lane: Lane) -> None:
        for step in lane.steps:
            outcome = await self._outcome(step, lane.niceness)
            if not outcome.well:
                self._tell(step, outcome.wrong)
            self._ends[step.name].set_result(outcome)

    async def _outcome(self, step: Step, niceness: int) -> Outcome:
        if waits := [name for name in step.needs if not self._ends[name].done()]:
            self._tell(step, f"waits for {', '.join(waits)}")
        failed = [name for name in step.needs if not (await self._ends[name]).well]
        if self.broken_off is not None or failed:
            reason = "broken off" if self.broken_off is not None else f"{', '.join(failed)} failed"
            return Outcome(step.name, f"not run: {reason}", tally=Tally() if isinstance(step, Level) else None)
        match step:
            case Preparation():
                return await self._prepare(step, niceness)
            case Level():
                return await self._test(step, niceness)

    async def _prepare(self, step: Preparation, niceness: int) -> Outcome:
        """Run a preparation, repeating what it says as it goes."""
        started = time.monotonic()
        self._tell(step, "begins")
        session = await self._start(step, niceness, output=asyncio.subprocess.PIPE)

        async def repeat() -> None:
            async for line in session.lines:
                self._tell(step, line.decode(errors="replace").rstrip())

        exit_code, _ = await asyncio.gather(self._end(session), repeat())
        return Outcome(step.name, wrong_with_preparation(exit_code), seconds=time.monotonic() - started)

    async def _test(self, step: Level, niceness: int) -> Outcome:
        """Run a level, telling how far it is, and print its log when it has ended."""
        started = time.monotonic()
        log = self._folder / f"{step.name}.log"
        with log.open("wb") as output:
            session = await self._start(step, niceness, output=output)
        self._tell(step, f"runs; follow it with: tail -f '{log}'")
        end = asyncio.create_task(self._end(session))
        told: set[str] = set()
        while not end.done():
            await asyncio.wait({end}, timeout=self._report_seconds)
            tally = Tally.read(self._tally_file(step))
            for name in sorted(set(tally.failed) - told):
                self._tell(step, f"FAILED {name}")
            told |= set(tally.failed)
            self._tell(step, progress(tally))
        seconds = time.monotonic() - started
        self._say(f"\n===== {step.name}: the log of pytest =====\n{log.read_text(errors='replace')}")
        tally = Tally.read(self._tally_file(step))
        return Outcome(step.name, wrong_with_level(await end, tally), seconds=seconds, tally=tally)

    async def _start(self, step: Step, niceness: int, *, output: IO[bytes] | int) -> Session:
        command = (self._python, *arguments(step, tally=self._tally_file(step)))
        session = await Session.start(command, folder=CHECKOUT, niceness=niceness, output=output)
        self._sessions.add(session)
        if self.broken_off is not None:  # while it was starting
            session.interrupt()
        return session

    async def _end(self, session: Session) -> int:
        exit_code = await session.end()
        self._sessions.discard(session)
        return exit_code

    def _tally_file(self, step: Step) -> Path:
        return self._folder / f"{step.name}.json"

    def _tell(self, step: Step, words: str) -> None:
        self._say(f"{minutes(time.monotonic() - self._begun):>6}  {step.name}: {words}")
