"""The show in a terminal: one screen that keeps up with the scene."""

from collections.abc import Sequence
from math import log
from types import TracebackType
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from examples.demo.ledger import NOBODY
from examples.demo.show.figures import Compared, Weighed, short, soon
from examples.demo.show.scene import Moment, Scene

_BAR: Final = 40
_STYLES: Final = {"Promoted": "green", "RolledBack": "red"}


class Screen:
    """Draws every moment over the one before."""

    def __init__(self, console: Console, scenes: Sequence[Scene]) -> None:
        self._live = Live(console=console, refresh_per_second=2, transient=True)
        self._scenes = scenes
        self._endings: dict[str, Moment] = {}

    def __enter__(self) -> "Screen":
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, moment: Moment) -> None:
        """Draw a moment."""
        if moment.ending:
            self._endings[moment.scene.name] = moment
        self._live.update(draw(moment, scenes=self._scenes, endings=tuple(self._endings.values())), refresh=True)


def draw(moment: Moment, *, scenes: Sequence[Scene], endings: Sequence[Moment]) -> RenderableType:
    """Return the screen of a moment; `endings` are the scenes that are over."""
    title = f"ModelRollout: {moment.scene.candidate} wants to take over"
    over = {each.scene.name: each for each in endings}
    parts = [_programme(moment, scenes, over), Text(), _place(moment), _weights(moment), Text()]
    parts += [_users(moment), Text(), _metrics(moment), _evidence(moment), _outlook(moment), _message(moment)]
    return Panel(Group(*parts), title=title, title_align="left", padding=(0, 1))


def _programme(moment: Moment, scenes: Sequence[Scene], over: dict[str, Moment]) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    for scene in scenes:
        ended = over.get(scene.name)
        if ended and ended.ending:
            mark, style = ("✓", "green") if ended.as_expected else ("✗", "red")
            grid.add_row(
                Text(mark, style), scene.name, scene.model, Text(f"{ended.ending.outcome} {_clock(ended)}", style)
            )
        elif scene is moment.scene:
            grid.add_row(Text("▶", "bold"), Text(scene.name, "bold"), scene.model, _clock(moment))
        else:
            grid.add_row("·", Text(scene.name, "dim"), Text(scene.model, "dim"), "")
    return grid


def _clock(moment: Moment) -> str:
    return f"{int(moment.seconds) // 60}:{int(moment.seconds) % 60:02d}"


def _place(moment: Moment) -> RenderableType:
    status = moment.status
    if not moment.begun or status.phase is None:
        return Text("The operator has not begun with it yet", "dim")
    step = f"step {status.step}, " if status.step else ""
    style = f"bold {_STYLES.get(moment.ending.outcome, '')}" if moment.ending else "bold"
    return Text.assemble((status.phase, style), f"  {step}window {status.window.number}, epoch {status.epoch}")


def _weights(moment: Moment) -> RenderableType:
    traffic = moment.status.traffic
    desired = traffic.desired_weight if moment.begun else 0
    seen = f"{float(traffic.observed_weight):.0f} %" if traffic.observed_weight and moment.begun else "-"
    bar = ProgressBar(
        total=100, completed=traffic.applied_weight, width=_BAR, complete_style="cyan", finished_style="cyan"
    )
    grid = Table.grid(padding=(0, 2))
    grid.add_row("weight applied", bar, f"{traffic.applied_weight} %; desired {desired} %, observed {seen}")
    return grid


def _users(moment: Moment) -> RenderableType:
    table = Table(box=None, pad_edge=False)
    for heading in ("users met", "requests", "wrong answers", "failed"):
        table.add_column(heading, justify="left" if heading == "users met" else "right")
    for version in sorted(moment.users.versions, key=lambda version: (version == NOBODY, version)):
        users = moment.users
        if users.requests(version):
            name = "no version" if version == NOBODY else version
            counts = (users.requests(version), users.incorrect(version), users.failed(version))
            table.add_row(name, *(f"{count}" for count in counts))
    return table


def _metrics(moment: Moment) -> RenderableType:
    table = Table(box=None, pad_edge=False)
    for heading in ("judged", "stable", "candidate", "difference", "margin", "verdict"):
        table.add_column(heading, justify="left" if heading in ("judged", "verdict") else "right")
    analysis = moment.status.analysis
    for metric in analysis.metrics if analysis and moment.begun else ():
        both = Compared.of(metric)
        table.add_row(both.name, both.stable, both.candidate, both.difference, both.margin, metric.verdict)
    return table


def _evidence(moment: Moment) -> RenderableType:
    weighed = Weighed.of(moment.status) if moment.begun else None
    grid = Table.grid(padding=(0, 2))
    if weighed is None:
        grid.add_row(Text("No window was judged yet", "dim"))
        return grid
    for name, value, style in (("worse", weighed.worse, "red"), ("not worse", weighed.not_worse, "green")):
        share = min(max(log(max(value, 1.0)) / log(weighed.needed), 0.0), 1.0)
        bar = ProgressBar(total=1, completed=share, width=_BAR, complete_style=style, finished_style=f"bold {style}")
        grid.add_row(f"evidence {name}", bar, f"{short(value)} of {short(weighed.needed)}")
    return grid


def _outlook(moment: Moment) -> RenderableType:
    """What is allowed for noise, and how long it still takes."""
    analysis = moment.status.analysis if moment.begun else None
    grid = Table.grid(padding=(0, 2))
    grid.add_row("noise", analysis.calibration if analysis else "-")
    grid.add_row("forecast", (analysis and soon(moment.status)) or "-")
    return grid


def _message(moment: Moment) -> RenderableType:
    return Text(moment.status.message if moment.begun else "")
