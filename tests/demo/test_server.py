import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from controller.api.presets import PRESETS
from controller.api.selectors import parse_selector
from examples.demo.classifier import VERSIONS, Classifier
from tests.demo.conftest import Server, ask

Serve = Callable[..., Server]
Holdout = dict[str, list[list[int]]]

INFER = "/v2/models/digits/infer"
BLANK = [0] * 64


def tensor(rows: list[list[int]], **changes: object) -> dict[str, object]:
    return {"name": "pixels", "shape": [len(rows), 64], "datatype": "FP32", "data": rows} | changes


def series(name: str, version: str, **labels: str) -> str:
    pairs = {"model": "digits", "segment": "all", "version": version, **labels}
    inner = ",".join(f'{key}="{value}"' for key, value in sorted(pairs.items()))
    return f"{name}{{{inner}}}"


def test_open_inference_protocol(serve: Serve, holdout: Holdout) -> None:
    server = serve("v1", MODEL_REVISION="v1-abc")
    assert server.get("/v2/health/ready").status == server.get("/v2/health/live").status == 200
    metadata = server.get("/v2/models/digits").document
    assert metadata["name"] == "digits"
    assert metadata["versions"] == ["v1-abc"]
    answer = server.post(INFER, {"id": "a/1", "inputs": [tensor(holdout["inputs"][:3])]}, **{"X-Request-ID": "r-7"})
    assert answer.status == 200
    assert answer.headers["x-model-version"] == "v1"
    assert answer.headers["x-request-id"] == "r-7"
    document = answer.document
    assert (document["model_name"], document["model_version"], document["id"]) == ("digits", "v1-abc", "a/1")
    outputs = document["outputs"]
    assert isinstance(outputs, list)
    assert [(each["name"], each["datatype"], each["shape"], len(each["data"])) for each in outputs] == [
        ("label", "INT64", [3], 3),
        ("confidence", "FP64", [3], 3),
    ]


def test_flat_data_asked_output_and_versioned_path_give_the_same_answer(serve: Serve, holdout: Holdout) -> None:
    server = serve("v1")
    rows = holdout["inputs"][:2]
    nested = server.post(INFER, {"inputs": [tensor(rows)]}).document["outputs"]
    flat = server.post(
        "/v2/models/digits/versions/v1/infer",
        {"inputs": [tensor(rows, data=rows[0] + rows[1])], "outputs": [{"name": "label"}]},
    ).document["outputs"]
    assert isinstance(nested, list)
    assert flat == nested[:1]


def test_served_accuracy_is_the_trained_one(serve: Serve, holdout: Holdout) -> None:
    correct = {}
    for version in ("v1", "wrong"):
        server = serve(version)
        answers: list[int] = []
        for start in range(0, len(holdout["inputs"]), 256):
            answer = server.post("/predict", {"instances": holdout["inputs"][start : start + 256]})
            predictions = answer.document["predictions"]
            assert isinstance(predictions, list)
            answers += predictions
        correct[version] = sum(map(int.__eq__, answers, holdout["labels"])) / len(answers)
    assert 0.92 <= correct["v1"] <= 0.97
    assert 0.07 <= correct["v1"] - correct["wrong"] <= 0.14


