"""``ModelRollout.status``: what the operator knows and has decided. Only the operator writes it."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, PlainSerializer

from controller.api.model import StatusModel
from controller.api.reasons import Action, ConditionType, Phase, Reason
from controller.api.scalars import Duration
from controller.api.verdicts import CheckState, Kind, Role, Verdict


def format_time(moment: datetime) -> str:
    """Write a moment as RFC 3339 in UTC, with the milliseconds that window edges need."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
    return text.removesuffix(".000") + "Z"


Time = Annotated[AwareDatetime, PlainSerializer(format_time, return_type=str)]
_Text = Annotated[str, Field(max_length=1024)]
_Name = Annotated[str, Field(max_length=253)]
_Number = Annotated[str, Field(max_length=32)]


class Revision(StatusModel):
    """What an arm runs."""

    deployment: Annotated[_Name, Field(description="The Deployment.")]
    service: Annotated[_Name, Field(description="The Service of its pods.")]
    hash: Annotated[str, Field(max_length=64, description="Hash of the pod template.")]
    images: Annotated[tuple[_Text, ...], Field(max_length=20, description="Images of its containers.")] = ()
    model_version: Annotated[_Name | None, Field(description="Version of the model, where the spec names it.")] = None
    proven: Annotated[bool, Field(description="It has carried all the traffic.")] = False
    ready: Annotated[bool | None, Field(description="Backup only: all its pods are ready.")] = None
    fingerprint: Annotated[
        str | None, Field(max_length=64, description="Hash of its rounded answers to the golden requests.")
    ] = None

    def same_as(self, other: "Revision | None") -> bool:
        """Whether both are the same template of the same Deployment."""
        return other is not None and (self.deployment, self.hash) == (other.deployment, other.hash)


class TrafficStatus(StatusModel):
    """The split: wanted, written and seen. All weights are percent of requests for the candidate."""

    desired_weight: Annotated[int, Field(ge=0, le=100, description="What the current transition wants.")] = 0
    applied_weight: Annotated[int, Field(ge=0, le=100, description="What the router was seen to hold.")] = 0
    applied_transition: Annotated[int, Field(ge=0, description="The transition that the router was seen to hold.")] = 0
    applied_at: Annotated[
        Time | None, Field(description="When that was confirmed; window 0 starts 2 scrapes later.")
    ] = None
    observed_weight: Annotated[_Number | None, Field(description="What the counters saw in the newest window.")] = None
    reachable_weight: Annotated[_Number | None, Field(description="Router service: what the ready pods allow.")] = None
    diverted_at: Annotated[Time | None, Field(description="When this epoch's first weight was confirmed.")] = None


class WindowStatus(StatusModel):
    """How far the analysis has come."""

    number: Annotated[int, Field(ge=0, description="Windows of this epoch so far, skipped ones included.")] = 0
    counted: Annotated[int, Field(ge=0, description="Of these, judged with requests of both arms.")] = 0
    in_step: Annotated[int, Field(ge=0, description="Counted ones since the current transition.")] = 0
    next: Annotated[int, Field(ge=0, description="Number of the next window within the transition.")] = 0
    last_counted_at: Annotated[Time | None, Field(description="End of the newest counted window.")] = None


class ArmPair(StatusModel):
    """One figure for each arm."""

    stable: Annotated[_Number | None, Field(description="Stable's.")] = None
    candidate: Annotated[_Number | None, Field(description="The candidate's.")] = None


class EvidenceStatus(StatusModel):
    """E-values so far; a decision needs ``needed``."""

    worse: Annotated[_Number, Field(description="For worse than the margin.")]
    not_worse: Annotated[_Number, Field(description="For not worse than the margin.")]
    needed: Annotated[_Number, Field(description="What decides: 1/alpha.")]


