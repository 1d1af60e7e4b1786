"""What tells whether the arms can be compared, read over real HTTP from counters that are functions of time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from controller.api.reasons import Reason
from controller.api.record import MOST_SLICES, RecordedWindow
from controller.api.spec import Labels
from controller.observe.evidence import MetricQuestion, PrometheusEvidence, Question
from controller.observe.labels import COHORTS, Cohort, ripening
from controller.observe.prometheus import PrometheusServer
from controller.plan.windows import Window
from controller.plan.world import Pod
from tests.controlplane.course.counters import Counters, Traffic

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
"""A whole number of minutes since the Unix epoch, as every minute is."""
SCRAPE = timedelta(seconds=5)
STABLE, CANDIDATE = "fraud-5d8f9c-bbbbb", "fraud-v2-5d8f9c-ccccc"

Growth = Callable[[float], float]
"""A counter's value at a number of seconds since noon."""


@dataclass
class Script:
    """Series that a test writes down; has what ``Counters`` wants of a traffic."""

    began: float = field(default_factory=(NOON - timedelta(hours=1)).timestamp)
    written: list[tuple[dict[str, str], Growth]] = field(default_factory=list)

    def series(self) -> Iterator[tuple[dict[str, str], Growth]]:
        return iter(self.written)

    def write(self, pod: str, name: str, growth: Growth, **labels: str) -> None:
        target = {"namespace": "shop", "pod": pod, "job": "pods", "instance": pod}
        noon = NOON.timestamp()
        self.written.append(({"__name__": name, **labels, **target}, lambda moment: growth(moment - noon)))


@pytest.fixture
def script() -> Script:
    script = Script()
    for pod in (STABLE, CANDIDATE):
        script.write(pod, "up", lambda _: 1.0)
    return script


@pytest.fixture
def evidence(script: Script) -> Iterator[PrometheusEvidence]:
    server = Counters(cast("Traffic", script))
    try:
        yield PrometheusEvidence(PrometheusServer("default", server.url, SCRAPE, settle=timedelta(0)))
    finally:
        server.end()


def steadily(per_second: float) -> Growth:
    return lambda seconds: 100_000 + per_second * seconds


ERRORS = MetricQuestion("errors", 'requests_total{code="500"}', "requests_total", allow_absent=True)
ACCURACY = MetricQuestion("accuracy", 'feedback_total{result="wrong"}', "feedback_total", allow_absent=True)


def question(*metrics: MetricQuestion, **changes: Any) -> Question:
    return replace(
        Question(
            namespace="shop",
            labels=Labels(),
            metrics=metrics,
            requests=None,
            stable_deployment="fraud",
            candidate_deployment="fraud-v2",
            stable_pods=(pod(STABLE),),
            candidate_pods=(pod(CANDIDATE),),
            warmup=timedelta(0),
            diverted_at=NOON - timedelta(minutes=30),
            weight=10,
            applied_at=NOON - timedelta(minutes=30),
        ),
        **changes,
    )


def pod(name: str, ready: datetime = NOON - timedelta(hours=1)) -> Pod:
    return Pod(name=name, uid=name, ready=True, started_at=ready, ready_at=ready)


def asked(evidence: PrometheusEvidence, question: Question, *, after: timedelta = timedelta(0)) -> RecordedWindow:
    start = NOON + after
    end = start + timedelta(seconds=30)
    return evidence.window(Window(transition=1, number=3, start=start, end=end, due=end), question)


def serve(script: Script, *, stable: float = 90.0, candidate: float = 10.0) -> None:
    script.write(STABLE, "requests_total", steadily(stable), code="200")
    script.write(CANDIDATE, "requests_total", steadily(candidate), code="200")


def test_all_requests_are_recorded_with_the_weight_that_was_meant(script: Script, evidence: PrometheusEvidence) -> None:
    serve(script, candidate=12.0)
    found = asked(evidence, question(ERRORS))
    assert found.requests is not None
    assert (found.requests.stable, found.requests.candidate, found.requests.weight) == ("2700", "360", "10")
    assert found.observed_weight == "11.8"
    reached = asked(evidence, question(ERRORS, reachable=25.0)).requests
    assert reached is not None
    assert reached.weight == "25"


