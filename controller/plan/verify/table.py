"""The table of checks in status: brought up to what was found, row by row."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from controller.api.reasons import Phase
from controller.api.status import CheckStatus, ModelRolloutStatus, VerificationStatus, VerifiedPod
from controller.api.verdicts import CheckState
from controller.plan.transitions import LIVE
from controller.plan.verify.findings import CheckKey, Finding, Outcome, Part
from controller.plan.verify.fingerprint import same_model
from controller.plan.verify.work import ONCE_PER_EPOCH, RESTORED, aligned, check_key, pod_of, wanted
from controller.plan.world import ArmName, Pod

if TYPE_CHECKING:
    from controller.plan.situation import Situation

STABLE_ROW: Final = "smoke/stable"
"""Stable's own smoke test, all its pods on one line."""

_MOST_PODS: Final = 200
"""Pods that status has room for; those of a larger rollout are tested again by an operator that is started anew."""

_GRAVITY: Final = (
    CheckState.FAILED,
    CheckState.RUNNING,
    CheckState.PENDING,
    CheckState.WARNED,
    CheckState.UNSUPPORTED,
    CheckState.PASSED,
    CheckState.SKIPPED,
)
"""Of several pods the row shows the first of these."""

Rows = dict[str, CheckStatus]


def with_checks(situation: "Situation") -> ModelRolloutStatus:
    """Return the status with the table as the finished and running checks have it."""
    situation = aligned(situation)
    status = situation.status
    if situation.spec.verify is None or status.verification is None:
        return status
    if status.phase not in LIVE | {Phase.VERIFYING, Phase.PROMOTING, Phase.ROLLED_BACK, Phase.IDLE}:
        return status
    rows: Rows = {row.name: row for row in status.verification.checks}
    pods, environment = _pods(situation), status.verification.environment
    if status.phase is Phase.VERIFYING:
        for part in ONCE_PER_EPOCH:
            outcome = _fold_part(situation, part, rows)
            environment = outcome.environment if outcome and outcome.environment else environment
    if status.phase in LIVE | {Phase.VERIFYING, Phase.PROMOTING}:
        _fold_smoke(situation, pods, rows)
    _fold_restored(situation, rows)
    verification = status.verification.model_copy(
        update={"pods": pods[:_MOST_PODS], "golden_at": _golden_at(situation), "environment": environment}
    )
    stable = _fold_stable(situation, rows)
    verification = verification.model_copy(update={"checks": _table(rows, status.verification.checks)})
    return status.model_copy(update={"verification": verification, "stable": stable})


def _table(rows: Rows, before: tuple[CheckStatus, ...]) -> tuple[CheckStatus, ...]:
    """Return the rows in the order of the parts; one that differs in its duration alone is told as it was.

    So a test that is repeated, or that a second process carries out as well, is no news.
    """
    known = {row.name: row for row in before}
    told = (known[name] if _same(known.get(name), row) else row for name, row in rows.items())
    parts = tuple(Part)
    return tuple(sorted(told, key=lambda row: parts.index(Part(row.name.partition("/")[0]))))


def _same(before: CheckStatus | None, now: CheckStatus) -> bool:
    return before is not None and before.model_copy(update={"duration": now.duration}) == now


def row_of(finding: Finding, *, pods: str | None = None) -> CheckStatus:
    """Return a finding as status shows it."""
    ended = finding.state not in (CheckState.PENDING, CheckState.RUNNING)
    took = timedelta(milliseconds=round(1000 * finding.seconds)) if ended else timedelta(0)
    return CheckStatus(
        name=finding.name,
        state=finding.state,
        found=finding.found or None,
        expected=finding.expected or None,
        pods=pods,
        duration=took or None,
    )


