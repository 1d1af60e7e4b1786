"""What holds a rollout although its metrics look good: wrong shares, lost metrics, different labels, a slice."""

from dataclasses import replace
from datetime import timedelta

import pytest

from controller.api.reasons import ConditionType, Phase, Reason
from controller.api.record import ArmCounts, RequestCounts, Row, SliceCounts
from controller.api.verdicts import Verdict
from controller.plan.windows import Window
from controller.plan.world import Problem
from tests.plan.stage import Requests, Stage, Traffic, row, spec_with, steady

STRATEGY = {"interval": "10s", "steps": [10, 25, 50]}
STICKY = {"gateway": {"httpRoute": "route"}, "sessions": "Sticky"}
SERVICE = {"service": {"name": "model"}}


def share(factor: float, *, total: int = 1000, since: int = 0) -> Requests:
    """The candidate gets ``factor`` times its share of the requests, from window number ``since`` on."""

    def requests(window: Window, weight: int) -> RequestCounts:
        candidate = round(total * weight / 100 * (factor if window.number >= since else 1.0))
        # One request more or less, so that no window is like the other.
        candidate += window.number % 3 - 1
        return RequestCounts(stable=str(total - candidate), candidate=str(candidate), weight=str(weight))

    return requests


def state(stage: Stage) -> tuple[Phase | None, Reason | None]:
    return stage.status.phase, stage.status.reason


def validity(stage: Stage) -> str | None:
    assert stage.status.analysis is not None
    return stage.status.analysis.validity


def warnings(stage: Stage, reason: Reason) -> list[str]:
    return [each.message for each in stage.announcements if each.reason is reason and each.kind == "Warning"]


def test_right_shares_are_nothing_to_speak_of() -> None:
    stage = Stage(requests=share(1.0)).run()
    assert stage.weights == [10, 25, 50, 100]


@pytest.mark.parametrize("traffic", [{"gateway": {"httpRoute": "route"}}, STICKY])
def test_wrong_shares_hold_the_weight_and_say_why_with_numbers(traffic: dict[str, object]) -> None:
    spec = spec_with(traffic=traffic, strategy=STRATEGY | {"minWindows": 10})
    stage = Stage(spec=spec, requests=share(1.48)).run(60)
    assert stage.weights == [10]
    assert state(stage) == (Phase.PROGRESSING, Reason.SAMPLE_RATIO_MISMATCH)
    assert "the candidate got 14.8% of " in stage.status.message
    assert "instead of 10.0%" in stage.status.message
    assert "look at the route" in stage.status.message
    assert stage.status.analysis is not None
    assert stage.status.analysis.verdict is Verdict.INVALID
    assert "14.8%" in (validity(stage) or "")
    available = stage.status.condition(ConditionType.DATA_AVAILABLE)
    assert available is not None
    assert (available.status, available.reason) == ("False", Reason.SAMPLE_RATIO_MISMATCH)
    assert len(warnings(stage, Reason.SAMPLE_RATIO_MISMATCH)) == 1


def test_doubt_is_told_once_although_prometheus_is_away_for_a_while() -> None:
    stage = Stage(requests=share(1.5)).run(until=lambda s: s.status.reason is Reason.SAMPLE_RATIO_MISMATCH)
    stage.source_problem = Problem(Reason.PROMETHEUS_UNREACHABLE, "no answer")
    stage.run(10)
    assert state(stage) == (Phase.PROGRESSING, Reason.SAMPLE_RATIO_MISMATCH)
    assert "windows wait: no answer" in stage.status.message
    stage.source_problem = None
    stage.run(10)
    assert "windows wait" not in stage.status.message
    assert len(warnings(stage, Reason.SAMPLE_RATIO_MISMATCH)) == 1


def test_service_spreads_connections_so_its_shares_are_only_told() -> None:
    spec = spec_with(traffic=SERVICE, strategy=STRATEGY | {"minWindows": 10})
    stage = Stage(spec=spec, requests=share(1.48)).run(200, until=lambda s: s.status.traffic.applied_weight == 25)
    assert stage.weights == [10, 25]
    assert (validity(stage) or "").startswith("Valid, but the candidate got 14.8%")
    assert stage.run().weights == [10, 25, 50, 100]


def test_wrong_shares_roll_nothing_back_until_they_are_right() -> None:
    """The evidence is there all the time, and counts when it may."""
    stage = Stage(traffic=steady(0.08, 0.18), requests=share(1.5)).run(60)
    assert stage.weights == [10]
    assert state(stage) == (Phase.PROGRESSING, Reason.SAMPLE_RATIO_MISMATCH)
    stage.requests = share(0.9)
    stage.run(200)
    assert stage.status.phase is Phase.ROLLED_BACK
    assert [each.reason for each in stage.status.rejected] == [Reason.JUDGED_WORSE]


def test_red_flags_act_on_a_comparison_that_is_invalid() -> None:
    stage = Stage(requests=share(1.5)).run(until=lambda s: s.status.reason is Reason.SAMPLE_RATIO_MISMATCH)
    stage.traffic = steady(0.08, 1.0)
    stage.run(20)
    assert stage.status.phase is Phase.ROLLED_BACK
    assert stage.status.red_flags[0].reason is Reason.ALL_REQUESTS_BAD


