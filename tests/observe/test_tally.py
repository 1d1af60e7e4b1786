"""Counts per arm from hand-made matrices: the cases that cost somebody an incident."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from controller.api.reasons import Reason
from controller.api.spec import ArmLabels, Labels
from controller.observe import rows
from controller.observe.arms import MetricQuestion, Question, arms_of
from controller.observe.counters import Edges, Sample, Series
from controller.observe.tally import Count, Found, Tally, overshoot, summed, tally
from controller.plan.world import ArmName, Pod, Problem

NOON = datetime(2026, 8, 1, 12, tzinfo=UTC)
EDGES = Edges(start=NOON.timestamp(), end=NOON.timestamp() + 60, patience=30)
STABLE, OTHER = "fraud-7c5ddbdf54-bbcdf", "fraud-7c5ddbdf54-zzzzz"
CANDIDATE, SECOND = "fraud-v2-5d59d67564-x2x2x", "fraud-v2-5d59d67564-b2b2b"
EVERY_SCRAPE = tuple(range(-60, 61, 15))


def pod(name: str, *, ready: float | None = -3600, serves: bool = True) -> Pod:
    ready_at = None if ready is None else NOON + timedelta(seconds=ready)
    return Pod(name=name, uid=name, ready=serves, started_at=ready_at, ready_at=ready_at)


def series(target: str, samples: dict[float, float], **labels: str) -> Series:
    taken: tuple[Sample, ...] = tuple((EDGES.start + second, value) for second, value in samples.items())
    return Series({"__name__": "requests_total", "pod": target, "instance": f"{target}:80", **labels}, taken)


def steady(target: str, growth: float, *, since: float = -1000, until: float = 1000, **labels: str) -> Series:
    """A series that is scraped every 15 s and grows by ``growth`` in the window."""
    seconds = [second for second in EVERY_SCRAPE if since <= second <= until]
    return series(target, {second: 1000 + growth * second / 60 for second in seconds}, **labels)


QUESTION = Question(
    namespace="shop",
    labels=Labels(),
    metrics=(MetricQuestion("errors", "bad_total", "requests_total", allow_absent=False),),
    requests=None,
    stable_deployment="fraud",
    candidate_deployment="fraud-v2",
    stable_pods=(pod(STABLE),),
    candidate_pods=(pod(CANDIDATE),),
    warmup=timedelta(seconds=30),
    diverted_at=NOON - timedelta(seconds=600),
    weight=10,
)
HEALTHY = (steady(STABLE, 90), steady(CANDIDATE, 10))


def count(
    question: Question, *total: Series, bad: tuple[Series, ...] = (), up: tuple[Series, ...] = ()
) -> Tally | Problem:
    labels = question.metrics[0].arms
    return tally(Found(total, bad, up), arms_of(question, labels), edges=EDGES, pod_label="pod")


def counted(found: Tally | Problem) -> tuple[Count, Count]:
    assert isinstance(found, Tally), found
    return summed(found.stable), summed(found.candidate)


def refused(found: Tally | Problem, reason: Reason) -> str:
    assert isinstance(found, Problem), found
    assert found.reason is reason
    return found.message


def test_both_arms_are_counted_between_the_edges() -> None:
    assert counted(count(QUESTION, *HEALTHY)) == (Count(90), Count(10))


def test_a_bad_series_that_is_born_in_a_living_pod_counts_from_zero() -> None:
    bad = series(CANDIDATE, {30: 1, 45: 1, 60: 3}, code="500")
    assert counted(count(QUESTION, *HEALTHY, bad=(bad,))) == (Count(90), Count(10, 3))


def test_a_series_that_appears_although_its_pod_was_not_scraped_before_is_a_gap() -> None:
    message = refused(count(QUESTION, HEALTHY[0], steady(CANDIDATE, 10, since=15)), Reason.SCRAPE_GAP)
    assert CANDIDATE in message
    assert "start" in message


def test_a_second_target_of_a_counted_pod_that_appears_late_is_a_gap() -> None:
    late = steady(CANDIDATE, 10, since=15, instance="other:80")
    assert "start" in refused(count(QUESTION, *HEALTHY, late), Reason.SCRAPE_GAP)


def test_a_bad_series_of_a_target_nobody_scraped_before_is_a_gap() -> None:
    late = series(CANDIDATE, {30: 500}, instance="other:80")
    assert "its process is older" in refused(count(QUESTION, *HEALTHY, bad=(late,)), Reason.SCRAPE_GAP)


def test_a_container_that_restarts_counts_what_it_counted_before_and_after() -> None:
    reborn = series(CANDIDATE, {-15: 100, 0: 110, 15: 130, 30: 4, 45: 4, 60: 9})
    assert counted(count(QUESTION, HEALTHY[0], reborn))[1] == Count(20 + 9)


def test_one_pod_without_samples_at_an_edge_stops_the_window_and_is_named() -> None:
    question = replace(QUESTION, stable_pods=(pod(STABLE), pod(OTHER)))
    message = refused(count(question, *HEALTHY, steady(OTHER, 50, until=15)), Reason.SCRAPE_GAP)
    assert f"pod {OTHER} had last been scraped 45.0 s before at the window's end" in message
    assert "30 s" in message


def test_a_gap_in_the_middle_does_not_matter() -> None:
    holed = series(STABLE, {-15: 10, 0: 20, 60: 90})
    assert counted(count(QUESTION, holed, HEALTHY[1]))[0] == Count(70)


def test_a_sample_of_two_scrapes_age_is_just_fresh_enough() -> None:
    old = series(STABLE, {-30: 10, 30: 70})
    assert counted(count(QUESTION, old, HEALTHY[1]))[0] == Count(60)
    older = series(STABLE, {-31: 10, 30: 70})
    refused(count(QUESTION, older, HEALTHY[1]), Reason.SCRAPE_GAP)


def test_a_live_pod_that_prometheus_does_not_know_is_a_gap() -> None:
    question = replace(QUESTION, candidate_pods=(pod(CANDIDATE), pod(SECOND)))
    assert f"no sample of pod {SECOND}" in refused(count(question, *HEALTHY), Reason.SCRAPE_GAP)


def test_a_pod_that_was_scraped_but_has_no_counter_yet_had_no_request() -> None:
    up = series(CANDIDATE, dict.fromkeys(EVERY_SCRAPE, 1.0))
    assert counted(count(QUESTION, HEALTHY[0], up=(up,))) == (Count(90), Count(0))


def test_a_pod_of_which_every_scrape_failed_is_a_gap() -> None:
    up = series(CANDIDATE, {})
    assert CANDIDATE in refused(count(QUESTION, HEALTHY[0], up=(up,)), Reason.SCRAPE_GAP)


def test_a_sidecar_that_is_scraped_does_not_speak_for_the_model_server() -> None:
    sidecar = series(CANDIDATE, dict.fromkeys(EVERY_SCRAPE, 1.0), instance="sidecar:15020")
    message = refused(count(QUESTION, HEALTHY[0], steady(CANDIDATE, 5, until=-15), up=(sidecar,)), Reason.SCRAPE_GAP)
    assert CANDIDATE in message


def test_the_first_request_of_a_scraped_pod_counts() -> None:
    up = series(CANDIDATE, dict.fromkeys(EVERY_SCRAPE, 1.0))
    first = series(CANDIDATE, {30: 1, 45: 1, 60: 2})
    assert counted(count(QUESTION, HEALTHY[0], first, up=(up,)))[1] == Count(2)


def test_a_dead_pod_counts_until_its_last_sample() -> None:
    dead = steady("fraud-7c5ddbdf54-d2d2d", 40, until=30)
    assert counted(count(QUESTION, *HEALTHY, dead))[0] == Count(90 + 20)


def test_a_dead_pod_that_ended_before_the_window_is_no_gap() -> None:
    assert counted(count(QUESTION, *HEALTHY, steady("fraud-7c5ddbdf54-d2d2d", 40, until=-45)))[0] == Count(90)


def test_a_dead_pod_that_was_not_seen_for_a_warm_up_before_the_window_does_not_count() -> None:
    assert counted(count(QUESTION, *HEALTHY, steady("fraud-7c5ddbdf54-d2d2d", 40, since=-15)))[0] == Count(90)


def test_a_pod_that_is_no_longer_ready_counts_but_need_not_be_there_at_the_end() -> None:
    question = replace(QUESTION, candidate_pods=(pod(CANDIDATE, serves=False),))
    assert counted(count(question, HEALTHY[0], steady(CANDIDATE, 40, until=15)))[1] == Count(10)


@pytest.mark.parametrize(
    "stranger",
    [
        "fraud-v2-5d59d67564-x2x2x",
        "fraud-v3-5d59d67564-x2x2x",
        "xfraud-7c5ddbdf54-zzzzz",
        "fraud-7c5ddbdf54-zzzzzz",
        "fraud-job-x2x2x",
        "fraud-0",
        "",
    ],
)
def test_a_deployment_never_takes_the_pods_of_another_whose_name_begins_alike(stranger: str) -> None:
    arms = arms_of(replace(QUESTION, candidate_deployment="other", candidate_pods=()), None)
    assert arms.arm({"pod": stranger}) is None


def test_the_name_of_a_live_pod_decides_before_any_pattern() -> None:
    odd = replace(QUESTION, candidate_pods=(pod("fraud-7c5ddbdf54-k2k2k"),))
    arms = arms_of(odd, None)
    assert arms.arm({"pod": "fraud-7c5ddbdf54-k2k2k"}) is ArmName.CANDIDATE
    assert arms.arm({"pod": "fraud-7c5ddbdf54-j2j2j"}) is ArmName.STABLE


def test_live_pods_with_names_of_any_form_are_asked_for_by_name() -> None:
    arms = arms_of(replace(QUESTION, candidate_pods=(pod("odd.name|.*"),)), None)
    (_, pods) = arms.matchers(*ArmName)
    assert "odd\\\\.name\\\\|\\\\.\\\\*" in pods.value
    assert STABLE not in pods.value  # the pattern finds it


class TestWarmUp:
    def test_a_pod_that_is_not_warm_at_the_start_is_left_out(self) -> None:
        question = replace(QUESTION, candidate_pods=(pod(CANDIDATE), pod(SECOND, ready=-20)))
        fresh = steady(SECOND, 60, since=-15)
        found = count(question, *HEALTHY, fresh)
        assert counted(found)[1] == Count(10)
        assert isinstance(found, Tally)
        assert list(found.candidate) == [CANDIDATE]

    def test_no_warm_pod_left_skips_the_window(self) -> None:
        question = replace(QUESTION, stable_pods=(pod(STABLE, ready=-29),))
        assert "stable" in refused(count(question, *HEALTHY), Reason.WARMING_UP)

    def test_the_last_second_of_the_warm_up_decides(self) -> None:
        question = replace(QUESTION, stable_pods=(pod(STABLE, ready=-30),))
        assert counted(count(question, *HEALTHY))[0] == Count(90)

    def test_a_candidate_warms_up_only_when_it_gets_requests(self) -> None:
        question = replace(QUESTION, diverted_at=NOON - timedelta(seconds=20))
        assert "candidate" in refused(count(question, *HEALTHY), Reason.WARMING_UP)

    def test_a_dead_pod_of_the_candidate_warmed_up_no_sooner(self) -> None:
        question = replace(QUESTION, diverted_at=NOON - timedelta(seconds=20), candidate_pods=())
        assert "candidate" in refused(count(question, *HEALTHY), Reason.WARMING_UP)

    def test_a_pod_that_was_never_ready_is_not_waited_for(self) -> None:
        question = replace(QUESTION, stable_pods=(pod(STABLE), pod(OTHER, ready=None, serves=False)))
        assert counted(count(question, *HEALTHY))[0] == Count(90)

    def test_without_warm_up_a_pod_that_is_born_inside_counts_from_zero(self) -> None:
        question = replace(QUESTION, warmup=timedelta(0), candidate_pods=(pod(CANDIDATE), pod(SECOND, ready=20)))
        born = series(SECOND, {30: 7, 45: 9, 60: 12})
        assert counted(count(question, *HEALTHY, born))[1] == Count(10 + 12)

    def test_a_warm_pod_that_is_not_scraped_is_a_gap_not_a_warm_up(self) -> None:
        question = replace(QUESTION, candidate_pods=(pod(CANDIDATE), pod(SECOND, ready=-5)))
        assert CANDIDATE in refused(count(question, HEALTHY[0]), Reason.SCRAPE_GAP)


class TestLoss:
    def test_samples_that_are_no_counts_at_an_edge_are_a_gap(self) -> None:
        holed = replace(series(CANDIDATE, {-60: 5, -45: 5}), lost=7)
        up = series(CANDIDATE, dict.fromkeys(EVERY_SCRAPE, 1.0))
        message = refused(count(QUESTION, HEALTHY[0], holed, up=(up,)), Reason.SCRAPE_GAP)
        assert "7 samples" in message
        assert "NaN" in message

    def test_a_series_of_nothing_but_nan_is_a_gap_although_the_pod_was_scraped(self) -> None:
        up = series(CANDIDATE, dict.fromkeys(EVERY_SCRAPE, 1.0))
        refused(count(QUESTION, HEALTHY[0], replace(series(CANDIDATE, {}), lost=9), up=(up,)), Reason.SCRAPE_GAP)

    def test_a_nan_between_good_edges_is_only_a_lost_scrape(self) -> None:
        holed = replace(series(CANDIDATE, {0: 5, 15: 7, 60: 15}), lost=1)
        assert counted(count(QUESTION, HEALTHY[0], holed))[1] == Count(10)


class TestMoreBadThanTotal:
    def test_it_is_cut_over_the_arm_and_told(self) -> None:
        found = count(QUESTION, *HEALTHY, bad=(steady(CANDIDATE, 12),))
        assert counted(found)[1] == Count(10, 12)
        assert isinstance(found, Tally)
        assert overshoot(found.candidate) == pytest.approx(2)
        row = rows.counted(QUESTION.metrics[0], found, bad_seen=True)
        assert row.candidate is not None
        assert (row.candidate.total, row.candidate.bad, row.candidate.effective_bad) == ("10", "10", "10")
        assert row.message.startswith("candidate had 2 more bad requests than requests, which were cut")

    def test_pods_even_each_other_out(self) -> None:
        question = replace(QUESTION, candidate_pods=(pod(CANDIDATE), pod(SECOND)))
        second = steady(SECOND, 30)
        found = count(question, *HEALTHY, second, bad=(steady(CANDIDATE, 12),))
        assert counted(found)[1] == Count(40, 12)


class TestArmsByLabel:
    question = replace(
        QUESTION,
        metrics=(
            MetricQuestion(
                "errors",
                "bad_total",
                "requests_total",
                allow_absent=False,
                arms=ArmLabels(label="version", stable="1", candidate="2"),
            ),
        ),
    )

    def test_the_label_tells_the_arms_and_pods_do_not_matter(self) -> None:
        gateway = steady("gateway-1", 90, version="1"), steady("gateway-1", 10, version="2")
        stranger = steady("gateway-1", 500, version="3")
        assert counted(count(self.question, *gateway, stranger)) == (Count(90), Count(10))

    def test_the_first_series_of_an_arm_counts_from_zero_in_a_target_that_was_scraped(self) -> None:
        first = series("gateway-1", {30: 4, 45: 4, 60: 6}, version="2")
        assert counted(count(self.question, steady("gateway-1", 90, version="1"), first))[1] == Count(6)

    @pytest.mark.parametrize(("span", "edge"), [({"since": 15}, "start"), ({"until": 15}, "end")])
    def test_a_target_that_comes_or_goes_is_a_gap(self, span: dict[str, float], edge: str) -> None:
        moving = series(
            "gateway-2",
            {s: 9.0 for s in EVERY_SCRAPE if span.get("since", -99) <= s <= span.get("until", 99)},
            version="1",
        )
        message = refused(count(self.question, steady("gateway-1", 9, version="1"), moving), Reason.SCRAPE_GAP)
        assert "gateway-2:80" in message
        assert edge in message

    def test_a_target_that_ended_before_does_not_matter(self) -> None:
        old = steady("gateway-2", 9, until=-45, version="1")
        found = count(self.question, steady("gateway-1", 90, version="1"), steady("gateway-1", 9, version="2"), old)
        assert counted(found)[0] == Count(90)

    def test_the_arm_warms_up_with_its_pods(self) -> None:
        question = replace(self.question, candidate_pods=(pod(CANDIDATE, ready=-5),))
        found = count(question, steady("gateway-1", 90, version="1"), steady("gateway-1", 10, version="2"))
        assert "candidate" in refused(found, Reason.WARMING_UP)

    def test_only_the_namespace_and_the_label_narrow_the_query(self) -> None:
        namespace, label = arms_of(self.question, self.question.metrics[0].arms).matchers(*ArmName)
        assert (namespace.label, namespace.operator, namespace.value) == ("namespace", "=", '"shop"')
        assert (label.label, label.operator, label.value) == ("version", "=~", '"1|2"')