def _pods(situation: "Situation") -> tuple[VerifiedPod, ...]:
    """The live pods whose test has ended, in this process or before; the candidate's first."""
    known = situation.status.verification
    before = {pod.uid: pod for pod in known.pods} if known else {}
    if situation.status.phase is Phase.ROLLED_BACK:
        return tuple(before.values())
    for key, outcome in _present(situation):
        pod = pod_of(key, situation.world)
        if "#" not in key.subject and pod is not None:
            before[pod.uid] = VerifiedPod(name=pod.name, uid=pod.uid, passed=outcome.failed is None)
    world = situation.world
    live = {pod.uid for pod in (*world.candidate_pods, *world.stable_pods, *world.backup_pods)}
    unread, candidates = not live, {pod.uid for pod in world.candidate_pods}
    listed = (pod for uid, pod in before.items() if unread or uid in live)
    return tuple(sorted(listed, key=lambda pod: (pod.uid not in candidates, pod.uid)))


def _present(situation: "Situation") -> Iterator[tuple[CheckKey, Outcome]]:
    """Yield the smoke tests that speak of what is asked now: not of other revisions, specs or rounds."""
    status = situation.status
    arms = ((status.candidate, ArmName.CANDIDATE), (status.stable, ArmName.STABLE), (status.backup, ArmName.STABLE))
    asked = {check_key(Part.SMOKE, situation, revision, arm=arm).of for revision, arm in arms if revision is not None}
    for key, outcome in situation.verification.finished.items():
        if key.part is Part.SMOKE and key.of in asked:
            yield key, outcome


def _fold_part(situation: "Situation", part: Part, rows: Rows) -> Outcome | None:
    candidate = situation.status.candidate
    if candidate is None:
        return None
    key = check_key(part, situation, candidate, arm=ArmName.CANDIDATE)
    outcome, running = situation.verification.finished.get(key), situation.verification.running.get(key)
    if outcome is None and running is None:
        return None
    for name in [name for name in rows if name == part or name.startswith(f"{part}/")]:
        del rows[name]
    findings = outcome.findings if outcome is not None else running or ()
    if not findings:
        findings = (Finding(str(part), CheckState.RUNNING),)
    rows.update((each.name, row_of(each)) for each in findings)
    return outcome


def _fold_smoke(situation: "Situation", pods: tuple[VerifiedPod, ...], rows: Rows) -> None:
    """One row per step over all pods of the candidate; what this process did not see keeps what status said."""
    live = situation.world.candidate_pods
    smoke = situation.spec.verify.smoke if situation.spec.verify else None
    if smoke is None or not live:
        return
    outcomes = _outcomes(situation, live)
    passed = {pod.uid for pod in pods if pod.passed}
    ended = {pod.uid for pod in pods}
    count = f"{sum(pod.uid in passed for pod in live)}/{len(live)}"
    found = _worst_of(outcomes)
    steps = {
        name: row for name, row in rows.items() if name.startswith("smoke/") and name not in (STABLE_ROW, RESTORED)
    }
    for name, finding in found.items():
        before = steps.get(name)
        graver = before is not None and _gravity(before.state) < _gravity(finding.state)
        kept = before if graver and before is not None and not _outdated(before) else row_of(finding)
        rows[name] = kept.model_copy(update={"pods": count})
    for name, row in steps.items():
        if name not in found:
            rows[name] = row.model_copy(update={"pods": count})
    if found or steps:
        rows.pop("smoke", None)
    if any(pod.uid not in ended for pod in live) and not found and not steps:
        rows["smoke"] = CheckStatus(name="smoke", state=CheckState.RUNNING, pods=count)


def _outdated(row: CheckStatus) -> bool:
    return row.state in (CheckState.PENDING, CheckState.RUNNING)


def _outcomes(situation: "Situation", live: tuple[Pod, ...]) -> list[tuple[Pod, Outcome]]:
    """Outcomes of the candidate's pods, repetitions of the golden requests included, oldest first."""
    by_uid = {pod.uid: pod for pod in live}
    found: list[tuple[Pod, Outcome]] = []
    for key, outcome in _present(situation):
        uid, _, repeated = key.subject.partition("#")
        if key.arm is not ArmName.CANDIDATE or uid not in by_uid:
            continue
        # A pod that is going, or gone, answers no repetition: Kubernetes has taken it out by itself.
        if by_uid[uid].ready or not repeated:
            found.append((by_uid[uid], outcome))
    return sorted(found, key=lambda pair: pair[1].at)