def test_wrong_shares_take_back_an_approval_that_was_asked_for() -> None:
    stage = Stage(spec=spec_with(strategy=STRATEGY | {"approval": "Manual"}), requests=share(1.0))
    stage.run(until=lambda s: s.status.phase is Phase.AWAITING_APPROVAL)
    stage.requests = share(1.6)
    stage.run(60)
    assert state(stage) == (Phase.PROGRESSING, Reason.SAMPLE_RATIO_MISMATCH)
    assert stage.weights[-1] == 50


@pytest.mark.parametrize(
    ("policy", "weight", "phase"),
    [("Promote", 10, Phase.STALLED), ("Hold", 10, Phase.STALLED), ("Withdraw", 0, Phase.ROLLED_BACK)],
)
def test_deadline_of_an_invalid_comparison_promotes_nothing(policy: str, weight: int, phase: Phase) -> None:
    strategy = STRATEGY | {"deadline": "5m", "onUndecided": policy}
    stage = Stage(spec=spec_with(strategy=strategy), requests=share(1.5)).run(200)
    assert stage.weights[-1] == weight
    assert stage.status.phase is phase
    if phase is Phase.STALLED:
        assert stage.status.reason is Reason.DEADLINE_PASSED
        assert "the candidate got 15.0% of" in stage.status.message


def lost(since: int) -> Traffic:
    """The candidate no longer exports the metric from that window on."""

    def traffic(window: Window, weight: int) -> tuple[Row, ...]:
        if window.number < since:
            return steady(0.08, 0.08)(window, weight)
        return (Row(metric="accuracy", skipped=Reason.METRIC_LOST, message="no series of all_total"),)

    return traffic


def test_metric_that_the_candidate_lost_holds_the_weight() -> None:
    spec = spec_with(strategy=STRATEGY | {"steps": [50], "minRequests": 100_000})
    stage = Stage(spec=spec, traffic=lost(since=5))
    stage.run(until=lambda s: s.status.window.number == 7)
    assert stage.status.analysis is not None
    assert stage.status.analysis.verdict is not Verdict.INVALID
    stage.run(until=lambda s: s.status.window.number == 8)
    assert state(stage) == (Phase.PROGRESSING, Reason.METRIC_LOST)
    metric = stage.status.analysis.metrics[0]
    assert metric.state is Reason.METRIC_LOST
    assert stage.status.analysis is not None
    assert stage.status.analysis.metrics[0].verdict is Verdict.INVALID
    assert "for 3 windows" in stage.status.message
    assert 100 not in stage.weights


def test_metric_that_comes_back_is_found_again() -> None:
    stage = Stage(traffic=lost(since=1)).run(until=lambda s: s.status.reason is Reason.METRIC_LOST)
    stage.traffic = steady(0.08, 0.08)
    stage.run()
    assert stage.weights == [10, 25, 50, 100]


def sliced(bad_slice: float) -> Traffic:
    """Nine of ten requests are equally good; of the tenth part the candidate fails ``bad_slice``."""

    def traffic(window: Window, weight: int) -> tuple[Row, ...]:
        parts = {"de": (0.9, 0.08), "fr": (0.1, bad_slice)}
        whole = steady(0.08, 0.08)(window, weight)[0]
        slices = tuple(_part(value, size, rate, weight) for value, (size, rate) in parts.items())
        return (whole.model_copy(update={"slices": slices}),)

    return traffic


def _part(value: str, size: float, rate: float, weight: int) -> SliceCounts:
    candidate = 1000 * size * weight / 100
    stable = 1000 * size - candidate
    return SliceCounts(label="country", value=value, stable=_counts(stable, 0.08), candidate=_counts(candidate, rate))


def _counts(total: float, rate: float) -> ArmCounts:
    return ArmCounts(total=f"{round(total)}", bad=f"{round(round(total) * rate)}")


def test_slice_that_is_worse_keeps_the_candidate_from_promotion_and_is_named() -> None:
    stage = Stage(traffic=sliced(0.6)).run(200)
    assert 100 not in stage.weights
    assert 0 not in stage.weights
    assert state(stage) == (Phase.PROGRESSING, Reason.SLICE_WORSE)
    assert "accuracy is worse where country is 'fr'" in stage.status.message
    assert stage.status.analysis is not None
    assert stage.status.analysis.verdict is Verdict.UNDECIDED
    assert stage.status.analysis.validity is None
    metric = stage.status.analysis.metrics[0]
    assert [(each.label, each.value) for each in metric.slices] == [("country", "fr")]
    assert metric.state is Reason.SLICE_WORSE
    assert len(warnings(stage, Reason.SLICE_WORSE)) == 1


def test_slices_that_are_alike_promote() -> None:
    assert Stage(traffic=sliced(0.08)).run().weights == [10, 25, 50, 100]


