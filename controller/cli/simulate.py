"""``simulate SPEC.yaml``: how often a rollout would be taken back, promoted or stay undecided, on simulated traffic.

Exit code 0, whatever came out; 1 when the file or an option cannot be used.
"""

import argparse
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import yaml
from pydantic import ValidationError

from controller.api.names import ROLLOUT_KIND
from controller.api.spec import ModelRolloutSpec
from controller.cli.scenarios import ASSUMED_RATE, Scenario, TrafficOptions, scenarios
from controller.cli.simulation import Outcomes, simulate
from controller.cli.simulation_report import as_json, as_text
from controller.cli.traffic import Effect, TrafficModel

__all__ = ["add_parser"]

_ERROR_EXIT: Final = 1
_RUNS_PER_PART: Final = 250
"""Runs that are judged side by side: what numpy does best, and independent of how many processes there are."""

T = TypeVar("T")


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
    parser.add_argument("--windows", type=_count, help="windows after which a run ends; default: the deadline")
    parser.add_argument("--runs", type=_count, default=1000, help="runs per scenario; default: %(default)s")
    parser.add_argument(
        "--seed", type=_whole, default=1, help="the same seed gives the same runs; default: %(default)s"
    )
    parser.add_argument("--attempt", type=_count, default=1, help="epoch of the same pair of models; default: 1")
    parser.add_argument(
        "--jobs", type=_count, default=len(os.sched_getaffinity(0)), help="processes; default: one per core"
    )
    parser.add_argument("-o", "--output", choices=sorted(_FORMATS), default="text", help="default: text")
    parser.set_defaults(run=run)


def _add_traffic_options(parser: argparse.ArgumentParser) -> None:
    model = TrafficModel(base=ASSUMED_RATE, requests=1000.0)
    option = parser.add_argument_group("traffic").add_argument
    named: Callable[[Callable[[str], T]], Callable[[str], tuple[str, T]]] = _named
    option(
        "--rate",
        metavar="[METRIC=]SHARE",
        action="append",
        default=[],
        type=named(_share),
        help=f"stable's rate of bad requests; default: {ASSUMED_RATE:g}",
    )
    option(
        "--requests",
        metavar="[METRIC=]NUMBER",
        action="append",
        default=[],
        type=named(_positive),
        help=f"requests per window, both arms together; default: {model.requests:g}",
    )
    option(
        "--effect",
        metavar="[METRIC=]CHANGE",
        action="append",
        default=[],
        type=named(_effect),
        help="the candidate's rate: +0.02, -0.01 or x3; default: a set of scenarios",
    )
    option("--onset", type=_whole, default=0, help="window in which the effect begins; default: 0")
    option("--stable-pods", type=_count, default=model.stable_pods, help="default: %(default)s")
    option("--candidate-pods", type=_count, default=model.candidate_pods, help="default: %(default)s")
    option(
        "--intraclass", type=_below_one, default=0.0, help="correlation of a pod's requests within a window; default: 0"
    )
    option(
        "--pod-deviation", type=_not_negative, default=0.0, help="lasting differences of pods, on the logit; default: 0"
    )
    option("--season", type=_below_one, default=0.0, help="swing of the base rate, as a share of it; default: 0")
    option("--season-period", type=_count, default=model.period, help="its length in windows; default: %(default)s")
    option("--drift", type=_positive, default=1.0, help="what the base rate is multiplied by until the end; default: 1")
    option("--history", type=_whole, default=200, help="windows of stable to calibrate on; default: %(default)s")


def run(arguments: argparse.Namespace) -> int:
    """Simulate what the arguments ask for and print what came out; returns the exit code."""
    path: Path = arguments.file
    try:
        chosen = scenarios(_read(path), _options(arguments))
    except (OSError, ValueError) as error:
        for line in _reason(error).splitlines():
            sys.stderr.write(f"error: {path}: {line}\n")
        return _ERROR_EXIT
    outcomes = _simulate(chosen, runs=arguments.runs, seed=arguments.seed, jobs=arguments.jobs)
    sys.stdout.write(_FORMATS[arguments.output](chosen, outcomes, seed=arguments.seed))
    return 0


