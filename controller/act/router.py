"""The routers behind one protocol; which one it is, the spec says."""

from typing import Protocol

from controller.act.gateway import GatewayRouter
from controller.act.route import APPLIED, Arm, Arms, Fenced, RouteProblem, WriteResult
from controller.act.service import ServiceRouter
from controller.api.spec import ModelRolloutSpec
from controller.observe.cluster import ClusterPort
from controller.plan.world import Desired, Route

__all__ = ["APPLIED", "Arm", "Arms", "Fenced", "RouteProblem", "Router", "WriteResult", "router_for"]


class Router(Protocol):
    """One way to split traffic. Routers keep nothing between calls; the cluster's errors pass through."""

    def read(self, arms: Arms) -> Route:
        """Return the route as it is now, seen from these arms."""

    def write(self, desired: Desired) -> WriteResult:
        """Make the route hold the desired split, unless it does.

        Raises:
            Fenced: the route carries a later transition.
            Conflict: somebody wrote the route meanwhile; nothing was written.
            RouteProblem: a person has to mend something first.
        """


def router_for(spec: ModelRolloutSpec, namespace: str, cluster: ClusterPort) -> Router:
    """Return the router that the spec names."""
    if spec.traffic.gateway is not None:
        return GatewayRouter(cluster, namespace, spec.traffic.gateway)
    if spec.traffic.service is not None:
        return ServiceRouter(cluster, namespace, spec.traffic.service)
    msg = "expected spec.traffic.gateway or spec.traffic.service, found neither"
    raise ValueError(msg)