class SliceStatus(StatusModel):
    """A part of the requests in which the candidate is worse."""

    label: Annotated[_Name, Field(description="The label.")]
    value: Annotated[_Name, Field(description="Its value.")]
    rates: Annotated[ArmPair, Field(description="Share of bad requests per arm in it.")] = ArmPair()
    evidence: Annotated[_Number, Field(description="For worse than the margin.")]


class MetricStatus(StatusModel):
    """What is known about one metric."""

    name: Annotated[_Name, Field(description="The metric.")]
    kind: Annotated[Kind, Field(description="What it is made of.")] = Kind.RATIO
    role: Annotated[Role, Field(description="Its role.")]
    verdict: Annotated[Verdict, Field(description="Its verdict now.")]
    rates: Annotated[
        ArmPair,
        Field(
            description="Level of each arm over the judged windows: share of bad requests, events by exposure, mean, "
            "or the share that note names."
        ),
    ] = ArmPair()
    difference: Annotated[_Number | None, Field(description="Candidate's level minus stable's.")] = None
    interval: Annotated[
        tuple[_Number, ...] | None,
        Field(
            max_length=2,
            description="Confidence interval of the difference (of a rate: of the ratio), valid at every look.",
        ),
    ] = None
    evidence: Annotated[EvidenceStatus | None, Field(description="Both ways.")] = None
    requests: Annotated[ArmPair, Field(description="Judged requests (or exposure, or values) per arm.")] = ArmPair()
    margin: Annotated[_Number | None, Field(description="Effective margin, frozen for the epoch.")] = None
    calibration: Annotated[_Text | None, Field(description="Noise between stable's pods, and what follows.")] = None
    forecast: Annotated[_Text | None, Field(description="What is still needed for a verdict.")] = None
    slices: Annotated[
        tuple[SliceStatus, ...], Field(max_length=20, description="Parts of the requests in which it is worse.")
    ] = ()
    note: Annotated[_Text | None, Field(description="What else is to be known, for example where it differs.")] = None
    state: Annotated[Reason, Field(description="Counted, or why the newest window was not.")] = Reason.NO_WINDOW_YET


class StepForecast(StatusModel):
    """What a step would need if both models are equal, as the epoch begins; of the metric that needs most."""

    weight: Annotated[int, Field(ge=1, le=99, description="The step.")]
    metric: Annotated[_Name, Field(description="The metric that needs most time.")]
    time: Annotated[Duration | None, Field(description="Time until NotWorse; absent: it never comes.")] = None


