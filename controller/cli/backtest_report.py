"""What ``backtest`` found, for people and for programs."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import exp

from controller.api.scalars import format_duration
from controller.api.status import format_time
from controller.cli.past import Epoch, JudgedWindow, Outcome, Past
from controller.judge import Evidence
from controller.plan.amounts import about_time
from controller.plan.figures import e_value
from controller.plan.world import ArmName

__all__ = ["Report", "as_json", "as_text"]

_LARGEST_LOG = 700.0


@dataclass(frozen=True)
class Report:
    """What was asked, and what came out."""

    name: str
    past: Past
    windows: tuple[JudgedWindow, ...]

    @property
    def outcomes(self) -> Counter[Outcome]:
        """How many epochs ended how."""
        return Counter(each.outcome for each in self.past.epochs)

    def pods(self, arm: ArmName) -> list[str]:
        """The pods of an arm."""
        return [pod for pod, found in self.past.pods.items() if found is arm]


def as_json(report: Report) -> str:
    """One object: what was compared, the epochs, and every window with its evidence."""
    asked = report.past.asked
    return (
        json.dumps(
            {
                "comparison": "A/A" if asked.candidate is None else "Pair",
                "stable": {"deployment": asked.stable, "pods": report.pods(ArmName.STABLE)},
                "candidate": {"deployment": asked.candidate or asked.stable, "pods": report.pods(ArmName.CANDIDATE)},
                "from": format_time(asked.start),
                "to": format_time(asked.end),
                "intervalSeconds": asked.spec.strategy.interval.total_seconds(),
                "outcomes": {str(outcome): report.outcomes[outcome] for outcome in Outcome},
                "epochs": [_epoch_as_json(each) for each in report.past.epochs],
                "windows": [_window_as_json(each) for each in report.windows],
            },
            allow_nan=False,
        )
        + "\n"
    )


def _epoch_as_json(epoch: Epoch) -> dict[str, object]:
    return {
        "number": epoch.number,
        "from": format_time(epoch.start),
        "to": format_time(epoch.end),
        "outcome": epoch.outcome,
        "alpha": epoch.trial.alpha,
        "windows": epoch.windows,
        "judged": epoch.judged,
        "metrics": [_metric_as_json(each, epoch) for each in epoch.trial.metrics.values()],
    }


def _metric_as_json(evidence: Evidence, epoch: Epoch) -> dict[str, object]:
    rates, frozen = evidence.shown_rates, next(f for f in epoch.frozen.metrics if f.metric == evidence.test.name)
    return {
        "name": evidence.test.name,
        "verdict": evidence.verdict,
        "margin": frozen.margin,
        "calibration": None if frozen.calibration is None else frozen.calibration.message,
        "rates": None if rates is None else {"stable": rates.stable, "candidate": rates.candidate},
        "requests": {"stable": evidence.requests.stable, "candidate": evidence.requests.candidate},
        "evidence": _evidence_as_json(evidence.log_combined, evidence.log_not_worse),
    }


def _evidence_as_json(worse: float, not_worse: float) -> dict[str, float]:
    return {"worse": _number(worse), "notWorse": _number(not_worse)}


def _number(log_value: float) -> float:
    return exp(min(log_value, _LARGEST_LOG))


def _window_as_json(judged: JudgedWindow) -> dict[str, object]:
    window = judged.window
    return {
        "from": format_time(window.start),
        "to": format_time(window.end),
        "epoch": judged.epoch,
        "verdict": judged.verdict,
        "metrics": {name: _evidence_as_json(*logs) for name, logs in judged.evidence.items()},
        "skipped": {row.metric: row.skipped for row in window.rows if row.skipped is not None},
    }


def as_text(report: Report) -> str:
    """A line per hour and at each epoch's end, then how the epochs ended."""
    return "".join(f"{line}\n" for line in (*_head(report), *_table(report), "", *_summary(report)))


def _head(report: Report) -> Iterator[str]:
    asked = report.past.asked
    stable, candidate = (len(report.pods(arm)) for arm in (ArmName.STABLE, ArmName.CANDIDATE))
    if asked.candidate is None:
        yield (
            f"{report.name}: A/A, the pods of {asked.stable} against each other: {stable} and {candidate} "
            f"(seed {asked.seed})"
        )
    else:
        yield f"{report.name}: {asked.candidate} ({candidate} pods) against {asked.stable} ({stable} pods)"
    strategy = asked.spec.strategy
    yield (
        f"{_minute(asked.start)} to {_minute(asked.end)} UTC, windows of {format_duration(strategy.interval)}, epochs "
        f"of at most {format_duration(strategy.deadline)} judged time"
    )
    for frozen in report.past.epochs[0].frozen.metrics:
        if frozen.calibration is not None:
            yield f"  {frozen.metric}: margin {frozen.margin}; {frozen.calibration.message}"
    yield ""


def _table(report: Report) -> Iterator[str]:
    names = list(report.windows[0].evidence)
    columns = "".join(f"  {name + ' worse / not worse':>28}" for name in names)
    yield f"  {'until (UTC)':<16}  {'epoch':>5}  {'judged':>11}{columns}  verdict"
    begun, judged = 0, 0
    for number, each in enumerate(report.windows):
        judged += any(row.skipped is None for row in each.window.rows)
        if _ends_a_line(report, number):
            windows = number + 1 - begun
            values = "".join(f"  {_values(each, name):>28}" for name in names)
            counted = f"{judged} of {windows}"
            yield f"  {_minute(each.window.end):<16}  {each.epoch:>5}  {counted:>11}{values}  {each.verdict}"
            begun, judged = number + 1, 0


def _ends_a_line(report: Report, number: int) -> bool:
    each, following = report.windows[number], report.windows[number + 1 : number + 2]
    return not following or following[0].epoch != each.epoch or _hour(following[0]) != _hour(each)


def _hour(judged: JudgedWindow) -> datetime:
    return (judged.window.end - timedelta(microseconds=1)).replace(minute=0, second=0, microsecond=0)


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _values(judged: JudgedWindow, name: str) -> str:
    worse, not_worse = judged.evidence[name]
    return f"{e_value(worse)} / {e_value(not_worse)}"


_WORDS = {
    Outcome.ROLLED_BACK: "rolled back",
    Outcome.PROMOTED: "promoted",
    Outcome.UNDECIDED: "undecided at the deadline",
    Outcome.UNFINISHED: "unfinished",
}


def _summary(report: Report) -> Iterator[str]:
    outcomes, epochs = report.outcomes, report.past.epochs
    parts = ", ".join(f"{outcomes[outcome]} {words}" for outcome, words in _WORDS.items())
    yield f"{len(epochs)} {'epoch' if len(epochs) == 1 else 'epochs'}: {parts}"
    for outcome in (Outcome.ROLLED_BACK, Outcome.PROMOTED):
        ended = [each for each in epochs if each.outcome is outcome]
        if ended:
            mean = sum((each.end - each.start).total_seconds() for each in ended) / len(ended)
            yield f"{_WORDS[outcome]} after {about_time(mean)} on average"
    over = len(epochs) - outcomes[Outcome.UNFINISHED]
    if report.past.asked.candidate is None and over:
        alarms = outcomes[Outcome.ROLLED_BACK]
        yield (
            f"false alarms: {alarms} of {over} epochs; at most {epochs[0].trial.alpha:.1%} of the epochs are to be "
            "expected in the long run"
        )
