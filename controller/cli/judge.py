"""``judge FILE``: judge recorded windows again, from a RolloutRecord or a file, with the evidence after each of them.

Exit code 0 for ``NotWorse``, 2 for ``Worse``, 3 for every other verdict, 1 when the file cannot be judged.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from math import exp, floor, log
from pathlib import Path
from typing import Final

from controller.api.verdicts import Kind, Verdict
from controller.cli.problems import reason, refuse
from controller.cli.record_file import looks_like_record, read_record
from controller.judge import Case, Evidence, Replay, Trace, Trial, read_windows_file

__all__ = ["add_parser"]

EXIT_CODES: Final[Mapping[Verdict, int]] = {Verdict.NOT_WORSE: 0, Verdict.WORSE: 2}
"""By verdict; 3 for the others. 1 is an error."""

_UNDECIDED_EXIT: Final = 3


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command ``judge``; its parsed arguments carry ``run``."""
    parser = subparsers.add_parser(
        "judge",
        help="judge a RolloutRecord or a file of windows again, offline",
        description="Print the evidence after each window, and the verdict.",
        epilog="Exit code: 0 NotWorse, 2 Worse, 3 Undecided, Invalid or NoData, 1 error.",
    )
    parser.add_argument(
        "file", metavar="FILE", type=Path, help="the pages of a RolloutRecord (YAML or JSON) or a JSON file of windows"
    )
    parser.add_argument("-o", "--output", choices=sorted(_FORMATS), default="text", help="default: text")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Judge the file that the arguments name and print what came out; returns the exit code."""
    path: Path = arguments.file
    try:
        replay = _read(path).replay()
    except (OSError, ValueError) as error:
        return refuse(reason(error), file=path)
    sys.stdout.write(_FORMATS[arguments.output](replay))
    return EXIT_CODES.get(replay.verdict, _UNDECIDED_EXIT)


def _read(path: Path) -> Case:
    text = path.read_text(encoding="utf-8")
    return read_record(text) if looks_like_record(text) else read_windows_file(text)


def _as_json(replay: Replay) -> str:
    metrics = [_metric_as_json(evidence, replay.traces[name]) for name, evidence in replay.trial.metrics.items()]
    report = {
        "verdict": replay.verdict,
        "decidedAt": replay.decided_at,
        "metrics": metrics,
    }
    return json.dumps(report, allow_nan=False) + "\n"


def _metric_as_json(evidence: Evidence, trace: Trace) -> dict[str, object]:
    rates = evidence.shown_rates
    return {
        "name": evidence.test.name,
        "verdict": evidence.verdict,
        "logEvidence": {
            "worse": trace.worse,
            "restart": trace.restart,
            "catastrophic": trace.catastrophic,
            "notWorse": trace.not_worse,
            "combined": trace.combined,
        },
        "rates": {
            "stable": rates.stable if rates else None,
            "candidate": rates.candidate if rates else None,
        },
        "difference": evidence.shown_difference,
        "interval": evidence.shown_interval,
    }


def _as_text(replay: Replay) -> str:
    lines: list[str] = []
    for name, evidence in replay.trial.metrics.items():
        lines += [*_metric_lines(evidence), *_table(replay, name), *_summary(evidence), ""]
    if replay.verdict is Verdict.INVALID:
        lines += _doubts(replay.trial)
    decided = "" if replay.decided_at is None else f", decided in window {replay.decided_at}"
    lines.append(f"verdict: {replay.verdict}{decided} (evidence needed: {_number(-log(replay.trial.alpha))})")
    return "\n".join(lines) + "\n"


def _doubts(trial: Trial) -> Iterator[str]:
    if trial.validity.mismatched:
        deviation = trial.validity.split.shares.deviation
        yield f"the candidate's share of the requests is off its weight by {deviation:+.0%}: find out why"
        return
    for each in trial.doubtful:
        yield f"nothing can rest on {each.test.name}: {each.doubt}"


def _metric_lines(evidence: Evidence) -> Iterator[str]:
    test = evidence.test
    yield f"{test.name}: {test.role}, margin {test.margin:g}: {evidence.verdict}"
    if test.margin == 0.0 and test.role.gating and test.kind is not Kind.MEAN:
        yield "  at margin 0 nothing can be shown to be not worse: a promotion needs a margin above 0"


def _table(replay: Replay, name: str) -> Iterator[str]:
    trace = replay.traces[name]
    counted = _COUNTED[replay.trial.metrics[name].test.kind]
    stable, candidate = f"stable {counted}", f"candidate {counted}"
    yield f"  {'window':>6}  {stable:>16}  {candidate:>17}  {'worse':>9}  {'not worse':>9}"
    for number, windows in enumerate(replay.case.windows):
        window = windows.get(name)
        stable, candidate = window.shown if window else ("-", "-")
        yield (
            f"  {number:>6}  {stable:>16}  {candidate:>17}"
            f"  {_number(trace.combined[number]):>9}  {_number(trace.not_worse[number]):>9}"
        )


def _summary(evidence: Evidence) -> Iterator[str]:
    rates, difference, interval = evidence.shown_rates, evidence.shown_difference, evidence.shown_interval
    if rates is None or difference is None:
        yield "  no window in which both arms had requests"
        return
    between = ""
    if interval is not None and evidence.test.kind is Kind.RATE:
        between = f", ratio between {interval[0]:.3f} and {interval[1]:.3f}"
    elif interval is not None:
        between = f", between {interval[0]:+.5f} and {interval[1]:+.5f}"
    yield (
        f"  {_LEVELS[evidence.test.kind]}: stable {rates.stable:.5f}, candidate {rates.candidate:.5f};"
        f" difference {difference:+.5f}{between}"
    )


def _number(logarithm: float) -> str:
    """The number with this natural logarithm, however large: ``12.3``, ``1.2e+05``."""
    if abs(logarithm) < log(1e4):
        return f"{exp(logarithm):.3g}"
    exponent = logarithm / log(10)
    return f"{10 ** (exponent - floor(exponent)):.1f}e{floor(exponent):+03d}"


_COUNTED: Final[Mapping[Kind, str]] = {
    Kind.RATIO: "bad/all",
    Kind.RATE: "events",
    Kind.MEAN: "sum/number",
    Kind.HISTOGRAM: "requests",
    Kind.DISTRIBUTION: "requests",
    Kind.PAIRED: "alone/all",
    Kind.QUERY: "value",
}
"""What the table's columns hold."""

_LEVELS: Final[Mapping[Kind, str]] = {
    Kind.RATIO: "rates",
    Kind.RATE: "events per exposure",
    Kind.MEAN: "means",
    Kind.HISTOGRAM: "shares above the edge that differs most",
    Kind.DISTRIBUTION: "shares where they differ most",
    Kind.PAIRED: "shares of wrong answers",
    Kind.QUERY: "values",
}
"""What the arms' levels are."""

_FORMATS: Final[Mapping[str, Callable[[Replay], str]]] = {"json": _as_json, "text": _as_text}
