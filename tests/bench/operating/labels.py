"""Labels that arrive late: table 4.12.

Requests of a window get their labels after a geometric time, and a wrong answer's takes four times as long. Arrivals
of Poisson requests are Poisson again, and independent from window to window, with the share that has arrived by then.
"""

from collections.abc import Callable, Mapping

import numpy as np

from controller.judge.batch import Floats, PodCounts
from tests.bench.operating.follow import Watched
from tests.bench.operating.methods import Evidence, RepeatedZ, Thresholds, ratio_test, worse
from tests.bench.operating.shares import ACCURACY, HISTORY
from tests.bench.operating.tables import Section, Sheet, percent

GOOD_DELAY = 2.0
BAD_DELAY = 4 * GOOD_DELAY
SLOWER = 3.0
MATURE = 30
WINDOWS = 300
REQUESTS = (1800.0, 200.0)

Arrived = Callable[[int, float], float]


def arrived(age: int, delay: float) -> float:
    """Share of the labels that are there within so many windows."""
    return 1.0 - (1.0 - 1.0 / (1.0 + delay)) ** (age + 1)


def by_arrival(number: int, delay: float) -> float:
    """Labels that arrive in the window, of requests since the first one, as a share of one window's requests."""
    return arrived(number, delay)


def by_cohort(_: int, delay: float) -> float:
    """Labels of the requests of one window, at the age at which they are compared."""
    return arrived(MATURE, delay)


def watch(counting: Arrived, *, slower: float, runs: int, seed: int) -> Mapping[str, Watched]:
    """F1 and its rivals on labels counted so; good labels of the candidate take ``slower`` times as long."""
    rng = np.random.default_rng([412, seed])
    rate = ACCURACY.base
    history = _drawn(rng, 2000.0 * HISTORY * rate, 2000.0 * HISTORY * (1 - rate), runs=runs)
    known = PodCounts(history.total[np.newaxis], history.bad[np.newaxis])
    methods = [Evidence(ratio_test(known, np.zeros(runs)), {"F1": worse}), RepeatedZ(runs)]
    methods += [Thresholds(runs, highest=ACCURACY.slo)]
    first: dict[str, Floats] = {}
    for number in range(WINDOWS):
        arms = [
            _drawn(
                rng,
                requests * rate * counting(number, BAD_DELAY),
                requests * (1 - rate) * counting(number, GOOD_DELAY * delay),
                runs=runs,
            )
            for requests, delay in zip(REQUESTS, (1.0, slower), strict=True)
        ]
        for method in methods:
            for name, flags in method.look(*arms).items():
                noted = first.setdefault(name, np.full(runs, np.inf))
                noted[flags & np.isinf(noted)] = number + 1
    return {name: Watched(each) for name, each in first.items()}


def _drawn(rng: np.random.Generator, bad: float, good: float, *, runs: int) -> PodCounts:
    wrong, right = rng.poisson(bad, (1, runs)).astype(float), rng.poisson(good, (1, runs)).astype(float)
    return PodCounts(wrong + right, wrong)


_FAIR = (
    ("arrivals, equal delays", by_arrival, 1.0, 1.8),
    (f"cohorts at the age of {MATURE} windows, 3 × slower", by_cohort, SLOWER, 2.0),
)
_UNFAIR = "arrivals, the candidate's good labels 3 × slower"


def delayed_labels(runs: int) -> Section:
    """4.12. Arrivals with unequal delays break what every rule rests on, so they are held to no bound."""
    sheet = Sheet((_FAIR[0][0], _UNFAIR, _FAIR[1][0]))
    for place, (column, counting, slower, expected) in enumerate(_FAIR):
        for name, each in watch(counting, slower=slower, runs=runs, seed=place).items():
            sheet.false(name, column, each, expected if name == "F1" else None, what=f"4.12, {column}")
    for name, each in watch(by_arrival, slower=SLOWER, runs=runs, seed=2).items():
        sheet.put(name, _UNFAIR, percent(each.share), 78 if name == "F1" else None, " %")
    return sheet.section(
        "Delayed labels",
        "Reference 4.12. No true difference; accuracy 92 %, 2,000 requests per window, 10 %, margin 0, 300 windows, "
        f"{runs} runs; labels arrive after a geometric time, those of right answers after 2 windows on average, of "
        "wrong ones after 8 (the reference does not give its delays). The middle column is what `labelDelay` is "
        "for.",
    )
