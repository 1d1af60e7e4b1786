"""How many pods the candidate needs, where the weight is made of pod counts (router ``service``)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizing:
    """``replicas`` of the candidate, and the weight in percent that they make next to stable's pods."""

    replicas: int
    reachable: float


def replicas_for(weight: int, stable_ready: int) -> Sizing:
    """Return the size whose weight is nearest to ``weight`` percent without being above it, one pod at least.

    One pod is the least that can serve, so with few stable pods the reachable weight is above a small ``weight``.
    100 is the promotion: as many pods as stable has.

    Raises:
        ValueError: when ``weight`` is not between 1 and 100, or ``stable_ready`` is negative.
    """
    if not 1 <= weight <= 100 or stable_ready < 0:
        msg = f"expected a weight of 1 to 100 and a count of pods, found {weight} and {stable_ready}"
        raise ValueError(msg)
    if weight == 100:
        return Sizing(replicas=max(1, stable_ready), reachable=100.0)
    replicas = max(1, weight * stable_ready // (100 - weight))
    return Sizing(replicas=replicas, reachable=reachable_weight(replicas, stable_ready))


def reachable_weight(candidate_ready: int, stable_ready: int) -> float:
    """Return the candidate's share of all ready pods in percent; 0 when there are none."""
    ready = candidate_ready + stable_ready
    return 100 * candidate_ready / ready if ready else 0.0
