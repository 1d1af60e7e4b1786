"""Starts, checks, repairs and ends a cluster that runs as processes of this machine, of either size."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.cluster import processes, supervisor
from tests.cluster.layout import ClusterError, Layout
from tests.cluster.plan import Plan
from tests.cluster.progress import last_words, run, say

READY_SECONDS = 60.0
REPAIR_SECONDS = 15.0

ENTER_NAMESPACE = """\
pid=$(cut -d' ' -f1 {pid_file} 2>/dev/null)
if ! [ -e "/proc/${{pid:-none}}" ]; then
  echo "the cluster is not up: make cluster-up" >&2
  exit 1
fi
exec nsenter --target "$pid" --net -- unshare --mount --propagation slave -- \\
  sh -c 'mount --bind "$0" /etc/resolv.conf && exec "$@"' {resolver} "$@"
"""


def start(
    layout: Layout, plan: Plan, *, namespaces: Sequence[str] = (), before: Callable[[], None] | None = None
) -> None:
    """Make the plan run and wait until the API is ready; what runs already and answers is left alone.

    A supervisor that runs gets a moment to repair what was killed. One that runs something else, or whose API stays
    silent, is ended and started again on the same data; `before` runs just before any start.
    """
    layout.logs.mkdir(parents=True, exist_ok=True)
    layout.pids.mkdir(exist_ok=True)
    text = plan.text()
    shutil.rmtree(layout.folder / "held", ignore_errors=True)
    if processes.running(layout.supervisor):
        if layout.plan.read_text() == text and _ready_within(layout, plan, REPAIR_SECONDS):
            return
        say(f"starting {layout.size} again")
        stop(layout)
    layout.plan.write_text(text)
    if before:
        before()
    _launch(layout, namespaces)
    if not _ready_within(layout, plan, READY_SECONDS):
        raise ClusterError(
            f"the API server did not become ready in {READY_SECONDS:.0f} s; see {layout.logs}: {_clue(layout)}"
        )


def _launch(layout: Layout, namespaces: Sequence[str]) -> None:
    command = [*namespaces, sys.executable, "-S", "-E", supervisor.__file__, str(layout.plan)]
    layout.supervisor.unlink(missing_ok=True)
    (layout.folder / "prepared").unlink(missing_ok=True)
    with (layout.logs / "supervisor.log").open("ab") as log:
        launched = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True
        )
    while not (layout.folder / "prepared").exists():
        if launched.poll() is not None:
            raise ClusterError(f"the supervisor ended with {launched.returncode}: {_clue(layout)}")
        time.sleep(0.05)
    # It outlives this process on purpose.
    launched.returncode = 0


def _ready_within(layout: Layout, plan: Plan, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    names = [component.name for component in plan.components]
    while time.monotonic() < deadline:
        if not processes.running(layout.supervisor):
            return False
        if all(processes.running(layout.pids / name) for name in names) and ready(layout):
            return True
        time.sleep(0.1)
    return False


def running(layout: Layout) -> bool:
    """Tell whether the cluster's supervisor runs."""
    return processes.running(layout.supervisor) is not None


def ready(layout: Layout) -> bool:
    """Ask the API server whether it is ready."""
    try:
        return kubectl(layout, "get", "--raw=/readyz", "--request-timeout=5s") == "ok"
    except ClusterError:
        return False


def stop(layout: Layout) -> None:
    """End every process of the cluster; the kernel ends the components with their supervisor."""
    if process := processes.running(layout.supervisor):
        processes.end([process])
    # Read only now: the supervisor may have started something a moment ago.
    if left := processes.end(process for file in layout.pids.glob("*") if (process := processes.read(file))):
        raise ClusterError(f"processes {[process.pid for process in left]} do not end; look at them with ps")
    for file in layout.pids.glob("*"):
        file.unlink()


def hold(layout: Layout, component: str) -> None:
    """Kill a component and keep it from being started again until `release`."""
    file = layout.pids / component
    if not file.exists() or component == layout.supervisor.name:
        names = sorted(path.name for path in layout.pids.glob("*") if path != layout.supervisor)
        raise ClusterError(
            f"{component} is not a component of {layout.size}; expected one of {', '.join(names) or 'none: it is down'}"
        )
    (layout.folder / "held").mkdir(exist_ok=True)
    (layout.folder / "held" / component).touch()
    if process := processes.running(file):
        processes.end([process])


def release(layout: Layout, component: str) -> None:
    """Let a held component start again."""
    (layout.folder / "held" / component).unlink(missing_ok=True)


def write_enter(layout: Layout, *, body: str = 'exec "$@"\n') -> None:
    """Write the cluster's `enter`: the environment, then `body`."""
    kubeconfig, programs = shlex.quote(str(layout.kubeconfig)), shlex.quote(str(Path(sys.executable).parent))
    layout.enter.write_text(
        "#!/bin/sh\n"
        "# Runs a command where the cluster's addresses mean something, as its administrator.\n"
        f'export KUBECONFIG={kubeconfig} PATH={programs}:"$PATH"\n' + body
    )
    layout.enter.chmod(0o755)


def kubectl(layout: Layout, *arguments: str, stdin: str | None = None) -> str:
    """Run kubectl as the administrator and return what it printed."""
    return run([layout.enter, "kubectl", *arguments], stdin=stdin)


def report(layout: Layout) -> list[str]:
    """Return one line per process: name, pid, state."""
    lines = []
    for file in sorted(layout.pids.glob("*")):
        process = processes.read(file)
        held = " (held)" if (layout.folder / "held" / file.name).exists() else ""
        state = "running" if process and process.alive() else "ended"
        lines.append(f"{file.name:<24} {process.pid if process else '-':>8}  {state}{held}")
    return lines


def _clue(layout: Layout) -> str:
    logs = sorted(layout.logs.glob("*.log"), key=lambda log: log.stat().st_mtime)
    return last_words(logs[-1].read_text(errors="replace")) if logs else "nothing was logged"
