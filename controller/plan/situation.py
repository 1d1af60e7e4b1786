"""What one decision is made from, and what it consists of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from controller.api.reasons import Reason
from controller.api.record import FrozenAnalysis, RecordedDecision, RecordedWindow, RolloutRecordSpec
from controller.api.spec import ModelRolloutSpec
from controller.api.status import ModelRolloutStatus
from controller.judge import Trial
from controller.plan.calibration import StableHistory
from controller.plan.transitions import Event
from controller.plan.verify.work import Verification
from controller.plan.windows import Clockwork
from controller.plan.world import Desired, Problem, World

Outcome = Literal["Promoted", "RolledBack", "Withdrawn", "Superseded"]


@dataclass(frozen=True)
class Subject:
    """The ModelRollout's metadata, as far as decisions need it."""

    name: str
    namespace: str
    uid: str
    generation: int
    deleting: bool = False
    finalized: bool = False
    """Our finalizer is on the object."""
    request: str | None = None
    """The request annotation as it stands there."""


@dataclass(frozen=True)
class Evidence:
    """What is known about the comparison: frozen analysis, recorded windows and what the judge makes of them."""

    frozen: FrozenAnalysis
    trial: Trial
    windows: tuple[RecordedWindow, ...] = ()
    hints: Mapping[str, str] = field(default_factory=dict)
    """Per metric whose bad series was never seen: which label values exist."""
    caught_up: bool = True
    """No due window is missing; otherwise the weight may only fall."""


@dataclass(frozen=True)
class Situation:
    """Everything that a decision may depend on."""

    subject: Subject
    spec: ModelRolloutSpec
    status: ModelRolloutStatus
    world: World
    clockwork: Clockwork
    now: datetime
    evidence: Evidence | None = None
    history: Mapping[str, StableHistory] | None = None
    """What stable did before the epoch, per metric; None when it was not asked for or not answered."""
    traffic: Mapping[str, float] | None = None
    """Requests per second of both arms over the last day, per metric; None when it is not known."""
    source_problem: Problem | None = None
    """Prometheus did not answer, or not in a way that can be read."""
    verification: Verification = field(default_factory=Verification)
    """How far the checks of ``spec.verify`` are."""
    past_epochs: int = 0
    """Highest epoch that a deleted ModelRollout of the same name left records of."""
    problem: Problem | None = None
    """What stands against the spec; ``decide`` fills it in."""
    out_of_reach: str | None = None
    """Why no verdict is to be expected before the deadline; ``decide`` fills it in."""


@dataclass(frozen=True)
class Announcement:
    """A Kubernetes event to send."""

    kind: Literal["Normal", "Warning"]
    reason: Reason
    message: str


@dataclass(frozen=True)
class Decision:
    """One turn's outcome; ``status`` is committed first, then the world is brought to ``desired``."""

    status: ModelRolloutStatus
    event: Event | None = None
    desired: Desired | None = None
    finalizer: Literal["keep", "add", "remove"] = "keep"
    announcements: tuple[Announcement, ...] = ()
    opens: RolloutRecordSpec | None = None
    """Page 0 of a new record, to be written before the status that needs it."""
    note: RecordedDecision | None = None
    closes: Outcome | None = None
    next_look: datetime | None = None
    """None: only an event from the cluster makes a further turn worth while."""