@pytest.mark.parametrize(
    ("path", "document"),
    [
        (INFER, []),
        (INFER, {}),
        (INFER, {"inputs": []}),
        (INFER, {"inputs": [tensor([BLANK], name="text")]}),
        (INFER, {"inputs": [tensor([BLANK], datatype="BYTES")]}),
        (INFER, {"inputs": [tensor([BLANK], shape=[2, 64])]}),
        (INFER, {"inputs": [tensor([BLANK], shape=[64])]}),
        (INFER, {"inputs": [tensor([BLANK], shape=[0, 64], data=[])]}),
        (INFER, {"inputs": [tensor([BLANK[:63]], shape=[1, 63])]}),
        (INFER, {"inputs": [tensor([BLANK])], "outputs": [{"name": "logits"}]}),
        (INFER, {"inputs": [tensor([BLANK])], "id": 7}),
        ("/predict", {"instances": 3}),
        ("/predict", {"instances": []}),
        ("/predict", {"instances": [BLANK, BLANK[:5]]}),
        ("/predict", {"instances": [[17, *BLANK[1:]]]}),
        ("/predict", {"instances": [[None, *BLANK[1:]]]}),
        ("/predict", {"instances": [[float("nan"), *BLANK[1:]]]}),
        ("/predict", {"instances": [["x", *BLANK[1:]]]}),
        ("/predict", {"instances": [BLANK] * 257}),
    ],
)
def test_bad_request_is_the_clients_error(shared: Server, path: str, document: object) -> None:
    counted = series("mlr_requests_total", "good", outcome="client_error")
    before = shared.count(counted)
    answer = shared.post(path, document)
    assert answer.status == 400
    assert isinstance(answer.document["error"], str)
    assert shared.count(counted) == before + 1


@pytest.mark.parametrize("path", ["/", "/v2/models/other", "/v2/models/digits/versions/other", "/infer"])
def test_unknown_path_is_not_found(shared: Server, path: str) -> None:
    assert shared.get(path).status == 404


def test_request_id_is_made_up_when_there_is_none_to_echo(shared: Server) -> None:
    names = {shared.get("/v2").headers["x-request-id"] for _ in range(3)}
    assert len(names) == 3


def test_every_series_that_a_judge_asks_for_exists_at_zero(serve: Serve) -> None:
    server = serve("good", MODEL_REVISION="r1")
    for outcome in ("ok", "client_error", "server_error", "timeout", "invalid_output"):
        assert server.count(series("mlr_requests_total", "r1", outcome=outcome)) == 0
    for result in ("correct", "incorrect"):
        assert server.count(series("mlr_feedback_total", "r1", result=result)) == 0
    exported = server.get("/metrics").body.decode()
    for name in ("mlr_request_duration_seconds_bucket", "mlr_prediction_confidence_bucket", "mlr_predictions_total"):
        assert f"\n{name}{{" in exported
    assert "\nmlr_model_info{" in exported
    assert "\nprocess_start_time_seconds " in exported
    for question in (PRESETS["mlr/errors"].ratio, PRESETS["mlr/accuracy"].ratio):
        assert f"\n{parse_selector(question.bad).name}{{" in exported
        assert f"\n{parse_selector(question.total).name}{{" in exported


def test_requests_and_answers_are_counted(serve: Serve, holdout: Holdout) -> None:
    server = serve("v1")
    for row in holdout["inputs"][:7]:
        assert server.post(INFER, {"inputs": [tensor([row])]}).status == 200
    assert server.post("/predict", {"instances": holdout["inputs"][:5]}, **{"X-Segment": "unheard-of"}).status == 200
    assert server.count(series("mlr_requests_total", "v1", outcome="ok")) == 7
    assert server.count(series("mlr_requests_total", "v1", outcome="ok", segment="other")) == 1
    assert server.count(series("mlr_prediction_confidence_count", "v1")) == 7
    assert server.count(series("mlr_request_duration_seconds_count", "v1")) == 7
    predicted = [server.count(series("mlr_predictions_total", "v1", prediction=str(digit))) for digit in range(10)]
    assert sum(predicted) == 7


def test_feedback_is_counted_once_by_id_and_always_by_prediction(serve: Serve, holdout: Holdout) -> None:
    server = serve("v1")
    answer = server.post("/predict", {"id": "q", "instances": holdout["inputs"][:2]}).document["predictions"]
    assert isinstance(answer, list)
    truth = [answer[0], (answer[1] + 1) % 10]
    assert server.post("/feedback", {"id": "q", "label": truth}).document == {"correct": 1, "incorrect": 1}
    assert server.post("/feedback", {"id": "q", "label": truth}).status == 404
    # Another pod of the version answered: this one can only believe the sender.
    assert server.post("/feedback", {"id": "elsewhere", "prediction": 3, "label": 3}).status == 200
    assert server.post("/feedback", {"prediction": 3, "label": 4}).status == 200
    assert server.count(series("mlr_feedback_total", "v1", result="correct")) == 2
    assert server.count(series("mlr_feedback_total", "v1", result="incorrect")) == 2
    assert server.count(series("mlr_confusion_total", "v1", actual="4", predicted="3")) == 1