def test_requests_of_pods_that_warm_up_are_requests(script: Script, evidence: PrometheusEvidence) -> None:
    serve(script)
    warming = question(ERRORS, warmup=timedelta(hours=2))
    found = asked(evidence, warming)
    assert found.rows[0].skipped is Reason.WARMING_UP
    assert found.requests is not None
    assert found.requests.candidate == "300"


def test_requests_are_counted_by_a_metric_that_counts_them(script: Script, evidence: PrometheusEvidence) -> None:
    serve(script)
    labels = replace(ACCURACY, label_delay=timedelta(minutes=10))
    found = asked(evidence, question(labels, ERRORS))
    assert found.requests is not None
    assert found.requests.stable == "2700"


def test_metric_that_only_stable_exports_is_lost_while_the_candidate_serves(
    script: Script, evidence: PrometheusEvidence
) -> None:
    serve(script)
    script.write(STABLE, "feedback_total", steadily(50), result="right")
    row = asked(evidence, question(ERRORS, ACCURACY)).rows[1]
    assert row.skipped is Reason.METRIC_LOST
    assert "the candidate served 300 requests and has no series of feedback_total" in row.message


def test_metric_that_only_stable_exports_is_not_lost_while_the_candidate_serves_nobody(
    script: Script, evidence: PrometheusEvidence
) -> None:
    serve(script, candidate=0.0)
    script.write(STABLE, "feedback_total", steadily(50), result="right")
    assert asked(evidence, question(ERRORS, ACCURACY)).rows[1].skipped is Reason.NO_CANDIDATE_TRAFFIC


def test_metric_that_stands_still_is_not_lost_and_says_that_requests_were_served(
    script: Script, evidence: PrometheusEvidence
) -> None:
    serve(script)
    script.write(STABLE, "feedback_total", steadily(50), result="right")
    script.write(CANDIDATE, "feedback_total", steadily(0), result="right")
    row = asked(evidence, question(ERRORS, ACCURACY)).rows[1]
    assert row.skipped is Reason.NO_CANDIDATE_TRAFFIC
    assert "the candidate served 300 requests, of which this metric counted none" in row.message
    assert row.candidate is not None
    assert (row.candidate.total, row.candidate.requests) == ("0", "300")


def test_slices_are_counted_by_the_label_and_those_without_it_left_out(
    script: Script, evidence: PrometheusEvidence
) -> None:
    for value, per_second in (("de", 60.0), ("fr", 20.0), ("", 10.0)):
        for name in (STABLE, CANDIDATE):
            script.write(name, "requests_total", steadily(per_second), code="200", country=value)
            script.write(name, "requests_total", steadily(per_second / 10), code="500", country=value)
    row = asked(evidence, question(replace(ERRORS, slices=("country",)))).rows[0]
    found = [(each.value, each.stable.total, each.stable.bad, each.candidate.total) for each in row.slices]
    assert found == [("de", "1980", "180", "1980"), ("fr", "660", "60", "660")]
    assert row.stable is not None
    assert row.stable.total == "2970"


def test_more_values_than_places_are_counted_together(script: Script, evidence: PrometheusEvidence) -> None:
    for number in range(MOST_SLICES + 5):
        for name in (STABLE, CANDIDATE):
            script.write(name, "requests_total", steadily(number + 1), code="200", country=f"c{number:02d}")
    row = asked(evidence, question(replace(ERRORS, slices=("country",)))).rows[0]
    assert len(row.slices) == MOST_SLICES
    assert [each.value for each in row.slices][:2] == ["c24", "c23"]
    assert row.slices[-1].value == "other"
    assert row.slices[-1].stable.total == str(30 * sum(range(1, 7)))
    assert "TooManyValues: country has 25 values" in row.message


