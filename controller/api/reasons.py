"""The words of status: phases, condition types and the one enum of reasons."""

from enum import StrEnum


class Phase(StrEnum):
    """Where a rollout stands; one word for the PHASE column."""

    IDLE = "Idle"
    VERIFYING = "Verifying"
    PROGRESSING = "Progressing"
    PAUSED = "Paused"
    AWAITING_APPROVAL = "AwaitingApproval"
    PROMOTING = "Promoting"
    ROLLING_BACK = "RollingBack"
    ROLLED_BACK = "RolledBack"
    STALLED = "Stalled"
    SUSPENDED = "Suspended"


class ConditionType(StrEnum):
    """The questions that conditions answer; the first three are those of kstatus."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    SPEC_ACCEPTED = "SpecAccepted"
    VERIFIED = "Verified"
    TRAFFIC_APPLIED = "TrafficApplied"
    DATA_AVAILABLE = "DataAvailable"
    PROMOTED = "Promoted"
    ROLLED_BACK = "RolledBack"
    BACKUP_READY = "BackupReady"


class Reason(StrEnum):
    """Why a condition holds, a window was skipped, an event was sent or a decision was taken."""

    # The spec against the cluster
    ACCEPTED = "Accepted"
    INVALID_SPEC = "InvalidSpec"
    DEPLOYMENT_MISSING = "DeploymentMissing"
    SERVICE_MISSING = "ServiceMissing"
    ROUTE_MISSING = "RouteMissing"
    ROUTE_CLAIMED = "RouteClaimed"
    ROUTE_DISAGREES = "RouteDisagrees"
    BACKEND_MISSING = "BackendMissing"
    RULE_AMBIGUOUS = "RuleAmbiguous"
    NO_COMMON_LABEL = "NoCommonLabel"
    NO_DISTINCT_LABEL = "NoDistinctLabel"
    SELECTOR_TOO_WIDE = "SelectorTooWide"
    CANDIDATE_AUTOSCALED = "CandidateAutoscaled"
    UNKNOWN_PRESET = "UnknownPreset"
    UNKNOWN_PROMETHEUS = "UnknownPrometheus"
    INTERVAL_TOO_SHORT = "IntervalTooShort"
    MARGIN_NOT_RESOLVABLE = "MarginNotResolvable"
    MARGIN_OUT_OF_REACH = "MarginOutOfReach"
    NOISE_ABOVE_MARGIN = "NoiseAboveMargin"
    QUERY_NOT_ALLOWED = "QueryNotAllowed"

    # Verification
    VERIFIED = "Verified"
    CHECKS_RUNNING = "ChecksRunning"
    NOTHING_TO_VERIFY = "NothingToVerify"
    SMOKE_FAILED = "SmokeFailed"
    GOLDEN_FAILED = "GoldenFailed"
    PARITY_MISMATCH = "ParityMismatch"
    PROVENANCE_MISMATCH = "ProvenanceMismatch"
    REPRODUCTION_FAILED = "ReproductionFailed"
    PIPELINE_FAILED = "PipelineFailed"
    FINGERPRINT_CHANGED = "FingerprintChanged"
    ENVIRONMENTS_DIFFER = "EnvironmentsDiffer"

    # Evidence
    COUNTED = "Counted"
    NO_WINDOW_YET = "NoWindowYet"
    PROMETHEUS_UNREACHABLE = "PrometheusUnreachable"
    PROMETHEUS_ANSWER_INVALID = "PrometheusAnswerInvalid"
    NO_SERIES = "NoSeries"
    BAD_SERIES_NEVER_SEEN = "BadSeriesNeverSeen"
    NO_TRAFFIC = "NoTraffic"
    NO_CANDIDATE_TRAFFIC = "NoCandidateTraffic"
    NO_STABLE_TRAFFIC = "NoStableTraffic"
    SCRAPE_GAP = "ScrapeGap"
    WARMING_UP = "WarmingUp"
    TOO_FEW_REQUESTS = "TooFewRequests"
    STABLE_CHANGED = "StableChanged"
    NOT_A_COUNTER = "NotACounter"
    EDGES_DIFFER = "EdgesDiffer"
    NATIVE_HISTOGRAM = "NativeHistogram"
    TOO_MANY_VALUES = "TooManyValues"
    QUERY_INVALID = "QueryInvalid"
    METRIC_LOST = "MetricLost"
    LABELS_IMMATURE = "LabelsImmature"
    LABELS_DIFFER = "LabelsDiffer"
    SAMPLE_RATIO_MISMATCH = "SampleRatioMismatch"
    SLICE_WORSE = "SliceWorse"
    VERDICT_OUT_OF_REACH = "VerdictOutOfReach"

    # Red flags
    CRASH_LOOP = "CrashLoop"
    OUT_OF_MEMORY = "OutOfMemory"
    IMAGE_UNAVAILABLE = "ImageUnavailable"
    ALL_REQUESTS_BAD = "AllRequestsBad"
    THRESHOLD_EXCEEDED = "ThresholdExceeded"

    # The course of a rollout
    NO_CANDIDATE = "NoCandidate"
    CANDIDATE_REJECTED = "CandidateRejected"
    CANDIDATE_STARTED = "CandidateStarted"
    CANDIDATE_CHANGED = "CandidateChanged"
    CANDIDATE_GONE = "CandidateGone"
    CANDIDATE_NOT_READY = "CandidateNotReady"
    CAPACITY_MISSING = "CapacityMissing"
    ANALYSIS_EDITED = "AnalysisEdited"
    RECORD_LOST = "RecordLost"
    WEIGHT_PENDING = "WeightPending"
    WEIGHT_APPLIED = "WeightApplied"
    ROUTE_EDITED = "RouteEdited"
    STALE_TRANSITION = "StaleTransition"
    STEP_ADVANCED = "StepAdvanced"
    GATHERING_EVIDENCE = "GatheringEvidence"
    APPROVAL_REQUIRED = "ApprovalRequired"
    PROMOTED = "Promoted"
    NOT_WORSE = "NotWorse"
    JUDGED_WORSE = "JudgedWorse"
    ROLLED_BACK = "RolledBack"
    DATA_TIMED_OUT = "DataTimedOut"
    DEADLINE_PASSED = "DeadlinePassed"
    ROLLOUT_SUSPENDED = "RolloutSuspended"
    DELETED = "Deleted"

    # Stable and backup
    STABLE_ADOPTED = "StableAdopted"
    STABLE_MISSING = "StableMissing"
    BACKUP_WARM = "BackupWarm"
    BACKUP_NOT_READY = "BackupNotReady"
    BACKUP_REPLACED = "BackupReplaced"
    NO_BACKUP_YET = "NoBackupYet"

    # People
    REQUESTED = "Requested"
    REQUEST_ACCEPTED = "RequestAccepted"
    REQUEST_REFUSED = "RequestRefused"


class Action(StrEnum):
    """What a person may request by annotation."""

    PROMOTE = "promote"
    ABORT = "abort"
    RETRY = "retry"
    PAUSE = "pause"
    RESUME = "resume"
    DRILL = "drill"
