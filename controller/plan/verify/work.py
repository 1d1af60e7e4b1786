"""Which checks a rollout needs now, and how far they are."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from controller.api.reasons import Phase
from controller.api.spec import ModelRolloutSpec
from controller.api.status import ModelRolloutStatus, Revision, VerificationStatus
from controller.api.verdicts import CheckState
from controller.api.verify import Verify
from controller.plan.transitions import LIVE
from controller.plan.verify.findings import CheckKey, Finding, Outcome, Part
from controller.plan.world import ArmName, Pod, Problem, World

if TYPE_CHECKING:
    from controller.plan.situation import Situation

RESTORED = "smoke/restored"
"""The check after a roll-back: stable answers as it did before the rollout."""

ONCE_PER_EPOCH = (Part.PROVENANCE, Part.REPRODUCTION, Part.PIPELINE, Part.PARITY)


@dataclass(frozen=True)
class Verification:
    """What the process knows of the checks of one rollout, beyond what status holds."""

    finished: Mapping[CheckKey, Outcome] = field(default_factory=dict)
    running: Mapping[CheckKey, tuple[Finding, ...]] = field(default_factory=dict)
    """What was found so far; the last finding says what is waited for."""
    obstacle: Problem | None = None
    """What a person has to mend before a check can even begin."""


def verification_hash(spec: ModelRolloutSpec, revision: Revision) -> str:
    """Return the hash of all that a verification speaks of: the revision, the model and ``spec.verify``."""
    verify = spec.verify.to_json() if spec.verify else None
    return _hash(revision.deployment, revision.hash, spec.model.to_json(), verify)


def aligned(situation: "Situation") -> "Situation":
    """Return the situation with an empty table where, before serving, the old one spoke of something else.

    While the candidate serves, a smoke test that was asked for only since then gets a table as well.
    """
    status, spec = situation.status, situation.spec
    if status.candidate is None or spec.verify is None:
        return situation
    of, known = verification_hash(spec, status.candidate), status.verification
    outdated = status.phase is Phase.VERIFYING and (known is None or known.of != of)
    late = status.phase in LIVE and known is None and spec.verify.smoke is not None
    if not outdated and not late:
        return situation
    empty = VerificationStatus(of=of)
    return replace(situation, status=status.model_copy(update={"verification": empty}))


def check_key(part: Part, situation: "Situation", revision: Revision, *, arm: ArmName, subject: str = "") -> CheckKey:
    """Return the key of a check of a revision; what other parts of the spec say does not enter.

    Jobs are made again only where a person retries what they have not proven; everything else is asked in every epoch,
    because pods, ConfigMaps and registries may have changed since.
    """
    spec, known = situation.spec, situation.status.verification
    rounds = known.round if known is not None else 0
    attempt = rounds if part in (Part.REPRODUCTION, Part.PIPELINE) else situation.status.epoch
    own = _part_of(spec.verify, part)
    of = _hash(revision.deployment, revision.hash, spec.model.to_json(), own, attempt)
    return CheckKey(part=part, arm=arm, of=of, subject=subject)


def _part_of(verify: Verify | None, part: Part) -> object:
    return None if verify is None else verify.to_json().get(str(part))


def _hash(*things: object) -> str:
    return hashlib.sha256(json.dumps(things, sort_keys=True).encode()).hexdigest()[:16]


def wanted(situation: "Situation") -> tuple[CheckKey, ...]:
    """Return the checks that this turn waits for or should begin; those that status holds as passed are not among them.

    Before serving: everything. While it serves: new pods of the candidate, and the golden requests again. At rest: new
    pods behind a readiness gate, and after a roll-back whether stable answers as before.
    """
    if situation.spec.verify is None or situation.subject.deleting:
        return ()
    phase = situation.status.phase
    if phase is Phase.VERIFYING:
        return (*_before_serving(situation), *_gated(situation))
    if phase in LIVE | {Phase.PROMOTING}:
        return (*_candidate_pods(situation), *_golden_again(situation), *_gated(situation))
    if phase in (Phase.IDLE, Phase.ROLLED_BACK):
        return (*_restored(situation), *_gated(situation))
    return ()


def _before_serving(situation: "Situation") -> Iterator[CheckKey]:
    status, spec, world = situation.status, situation.spec, situation.world
    if status.candidate is None or spec.verify is None:
        return
    yield from _candidate_pods(situation)
    yield from _stable_pods(situation)
    for part in ONCE_PER_EPOCH:
        waits_for_pods = part is Part.PARITY and not (world.candidate is not None and world.candidate.rolled_out)
        if _part_of(spec.verify, part) and not waits_for_pods and not _passed_before(status.verification, part):
            yield check_key(part, situation, status.candidate, arm=ArmName.CANDIDATE)


def _passed_before(known: VerificationStatus | None, part: Part) -> bool:
    """Whether status holds the part's findings, and none that failed or is not finished."""
    rows = [row for row in known.checks if row.name.startswith(f"{part}/")] if known else []
    unfinished = (CheckState.FAILED, CheckState.PENDING, CheckState.RUNNING)
    return bool(rows) and not any(row.state in unfinished for row in rows)


