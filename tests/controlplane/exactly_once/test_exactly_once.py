"""Each step happens once and in order, however many operators run and however often they die between two writes."""

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pytest

from controller.observe.cluster import connect
from tests.cluster.layout import Layout
from tests.controlplane.exactly_once.theatre import finished, raise_curtain, what_reached, window_keys
from tests.controlplane.exactly_once.victim import KILLED
from tests.controlplane.watching import Watching

ROLLOUTS = 40
LEAST_DEATHS = 20
LIMIT = 420.0

Sequences = dict[str, list[tuple[int, int]]]
"""Per route: (transition, weight), as they reached it."""

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(600)]


class Troupe:
    """Some operators; whoever dies is replaced, with another seed."""

    def __init__(self, stage: "Stage", *, size: int, chance: float) -> None:
        module = "tests.controlplane.exactly_once.victim"
        self._command = [sys.executable, "-m", module, str(stage.kubeconfig), stage.namespace]
        self._log = (stage.folder / "operators.log").open("w")
        self._seed = 0
        self._chance = chance
        self.deaths = 0
        self._actors = [self._actor() for _ in range(size)]

    def replace_the_dead(self) -> None:
        """Start a new operator for each one that died."""
        for place, actor in enumerate(self._actors):
            code = actor.poll()
            if code is not None:
                assert code == KILLED, f"an operator ended with {code}; see its log"
                self.deaths += 1
                self._actors[place] = self._actor()

    def leave(self) -> None:
        """End all operators."""
        for actor in self._actors:
            actor.kill()
            actor.wait(10)
        self._log.close()

    def _actor(self) -> subprocess.Popen[bytes]:
        self._seed += 1
        return subprocess.Popen(
            [*self._command, str(self._chance), str(self._seed)], stdout=self._log, stderr=self._log
        )


@dataclass(frozen=True)
class Stage:
    """Where a performance takes place."""

    kubeconfig: Path
    namespace: str
    folder: Path


def play(stage: Stage, *, operators: int, chance: float = 0.0) -> tuple[Sequences, int]:
    """One performance; return what reached each route, and how many operators died."""
    cluster = connect(str(stage.kubeconfig))
    raise_curtain(cluster, stage.namespace, ROLLOUTS)
    watching = Watching(stage.kubeconfig, stage.namespace, "httproutes")
    troupe = Troupe(stage, size=operators, chance=chance)
    try:
        end = time.monotonic() + LIMIT
        while len(ended := finished(cluster, stage.namespace)) < ROLLOUTS:
            assert time.monotonic() < end, f"only {ended} ended; see {stage.folder}"
            troupe.replace_the_dead()
            time.sleep(0.3)
        time.sleep(1)  # for whatever would still be written wrongly
    finally:
        troupe.leave()
        watching.stop()
    return what_reached(watching, ROLLOUTS), troupe.deaths


@pytest.fixture(scope="module")
def undisturbed(
    control_plane: Layout,
    fresh_namespace: Callable[[], AbstractContextManager[str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Sequences:
    """What reaches the routes when nobody dies."""
    with fresh_namespace() as namespace:
        seen, deaths = play(Stage(control_plane.kubeconfig, namespace, tmp_path_factory.mktemp("calm")), operators=1)
    assert deaths == 0
    return seen


def test_undisturbed_run_climbs_every_step(undisturbed: Sequences) -> None:
    assert len(undisturbed) == ROLLOUTS
    assert undisturbed["r-1"] == list(enumerate((5, 10, 20, 30, 40, 50, 100), start=1))
    assert undisturbed["r-3"] == [(1, 5), (2, 10), (3, 20), (4, 30), (5, 0)]
    assert {sequence[-1][1] for sequence in undisturbed.values()} == {0, 100}


@pytest.mark.parametrize("operators", [1, 2, 3])
def test_same_weights_under_fire(
    operators: int, undisturbed: Sequences, control_plane: Layout, namespace: str, tmp_path: Path
) -> None:
    seen, deaths = play(Stage(control_plane.kubeconfig, namespace, tmp_path), operators=operators, chance=0.012)
    assert deaths >= LEAST_DEATHS
    assert seen == undisturbed
    for rollout, keys in window_keys(connect(str(control_plane.kubeconfig)), namespace).items():
        assert len(keys) == len(set(keys)), f"{rollout}: a window was recorded twice"
        for transition, group in groupby(sorted(keys), key=lambda key: key[0]):
            numbers = [number for _, number in group]
            assert numbers == list(range(len(numbers))), f"{rollout}: a window of transition {transition} is missing"
