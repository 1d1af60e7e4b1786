"""The turn: read, observe, record, judge, decide, commit, act. One pass over one rollout.

The order is what makes every step happen once although the process may die anywhere and several may run by mistake: the
intent is committed to status with a resourceVersion precondition before anything is changed, the change is fenced by
the transition's number, and only a later turn that sees the change in the world confirms it.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from pydantic import ValidationError

from controller.act.events import EventSink
from controller.act.record import RecordKeeper
from controller.act.route import Fenced, RouteProblem
from controller.act.router import Router
from controller.act.status import add_finalizer, commit_status, remove_finalizer
from controller.api.names import FINALIZER, REQUEST_ANNOTATION
from controller.api.reasons import ConditionType, Reason
from controller.api.spec import ModelRolloutSpec
from controller.api.status import ModelRolloutStatus
from controller.observe.cluster import ROLLOUTS, ClusterError, ClusterPort, Json, NotFound
from controller.plan.conditions import Fact, kstatus_facts, with_facts
from controller.plan.decide import decide
from controller.plan.desired import fence_is, holds
from controller.plan.situation import Decision, Situation, Subject
from controller.plan.windows import Clockwork
from controller.plan.world import Desired, World
from controller.run.evidence import EvidenceGatherer, Source, record_key
from controller.run.key import Key
from controller.run.verification.checks import Checks, NoChecks
from controller.run.world import WorldReader

log = logging.getLogger(__name__)

_LONGEST_EDIT_BACKOFF = 60.0


@dataclass(frozen=True)
class Ports:
    """Everything outside of the pure core that a turn touches."""

    cluster: ClusterPort
    reader: WorldReader
    sources: Mapping[str, Source]
    records: RecordKeeper
    events: EventSink
    clock: Callable[[], datetime]
    checks: Checks = field(default_factory=NoChecks)
    decided: Callable[[Key, Decision], None] = lambda _key, _decision: None


class Turn:
    """One pass over one rollout; safe to call from several threads for different keys."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._gatherer = EvidenceGatherer(ports.records)
        self._edits: dict[str, int] = {}

    def __call__(self, key: Key) -> float | None:
        """Bring one rollout forward; return the seconds until time alone makes another look worth while.

        Raises:
            Conflict: somebody else wrote meanwhile; the turn is to be repeated from its reading.
            ClusterError: the API server did not do as asked; to be tried again later.
        """
        ports = self._ports
        try:
            rollout = ports.cluster.get(ROLLOUTS, key.namespace, key.name)
        except NotFound:
            return None
        status = ModelRolloutStatus.model_validate(rollout.get("status") or {})
        try:
            spec = _spec(rollout)
        except ValidationError as error:
            self._refuse(rollout, status, error)
            return None
        look = ports.reader.read(rollout, spec, status)
        situation = self._situation(rollout, spec, status, look.world)
        decision = decide(situation)
        self._carry_out(rollout, situation, decision, look.router)
        ports.decided(key, decision)
        return self._again(situation, decision)

    def _situation(self, rollout: Json, spec: ModelRolloutSpec, status: ModelRolloutStatus, world: World) -> Situation:
        now = self._ports.clock()
        source = self._ports.sources.get(spec.analysis.prometheus.name)
        scrape, settle = (source.scrape, source.settle) if source else (spec.strategy.interval / 2,) * 2
        interval = spec.strategy.interval
        situation = Situation(
            subject=_subject(rollout),
            spec=spec,
            status=status,
            world=world,
            clockwork=Clockwork(interval=interval, scrape=scrape, settle=settle),
            now=now,
        )
        if situation.subject.deleting:
            return situation  # The way out waits for no Prometheus, no record and no check.
        situation = self._ports.checks.gather(situation)
        return situation if source is None else self._gatherer.gather(situation, source)

    def _carry_out(self, rollout: Json, situation: Situation, decision: Decision, router: Router) -> None:
        """Commit, then act, always; a fall of the weight leaves record and events for after the act."""
        ports = self._ports
        falling = decision.status.traffic.desired_weight < situation.status.traffic.desired_weight
        if decision.finalizer == "add" and not situation.subject.finalized:
            rollout = add_finalizer(ports.cluster, rollout)
        if decision.opens is not None:
            ports.records.open(situation.subject.namespace, decision.opens)
        if not falling:
            self._document(situation, decision)
        if decision.status.to_json() != situation.status.to_json():
            rollout = commit_status(ports.cluster, rollout, decision.status)
        if decision.desired is not None:
            self._act(rollout, situation.world, decision.desired, router)
        self._ports.checks.let_in(replace(situation, status=decision.status))
        if falling:
            self._document_late(situation, decision)
        if decision.finalizer == "remove":
            remove_finalizer(ports.cluster, rollout)
        ports.events.post(rollout, decision.announcements)

    def _document(self, situation: Situation, decision: Decision) -> None:
        """Write the decision into the record of the epoch that it was taken in, if that epoch has one."""
        records, key = self._ports.records, record_key(situation)
        if decision.note is None or key.epoch == 0 or records.read(key) is None:
            return
        records.note(key, decision.note)
        if decision.closes is not None:
            records.close(key, decision.closes)
            records.prune(key.namespace, key.rollout, keep=situation.spec.history_limit)

    def _document_late(self, situation: Situation, decision: Decision) -> None:
        """After a fall of the weight a record that cannot be written holds nothing up."""
        try:
            self._document(situation, decision)
        except ClusterError as error:
            log.warning("A decision could not be recorded: %s", error)

    def _act(self, rollout: Json, world: World, desired: Desired, router: Router) -> None:
        uid = rollout["metadata"]["uid"]
        if not world.route.exists or (world.route.problem is not None and desired.weight > 0):
            return  # The way back is tried all the same: it needs less than the way forward.
        if holds(world.route, desired) and _sized(world, desired):
            self._edits.pop(uid, None)
            return
        if fence_is(world.route, desired) and not holds(world.route, desired):
            self._edits[uid] = self._edits.get(uid, 0) + 1
        try:
            result = router.write(desired)
        except Fenced as fenced:
            log.warning("Left the route alone: %s", fenced)
        except RouteProblem as problem:
            log.warning("Could not write the route: %s", problem)
        else:
            if result.pending:
                log.info("Waiting before the weight is written: %s", result.pending)

    def _again(self, situation: Situation, decision: Decision) -> float | None:
        if decision.next_look is None:
            return None
        seconds = max(0.0, (decision.next_look - situation.now).total_seconds())
        edits = self._edits.get(situation.subject.uid, 0)
        return min(_LONGEST_EDIT_BACKOFF, max(seconds, 2.0**edits)) if edits > 1 else seconds

    def _refuse(self, rollout: Json, status: ModelRolloutStatus, error: ValidationError) -> None:
        """Say why the spec cannot be read; traffic stays where it is."""
        first = error.errors(include_url=False)[0]
        where = ".".join(("spec", *(str(part) for part in first["loc"])))
        sentence = f"{where}: {first['msg'].removeprefix('Value error, ')}"
        fact = Fact(ConditionType.SPEC_ACCEPTED, "False", Reason.INVALID_SPEC, sentence)
        generation, now = rollout["metadata"]["generation"], self._ports.clock()
        refused = with_facts(
            status.model_copy(update={"message": fact.message, "reason": fact.reason}),
            (fact,),
            generation=generation,
            now=now,
        )
        refused = with_facts(refused, kstatus_facts(refused), generation=generation, now=now)
        if refused.to_json() != status.to_json():
            commit_status(self._ports.cluster, rollout, refused)


