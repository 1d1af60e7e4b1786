"""Whether a spec can be carried out: what only the cluster and the operator's configuration can tell."""

from collections.abc import Callable

from controller.api.presets import LATENCIES, PRESETS
from controller.api.promql import parse_query
from controller.api.reasons import Reason
from controller.api.scalars import format_duration
from controller.api.spec import ModelRolloutSpec
from controller.plan.desired import scaled_by_operator
from controller.plan.situation import Situation
from controller.plan.world import Problem

Check = Callable[[Situation], Problem | None]

_LONGEST = 1024
_PRESETS = frozenset({*PRESETS, *LATENCIES})


def problem_with(situation: Situation) -> Problem | None:
    """Return the first thing that stands against the spec, or None when it can be carried out."""
    return next((found for check in CHECKS if (found := check(situation)) is not None), None)


def _claimed(situation: Situation) -> Problem | None:
    rivals = situation.world.rivals
    if not rivals:
        return None
    return Problem(
        Reason.ROUTE_CLAIMED,
        f"ModelRollout {rivals[0]} already steers {route_name(situation.spec)}; delete one of the two, or give each "
        "its own route",
    )


def _configured(situation: Situation) -> Problem | None:
    return situation.world.problems[0] if situation.world.problems else None


def _stable_exists(situation: Situation) -> Problem | None:
    status, spec = situation.status, situation.spec
    name = status.stable.deployment if status.stable else spec.stable.deployment
    if situation.world.stable is not None:
        return None
    return Problem(
        Reason.STABLE_MISSING if status.stable else Reason.DEPLOYMENT_MISSING,
        f"Deployment {name}, which is stable, does not exist; create it in this namespace",
    )


def _candidate_exists(situation: Situation) -> Problem | None:
    spec = situation.spec
    if spec.candidate is None or situation.world.candidate is not None or _is_stable(situation):
        return None
    return Problem(
        Reason.DEPLOYMENT_MISSING,
        f"Deployment {spec.candidate.deployment}, the candidate, does not exist; create it or remove spec.candidate",
    )


def _is_stable(situation: Situation) -> bool:
    candidate, stable = situation.spec.candidate, situation.world.stable
    return candidate is not None and stable is not None and candidate.deployment == stable.deployment


def _route_usable(situation: Situation) -> Problem | None:
    return situation.world.route.problem


def _not_autoscaled(situation: Situation) -> Problem | None:
    candidate = situation.world.candidate
    if candidate is None or candidate.autoscaler is None or not scaled_by_operator(situation.spec):
        return None
    return Problem(
        Reason.CANDIDATE_AUTOSCALED,
        f"{candidate.autoscaler} scales Deployment {candidate.deployment}, so the operator must not; remove it or set "
        "spec.candidate.scale to ByUser",
    )


def _presets_known(situation: Situation) -> Problem | None:
    for metric in situation.spec.analysis.metrics:
        if metric.preset is not None and metric.preset not in _PRESETS:
            return Problem(
                Reason.UNKNOWN_PRESET,
                f"metric {metric.name}: preset {metric.preset} is not known; known are {', '.join(sorted(_PRESETS))}",
            )
    return None


def _queries_confined(situation: Situation) -> Problem | None:
    for metric in situation.spec.analysis.metrics:
        if metric.query is None:
            continue
        try:
            parse_query(metric.query)
        except ValueError as error:
            return Problem(Reason.QUERY_INVALID, f"metric {metric.name}: the query {error}"[:_LONGEST])
    return None


def _interval_long_enough(situation: Situation) -> Problem | None:
    interval, scrape = situation.spec.strategy.interval, situation.clockwork.scrape
    if interval >= 2 * scrape:
        return None
    return Problem(
        Reason.INTERVAL_TOO_SHORT,
        f"strategy.interval {format_duration(interval)} must be at least two scrapes of Prometheus server "
        f"{situation.spec.analysis.prometheus.name} ({format_duration(2 * scrape)})",
    )


def _cohorts_long_enough(situation: Situation) -> Problem | None:
    """A window can hold the labels of one cohort; of shorter ones it would lose some."""
    interval = situation.spec.strategy.interval
    for metric in situation.spec.analysis.metrics:
        if metric.cohort is not None and metric.label_delay is not None and metric.label_delay < interval:
            return Problem(
                Reason.INVALID_SPEC,
                f"metric {metric.name}: labelDelay {format_duration(metric.label_delay)} with a cohort must be at "
                f"least strategy.interval {format_duration(interval)}; leave cohort out, or make the interval shorter",
            )
    return None


CHECKS: tuple[Check, ...] = (
    _claimed,
    _configured,
    _presets_known,
    _queries_confined,
    _interval_long_enough,
    _cohorts_long_enough,
    _stable_exists,
    _candidate_exists,
    _route_usable,
    _not_autoscaled,
)
"""In the order in which a person would mend them."""


def route_name(spec: ModelRolloutSpec) -> str:
    """Return the router's object in words."""
    if spec.traffic.gateway is not None:
        return f"HTTPRoute {spec.traffic.gateway.http_route}"
    return f"Service {spec.traffic.service.name if spec.traffic.service else '?'}"
