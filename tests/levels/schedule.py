"""What `make test` runs, in which lane, and what has to have ended well before.

The cluster level mostly waits for windows to pass and needs a third of two cores; the others keep one core busy. So
they run beside it, with less right to the processor: it counts failed requests of clients that send at a given rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.cluster.layout import SOURCE

CHECKOUT: Final = SOURCE.parent.parent

POLITE: Final = 5
"""Niceness of the lane beside: a third of what a process of the other lane gets when both want all."""


@dataclass(frozen=True)
class Preparation:
    """A command that makes something ready for levels.

    Attributes:
        name: in all that is told about it.
        arguments: of Python.
        needs: names of steps, of any lane, that must have ended well before.
    """

    name: str
    arguments: tuple[str, ...]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Level:
    """One run of pytest.

    Attributes:
        name: in all that is told about it.
        selection: arguments of pytest that choose the tests.
        needs: names of steps, of any lane, that must have ended well before.
    """

    name: str
    selection: tuple[str, ...]
    needs: tuple[str, ...] = ()


Step = Preparation | Level


@dataclass(frozen=True)
class Lane:
    """Steps that run one after the other, each as soon as what it needs is there.

    Attributes:
        steps: in order; one that fails does not keep those from running that do not need it.
        niceness: of its processes, 0 to 19.
    """

    steps: tuple[Step, ...]
    niceness: int = 0


def _cluster(*words: str) -> tuple[str, ...]:
    return ("-m", "tests.cluster", *words)


PURE: Final = ("-m", "not controlplane and not cluster")
ON_CONTROL_PLANE: Final = ("-m", "controlplane and not cluster")
ON_CLUSTER: Final = ("-m", "cluster")
"""Every test is in exactly one level, whatever its markers."""

PACKAGES: Final = Preparation("packages", _cluster("packages"))
CONTROL_PLANE: Final = Preparation("control plane's boot", _cluster("up", "--size", "control-plane"))
FULL: Final = Preparation("cluster's boot", _cluster("up"), needs=(PACKAGES.name,))
SERVERS: Final = Preparation("model servers", ("-m", "tests.verify.servers", "install"))
IMAGES: Final = Preparation("images", _cluster("images"), needs=(FULL.name,))

LANES: Final = (
    Lane((PACKAGES, FULL, IMAGES, Level("cluster", ON_CLUSTER, needs=(IMAGES.name,)))),
    Lane(
        (
            # First, because where nothing is built yet both clusters wait for the same build.
            CONTROL_PLANE,
            # It asks a real Prometheus, which is one of the packages.
            # Model servers are downloads of several hundred megabytes, which the tests would otherwise wait for.
            SERVERS,
            Level("pure", PURE, needs=(PACKAGES.name, SERVERS.name)),
            Level("control plane", ON_CONTROL_PLANE, needs=(CONTROL_PLANE.name,)),
        ),
        niceness=POLITE,
    ),
)


def arguments(step: Step, *, tally: Path) -> tuple[str, ...]:
    """Return the arguments of Python that run a step; the tests of a level are counted in the file `tally`."""
    match step:
        case Preparation():
            return step.arguments
        case Level():
            # Unbuffered, so that the log can be followed.
            pytest = ("-u", "-m", "pytest", "-p", "tests.levels.tally", f"--tally={tally}")
            return (*pytest, *step.selection)
