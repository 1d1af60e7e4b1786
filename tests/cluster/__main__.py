"""The command line: `python -m tests.cluster up|down|status|images|hold|release`."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path

from tests.cluster import controlplane, full, images, native
from tests.cluster.binaries import locked
from tests.cluster.layout import SOURCE, ClusterError, Layout, Size, cache_folder, point_to
from tests.cluster.progress import say


def up(options: argparse.Namespace) -> None:
    """Bring a cluster up, or repair it."""
    layout = Layout(options.checkout, Size(options.size))
    started = time.monotonic()
    with _alone(layout):
        if layout.size is Size.CONTROL_PLANE:
            controlplane.up(layout)
        else:
            full.up(layout, wished=full.Runtime(options.runtime) if options.runtime else None)
    _point_to(layout)
    say(f"{layout.size} is up after {time.monotonic() - started:.0f} s: {layout.enter} COMMAND")


def down(options: argparse.Namespace) -> None:
    """End everything and remove every trace but the cache."""
    for size in [Size(options.size)] if options.size else list(Size):
        layout = Layout(options.checkout, size)
        with _alone(layout):
            if layout.folder.exists():
                _end(layout)
                say(f"{size} is down")


def _end(layout: Layout) -> None:
    if layout.size is Size.CONTROL_PLANE:
        native.stop(layout)
    else:
        full.down(layout)
    shutil.rmtree(layout.folder)
    _point_to(layout)
    with contextlib.suppress(OSError):  # the other size is up
        layout.root.rmdir()


def _point_to(layout: Layout) -> None:
    """Set the short names; those of both sizes are the same, and the sizes may come up side by side."""
    with locked(cache_folder() / "locks" / layout.identity, waiting="waiting for a command on the other size"):
        point_to(layout)


def _alone(layout: Layout) -> AbstractContextManager[None]:
    lock = cache_folder() / "locks" / f"{layout.identity}-{layout.size}"
    return locked(lock, waiting=f"waiting for another command on {layout.size}")


def packages(options: argparse.Namespace) -> None:
    """Install the packages that the full cluster needs, the first thing that up does; tests use some of them, too."""
    full.packages(Layout(options.checkout, Size.FULL))


def load(options: argparse.Namespace) -> None:
    """Build the images of the project and load them into the full cluster if it is up."""
    layout = Layout(options.checkout, Size.FULL)
    known = {image.name: image for image in (*images.PROJECT, *images.ADDONS)}
    if unknown := [name for name in options.names if name not in known]:
        raise ClusterError(f"no image is called {unknown[0]}; expected some of: {', '.join(known)}")
    for image in [known[name] for name in options.names] or images.PROJECT:
        if options.names or image.dockerfile.exists():
            full.load(layout, image)
        else:
            say(f"{image.name} is left out: there is no {image.dockerfile}")


def status(options: argparse.Namespace) -> None:
    """Print what runs."""
    for size in Size:
        layout = Layout(options.checkout, size)
        state = _state(layout)
        print(f"{size}: {state}")
        for line in native.report(layout):
            print(f"  {line}")


def _state(layout: Layout) -> str:
    if not layout.kubeconfig.exists():
        return "down"
    return "ready" if native.ready(layout) else "not ready"


def hold(options: argparse.Namespace) -> None:
    """Kill a component and keep it down."""
    native.hold(Layout(options.checkout, Size(options.size)), options.component)


def release(options: argparse.Namespace) -> None:
    """Let a held component start again."""
    native.release(Layout(options.checkout, Size(options.size)), options.component)


COMMANDS = {
    "up": up,
    "down": down,
    "status": status,
    "packages": packages,
    "images": load,
    "hold": hold,
    "release": release,
}


def parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    root = argparse.ArgumentParser(
        prog="python -m tests.cluster", description="A real Kubernetes cluster for tests and demo."
    )
    root.add_argument(
        "--checkout", type=Path, default=SOURCE.parent.parent, help="whose cluster (default: this checkout's)"
    )
    commands = root.add_subparsers(required=True, metavar="COMMAND")
    for name, function in COMMANDS.items():
        words = (function.__doc__ or "").strip()
        command = commands.add_parser(name, help=words, description=words)
        command.set_defaults(function=function)
        if name in ("up", "down", "hold", "release"):
            default = None if name == "down" else Size.FULL.value
            sizes = [size.value for size in Size]
            command.add_argument("--size", choices=sizes, default=default, help=f"default: {default or 'both'}")
        if name in ("hold", "release"):
            command.add_argument("component", help="for example kube-apiserver; status lists them")
        if name == "images":
            command.add_argument("names", nargs="*", metavar="NAME", help="default: all of the project's")
        if name == "up":
            runtimes = [runtime.value for runtime in full.Runtime]
            words = "of the full size; default: kind where Docker and kind are usable, else own"
            command.add_argument("--runtime", choices=runtimes, help=words)
    return root


def main() -> int:
    """Run the command; a failure is one sentence and exit code 1, Ctrl-C one and 130."""
    options = parser().parse_args()
    options.checkout = options.checkout.resolve()
    try:
        options.function(options)
    except ClusterError as error:
        say(f"cluster: {error}")
        return 1
    except KeyboardInterrupt:
        say("cluster: broken off; the same command goes on where this one ended")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
