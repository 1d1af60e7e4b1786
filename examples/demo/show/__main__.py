"""Boot a cluster, install the operator, and let candidates try to take over, live.

Ends with a table of what was decided; the exit code is 0 if that is what had to be decided. Without a terminal, with
NO_COLOR or with CI in the environment it prints lines instead of drawing a screen.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from rich.console import Console

from examples.demo.show import report
from examples.demo.show.kubectl import Kubectl, ShowError
from examples.demo.show.lines import Lines
from examples.demo.show.scene import SCENES, Moment, Scene, Viewer, play
from examples.demo.show.screen import Screen
from examples.demo.show.stage import say, set_up

_LINES_WIDTH = 120


def parser() -> argparse.ArgumentParser:
    """Return the grammar of the command line."""
    root = argparse.ArgumentParser(prog="python -m examples.demo.show", description=__doc__)
    root.add_argument(
        "--scene",
        action="append",
        choices=[scene.name for scene in SCENES],
        help="play this one only; may be repeated (default: "
        + ", ".join(scene.name for scene in SCENES if scene.usual)
        + ")",
    )
    root.add_argument(
        "--limit", type=float, default=900.0, metavar="SECONDS", help="longest that a scene may take (default: 900)"
    )
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """Play the show and return the exit code."""
    options = parser().parse_args(arguments)
    scenes = [scene for scene in SCENES if (scene.usual if options.scene is None else scene.name in options.scene)]
    endings: list[Moment] = []
    kubectl, console = Kubectl(), _console()
    try:
        set_up(kubectl)
        with _viewer(console, scenes) as viewer:
            _play_all(kubectl, scenes, viewer=viewer, limit=options.limit, endings=endings)
    except ShowError as error:
        say(f"demo: {error}")
    except KeyboardInterrupt:
        say(
            "\nThe show was broken off; the cluster stays up. make demo begins anew, make cluster-down ends everything."
        )
        return 130
    if endings:
        console.print(report.table(scenes, endings))
        say(f"\n{report.legend()}\n")
        for moment in endings:
            if not moment.as_expected:
                say(f"{report.trouble(moment)}\n")
        say(report.farewell())
    return report.exit_code(scenes, endings)


def _console() -> Console:
    return Console() if sys.stdout.isatty() else Console(width=_LINES_WIDTH)


def _viewer(console: Console, scenes: Sequence[Scene]) -> AbstractContextManager[Viewer]:
    plain = not console.is_interactive or any(os.environ.get(name) for name in ("NO_COLOR", "CI"))
    return nullcontext(Lines()) if plain else Screen(console, scenes)


def _play_all(
    kubectl: Kubectl, scenes: Sequence[Scene], *, viewer: Viewer, limit: float, endings: list[Moment]
) -> None:
    """Play one scene after the other, up to the first that does not end as it has to."""
    for scene in scenes:
        ending = play(kubectl, scene, viewer=viewer, limit=limit)
        endings.append(ending)
        if not ending.as_expected:
            return


if __name__ == "__main__":
    sys.exit(main())
