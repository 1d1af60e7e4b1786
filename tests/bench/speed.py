"""What judging costs: CPU per window, a replay, what the arithmetic alone needs, and the operator's memory.

    python -m tests.bench.speed [--repeats 7]

CPU time of this process, the best of some repetitions. Ratio metrics with a margin and four ``Budgeted`` steps, whose
evidence for bounded harm is asked for in every window (but not in a replay): that is the dearest a metric gets. "The
arithmetic alone" are the square roots, logarithms, exponentials and sines that the formulas ask for, counted while a
window is judged, times what one costs when called in a loop (those of the intervals: as one array). What is above that
is Python, and the sums and products between them.
"""

import argparse
import gc
import math
import os
import subprocess
import sys
import time
import timeit
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from unittest import mock

import numpy as np

from controller.api.verdicts import Advance, Role
from controller.judge import Arm, Case, Evidence, History, RatioTest, Trial, Window, _mixture
from controller.judge.kinds import interval as _interval
from controller.judge.kinds import ratio as _ratio

STEPS = (5, 10, 25, 50)
METRICS, REPLAYED_METRICS, REPLAYED_WINDOWS = 10, 5, 500
WINDOW_TARGET, INTERVAL_TARGET, REPLAY_TARGET = 3.0, 10.0, 300.0
FUNCTIONS = ("sqrt", "asin", "sin", "log", "log1p", "exp")
BETS, DIFFERENCES, SIDES = 330, 41, 2
"""Of an interval: alternatives of all differences, differences on the grid, ends."""


def main() -> None:
    """Print every figure with its target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    for figure in _figures():
        print(f"{figure.title:>50}: {figure.shown(repeats)}", flush=True)
    _print_memory()
    print(f"load of the machine meanwhile: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")


@dataclass(frozen=True)
class Figure:
    """Something that is measured: CPU seconds, those of the arithmetic alone, and the target in milliseconds."""

    title: str
    cost: Callable[[], float]
    alone: float
    target: float

    def shown(self, repeats: int) -> str:
        """The best of some measurements."""
        seconds = min(self.cost() for _ in range(repeats))
        return (
            f"{seconds * 1e3:>7.2f} ms (≤ {self.target:g});"
            f" the arithmetic alone {self.alone * 1e3:.2f} ms, factor {seconds / self.alone:.1f}"
        )


def _figures() -> tuple[Figure, ...]:
    asked, unasked, array = _scalar_arithmetic(STEPS), _scalar_arithmetic(()), _array_arithmetic()
    replayed = REPLAYED_WINDOWS * REPLAYED_METRICS * (unasked + array)
    return (
        Figure("10 metrics, one window, no interval", partial(_per_window, read=False), METRICS * asked, WINDOW_TARGET),
        Figure(
            "the same, every interval read",
            partial(_per_window, read=True),
            METRICS * (asked + array),
            INTERVAL_TARGET,
        ),
        Figure("replay, 500 windows of 5 metrics, final intervals", _replay, replayed, REPLAY_TARGET),
    )


def _tests(count: int, steps: tuple[int, ...] = STEPS) -> list[RatioTest]:
    history = History(36_000, 1800)
    return [RatioTest(f"m{n}", Role.GUARDRAIL, 0.01, history=history, steps=steps) for n in range(count)]


def _windows(count: int, metrics: int) -> list[dict[str, Window[Arm]]]:
    """Nothing wrong and nothing better, so that the evidence stays undecided and every question is asked."""
    rng = np.random.default_rng(0)
    bad = rng.binomial((1800, 200), 0.055, (count, metrics, 2))
    return [
        {f"m{n}": Window(Arm(1800, int(k0)), Arm(200, int(k1))) for n, (k0, k1) in enumerate(window)} for window in bad
    ]


@contextmanager
def _unbothered() -> Iterator[None]:
    """Without the collector, which would look at everything that the bench itself holds."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _per_window(*, read: bool, windows: int = 40) -> float:
    """CPU seconds of one window: update, verdict, whether the next step may be entered, intervals if read."""
    trial, seen = Trial.start(_tests(METRICS), alpha=0.05), _windows(windows, METRICS)
    with _unbothered():
        begun = time.process_time()
        for window in seen:
            trial = trial.update(window)
            _ = (trial.verdict, trial.may_enter(10, advance=Advance.BUDGETED))
            _ = [evidence.log_harm for evidence in trial.metrics.values()]
            if read:
                _ = [evidence.interval for evidence in trial.metrics.values()]
        return (time.process_time() - begun) / windows


def _replay() -> float:
    """CPU seconds of a replay, which ends with the interval of each metric."""
    case = Case(
        tests=tuple(_tests(REPLAYED_METRICS)),
        alpha=0.05,
        windows=tuple(_windows(REPLAYED_WINDOWS, REPLAYED_METRICS)),
    )
    with _unbothered():
        begun = time.process_time()
        replay = case.replay()
        _ = [evidence.interval for evidence in replay.trial.metrics.values()]
        return time.process_time() - begun


def _scalar_arithmetic(steps: tuple[int, ...]) -> float:
    """Seconds that the functions called for one metric and window need by themselves."""
    (test,), (window, after) = _tests(1, steps), _windows(2, 1)
    evidence = Evidence.start(test, 0.05).update(window["m0"])
    _ = evidence.log_harm
    calls: Counter[str] = Counter()
    with ExitStack() as stack:
        for module in (_ratio, _mixture):
            for name in FUNCTIONS:
                if hasattr(module, name):
                    stack.enter_context(mock.patch.object(module, name, _counted(name, calls)))
        _ = evidence.update(after["m0"]).log_harm
    print(f"one metric and window, {len(steps)} steps: " + ", ".join(f"{n} {name}" for name, n in calls.items()))
    return sum(count * _call_cost(name) for name, count in calls.items())


def _counted(name: str, calls: Counter[str]) -> Callable[[float], float]:
    function: Callable[[float], float] = getattr(math, name)

    def counted(value: float) -> float:
        calls[name] += 1
        return function(value)

    return counted


def _call_cost(name: str) -> float:
    return min(timeit.repeat("f(0.3)", globals={"f": getattr(math, name)}, number=20_000, repeat=5)) / 20_000


def _array_arithmetic() -> float:
    """Seconds that the functions of one interval and window need by themselves, as arrays of the folded size."""
    values = np.random.default_rng(0).uniform(0.1, 0.9, _interval._AT_ONCE * SIDES * BETS)

    def per_value(function: Callable[..., object], *more: object) -> float:
        return min(timeit.repeat(lambda: function(values, *more), number=50, repeat=5)) / 50 / values.size

    per_bet = 4 * per_value(np.log) + sum(map(per_value, (np.sqrt, np.arcsin, np.sin, np.exp)))
    per_difference = 2 * per_value(np.logaddexp, values)
    return SIDES * (BETS * per_bet + DIFFERENCES * per_difference)


def _print_memory() -> None:
    script = """
import re, sys
def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
figures = [resident()]
for name in ("numpy", "scipy.special", "controller.judge", "controller.run.command"):
    __import__(name)
    figures.append(resident())
loaded = "scipy.stats" in sys.modules
import scipy.stats
print(*(f"{figure:.0f}" for figure in (*figures, resident())), loaded)
"""
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    bare, numpy, special, judge, operator, stats, loaded = answer.stdout.split()
    print(
        f"RSS in MiB: Python {bare}, + numpy {numpy}, + scipy.special {special}, + judge {judge}, + operator {operator}"
        f" (scipy.stats among them: {loaded}; it would make {stats})"
    )


if __name__ == "__main__":
    main()
