"""Evidence against a real Prometheus that scrapes real exporters.

One story is told once: requests are counted, a pod dies, Prometheus itself is down for a while. The tests then ask
for the windows of that story, as an operator does that comes back after an outage.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest

from controller.api.reasons import Reason
from controller.api.record import Row
from controller.api.spec import ArmLabels, Labels
from controller.observe import history
from controller.observe.evidence import MetricQuestion, PrometheusEvidence, Question
from controller.observe.prometheus import PrometheusServer, SourceError
from controller.plan.calibration import StableHistory
from controller.plan.windows import Window
from controller.plan.world import Pod
from tests.observe.conftest import Exporter, PrometheusProcess, now, wait_until
from tests.observe.faulty import body, faulty_server, matrix

STABLE = ("fraud-7c5ddbdf54-bbbbb", "fraud-7c5ddbdf54-ccccc")
CANDIDATE = ("fraud-v2-5d59d67564-x2x2x",)
SCRAPE = timedelta(seconds=1.5)
"""What the operator is told; Prometheus really scrapes twice a second, so that a busy machine may be late."""

ACCURACY = MetricQuestion(
    "accuracy", 'mlr_feedback_total{result="incorrect"}', "mlr_feedback_total", allow_absent=False
)
ERRORS = MetricQuestion("errors", 'mlr_requests_total{outcome="server_error"}', "mlr_requests_total", allow_absent=True)


@dataclass(frozen=True)
class Story:
    """The edges of the windows of the story, and a port to ask about them."""

    server: PrometheusServer
    beginning: datetime
    traffic: tuple[datetime, datetime]
    quiet: tuple[datetime, datetime]
    one_arm: tuple[datetime, datetime]
    death: tuple[datetime, datetime]
    outage: tuple[datetime, datetime]
    revival: tuple[datetime, datetime]

    def ask(self, edges: tuple[datetime, datetime], question: Question, *, metric: int = 0) -> Row:
        """Return the row of one metric in a window."""
        return self.evidence().window(self.window(edges), question).rows[metric]

    def window(self, edges: tuple[datetime, datetime]) -> Window:
        """Return a window with those edges."""
        return Window(transition=3, number=7, start=edges[0], end=edges[1], due=edges[1])

    def evidence(self) -> PrometheusEvidence:
        """Return a source without memory of what was asked before."""
        return PrometheusEvidence(self.server)


def _all_scraped(prometheus: PrometheusProcess, *, alive: int) -> None:
    """Wait until every pod was scraped anew, so that an edge that is taken then has all that happened before it."""
    begin = time.time()
    query = f"count((timestamp(up) > {begin}) and (up == 1))"
    wait_until(lambda: prometheus.value(query) == alive, lambda: f"not all of the {alive} pods are scraped")


def _edge(prometheus: PrometheusProcess, *, alive: int) -> datetime:
    _all_scraped(prometheus, alive=alive)
    return now()


@pytest.fixture(scope="module")
def story(prometheus: PrometheusProcess) -> Story:
    """Tell the story; every number below comes back in a test."""
    one, two = (Exporter(pod, model="1") for pod in STABLE)
    (candidate,) = (Exporter(pod, model="2") for pod in CANDIDATE)
    victim = Exporter(STABLE[0], namespace="victim", model="1")
    neighbour = Exporter("fraud-v3-5d59d67564-x2x2x", model="1")
    exporters = [one, two, candidate, victim, neighbour]
    prometheus.exporters += exporters
    prometheus.discover()
    for exporter in exporters:
        exporter.serve(good=1000)
    beginning = now()
    _all_scraped(prometheus, alive=5)
    first = _edge(prometheus, alive=5)
    one.serve(good=40, wrong=4)
    two.serve(good=40, wrong=4, broken=2)
    candidate.serve(good=9, wrong=2, broken=1)
    victim.serve(good=5000, wrong=5000)
    neighbour.serve(good=500, wrong=500)
    second = _edge(prometheus, alive=5)
    third = _edge(prometheus, alive=5)
    one.serve(good=20)
    fourth = _edge(prometheus, alive=5)
    two.serve(good=30)
    _all_scraped(prometheus, alive=5)
    two.end()
    time.sleep(3 * SCRAPE.total_seconds())
    fifth = _edge(prometheus, alive=4)
    prometheus.stop()
    time.sleep(5 * SCRAPE.total_seconds())
    down = now() - SCRAPE, now()
    prometheus.start()
    revived = _edge(prometheus, alive=4), _edge(prometheus, alive=4)
    server = PrometheusServer("default", prometheus.url, SCRAPE, settle=timedelta(0))
    quiet, one_arm, death = (second, third), (third, fourth), (fourth, fifth)
    return Story(server, beginning, (first, second), quiet, one_arm, death, outage=down, revival=revived)


@pytest.fixture
def question(story: Story) -> Question:
    return Question(
        namespace="shop",
        labels=Labels(),
        metrics=(ACCURACY, ERRORS),
        requests="mlr_requests_total",
        stable_deployment="fraud",
        candidate_deployment="fraud-v2",
        stable_pods=tuple(_pod(name, story.beginning) for name in STABLE),
        candidate_pods=tuple(_pod(name, story.beginning) for name in CANDIDATE),
        warmup=timedelta(0),
        diverted_at=None,
        weight=10,
    )


def _pod(name: str, ready: datetime) -> Pod:
    return Pod(name=name, uid=name, ready=True, started_at=ready, ready_at=ready)


def numbers(row: Row) -> tuple[str, str | None, str, str | None]:
    assert row.skipped is None, row.message
    assert row.stable is not None
    assert row.candidate is not None
    assert (row.stable.effective_total, row.stable.effective_bad) == (row.stable.total, row.stable.bad)
    return row.stable.total, row.stable.bad, row.candidate.total, row.candidate.bad


def test_both_metrics_are_counted_to_the_request(story: Story, question: Question) -> None:
    """All bad series were born in the window, and other namespaces and Deployments had much more traffic."""
    recorded = story.evidence().window(story.window(story.traffic), question)
    assert recorded.key == (3, 7)
    assert recorded.weight == 10
    assert (recorded.start, recorded.end) == story.traffic
    accuracy, errors = recorded.rows
    assert numbers(accuracy) == ("88", "8", "11", "2")
    assert numbers(errors) == ("90", "2", "12", "1")
    assert accuracy.stable is not None
    assert (accuracy.stable.pods, accuracy.bad_seen, accuracy.message) == (2, True, "")
    assert recorded.observed_weight == "11.8"


def test_asked_twice_the_rows_are_the_same(story: Story, question: Question) -> None:
    once, again = (story.evidence().window(story.window(story.traffic), question) for _ in range(2))
    assert once == again


def test_a_window_without_requests_has_no_traffic_and_no_observed_weight(story: Story, question: Question) -> None:
    recorded = story.evidence().window(story.window(story.quiet), question)
    assert [row.skipped for row in recorded.rows] == [Reason.NO_TRAFFIC] * 2
    assert recorded.observed_weight is None


def test_an_arm_without_requests_is_named_and_the_other_shown(story: Story, question: Question) -> None:
    row = story.ask(story.one_arm, question)
    assert row.skipped is Reason.NO_CANDIDATE_TRAFFIC
    assert row.stable is not None
    assert row.stable.total == "20"


def test_stable_without_requests_is_named_and_the_candidate_shown(story: Story, question: Question) -> None:
    turned = replace(
        question,
        stable_deployment="fraud-v2",
        candidate_deployment="fraud",
        stable_pods=question.candidate_pods,
        candidate_pods=question.stable_pods,
    )
    row = story.ask(story.one_arm, turned)
    assert row.skipped is Reason.NO_STABLE_TRAFFIC
    assert row.candidate is not None
    assert row.candidate.total == "20"


def test_a_live_pod_that_is_not_scraped_is_a_gap_that_names_it(story: Story, question: Question) -> None:
    row = story.ask(story.death, question)
    assert row.skipped is Reason.SCRAPE_GAP
    assert STABLE[1] in row.message
    assert "at the window's end" in row.message


def test_a_dead_pod_is_counted_to_its_last_sample(story: Story, question: Question) -> None:
    survivors = replace(question, stable_pods=question.stable_pods[:1])
    row = story.ask(story.death, survivors)
    assert row.skipped is Reason.NO_CANDIDATE_TRAFFIC
    assert row.stable is not None
    assert row.stable.total == "30"


def test_while_prometheus_was_down_there_is_a_gap_and_not_no_series(story: Story, question: Question) -> None:
    row = story.ask(story.outage, question)
    assert row.skipped is Reason.SCRAPE_GAP
    assert "was it down" in row.message


def test_a_counter_that_nobody_exports_says_what_to_check(story: Story, question: Question) -> None:
    wrong = replace(question, metrics=(replace(ACCURACY, total="mlr_feedbak_total"),))
    row = story.ask(story.traffic, wrong)
    assert row.skipped is Reason.NO_SERIES
    assert "mlr_feedbak_total" in row.message
    assert "namespace shop" in row.message


def test_pods_that_are_not_yet_warm_are_waited_for(story: Story, question: Question) -> None:
    row = story.ask(story.traffic, replace(question, warmup=timedelta(minutes=5)))
    assert row.skipped is Reason.WARMING_UP


class TestBadSeriesNeverSeen:
    typo = replace(ACCURACY, bad='mlr_feedback_total{result="wrong"}')

    def test_the_counts_are_kept_and_the_row_says_so(self, story: Story, question: Question) -> None:
        row = story.ask(story.traffic, replace(question, metrics=(self.typo,)))
        assert numbers(row) == ("88", "0", "11", "0")
        assert row.bad_seen is False
        assert "no series ever matched" in row.message

    def test_a_series_that_was_seen_long_before_the_window_is_enough(self, story: Story, question: Question) -> None:
        """Of the dead pod's errors nothing is left around the window, and the living ones had none of this kind."""
        died = replace(ACCURACY, bad='mlr_requests_total{outcome="server_error",pod="' + STABLE[1] + '"}')
        row = story.ask(story.revival, replace(question, metrics=(died,), stable_pods=question.stable_pods[:1]))
        assert row.skipped is Reason.NO_TRAFFIC
        assert row.bad_seen is True

    def test_where_it_is_allowed_nothing_is_asked(self, story: Story, question: Question) -> None:
        row = story.ask(story.traffic, replace(question, metrics=(replace(self.typo, allow_absent=True),)))
        assert row.bad_seen is None
        assert row.message == ""

    def test_the_values_that_exist_are_listed(self, story: Story, question: Question) -> None:
        asked = replace(question, metrics=(self.typo,))
        found = story.evidence().label_values(asked, "accuracy", before=now())
        assert found == {"result": ("correct", "incorrect")}

    def test_of_a_counter_that_does_not_exist_the_names_that_do_are_listed(
        self, story: Story, question: Question
    ) -> None:
        asked = replace(question, metrics=(replace(ACCURACY, bad='mlr_feedbak_total{result="incorrect"}'),))
        (names,) = story.evidence().label_values(asked, "accuracy", before=now()).values()
        assert names[0] == "mlr_feedback_total"
        assert len(names) <= 10


