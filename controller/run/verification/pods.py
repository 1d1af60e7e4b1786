"""Smoke tests: which golden requests, and off into the prober."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from controller.api.verify import GoldenCase
from controller.observe.cluster import CONFIG_MAPS, ClusterPort, NotFound
from controller.observe.probes.smoke import GoldenCasesError, SmokeOrder, golden_cases, run_golden, run_smoke
from controller.plan.situation import Situation
from controller.plan.verify.findings import CheckKey, Finding, Outcome, shortened
from controller.plan.verify.golden.cases import case_problems
from controller.run.verification.orders import ObstacleError, rollout_key, smoke_order
from controller.run.verification.prober import Prober

_REMEMBERED: Final = 50
"""ConfigMaps whose golden cases are kept; one may take a second to be read, and every pod needs it."""


class SmokeCheck:
    """Begins the smoke test of a pod, or the repetition of the golden requests."""

    def __init__(self, cluster: ClusterPort, prober: Prober, *, clock: Callable[[], datetime]) -> None:
        self._cluster = cluster
        self._prober = prober
        self._clock = clock
        self._read: dict[tuple[str, str], tuple[str, tuple[GoldenCase, ...]]] = {}
        """The golden cases of the ConfigMaps that were read last, with the resourceVersion that they were read of."""

    def __call__(self, situation: Situation, key: CheckKey) -> tuple[Finding, ...]:
        """Begin the test unless it runs; golden requests are read only for a test that begins."""
        uid = situation.subject.uid
        if self._prober.takes(uid, key):
            order = smoke_order(situation, key, self._cases(situation))
            if order is not None:
                self._prober.start(rollout_key(situation), uid, key, lambda: self._run(order, key))
        return ()

    def _run(self, order: SmokeOrder, key: CheckKey) -> Outcome:
        run = run_golden if "#" in key.subject else run_smoke
        return run(order, now=self._clock, stopping=self._prober.stopping)

    def _cases(self, situation: Situation) -> tuple[GoldenCase, ...]:
        smoke = situation.spec.verify.smoke if situation.spec.verify else None
        if smoke is None:
            return ()
        if smoke.config_map is not None:
            return self._from_config_map(situation.subject.namespace, smoke.config_map)
        cases = smoke.cases or ()
        problem = next(case_problems(cases), None)
        if problem is not None:
            msg = f"verify.smoke.cases: {problem}"
            raise ObstacleError(msg)
        return cases

    def _from_config_map(self, namespace: str, name: str) -> tuple[GoldenCase, ...]:
        try:
            found = self._cluster.get(CONFIG_MAPS, namespace, name)
        except NotFound:
            msg = f"ConfigMap {name} of verify.smoke.configMap is not in namespace {namespace}; create it"
            raise ObstacleError(msg) from None
        if found.get("binaryData"):
            listed = shortened(", ".join(sorted(found["binaryData"])), 200)
            msg = f"ConfigMap {name} of verify.smoke.configMap: {listed} is binaryData; golden cases are UTF-8 text"
            raise ObstacleError(msg)
        version, known = found["metadata"]["resourceVersion"], self._read.get((namespace, name))
        if known is not None and known[0] == version:
            return known[1]
        try:
            cases = golden_cases(found.get("data") or {})
        except GoldenCasesError as error:
            msg = f"ConfigMap {name} of verify.smoke.configMap: {error}"
            raise ObstacleError(msg) from None
        if len(self._read) >= _REMEMBERED:
            self._read.clear()
        self._read[namespace, name] = version, cases
        return cases
