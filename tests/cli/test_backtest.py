"""``backtest`` against a real Prometheus that has a past: false alarms, a regression, and what cannot be judged."""

import json
import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.cli.main import main
from controller.cli.past_pods import dealt
from controller.plan.world import ArmName
from tests.observe.backfill import Level, Past
from tests.observe.conftest import PrometheusProcess
from tests.observe.faulty import faulty_server

SCRAPE = timedelta(seconds=15)
LONG = timedelta(hours=7)
END = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
START = END - timedelta(hours=4)
PODS = [f"fraud-v1-7c5ddbdf54-{end}" for end in ("bbbbb", "ccccc", "ddddd", "fffff")]
NEXT = [f"fraud-v1-5f6d7c8b94-{end}" for end in ("jjjjj", "kkkkk")]
OTHERS = [f"fraud-v2-6d8f4b9c5b-{end}" for end in ("ggggg", "hhhhh")]


def counter(seed: str, per_scrape: float) -> Level:
    """A counter with Poisson-like growth between scrapes, the same for the same seed."""
    chance = random.Random(seed)
    scrapes = LONG // SCRAPE + 1
    grown = [max(0, round(chance.gauss(per_scrape, math.sqrt(per_scrape)))) for _ in range(scrapes)]
    values = list(accumulate(grown))
    return lambda moment: float(values[min(scrapes - 1, max(0, (moment - END + LONG) // SCRAPE))])


def pod(
    past: Past, name: str, *, namespace: str, bad: float, since: datetime = END - LONG, until: datetime = END
) -> None:
    """A pod with 10 requests a second, of which a share is bad."""

    def alive(level: Level) -> Level:
        return lambda moment: level(moment) if since <= moment <= until else None

    target = {"namespace": namespace, "pod": name, "job": "pods", "instance": name}
    past.add("up", alive(lambda _: 1.0), **target)
    for code, share in (("200", 1 - bad), ("500", bad)):
        past.add("requests_total", alive(counter(f"{namespace}{name}{code}", 150 * share)), **target, code=code)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusProcess]:
    folder = tmp_path_factory.mktemp("backtest")
    past = Past(END - LONG, END, SCRAPE)
    for name in PODS:
        pod(past, name, namespace="shop", bad=0.02)
    for name in OTHERS:
        pod(past, name, namespace="shop", bad=0.05)
    pod(past, PODS[0], namespace="lone", bad=0.02)
    for name in PODS[:2]:
        pod(past, name, namespace="rolled", bad=0.02, until=END - timedelta(minutes=30))
    for name in NEXT:
        pod(past, name, namespace="rolled", bad=0.02, since=END - timedelta(minutes=31))
    past.write(folder)
    process = PrometheusProcess(folder)
    process.start()
    try:
        yield process
    finally:
        process.stop()


def rollout(folder: Path, **metric: Any) -> str:
    analysed = {
        "name": "errors",
        "ratio": {"bad": 'requests_total{code="500"}', "total": "requests_total"},
        "margin": {"absolute": "0.01"},
    }
    document = {
        "apiVersion": "modelrollout.dev/v1alpha1",
        "kind": "ModelRollout",
        "metadata": {"name": "fraud", "namespace": "shop"},
        "spec": {
            "stable": {"deployment": "fraud-v1"},
            "candidate": {"deployment": "fraud-v2"},
            "traffic": {"gateway": {"httpRoute": "fraud"}},
            "strategy": {"interval": "1m", "deadline": "1h", "warmup": "30s"},
            "analysis": {"metrics": [analysed | metric]},
        },
    }
    path = folder / "rollout.yaml"
    path.write_text(yaml.safe_dump(document))
    return str(path)


def words(prometheus: PrometheusProcess, file: str, *more: str) -> list[str]:
    times = ["--from", f"{START:%Y-%m-%dT%H:%M:%SZ}", "--to", f"{END:%Y-%m-%dT%H:%M:%SZ}"]
    return ["backtest", file, "--prometheus", prometheus.url, *times, *more]


def judged(capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    assert main([*more, "-o", "json"]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


def test_stable_against_itself_raises_no_false_alarm(
    prometheus: PrometheusProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = judged(capsys, *words(prometheus, rollout(tmp_path)))

    assert report["comparison"] == "A/A"
    arms = [report[arm]["pods"] for arm in ("stable", "candidate")]
    assert sorted(arms[0] + arms[1]) == PODS
    assert [len(arm) for arm in arms] == [2, 2]
    assert report["outcomes"]["RolledBack"] == 0
    assert report["outcomes"]["Promoted"] >= 3
    assert sum(report["outcomes"].values()) == len(report["epochs"])
    assert len(report["windows"]) == 240
    assert [each["from"] for each in report["epochs"][1:]] == [each["to"] for each in report["epochs"][:-1]]
    first = report["epochs"][0]["metrics"][0]
    assert first["rates"]["stable"] == pytest.approx(0.02, abs=0.004)
    # 2 pods of 10 requests a second in each arm, in the windows that were judged
    expected = report["epochs"][0]["judged"] * 60 * 20
    assert first["requests"]["stable"] == pytest.approx(expected, rel=0.05)
    assert first["requests"]["candidate"] == pytest.approx(expected, rel=0.05)
    assert "design effect" in first["calibration"]
    assert " intervals × 4 pods" in first["calibration"]


def test_the_seed_deals_the_pods_and_nothing_else_does(
    prometheus: PrometheusProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = rollout(tmp_path)
    short = ["--from", f"{START:%Y-%m-%dT%H:%M:%SZ}", "--to", f"{START + timedelta(minutes=5):%Y-%m-%dT%H:%M:%SZ}"]
    base = ["backtest", file, "--prometheus", prometheus.url, *short]
    one, again = judged(capsys, *base), judged(capsys, *base)
    other = [judged(capsys, *base, "--seed", str(seed))["stable"]["pods"] for seed in range(2, 6)]

    assert one == again
    assert any(pods != one["stable"]["pods"] for pods in other)


def test_a_worse_deployment_of_the_past_is_rolled_back(
    prometheus: PrometheusProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = judged(capsys, *words(prometheus, rollout(tmp_path), "--candidate", "fraud-v2"))

    assert report["comparison"] == "Pair"
    assert report["stable"]["pods"] == PODS
    assert report["candidate"]["pods"] == OTHERS
    assert [each["outcome"] for each in report["epochs"]] == ["RolledBack"] * 4  # one per deadline
    metric = report["epochs"][0]["metrics"][0]
    assert metric["verdict"] == "Worse"
    assert metric["rates"]["candidate"] == pytest.approx(0.05, abs=0.01)
    assert metric["evidence"]["worse"] >= 1 / report["epochs"][0]["alpha"]


def test_people_get_a_line_per_hour_and_what_it_means(
    prometheus: PrometheusProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(prometheus, rollout(tmp_path, margin={"absolute": "0.001"}))) == 0
    out, err = capsys.readouterr()

    assert "fraud: A/A, the pods of fraud-v1 against each other: 2 and 2 (seed 1)" in out
    assert out.count("\n  20") >= 4
    assert "epochs: " in out
    assert "false alarms: " in out
    assert "judged 1 of 240 windows, until " in err


def test_pods_that_are_replaced_meanwhile_are_dealt_anew(
    prometheus: PrometheusProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last_hour = ["--from", f"{END - timedelta(hours=1):%Y-%m-%dT%H:%MZ}", "-n", "rolled"]
    report = judged(capsys, *words(prometheus, rollout(tmp_path), *last_hour))
    arms = [set(report[arm]["pods"]) for arm in ("stable", "candidate")]

    assert [len(arm & set(PODS)) for arm in arms] == [1, 1]
    assert [len(arm & set(NEXT)) for arm in arms] == [1, 1]
    skipped = [each for each in report["windows"] if each["skipped"]]
    assert len(skipped) <= 3
    assert [each for each in report["windows"][-25:] if each["skipped"]] == []


def test_one_pod_cannot_be_compared_with_itself(
    prometheus: PrometheusProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(prometheus, rollout(tmp_path), "-n", "lone")) == 1
    err = capsys.readouterr().err

    assert "error: expected at least 2 pods of Deployment fraud-v1 in namespace lone" in err
    assert f"found {PODS[0]}" in err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--stable", "fraud-v9"], "expected at least 2 pods of Deployment fraud-v9 in namespace shop"),
        (["--candidate", "fraud-v9"], "expected series of pods of Deployment fraud-v9 in namespace shop, found none"),
        (["--interval", "20s"], "--interval: expected at least two scrapes (30s), found 20s"),
        (["--interval", "5h"], "--from, --to: expected 1 to 20000 windows of 5h, found 0"),
        (["--prometheus", "localhost:9090"], "--prometheus: expected a URL such as http://localhost:9090"),
        (["--bearer-token-file", "/nowhere/token"], "bearerTokenFile /nowhere/token cannot be read"),
        (["--prometheus", "http://127.0.0.1:9"], "check that it runs and can be reached"),
    ],
)
def test_what_cannot_be_done_is_said(
    more: list[str], message: str, prometheus: PrometheusProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(prometheus, rollout(tmp_path), *more)) == 1
    out, err = capsys.readouterr()

    assert out == ""
    assert message in err


def test_a_counter_that_was_never_scraped_is_told_from_one_without_pods(
    prometheus: PrometheusProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing = rollout(tmp_path, ratio={"bad": "x_total", "total": "y_total"})
    assert main(words(prometheus, nothing)) == 1
    assert "found none: check names, times and spec.analysis.labels" in capsys.readouterr().err

    labelled = rollout(tmp_path, arms={"label": "code", "stable": "200", "candidate": "500"})
    assert main(words(prometheus, labelled)) == 1
    assert "metric errors tells its arms by a label and not by pods" in capsys.readouterr().err

    mirrored = rollout(tmp_path, ratio=None, name="mirrored", paired={"counter": "mlr_pair_total"})
    assert main(words(prometheus, mirrored)) == 1
    assert "metric mirrored tells its arms by a label and not by pods" in capsys.readouterr().err


def test_a_coarser_scrape_than_was_said_leaves_nothing_to_judge(
    prometheus: PrometheusProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ["--scrape-interval", "1s", "--interval", "10s", "--to", f"{START + timedelta(minutes=9):%Y-%m-%dT%H:%MZ}"]
    assert main(words(prometheus, rollout(tmp_path), *few)) == 1
    err = capsys.readouterr().err

    assert "error: no window could be judged: errors was " in err


def test_the_token_is_sent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    with faulty_server() as server:
        times = ["--from", "2026-01-01T00:00:00Z", "--to", "2026-01-01T01:00:00Z"]
        options = ["--prometheus", server.url, *times, "--bearer-token-file", str(token)]
        assert main(["backtest", rollout(tmp_path), *options]) == 1
        assert set(server.tokens) == {"Bearer secret"}
    capsys.readouterr()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "yesterday",
            "expected a time such as 2026-03-01T08:00:00Z, or how long ago it was such as 24h; found 'yesterday'",
        )
    ],
)
def test_times_are_read_or_refused(text: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["backtest", "x.yaml", "--prometheus", "http://x", "--from", text, "--to", "0h"])

    assert ended.value.code == 1
    assert message in capsys.readouterr().err


def test_every_replica_set_is_dealt_half_and_half() -> None:
    pods = [f"fraud-{template}-{end}" for template in ("7c5ddbdf54", "6d8f4b9c5b") for end in "bcdf"]
    for seed in range(20):
        arms = dealt(pods, seed=seed)
        for template in ("7c5ddbdf54", "6d8f4b9c5b"):
            stable = [pod for pod in pods if template in pod and arms[pod] is ArmName.STABLE]
            assert len(stable) == 2
    assert dealt(pods, seed=1) == dealt(list(reversed(pods)), seed=1)