def test_label_that_no_series_has_tells_no_slices(script: Script, evidence: PrometheusEvidence) -> None:
    serve(script)
    row = asked(evidence, question(replace(ERRORS, slices=("country",)))).rows[0]
    assert row.slices == ()
    assert "has the label country" in row.message


def test_labels_are_set_against_requests(script: Script, evidence: PrometheusEvidence) -> None:
    serve(script)
    script.write(STABLE, "feedback_total", steadily(45), result="right")
    script.write(CANDIDATE, "feedback_total", steadily(2), result="right")
    row = asked(evidence, question(ERRORS, ACCURACY)).rows[1]
    assert row.stable is not None
    assert row.candidate is not None
    assert (row.stable.total, row.stable.requests) == ("1350", "2700")
    assert (row.candidate.total, row.candidate.requests) == ("60", "300")


def test_first_window_of_a_weight_has_labels_of_the_one_before(script: Script, evidence: PrometheusEvidence) -> None:
    serve(script)
    script.write(STABLE, "feedback_total", steadily(45), result="right")
    script.write(CANDIDATE, "feedback_total", steadily(2), result="right")
    row = asked(evidence, question(ERRORS, ACCURACY, applied_at=NOON - timedelta(seconds=10))).rows[1]
    assert row.skipped is None
    assert row.candidate is not None
    assert row.candidate.requests is None


def test_labels_that_come_late_are_not_compared_before_both_arms_are_equally_old(
    script: Script, evidence: PrometheusEvidence
) -> None:
    serve(script)
    for name in (STABLE, CANDIDATE):
        script.write(name, "feedback_total", steadily(5), result="right")
    late = replace(ACCURACY, label_delay=timedelta(minutes=10))
    early = question(ERRORS, late, applied_at=NOON - timedelta(minutes=4))
    row = asked(evidence, early).rows[1]
    assert row.skipped is Reason.LABELS_IMMATURE
    assert "until 12:06:00" in row.message
    assert asked(evidence, early, after=timedelta(minutes=6)).rows[1].skipped is None


SLOW = replace(ACCURACY, label_lag=timedelta(minutes=3))
"""History says that labels take three minutes."""


def test_coverage_waits_for_what_history_says_labels_take(script: Script, evidence: PrometheusEvidence) -> None:
    serve(script)
    script.write(STABLE, "feedback_total", steadily(45), result="right")
    script.write(CANDIDATE, "feedback_total", steadily(2), result="right")
    changed = NOON - timedelta(minutes=2)
    row = asked(evidence, question(ERRORS, SLOW, applied_at=changed)).rows[1]
    assert row.skipped is None
    assert row.labels_mature == changed + timedelta(minutes=3)
    assert row.candidate is not None
    assert (row.candidate.total, row.candidate.requests) == ("60", None)
    later = asked(evidence, question(ERRORS, SLOW, applied_at=changed), after=timedelta(minutes=1)).rows[1]
    assert later.labels_mature is None
    assert later.candidate is not None
    assert later.candidate.requests == "300"


@pytest.mark.parametrize("exported", [True, False])
def test_candidate_without_a_label_yet_is_no_silence(
    script: Script, evidence: PrometheusEvidence, *, exported: bool
) -> None:
    serve(script)
    script.write(STABLE, "feedback_total", steadily(45), result="right")
    if exported:
        script.write(CANDIDATE, "feedback_total", steadily(0), result="right")
    young = question(ERRORS, SLOW, applied_at=NOON - timedelta(minutes=1))
    row = asked(evidence, young).rows[1]
    assert row.skipped is Reason.LABELS_IMMATURE
    assert "labels take up to 3m, so that the candidate's may come until 12:02:00" in row.message
    after = asked(evidence, young, after=timedelta(minutes=3)).rows[1]
    assert after.skipped is (Reason.NO_CANDIDATE_TRAFFIC if exported else Reason.METRIC_LOST)