_NEEDED_TO_RETURN = ("stable", "candidate", "traffic")
_NOTHING_TO_ANALYSE = {"metrics": [{"name": "none", "preset": "mlr/errors"}]}


def _spec(rollout: Json) -> ModelRolloutSpec:
    """Read the spec; of an object that is being deleted only what leads its traffic back has to be readable.

    Raises:
        ValidationError: admission let something pass that cannot be read, or did not see it.
    """
    spec = rollout["spec"]
    try:
        return ModelRolloutSpec.model_validate(spec)
    except ValidationError:
        if "deletionTimestamp" not in rollout["metadata"]:
            raise
    needed = {part: spec[part] for part in _NEEDED_TO_RETURN if part in spec}
    return ModelRolloutSpec.model_validate(needed | {"analysis": _NOTHING_TO_ANALYSE})


def _sized(world: World, desired: Desired) -> bool:
    wanted, candidate = desired.candidate_replicas, world.candidate
    return wanted is None or candidate is None or candidate.replicas == wanted


def _subject(rollout: Json) -> Subject:
    metadata = rollout["metadata"]
    return Subject(
        name=metadata["name"],
        namespace=metadata["namespace"],
        uid=metadata["uid"],
        generation=metadata["generation"],
        deleting="deletionTimestamp" in metadata,
        finalized=FINALIZER in metadata.get("finalizers", ()),
        request=metadata.get("annotations", {}).get(REQUEST_ANNOTATION),
    )
