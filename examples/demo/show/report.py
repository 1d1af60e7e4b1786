"""How the show ended: a table, what to do next, and the exit code."""

from collections.abc import Sequence

from rich import box
from rich.table import Table

from examples.demo.show.kubectl import ENTER
from examples.demo.show.scene import Moment, Scene
from examples.demo.show.stage import NAMESPACE, SYSTEM

HEADINGS = ("model", "expected", "decided", "judged", "seconds", "met", "wrong", "failed", "others\nfailed")
_NUMBERS = slice(3, 9)


def table(scenes: Sequence[Scene], endings: Sequence[Moment]) -> Table:
    """Lay out what was decided about each candidate, and what it cost the users."""
    over = {each.scene.name: each for each in endings}
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for heading in HEADINGS:
        grid.add_column(heading, justify="right" if heading in HEADINGS[_NUMBERS] else "left")
    for scene in scenes:
        grid.add_row(*row(scene, over.get(scene.name)))
    return grid


def row(scene: Scene, moment: Moment | None) -> tuple[str, ...]:
    """Return one line of the table, in the order of `HEADINGS`; None: the scene was not played."""
    if moment is None:
        return (scene.name, scene.expected, "not played", *["-"] * (len(HEADINGS) - 3))
    ending, users = moment.ending, moment.users
    seconds = (ending.finished_at - ending.started_at).total_seconds() if ending else moment.seconds
    mark = "✓" if moment.as_expected else "✗"
    return (
        scene.name,
        scene.expected,
        f"{mark} {ending.outcome if ending else 'nothing'}",
        f"{moment.judged}",
        f"{seconds:.0f}",
        f"{users.requests(scene.name)}",
        f"{users.incorrect(scene.name)}",
        f"{users.failed(scene.name)}",
        f"{users.failed_elsewhere(scene.name)}",
    )


def legend() -> str:
    """Say what the table's figures are, and where they can be checked."""
    return (
        "judged: requests of the candidate that the decision is based on\n"
        "seconds: from the first look at the candidate until every request was moved\n"
        "met: users' requests that it answered; of these wrong and failed\n"
        "others failed: requests that failed without it, as moving weights could cause\n"
        f"Every window and decision is on record: {ENTER} kubectl -n {NAMESPACE} get rrec"
    )


def trouble(moment: Moment) -> str:
    """Say how a scene went wrong, and where to look."""
    found = moment.ending.outcome if moment.ending else f"no decision after {moment.seconds:.0f} s"
    status = moment.status
    return (
        f"{moment.scene.name}: expected {moment.scene.expected}, found {found}. The last that the operator said "
        f"({status.phase or 'no phase'}): {status.message or 'nothing'}\nLook with:\n"
        f"  {ENTER} kubectl -n {NAMESPACE} describe mro digits\n"
        f"  {ENTER} kubectl -n {SYSTEM} logs deployment/modelrollout --tail=50\n"
        f"  {ENTER} kubectl -n {NAMESPACE} get pods"
    )


def farewell() -> str:
    """Say what can be done with what the show leaves."""
    return (
        "The cluster stays up. Look around, or let a candidate try again:\n"
        f"  {ENTER} kubectl -n {NAMESPACE} get mro -w\n"
        f"  {ENTER} kubectl -n {NAMESPACE} events --for mro/digits\n"
        "  make demo            once more\n"
        "  make cluster-down    end everything without a trace"
    )


def exit_code(scenes: Sequence[Scene], endings: Sequence[Moment]) -> int:
    """Return 0 if every scene was played and ended as it has to, else 1."""
    proven = {each.scene.name for each in endings if each.as_expected}
    return 0 if proven == {scene.name for scene in scenes} else 1
