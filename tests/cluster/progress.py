"""What the person at the keyboard sees: one line per piece of work, on standard error."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.cluster.layout import ClusterError

REPORT_EVERY_SECONDS = 15.0


def say(message: str) -> None:
    """Print a line of progress."""
    print(message, file=sys.stderr, flush=True)


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> str:
    """Run a short command and return what it printed; failing raises `ClusterError` with its last words."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, cwd=cwd, env=environment, input=stdin, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise ClusterError(f"{error.filename} is missing; install it or bring the cluster up again") from error
    if done.returncode:
        raise ClusterError(
            f"{' '.join(words[:6])} … ended with {done.returncode}: {last_words(done.stderr or done.stdout)}"
        )
    return done.stdout


def run_long(
    title: str,
    command: Sequence[str | Path],
    *,
    log: Path,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run a command that takes its time, its output in `log`, saying every few seconds that it still runs."""
    say(title)
    started = reported = time.monotonic()
    log.parent.mkdir(parents=True, exist_ok=True)
    words = [str(word) for word in command]
    with log.open("w") as output:
        process = subprocess.Popen(
            words, cwd=cwd, env=environment, stdout=output, stderr=output, stdin=subprocess.DEVNULL
        )
        try:
            while process.poll() is None:
                time.sleep(0.1)
                if time.monotonic() - reported >= REPORT_EVERY_SECONDS:
                    reported = time.monotonic()
                    say(f"  {title}: {minutes(reported - started)} elapsed")
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if process.returncode:
        raise ClusterError(f"{title} failed ({log}): {last_words(log.read_text(errors='replace'))}")


def wait_for(what: str, ready: Callable[[], bool], *, seconds: float, hint: str) -> None:
    """Poll until `ready`; `ClusterError` after `seconds` says what was awaited and where to look."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise ClusterError(f"{what} was expected within {seconds:.0f} s and did not come; {hint}")
        time.sleep(0.1)


def minutes(seconds: float) -> str:
    """Format a duration as 2:31."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def last_words(text: str) -> str:
    """Return the last few lines of a log in one."""
    return " | ".join(line.strip() for line in text.strip().splitlines()[-5:]) or "(it printed nothing)"
