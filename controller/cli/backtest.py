"""``backtest SPEC.yaml``: how a rollout would have been judged on past requests, stable against itself by default.

Exit code 0, whatever came out; 1 when nothing could be judged.
"""

import argparse
import sys
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from controller.api.scalars import format_duration, parse_duration
from controller.api.spec import ModelRolloutSpec
from controller.cli.backtest_report import Report, as_json, as_text
from controller.cli.options import duration, whole
from controller.cli.past import Asked, JudgedWindow, Past, PastError
from controller.cli.problems import reason, refuse
from controller.cli.rollout_file import RolloutFile, read_rollout
from controller.observe.prometheus import PrometheusServer, SourceError

__all__ = ["add_parser"]

_SCRAPE: Final = timedelta(seconds=15)
_MOST_WINDOWS: Final = 20_000

_EXAMPLES: Final = """\
examples:
  false alarms on a week of your own requests: the pods of stable, dealt into two halves, against each other:
    python -m controller backtest rollout.yaml --prometheus http://localhost:9090 --from 168h --to 0h
  a comparison of the past, while two Deployments served side by side:
    python -m controller backtest rollout.yaml --prometheus http://localhost:9090 --candidate fraud-v2 \\
      --from 2026-03-01T08:00:00Z --to 2026-03-01T14:00:00Z

A time is as in the example, or how long ago it was. Calibration rests on the time before each epoch, so Prometheus
should keep some hours more than are judged.
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command ``backtest``; its parsed arguments carry ``run``."""
    parser = subparsers.add_parser(
        "backtest",
        help="judge past requests: false alarms on your own traffic",
        description="Judge past windows with the operator's own questions to Prometheus, calibration and rules, epoch "
        "after epoch, and print evidence and would-be verdicts. By default stable is compared with itself (A/A): every "
        "roll-back is a false alarm.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    option = parser.add_argument
    option("file", metavar="SPEC.yaml", type=Path, help="a ModelRollout, as for kubectl apply")
    option("--prometheus", metavar="URL", required=True, help="the server that has the counters")
    option("--from", dest="start", metavar="TIME", required=True, type=_moment, help="first window's beginning")
    option("--to", dest="end", metavar="TIME", required=True, type=_moment, help="last window's end")
    option("-n", "--namespace", help="default: the file's, or default")
    option("--stable", metavar="DEPLOYMENT", help="what served; default: spec.stable.deployment")
    option("--candidate", metavar="DEPLOYMENT", help="what served beside it; default: stable against itself")
    option("--seed", type=whole, default=1, help="deals stable's pods out to both halves; default: %(default)s")
    option("--interval", type=duration, help="length of a window; default: the file's")
    option("--scrape-interval", type=duration, default=_SCRAPE, help="of that Prometheus; default: 15s")
    option("--bearer-token-file", metavar="FILE", help="token to send to Prometheus")
    option("-o", "--output", choices=sorted(_FORMATS), default="text", help="default: text")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Judge what the arguments ask for and print it; returns the exit code."""
    try:
        report = _judged(arguments)
    except (OSError, ValueError) as error:
        return refuse(reason(error), file=arguments.file)
    except (PastError, SourceError) as error:
        return refuse(str(error))
    if not any(each.judged for each in report.past.epochs):
        return refuse(_nothing_judged(report))
    sys.stdout.write(_FORMATS[arguments.output](report))
    return 0


def _judged(arguments: argparse.Namespace) -> Report:
    path: Path = arguments.file
    file = read_rollout(path.read_text(encoding="utf-8"))
    asked = _asked(arguments, file)
    past = Past(asked, _server(arguments))
    past.look()
    progress = _Progress(asked.windows)
    windows: list[JudgedWindow] = []
    for judged in past.judge():
        windows.append(judged)
        progress.show(judged)
    progress.end()
    return Report(name=file.name, past=past, windows=tuple(windows))


def _asked(arguments: argparse.Namespace, file: RolloutFile) -> Asked:
    asked = Asked(
        spec=_spec(arguments, file.spec),
        namespace=arguments.namespace or file.namespace or "default",
        stable=arguments.stable or file.spec.stable.deployment,
        candidate=arguments.candidate,
        start=arguments.start,
        end=arguments.end,
        seed=arguments.seed,
    )
    if not 1 <= asked.windows <= _MOST_WINDOWS:
        msg = (
            f"--from, --to: expected 1 to {_MOST_WINDOWS} windows of {format_duration(asked.spec.strategy.interval)}, "
            f"found {asked.windows}; choose other times or a longer --interval"
        )
        raise PastError(msg)
    podless = [each.name for each in asked.spec.analysis.metrics if each.arms is not None or each.paired is not None]
    if asked.candidate is None and podless:
        msg = (
            f"metric {podless[0]} tells its arms by a label and not by pods, so stable's pods cannot be compared with "
            "each other; name a Deployment with --candidate, or take the metric out of the file"
        )
        raise PastError(msg)
    return asked


def _spec(arguments: argparse.Namespace, spec: ModelRolloutSpec) -> ModelRolloutSpec:
    interval: timedelta = arguments.interval or spec.strategy.interval
    if interval < 2 * arguments.scrape_interval:
        msg = (
            f"--interval: expected at least two scrapes ({format_duration(2 * arguments.scrape_interval)}), found "
            f"{format_duration(interval)}; say --scrape-interval if Prometheus scrapes more often"
        )
        raise PastError(msg)
    return spec.model_copy(update={"strategy": spec.strategy.model_copy(update={"interval": interval})})


def _server(arguments: argparse.Namespace) -> PrometheusServer:
    if not arguments.prometheus.startswith(("http://", "https://")):
        msg = f"--prometheus: expected a URL such as http://localhost:9090, found {arguments.prometheus!r}"
        raise PastError(msg)
    return PrometheusServer(
        name="--prometheus",
        url=arguments.prometheus,
        scrape=arguments.scrape_interval,
        settle=timedelta(0),
        bearer_token_file=arguments.bearer_token_file,
        read_timeout=60.0,
        trust_env=True,
    )


def _nothing_judged(report: Report) -> str:
    """Say why, by the reason that stopped most windows."""
    rows = [row for each in report.windows for row in each.window.rows if row.skipped is not None]
    if not rows:
        return "no window could be judged; check --from and --to"
    counted = Counter((row.metric, row.skipped) for row in rows)
    (metric, why), number = counted.most_common(1)[0]
    message = next(row.message for row in rows if (row.metric, row.skipped) == (metric, why))
    return f"no window could be judged: {metric} was {why} in {number} of {len(report.windows)} windows: {message}"


@dataclass
class _Progress:
    """What has been judged so far, on stderr: one line that rewrites itself for people, else one per day."""

    total: int
    done: int = 0
    told: str = ""

    def show(self, judged: JudgedWindow) -> None:
        """Say how far it is."""
        self.done += 1
        text = f"judged {self.done} of {self.total} windows, until {judged.window.end:%Y-%m-%d %H:%M}"
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{text}")
            sys.stderr.flush()
        elif f"{judged.window.end:%Y-%m-%d}" != self.told:
            self.told = f"{judged.window.end:%Y-%m-%d}"
            sys.stderr.write(f"{text}\n")

    def end(self) -> None:
        """End the line."""
        if sys.stderr.isatty():
            sys.stderr.write("\n")


def _moment(text: str) -> datetime:
    """Read a moment, or how long ago it was."""
    try:
        return datetime.now(UTC) - parse_duration(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        msg = f"expected a time such as 2026-03-01T08:00:00Z, or how long ago it was such as 24h; found {text!r}"
        raise argparse.ArgumentTypeError(msg) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


_FORMATS: Final = {"json": as_json, "text": as_text}
