"""What the words of status mean, for the page of states. A test holds that none is missing."""

from collections.abc import Mapping
from typing import Final

from controller.api.reasons import ConditionType, Phase, Reason

PHASES: Final[Mapping[Phase, str]] = {
    Phase.IDLE: "Stable serves alone; there is nothing to roll out, or nothing that may be tried.",
    Phase.VERIFYING: "A candidate was found. It gets no request until its pods are ready and it can be judged.",
    Phase.PROGRESSING: "The candidate serves a part of the requests; windows are judged and the weight grows.",
    Phase.PAUSED: "A person asked to hold the weight. Red flags and `Worse` still act; the deadline stands still.",
    Phase.AWAITING_APPROVAL: "The evidence suffices; a person must request the promotion.",
    Phase.PROMOTING: "All requests are being moved to the candidate.",
    Phase.ROLLING_BACK: "All requests are being returned to stable.",
    Phase.ROLLED_BACK: "Stable serves alone again, and the epoch did not end in a promotion.",
    Phase.STALLED: "A person is needed; the weight is held. Red flags and `Worse` still act.",
    Phase.SUSPENDED: "`spec.suspend` is set: the operator acts on nothing, not even on red flags.",
}

CONDITIONS: Final[Mapping[ConditionType, str]] = {
    ConditionType.READY: "Nothing is under way and nothing stands against the spec (kstatus).",
    ConditionType.RECONCILING: "Something is under way (kstatus).",
    ConditionType.STALLED: "A person is needed (kstatus). Also true after a roll-back, so that tools that wait for a "
    "deployment see that it failed.",
    ConditionType.SPEC_ACCEPTED: "The spec can be carried out in this cluster.",
    ConditionType.VERIFIED: "Every check that `spec.verify` asks for has passed. Absent where it never asked for any.",
    ConditionType.TRAFFIC_APPLIED: "The route holds what the newest transition wants.",
    ConditionType.DATA_AVAILABLE: "The newest window was judged for every metric that decides, and the arms can be "
    "compared.",
    ConditionType.PROMOTED: "The newest epoch ended in a promotion. False while one runs.",
    ConditionType.ROLLED_BACK: "The newest epoch ended without a promotion. False while one runs.",
    ConditionType.BACKUP_READY: "The previous stable is there as it was, with all its pods ready.",
}

