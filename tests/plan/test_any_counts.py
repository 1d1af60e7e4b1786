"""Whatever counts a row holds, the judge takes them: no exception, nothing that is not finite."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.api.record import ArmCounts, FrozenAnalysis, FrozenMetric, RecordedWindow, Row
from controller.api.spec import Analysis
from controller.plan.evidence import describe, judged, start_trial
from controller.plan.figures import Figures
from controller.plan.situation import Evidence
from tests.api.examples import KINDS
from tests.plan.stage import START

Json = dict[str, Any]

EDGES = ("0.1", "0.5", "+Inf")
BOUNDED: Json = {
    "mean": {"sum": "s_sum", "count": "s_count", "better": "Higher", "bounds": {"low": "1", "high": "5"}},
    "margin": {"absolute": "0.5"},
}
METRICS: dict[str, Json] = {
    **KINDS,
    "ratio": {"ratio": {"bad": "b_total", "total": "a_total"}, "margin": {"absolute": "0.01"}},
    "bounded mean": BOUNDED,
    "drift": {"distribution": {"buckets": "x_bucket"}, "margin": {"absolute": "0.05"}},
}

sizes = st.one_of(st.just(0.0), st.floats(min_value=1e-6, max_value=1e12), st.integers(0, 10**9).map(float))
shares = st.floats(min_value=0.0, max_value=1.0)


def text(number: float) -> str:
    """As rows hold counts: with six decimals."""
    return f"{number:.6f}"


@st.composite
def arms(draw: st.DrawFn, name: str) -> ArmCounts:
    """What an arm may have counted, and what that is worth."""
    total, worth, share = draw(sizes), draw(shares), draw(shares)
    both = {"total": text(total), "effective_total": text(total * worth)}
    if name in ("histogram", "drift", "distribution"):
        parts = draw(st.lists(shares, min_size=3, max_size=3))
        whole = sum(parts) or 1.0
        return ArmCounts(**both, buckets=tuple(text(total * part / whole) for part in parts))
    if name in ("mean", "bounded mean"):
        return ArmCounts(**both, sum=f"{total * draw(st.floats(-10, 10)):.15g}")
    if name == "query":
        return ArmCounts(total="1", value=text(draw(st.floats(-1e12, 1e12))))
    most = 100 if name == "rate" else 1
    bad = total * share * most
    return ArmCounts(**both, bad=text(bad), effective_bad=text(bad * worth))


def frozen(name: str, *, known: bool) -> FrozenAnalysis:
    """The analysis of that metric and of one that decides, with history or without."""
    metric = {"name": "asked", **METRICS[name]}
    decisive = {"name": "decisive", **METRICS["ratio"]}
    past: Json = {"history_total": "1000", "history_bad": "2100" if name == "bounded mean" else "20"} if known else {}
    if name in ("histogram", "drift", "distribution"):
        edges = ("a", "b", "c") if name == "distribution" else EDGES
        past = {"history_total": "1000", "history_buckets": ("500", "300", "200"), "edges": edges} if known else {}
    return FrozenAnalysis(
        hash="x",
        attempt=1,
        alpha="0.05",
        steps=(10,),
        interval=timedelta(seconds=10),
        horizon=100,
        min_requests=0,
        analysis=Analysis.model_validate({"metrics": [metric, decisive]}),
        metrics=(
            FrozenMetric(metric="asked", margin="0.05", **past),
            FrozenMetric(metric="decisive", margin="0.01"),
        ),
    )


@st.composite
def windows(draw: st.DrawFn, name: str) -> tuple[RecordedWindow, ...]:
    edges = None if name in ("ratio", "rate", "mean", "bounded mean", "query") else EDGES
    edges = ("b", "c", "d") if name == "distribution" else edges
    pairs = draw(st.lists(st.tuples(arms(name), arms(name)), min_size=1, max_size=6))
    return tuple(
        RecordedWindow(
            transition=1,
            number=number,
            weight=10,
            start=START + timedelta(seconds=10 * number),
            end=START + timedelta(seconds=10 * (number + 1)),
            rows=(Row(metric="asked", stable=stable, candidate=candidate, edges=edges, bad_seen=True),),
        )
        for number, (stable, candidate) in enumerate(pairs)
    )


@pytest.mark.parametrize("name", METRICS)
@given(data=st.data(), known=st.booleans())
@settings(max_examples=60, deadline=None)
def test_every_row_is_judged_and_told(name: str, data: st.DataObject, known: bool) -> None:
    analysis, recorded = frozen(name, known=known), data.draw(windows(name))
    trial = judged(start_trial(analysis), recorded, frozen=analysis)
    evidence = trial.metrics["asked"]
    assert all(math.isfinite(each) for each in (evidence.log_combined, evidence.log_not_worse, evidence.log_better))
    assert evidence.interval is None or not any(map(math.isnan, evidence.interval))
    told = describe(Evidence(frozen=analysis, trial=trial, windows=recorded))
    assert told[0].name == "asked"
    assert Figures.of(analysis, "asked").numbers(evidence).startswith("asked")


@pytest.mark.parametrize("name", METRICS)
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_rows_give_the_same_evidence_one_by_one_and_all_at_once(name: str, data: st.DataObject) -> None:
    analysis, recorded = frozen(name, known=True), data.draw(windows(name))
    together, trial = judged(start_trial(analysis), recorded, frozen=analysis), start_trial(analysis)
    for window in recorded:
        trial = judged(trial, (window,), frozen=analysis)
    assert trial.metrics["asked"].log_combined == together.metrics["asked"].log_combined
    assert trial.metrics["asked"].log_not_worse == together.metrics["asked"].log_not_worse
