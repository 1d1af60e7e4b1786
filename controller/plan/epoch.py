"""Beginning and end of an epoch: what is frozen, what is counted, what is remembered."""

import hashlib
import json

from controller.api.reasons import Reason
from controller.api.record import FrozenAnalysis, RolloutRecordSpec
from controller.api.scalars import format_duration
from controller.api.spec import ModelRolloutSpec
from controller.api.status import (
    AnalysisStatus,
    Attempts,
    ModelRolloutStatus,
    PastEpoch,
    Rejected,
    Revision,
    TrafficStatus,
    VerificationStatus,
    WindowStatus,
)
from controller.api.verdicts import CheckState
from controller.judge import alpha_for_attempt
from controller.plan.calibration import NOT_YET_CALIBRATED
from controller.plan.situation import Outcome, Situation
from controller.plan.verify.work import verification_hash
from controller.plan.world import Workload

_KEPT = 50


def frozen_hash(spec: ModelRolloutSpec) -> str:
    """Return the hash of what is frozen in an epoch: analysis, steps, interval and harm budget."""
    frozen = {
        "analysis": spec.analysis.to_json(),
        "steps": spec.strategy.steps,
        "interval": format_duration(spec.strategy.interval),
        "harmBudget": None if spec.strategy.harm_budget is None else str(spec.strategy.harm_budget),
    }
    return hashlib.sha256(json.dumps(frozen, sort_keys=True).encode()).hexdigest()[:10]


def revision_of(workload: Workload, *, service: str | None, model_version: str | None = None) -> Revision:
    """Return what an arm runs; the Service defaults to the Deployment's name."""
    return Revision(
        deployment=workload.deployment,
        service=service or workload.deployment,
        hash=workload.hash,
        images=workload.images,
        model_version=model_version,
    )


def candidate_revision(situation: Situation) -> Revision | None:
    """Return what the candidate runs now, or None when there is nothing to roll out."""
    spec, status, workload = situation.spec, situation.status, situation.world.candidate
    if spec.candidate is None or workload is None or status.stable is None:
        return None
    if workload.deployment == status.stable.deployment:
        return None
    return revision_of(workload, service=spec.candidate.service, model_version=spec.model.version)


def is_rejected(status: ModelRolloutStatus, revision: Revision) -> Rejected | None:
    """Return the rejection of exactly this revision."""
    key = (revision.deployment, revision.hash)
    return next((each for each in status.rejected if (each.deployment, each.hash) == key), None)


def begin_epoch(situation: Situation, candidate: Revision) -> dict[str, object]:
    """Return the status fields of a new epoch for ``candidate``."""
    status, spec = situation.status, situation.spec
    stable = _adopted(situation)
    attempts, count = _counted(status.attempts, stable, candidate)
    alpha = alpha_for_attempt(float(spec.analysis.alpha), count)
    return {
        "epoch": next_epoch(situation),
        "stable": stable,
        "candidate": candidate,
        "step": None,
        "step_index": 0,
        "window": WindowStatus(),
        "red_flags": (),
        "verification": _verification(situation, candidate),
        "attempts": attempts,
        "traffic": status.traffic.model_copy(
            update={"observed_weight": None, "reachable_weight": None, "diverted_at": None}
        ),
        "analysis": AnalysisStatus(
            attempt=count,
            alpha=f"{alpha:.6g}",
            calibration=NOT_YET_CALIBRATED,
            frozen=frozen_hash(spec),
            started_at=situation.now,
        ),
    }


def next_epoch(situation: Situation) -> int:
    """Return the number of the next epoch; a re-created object counts on where its predecessor's records end."""
    return max(situation.status.epoch, situation.past_epochs) + 1


def _adopted(situation: Situation) -> Revision:
    """Return stable as it runs now: a new epoch compares with what really serves."""
    stable, live = situation.status.stable, situation.world.stable
    if stable is None or live is None:
        msg = "an epoch cannot begin before stable is known"
        raise AssertionError(msg)
    if stable.hash == live.hash:
        return stable.model_copy(update={"images": live.images})
    proven = stable.proven and not tested(situation.spec)
    return stable.model_copy(update={"hash": live.hash, "images": live.images, "proven": proven, "fingerprint": None})