class AnalysisStatus(StatusModel):
    """The comparison of this epoch."""

    attempt: Annotated[int, Field(ge=1, description="The how many-th epoch for this pair of revisions.")] = 1
    alpha: Annotated[_Number, Field(description="Error bound of this attempt: alpha * 6 / (pi^2 * attempt^2).")]
    calibration: Annotated[_Text, Field(description="What is assumed about noise between pods.")]
    frozen: Annotated[str, Field(max_length=64, description="Hash of analysis, steps and interval of this epoch.")]
    started_at: Annotated[Time, Field(description="When the epoch started.")]
    deadline_from: Annotated[
        int, Field(ge=0, description="Counted windows that the deadline leaves out: those before a resume, or held.")
    ] = 0
    held_at: Annotated[int, Field(ge=0, description="Counted windows when the weight began to be held.")] = 0
    verdict: Annotated[Verdict, Field(description="Over all metrics.")] = Verdict.NO_DATA
    validity: Annotated[_Text | None, Field(description="Why the comparison is invalid, if it is.")] = None
    forecast: Annotated[_Text | None, Field(description="When a verdict can be expected.")] = None
    out_of_reach_since: Annotated[
        int | None,
        Field(ge=0, description="Judged windows after which no verdict was to be expected before the deadline, first."),
    ] = None
    resolution: Annotated[
        tuple[StepForecast, ...],
        Field(max_length=20, description="Time that every step would need for NotWorse, with the last day's traffic."),
    ] = ()
    metrics: Annotated[
        tuple[MetricStatus, ...],
        Field(
            max_length=20,
            description="Per metric.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = ()


class CheckStatus(StatusModel):
    """One line of the table of checks."""

    name: Annotated[_Name, Field(description="The check, as smoke/golden or pipeline/ingest/exit.")]
    state: Annotated[CheckState, Field(description="How it stands.")]
    found: Annotated[_Text | None, Field(description="What was found; of several pods, the worst.")] = None
    expected: Annotated[_Text | None, Field(description="What must be.")] = None
    pods: Annotated[str | None, Field(max_length=16, description="Smoke only: pods that passed, of all, as 2/3.")] = (
        None
    )
    duration: Annotated[Duration | None, Field(description="How long it took; of several pods, the longest.")] = None


class VerifiedPod(StatusModel):
    """A pod whose smoke test has ended."""

    name: Annotated[_Name, Field(description="The pod.")]
    uid: Annotated[str, Field(max_length=64, description="Its uid.")]
    passed: Annotated[bool, Field(description="Whether it passed.")]


class EnvironmentStatus(StatusModel):
    """Fingerprint of an arm's environment."""

    declared: Annotated[str, Field(max_length=64, description="Of the pod template and what it refers to.")]
    observed: Annotated[str, Field(max_length=64, description="Of its pods and nodes.")]


class EnvironmentPair(StatusModel):
    """The environments of both arms."""

    stable: Annotated[EnvironmentStatus | None, Field(description="Stable's.")] = None
    candidate: Annotated[EnvironmentStatus | None, Field(description="The candidate's.")] = None
    differences: Annotated[
        tuple[_Text, ...], Field(max_length=40, description="In words: group, what, stable's, candidate's.")
    ] = ()
    latency_void: Annotated[_Text | None, Field(description="Why latencies are not compared.")] = None


class VerificationStatus(StatusModel):
    """What was proven of the candidate before it served, and since."""

    of: Annotated[str, Field(max_length=64, description="Hash of the revision and spec.verify that it speaks of.")]
    round: Annotated[int, Field(ge=0, description="Times that failed checks of it were asked for again.")] = 0
    checks: Annotated[
        tuple[CheckStatus, ...],
        Field(
            max_length=160,
            description="The table of checks.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = ()
    pods: Annotated[tuple[VerifiedPod, ...], Field(max_length=200, description="Pods of both arms.")] = ()
    environment: Annotated[EnvironmentPair | None, Field(description="Environment parity.")] = None
    golden_at: Annotated[
        int, Field(ge=0, description="Windows of the epoch when the golden requests were sent last.")
    ] = 0
    finished_at: Annotated[Time | None, Field(description="When the last check before serving ended.")] = None


class RedFlag(StatusModel):
    """Something that needs no statistics."""

    reason: Annotated[Reason, Field(description="Which one.")]
    message: Annotated[_Text, Field(description="What was found, where.")]
    at: Annotated[Time, Field(description="When it was seen.")]


class LastRequest(StatusModel):
    """The answer to the newest command of a person."""

    id: Annotated[str, Field(max_length=128, description="Its id.")]
    action: Annotated[Action | None, Field(description="What was asked.")] = None
    accepted: Annotated[bool, Field(description="Whether it was carried out.")]
    message: Annotated[_Text, Field(description="What was done, or why not.")]
    at: Annotated[Time, Field(description="When it was answered.")]


class Rejected(StatusModel):
    """A revision that is not tried again until it changes or a person requests ``retry``."""

    deployment: Annotated[_Name, Field(description="The Deployment.")]
    hash: Annotated[str, Field(max_length=64, description="Hash of its pod template.")]
    reason: Annotated[Reason, Field(description="Why.")]
    epoch: Annotated[int, Field(ge=0, description="In which epoch.")]


class PastEpoch(StatusModel):
    """One line of history."""

    epoch: Annotated[int, Field(ge=0, description="The epoch.")]
    stable: Annotated[Revision, Field(description="What served.")]
    candidate: Annotated[Revision, Field(description="What was tried.")]
    outcome: Annotated[Literal["Promoted", "RolledBack", "Withdrawn", "Superseded"], Field(description="How it ended.")]
    reason: Annotated[Reason, Field(description="Why.")]
    message: Annotated[_Text, Field(description="In words.")]
    windows: Annotated[int, Field(ge=0, description="Counted windows.")]
    started_at: Annotated[Time, Field(description="When it began.")]
    finished_at: Annotated[Time, Field(description="When it ended.")]


class Attempts(StatusModel):
    """How often a pair of revisions was tried, so that trying again is no way round the error bound."""

    stable: Annotated[str, Field(max_length=320, description="Deployment/hash that served.")]
    candidate: Annotated[str, Field(max_length=320, description="Deployment/hash that was tried.")]
    count: Annotated[int, Field(ge=1, description="Epochs so far.")]


class Condition(StatusModel):
    """A metav1.Condition."""

    type: Annotated[ConditionType, Field(description="The question.")]
    status: Annotated[Literal["True", "False", "Unknown"], Field(description="The answer.")]
    reason: Annotated[Reason, Field(description="Why, in one word.")]
    message: Annotated[str, Field(max_length=4096, description="Why, in a sentence.")] = ""
    last_transition_time: Annotated[Time, Field(description="When the answer last changed.")]
    observed_generation: Annotated[int, Field(ge=0, description="The generation that it speaks of.")] = 0


class ModelRolloutStatus(StatusModel):
    """The whole status."""

    observed_generation: Annotated[int, Field(ge=0, description="The generation that this speaks of.")] = 0
    phase: Annotated[Phase | None, Field(description="Where the rollout stands.")] = None
    held_from: Annotated[Phase | None, Field(description="Paused, Stalled, Suspended: the phase to go back to.")] = None
    message: Annotated[_Text, Field(description="One sentence that a person can act on.")] = ""
    reason: Annotated[Reason | None, Field(description="Why the rollout is in this phase.")] = None
    epoch: Annotated[int, Field(ge=0, description="Attempts to move from one revision to another, counted.")] = 0
    transition: Annotated[int, Field(ge=0, description="Committed changes of the desired world, counted.")] = 0
    step: Annotated[str | None, Field(max_length=16, description="Position in strategy.steps, as 2/4.")] = None
    step_index: Annotated[int, Field(ge=0, description="Position in strategy.steps; 0 before the first.")] = 0
    stable: Annotated[Revision | None, Field(description="What serves.")] = None
    candidate: Annotated[Revision | None, Field(description="What is tried.")] = None
    backup: Annotated[Revision | None, Field(description="The previous stable, warm.")] = None
    traffic: Annotated[TrafficStatus, Field(description="The split.")] = TrafficStatus()
    window: Annotated[WindowStatus, Field(description="How far the analysis has come.")] = WindowStatus()
    analysis: Annotated[AnalysisStatus | None, Field(description="The comparison of this epoch.")] = None
    verification: Annotated[VerificationStatus | None, Field(description="What was proven of the candidate.")] = None
    red_flags: Annotated[tuple[RedFlag, ...], Field(max_length=10, description="What needs no statistics.")] = ()
    last_request: Annotated[LastRequest | None, Field(description="Answer to the newest command.")] = None
    rejected: Annotated[tuple[Rejected, ...], Field(max_length=50, description="Not tried again.")] = ()
    attempts: Annotated[tuple[Attempts, ...], Field(max_length=50, description="Tries per pair of revisions.")] = ()
    history: Annotated[tuple[PastEpoch, ...], Field(max_length=50, description="Past epochs, newest first.")] = ()
    conditions: Annotated[
        tuple[Condition, ...],
        Field(
            max_length=20,
            description="Standard conditions.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = ()

    def condition(self, kind: ConditionType) -> Condition | None:
        """Return the condition of that type, or None while it was never set."""
        return next((each for each in self.conditions if each.type is kind), None)
