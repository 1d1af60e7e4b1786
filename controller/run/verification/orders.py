"""From a rollout to what its checks are asked to do; what stands against that is a sentence for a person."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final

from controller.api.kinds import Kind
from controller.api.reasons import Reason
from controller.api.spec import ModelRolloutSpec
from controller.api.status import Revision
from controller.api.verify import GoldenCase, Smoke
from controller.observe.probes.protocol import Model
from controller.observe.probes.smoke import SmokeOrder
from controller.observe.probes.target import Target
from controller.plan.counters import counters_of
from controller.plan.situation import Situation
from controller.plan.verify.findings import CheckKey
from controller.plan.verify.jobs import JobOrder, variables
from controller.plan.verify.work import pod_of
from controller.plan.world import ArmName, Pod, Problem, Workload
from controller.run.key import Key

_DIGEST: Final = "sha256:"
_PORT: Final = "set spec.model.port, or name a containerPort in the pod template"


class ObstacleError(Exception):
    """A check cannot begin before a person has mended something."""

    def __init__(self, message: str, *, reason: Reason = Reason.INVALID_SPEC) -> None:
        super().__init__(message)
        self.problem = Problem(reason, message)


def smoke_order(situation: Situation, key: CheckKey, cases: tuple[GoldenCase, ...]) -> SmokeOrder | None:
    """Return the smoke test of the pod that the key speaks of; None when the pod is gone.

    Stable is asked the same, but which answers are right, which model it is and how fast it must be is the candidate's
    matter.

    Raises:
        ObstacleError: the spec or the Deployment does not say where or how to ask.
    """
    spec, world, pod = situation.spec, situation.world, pod_of(key, situation.world)
    smoke = spec.verify.smoke if spec.verify else None
    if pod is None or pod.address is None or smoke is None or spec.model.protocol is None:
        return None
    if smoke.metrics is not None and smoke.metrics.port is not None:
        _check_own(pod, smoke.metrics.port)
    candidate = key.arm is ArmName.CANDIDATE
    workload = world.candidate if candidate else _workload_of(situation, pod)
    order = SmokeOrder(
        protocol=spec.model.protocol,
        model=_model(situation, smoke, candidate=candidate),
        smoke=smoke,
        target=_target(spec, workload, pod),
        cases=cases,
        stable=_stable_target(situation) if candidate else None,
        counters=counters(spec),
        images=pod.images,
    )
    return order if candidate else replace(order, smoke=_for_stable(smoke), cases=_any_answer(cases))


def counters(spec: ModelRolloutSpec) -> tuple[str, ...]:
    """Return the selector of the counter that requests move, as the judge reads it: none where nothing counts them."""
    if spec.traffic.requests is not None:
        return (spec.traffic.requests,)
    ratios = (counters_of(metric).total for metric in spec.analysis.metrics if metric.kind is Kind.RATIO)
    return tuple(total for total in ratios if total)[:1]


def _model(situation: Situation, smoke: Smoke, *, candidate: bool) -> Model:
    spec, status = situation.spec, situation.status
    version = spec.model.version if candidate else status.stable.model_version if status.stable else None
    return Model(name=spec.model.name or "", version=version, path=smoke.path, ready_path=smoke.ready_path)


def _for_stable(smoke: Smoke) -> Smoke:
    return smoke.model_copy(update={"identity": None, "latency": None})


def _any_answer(cases: tuple[GoldenCase, ...]) -> tuple[GoldenCase, ...]:
    nothing = {"expect": (), "differential": None, "max_latency": None}
    return tuple(case.model_copy(update=nothing) for case in cases)


def _workload_of(situation: Situation, pod: Pod) -> Workload | None:
    world = situation.world
    return world.stable if pod in world.stable_pods else world.backup


def _stable_target(situation: Situation) -> Target | None:
    pod = next((each for each in situation.world.stable_pods if each.ready and each.address), None)
    return None if pod is None else _target(situation.spec, situation.world.stable, pod)


def _target(spec: ModelRolloutSpec, workload: Workload | None, pod: Pod) -> Target:
    port = spec.model.port or (workload.port if workload else None)
    if port is None or pod.address is None:
        name = workload.deployment if workload else "the candidate"
        msg = f"Deployment {name} does not say at which port its model answers; {_PORT}"
        raise ObstacleError(msg)
    _check_own(pod, port)
    return Target(name=pod.name, uid=pod.uid, address=pod.address, port=port)


def _check_own(pod: Pod, port: int) -> None:
    """Refuse a port at a node's address that another process of the node may answer at."""
    if pod.host_ports is not None and port not in pod.host_ports:
        msg = (
            f"pod {pod.name} is on its node's network, where port {port} may be anybody's; name it as a containerPort "
            "in the pod template"
        )
        raise ObstacleError(msg)


def job_order(situation: Situation, key: CheckKey, *, task: str, job_from: str) -> JobOrder:
    """Return the Job of a reproduction or of a component."""
    spec, subject, candidate = situation.spec, situation.subject, situation.status.candidate
    verify = spec.verify
    timeouts = _timeouts(spec)
    declared = verify.provenance.declared() if verify and verify.provenance else {}
    return JobOrder(
        namespace=subject.namespace,
        rollout=subject.name,
        uid=subject.uid,
        task=task,
        of=key.of,
        job_from=job_from,
        timeout=timeouts[task],
        variables=variables(
            candidate=candidate.deployment if candidate else "",
            model_name=spec.model.name,
            model_version=spec.model.version,
            declared=declared,
        ),
    )


def _timeouts(spec: ModelRolloutSpec) -> Mapping[str, timedelta]:
    verify = spec.verify
    if verify is None:
        return {}
    own = {} if verify.reproduction is None else {"reproduction": verify.reproduction.timeout}
    return own | {f"pipeline/{each.name}": each.timeout for each in verify.pipeline}


def rollout_key(situation: Situation) -> Key:
    """Return the key under which the rollout waits for its turns."""
    return Key(situation.subject.namespace, situation.subject.name)


def image_digests(situation: Situation) -> tuple[str, ...]:
    """Return the digests of the first containers of the candidate's pods; none before all have started."""
    images = [next(iter(pod.images.values()), "") for pod in situation.world.candidate_pods]
    if not all(_DIGEST in image for image in images):
        return ()
    return tuple(sorted({_DIGEST + image.rpartition(_DIGEST)[2] for image in images}))


def candidate_of(situation: Situation) -> Revision:
    """Return the candidate, which every check but those of stable's pods speaks of."""
    candidate = situation.status.candidate
    if candidate is None:
        msg = "nothing is verified before there is a candidate"
        raise AssertionError(msg)
    return candidate
