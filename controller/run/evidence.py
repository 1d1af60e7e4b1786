"""Evidence for one turn: due windows asked for, recorded, read back and judged."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from controller.act.record import Record, RecordKeeper, RecordKey
from controller.api.reasons import Phase, Reason
from controller.api.record import FrozenAnalysis, RecordedWindow, Row
from controller.api.verdicts import Verdict
from controller.judge import Trial
from controller.observe.cluster import ClusterError
from controller.observe.evidence import EvidenceSource, Question
from controller.observe.own_requests import own_requests, without_own
from controller.observe.prometheus import SourceError
from controller.observe.questions import calibrated, metric_question
from controller.plan.calibration import StableHistory
from controller.plan.evidence import judged, start_trial, unproven_metrics
from controller.plan.situation import Evidence, Situation
from controller.plan.transitions import LIVE
from controller.plan.windows import Window, due_windows
from controller.plan.world import Problem

log = logging.getLogger(__name__)

LONGEST_KEPT: Final = timedelta(seconds=30)
"""For how long a history is kept at most, or half an interval where that is less: so long it also proves that
Prometheus answers, and who looks again after an interval gets a new one."""

MOST_WINDOWS_PER_TURN: Final = 25
"""After an outage the missed windows are judged in turns of this many, so that other rollouts get theirs."""


@dataclass(frozen=True)
class Source:
    """A Prometheus server with the periods that fix the windows."""

    evidence: EvidenceSource
    scrape: timedelta
    settle: timedelta


@dataclass(frozen=True)
class _Folded:
    """A trial and the windows that went into it, so that a turn judges only the new ones."""

    windows: tuple[tuple[int, int], ...]
    trial: Trial


@dataclass(frozen=True)
class _Past:
    """What stable did before an epoch, asked at a moment, and of which question that is the answer."""

    asked: tuple[object, ...]
    until: datetime
    history: Mapping[str, StableHistory]
    traffic: Mapping[str, float] | None


class EvidenceGatherer:
    """Asks for what is due and judges what is recorded.

    Caches spare replaying the whole record each turn, and reading the whole history at each change of a pod while the
    candidate is made ready.
    """

    def __init__(self, records: RecordKeeper) -> None:
        self._records = records
        self._folded: dict[str, tuple[int, _Folded]] = {}
        self._pasts: dict[str, _Past] = {}

    def gather(self, situation: Situation, source: Source) -> Situation:
        """Return the situation with evidence, or with the reason why there is none."""
        status = situation.status
        if status.phase is Phase.VERIFYING:
            return self._with_history(situation, source)
        if status.epoch == 0:
            past = self._records.highest_epoch(situation.subject.namespace, situation.subject.name)
            return replace(situation, past_epochs=past)
        if status.phase not in LIVE | {Phase.PROMOTING}:
            self._folded.pop(situation.subject.uid, None)
            return situation
        record = self._records.read(record_key(situation))
        if record is None:
            return situation
        fresh, caught_up, problem = self._fresh(situation, source, record)
        windows, saved = self._saved(situation, record, fresh)
        evidence = Evidence(
            frozen=record.frozen,
            trial=self._judge(situation.subject.uid, status.epoch, record, windows),
            windows=windows,
            caught_up=caught_up and saved,
        )
        evidence = replace(evidence, hints=_hints(situation, source, evidence))
        return replace(situation, evidence=evidence, source_problem=problem)

    def _with_history(self, situation: Situation, source: Source) -> Situation:
        """Read stable's own history before the first request is diverted; this also proves that Prometheus answers."""
        candidate = situation.world.candidate
        if candidate is None or not candidate.rolled_out or situation.world.stable is None:
            return situation
        try:
            past = self._past(situation, source)
        except SourceError as error:
            return replace(situation, source_problem=Problem(error.reason, error.message))
        return replace(situation, history=past.history, traffic=past.traffic)

    def _past(self, situation: Situation, source: Source) -> _Past:
        """Return what stable did until now, or until a moment ago if the same was asked then.

        Raises:
            SourceError: nothing is known.
        """
        uid, now, interval = situation.subject.uid, situation.now, situation.clockwork.interval
        question = _question(situation, 0)
        asked, known = _same_history(situation, question), self._pasts.get(uid)
        if known is not None and known.asked == asked and now - known.until < min(LONGEST_KEPT, interval / 2):
            return known
        history = source.evidence.history(question, before=now, interval=interval)
        past = _Past(asked, until=now, history=history, traffic=_traffic(situation, source, question))
        # Replaced as a whole, never changed: several rollouts have their turns at the same time.
        kept = {key: each for key, each in self._pasts.items() if now - each.until < LONGEST_KEPT}
        self._pasts = {**kept, uid: past}
        return past

    def _fresh(
        self, situation: Situation, source: Source, record: Record
    ) -> tuple[list[RecordedWindow], bool, Problem | None]:
        """Ask for the windows that are due and not recorded; an answer that failed leaves the rest pending."""
        fresh: list[RecordedWindow] = []
        due = _due(situation, record)
        for window in islice(due, MOST_WINDOWS_PER_TURN):
            try:
                fresh.append(_observed(situation, source, record.frozen, window, (*record.windows, *fresh)))
            except SourceError as error:
                return fresh, False, Problem(error.reason, error.message)
        return fresh, next(due, None) is None, None

    def _saved(
        self, situation: Situation, record: Record, fresh: list[RecordedWindow]
    ) -> tuple[tuple[RecordedWindow, ...], bool]:
        """Record the rows and read them back; rows that cannot be written may still lower the weight."""
        if not fresh:
            return record.windows, True
        try:
            stored = self._records.append(record_key(situation), fresh)
        except ClusterError as error:
            log.warning("The windows could not be recorded; until they are, the weight can only fall: %s", error)
            return (*record.windows, *fresh), False
        return stored.windows, True

    def _judge(self, uid: str, epoch: int, record: Record, windows: tuple[RecordedWindow, ...]) -> Trial:
        keys = tuple(window.key for window in windows)
        known_epoch, folded = self._folded.get(uid, (0, None))
        if folded is None or known_epoch != epoch or keys[: len(folded.windows)] != folded.windows:
            folded = _Folded(windows=(), trial=start_trial(record.frozen))
        trial = judged(folded.trial, windows[len(folded.windows) :], frozen=record.frozen)
        self._folded[uid] = (epoch, _Folded(windows=keys, trial=trial))
        return trial