def _read(path: Path) -> ModelRolloutSpec:
    try:
        documents = [each for each in yaml.safe_load_all(path.read_text(encoding="utf-8")) if isinstance(each, dict)]
    except yaml.YAMLError as error:
        msg = f"expected YAML, found {' '.join(str(error).split())}"
        raise ValueError(msg) from None
    found = [each for each in documents if each.get("kind") == ROLLOUT_KIND]
    if len(found) != 1:
        kinds = ", ".join(str(each.get("kind")) for each in documents) or "none"
        msg = f"expected one object of kind {ROLLOUT_KIND}, found {len(found)} among: {kinds}"
        raise ValueError(msg)
    try:
        return ModelRolloutSpec.model_validate(found[0].get("spec"))
    except ValidationError as error:
        problems = error.errors(include_url=False)
        lines = (f"{'.'.join(map(str, ('spec', *each['loc'])))}: {each['msg']}" for each in problems)
        raise ValueError("\n".join(lines)) from None


def _options(arguments: argparse.Namespace) -> TrafficOptions:
    like = TrafficModel(
        base=ASSUMED_RATE,
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
        effects=dict(arguments.effect),
        like=like,
        windows=arguments.windows,
        history=arguments.history,
        attempt=arguments.attempt,
    )


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        return f"expected a file that can be read, found: {error.strerror}"
    if isinstance(error, UnicodeDecodeError):
        return f"expected text in UTF-8, found the byte {error.object[error.start]:#04x} at {error.start}"
    return str(error)


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
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(_run_part, part): key for key, part in parts.items()}
        yield from ((futures[future], future.result()) for future in as_completed(futures))


def _run_part(part: Part) -> Outcomes:
    scenario, runs, seed = part
    return simulate(scenario.plan, runs=runs, seed=seed)


def _show_progress(done: int, total: int) -> None:
    """One line that rewrites itself, for people only."""
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        sys.stderr.write(f"\rsimulated {done} of {total} runs{end}")
        sys.stderr.flush()


def _named(value: Callable[[str], T]) -> Callable[[str], tuple[str, T]]:
    def parse(text: str) -> tuple[str, T]:
        name, _, rest = text.rpartition("=")
        return name, value(rest)

    return parse


def _number(text: str, expected: str, fits: Callable[[float], bool]) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and fits(number)):
        msg = f"expected {expected}, found {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return number


def _share(text: str) -> float:
    return _number(text, "a share above 0 and below 1 such as 0.01", lambda number: 0.0 < number < 1.0)


def _positive(text: str) -> float:
    return _number(text, "a number above 0", lambda number: 0.0 < number <= 1e9)


def _not_negative(text: str) -> float:
    return _number(text, "a number from 0 to 10", lambda number: 0.0 <= number <= 10.0)


def _below_one(text: str) -> float:
    return _number(text, "a number of at least 0 and below 1", lambda number: 0.0 <= number < 1.0)


def _count(text: str) -> int:
    return int(_number(text, "a whole number above 0", lambda number: number >= 1.0 and number == int(number)))


def _whole(text: str) -> int:
    return int(_number(text, "a whole number of at least 0", lambda number: number >= 0.0 and number == int(number)))


def _effect(text: str) -> Effect:
    expected = "a change such as +0.02, -0.01 or x3"
    if text[:1] in ("x", "×"):
        return Effect(factor=_number(text[1:], expected, lambda number: 0.0 <= number <= 1e6))
    if text[:1] in ("+", "-"):
        return Effect(absolute=_number(text, expected, lambda number: -1.0 < number < 1.0))
    msg = f"expected {expected}, found {text!r}"
    raise argparse.ArgumentTypeError(msg)


_FORMATS: Final = {"json": as_json, "text": as_text}