REASONS: Final[Mapping[str, Mapping[Reason, str]]] = {
    "The spec against the cluster": {
        Reason.ACCEPTED: "Nothing stands against the spec.",
        Reason.INVALID_SPEC: "The stored object breaks a rule of the spec.",
        Reason.DEPLOYMENT_MISSING: "A Deployment that the spec names does not exist.",
        Reason.SERVICE_MISSING: "An arm's Service does not exist.",
        Reason.ROUTE_MISSING: "The HTTPRoute or Service of `spec.traffic` does not exist.",
        Reason.ROUTE_CLAIMED: "An older ModelRollout steers the same route.",
        Reason.ROUTE_DISAGREES: "The route sends requests to something else than stable.",
        Reason.BACKEND_MISSING: "The route has no place for an arm.",
        Reason.RULE_AMBIGUOUS: "Several places in the HTTPRoute may be meant.",
        Reason.NO_COMMON_LABEL: "The pods of both Deployments share no label.",
        Reason.NO_DISTINCT_LABEL: "No selector picks one Deployment's pods without the other's.",
        Reason.SELECTOR_TOO_WIDE: "The labels that both Deployments share are also on other pods.",
        Reason.CANDIDATE_AUTOSCALED: "The operator is to size the candidate, but an autoscaler does.",
        Reason.UNKNOWN_PRESET: "A metric names a preset that does not exist.",
        Reason.UNKNOWN_PROMETHEUS: "`analysis.prometheus.name` is not in the operator's settings.",
        Reason.INTERVAL_TOO_SHORT: "`strategy.interval` is shorter than two scrapes.",
        Reason.MARGIN_NOT_RESOLVABLE: "A relative margin has too little history to be worked out.",
        Reason.MARGIN_OUT_OF_REACH: "With the last day's traffic the margin cannot be resolved before the deadline.",
        Reason.NOISE_ABOVE_MARGIN: "`noise: Strict`, and stable's pods differ by more than the margin.",
        Reason.QUERY_NOT_ALLOWED: "A metric is a free query, which the operator's settings do not allow.",
    },
    "Verification": {
        Reason.VERIFIED: "Every check that `spec.verify` asks for has passed.",
        Reason.CHECKS_RUNNING: "Checks have not ended yet; `status.verification.checks` lists them.",
        Reason.NOTHING_TO_VERIFY: "`spec.verify` asks for nothing, or there is no candidate.",
        Reason.SMOKE_FAILED: "A pod did not pass its smoke test.",
        Reason.GOLDEN_FAILED: "A golden request was answered wrongly.",
        Reason.PARITY_MISMATCH: "The environments of both arms differ where they must not.",
        Reason.PROVENANCE_MISMATCH: "The candidate does not carry the versions that the spec declares.",
        Reason.REPRODUCTION_FAILED: "The Job that trains or scores again did not give the recorded numbers.",
        Reason.PIPELINE_FAILED: "A component of the pipeline failed, or what must hold before or after it does not.",
        Reason.FINGERPRINT_CHANGED: "After a roll-back stable does not answer as it did before the rollout.",
        Reason.ENVIRONMENTS_DIFFER: "Latencies cannot be compared, because resources or load of the arms differ.",
    },
    "Evidence": {
        Reason.COUNTED: "The window was judged.",
        Reason.NO_WINDOW_YET: "No window was due yet.",
        Reason.PROMETHEUS_UNREACHABLE: "Prometheus gave no answer; windows wait.",
        Reason.PROMETHEUS_ANSWER_INVALID: "Prometheus gave an answer that cannot be used; windows wait.",
        Reason.NO_SERIES: "No series of the metric's `total` exists for either arm.",
        Reason.BAD_SERIES_NEVER_SEEN: "No series ever matched the metric's `bad`: its zero proves nothing.",
        Reason.NO_TRAFFIC: "Neither arm got a request in the window.",
        Reason.NO_CANDIDATE_TRAFFIC: "The candidate got no request in the window.",
        Reason.NO_STABLE_TRAFFIC: "Stable got no request in the window.",
        Reason.SCRAPE_GAP: "A pod was not scraped at an edge of the window, so its counts are not known.",
        Reason.WARMING_UP: "No pod of an arm had ended its warm-up when the window began.",
        Reason.TOO_FEW_REQUESTS: "The evidence suffices, but fewer than strategy.minRequests were judged.",
        Reason.STABLE_CHANGED: "Stable is not the revision that the epoch compares with.",
        Reason.NOT_A_COUNTER: "A series falls and rises: it is a gauge, and only counters can be compared.",
        Reason.EDGES_DIFFER: "The arms' histograms have no bucket edge in common.",
        Reason.NATIVE_HISTOGRAM: "The series are native histograms, which are not read; export classic buckets too.",
        Reason.TOO_MANY_VALUES: "A label has more values than can be kept apart.",
        Reason.QUERY_INVALID: "Prometheus refused the query, or its answer is not one number per arm.",
        Reason.METRIC_LOST: "Stable exports the metric, and the candidate, which serves, does not.",
        Reason.LABELS_IMMATURE: "The labels of the window's requests have not arrived yet.",
        Reason.LABELS_DIFFER: "The arms get labels for different shares of their requests, or at different speed.",
        Reason.SAMPLE_RATIO_MISMATCH: "The candidate gets another share of the requests than its weight.",
        Reason.SLICE_WORSE: "The candidate is clearly worse in a part of the requests.",
        Reason.VERDICT_OUT_OF_REACH: "Even if all stays as it is, no verdict can be reached before the deadline.",
    },
    "Red flags": {
        Reason.CRASH_LOOP: "A container of the candidate keeps ending.",
        Reason.OUT_OF_MEMORY: "A container of the candidate was killed at its memory limit.",
        Reason.IMAGE_UNAVAILABLE: "An image of the candidate cannot be had.",
        Reason.ALL_REQUESTS_BAD: "Every one of at least 20 requests of the candidate in a window was bad.",
        Reason.THRESHOLD_EXCEEDED: "A RedFlag metric exceeded its threshold in a window.",
    },
    "The course of a rollout": {
        Reason.NO_CANDIDATE: "The spec names nothing to roll out.",
        Reason.CANDIDATE_REJECTED: "This revision was rejected in an earlier epoch.",
        Reason.CANDIDATE_STARTED: "An epoch began.",
        Reason.CANDIDATE_CHANGED: "The candidate changed in mid-rollout: a new epoch began.",
        Reason.CANDIDATE_GONE: "The candidate was removed from the spec or the cluster.",
        Reason.CANDIDATE_NOT_READY: "The candidate's pods are not ready.",
        Reason.CAPACITY_MISSING: "The candidate has too few ready pods for the next weight.",
        Reason.ANALYSIS_EDITED: "Analysis, steps or interval were edited: a new epoch began.",
        Reason.RECORD_LOST: "The RolloutRecord of the epoch is gone: a new epoch began.",
        Reason.WEIGHT_PENDING: "The route is to be written, or waits for pods.",
        Reason.WEIGHT_APPLIED: "The route holds the weight.",
        Reason.ROUTE_EDITED: "Somebody else edited the route; it is written again.",
        Reason.STALE_TRANSITION: "The route was written by a later transition than status knows.",
        Reason.STEP_ADVANCED: "The next step was entered.",
        Reason.GATHERING_EVIDENCE: "Windows are judged; no decision is due.",
        Reason.APPROVAL_REQUIRED: "The evidence suffices and `strategy.approval` is Manual.",
        Reason.PROMOTED: "The candidate became stable.",
        Reason.NOT_WORSE: "Every deciding metric was shown to be within its margin.",
        Reason.JUDGED_WORSE: "The evidence that a metric is worse than its margin reached 1/α.",
        Reason.ROLLED_BACK: "All requests went back to stable.",
        Reason.DATA_TIMED_OUT: "No window could be judged for `strategy.dataTimeout`.",
        Reason.DEADLINE_PASSED: "There was no verdict within `strategy.deadline` of judged time.",
        Reason.ROLLOUT_SUSPENDED: "`spec.suspend` was set.",
        Reason.DELETED: "The ModelRollout is being deleted.",
    },
    "Stable and backup": {
        Reason.STABLE_ADOPTED: "What serves was taken as stable.",
        Reason.STABLE_MISSING: "The Deployment that is stable does not exist.",
        Reason.BACKUP_WARM: "The previous stable is ready to serve.",
        Reason.BACKUP_NOT_READY: "Not all pods of the previous stable are ready.",
        Reason.BACKUP_REPLACED: "The Deployment that held the backup changed, is gone, or is the candidate now.",
        Reason.NO_BACKUP_YET: "Nothing was promoted yet.",
    },
    "People": {
        Reason.REQUESTED: "A person asked for it by annotation.",
        Reason.REQUEST_ACCEPTED: "A request was carried out.",
        Reason.REQUEST_REFUSED: "A request was refused; `status.lastRequest.message` says why.",
    },
}
"""By the group in which ``controller.api.reasons`` lists them."""


def every_reason() -> Mapping[Reason, str]:
    """Return the meanings of all reasons, in order."""
    return {reason: meaning for group in REASONS.values() for reason, meaning in group.items()}