def _worst_of(outcomes: Iterable[tuple[Pod, Outcome]]) -> dict[str, Finding]:
    worst: dict[str, Finding] = {}
    for pod, outcome in outcomes:
        for finding in outcome.findings:
            known = worst.get(finding.name)
            if known is None or _rank(finding) < _rank(known):
                worst[finding.name] = _told_of(pod, finding)
    return worst


def _told_of(pod: Pod, finding: Finding) -> Finding:
    """Name the pod where it matters which one; what was skipped was skipped for all."""
    if finding.state in (CheckState.PASSED, CheckState.SKIPPED, CheckState.UNSUPPORTED) or not finding.found:
        return finding
    return Finding(finding.name, finding.state, f"Pod {pod.name}: {finding.found}", finding.expected, finding.seconds)


def _rank(finding: Finding) -> tuple[int, float]:
    """The gravest first, among equals the slowest."""
    return _gravity(finding.state), -finding.seconds


def _gravity(state: CheckState) -> int:
    return _GRAVITY.index(state)


def _golden_at(situation: "Situation") -> int:
    """Return the windows at which the golden requests were last sent to all pods."""
    known = situation.status.verification
    before = known.golden_at if known else 0
    if situation.status.phase not in LIVE:
        return before
    due = [key for key in wanted(situation) if "#" in key.subject]
    if not due or any(key not in situation.verification.finished for key in due):
        return before
    return situation.status.window.number


def _fold_stable(situation: "Situation", rows: Rows) -> object:
    """Take stable's own test into the table, and what it answers into its revision."""
    stable, status = situation.status.stable, situation.status
    if stable is None or status.phase is not Phase.VERIFYING:
        return stable
    outcomes = [
        (pod, outcome)
        for key, outcome in _present(situation)
        if _is_of_stable(key)
        and (pod := pod_of(key, situation.world)) is not None
        and pod in situation.world.stable_pods
    ]
    if not outcomes:
        return stable
    failed = next(((pod, found) for pod, outcome in outcomes if (found := outcome.failed) is not None), None)
    fingerprint = next((outcome.fingerprint for _, outcome in outcomes if outcome.fingerprint), None)
    if failed is not None:
        pod, finding = failed
        rows[STABLE_ROW] = row_of(_told_of(pod, Finding(STABLE_ROW, finding.state, finding.found, finding.expected)))
        return stable
    answers = f"; its answers have the fingerprint {fingerprint}" if fingerprint else ""
    rows[STABLE_ROW] = row_of(Finding(STABLE_ROW, CheckState.PASSED, f"{_pods_tested(len(outcomes))}{answers}"))
    everyone = len(outcomes) >= len(situation.world.stable_pods)
    return stable.model_copy(
        update={"fingerprint": fingerprint or stable.fingerprint, "proven": stable.proven or everyone}
    )


def _pods_tested(number: int) -> str:
    return "1 pod tested" if number == 1 else f"{number} pods tested"


def _is_of_stable(key: CheckKey) -> bool:
    return key.arm is ArmName.STABLE and "#" not in key.subject


def _fold_restored(situation: "Situation", rows: Rows) -> None:
    stable = situation.status.stable
    if situation.status.phase is not Phase.ROLLED_BACK or stable is None:
        return
    marker = f"#restored.{situation.status.epoch}"
    outcome = next((out for key, out in situation.verification.finished.items() if key.subject.endswith(marker)), None)
    if outcome is None:
        return
    expected = f"fingerprint {stable.fingerprint}, as before the rollout"
    if outcome.failed is not None:
        finding = Finding(RESTORED, CheckState.FAILED, outcome.failed.found, expected)
    elif outcome.fingerprint and stable.fingerprint and same_model(outcome.fingerprint, stable.fingerprint):
        finding = Finding(RESTORED, CheckState.PASSED, f"fingerprint {outcome.fingerprint}", expected)
    else:
        finding = Finding(RESTORED, CheckState.FAILED, f"fingerprint {outcome.fingerprint}", expected)
    rows[RESTORED] = row_of(finding)


def open_checks(status: VerificationStatus) -> tuple[str, ...]:
    """Return the names of the checks that have not ended."""
    return tuple(row.name for row in status.checks if row.state in (CheckState.PENDING, CheckState.RUNNING))