def test_what_a_window_says_about_its_slices_is_in_status() -> None:
    said = "TooManyValues: country has 25 values"

    def traffic(window: Window, weight: int) -> tuple[Row, ...]:
        return tuple(each.model_copy(update={"message": said}) for each in sliced(0.08)(window, weight))

    stage = Stage(traffic=traffic).run()
    assert stage.status.analysis is not None
    metric = stage.status.analysis.metrics[0]
    assert metric.state is Reason.COUNTED
    assert metric.note is not None
    assert metric.note.endswith(said)
    assert stage.weights == [10, 25, 50, 100]


def labelled(candidate: float, stable: float = 0.9) -> Traffic:
    """Labels for those shares of each arm's requests."""

    def traffic(_: Window, weight: int) -> tuple[Row, ...]:
        served = 1000 * weight / 100
        whole = row(
            (round((1000 - served) * stable), round((1000 - served) * stable * 0.08)),
            (round(served * candidate), round(served * candidate * 0.08)),
        )
        assert whole.stable is not None
        assert whole.candidate is not None
        return (replace_counts(whole, stable=1000 - served, candidate=served),)

    return traffic


def replace_counts(whole: Row, *, stable: float, candidate: float) -> Row:
    assert whole.stable is not None
    assert whole.candidate is not None
    return whole.model_copy(
        update={
            "stable": whole.stable.model_copy(update={"requests": f"{stable:.0f}"}),
            "candidate": whole.candidate.model_copy(update={"requests": f"{candidate:.0f}"}),
        }
    )


def test_labels_for_different_shares_of_the_requests_hold_the_weight() -> None:
    stage = Stage(traffic=labelled(0.45)).run(60)
    assert stage.weights == [10]
    assert state(stage) == (Phase.PROGRESSING, Reason.LABELS_DIFFER)
    assert "labels for 45.0% of the candidate's" in stage.status.message
    assert "90.0% of stable's" in stage.status.message
    assert "labelDelay" in stage.status.message
    assert "windows later than stable's" in stage.status.message


def test_labels_for_the_same_share_of_the_requests_promote_and_are_noted() -> None:
    stage = Stage(traffic=labelled(0.9)).run(until=lambda s: s.status.window.number == 3)
    assert stage.status.analysis is not None
    assert "labels for 90.0% of the candidate's" in (stage.status.analysis.metrics[0].note or "")
    stage.run()
    assert stage.weights == [10, 25, 50, 100]


def test_stall_of_a_pod_says_more_than_shares() -> None:
    """What protects users and what a person must mend come before; the comparison's doubt is told in status."""
    stage = Stage(requests=share(1.5)).run(until=lambda s: s.status.reason is Reason.SAMPLE_RATIO_MISMATCH)
    stage.deployments["v2"] = replace(stage.deployments["v2"], ready=0)
    stage.run(5)
    assert stage.weights == [10, 0]
    assert stage.status.phase is Phase.ROLLED_BACK


DELAYED = {
    "name": "accuracy",
    "ratio": {"bad": "bad_total", "total": "all_total"},
    "margin": {"absolute": "0.02"},
    "allowAbsent": True,
    "labelDelay": "10m",
    "cohort": "made",
}


def ripening(every: int) -> Traffic:
    """Labels become ripe in one of so many windows."""

    def traffic(window: Window, weight: int) -> tuple[Row, ...]:
        if window.number % every != every - 1:
            return (Row(metric="accuracy", skipped=Reason.LABELS_IMMATURE, message="they are judged at 12:00:00"),)
        return steady(0.08, 0.08, requests=10_000)(window, weight)

    return traffic


def test_waiting_for_labels_is_no_silence() -> None:
    strategy = STRATEGY | {"dataTimeout": "5m", "minWindows": 1}
    stage = Stage(spec=spec_with(strategy=strategy, analysis={"metrics": [DELAYED]}), traffic=ripening(60))
    stage.run(50)
    assert state(stage) == (Phase.PROGRESSING, Reason.GATHERING_EVIDENCE)
    assert "accuracy: LabelsImmature" in stage.status.message
    assert stage.run(500).weights == [10, 25, 50, 100]


def test_labels_that_never_come_end_in_the_time_out() -> None:
    """Thirty minutes for a cohort that begins after the change to become ripe, and five more."""
    strategy = STRATEGY | {"dataTimeout": "5m"}
    stage = Stage(spec=spec_with(strategy=strategy, analysis={"metrics": [DELAYED]}), traffic=ripening(10_000))
    stage.run(500, until=lambda s: s.status.phase is Phase.STALLED)
    assert state(stage) == (Phase.STALLED, Reason.DATA_TIMED_OUT)
    assert stage.now - (stage.status.traffic.applied_at or stage.now) >= timedelta(minutes=35)


def test_cohort_that_is_shorter_than_a_window_is_refused_in_words() -> None:
    strategy = STRATEGY | {"interval": "20m", "dataTimeout": "1h"}
    stage = Stage(spec=spec_with(strategy=strategy, analysis={"metrics": [DELAYED]})).run(5)
    accepted = stage.status.condition(ConditionType.SPEC_ACCEPTED)
    assert accepted is not None
    assert (accepted.status, accepted.reason) == ("False", Reason.INVALID_SPEC)
    assert "labelDelay 10m" in accepted.message
