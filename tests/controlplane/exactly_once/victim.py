"""A whole operator process with scripted evidence that dies, without any clean-up, at a chosen share of its writes.

`main` is the target of such a process.
"""

import os
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from controller.act.events import EventSink
from controller.act.record import RecordKeeper
from controller.observe.cluster import ClusterPort, Json, Kind, connect
from controller.observe.workloads import Workloads
from controller.run.evidence import Source
from controller.run.logs import set_up_logs
from controller.run.process import Process
from controller.run.settings import Settings
from controller.run.surroundings import Surroundings
from controller.run.turn import Ports, Turn
from controller.run.world import WorldReader
from tests.controlplane.exactly_once.script import ScriptedEvidence

SCRAPE = timedelta(milliseconds=100)
Result = TypeVar("Result")

KILLED = 137
"""The exit code of one that died."""


@dataclass(frozen=True)
class Life:
    """How mortal an operator is.

    Attributes:
        chance: to die just before a write, and the same just after it.
        seed: of that chance.
    """

    chance: float
    seed: int


class MortalCluster:
    """The API server as seen by somebody who may drop dead before or after any write."""

    def __init__(self, cluster: ClusterPort, life: Life) -> None:
        self._cluster = cluster
        self._chance = life.chance
        self._random = random.Random(life.seed)

    def get(self, kind: Kind, namespace: str, name: str, *, subresource: str = "") -> Json:
        """Read one object."""
        return self._cluster.get(kind, namespace, name, subresource=subresource)

    def list(self, kind: Kind, namespace: str | None, *, labels: str = "") -> tuple[Json, ...]:
        """Read many objects."""
        return self._cluster.list(kind, namespace, labels=labels)

    def list_metadata(self, kind: Kind, namespace: str | None, *, labels: str = "") -> tuple[Json, ...]:
        """Read the metadata of many objects."""
        return self._cluster.list_metadata(kind, namespace, labels=labels)

    def create(self, *args: Any, **kwargs: Any) -> Json:
        """Create, or die before or after."""
        return self._mortally(self._cluster.create, *args, **kwargs)

    def merge_patch(self, *args: Any, **kwargs: Any) -> Json:
        """Patch, or die before or after."""
        return self._mortally(self._cluster.merge_patch, *args, **kwargs)

    def json_patch(self, *args: Any, **kwargs: Any) -> Json:
        """Patch, or die before or after."""
        return self._mortally(self._cluster.json_patch, *args, **kwargs)

    def replace(self, *args: Any, **kwargs: Any) -> Json:
        """Replace, or die before or after."""
        return self._mortally(self._cluster.replace, *args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> None:
        """Delete, or die before or after."""
        self._mortally(self._cluster.delete, *args, **kwargs)

    def _mortally(self, write: Callable[..., Result], *args: Any, **kwargs: Any) -> Result:
        self._perhaps_die()
        result = write(*args, **kwargs)
        self._perhaps_die()
        return result

    def _perhaps_die(self) -> None:
        if self._random.random() < self._chance:
            os._exit(KILLED)


def main(kubeconfig: str, namespace: str, log: str, life: Life) -> None:
    """Run the operator until SIGTERM or death; all it says is added to the log."""
    with Path(log).open("ab") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
    os.environ["KUBECONFIG"] = kubeconfig
    settings = Settings.model_validate(
        {
            "prometheus": [{"name": "default", "url": "http://127.0.0.1:1"}],
            "namespaces": [namespace],
            "leaderElection": {"enabled": False},
            "listen": {"address": "127.0.0.1", "port": 0},
            "logs": {"format": "text", "level": "warning"},
        }
    )
    set_up_logs(settings.logs)
    mortal = MortalCluster(connect(kubeconfig), life)

    def make_turn(_: Settings, around: Surroundings) -> Turn:
        cluster = around.cluster
        return Turn(
            Ports(
                cluster=cluster,
                reader=WorldReader(
                    cluster, Workloads(cluster), servers=frozenset({"default"}), shared=around.index.shares_route
                ),
                sources={"default": Source(evidence=ScriptedEvidence(), scrape=SCRAPE, settle=SCRAPE)},
                records=RecordKeeper(cluster),
                events=EventSink(cluster),
                clock=lambda: datetime.now(UTC),
            )
        )

    sys.exit(Process(settings, mortal, make_turn=make_turn, lease=None).run())