def _candidate_pods(situation: "Situation") -> Iterator[CheckKey]:
    status, verify = situation.status, situation.spec.verify
    if verify is None or verify.smoke is None or status.candidate is None:
        return
    for pod in _untested(situation.world.candidate_pods, status):
        yield check_key(Part.SMOKE, situation, status.candidate, arm=ArmName.CANDIDATE, subject=pod.uid)


def _stable_pods(situation: "Situation") -> Iterator[CheckKey]:
    """Stable that nobody has proven yet is tested as a whole; of a proven one a pod tells how it answers now."""
    status, verify = situation.status, situation.spec.verify
    if verify is None or verify.smoke is None or status.stable is None:
        return
    pods = _untested(situation.world.stable_pods, status)
    if status.stable.proven:
        tested = {pod.uid for pod in status.verification.pods} if status.verification else set()
        pods = () if any(pod.uid in tested for pod in situation.world.stable_pods) else pods[:1]
    for pod in pods:
        yield check_key(Part.SMOKE, situation, status.stable, arm=ArmName.STABLE, subject=pod.uid)


def _untested(pods: tuple[Pod, ...], status: ModelRolloutStatus) -> tuple[Pod, ...]:
    known = {pod.uid for pod in status.verification.pods} if status.verification else set()
    return tuple(pod for pod in pods if pod.address and pod.uid not in known)


def _golden_again(situation: "Situation") -> Iterator[CheckKey]:
    status, verify = situation.status, situation.spec.verify
    if verify is None or verify.smoke is None or status.candidate is None or status.verification is None:
        return
    every = verify.smoke.repeat_every
    due = status.verification.golden_at + every
    if every == 0 or status.window.number < due:
        return
    for pod in situation.world.candidate_pods:
        if pod.ready and pod.address:
            # Named by the window when it fell due: pods that answer slowly are not asked anew in every window since.
            subject = f"{pod.uid}#{status.epoch}.{due}"
            yield check_key(Part.SMOKE, situation, status.candidate, arm=ArmName.CANDIDATE, subject=subject)


def _gated(situation: "Situation") -> Iterator[CheckKey]:
    """Pods outside of the candidate that wait for the operator's word: of stable, and of the backup."""
    status, verify, world = situation.status, situation.spec.verify, situation.world
    if verify is None or verify.smoke is None:
        return
    for revision, pods in ((status.stable, world.stable_pods), (status.backup, world.backup_pods)):
        for pod in pods:
            if revision is not None and pod.gate is False and pod.address:
                yield check_key(Part.SMOKE, situation, revision, arm=ArmName.STABLE, subject=pod.uid)


def _restored(situation: "Situation") -> Iterator[CheckKey]:
    """After a roll-back: does stable answer as it did before?"""
    status = situation.status
    if not restoration_open(situation.spec, status) or status.stable is None:
        return
    for pod in situation.world.stable_pods[:1]:
        if pod.address:
            subject = f"{pod.uid}#restored.{status.epoch}"
            yield check_key(Part.SMOKE, situation, status.stable, arm=ArmName.STABLE, subject=subject)


def restoration_open(spec: ModelRolloutSpec, status: ModelRolloutStatus) -> bool:
    """Whether it is still to be seen that stable answers after the roll-back as it did before the rollout.

    Answers to other golden requests than those of then cannot be compared.
    """
    known, stable = status.verification, status.stable
    if status.phase is not Phase.ROLLED_BACK or known is None or stable is None or not stable.fingerprint:
        return False
    if spec.verify is None or spec.verify.smoke is None or status.candidate is None:
        return False
    if known.of != verification_hash(spec, status.candidate):
        return False
    return not any(row.name == RESTORED for row in known.checks)


def pods_wanted(spec: ModelRolloutSpec, status: ModelRolloutStatus) -> bool:
    """Whether a rollout at rest needs to look at stable's pods; else they are not even read."""
    return restoration_open(spec, status)


def pod_of(key: CheckKey, world: World) -> Pod | None:
    """Return the live pod that a key speaks of."""
    uid = key.subject.partition("#")[0]
    pods = (*world.candidate_pods, *world.stable_pods, *world.backup_pods)
    return next((pod for pod in pods if pod.uid == uid), None)
