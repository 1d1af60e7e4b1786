"""What a smoke test is asked to do."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.api.verify import GoldenCase, Protocol, Smoke
from controller.observe.probes.protocol import Model
from controller.observe.probes.target import Target


@dataclass(frozen=True)
class SmokeOrder:
    """One pod to be tested.

    ``cases`` are the golden requests, whether from the spec or from a ConfigMap; ``stable`` is a pod of stable to
    compare with, None where there is none. ``counters`` are selectors of counters that requests move, as the judge
    reads them; ``images`` is the imageID that runs, by container in the pod's order.
    """

    protocol: Protocol
    model: Model
    smoke: Smoke
    target: Target
    cases: tuple[GoldenCase, ...] = ()
    stable: Target | None = None
    counters: tuple[str, ...] = ()
    images: Mapping[str, str] = field(default_factory=dict)
