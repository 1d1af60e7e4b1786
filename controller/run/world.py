"""One look at the world: Deployments, pods, the route and rivals, put together for the planner."""

from collections.abc import Callable
from dataclasses import dataclass

from controller.act.router import Arm, Arms, Router, router_for
from controller.api.reasons import Reason
from controller.api.spec import ModelRolloutSpec
from controller.api.status import ModelRolloutStatus, Revision
from controller.observe.cluster import ClusterPort, Json
from controller.observe.workloads import Workloads
from controller.plan.transitions import UNDER_WAY
from controller.plan.verify.work import pods_wanted
from controller.plan.world import Problem, Route, World


@dataclass(frozen=True)
class Look:
    """What was seen, and the router that it was seen through."""

    world: World
    router: Router


class WorldReader:
    """Reads what one turn needs, and no more: an idle rollout costs three reads, pods are read while an epoch runs."""

    def __init__(
        self,
        cluster: ClusterPort,
        workloads: Workloads,
        *,
        servers: frozenset[str],
        queried: frozenset[str] = frozenset(),
        shared: Callable[[Json], bool] = lambda _: True,
    ) -> None:
        self._cluster = cluster
        self._workloads = workloads
        self._servers = servers
        self._queried = queried
        """The servers that may be asked queries of the rollouts' own."""
        self._shared = shared
        """Whether another rollout may steer the same route: where the informer knows none, none is looked for."""

    def read(self, rollout: Json, spec: ModelRolloutSpec, status: ModelRolloutStatus) -> Look:
        """Return the world of one rollout as it is now.

        Raises:
            ClusterError: when something could not be read; the turn is tried again.
        """
        namespace = rollout["metadata"]["namespace"]
        router = router_for(spec, namespace, self._cluster)
        arms, route = _adopted(router, spec, status)
        stable = self._workloads.workload(namespace, arms.stable.deployment)
        named = spec.candidate.deployment if spec.candidate else None
        candidate = self._workloads.workload(namespace, named) if named and named != arms.stable.deployment else None
        backup_name = status.backup.deployment if status.backup else route.roles.backup if route.roles else None
        backup = self._workloads.workload(namespace, backup_name) if backup_name else None
        running = status.phase in UNDER_WAY
        since = status.analysis.started_at if status.analysis else None
        return Look(
            world=World(
                stable=stable,
                candidate=candidate,
                route=route,
                backup=backup,
                stable_pods=self._workloads.pods(namespace, stable.deployment, since=since)
                if stable and (running or stable.gated or pods_wanted(spec, status))
                else (),
                candidate_pods=self._workloads.pods(namespace, candidate.deployment, since=since)
                if running and candidate
                else (),
                backup_pods=self._workloads.pods(namespace, backup.deployment) if backup and backup.gated else (),
                rivals=self._workloads.rivals(rollout) if self._shared(rollout) else (),
                problems=self._configuration_problems(spec),
            ),
            router=router,
        )

    def _configuration_problems(self, spec: ModelRolloutSpec) -> tuple[Problem, ...]:
        name = spec.analysis.prometheus.name
        if name in self._servers:
            queries = any(metric.query is not None for metric in spec.analysis.metrics)
            return (_not_allowed(name),) if queries and name not in self._queried else ()
        known = ", ".join(sorted(self._servers)) or "none"
        message = f"analysis.prometheus.name {name} is not in the operator's configuration; known are: {known}"
        return (Problem(Reason.UNKNOWN_PROMETHEUS, message),)


def _not_allowed(server: str) -> Problem:
    return Problem(
        Reason.QUERY_NOT_ALLOWED,
        f"metrics of kind query need allowQueries: true for the Prometheus server {server} in the operator's "
        "configuration; ask who runs the operator, or use counters",
    )


def _adopted(router: Router, spec: ModelRolloutSpec, status: ModelRolloutStatus) -> tuple[Arms, Route]:
    """Read the route with the arms of status; before there are any, the route's own memory comes before the spec."""
    arms = _arms(spec, status)
    route = router.read(arms)
    if status.stable is not None or route.roles is None or route.roles.stable == arms.stable.deployment:
        return arms, route
    remembered = Arms(stable=_arm(spec, route.roles.stable), candidate=arms.stable)
    return remembered, router.read(remembered)


def _arms(spec: ModelRolloutSpec, status: ModelRolloutStatus) -> Arms:
    stable = _revision_arm(status.stable) if status.stable else _arm(spec, spec.stable.deployment)
    if status.candidate is not None:
        return Arms(stable=stable, candidate=_revision_arm(status.candidate))
    if spec.candidate is not None and spec.candidate.deployment != stable.deployment:
        return Arms(stable=stable, candidate=_arm(spec, spec.candidate.deployment))
    return Arms(stable=stable, candidate=_revision_arm(status.backup) if status.backup else None)


def _revision_arm(revision: Revision) -> Arm:
    return Arm(deployment=revision.deployment, service=revision.service)


def _arm(spec: ModelRolloutSpec, deployment: str) -> Arm:
    if spec.candidate is not None and spec.candidate.deployment == deployment:
        return Arm(deployment=deployment, service=spec.candidate.service or deployment)
    if spec.stable.deployment == deployment:
        return Arm(deployment=deployment, service=spec.stable.service or deployment)
    return Arm(deployment=deployment, service=deployment)
