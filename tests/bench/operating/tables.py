"""Figures of our simulation beside those of the reference, as tables and as bounds that must hold."""

import textwrap
from dataclasses import dataclass, field
from math import isnan

from scipy.special import bdtr

from docs.markdown import table
from tests.bench.operating.follow import Watched

CONFIDENCE = 0.999
"""How sure one must be that a bound is broken before it is called broken."""

OURS = ("F1", "F2", "F3", "F4")


@dataclass(frozen=True)
class Bound:
    """A false roll-back that must be rare: ``count`` of ``runs``, and how probable one may be."""

    what: str
    count: int
    runs: int
    highest: float = 0.05

    @property
    def tolerated(self) -> int:
        """The most that chance explains at the bound itself."""
        return next(k for k in range(self.runs + 1) if bdtr(k, self.runs, self.highest) >= CONFIDENCE)

    @property
    def kept(self) -> bool:
        return self.count <= self.tolerated


@dataclass(frozen=True)
class Pace:
    """How soon a regression was found on average, in windows, beside the reference's figure."""

    what: str
    mean: float
    error: float
    reference: float

    @property
    def kept(self) -> bool:
        """Whether it may be as soon as the reference's, half as much again being granted."""
        return self.mean - 4.0 * self.error <= 1.5 * self.reference


@dataclass(frozen=True)
class Section:
    """One table of the page.

    Attributes:
        title: its heading.
        text: what was simulated.
        header: names of the columns.
        rows: cells.
        bounds: false roll-backs that must be rare.
        paces: regressions that must be found.
    """

    title: str
    text: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    bounds: tuple[Bound, ...] = ()
    paces: tuple[Pace, ...] = ()

    def markdown(self) -> str:
        return f"## {self.title}\n\n{filled(self.text)}\n\n{table(self.header, self.rows)}"


@dataclass
class Sheet:
    """A section while it is being filled, cell by cell."""

    columns: tuple[str, ...]
    first: str = "method"
    cells: dict[str, dict[str, str]] = field(default_factory=dict)
    bounds: list[Bound] = field(default_factory=list)
    paces: list[Pace] = field(default_factory=list)

    def put(self, row: str, column: str, figure: str, reference: float | str | None = None, unit: str = "") -> None:
        """Our figure, and the reference's in brackets where it has one."""
        known = "" if reference is None else f" ({_number(reference)}{unit})"
        self.cells.setdefault(row, {})[column] = f"{figure}{known}"

    def false(self, row: str, column: str, watched: Watched, reference: float | None, *, what: str) -> None:
        """A share of false roll-backs; where the row is ours it is a bound."""
        self.put(row, column, percent(watched.share), reference, " %")
        if row.startswith(OURS):
            self.bounds.append(Bound(f"{what}: {row}", watched.count, watched.runs))

    def windows(self, row: str, column: str, watched: Watched, reference: float | None) -> None:
        """Mean windows until a regression was found, and in how many runs if not in all."""
        missed = "" if watched.share == 1.0 else f" in {percent(watched.share)}"
        found = "never" if isnan(watched.mean) else f"{watched.mean:.1f}{missed}"
        self.put(row, column, found, reference)
        if row.startswith(OURS) and reference is not None:
            self.paces.append(Pace(f"{row}, {column}", watched.mean, watched.error, reference))

    def section(self, title: str, text: str) -> Section:
        rows = tuple((row, *(cells.get(column, "–") for column in self.columns)) for row, cells in self.cells.items())
        return Section(title, text, (self.first, *self.columns), rows, tuple(self.bounds), tuple(self.paces))


def filled(text: str) -> str:
    """Paragraphs in lines of at most 120 characters."""
    return "\n\n".join(textwrap.fill(part, 120, break_on_hyphens=False) for part in text.split("\n\n"))


def percent(share: float) -> str:
    """A share in percent, with a digit after the point where that says something."""
    return f"{100 * share:.1f} %" if 0.0 < round(share, 6) < 1.0 else f"{abs(100 * share):.0f} %"


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"
