"""The show, fed with what a real operator said and real kubectl printed in a show that was recorded."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from controller.api.reasons import Phase
from controller.api.spec import ModelRolloutSpec, Scale
from controller.api.status import ModelRolloutStatus
from controller.run.settings import parse_settings
from examples.demo.ledger import Stats, VersionStats
from examples.demo.show import report
from examples.demo.show.__main__ import parser
from examples.demo.show.figures import Compared, Weighed, short, soon
from examples.demo.show.kubectl import _Watch, statuses
from examples.demo.show.lines import Lines, describe, noise
from examples.demo.show.scene import ROLLOUT, SCENES, Moment, Scene, Users
from examples.demo.show.screen import Screen, draw
from examples.demo.show.stage import NAMESPACE
from tests.demo.conftest import ROOT
from tests.demo.test_manifests import named, render, rollout

RECORDED = Path(__file__).parent / "recorded"
WRONG, BROKEN, SLOW, GOOD = PLAYED = tuple(scene for scene in SCENES if scene.usual)
"""The scenes of one real run, which was recorded."""


def counts(requests: int, *, incorrect: int = 0, http_errors: int = 0, connection_errors: int = 0) -> VersionStats:
    ok = requests - http_errors - connection_errors
    return VersionStats(
        requests=requests,
        ok=ok,
        http_errors=http_errors,
        connection_errors=connection_errors,
        labelled=ok,
        incorrect=incorrect,
        first_failure=None,
        last_failure=None,
    )


OTHERS = report.HEADINGS[-1]

USERS = {
    "wrong": Users({"v1": counts(3600, incorrect=190), "wrong": counts(400, incorrect=66)}),
    "broken": Users({"v1": counts(2000, incorrect=110), "broken": counts(190, incorrect=7, http_errors=52)}),
    "slow": Users({"v1": counts(3000, incorrect=170), "slow": counts(330, incorrect=19)}),
    "good": Users({"v1": counts(4400, incorrect=240), "good": counts(2400, incorrect=110)}),
}


def recorded(scene: Scene) -> list[ModelRolloutStatus]:
    """Every status of a scene in its order, as `kubectl get -o json --watch` printed them."""
    with (RECORDED / f"{scene.name}.json").open() as lines:
        return list(statuses(lines))


def moments(scene: Scene) -> list[Moment]:
    users = USERS[scene.name]
    return [
        Moment(scene=scene, seconds=10.0 * place, status=status, users=users)
        for place, status in enumerate(recorded(scene))
    ]


@pytest.fixture(scope="module")
def endings() -> tuple[Moment, ...]:
    return tuple(moments(scene)[-1] for scene in PLAYED)


@pytest.mark.parametrize("scene", PLAYED, ids=lambda scene: scene.name)
def test_a_scene_ends_with_the_last_status_and_not_before(scene: Scene) -> None:
    *others, last = moments(scene)
    assert [each.ending for each in others] == [None] * len(others)
    assert last.as_expected


def test_what_is_said_about_the_scene_before_is_no_news_of_this_one() -> None:
    stale = replace(moments(WRONG)[-1], scene=BROKEN)
    assert not stale.begun
    assert stale.ending is None
    assert stale.judged == 0
    assert describe(stale) == "broken waiting for the operator to begin with digits-broken"


@pytest.mark.parametrize("scene", PLAYED, ids=lambda scene: scene.name)
def test_lines_tell_the_recorded_story(scene: Scene) -> None:
    told = [describe(moment) for moment in moments(scene)]
    assert told == (RECORDED / f"{scene.name}.lines.txt").read_text().splitlines()


def test_a_line_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    viewer = Lines()
    for moment in moments(WRONG):
        viewer.show(moment)
        viewer.show(replace(moment, seconds=moment.seconds + 1))
    printed = capsys.readouterr().out.splitlines()
    bare = [line.split(" ", 1)[1] for line in printed]
    told = dict.fromkeys(line for moment in moments(WRONG) for line in (*noise(moment), describe(moment)))
    assert bare == list(told)


@pytest.mark.parametrize("scene", PLAYED, ids=lambda scene: scene.name)
def test_what_is_allowed_for_noise_is_told_once_per_scene(scene: Scene) -> None:
    told = [noise(moment) for moment in moments(scene)]
    assert told[0] == told[-1] == ()
    (line,) = {line for lines in told for line in lines}
    assert line.startswith(f"{scene.name:6} Noise between pods: ")
    assert "not yet" not in line


@pytest.mark.parametrize("scene", PLAYED, ids=lambda scene: scene.name)
def test_lines_end_with_when_a_verdict_is_expected(scene: Scene) -> None:
    for moment in moments(scene):
        forecast = soon(moment.status)
        if moment.begun and moment.status.phase is Phase.PROGRESSING and moment.judged and forecast:
            assert describe(moment).endswith(f"; {forecast}")


def drawn(moment: Moment, *endings: Moment, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(draw(moment, scenes=PLAYED, endings=endings))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("scene", PLAYED, ids=lambda scene: scene.name)
def test_the_screen_fits_a_small_terminal_and_shows_each_status(scene: Scene) -> None:
    for moment in moments(scene):
        picture = drawn(moment, width=100)
        assert len(picture.splitlines()) <= 27
        assert f"step {moment.status.step}" in picture or not moment.status.step
        if moment.begun and moment.status.phase:
            assert moment.status.phase in picture


def test_the_screen_shows_weights_rates_evidence_and_users() -> None:
    moment = next(each for each in moments(WRONG) if each.status.window.counted == 2)
    picture = drawn(moment, width=100)
    metrics = moment.status.analysis.metrics if moment.status.analysis else ()
    accuracy = next(Compared.of(metric) for metric in metrics if metric.name == "accuracy")
    weighed = Weighed.of(moment.status)
    assert weighed is not None
    for text in (accuracy.stable, accuracy.candidate, f"{short(weighed.worse)} of 32.9", "3600", "▶  wrong"):
        assert text in picture
    assert picture.count("10 %") >= 3


def test_the_screen_shows_noise_forecast_and_the_edge_of_the_histogram() -> None:
    moment = next(each for each in moments(SLOW) if each.status.window.counted == 3)
    picture = " ".join(drawn(moment, width=160).split())
    analysis = moment.status.analysis
    assert analysis is not None
    assert f"noise {analysis.calibration}" in picture
    assert f"forecast {soon(moment.status)} " in picture
    assert "latency above 0.05" in picture


def test_the_screen_ticks_off_what_ended_well_and_crosses_what_did_not(endings: tuple[Moment, ...]) -> None:
    wrong, broken, *_ = endings
    promoted_by_mistake = replace(broken, scene=replace(BROKEN, expected="Promoted"))
    picture = drawn(moments(GOOD)[1], wrong, promoted_by_mistake, width=100)
    assert "✓  wrong" in picture
    assert "✗  broken" in picture
    assert "▶  good" in picture


def test_a_live_screen_leaves_nothing_behind(endings: tuple[Moment, ...]) -> None:
    console = Console(width=100, height=40, file=io.StringIO(), force_terminal=True, force_interactive=True)
    with Screen(console, PLAYED) as screen:
        for ending in endings:
            screen.show(ending)
    assert isinstance(console.file, io.StringIO)
    assert "digits-good wants to take over" in console.file.getvalue()
    assert console.file.getvalue().endswith("\x1b[1A\x1b[2K")


def test_accuracy_is_shown_as_right_answers_with_its_interval_turned_round() -> None:
    final = moments(WRONG)[-1].status
    metrics = {metric.name: metric for metric in final.analysis.metrics} if final.analysis else {}
    accuracy, errors = Compared.of(metrics["accuracy"]), Compared.of(metrics["errors"])
    bad = float((metrics["accuracy"].rates.candidate or "").removesuffix("%"))
    low, high = (float(edge.removesuffix("%")) for edge in metrics["accuracy"].interval or ())
    assert accuracy.candidate == f"{100 - bad:.1f} %"
    assert accuracy.difference == f"{-high:+.1f} to {-low:+.1f} %"
    assert errors.candidate == "0.0 %"
    assert errors.margin == "1.0 %"


def test_a_histogram_is_named_with_the_edge_at_which_the_arms_differ() -> None:
    final = moments(SLOW)[-1].status
    metrics = {metric.name: metric for metric in final.analysis.metrics} if final.analysis else {}
    latency = Compared.of(metrics["latency"])
    assert latency.name == "latency above 0.05"
    assert latency.candidate == f"{float((metrics['latency'].rates.candidate or '').removesuffix('%')):.1f} %"
    assert latency.margin == "10.0 %"
    assert Compared.of(metrics["accuracy"]).name == "accuracy"


def test_the_metrics_of_the_demo_weigh_the_same() -> None:
    """`Weighed` takes a plain mean, as status does not say what metrics weigh."""
    for scene in SCENES:
        asked = ModelRolloutSpec.model_validate(rollout(scene.name)["spec"])
        assert {metric.weight for metric in asked.analysis.metrics if metric.role.gating} == {1}


def weighed(*metrics: tuple[str, str, str], counted: int = 1) -> Weighed | None:
    """What is read of metrics, each with its verdict, its evidence for worse and that for not worse."""
    analysis = {
        "alpha": "0.05",
        "calibration": "none",
        "frozen": "0",
        "startedAt": "2026-01-01T00:00:00Z",
        "metrics": [
            {
                "name": f"m{place}",
                "role": "Guardrail",
                "verdict": verdict,
                "evidence": {"worse": worse, "notWorse": not_worse, "needed": "20"},
            }
            for place, (verdict, worse, not_worse) in enumerate(metrics)
        ],
    }
    return Weighed.of(ModelRolloutStatus.model_validate({"window": {"counted": counted}, "analysis": analysis}))


def test_evidence_that_decides_is_the_mean_of_worse_and_the_least_of_not_worse() -> None:
    metrics = ("Undecided", "40", "2"), ("Undecided", ">1000000", "0.5")
    assert weighed(*metrics) == Weighed(worse=500_020.0, not_worse=0.5, needed=20.0)
    assert weighed(*metrics, counted=0) is None


def test_evidence_on_which_nothing_may_rest_speaks_for_nothing() -> None:
    assert weighed(("Undecided", "3", "2"), ("Invalid", "1000", "0.5")) == Weighed(2.0, not_worse=0.5, needed=20.0)


def test_the_table_says_what_was_decided_and_what_it_cost(endings: tuple[Moment, ...]) -> None:
    rows = [report.row(scene, moment) for scene, moment in zip(PLAYED, endings, strict=True)]
    assert [len(row) for row in rows] == [len(report.HEADINGS)] * len(PLAYED)
    wrong, broken, _, good = (dict(zip(report.HEADINGS, row, strict=True)) for row in rows)
    assert (wrong["model"], wrong["expected"], wrong["decided"]) == ("wrong", "RolledBack", "✓ RolledBack")
    assert (wrong["met"], wrong["wrong"], wrong["failed"], wrong[OTHERS]) == ("400", "66", "0", "0")
    assert (broken["met"], broken["wrong"], broken["failed"], broken[OTHERS]) == ("190", "7", "52", "0")
    assert (good["decided"], good["judged"]) == ("✓ Promoted", f"{endings[-1].judged}")
    over = endings[0].ending
    assert over is not None
    assert wrong["seconds"] == f"{(over.finished_at - over.started_at).total_seconds():.0f}"


def test_the_table_fits_a_small_terminal(endings: tuple[Moment, ...]) -> None:
    console = Console(width=80, file=io.StringIO(), color_system=None)
    console.print(report.table(PLAYED, endings))
    assert isinstance(console.file, io.StringIO)
    table = console.file.getvalue()
    assert "…" not in table
    assert len(table.splitlines()) == 3 + len(PLAYED)


def test_failures_of_others_are_told_from_those_of_the_candidate() -> None:
    users = Users(
        {
            "v1": counts(900, http_errors=1),
            "broken": counts(90, http_errors=30),
            "none": counts(3, connection_errors=2, http_errors=1),
        }
    )
    assert users.failed("broken") == 30
    assert users.failed_elsewhere("broken") == 4
    assert users.failed_elsewhere("good") == 34


def test_users_are_counted_from_the_beginning_of_the_scene() -> None:
    def stats(**versions: VersionStats) -> Stats:
        return Stats(
            seconds=1.0, requests=0, failed_requests=0, missed=0, feedback={}, versions=dict(versions), failures=[]
        )

    before = stats(v1=counts(1000, incorrect=60), wrong=counts(300, incorrect=50))
    after = stats(v1=counts(1700, incorrect=99), wrong=counts(300, incorrect=50), good=counts(70, incorrect=3))
    users = Users.between(before, after)
    assert (users.requests("v1"), users.incorrect("v1")) == (700, 39)
    assert (users.requests("wrong"), users.incorrect("wrong")) == (0, 0)
    assert (users.requests("good"), users.incorrect("good")) == (70, 3)
    assert users.requests("broken") == 0


def test_success_is_every_scene_ending_as_expected(endings: tuple[Moment, ...]) -> None:
    *others, good = endings
    assert report.exit_code(PLAYED, endings) == 0
    assert report.exit_code(PLAYED, others) == 1
    assert report.exit_code(PLAYED, [*others, replace(good, scene=replace(GOOD, expected="RolledBack"))]) == 1
    assert report.exit_code(PLAYED, [*others, moments(GOOD)[-2]]) == 1
    assert report.exit_code(PLAYED, []) == 1
    assert report.exit_code([WRONG], others[:1]) == 0


def test_a_scene_without_a_decision_says_where_it_stood_and_where_to_look() -> None:
    stuck = moments(GOOD)[-2]
    words = report.trouble(stuck)
    assert f"no decision after {stuck.seconds:.0f} s" in words
    assert stuck.status.message in words
    assert "describe mro digits" in words
    assert report.row(GOOD, stuck)[2] == "✗ nothing"
    assert report.row(GOOD, None)[2] == "not played"


def test_a_watch_begins_again_when_it_ends() -> None:
    watch = _Watch(["cat", str(RECORDED / "broken.json")])
    watch.start()
    length = len(recorded(BROKEN))
    seen = [watch.statuses.get(timeout=60) for _ in range(length + 1)]
    watch.stop()
    assert seen[-1] == seen[0]


@pytest.mark.parametrize("scene", PLAYED, ids=lambda scene: scene.name)
def test_each_scene_applies_its_candidate_to_the_one_rollout(scene: Scene) -> None:
    assert scene.manifest == f"examples/demo/manifests/rollouts/{scene.name}.yaml"
    applied = rollout(scene.name)
    assert applied["metadata"] == {"name": ROLLOUT, "namespace": NAMESPACE}
    candidate = ModelRolloutSpec.model_validate(applied["spec"]).candidate
    assert candidate is not None
    assert candidate.deployment == scene.candidate
    assert candidate.scale is Scale.BY_WEIGHT, "a promotion must not wait for a person to scale the candidate up"


def test_the_operator_reads_the_clusters_prometheus_as_often_as_that_scrapes() -> None:
    objects = render(ROOT / "examples" / "demo" / "operator")
    (config,) = (each for each in objects if each["kind"] == "ConfigMap")
    (server,) = parse_settings(config["data"]["config.yaml"], origin="the demo").prometheus
    assert server.url == "http://prometheus.monitoring.svc:9090"
    assert (server.scrape_interval.total_seconds(), server.settling.total_seconds()) == (2, 3)
    operator = named(objects, "Deployment")["modelrollout"]
    (volume,) = (each for each in operator["spec"]["template"]["spec"]["volumes"] if "configMap" in each)
    assert volume["configMap"]["name"] == config["metadata"]["name"]


def test_the_command_line_plays_what_it_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert parser().parse_args([]).scene is None
    assert parser().parse_args(["--scene", "good", "--scene", "wrong"]).scene == ["good", "wrong"]
    with pytest.raises(SystemExit):
        parser().parse_args(["--scene", "best"])
    assert "'best'" in capsys.readouterr().err
