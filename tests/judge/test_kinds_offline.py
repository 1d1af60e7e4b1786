"""``judge FILE`` for every kind of metric: published values, and what must come to the same."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from controller.cli.main import main
from controller.judge import read_windows_file

Json = dict[str, Any]


def metric(kind: str, windows: list[tuple[Json, Json]], **others: Any) -> Json:
    entries = [{"stable": stable, "candidate": candidate} for stable, candidate in windows]
    return {"name": "asked", "kind": kind, "margin": {"absolute": "0"}, "windows": entries} | others


def judged(capsys: pytest.CaptureFixture[str], tmp_path: Path, content: Json, **file: Any) -> Json:
    path = tmp_path / "windows.json"
    path.write_text(json.dumps({"metrics": [content], **file}))
    assert main(["judge", str(path), "-o", "json"]) in (0, 2, 3)
    report: Json = json.loads(capsys.readouterr().out)["metrics"][0]
    return report


def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, content: Json) -> str:
    path = tmp_path / "windows.json"
    path.write_text(json.dumps({"metrics": [content]}))
    assert main(["judge", str(path)]) == 1
    return capsys.readouterr().err


def test_rate_is_the_published_conditional_binomial(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """C34: five equal blocks."""
    windows = [({"count": 9, "exposure": 1800}, {"count": 3, "exposure": 200})] * 5
    found = judged(capsys, tmp_path, metric("rate", windows))["logEvidence"]["worse"]
    assert [math.exp(each) for each in found] == pytest.approx(
        [1.75960565, 3.86995787, 9.26720135, 23.46354566, 61.6663401], rel=1e-8
    )


def test_an_absolute_margin_of_a_rate_is_one_relative_to_history(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    windows = [({"count": 9, "exposure": 1800}, {"count": 3, "exposure": 200})] * 3
    history = {"count": 50, "exposure": 10_000}
    absolute = metric("rate", windows, margin={"absolute": "0.0025"}, history=history)
    relative = metric("rate", windows, margin={"relative": "0.5"})
    first, second = (judged(capsys, tmp_path, each) for each in (absolute, relative))
    assert first["logEvidence"] == second["logEvidence"]
    del absolute["history"]
    assert "metrics[0]: an absolute margin (0.0025) of a rate needs stable's history" in refused(
        capsys, tmp_path, absolute
    )


def test_mean_is_the_published_mixture_over_effect_sizes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """C35, the four prior variances in equal parts."""
    differences = [0.02, -0.01, 0.03, 0.01, 0.04, 0.0, 0.02, 0.03, 0.01, 0.02]
    windows = [({"count": 100, "sum": 0.0}, {"count": 50, "sum": 50 * each}) for each in differences]
    found = judged(capsys, tmp_path, metric("mean", windows))
    expected = (4.51588110 + 16.28453134 + 27.99655675 + 22.58767594) / 4
    assert math.exp(found["logEvidence"]["worse"][-1]) == pytest.approx(expected, rel=1e-8)
    assert found["rates"] == {"stable": 0.0, "candidate": pytest.approx(0.017)}


def test_better_higher_is_the_mean_of_the_negated_values(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    sums = [(90.0, 85.0), (91.0, 84.0), (92.0, 86.0), (90.0, 83.0), (89.0, 84.0), (90.0, 85.5)]
    plain = [({"count": 100, "sum": -a}, {"count": 100, "sum": -b}) for a, b in sums]
    higher = [({"count": 100, "sum": a}, {"count": 100, "sum": b}) for a, b in sums]
    margin = {"absolute": "0.01"}
    first = judged(capsys, tmp_path, metric("mean", plain, margin=margin))
    second = judged(capsys, tmp_path, metric("mean", higher, margin=margin, better="Higher"))
    assert first["logEvidence"] == second["logEvidence"]
    assert second["rates"]["candidate"] == pytest.approx(-first["rates"]["candidate"])
    assert second["difference"] < 0
    assert second["verdict"] == "Worse"


@pytest.mark.parametrize(("better", "bad"), [("Lower", 30), ("Higher", 70)])
def test_mean_with_bounds_is_a_ratio(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, better: str, bad: float
) -> None:
    """Values between 1 and 5 on a scale of 4; the margin is in units of the mean."""
    windows = [({"count": 100, "sum": 100 + 4 * 30}, {"count": 100, "sum": 100 + 4 * 40})] * 4
    bounded = metric("mean", windows, margin={"absolute": "0.08"}, bounds={"low": "1", "high": "5"}, better=better)
    step = 10 if better == "Lower" else -10
    ratio = metric(
        "ratio",
        [({"total": 100, "bad": bad}, {"total": 100, "bad": bad + step})] * 4,
        margin={"absolute": "0.02"},
    )
    first, second = judged(capsys, tmp_path, bounded), judged(capsys, tmp_path, ratio)
    for name, logs in first["logEvidence"].items():
        assert logs == pytest.approx(second["logEvidence"][name], abs=1e-9)
    assert first["rates"]["stable"] == pytest.approx(2.2)
    assert first["difference"] == pytest.approx(0.4)


def test_a_mean_beyond_its_bounds_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    windows = [({"count": 10, "sum": 5}, {"count": 10, "sum": 11})]
    asked = metric("mean", windows, margin={"absolute": "0.02"}, bounds={"high": "1"})
    assert "expected the sum of 10 values between 0 and 1 each, found 11" in refused(capsys, tmp_path, asked)


def test_histogram_is_the_mean_over_its_edges(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """F8 over F1 above each edge."""
    stable, candidate = (700, 200, 80, 20), (50, 30, 15, 5)
    edges = [0.1, 0.5, 1, "+Inf"]
    buckets = ({"buckets": stable, "edges": edges}, {"buckets": candidate, "edges": edges})
    margin, known = {"absolute": "0.02"}, (7100, 1900, 780, 220)
    history = {"buckets": known, "edges": edges}
    found = judged(capsys, tmp_path, metric("histogram", [buckets] * 3, margin=margin, history=history))
    values, weakest = [0.0] * 3, [math.inf] * 3
    for edge in (1, 2, 3):
        above = [({"total": 1000, "bad": sum(stable[edge:])}, {"total": 100, "bad": sum(candidate[edge:])})] * 3
        past = {"total": sum(known), "bad": sum(known[edge:])}
        ratio = judged(capsys, tmp_path, metric("ratio", above, margin=margin, history=past))["logEvidence"]
        values = [before + math.exp(log) / 3 for before, log in zip(values, ratio["worse"], strict=True)]
        weakest = [min(before, log) for before, log in zip(weakest, ratio["notWorse"], strict=True)]
    assert [math.exp(each) for each in found["logEvidence"]["worse"]] == pytest.approx(values, rel=1e-9)
    assert found["logEvidence"]["notWorse"] == pytest.approx(weakest, abs=1e-9)


@pytest.mark.parametrize("kind", ["histogram", "distribution"])
def test_edges_that_only_some_have_are_merged_and_disjoint_ones_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, kind: str
) -> None:
    wide = {"buckets": [90, 10], "edges": [1, "+Inf"]}
    fine = {"buckets": [40, 50, 10], "edges": [0.5, 1, "+Inf"]}
    other = {"buckets": [90, 10], "edges": [2, "+Inf"]}
    margin = {"absolute": "0.05"}
    same = judged(capsys, tmp_path, metric(kind, [(wide, wide)], margin=margin))
    assert judged(capsys, tmp_path, metric(kind, [(fine, wide)], margin=margin)) == same
    pods = {"pods": [fine, wide]}
    both = {"buckets": [180, 20], "edges": [1, "+Inf"]}
    assert judged(capsys, tmp_path, metric(kind, [(pods, wide)], margin=margin)) == judged(
        capsys, tmp_path, metric(kind, [(both, wide)], margin=margin)
    )
    told = refused(capsys, tmp_path, metric(kind, [(wide, other)], margin=margin))
    assert "expected a bucket edge that both arms" in told
    assert "stable has 1, +Inf, the candidate has 2, +Inf" in told


def pair_window(candidate: float, stable: float, *, both: float = 0, total: float = 100) -> tuple[Json, Json]:
    """The two sides of pairs in which only the candidate, only stable, and both were wrong."""
    of_stable, of_candidate = ({"total": total, "bad": each + both, "alone": each} for each in (stable, candidate))
    return of_stable, of_candidate


@pytest.mark.parametrize(("candidate", "stable", "evidence"), [(10, 10, 0.270260), (3, 0, 3.75)])
def test_pairs_are_mcnemars_test_as_published(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, candidate: int, stable: int, evidence: float
) -> None:
    """C37, pair by pair: at every window the evidence is that of all discordant pairs so far."""
    windows = [pair_window(1, 0, both=2, total=7)] * candidate + [pair_window(0, 1, total=7)] * stable
    found = judged(capsys, tmp_path, metric("paired", windows))
    assert math.exp(found["logEvidence"]["worse"][-1]) == pytest.approx(evidence, abs=5e-7)
    assert found["difference"] == pytest.approx((candidate - stable) / (7 * len(windows)))


def test_pairs_decide_both_ways(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    margin = {"absolute": "0.02"}
    worse = judged(capsys, tmp_path, metric("paired", [pair_window(8, 1, both=3)] * 8, margin=margin))
    assert worse["verdict"] == "Worse"
    assert worse["rates"] == {"stable": pytest.approx(0.04), "candidate": pytest.approx(0.11)}
    assert worse["interval"][0] < 0.07 < worse["interval"][1]
    equal = judged(capsys, tmp_path, metric("paired", [pair_window(1, 1, both=3)] * 40, margin=margin))
    assert equal["verdict"] == "NotWorse"


def test_pairs_are_added_up_over_pods_and_never_deflated(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    stable, candidate = pair_window(2, 1, both=3)
    double = pair_window(4, 2, both=6, total=200)
    margin, noise = {"absolute": "0.02"}, {"designEffect": "3", "noiseFloor": "0.05"}
    pods = metric("paired", [({"pods": [stable] * 2}, {"pods": [candidate] * 2})], margin=margin)
    assert judged(capsys, tmp_path, pods, calibration=noise) == judged(
        capsys, tmp_path, metric("paired", [double], margin=margin)
    )


@pytest.mark.parametrize(
    ("window", "others", "message"),
    [
        (pair_window(5, 101), {}, "windows[0].stable: expected 0 <= alone <= bad <= total"),
        ((pair_window(5, 1)[0], pair_window(5, 1, total=99)[1]), {}, "found 100 and 0 for stable, 99 and 0 for the"),
        ((pair_window(5, 1)[0], pair_window(5, 1, both=2)[1]), {}, "in which both were wrong (bad - alone); found"),
        (pair_window(5, 1), {"history": pair_window(5, 1)[0]}, "history"),
        (({"total": 1, "bad": 1}, {"total": 1, "bad": 1}), {}, "windows[0].stable.alone: expected this key"),
    ],
)
def test_what_is_no_pairs_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, window: tuple[Json, Json], others: Json, message: str
) -> None:
    told = refused(capsys, tmp_path, metric("paired", [window], margin={"absolute": "0.02"}, **others))
    assert message in told


def test_pairs_tell_no_shares_of_the_requests(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    asked = metric("paired", [pair_window(5, 1)], margin={"absolute": "0.02"})
    asked["windows"][0]["weight"] = 10
    assert "expected no weight, as pairs do not tell the arms' shares" in refused(capsys, tmp_path, asked)


@pytest.mark.parametrize(
    ("kind", "windows", "level"),
    [
        ("ratio", [({"total": 900, "bad": 90}, {"total": 100, "bad": 13})] * 3, "rates"),
        ("rate", [({"count": 90, "exposure": 900}, {"count": 13, "exposure": 100})] * 3, "events per exposure"),
        ("mean", [({"count": 90, "sum": 90}, {"count": 10, "sum": 13})] * 3, "means"),
        ("histogram", [({"buckets": [9, 1], "edges": [1, "+Inf"]},) * 2] * 3, "shares above the edge"),
        ("distribution", [({"buckets": [9, 1, 4]},) * 2] * 3, "shares where they differ most"),
        ("paired", [pair_window(2, 1)] * 3, "shares of wrong answers"),
    ],
)
def test_text_names_the_levels_of_the_kind(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, kind: str, windows: list[tuple[Json, Json]], level: str
) -> None:
    path = tmp_path / "windows.json"
    path.write_text(
        json.dumps(
            {"metrics": [metric(kind, windows, margin={"relative": "0.5"} if kind == "rate" else {"absolute": "0.2"})]}
        )
    )
    assert main(["judge", str(path)]) in (0, 2, 3)
    assert f"  {level}" in capsys.readouterr().out


def test_design_effect_divides_counts_and_leaves_requests() -> None:
    contents = {
        "metrics": [
            metric("ratio", [({"total": 90, "bad": 9}, {"total": 10, "bad": 1})]) | {"name": "a"},
            metric("rate", [({"count": 9, "exposure": 90}, {"count": 1, "exposure": 10})]) | {"name": "b"},
            metric("histogram", [({"buckets": [8, 2], "edges": [1, "+Inf"]},) * 2]) | {"name": "c"},
            metric("mean", [({"count": 9, "sum": 90}, {"count": 1, "sum": 10})]) | {"name": "d"},
        ],
        "calibration": {"designEffect": "2"},
    }
    (window,) = read_windows_file(json.dumps(contents)).windows
    shown = {name: each.shown[0] for name, each in window.items() if each is not None}
    exposed = {name: each.exposures.stable for name, each in window.items() if each is not None}
    assert shown == {"a": "4.5/45", "b": "4.5/45", "c": "5", "d": "90/9"}
    assert exposed == {"a": 90, "b": 90, "c": 10, "d": 9}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            metric("distribution", [({"buckets": [9, 1]}, {"buckets": [9, 1]}), ({"buckets": [9]}, {"buckets": [9]})]),
            "metrics[0]: windows[1]: expected 2 classes as before, found 1",
        ),
        (
            metric("distribution", [({"buckets": [9]}, {"buckets": [9]})], history={"buckets": [9, 1]}),
            "metrics[0]: windows[0]: expected 2 classes as before, found 1",
        ),
        (
            metric("ratio", [({"total": 1e16, "bad": 0}, {"total": 1, "bad": 0})]),
            "metrics[0].windows[0].stable.total: expected less than or equal to 1000000000000000, found 1e+16",
        ),
        (
            metric("ratio", [({"pods": []}, {"total": 1, "bad": 0})]),
            "metrics[0].windows[0].stable.pods: expected at least 1 entry, found none",
        ),
        (metric("ratio", [], weight="1e-9"), "metrics[0].weight: expected greater than or equal to 0.000001"),
    ],
)
def test_what_is_wrong_with_an_entry_is_said_with_its_place(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: Json, message: str
) -> None:
    assert message in refused(capsys, tmp_path, content)


def test_a_margin_of_0_keeps_all_kinds_but_means_from_a_promotion(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The t-mixture needs no room between the arms to show that the candidate's mean is below stable's."""
    path, note = tmp_path / "windows.json", "at margin 0 nothing can be shown to be not worse"
    better = [({"count": 100, "sum": 100.0 + i % 3}, {"count": 10, "sum": 5.0 + i % 2}) for i in range(20)]
    path.write_text(json.dumps({"metrics": [metric("mean", better)]}))
    assert main(["judge", str(path)]) == 0
    assert note not in capsys.readouterr().out

    path.write_text(json.dumps({"metrics": [metric("ratio", [({"total": 9, "bad": 9}, {"total": 9, "bad": 0})])]}))
    assert main(["judge", str(path)]) == 3
    assert note in capsys.readouterr().out