def test_label_delay_that_is_too_short_does_not_make_coverage_differ(
    script: Script, evidence: PrometheusEvidence
) -> None:
    serve(script)
    for name in (STABLE, CANDIDATE):
        script.write(name, "feedback_total", steadily(5), result="right")
    short = replace(SLOW, label_delay=timedelta(minutes=1))
    row = asked(evidence, question(ERRORS, short, applied_at=NOON - timedelta(minutes=2))).rows[1]
    assert row.skipped is None
    assert row.labels_mature == NOON + timedelta(minutes=1)


MINUTE = timedelta(minutes=1)
BY_COHORT = replace(ACCURACY, label_delay=MINUTE, cohort="made")


def labels_of(cohort: Cohort, amount: float) -> Growth:
    """All labels of a cohort come evenly until it is ripe, and as many again come too late."""
    begin, ripe = (cohort.start - NOON).total_seconds(), (cohort.ripe - NOON).total_seconds()

    def growth(seconds: float) -> float:
        in_time = amount * min(max(0.0, seconds - begin) / (ripe - begin), 1.0)
        return 1000 + in_time + (amount if seconds > ripe + 5 else 0.0)

    return growth


def minute(number: int) -> Cohort:
    """The cohort that begins so many minutes after noon."""
    return Cohort(int(NOON.timestamp()) // 60 + number, MINUTE)


def test_cohorts_follow_each_other_and_each_becomes_ripe_once() -> None:
    starts = [NOON + number * timedelta(seconds=25) for number in range(40)]
    found = [ripening(start, start + timedelta(seconds=25), length=MINUTE) for start in starts]
    ripe = [each for each in found if each is not None]
    assert [each.number for each in ripe] == list(range(ripe[0].number, ripe[0].number + len(ripe)))
    assert all(each.ripe == each.start + 2 * MINUTE for each in ripe)
    assert {each.value for each in ripe} == {str(value) for value in range(COHORTS)}


def test_window_in_which_a_cohort_becomes_ripe_holds_its_labels_of_equal_age(
    script: Script, evidence: PrometheusEvidence
) -> None:
    serve(script)
    for name, amount in ((STABLE, 600.0), (CANDIDATE, 60.0)):
        for number in (-2, -1, 0):
            cohort = minute(number)
            script.write(name, "feedback_total", labels_of(cohort, amount), result="right", made=cohort.value)
            script.write(name, "feedback_total", labels_of(cohort, amount / 4), result="wrong", made=cohort.value)
    # Windows of 30 s that do not begin at full minutes; the cohort of 11:59 is ripe at 12:01.
    rows = [
        asked(evidence, question(ERRORS, BY_COHORT), after=timedelta(seconds=seconds)).rows[1] for seconds in (20, 50)
    ]
    assert rows[0].skipped is Reason.LABELS_IMMATURE
    assert "from 11:59:00 to 12:00:00; they are judged at 12:01:00" in rows[0].message
    stable, candidate = rows[1].stable, rows[1].candidate
    assert stable is not None
    assert candidate is not None
    assert (stable.total, stable.bad, stable.requests) == ("750", "150", "5400")
    assert (candidate.total, candidate.bad, candidate.requests) == ("75", "15", "600")
    assert f'made="{minute(-1).value}": requests from 11:59:00 to 12:00:00' in rows[1].message


def test_cohort_that_began_before_the_weight_changed_is_left_out(script: Script, evidence: PrometheusEvidence) -> None:
    serve(script)
    for name in (STABLE, CANDIDATE):
        for number in (-1, 0):
            cohort = minute(number)
            script.write(name, "feedback_total", labels_of(cohort, 100), result="right", made=cohort.value)
    changed = question(ERRORS, BY_COHORT, applied_at=NOON - timedelta(seconds=10))
    row = asked(evidence, changed, after=timedelta(seconds=45)).rows[1]
    assert row.skipped is Reason.LABELS_IMMATURE
    assert "from 12:00:00 to 12:01:00; they are judged at 12:02:00" in row.message
    assert asked(evidence, changed, after=timedelta(seconds=105)).rows[1].skipped is None
