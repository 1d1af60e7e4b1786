"""``simulate SPEC.yaml``: how often a rollout would be taken back, promoted or stay undecided, on simulated traffic.

Exit code 0, whatever came out; 1 when the file or an option cannot be used.
"""

import argparse
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import numpy as np

from controller.api.verdicts import Kind
from controller.cli.options import (
    add_per_metric,
    below_one,
    count,
    not_negative,
    number,
    pods,
    positive,
    share,
    shares,
    whole,
)
from controller.cli.planned_metrics import ASSUMED_LEVELS, TrafficOptions
from controller.cli.problems import reason, refuse
from controller.cli.rollout_file import read_rollout
from controller.cli.scenarios import Scenario, left_out, scenarios
from controller.cli.simulation import Outcomes, simulate
from controller.cli.simulation_report import as_json, as_text
from controller.cli.traffic import Effect, TrafficModel

__all__ = ["add_parser"]

_RUNS_PER_PART: Final = 250
"""Runs that are judged side by side: what numpy does best, and independent of how many processes there are."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command ``simulate``; its parsed arguments carry ``run``."""
    parser = subparsers.add_parser(
        "simulate",
        help="try a ModelRollout on simulated traffic",
        description="Print how often the rollout would be rolled back, promoted or stay undecided, and how soon.",
        epilog="METRIC= in front of a value is for that metric alone; without it the value is for all of them.",
    )
    parser.add_argument("file", metavar="SPEC.yaml", type=Path, help="a ModelRollout, as for kubectl apply")
    _add_traffic_options(parser)
    parser.add_argument("--windows", type=count, help="when a run ends; default, and at the latest: the deadline")
    parser.add_argument("--runs", type=count, default=1000, help="runs per scenario; default: %(default)s")
    parser.add_argument("--seed", type=whole, default=1, help="the same seed gives the same runs; default: %(default)s")
    parser.add_argument("--attempt", type=count, default=1, help="epoch of the same pair of models; default: 1")
    parser.add_argument(
        "--jobs", type=count, default=len(os.sched_getaffinity(0)), help="processes; default: one per core"
    )
    parser.add_argument("-o", "--output", choices=sorted(_FORMATS), default="text", help="default: text")
    parser.set_defaults(run=run)


def _add_traffic_options(parser: argparse.ArgumentParser) -> None:
    model = TrafficModel(base=ASSUMED_LEVELS[Kind.RATIO], requests=1000.0)
    group = parser.add_argument_group("traffic")
    option = group.add_argument
    add_per_metric(
        group,
        "--rate",
        positive,
        shown="LEVEL",
        means=f"stable's share of bad requests, events per exposure, mean, median of a histogram, share of the first "
        f"bucket or class of a distribution, share of wrong answers of pairs, or value of a query; default: "
        f"{ASSUMED_LEVELS[Kind.RATIO]:g}, of a mean 1 or the middle of its bounds, of a histogram "
        f"{ASSUMED_LEVELS[Kind.HISTOGRAM]:g}, of a distribution that of --shares, of pairs "
        f"{ASSUMED_LEVELS[Kind.PAIRED]:g}; a query without it is not simulated",
    )
    add_per_metric(
        group,
        "--requests",
        positive,
        means=f"requests per window, both arms together, or pairs; default: {model.requests:g}",
    )
    add_per_metric(
        group,
        "--deviation",
        positive,
        means="standard deviation of a mean's single values (default: as it), of a histogram's logarithms (0.6), or of "
        "a query's values (0)",
    )
    add_per_metric(
        group,
        "--shares",
        shares,
        shown="SHARE,SHARE,...",
        means="stable's share of each bucket or class of a distribution, in proportion; default: ten alike",
    )
    add_per_metric(
        group,
        "--discordance",
        share,
        shown="SHARE",
        means="pairs in which one arm alone is wrong, as long as the arms are alike; default: the share of wrong "
        "answers, or of right ones where those are fewer",
    )
    add_per_metric(
        group,
        "--effect",
        _effect,
        shown="CHANGE",
        means="what the candidate does to the level: +0.02, -0.01 or x3; default: a set of scenarios",
    )
    option("--onset", type=whole, default=0, help="window in which the effect begins; default: 0")
    option("--stable-pods", type=pods, default=model.stable_pods, help="default: %(default)s")
    option("--candidate-pods", type=pods, default=model.candidate_pods, help="default: %(default)s")
    option(
        "--intraclass", type=below_one, default=0.0, help="correlation of a pod's requests within a window; default: 0"
    )
    option(
        "--pod-deviation",
        type=not_negative,
        default=0.0,
        help="lasting differences of pods, on the logit or logarithm; default: 0",
    )
    option("--season", type=below_one, default=0.0, help="swing of the base rate, as a share of it; default: 0")
    option("--season-period", type=count, default=model.period, help="its length in windows; default: %(default)s")
    option("--drift", type=positive, default=1.0, help="what the base rate is multiplied by until the end; default: 1")
    option("--history", type=whole, default=200, help="windows of stable to calibrate on; default: %(default)s")