def test_bad_that_is_no_part_of_total_is_cut_and_said(story: Story, question: Question) -> None:
    odd = replace(ACCURACY, bad="mlr_feedback_total", total='mlr_feedback_total{result="incorrect"}')
    row = story.ask(story.traffic, replace(question, metrics=(odd,)))
    assert numbers(row) == ("8", "8", "2", "2")
    assert "stable had 80 more bad requests than requests" in row.message
    assert "candidate had 9 more" in row.message


class TestArmsByLabel:
    arms = ArmLabels(label="model", stable="1", candidate="2")

    def test_the_label_tells_the_arms(self, story: Story, question: Question) -> None:
        """Also the neighbour's pod has model="1": by label it belongs to stable, the victim's namespace never does."""
        row = story.ask(story.traffic, replace(question, metrics=(replace(ACCURACY, arms=self.arms),)))
        assert numbers(row) == ("1088", "508", "11", "2")

    def test_values_are_taken_literally(self, story: Story, question: Question) -> None:
        greedy = ArmLabels(label="model", stable=".*", candidate="2")
        row = story.ask(story.traffic, replace(question, metrics=(replace(ACCURACY, arms=greedy),)))
        assert row.skipped is Reason.NO_STABLE_TRAFFIC


class TestConfinement:
    """Whoever writes a selector sees the rollout's own pods and nothing else: here a namespace with 10,000 requests."""

    @pytest.mark.parametrize(
        "selector",
        [
            'mlr_feedback_total{namespace=~".*"}',
            'mlr_feedback_total{namespace=~"shop|victim",pod=~".*"}',
            '{__name__="mlr_feedback_total",pod!="",namespace!=""}',
            'mlr_feedback_total{namespace!="nowhere",}',
            'mlr_feedback_total{instance!~"\\"} or vector(1) #"}',
        ],
    )
    def test_a_selector_can_only_be_narrowed(self, story: Story, question: Question, selector: str) -> None:
        row = story.ask(story.traffic, replace(question, metrics=(replace(ACCURACY, total=selector),)))
        assert numbers(row) == ("88", "8", "11", "2")

    @pytest.mark.parametrize("selector", ['mlr_feedback_total{namespace="victim"}', 'mlr_feedback_total{pod="other"}'])
    def test_asking_for_others_finds_nothing(self, story: Story, question: Question, selector: str) -> None:
        asked = replace(question, metrics=(replace(ACCURACY, total=selector),))
        assert story.ask(story.traffic, asked).skipped is Reason.NO_SERIES

    @pytest.mark.parametrize(
        "selector",
        [
            "mlr_feedback_total or up",
            "mlr_feedback_total[5m]",
            "sum(mlr_feedback_total)",
            'mlr_feedback_total{pod="a"} or up{pod="b"}',
            'mlr_feedback_total{pod="a"}} # ',
            "mlr_feedback_total offset 1h",
            "",
            "{}",
        ],
    )
    def test_what_is_no_plain_selector_never_reaches_prometheus(self, question: Question, selector: str) -> None:
        with faulty_server() as server:
            server.answer = body(matrix())
            source = PrometheusEvidence(PrometheusServer("x", server.url, SCRAPE, settle=SCRAPE))
            window = Window(1, 0, start=now(), end=now() + SCRAPE, due=now())
            with pytest.raises(ValueError, match="plain PromQL selector"):
                source.window(window, replace(question, metrics=(replace(ACCURACY, total=selector),)))
            assert not server.asked

    def test_the_list_of_label_values_is_confined_as_well(self, story: Story, question: Question) -> None:
        spy = replace(question, metrics=(replace(ACCURACY, bad='mlr_feedback_total{namespace="x",instance="y"}'),))
        found = story.evidence().label_values(spy, "accuracy", before=now())
        assert found["namespace"] == ("shop",)
        assert len(found["instance"]) == len(STABLE + CANDIDATE)

    def test_every_query_carries_namespace_and_pods(self, question: Question) -> None:
        with faulty_server() as server:
            server.answer = body(matrix({"metric": {"pod": STABLE[0]}, "values": [[1, "2"]]}))
            source = PrometheusEvidence(PrometheusServer("x", server.url, SCRAPE, settle=SCRAPE))
            source.window(Window(1, 0, start=now(), end=now() + SCRAPE, due=now()), question)
            queries = [form["query"][0] for path, form in server.asked if path.endswith("query")]
        assert len(queries) == len(set(queries)) == 5  # two per metric, and up; requests is one of them
        assert all('namespace="shop",pod=~"fraud' in query for query in queries)


