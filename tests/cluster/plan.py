"""What a cluster's supervisor is told: preparations, then components. Written as JSON, read by `supervisor`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

Option = tuple[str, str | int | Path]
"""Name and value of one command line option."""


@dataclass(frozen=True)
class Component:
    """One process of the cluster.

    Attributes:
        name: of its pid file and log.
        command: the program and its arguments.
        after: what must accept connections first, as `tcp:HOST:PORT` or `unix:PATH`, or answer 200, as `https://…`.
    """

    name: str
    command: tuple[str, ...]
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """All that the supervisor of `folder` does; `setup` runs once, before the components."""

    folder: str
    components: tuple[Component, ...]
    setup: tuple[tuple[str, ...], ...] = ()

    def text(self) -> str:
        """Return the JSON form."""
        return json.dumps(asdict(self), indent=1) + "\n"


def flags(program: Path | str, options: Sequence[Option]) -> tuple[str, ...]:
    """Return a command line of `--name=value`."""
    return (str(program), *(f"--{name}={value}" for name, value in options))
