"""Labels that come late, at different speed for different outcomes and arms: what misleads, and what does not.

The setting of reference 4.12: no model is worse; bad labels come four times later than good ones, and the candidate's
good ones three times later than stable's. The feed of labels begins with the rollout. Time is in windows.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binom

from controller.api.verdicts import Role, Verdict
from controller.judge import Arm, Circumstances, RateArm, RatioTest, Trial, Window

Counts = npt.NDArray[np.int_]

WINDOWS, REQUESTS, WEIGHT, RATE = 150, 2000, 0.1, 0.08
GOOD_LAG, BAD_LAG, SLOWER = 2.5, 10.0, 3.0
MATURITY = 40
"""Windows after which all but one in fifty of the slowest labels are there."""
ALPHA, RUNS = 0.05, 40


@dataclass(frozen=True)
class Labels:
    """Labels of one arm: rows are windows in which requests were served, columns those in which labels came."""

    served: Counts
    good: Counts
    bad: Counts

    def arrived(self, window: int) -> tuple[int, int]:
        """All labels that came in a window, and the bad ones."""
        good, bad = int(self.good[:, window].sum()), int(self.bad[:, window].sum())
        return good + bad, bad

    def of_age(self, cohort: int) -> tuple[int, int]:
        """All labels that came for the requests of a window until these were mature."""
        ripe = cohort + MATURITY + 1
        good, bad = int(self.good[cohort, :ripe].sum()), int(self.bad[cohort, :ripe].sum())
        return good + bad, bad


def arm(rng: np.random.Generator, *, requests: float, slower: float) -> Labels:
    served = rng.poisson(requests, WINDOWS)
    wrong = rng.binomial(served, RATE)
    lags = {"good": GOOD_LAG * slower, "bad": BAD_LAG}
    spread = {name: np.zeros((WINDOWS, WINDOWS), dtype=np.int_) for name in lags}
    for name, lag in lags.items():
        ages = np.arange(WINDOWS)
        shares = np.exp(-ages / lag) * (1 - np.exp(-1 / lag))
        for window in range(WINDOWS):
            amount = wrong[window] if name == "bad" else served[window] - wrong[window]
            reachable = shares[: WINDOWS - window]
            came = rng.multinomial(amount, [*reachable, 1 - reachable.sum()])[:-1]
            spread[name][window, window:] = came
    return Labels(served, spread["good"], spread["bad"])


def rollout(seed: int, *, slower: float) -> tuple[Labels, Labels]:
    rng = np.random.default_rng(seed)
    stable = arm(rng, requests=REQUESTS * (1 - WEIGHT), slower=1.0)
    return stable, arm(rng, requests=REQUESTS * WEIGHT, slower=slower)


def as_they_come(stable: Labels, candidate: Labels) -> Iterator[tuple[Window[Arm], Circumstances]]:
    """Labels as they arrive, set against the requests of the same windows."""
    for window in range(WINDOWS):
        counts = stable.arrived(window), candidate.arrived(window)
        labels = Window(
            RateArm(counts[0][0], float(stable.served[window])), RateArm(counts[1][0], float(candidate.served[window]))
        )
        yield Window(Arm(*counts[0]), Arm(*counts[1])), Circumstances(labels={"accuracy": labels})


def outcome(pairs: Iterator[tuple[Window[Arm], Circumstances]], *, first: int = 0) -> Verdict:
    """The verdict when it is Worse first, or after the last window; judged from window ``first`` on, at margin 0."""
    trial = Trial.start([RatioTest(name="accuracy", role=Role.TARGET, margin=0.0)], alpha=ALPHA)
    for number, (window, circumstances) in enumerate(pairs):
        if number < first:
            continue
        trial = trial.update({"accuracy": window}, circumstances)
        if trial.verdict is Verdict.WORSE:
            break
    return trial.verdict


def without_coverage(pairs: Iterator[tuple[Window[Arm], Circumstances]]) -> Iterator[tuple[Window[Arm], Circumstances]]:
    return ((window, Circumstances()) for window, _ in pairs)


def test_equally_slow_feedback_misleads_nobody() -> None:
    """Reference: 1.8 % false."""
    found = [outcome(without_coverage(as_they_come(*rollout(seed, slower=1.0)))) for seed in range(RUNS)]
    assert found.count(Verdict.WORSE) <= binom.ppf(0.999, RUNS, ALPHA)


def test_slower_feedback_misleads_whoever_counts_labels_as_they_come() -> None:
    """Reference: 78 % false."""
    found = [outcome(without_coverage(as_they_come(*rollout(seed, slower=SLOWER)))) for seed in range(RUNS)]
    assert found.count(Verdict.WORSE) > 0.5 * RUNS


def test_coverage_keeps_slower_feedback_from_rolling_back() -> None:
    found = [outcome(as_they_come(*rollout(seed, slower=SLOWER))) for seed in range(RUNS)]
    assert found.count(Verdict.WORSE) <= binom.ppf(0.999, RUNS, ALPHA)


def test_labels_of_equally_old_requests_do_not_mislead() -> None:
    """From one labelDelay after the change on, both arms' arrivals are of the same mixture of ages."""
    found = [outcome(as_they_come(*rollout(seed, slower=SLOWER)), first=MATURITY) for seed in range(RUNS)]
    assert found.count(Verdict.WORSE) <= binom.ppf(0.999, RUNS, ALPHA)
    assert Verdict.INVALID not in found


def by_cohort(stable: Labels, candidate: Labels) -> Iterator[tuple[Window[Arm], Circumstances]]:
    """Each window's own labels once it is mature, set against its own requests."""
    for cohort in range(WINDOWS - MATURITY - 1):
        counts = stable.of_age(cohort), candidate.of_age(cohort)
        labels = Window(
            RateArm(counts[0][0], float(stable.served[cohort])), RateArm(counts[1][0], float(candidate.served[cohort]))
        )
        yield Window(Arm(*counts[0]), Arm(*counts[1])), Circumstances(labels={"accuracy": labels})


def test_cohorts_of_equal_age_do_not_mislead() -> None:
    """Reference: 2.0 % false."""
    found = [outcome(by_cohort(*rollout(seed, slower=SLOWER))) for seed in range(RUNS)]
    assert found.count(Verdict.WORSE) <= binom.ppf(0.999, RUNS, ALPHA)
    assert Verdict.INVALID not in found


def test_feedback_that_is_lost_for_one_outcome_is_found() -> None:
    """Half of the candidate's wrong answers and a third of its right ones never get a label."""

    def thinned(pairs: Iterator[tuple[Window[Arm], Circumstances]]) -> Iterator[tuple[Window[Arm], Circumstances]]:
        for window, seen in pairs:
            labels = seen.labels["accuracy"]
            kept = Arm(round(window.candidate.total * 0.65), round(window.candidate.bad * 0.5))
            served = RateArm(kept.total, labels.candidate.exposure)
            yield Window(window.stable, kept), Circumstances(labels={"accuracy": Window(labels.stable, served)})

    assert outcome(thinned(by_cohort(*rollout(1, slower=1.0)))) is Verdict.INVALID
