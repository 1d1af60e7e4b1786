"""Each step happens once and in order, however many operators run and however often they die between two writes."""

import multiprocessing
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import groupby
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

import pytest

from controller.observe.cluster import connect
from tests.cluster.layout import Layout
from tests.controlplane.exactly_once import victim
from tests.controlplane.exactly_once.theatre import finished, raise_curtain, what_reached, window_keys
from tests.controlplane.watching import Watching

ROLLOUTS = 40
LEAST_DEATHS = 20
LIMIT = 840.0

PROCESSES: Final = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([victim.__name__])
"""Operators die so often that they would spend half of their lives on imports: each is forked with these done."""

Sequences = dict[str, list[tuple[int, int]]]
"""Per route: (transition, weight), as they reached it."""

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(900)]


class Troupe:
    """Some operators; whoever dies is replaced, with another seed."""

    def __init__(self, stage: "Stage", *, size: int, chance: float) -> None:
        self._stage = stage
        self._seed = 0
        self._chance = chance
        self.deaths = 0
        self._actors = [self._actor() for _ in range(size)]

    def replace_the_dead(self) -> None:
        """Start a new operator for each one that died."""
        for place, actor in enumerate(self._actors):
            code = actor.exitcode
            if code is not None:
                assert code == victim.KILLED, f"an operator ended with {code}; see {self._stage.log}"
                self.deaths += 1
                self._actors[place] = self._actor()

    def leave(self) -> None:
        """End all operators."""
        for actor in self._actors:
            actor.kill()
            actor.join(10)

    def _actor(self) -> BaseProcess:
        self._seed += 1
        life = victim.Life(chance=self._chance, seed=self._seed)
        stage = (str(self._stage.kubeconfig), self._stage.namespace, str(self._stage.log))
        actor = PROCESSES.Process(target=victim.main, args=(*stage, life), daemon=True)
        actor.start()
        return actor


@dataclass(frozen=True)
class Stage:
    """Where a performance takes place."""

    kubeconfig: Path
    namespace: str
    folder: Path

    @property
    def log(self) -> Path:
        """Of all its operators."""
        return self.folder / "operators.log"


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
