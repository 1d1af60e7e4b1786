"""The arms' shares of the requests: table 4.11, for many runs side by side."""

from collections.abc import Mapping

import numpy as np
from scipy.special import betaln

from controller.judge.batch import Flags, Floats
from controller.judge.kinds.mean import log_two_sided
from tests.bench.operating.follow import Watched
from tests.bench.operating.tables import Bound, Section, Sheet, percent

WINDOWS = 500
ALARM = np.log(1000.0)
CONCENTRATION = 1000.0
DEVIATION = 0.1
SHARE = 0.1
_EVIDENCE = "evidence of 1,000 (F7)"
_CHECK = "evidence and a deviation above 10 % (F7)"
_STICKY = "check for sticky sessions (F3)"


class Checks:
    """``SampleRatio`` and ``SessionRatio`` at a constant weight of 10 %, with arrays."""

    def __init__(self, runs: int) -> None:
        self._stable, self._candidate = np.zeros(runs), np.zeros(runs)
        self._size, self._mean, self._scatter = 0, np.zeros(runs), np.zeros(runs)

    def look(self, stable: Floats, candidate: Floats) -> Mapping[str, Flags]:
        self._stable, self._candidate = self._stable + stable, self._candidate + candidate
        off = candidate / (stable + candidate) - SHARE
        self._size += 1
        gap = off - self._mean
        self._mean = self._mean + gap / self._size
        self._scatter = self._scatter + gap * (off - self._mean)
        far = np.abs(self.deviation) > DEVIATION
        alarm, sticky = self.log_evidence >= ALARM, (self._size >= 5) & (self.log_sticky >= ALARM)
        return {_EVIDENCE: alarm, _CHECK: alarm & far, _STICKY: sticky & far}

    @property
    def deviation(self) -> Floats:
        return self._candidate / (SHARE * (self._stable + self._candidate)) - 1.0

    @property
    def log_evidence(self) -> Floats:
        a, b = CONCENTRATION * SHARE, CONCENTRATION * (1 - SHARE)
        mixture = betaln(a + self._candidate, b + self._stable) - betaln(a, b)
        return mixture - self._candidate * np.log(SHARE) - self._stable * np.log(1 - SHARE)

    @property
    def log_sticky(self) -> Floats:
        above = np.sqrt(self._size) * self._mean
        length = np.hypot(above, np.sqrt(self._scatter))
        counts = np.full(above.size, self._size)
        return log_two_sided(counts, above / np.where(length > 0.0, length, 1.0))


def watch(share: float, *, requests: int, runs: int, correlation: float = 0.0, seed: int) -> Mapping[str, Watched]:
    """All checks on the same windows; with a correlation each window has a share of its own."""
    rng = np.random.default_rng([411, requests, round(1000 * share), seed])
    checks, first = Checks(runs), {}
    for number in range(WINDOWS):
        total = np.maximum(rng.poisson(requests, runs), 1)
        spread = (1 - correlation) / correlation if correlation else 0.0
        shares = rng.beta(share * spread, (1 - share) * spread, runs) if correlation else np.full(runs, share)
        candidate = rng.binomial(total, shares)
        for name, flags in checks.look((total - candidate).astype(float), candidate.astype(float)).items():
            known = first.setdefault(name, np.full(runs, np.inf))
            known[flags & np.isinf(known)] = number + 1
    return {name: Watched(each) for name, each in first.items()}


_FOUND = {200: {0.11: 84, 0.12: 23, 0.15: 6}, 2000: {0.11: 9, 0.12: 3, 0.15: 1}}
_STICKY_FALSE = {200: 13, 2000: 99}


def sample_ratio(runs: int, requests: int) -> Section:
    """4.11 at so many requests per window."""
    sheet = Sheet(("false", "false, sticky", *(f"{100 * share:.0f} %: windows" for share in _FOUND[requests])), "rule")
    for name, each in watch(SHARE, requests=requests, runs=runs, seed=0).items():
        sheet.put(name, "false", percent(each.share), "≤ 0.1 %" if name == _EVIDENCE else None)
        sheet.bounds.append(Bound(f"4.11, {requests} requests: {name}", each.count, runs, highest=0.001))
    for name, each in watch(SHARE, requests=requests, runs=runs, correlation=0.01, seed=1).items():
        sheet.put(
            name, "false, sticky", percent(each.share), _STICKY_FALSE[requests] if name == _EVIDENCE else None, " %"
        )
        if name == _STICKY:
            sheet.bounds.append(Bound(f"4.11, {requests} requests, sticky: {name}", each.count, runs, highest=0.001))
    for share, expected in _FOUND[requests].items():
        for name, each in watch(share, requests=requests, runs=runs, seed=2).items():
            sheet.windows(name, f"{100 * share:.0f} %: windows", each, expected if name == _EVIDENCE else None)
    return sheet.section(
        f"Sample-ratio mismatch, {requests} requests per window",
        f"Reference 4.11. 10 % are wanted, 500 windows, alarm at evidence 1,000, {runs} runs. *Sticky*: in each window "
        "a share of its own, with an intraclass correlation of 0.01 and a mean of 10 %. The reference counts the "
        "evidence alone; the check also wants a deviation that matters, so a true share of 11 % is at its limit.",
    )
