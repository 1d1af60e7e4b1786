"""Environments and provenance: what the candidate runs in, and what it carries."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from controller.api.spec import ModelRolloutSpec
from controller.api.verdicts import CheckState
from controller.api.verify import MlflowModel, Provenance
from controller.observe.cluster import DEPLOYMENTS, ClusterPort, NotFound
from controller.observe.environment import EnvironmentOrder, EnvironmentReader
from controller.observe.mlflow import MlflowError, MlflowServer, read_mlflow
from controller.plan.desired import scaled_by_operator
from controller.plan.situation import Situation
from controller.plan.verify.findings import CheckKey, Finding, Outcome
from controller.plan.verify.parity import compare
from controller.plan.verify.provenance import ENVIRONMENT, carried_by_template, check_provenance, needs_image
from controller.run.verification.orders import candidate_of, image_digests, rollout_key
from controller.run.verification.prober import CheckError, Prober


class ParityCheck:
    """Compares the environments of both arms within the turn."""

    def __init__(self, cluster: ClusterPort, prober: Prober) -> None:
        self._reader = EnvironmentReader(cluster)
        self._prober = prober

    def __call__(self, situation: Situation, key: CheckKey) -> tuple[Finding, ...]:
        """Compare them, unless one of the Deployments has gone meanwhile."""
        verify, stable = situation.spec.verify, situation.status.stable
        if verify is None or verify.parity is None or stable is None:
            return ()
        namespace, secrets = situation.subject.namespace, verify.parity.read_secrets
        most = _most_percent(situation.spec)
        least = None if most is None else 100 - most
        mine = EnvironmentOrder(percent=least, version=stable.model_version, read_secrets=secrets)
        other = EnvironmentOrder(percent=most, version=situation.spec.model.version, read_secrets=secrets)
        old = self._reader.find(namespace, stable.deployment, mine)
        new = self._reader.find(namespace, candidate_of(situation).deployment, other)
        if old is None or new is None:
            return ()
        result = compare(verify.parity, old, new)
        if any(each.state is CheckState.PENDING for each in result.findings):
            return result.findings  # no pod has started yet, so it is compared again
        pair = result.environment.model_copy(update={"latency_void": result.latency_void})
        outcome = Outcome(result.findings, situation.now, environment=pair)
        self._prober.note(situation.subject.uid, key, outcome)
        return ()


def _most_percent(spec: ModelRolloutSpec) -> float | None:
    """Return the candidate's largest part of the requests; None where its pods grow with it."""
    return None if scaled_by_operator(spec) else spec.strategy.steps[-1]


class ProvenanceCheck:
    """Looks up what the candidate carries: in its pod template, or in MLflow."""

    def __init__(
        self,
        cluster: ClusterPort,
        prober: Prober,
        *,
        servers: Sequence[MlflowServer],
        clock: Callable[[], datetime],
    ) -> None:
        self._cluster = cluster
        self._prober = prober
        self._servers = tuple(servers)
        self._clock = clock

    def __call__(self, situation: Situation, key: CheckKey) -> tuple[Finding, ...]:
        """Compare at once, or ask the tracking server in a thread."""
        provenance = situation.spec.verify.provenance if situation.spec.verify else None
        if provenance is None:
            return ()
        uid = situation.subject.uid
        if provenance.mlflow is not None:
            work = _Asked(provenance, provenance.mlflow, self._servers, self._clock)
            self._prober.start(rollout_key(situation), uid, key, work)
            return ()
        name = candidate_of(situation).deployment
        try:
            found = self._cluster.get(DEPLOYMENTS, situation.subject.namespace, name)
        except NotFound:
            return ()
        annotations = found["spec"]["template"].get("metadata", {}).get("annotations") or {}
        digests = image_digests(situation)
        if not digests and needs_image(provenance, annotations):
            return (Finding(ENVIRONMENT, CheckState.PENDING, "the image's digest is known once all pods have started"),)
        carried = carried_by_template(annotations, image_digest=" and ".join(digests))
        findings = check_provenance(provenance, carried, f"the pod template of Deployment {name}")
        self._prober.note(uid, key, Outcome(findings, situation.now))
        return ()


@dataclass(frozen=True)
class _Asked:
    """A question to a tracking server, as the prober runs it."""

    provenance: Provenance
    model: MlflowModel
    servers: tuple[MlflowServer, ...]
    clock: Callable[[], datetime]

    def __call__(self) -> Outcome:
        try:
            carried = read_mlflow(self.model, servers=self.servers)
        except MlflowError as error:
            raise CheckError(error.message) from None
        source = f"MLflow model {self.model.model} version {self.model.version}"
        return Outcome(check_provenance(self.provenance, carried, source), self.clock())
