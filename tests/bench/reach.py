"""How often "no verdict before the deadline" is said, when, and whether a verdict came after all.

    python -m tests.bench.reach [--runs 25]

The planner's own rules on simulated requests (Poisson totals, independent outcomes): accuracy at 92 %, margin 2 points,
steps 10, 25 and 50 %, 120 windows until the deadline; a few minutes.
"""

import argparse
from dataclasses import dataclass

import numpy as np

from controller.api.reasons import Phase, Reason
from controller.api.record import Row
from controller.plan.windows import Window
from tests.plan.stage import Stage, Traffic, row, spec_with

STRATEGY = {"interval": "10s", "steps": [10, 25, 50], "deadline": "20m"}
STABLE = 0.08
ENDS = (Phase.PROMOTING, Phase.ROLLING_BACK, Phase.STALLED)


@dataclass(frozen=True)
class Scenario:
    """A candidate's rate, and requests per window."""

    name: str
    candidate: float
    requests: int


SCENARIOS = (
    Scenario("equal, ample traffic", STABLE, 400),
    Scenario("equal, just enough", STABLE, 150),
    Scenario("equal, too little", STABLE, 40),
    Scenario("2 margins worse", STABLE + 0.04, 400),
    Scenario("on the margin", STABLE + 0.02, 400),
)


def traffic(scenario: Scenario, seed: int) -> Traffic:
    """Requests of one run."""
    rng = np.random.default_rng(seed)

    def counts(_: Window, weight: int) -> tuple[Row, ...]:
        total = int(rng.poisson(scenario.requests))
        candidate = int(rng.binomial(total, weight / 100))
        stable = total - candidate
        bad = int(rng.binomial(stable, STABLE)), int(rng.binomial(candidate, scenario.candidate))
        return (row((stable, bad[0]), (candidate, bad[1])),)

    return counts


def run(scenario: Scenario, seed: int) -> tuple[Phase | None, int | None]:
    """How one run ended, and the window after which it was called out of reach."""
    stage = Stage(spec=spec_with(strategy=STRATEGY), traffic=traffic(scenario, seed))
    stage.run(turns=400, until=lambda stage: stage.status.phase in ENDS)
    told = any(each.reason is Reason.VERDICT_OUT_OF_REACH for each in stage.announcements)
    analysis = stage.status.analysis
    return stage.status.phase, analysis.out_of_reach_since if told and analysis else None


def main() -> None:
    """Print a line per scenario."""
    parser = argparse.ArgumentParser(description="How often no verdict is said to come, and whether one does.")
    parser.add_argument("--runs", type=int, default=25)
    runs = parser.parse_args().runs
    print(f"{'':22}{'decided':>9}{'of these told':>15}{'undecided':>11}{'of these told':>15}{'first at window':>17}")
    for scenario in SCENARIOS:
        found = [run(scenario, seed) for seed in range(runs)]
        decided = [told for phase, told in found if phase is not Phase.STALLED]
        undecided = [told for phase, told in found if phase is Phase.STALLED]
        said = [told for _, told in found if told is not None]
        counts = [
            f"{len(each)}" if column == 0 else f"{sum(told is not None for told in each)}"
            for each in (decided, undecided)
            for column in (0, 1)
        ]
        mean = f"{np.mean(said):.0f} of 120" if said else "-"
        print(f"{scenario.name:22}{counts[0]:>9}{counts[1]:>15}{counts[2]:>11}{counts[3]:>15}{mean:>17}", flush=True)


if __name__ == "__main__":
    main()