def run(arguments: argparse.Namespace) -> int:
    """Simulate what the arguments ask for and print what came out; returns the exit code."""
    path: Path = arguments.file
    try:
        spec = read_rollout(path.read_text(encoding="utf-8")).spec
        chosen = scenarios(spec, _options(arguments))
    except (OSError, ValueError) as error:
        return refuse(reason(error), file=path)
    for name in left_out(spec, chosen[0].plan):
        sys.stderr.write(
            f"note: metric {name} is not simulated (a query, of which no level is stated: --rate {name}=VALUE); taken "
            "to be in order\n"
        )
    outcomes = _simulate(chosen, runs=arguments.runs, seed=arguments.seed, jobs=arguments.jobs)
    sys.stdout.write(_FORMATS[arguments.output](chosen, outcomes, seed=arguments.seed))
    return 0


def _options(arguments: argparse.Namespace) -> TrafficOptions:
    like = TrafficModel(
        base=ASSUMED_LEVELS[Kind.RATIO],
        requests=1000.0,
        onset=arguments.onset,
        stable_pods=arguments.stable_pods,
        candidate_pods=arguments.candidate_pods,
        intraclass=arguments.intraclass,
        pod_deviation=arguments.pod_deviation,
        season=arguments.season,
        period=arguments.season_period,
        drift=arguments.drift,
    )
    return TrafficOptions(
        rates=dict(arguments.rate),
        requests=dict(arguments.requests),
        deviations=dict(arguments.deviation),
        shares=dict(arguments.shares),
        discordance=dict(arguments.discordance),
        effects=dict(arguments.effect),
        like=like,
        windows=arguments.windows,
        history=arguments.history,
        attempt=arguments.attempt,
    )


def _simulate(chosen: Sequence[Scenario], *, runs: int, seed: int, jobs: int) -> list[Outcomes]:
    """Outcomes per scenario. Parts have seeds of their own, so that the number of processes changes nothing."""
    sizes = [min(_RUNS_PER_PART, runs - first) for first in range(0, runs, _RUNS_PER_PART)]
    parts = {
        (which, number): (scenario, size, np.random.SeedSequence(seed, spawn_key=(which, number)))
        for which, scenario in enumerate(chosen)
        for number, size in enumerate(sizes)
    }
    done: dict[tuple[int, int], Outcomes] = {}
    for key, outcomes in _in_parallel(parts, jobs=min(jobs, len(parts))):
        done[key] = outcomes
        _show_progress(sum(each.endings.size for each in done.values()), runs * len(chosen))
    return [Outcomes.joined([done[which, number] for number in range(len(sizes))]) for which in range(len(chosen))]


Key = tuple[int, int]
Part = tuple[Scenario, int, np.random.SeedSequence]


def _in_parallel(parts: Mapping[Key, Part], *, jobs: int) -> Iterator[tuple[Key, Outcomes]]:
    if jobs == 1:
        yield from ((key, _run_part(part)) for key, part in parts.items())
        return
    # An interrupt ends the processes at once, and what has not begun does not begin.
    pool = ProcessPoolExecutor(
        jobs, mp_context=get_context("spawn"), initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_DFL)
    )
    try:
        futures = {pool.submit(_run_part, part): key for key, part in parts.items()}
        yield from ((futures[future], future.result()) for future in as_completed(futures))
    finally:
        pool.shutdown(cancel_futures=True)


def _run_part(part: Part) -> Outcomes:
    scenario, runs, seed = part
    return simulate(scenario.plan, runs=runs, seed=seed)


def _show_progress(done: int, total: int) -> None:
    """One line that rewrites itself, for people only."""
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        sys.stderr.write(f"\rsimulated {done} of {total} runs{end}")
        sys.stderr.flush()


def _effect(text: str) -> Effect:
    expected = "a change such as +0.02, -0.01 or x3"
    if text[:1] in ("x", "×"):
        return Effect(factor=number(text[1:], expected, lambda number: 0.0 <= number <= 1e6))
    if text[:1] in ("+", "-"):
        return Effect(absolute=number(text, expected, lambda number: abs(number) <= 1e9))
    msg = f"expected {expected}, found {text!r}"
    raise argparse.ArgumentTypeError(msg)


_FORMATS: Final = {"json": as_json, "text": as_text}