def counted(found: Mapping[str, StableHistory]) -> dict[str, tuple[float, float]]:
    return {name: (each.total, each.amount) for name, each in found.items()}


class TestHistory:
    """More of it, on series of our making, is in ``test_history``."""

    def test_stable_is_counted_with_its_dead_pods_and_other_metrics_stay_absent(
        self, story: Story, question: Question
    ) -> None:
        """What a pod counted before its first scrape is not known to lie in the hour: the first 1,000 do not count."""
        silent = replace(ACCURACY, name="silent", total="nothing_total")
        asked = replace(
            question, metrics=(ACCURACY, ERRORS, silent), stable_pods=question.stable_pods[:1], candidate_pods=()
        )
        found = story.evidence().history(asked, before=now(), interval=SCRAPE)
        assert counted(found) == {"accuracy": (88 + 20 + 30, 8), "errors": (90 + 20 + 30, 2)}

    def test_long_histories_are_read_in_slices(
        self, story: Story, question: Question, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(history, "SLICE", timedelta(seconds=5))
        monkeypatch.setattr(history, "SHORTEST", timedelta(minutes=3))
        found = story.evidence().history(question, before=now(), interval=timedelta(seconds=1))
        assert counted(found) == {"accuracy": (138, 8), "errors": (140, 2)}

    def test_an_interval_has_each_pod(self, story: Story, question: Question) -> None:
        start, end = story.traffic
        found = story.evidence().history(question, before=end, interval=end - start)
        assert found["accuracy"].intervals[-1] == {STABLE[0]: (44, 4), STABLE[1]: (44, 4)}
        assert found["errors"].intervals[-1] == {STABLE[0]: (44, 0), STABLE[1]: (46, 2)}

    def test_before_the_story_there_is_none(self, story: Story, question: Question) -> None:
        before = story.beginning - timedelta(minutes=1)
        assert story.evidence().history(question, before=before, interval=timedelta(minutes=1)) == {}


def test_a_failure_of_any_query_leaves_the_window_pending(question: Question) -> None:
    with faulty_server() as server:
        server.answer = body("<html>", status=502)
        source = PrometheusEvidence(PrometheusServer("x", server.url, SCRAPE, settle=SCRAPE))
        with pytest.raises(SourceError):
            source.window(Window(1, 0, start=now(), end=now() + SCRAPE, due=now()), question)
        with pytest.raises(SourceError):
            source.history(question, before=now(), interval=SCRAPE)
        with pytest.raises(SourceError):
            source.label_values(question, "accuracy", before=now())
