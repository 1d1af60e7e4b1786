"""What status says about the time that a verdict takes, and what is said when there is none before the deadline."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from controller.api.reasons import ConditionType, Phase, Reason
from controller.api.record import ArmCounts, RecordedWindow, Row
from controller.api.spec import ModelRolloutSpec
from controller.plan.amounts import about_requests, about_time, points
from controller.plan.outlook import Heading, outlooks
from controller.plan.reach import reach
from controller.plan.windows import Window
from tests.plan.stage import Stage, Traffic, quiet_history, row, spec_with, steady

SHORT = {"interval": "10s", "steps": [10, 25, 50], "deadline": "12m"}


def windows(stage: Stage) -> tuple[RecordedWindow, ...]:
    return stage.records[stage.status.epoch].windows


def counted(number: int) -> Callable[[Stage], bool]:
    return lambda stage: stage.status.window.counted >= number


def forecast(stage: Stage) -> str:
    analysis = stage.status.analysis
    assert analysis is not None
    assert analysis.forecast is not None
    return analysis.forecast


def after(stage: Stage, number: int) -> Stage:
    return stage.run(until=counted(number))


def test_the_forecast_of_windows_without_noise_is_what_they_then_take() -> None:
    spec = spec_with(strategy={"interval": "10s", "steps": [20]})
    stage = after(Stage(spec=spec, traffic=steady(0.08, 0.08, requests=500)), 6)
    (outlook,) = outlooks(stage._situation().evidence).values()
    expected = outlook.needs[0].windows
    stage.run(until=lambda stage: stage.status.phase is Phase.PROMOTING)

    assert outlook.heading is Heading.NOT_WORSE
    assert expected > 10
    assert len(windows(stage)) - 6 == pytest.approx(expected, abs=2)
    assert outlook.needs[0].requests == pytest.approx(100 * expected)


def test_a_worse_candidate_is_forecast_to_be_taken_back() -> None:
    spec = spec_with(strategy={"interval": "10s", "steps": [10]})
    stage = after(Stage(spec=spec, traffic=steady(0.08, 0.11, requests=1000)), 8)
    (outlook,) = outlooks(stage._situation().evidence).values()
    expected = outlook.needs[0].windows
    text = forecast(stage)
    stage.run(until=lambda stage: stage.status.phase is Phase.ROLLING_BACK)

    assert outlook.heading is Heading.WORSE
    assert "Worse, if the difference of accuracy stays, in ≈ " in text
    assert len(windows(stage)) - 8 == pytest.approx(expected, rel=0.3)


def test_status_says_requests_and_time_at_this_step_the_next_and_the_last() -> None:
    stage = after(Stage(traffic=steady(0.08, 0.08, requests=250)), 5)
    assert stage.status.analysis is not None
    (metric,) = stage.status.analysis.metrics

    assert metric.forecast is not None
    assert metric.forecast.startswith("NotWorse: about ")
    assert " more requests of the candidate, ≈ " in metric.forecast
    assert [part.rpartition(" at ")[2] for part in metric.forecast.split(", ")[1:]] == ["10 %", "25 %", "50 %"]
    assert forecast(stage).startswith("NotWorse in ≈ ")
    assert forecast(stage).endswith("of judged time until the deadline")


def test_status_is_the_same_until_the_next_window() -> None:
    stage = after(Stage(traffic=steady(0.08, 0.08, requests=200)), 5)
    before = stage.status.to_json()
    for _ in range(3):
        stage.now += timedelta(seconds=1)
        stage.turn()

    assert stage.status.to_json() == before


def test_a_difference_on_the_margin_has_no_forecast() -> None:
    stage = after(Stage(traffic=steady(0.08, 0.10)), 5)
    assert stage.status.analysis is not None

    assert stage.status.analysis.metrics[0].forecast == "the difference lies on the margin: no forecast"
    assert forecast(stage).startswith("no forecast while the difference of accuracy lies on the margin; ")


def two_metrics(**second: object) -> Stage:
    plain = {"name": "accuracy", "ratio": {"bad": "b", "total": "t"}, "margin": {"absolute": "0.02"}}
    other = {"name": "errors", "ratio": {"bad": "e", "total": "t"}, "margin": {"absolute": "0.005"}}
    spec = spec_with(
        strategy=SHORT, analysis={"metrics": [plain | {"allowAbsent": True}, other | {"allowAbsent": True} | second]}
    )

    def traffic(_: object, weight: int) -> tuple[object, ...]:
        candidate = 20 * weight
        stable = 2000 - candidate
        return (
            row((stable, stable * 0.08), (candidate, candidate * 0.08)),
            row((stable, stable * 0.01), (candidate, candidate * 0.01), "errors"),
        )

    return Stage(spec=spec, traffic=traffic)


def test_the_metric_that_takes_longest_is_named() -> None:
    assert "(longest: errors)" in forecast(after(two_metrics(), 5))
    assert "longest" not in forecast(after(two_metrics(role="Watch"), 5))


def scarce(requests: int = 40, *, candidate: float = 0.1) -> Traffic:
    """So few requests that 12 minutes are not enough."""
    return steady(0.1, candidate, requests=requests)


METRIC = {"name": "accuracy", "ratio": {"bad": "b", "total": "t"}, "allowAbsent": True}


def hopeless(deadline: str = "12m") -> ModelRolloutSpec:
    """A margin for which 12 minutes of that traffic are not enough."""
    metrics = [METRIC | {"margin": {"absolute": "0.005"}}]
    return spec_with(strategy=SHORT | {"deadline": deadline}, analysis={"metrics": metrics})


def undecided() -> Stage:
    return Stage(spec=hopeless(), traffic=scarce(100))


def test_out_of_reach_is_said_early_once_as_an_event_and_decides_nothing() -> None:
    stage = undecided()
    stage.run(until=lambda stage: stage.status.reason is Reason.VERDICT_OUT_OF_REACH)
    told = stage.status.window.counted
    message = stage.status.message

    assert stage.status.phase is Phase.PROGRESSING
    assert 18 <= told < 50
    assert "no verdict to be expected before the deadline: accuracy would need about " in message
    assert "more requests of the candidate, ≈ " in message
    assert "extend strategy.deadline; else strategy.onUndecided (Hold) applies" in message
    assert stage.status.analysis is not None
    assert stage.status.analysis.out_of_reach_since == told

    stage.run(turns=400, until=lambda stage: stage.status.phase is Phase.STALLED)
    warnings = [each for each in stage.announcements if each.reason is Reason.VERDICT_OUT_OF_REACH]
    assert [each.kind for each in warnings] == ["Warning"]
    assert stage.status.reason is Reason.DEADLINE_PASSED
    assert stage.status.window.counted == 72
    assert 0 not in stage.weights


def test_a_longer_deadline_brings_it_within_reach_again() -> None:
    stage = undecided().run(until=lambda stage: stage.status.reason is Reason.VERDICT_OUT_OF_REACH)
    stage.spec = hopeless(deadline="24h")
    stage.turn()

    assert stage.status.reason is Reason.GATHERING_EVIDENCE
    assert forecast(stage).startswith("NotWorse in ≈ ")


def test_more_traffic_brings_it_within_reach_again() -> None:
    stage = undecided().run(until=lambda stage: stage.status.reason is Reason.VERDICT_OUT_OF_REACH)
    stage.traffic = scarce(40_000)
    stage.run(turns=60, until=lambda stage: stage.status.reason is Reason.GATHERING_EVIDENCE)

    assert stage.status.reason is Reason.GATHERING_EVIDENCE
    stage.run(turns=200, until=lambda stage: stage.status.phase is Phase.IDLE)
    condition = stage.status.condition(ConditionType.PROMOTED)
    assert condition is not None
    assert condition.status == "True"


@pytest.mark.parametrize(
    ("candidate", "requests"),
    [(0.1, 1500), (0.2, 200), (0.3, 40)],
)
def test_nothing_is_called_out_of_reach_that_comes(candidate: float, requests: int) -> None:
    stage = Stage(spec=spec_with(strategy=SHORT), traffic=scarce(requests, candidate=candidate))
    stage.run(turns=400, until=lambda stage: stage.status.phase in (Phase.PROMOTING, Phase.ROLLING_BACK))

    assert stage.status.phase in (Phase.PROMOTING, Phase.ROLLING_BACK)
    assert not [each for each in stage.announcements if each.reason is Reason.VERDICT_OUT_OF_REACH]


def test_a_metric_without_forecast_may_still_find_it_worse() -> None:
    """Of a distribution nobody knows when it decides, so nothing is called out of reach."""
    stage = undecided()
    stage.run(until=counted(40))
    evidence = stage._situation().evidence
    assert evidence is not None
    strategy = stage.spec.strategy
    assert reach(evidence, outlooks(evidence), strategy=strategy, counted=40, known=False).missed is not None
    assert reach(evidence, {}, strategy=strategy, counted=40, known=False).missed is None
    assert reach(evidence, outlooks(evidence), strategy=strategy, counted=15, known=False).missed is None


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.2, "1"), (7.4, "7"), (12.6, "13"), (144, "140"), (1449, "1400"), (52_400, "52000"), (3.26e6, "3300000")],
)
def test_requests_in_words(number: float, text: str) -> None:
    assert about_requests(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (4, "10 s"),
        (44, "40 s"),
        (90, "2 min"),
        (22 * 60 + 10, "22 min"),
        (59.7 * 60, "1 h"),
        (3600, "1 h"),
        (3 * 3600 + 1100, "3 h 20 min"),
        (14 * 3600, "14 h"),
        (5 * 86_400, "5 days"),
        (float("inf"), "never"),
        (1e12, "never"),
    ],
)
def test_times_in_words(seconds: float, text: str) -> None:
    assert about_time(seconds) == text
    if seconds < 1e9:
        assert about_time(timedelta(seconds=seconds)) == text


def test_points_in_words() -> None:
    assert [points(share) for share in (0.0025, 0.01, 0.1)] == ["0.25 points", "1 point", "10 points"]


def arm(total: float, **counts: object) -> ArmCounts:
    return ArmCounts(total=f"{total:.0f}", **{name: value for name, value in counts.items() if value is not None})


def every_kind(window: Window, weight: int) -> tuple[Row, ...]:
    """20 events, a mean that scatters a little, a histogram, and a ratio whose counts are worth a third."""
    stable, candidate = 10.0 * (100 - weight), 10.0 * weight
    moved = 0.1 if window.number % 2 else -0.1
    sums = (f"{stable * 5:.3f}", f"{candidate * (5 + moved):.3f}")
    buckets = [(f"{size * 0.6:.3f}", f"{size * 0.3:.3f}", f"{size * 0.1:.3f}") for size in (stable, candidate)]
    thirds = [
        {"effective_total": f"{size / 3:.3f}", "effective_bad": f"{size / 30:.3f}"} for size in (stable, candidate)
    ]
    bad = [f"{size / 10:.3f}" for size in (stable, candidate)]
    edges = ("0.1", "1", "+Inf")
    return (
        Row(metric="events", stable=arm(stable, bad=bad[0]), candidate=arm(candidate, bad=bad[1]), bad_seen=True),
        Row(metric="cost", stable=arm(stable, sum=sums[0]), candidate=arm(candidate, sum=sums[1])),
        Row(
            metric="latency",
            stable=arm(stable, buckets=buckets[0]),
            candidate=arm(candidate, buckets=buckets[1]),
            edges=edges,
        ),
        Row(
            metric="accuracy",
            stable=arm(stable, bad=bad[0], **thirds[0]),
            candidate=arm(candidate, bad=bad[1], **thirds[1]),
            bad_seen=True,
        ),
        Row(metric="plain", stable=arm(stable, bad=bad[0]), candidate=arm(candidate, bad=bad[1]), bad_seen=True),
    )


def test_every_kind_that_has_a_forecast_gets_one() -> None:
    ratio = {"ratio": {"bad": "b", "total": "t"}, "margin": {"absolute": "0.02"}, "allowAbsent": True}
    metrics = [
        {"name": "events", "rate": {"count": "c", "exposure": "e"}, "margin": {"relative": "0.2"}, "allowAbsent": True},
        {"name": "cost", "mean": {"sum": "s", "count": "n"}, "margin": {"absolute": "0.04"}},
        {"name": "latency", "histogram": {"buckets": "h_bucket"}, "margin": {"absolute": "0.02"}},
        {"name": "accuracy", **ratio},
        {"name": "plain", **ratio},
    ]
    spec = spec_with(strategy={"interval": "10s", "steps": [10]}, analysis={"metrics": metrics})
    stage = Stage(spec=spec, traffic=every_kind)
    stage.history = {each["name"]: quiet_history() for each in metrics if each["name"] != "latency"}
    after(stage, 8)
    found = outlooks(stage._situation().evidence)

    assert {name: each.heading for name, each in found.items()} == dict.fromkeys(
        ("events", "cost", "latency", "accuracy", "plain"), Heading.NOT_WORSE
    )
    assert all(0 < each.needs[0].windows < 2000 for each in found.values())
    whole = {name: 8 + found[name].needs[0].windows for name in ("accuracy", "plain")}
    assert whole["accuracy"] == pytest.approx(3 * whole["plain"], rel=0.1)
