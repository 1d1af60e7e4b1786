"""Carries out the checks of a rollout: begins what is wanted, looks at what runs, and tells what was found."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

from controller.act.gate import open_gate
from controller.api.reasons import Reason
from controller.observe.cluster import ClusterError, ClusterPort
from controller.plan.situation import Situation
from controller.plan.verify.findings import CheckKey, Finding, Outcome, Part
from controller.plan.verify.work import Verification, aligned, wanted
from controller.plan.world import Pod, Problem
from controller.run.verification.orders import ObstacleError
from controller.run.verification.prober import Prober

log = logging.getLogger(__name__)

Found = tuple[Finding, ...]
Check = Callable[[Situation, CheckKey], Found]
"""Begins a check or looks at it; returns what was found so far, unless it noted an outcome with the prober."""


class Verifier:
    """The checks of all rollouts; safe to share between threads."""

    def __init__(self, cluster: ClusterPort, prober: Prober, checks: Mapping[Part, Check]) -> None:
        self._cluster = cluster
        self._prober = prober
        self._checks = dict(checks)

    def gather(self, situation: Situation) -> Situation:
        """Begin what is wanted and not begun; return the situation with what was found so far.

        Nothing is raised: while the candidate serves, a check that cannot begin must not keep a red flag from acting.
        """
        if situation.spec.verify is None:
            return situation
        uid = situation.subject.uid
        running: dict[CheckKey, Found] = {}
        obstacles: list[Problem] = []
        finished = self._prober.finished(uid)
        due = wanted(aligned(situation))
        for key in due:
            if key in finished:
                continue
            try:
                running[key] = self._checks[key.part](situation, key)
            except ObstacleError as error:
                obstacles.append(error.problem)
            except ClusterError as error:
                obstacles.append(Problem(Reason.CHECKS_RUNNING, f"The {key.part} check cannot begin: {error.message}"))
        broken = self._prober.broken(uid, due)
        if broken is not None:
            obstacles.append(Problem(Reason.CHECKS_RUNNING, broken))
        finished = self._prober.finished(uid)
        return replace(
            situation,
            verification=Verification(
                finished=finished,
                running={key: found for key, found in running.items() if key not in finished},
                obstacle=next(iter(obstacles), None),
            ),
        )

    def let_in(self, situation: Situation) -> None:
        """Open the readiness gate of the pods whose test passed; a gate that cannot be opened is tried again."""
        verification, world = situation.status.verification, situation.world
        passed = {pod.uid for pod in verification.pods if pod.passed} if verification else set()
        passed |= {key.subject for key, found in situation.verification.finished.items() if _passed(key, found)}
        smoke = situation.spec.verify is not None and situation.spec.verify.smoke is not None
        for pod in (*world.candidate_pods, *world.stable_pods, *world.backup_pods):
            if pod.gate is False and (pod.uid in passed or not smoke):
                message = "The smoke test passed" if smoke else "The rollout asks for no smoke test"
                self._open(situation, pod, message)

    def _open(self, situation: Situation, pod: Pod, message: str) -> None:
        namespace = situation.subject.namespace
        try:
            open_gate(self._cluster, namespace, pod.name, uid=pod.uid, now=situation.now, message=message)
        except ClusterError as error:
            log.warning("The readiness gate of pod %s could not be opened: %s", pod.name, error)


def _passed(key: CheckKey, outcome: Outcome) -> bool:
    return key.part is Part.SMOKE and outcome.failed is None
