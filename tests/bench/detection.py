"""Candidate requests until a roll-back, beside those of a test that is told both true rates.

    python -m tests.bench.detection [--runs 2000] [--variants]

200 requests per window (Poisson), 10 % of them to the candidate, independent outcomes, 20 windows of stable's
history, errors 0.5 → 1.5 % and accuracy 92 → 88 %; α = 0.05. Measured are the plain process (F1) of the metric that
became worse, and the policy with a second metric that did not. The reference is Wald's sequential test of the true
rates against the nearest point of the same margin line: ln(1/α) divided by the information of one candidate request,
which is the smallest divergence from the line, nine stable requests included. It needs no overshoot, no guess and no
history: no test with the error bound α can need fewer on average. ``--variants`` adds what was tried to come closer.
"""

import argparse
from dataclasses import dataclass
from math import log, sqrt

import numpy as np

from controller.api.verdicts import Role
from controller.judge import RatioTest
from controller.judge.batch import Flags, Floats, RatioBatchTest, TrialBatch
from tests.bench import detection_variants
from tests.bench.detection_cases import ALPHA, CASES, HISTORY, HORIZON, Case, Metric, traffic

PLAIN_TARGET, POLICY_TARGET = 1.6, 2.5


@dataclass(frozen=True, eq=False)
class Outcome:
    """Candidate requests until the roll-back, per run."""

    case: Case
    plain: Floats
    policy: Floats


def measure(case: Case, *, runs: int, seed: int) -> Outcome:
    """Let ``runs`` rollouts of the case go on until both the plain process and the policy have decided."""
    rng = np.random.default_rng(seed)
    trial = TrialBatch.start([_test(name, metric, rng, runs) for name, metric in case.metrics.items()], alpha=ALPHA)
    requests, plain, policy = np.zeros(runs), np.full(runs, np.nan), np.full(runs, np.nan)
    for windows in traffic(case, rng, runs):
        trial = trial.update(windows)
        requests += windows["worse"].candidate_requests
        _note(plain, trial.metrics["worse"].process.log_worse >= -log(ALPHA), requests)
        _note(policy, trial.worse, requests)
        if not np.isnan(plain + policy).any():
            break
    return Outcome(case, plain, policy)


def _test(name: str, metric: Metric, rng: np.random.Generator, runs: int) -> RatioBatchTest:
    return RatioBatchTest(
        metric=RatioTest(name, Role.GUARDRAIL, metric.margin, horizon=HORIZON),
        margins=np.full(runs, metric.margin),
        history_total=np.full(runs, float(HISTORY)),
        history_bad=rng.binomial(HISTORY, metric.stable, runs).astype(float),
    )


def _note(taken: Floats, decided: Flags, requests: Floats) -> None:
    first = decided & np.isnan(taken)
    taken[first] = requests[first]


def main() -> None:
    """Print requests, those of the reference and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--variants", action="store_true", help="add what was tried to come closer")
    arguments = parser.parse_args()
    print(f"candidate requests until roll-back, mean ± standard error, n={arguments.runs}")
    print(f"{'':>36}  {'SPRT':>5}  {f'F1 (≤ {PLAIN_TARGET} ×)':>20}  {f'policy (≤ {POLICY_TARGET} ×)':>20}")
    for seed, case in enumerate(CASES):
        outcome = measure(case, runs=arguments.runs, seed=seed)
        plain, policy = (_shown(taken, case.reference) for taken in (outcome.plain, outcome.policy))
        print(f"{case.title:>36}  {case.reference:>5.0f}  {plain:>20}  {policy:>20}", flush=True)
    if arguments.variants:
        detection_variants.report(runs=arguments.runs)


def _shown(taken: Floats, reference: float) -> str:
    return f"{taken.mean():.0f} ± {taken.std() / sqrt(taken.size):.0f} = {taken.mean() / reference:.2f} ×"


if __name__ == "__main__":
    main()