def tested(spec: ModelRolloutSpec) -> bool:
    """Whether a smoke test is configured, without which every stable counts as proven."""
    return spec.verify is not None and spec.verify.smoke is not None


def _verification(situation: Situation, candidate: Revision) -> VerificationStatus | None:
    """Return the table of an epoch that begins: empty, but for Jobs that have passed for the same revision.

    Whatever failed before is another round, so that neither a Job that failed nor an answer that is remembered stands
    for what is found now.
    """
    if situation.spec.verify is None:
        return None
    known, of = situation.status.verification, verification_hash(situation.spec, candidate)
    if known is None:
        return VerificationStatus(of=of)
    parts = [[row for row in known.checks if row.name.startswith(part)] for part in ("reproduction/", "pipeline/")]
    passed = [rows for rows in parts if all(row.state is CheckState.PASSED for row in rows)]
    failed = len(passed) < len(parts) or any(row.state is CheckState.FAILED for row in known.checks)
    kept = tuple(row for rows in passed for row in rows) if known.of == of else ()
    return VerificationStatus(of=of, round=known.round + failed, checks=kept)


def _counted(known: tuple[Attempts, ...], stable: Revision, candidate: Revision) -> tuple[tuple[Attempts, ...], int]:
    pair = tuple(f"{each.deployment}/{each.hash}" for each in (stable, candidate))
    before = next((each.count for each in known if (each.stable, each.candidate) == pair), 0)
    others = tuple(each for each in known if (each.stable, each.candidate) != pair)
    newest = Attempts(stable=pair[0], candidate=pair[1], count=before + 1)
    return (newest, *others)[:_KEPT], before + 1


def past_epoch(situation: Situation, *, outcome: Outcome, reason: Reason, message: str) -> tuple[PastEpoch, ...]:
    """Return the history with the present epoch added, newest first."""
    status = situation.status
    if status.stable is None or status.candidate is None or status.analysis is None:
        return status.history
    line = PastEpoch(
        epoch=status.epoch,
        stable=status.stable,
        candidate=status.candidate,
        outcome=outcome,
        reason=reason,
        message=message[:1024],
        windows=status.window.counted,
        started_at=status.analysis.started_at,
        finished_at=situation.now,
    )
    return (line, *status.history)[: situation.spec.history_limit]


def with_rejection(status: ModelRolloutStatus, reason: Reason) -> tuple[Rejected, ...]:
    """Return the rejected revisions with the present candidate added."""
    candidate = status.candidate
    if candidate is None or is_rejected(status, candidate):
        return status.rejected
    newest = Rejected(deployment=candidate.deployment, hash=candidate.hash, reason=reason, epoch=status.epoch)
    return (newest, *status.rejected)[:_KEPT]


def without_rejection(status: ModelRolloutStatus, revision: Revision) -> tuple[Rejected, ...]:
    """Return the rejected revisions without this one."""
    key = (revision.deployment, revision.hash)
    return tuple(each for each in status.rejected if (each.deployment, each.hash) != key)


def at_rest(status: ModelRolloutStatus) -> TrafficStatus:
    """Return the split of a rollout whose traffic is all with stable."""
    return status.traffic.model_copy(
        update={
            "desired_weight": 0,
            "applied_weight": 0,
            "observed_weight": None,
            "reachable_weight": None,
            "diverted_at": None,
        }
    )


def first_page(situation: Situation, frozen: FrozenAnalysis) -> RolloutRecordSpec:
    """Return page 0 of the epoch's record."""
    status = situation.status
    if status.stable is None or status.candidate is None:
        msg = "a record cannot be opened before both arms are known"
        raise AssertionError(msg)
    return RolloutRecordSpec(
        rollout=situation.subject.name,
        rollout_uid=situation.subject.uid,
        epoch=status.epoch,
        page=0,
        stable=status.stable,
        candidate=status.candidate,
        frozen=frozen,
        verification=status.verification,
    )
