"""The command line: `python -m tests.cluster up|down|status|images|hold|release`."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

from tests.cluster import controlplane, native, processes
from tests.cluster.binaries import locked
from tests.cluster.layout import SOURCE, ClusterError, Layout, Size, cache_folder, point_to
from tests.cluster.progress import say


def up(options: argparse.Namespace) -> None:
    """Bring a cluster up, or repair it."""
    layout = Layout(options.checkout, Size(options.size))
    fresh = not processes.running(layout.supervisor)
    started = time.monotonic()
    layout.folder.mkdir(parents=True, exist_ok=True)
    if layout.size is Size.CONTROL_PLANE:
        controlplane.up(layout)
    point_to(layout)
    if fresh:
        say(f"{layout.size} is up after {time.monotonic() - started:.0f} s: {layout.enter}, {layout.kubeconfig}")
    else:
        say(f"{layout.size} is up")


def down(options: argparse.Namespace) -> None:
    """End everything and remove every trace but the cache."""
    sizes = [Size(options.size)] if options.size else list(Size)
    for layout in (Layout(options.checkout, size) for size in sizes):
        if layout.folder.exists():
            native.stop(layout)
            shutil.rmtree(layout.folder)
            say(f"{layout.size} is down")
    layout = Layout(options.checkout, Size.FULL)
    if layout.root.exists():
        point_to(layout)
        if not any(layout.root.iterdir()):
            layout.root.rmdir()


def status(options: argparse.Namespace) -> None:
    """Print what runs."""
    for size in Size:
        layout = Layout(options.checkout, size)
        state = "down" if not processes.running(layout.supervisor) else "ready" if native.ready(layout) else "not ready"
        print(f"{size}: {state}")
        for line in native.report(layout):
            print(f"  {line}")


def hold(options: argparse.Namespace) -> None:
    """Kill a component and keep it down."""
    native.hold(Layout(options.checkout, Size(options.size)), options.component)


def release(options: argparse.Namespace) -> None:
    """Let a held component start again."""
    native.release(Layout(options.checkout, Size(options.size)), options.component)


def parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    root = argparse.ArgumentParser(
        prog="python -m tests.cluster", description="A real Kubernetes cluster for tests and demo."
    )
    root.add_argument(
        "--checkout", type=Path, default=SOURCE.parent.parent, help="whose cluster (default: this checkout's)"
    )
    commands = root.add_subparsers(required=True, metavar="COMMAND")
    sizes = [size.value for size in Size]
    for function in (up, down, status, hold, release):
        words = (function.__doc__ or "").strip()
        command = commands.add_parser(function.__name__, help=words, description=words)
        command.set_defaults(function=function)
        if function is not status:
            default = None if function is down else Size.FULL.value
            command.add_argument("--size", choices=sizes, default=default, help=f"default: {default or 'both'}")
        if function in (hold, release):
            command.add_argument("component", help="for example kube-apiserver; status lists them")
    return root


def main() -> int:
    """Run the command; a failure is one sentence and exit code 1."""
    options = parser().parse_args()
    options.checkout = options.checkout.resolve()
    try:
        with locked(
            cache_folder() / "locks" / Layout(options.checkout, Size.FULL).identity,
            waiting="waiting for another command on this cluster",
        ):
            options.function(options)
    except ClusterError as error:
        say(f"cluster: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