@pytest.mark.parametrize(
    "document",
    [
        {"label": 3},
        {"prediction": 3},
        {"prediction": 3, "label": "3"},
        {"prediction": 3, "label": True},
        {"prediction": [3, 4], "label": 3},
        {"prediction": [], "label": []},
        {"id": "", "label": 3},
    ],
)
def test_bad_feedback_is_refused_and_not_counted(shared: Server, document: object) -> None:
    assert shared.post("/feedback", document).status == 400
    for result in ("correct", "incorrect"):
        assert shared.count(series("mlr_feedback_total", "good", result=result)) == 0


def test_broken_fails_on_thirty_percent_and_counts_it(serve: Serve, holdout: Holdout) -> None:
    server = serve("broken", MODEL_SEED="1")
    statuses = [server.post("/predict", {"instances": [row]}).status for row in holdout["inputs"][:600]]
    failed = statuses.count(500)
    # 30 % of 600 with six standard deviations to either side.
    assert 112 <= failed <= 248
    assert statuses.count(200) == 600 - failed
    assert server.count(series("mlr_requests_total", "broken", outcome="server_error")) == failed
    assert server.count(series("mlr_request_duration_seconds_count", "broken")) == 600 - failed
    assert server.get("/v2/health/ready").status == 200


def test_no_request_fails_while_the_server_is_told_to_stop(serve: Serve) -> None:
    server = serve("v1")
    statuses: list[int] = []
    errors: list[OSError] = []
    enough, told = threading.Event(), threading.Event()

    def keep_asking() -> None:
        after = 0
        while after < 50:
            try:
                statuses.append(server.post("/predict", {"instances": [BLANK]}).status)
            except OSError as error:
                errors.append(error)
            after += told.is_set()
            if len(statuses) >= 50:
                enough.set()

    clients = [threading.Thread(target=keep_asking) for _ in range(4)]
    for client in clients:
        client.start()
    assert enough.wait(60)
    server.process.send_signal(signal.SIGTERM)
    told.set()
    for client in clients:
        client.join()
    assert server.process.wait(60) == 0
    assert errors == []
    assert set(statuses) == {200}


def test_stopping_server_is_not_ready_and_lets_kept_connections_go(serve: Serve) -> None:
    server = serve("v1")
    assert "connection" not in server.get("/v2/health/ready").headers
    server.process.send_signal(signal.SIGTERM)
    answer = server.get("/v2/health/ready")
    while answer.status == 200:
        answer = server.get("/v2/health/ready")
    assert answer.status == 503
    assert ask(server.port, "GET", "/v2").headers["connection"] == "close"


@pytest.mark.parametrize(("name", "value"), [("MODEL_VERSION", "v9"), ("PORT", "http"), ("MODEL_SEED", "x")])
def test_senseless_setting_is_named(name: str, value: str) -> None:
    from examples.demo.server import Settings

    with pytest.raises(SystemExit, match=name):
        Settings.read({name: value})


def test_slow_looks_up_its_features_thirty_percent_longer(models: Path) -> None:
    slow, usual = (Classifier(VERSIONS[name], folder=models, seed=1, lookup_seconds=0.02) for name in ("slow", "v1"))
    pairs = [(slow.lookup_seconds(), usual.lookup_seconds()) for _ in range(999)]
    assert all(late == pytest.approx(1.3 * early) for late, early in pairs)
    assert sorted(early for _, early in pairs)[499] == pytest.approx(0.02, rel=0.05)
