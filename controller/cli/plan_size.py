"""``plan-size``: how many requests, and how long, a verdict needs; and which margin can be resolved at all.

Exit code 0; 1 when the file or an option cannot be used.
"""

import argparse
import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final

from controller.api.scalars import format_duration
from controller.api.spec import ModelRolloutSpec
from controller.cli.options import add_per_metric, count, duration, number, positive, share
from controller.cli.planning import PLANNED_KINDS, Plan, PlannedMetric, planned_metric, planned_metrics
from controller.cli.planning_report import as_json, as_text
from controller.cli.problems import reason, refuse
from controller.cli.rollout_file import read_rollout
from controller.judge import alpha_for_attempt

__all__ = ["add_parser"]

_STEPS: Final = (5, 10, 25, 50)
_ALPHA: Final = Decimal("0.05")
_INTERVAL: Final = timedelta(seconds=30)
_DEADLINE: Final = timedelta(hours=6)

_EXAMPLES: Final = """\
examples:
  0.5 % of 20 requests a second fail; a quarter of a point more is tolerated:
    python -m controller plan-size --rate 0.005 --margin 0.0025 --rps 20
  the same for a ModelRollout with the metrics errors and accuracy, of which labels come for every tenth request:
    python -m controller plan-size rollout.yaml --rate errors=0.005 --rate accuracy=0.08 --rps 20 --rps accuracy=2

METRIC= in front of a value is for that metric of the file alone; without it the value is for all of them.
Forecasts leave chance out: a single rollout may need half of it or twice as much.
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command ``plan-size``; its parsed arguments carry ``run``."""
    parser = subparsers.add_parser(
        "plan-size",
        help="forecast how many requests and how long a verdict needs",
        description="Print requests of the candidate and time until a verdict at every weight, per metric: NotWorse "
        "when both models are equal, Worse when the candidate is worse by 2 margins; and the smallest margin that can "
        "be resolved before the deadline.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="SPEC.yaml", nargs="?", type=Path, help="a ModelRollout, as for kubectl apply")
    _add_traffic_options(parser)
    _add_comparison_options(parser)
    parser.add_argument("-o", "--output", choices=sorted(_FORMATS), default="text", help="default: text")
    parser.set_defaults(run=run)


def _add_traffic_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("traffic")
    add_per_metric(
        group,
        "--rps",
        positive,
        means="requests per second of both arms together (of a mean: values; of a rate: exposure); required",
    )
    add_per_metric(
        group,
        "--rate",
        _level,
        means="stable's level: share of bad requests, events per exposure, mean, or share above a histogram's edge",
    )
    add_per_metric(
        group,
        "--deviation",
        positive,
        means="means: standard deviation of single values",
    )
    add_per_metric(
        group,
        "--design-effect",
        _design_effect,
        means="requests that are worth one independent request, as status.analysis.calibration says; default: 1",
    )


def _add_comparison_options(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument_group("comparison (of a file: default is what it says)").add_argument
    option("--margin", type=positive, help="without a file: tolerated difference, relative for a rate")
    option("--kind", choices=[str(kind) for kind in PLANNED_KINDS], help="without a file; default: ratio")
    option("--steps", "--weight", type=_steps, help="weights of the candidate in percent, for example 5,10,25,50")
    option("--alpha", type=share, help=f"error probability over all epochs; default: {_ALPHA}")
    option("--attempt", type=count, default=1, help="epoch of the same pair of models; default: 1")
    option("--interval", type=duration, help=f"length of a window; default: {format_duration(_INTERVAL)}")
    option("--deadline", type=duration, help=f"default: {format_duration(_DEADLINE)}")


def run(arguments: argparse.Namespace) -> int:
    """Forecast what the arguments ask for and print it; returns the exit code."""
    path: Path | None = arguments.file
    try:
        plan = _plan(arguments, None if path is None else read_rollout(path.read_text(encoding="utf-8")).spec)
    except (OSError, ValueError) as error:
        return refuse(reason(error), file=path)
    sys.stdout.write(_FORMATS[arguments.output](plan))
    return 0


def _plan(arguments: argparse.Namespace, spec: ModelRolloutSpec | None) -> Plan:
    strategy = None if spec is None else spec.strategy
    interval = arguments.interval or (_INTERVAL if strategy is None else strategy.interval)
    deadline = arguments.deadline or (_DEADLINE if strategy is None else strategy.deadline)
    if deadline <= interval:
        msg = (
            f"--deadline: expected more than one window of {format_duration(interval)}, "
            f"found {format_duration(deadline)}"
        )
        raise ValueError(msg)
    alpha = arguments.alpha or float(_ALPHA if spec is None else spec.analysis.alpha)
    return Plan(
        metrics=_metrics(arguments, spec),
        alpha=alpha_for_attempt(alpha, arguments.attempt),
        steps=arguments.steps or (_STEPS if strategy is None else strategy.steps),
        interval=interval,
        deadline=deadline,
        min_windows=1 if strategy is None else strategy.min_windows,
        min_requests=1 if strategy is None else strategy.min_requests,
    )


def _metrics(arguments: argparse.Namespace, spec: ModelRolloutSpec | None) -> tuple[PlannedMetric, ...]:
    stated = {
        "--rps": dict(arguments.rps),
        "--rate": dict(arguments.rate),
        "--deviation": dict(arguments.deviation),
        "--design-effect": dict(arguments.design_effect),
    }
    if spec is None:
        return (planned_metric(arguments.kind or "ratio", margin=arguments.margin, stated=stated),)
    unused = [option for option in ("margin", "kind") if getattr(arguments, option) is not None]
    if unused:
        msg = f"--{unused[0]}: expected no such option beside a file, which says it itself; change the file"
        raise ValueError(msg)
    return planned_metrics(spec, stated=stated)


def _level(text: str) -> float:
    return number(text, "a number of at least 0", lambda level: 0.0 <= level <= 1e12)


def _design_effect(text: str) -> float:
    return number(text, "a design effect of at least 1", lambda effect: 1.0 <= effect <= 1e9)


def _steps(text: str) -> tuple[int, ...]:
    expected = "whole percents above 0 and below 100 such as 5,10,25,50"
    return tuple(
        sorted(
            {
                int(number(part, expected, lambda weight: 0 < weight < 100 and weight == int(weight)))
                for part in text.split(",")
            }
        )
    )


_FORMATS: Final = {"json": as_json, "text": as_text}
