"""The rules of verification: what is proven before the first request, and what a failed proof does."""

from dataclasses import replace
from typing import Final

from controller.api.reasons import ConditionType, Phase, Reason
from controller.api.status import CheckStatus, ModelRolloutStatus
from controller.api.verdicts import CheckState
from controller.plan.conditions import Fact
from controller.plan.epoch import first_page, with_rejection
from controller.plan.freeze import freeze
from controller.plan.move import RETRY_SOON, move, wait
from controller.plan.situation import Announcement, Decision, Situation
from controller.plan.transitions import LIVE, Event
from controller.plan.verify.table import STABLE_ROW
from controller.plan.verify.work import RESTORED, wanted
from controller.plan.world import Problem

_REASONS: Final = {
    "parity": Reason.PARITY_MISMATCH,
    "provenance": Reason.PROVENANCE_MISMATCH,
    "reproduction": Reason.REPRODUCTION_FAILED,
    "pipeline": Reason.PIPELINE_FAILED,
}
_BOUGHT_TIME: Final = 2 * RETRY_SOON
"""Checks that end wake the rollout; this is for Jobs, which send no event here."""


def failed_check(status: ModelRolloutStatus) -> CheckStatus | None:
    """Return the first check of the candidate that failed."""
    rows = status.verification.checks if status.verification else ()
    own = (row for row in rows if row.name not in (STABLE_ROW, RESTORED))
    return next((row for row in own if row.state is CheckState.FAILED), None)


def failure(row: CheckStatus) -> Problem:
    """Return a failed check as a reason and a sentence."""
    part = row.name.partition("/")[0]
    reason = Reason.GOLDEN_FAILED if row.name == "smoke/golden" else _REASONS.get(part, Reason.SMOKE_FAILED)
    expected = f"; expected {row.expected}" if row.expected else ""
    return Problem(reason, f"{row.name}: {row.found or 'failed'}{expected}")


def refused(situation: Situation) -> Decision | None:
    """Before serving: a candidate of which a check failed is rejected; no request has reached it."""
    status = situation.status
    row = failed_check(status) if status.phase is Phase.VERIFYING else None
    if row is None:
        return None
    problem = failure(row)
    frozen = freeze(situation, situation.history or {})
    return move(
        situation,
        Event.VERIFICATION_FAILED,
        reason=problem.reason,
        message=f"{_candidate(status)} is refused before it served anyone: {problem.message}",
        weight=0,
        kind="Warning",
        changes={"rejected": with_rejection(status, problem.reason)},
        opens=None if isinstance(frozen, Problem) else first_page(situation, frozen),
    )


def hindered(situation: Situation) -> Decision | None:
    """Before serving: say what a person has to mend, even while no pod is ready.

    Behind a readiness gate none becomes ready before its test.
    """
    obstacle = situation.verification.obstacle
    if situation.status.phase is not Phase.VERIFYING or obstacle is None:
        return None
    return wait(situation, obstacle.reason, obstacle.message, look=situation.now + 5 * RETRY_SOON)


def unverified(situation: Situation) -> Decision | None:
    """Before serving: say what is not proven yet; None once everything is."""
    status = situation.status
    if status.phase is not Phase.VERIFYING or situation.spec.verify is None or status.verification is None:
        return None
    look = situation.now + _BOUGHT_TIME
    stable = next((row for row in status.verification.checks if row.name == STABLE_ROW), None)
    if stable is not None and stable.state is CheckState.FAILED:
        message = f"Stable does not pass its own smoke test, so it could not be returned to: {stable.found}"
        return wait(situation, Reason.SMOKE_FAILED, message, look=situation.now + 5 * RETRY_SOON)
    open_keys = [key for key in wanted(situation) if key not in situation.verification.finished]
    if not open_keys:
        return _untested(situation)
    parts = sorted({f"{key.part} of stable" if key.arm == "stable" else str(key.part) for key in open_keys})
    done = sum(row.state in _ENDED for row in status.verification.checks)
    message = f"Verifying {_candidate(status)}: {done} checks ended, waiting for {', '.join(parts)}{_latest(situation)}"
    return wait(situation, Reason.CHECKS_RUNNING, message, look=look)


