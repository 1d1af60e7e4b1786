"""What came out of a simulation, for people and for programs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from scipy.special import betaincinv

from controller.api.verdicts import Kind
from controller.cli.scenarios import Scenario
from controller.cli.simulated_metric import PlannedMetric
from controller.cli.simulation import Ending, Outcomes, Plan
from controller.judge import GroupTest

__all__ = ["as_json", "as_text", "share_bounds"]

_ENDINGS: Final[Mapping[str, int]] = {
    "rolledBack": Ending.ROLLED_BACK,
    "promoted": Ending.PROMOTED,
    "undecided": Ending.UNDECIDED,
}
_CONFIDENCE: Final = 0.95
_LEVELS: Final[Mapping[Kind, str]] = {
    Kind.RATIO: "rate",
    Kind.RATE: "rate",
    Kind.MEAN: "mean",
    Kind.HISTOGRAM: "median",
    Kind.DISTRIBUTION: "share of the first cell",
    Kind.PAIRED: "share of wrong answers",
}


def share_bounds(count: int, total: int, *, confidence: float = _CONFIDENCE) -> tuple[float, float]:
    """Bounds of a probability of which ``count`` of ``total`` trials came true (Clopper and Pearson)."""
    tail = (1.0 - confidence) / 2
    low = 0.0 if count == 0 else float(betaincinv(count, total - count + 1, tail))
    high = 1.0 if count == total else float(betaincinv(count + 1, total - count, 1.0 - tail))
    return low, high


def as_json(chosen: Sequence[Scenario], outcomes: Sequence[Outcomes], *, seed: int) -> str:
    """One object with a list of scenarios; windows and requests count until the end of a run."""
    plan = chosen[0].plan
    report = {
        "seed": seed,
        "runs": int(outcomes[0].endings.size),
        "windows": plan.windows,
        "alpha": plan.alpha,
        "steps": plan.steps,
        "scenarios": [_scenario_as_json(*each) for each in zip(chosen, outcomes, strict=True)],
    }
    return json.dumps(report, allow_nan=False) + "\n"


def _scenario_as_json(scenario: Scenario, outcomes: Outcomes) -> dict[str, object]:
    metrics = [
        {
            "name": each.test.name,
            "rate": each.shown(each.traffic.base),
            "candidateRate": each.shown(each.traffic.changed),
            "margin": each.shown_margin(float(np.median(outcomes.margins[each.test.name]))),
        }
        for each in scenario.plan.metrics
    ]
    endings = {name: _ending_as_json(outcomes, ending) for name, ending in _ENDINGS.items()}
    return {"name": scenario.name, "metrics": metrics, **endings}


def _ending_as_json(outcomes: Outcomes, ending: int) -> dict[str, object]:
    runs = outcomes.endings == ending
    count, total = int(runs.sum()), runs.size
    return {
        "share": count / total,
        "bounds": share_bounds(count, total),
        "windows": _spread(outcomes.windows[runs].astype(np.float64)),
        "candidateRequests": _spread(outcomes.requests[runs]),
    }


def _spread(numbers: "np.typing.NDArray[np.float64]") -> dict[str, float] | None:
    if not numbers.size:
        return None
    return {"mean": float(numbers.mean()), "median": float(np.median(numbers)), "p90": float(np.quantile(numbers, 0.9))}


def as_text(chosen: Sequence[Scenario], outcomes: Sequence[Outcomes], *, seed: int) -> str:
    """What was simulated, and a line per scenario."""
    plan = chosen[0].plan
    lines = [*_heading(plan, outcomes[0], seed=seed), ""]
    width = max(len(scenario.name) for scenario in chosen)
    lines.append(
        f"{'scenario':<{width}}  {'rolled back':>22}  {'promoted':>22}  {'undecided':>22}"
        f"  {'windows':>7}  {'candidate requests':>18}"
    )
    for scenario, each in zip(chosen, outcomes, strict=True):
        cells = "  ".join(f"{_share(each, ending):>22}" for ending in _ENDINGS.values())
        means = f"{each.windows.mean():>7.1f}  {each.requests.mean():>18.0f}"
        lines.append(f"{scenario.name:<{width}}  {cells}  {means}")
    lines += [
        "",
        "in brackets: bounds of the probability, 95 % sure; windows and requests: mean until the end of a run",
    ]
    return "\n".join(lines) + "\n"


def _heading(plan: Plan, outcomes: Outcomes, *, seed: int) -> Iterator[str]:
    steps = ", ".join(str(step) for step in plan.steps)
    yield (
        f"{outcomes.endings.size} runs of at most {plan.windows} windows, seed {seed}; "
        f"steps {steps} % ({plan.advance}); alpha {plan.alpha:.4g} per side"
    )
    design = next((each.test for each in plan.metrics if isinstance(each.test, GroupTest)), None)
    if design is not None:
        yield (
            f"  ratios at {design.looks} looks, the last at {design.max_requests:.0f} requests of the candidate "
            f"({design.spending})"
        )
    for each in plan.metrics:
        yield f"  {each.test.name}: {each.test.role}, {_compared(each, outcomes.margins[each.test.name])}"


def _compared(planned: PlannedMetric, margins: "np.typing.NDArray[np.float64]") -> str:
    traffic = planned.traffic
    if traffic.kind is Kind.QUERY:
        return f"value {traffic.base:.4g}, deviation {traffic.deviation:.3g}, threshold {planned.test.threshold:.4g}"
    margin = float(np.median(margins))
    widened = "" if margin <= planned.margin * 1.01 else " (widened to the noise floor)"
    relative = " of it" if traffic.kind is Kind.RATE else ""
    requests = f"{traffic.requests:.0f} requests per window"
    if traffic.kind is Kind.PAIRED:
        requests = f"{traffic.requests:.0f} pairs per window, {traffic.discordance:.3g} of them discordant"
    level = f"{_LEVELS[traffic.kind]} {planned.shown(traffic.base):.4g}"
    return f"stable's {level}, margin {planned.shown_margin(margin):.3g}{relative}{widened}, {requests}"


def _share(outcomes: Outcomes, ending: int) -> str:
    runs = outcomes.endings == ending
    low, high = share_bounds(int(runs.sum()), runs.size)
    return f"{runs.mean():.1%} ({low:.1%}–{high:.1%})"