def _hints(situation: Situation, source: Source, evidence: Evidence) -> dict[str, str]:
    """Look up which label values exist, once nothing but a bad series that was never seen is in the way."""
    if evidence.trial.verdict is not Verdict.NOT_WORSE:
        return {}
    question = _question(situation, situation.status.traffic.applied_weight)
    hints = {}
    for metric in unproven_metrics(evidence):
        try:
            values = source.evidence.label_values(question, metric, before=situation.now)
        except SourceError:
            continue
        hints[metric] = "; ".join(f"{label} has the values {', '.join(found)}" for label, found in values.items())
    return hints


def record_key(situation: Situation) -> RecordKey:
    """Return where the record of the present epoch is kept."""
    subject = situation.subject
    return RecordKey(namespace=subject.namespace, rollout=subject.name, uid=subject.uid, epoch=situation.status.epoch)


def _due(situation: Situation, record: Record) -> Iterator[Window]:
    status = situation.status
    traffic = status.traffic
    if status.phase not in LIVE or traffic.applied_at is None or traffic.applied_weight == 0:
        return iter(())
    if traffic.applied_transition != status.transition:
        return iter(())
    numbers = [window.number for window in record.windows if window.transition == status.transition]
    return due_windows(
        following=max(numbers, default=-1) + 1,
        transition=status.transition,
        applied_at=traffic.applied_at,
        clockwork=replace(situation.clockwork, interval=record.frozen.interval),
        now=situation.now,
    )


def _observed(
    situation: Situation, source: Source, frozen: FrozenAnalysis, window: Window, earlier: tuple[RecordedWindow, ...]
) -> RecordedWindow:
    status, live = situation.status, situation.world.stable
    weight = status.traffic.applied_weight
    if status.stable is not None and (live is None or live.hash != status.stable.hash):
        message = "stable is not the revision that the epoch compares with"
        rows = tuple(
            Row(metric=metric.name, skipped=Reason.STABLE_CHANGED, message=message)
            for metric in frozen.analysis.metrics
        )
        return RecordedWindow(
            transition=window.transition,
            number=window.number,
            weight=weight,
            start=window.start,
            end=window.end,
            rows=rows,
        )
    seen = source.evidence.window(window, calibrated(_question(situation, weight), frozen, earlier))
    own = (own_requests(key, outcome) for key, outcome in situation.verification.finished.items())
    return without_own(seen, own, scrape=situation.clockwork.scrape)


def _same_history(situation: Situation, question: Question) -> tuple[object, ...]:
    """Return all that a history depends on but the moment: not the candidate, whose pods change all the time."""
    stable, pods = situation.status.stable, tuple(pod.name for pod in question.stable_pods)
    server, interval = situation.spec.analysis.prometheus.name, situation.clockwork.interval
    asked = replace(question, candidate_deployment="", stable_pods=(), candidate_pods=(), reachable=None)
    return (situation.status.epoch, stable, sorted(pods), server, interval, asked)


def _traffic(situation: Situation, source: Source, question: Question) -> Mapping[str, float] | None:
    """The last day's traffic; only a forecast wants it, so that nothing waits for it."""
    try:
        return source.evidence.traffic(question, before=situation.now)
    except SourceError as error:
        log.info("The last day's traffic is not known, so there is no forecast of the steps: %s", error)
        return None


def _question(situation: Situation, weight: int) -> Question:
    spec, status, world = situation.spec, situation.status, situation.world
    if status.stable is None or status.candidate is None:
        msg = "Prometheus cannot be asked before both arms are known"
        raise AssertionError(msg)
    return Question(
        namespace=situation.subject.namespace,
        labels=spec.analysis.labels,
        metrics=tuple(metric_question(metric) for metric in spec.analysis.metrics),
        requests=spec.traffic.requests,
        stable_deployment=status.stable.deployment,
        candidate_deployment=status.candidate.deployment,
        stable_pods=world.stable_pods,
        candidate_pods=world.candidate_pods,
        warmup=spec.strategy.warmup,
        diverted_at=status.traffic.diverted_at,
        weight=weight,
        reachable=world.route.reachable,
        applied_at=status.traffic.applied_at,
    )