def _untested(situation: Situation) -> Decision | None:
    """Wait while Kubernetes counts more ready pods of the candidate than were found, all of which are tested by now."""
    status, workload, verify = situation.status, situation.world.candidate, situation.spec.verify
    if workload is None or verify is None or verify.smoke is None:
        return None
    tested = sum(pod.address is not None for pod in situation.world.candidate_pods)
    if tested >= workload.ready:
        return None
    message = (
        f"Verifying {_candidate(status)}: {tested} of its {workload.ready} ready pods could be tested; if that stays "
        "so, its name is longer than 46 characters, or another Deployment selects the same pods"
    )
    return wait(situation, Reason.CHECKS_RUNNING, message, look=situation.now + _BOUGHT_TIME)


def finished(situation: Situation) -> Situation:
    """Return the situation in which all checks before serving have ended, and since when."""
    known = situation.status.verification
    if known is None or known.finished_at is not None:
        return situation
    ended = known.model_copy(update={"finished_at": situation.now})
    return replace(situation, status=situation.status.model_copy(update={"verification": ended}))


_ENDED: Final = frozenset({CheckState.PASSED, CheckState.WARNED, CheckState.SKIPPED, CheckState.UNSUPPORTED})


def _candidate(status: ModelRolloutStatus) -> str:
    return status.candidate.deployment if status.candidate else "the candidate"


def _latest(situation: Situation) -> str:
    running = next((found[-1] for found in situation.verification.running.values() if found and found[-1].found), None)
    return f" ({running.name}: {running.found})" if running is not None else ""


def smoke_failed(situation: Situation) -> Problem | None:
    """While it serves: a pod that was born since failed its test, or a golden request was answered wrongly."""
    if situation.status.phase not in LIVE | {Phase.PROMOTING}:
        return None
    row = failed_check(situation.status)
    return None if row is None else failure(row)


def verified(situation: Situation) -> tuple[Fact, ...]:
    """Return the condition Verified; a rollout that never asked for a check has none."""
    status, verify = situation.status, situation.spec.verify
    if verify is None and status.condition(ConditionType.VERIFIED) is None:
        return ()
    if verify is None or status.verification is None:
        message = "spec.verify asks for nothing" if verify is None else "No candidate was verified yet"
        return (Fact(ConditionType.VERIFIED, "Unknown", Reason.NOTHING_TO_VERIFY, message),)
    row = failed_check(status)
    if row is not None:
        problem = failure(row)
        return (Fact(ConditionType.VERIFIED, "False", problem.reason, problem.message),)
    if status.phase is Phase.VERIFYING:
        return (Fact(ConditionType.VERIFIED, "False", Reason.CHECKS_RUNNING, "Checks are running"),)
    if not status.verification.checks:
        message = "spec.verify was added while the candidate serves: what is not asked of its pods is proven next time"
        return (Fact(ConditionType.VERIFIED, "Unknown", Reason.NOTHING_TO_VERIFY, message),)
    return (Fact(ConditionType.VERIFIED, "True", Reason.VERIFIED, summary(status)),)


def summary(status: ModelRolloutStatus) -> str:
    """Say in one sentence what was proven."""
    rows = status.verification.checks if status.verification else ()
    counts = [(state, sum(row.state is state for row in rows)) for state in CheckState]
    told = ", ".join(f"{number} {str(state).lower()}" for state, number in counts if number)
    warned = "; ".join(f"{row.name}: {row.found}" for row in rows if row.state is CheckState.WARNED)
    return f"Checks: {told or 'none'}" + (f"; {warned}" if warned else "")


def proof(situation: Situation) -> tuple[Announcement, ...]:
    """Return the event that tells what was proven as the candidate begins to serve."""
    if situation.spec.verify is None:
        return ()
    return (Announcement("Normal", Reason.VERIFIED, summary(situation.status)),)


def restoration(before: ModelRolloutStatus, after: ModelRolloutStatus) -> tuple[Announcement, ...]:
    """Return the event that tells whether stable answers after a roll-back as it did before the rollout, once."""
    known, found = _restored(before), _restored(after)
    if found is None or found == known:
        return ()
    if found.state is CheckState.PASSED:
        return (Announcement("Normal", Reason.VERIFIED, f"Stable answers as before the rollout: {found.found}"),)
    message = f"Stable does not answer as before the rollout: {found.found}; expected {found.expected}"
    return (Announcement("Warning", Reason.FINGERPRINT_CHANGED, message),)


def _restored(status: ModelRolloutStatus) -> CheckStatus | None:
    rows = status.verification.checks if status.verification else ()
    return next((row for row in rows if row.name == RESTORED), None)
