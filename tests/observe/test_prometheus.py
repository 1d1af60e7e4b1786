"""The port: each way in which an answer can fail has its words, and none of them takes longer than allowed."""

import json
import math
import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf
from pathlib import Path

import pytest

from controller.api.reasons import Reason
from controller.observe.prometheus import Prometheus, PrometheusServer, QueryRejected, SourceError
from tests.observe.faulty import (
    Answer,
    FaultyServer,
    body,
    broken_off,
    faulty_server,
    flood,
    matrix,
    silence,
    slow_body,
    trickle,
)

NOON = datetime(2026, 8, 1, 12, tzinfo=UTC)
GOOD = matrix({"metric": {"pod": "a"}, "values": [[1.5, "3"], [2.5, "4"]]})
PADDED = " " * 600 + GOOD


@pytest.fixture
def faulty() -> Iterator[FaultyServer]:
    with faulty_server() as server:
        yield server


def settings(url: str) -> PrometheusServer:
    return PrometheusServer(
        name="default",
        url=url,
        scrape=timedelta(seconds=15),
        settle=timedelta(seconds=35),
        connect_timeout=0.4,
        read_timeout=0.6,
        max_bytes=2**20,
    )


def refusal(server: PrometheusServer) -> SourceError:
    with pytest.raises(SourceError) as caught:
        Prometheus(server).instant("up[1m]", NOON)
    assert "'default' at http://127.0.0.1:" in caught.value.message
    assert len(caught.value.message) < 600
    assert "object at 0x" not in caught.value.message
    return caught.value


def test_raw_samples_come_as_series(faulty: FaultyServer) -> None:
    faulty.answer = body(GOOD)
    (series,) = Prometheus(settings(faulty.url)).instant("up[1m]", NOON)
    assert series.labels == {"pod": "a"}
    assert series.samples == ((1.5, 3.0), (2.5, 4.0))
    assert faulty.asked == [("/api/v1/query", {"query": ["up[1m]"], "time": ["1785585600.000"], "timeout": ["0.6s"]})]


def test_a_vector_is_read_as_well(faulty: FaultyServer) -> None:
    data = {"resultType": "vector", "result": [{"metric": {}, "value": [1, "2"]}]}
    faulty.answer = body(json.dumps({"status": "success", "data": data}))
    (series,) = Prometheus(settings(faulty.url)).instant("up", NOON)
    assert series.samples == ((1.0, 2.0),)


def test_samples_that_are_no_counts_are_dropped_and_counted_as_loss(faulty: FaultyServer) -> None:
    values = [[1, "3"], [2, "NaN"], [3, "+Inf"], [4, "-Inf"], [5, "-1"], [6, "1e300"], [7, "8"]]
    faulty.answer = body(matrix({"metric": {}, "values": values}))
    (series,) = Prometheus(settings(faulty.url)).instant("up[1m]", NOON)
    assert series.samples == ((1.0, 3.0), (7.0, 8.0))
    assert series.lost == 5


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param(body("oops", status=500, kind="text/plain"), "HTTP 500: oops", id="500"),
        pytest.param(body('{"status":"error","error":"too many"}', status=503), "HTTP 503: too many", id="503"),
        pytest.param(body('{"status":"error","error":"parse error"}', status=400), "HTTP 400: parse error", id="400"),
        pytest.param(body("", status=401), "bearerTokenFile", id="401"),
        pytest.param(body("", status=404), "path prefix", id="404"),
        pytest.param(body("", status=302, Location="http://127.0.0.1:1/"), "HTTP 302", id="redirect"),
        pytest.param(body("<html>Sign in</html>", kind="text/html"), "<html>Sign in</html>", id="HTML"),
        pytest.param(body(b"\x00\xff\x1b[31mgarbage"), "garbage", id="garbage"),
        pytest.param(body(""), "nothing", id="empty"),
        pytest.param(body("[" * 100_000), "no Prometheus answer", id="deeply nested"),
        pytest.param(body('{"status": NaN}'), "no Prometheus answer", id="NaN outside of a string"),
        pytest.param(body('{"status":"error"}'), "no Prometheus answer", id="error with status 200"),
        pytest.param(body('{"status":"success"}'), "unexpected shape", id="no data"),
        pytest.param(
            body('{"status":"success","warnings":["store 2 away"],"data":{"resultType":"matrix","result":[]}}'),
            "incomplete answer: ['store 2 away']",
            id="partial answer",
        ),
        pytest.param(
            body('{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}'),
            "unexpected shape",
            id="scalar",
        ),
        pytest.param(body(matrix({"metric": {"a": 1}, "values": []})), "unexpected shape", id="labels"),
        pytest.param(body(matrix({"metric": {}, "values": [[1]]})), "unexpected shape", id="half a sample"),
        pytest.param(body(matrix({"metric": {}, "values": [[1, 2]]})), "unexpected shape", id="number as value"),
        pytest.param(body(matrix({"metric": {}, "values": "12"})), "unexpected shape", id="text as values"),
        pytest.param(body(matrix({"metric": {}, "values": [["x", "2"]]})), "unexpected shape", id="text as time"),
        pytest.param(body(matrix({"metric": {}, "values": [[1, "two"]]})), "unexpected shape", id="word as value"),
        pytest.param(
            body('{"status":"success","data":{"resultType":"matrix","result":5}}'), "unexpected shape", id="5"
        ),
        pytest.param(body("x" * (2**20 + 1)), "more than 1048576 bytes", id="large"),
        pytest.param(flood(64), "more than 1048576 bytes", id="endless"),
    ],
)
def test_an_answer_that_is_no_evidence_says_what_came_and_what_to_do(
    faulty: FaultyServer, answer: Answer, said: str
) -> None:
    faulty.answer = answer
    error = refusal(settings(faulty.url))
    assert error.reason is Reason.PROMETHEUS_ANSWER_INVALID
    assert said in error.message
    assert error.message.isprintable()


def answered(data: object, **more: object) -> Answer:
    return body(json.dumps({"status": "success", "data": data, **more}))


@pytest.mark.parametrize(
    ("data", "values"),
    [
        ({"resultType": "scalar", "result": [1, "2.5"]}, (2.5,)),
        ({"resultType": "vector", "result": []}, ()),
        ({"resultType": "vector", "result": [{"metric": {}, "value": [1, "-3"]}]}, (-3.0,)),
        ({"resultType": "vector", "result": [{"metric": {}, "value": [1, "+Inf"]}]}, (inf,)),
    ],
)
def test_a_query_gives_numbers(faulty: FaultyServer, data: object, values: tuple[float, ...]) -> None:
    faulty.answer = answered(data)
    assert Prometheus(settings(faulty.url)).values("max(x)", NOON) == values


NATIVE_VECTOR = {"resultType": "vector", "result": [{"metric": {}, "histogram": [1, {"count": "3"}]}]}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param(body('{"status":"error","error":"parse error"}', status=400), "HTTP 400: parse error", id="400"),
        pytest.param(body('{"status":"error","error":"too deep"}', status=422), "HTTP 422: too deep", id="422"),
        pytest.param(answered({"resultType": "matrix", "result": []}), "no numbers", id="matrix"),
        pytest.param(answered({"resultType": "string", "result": [1, "x"]}), "no numbers", id="string"),
        pytest.param(answered(NATIVE_VECTOR), "no numbers", id="native histogram"),
        pytest.param(
            answered({"resultType": "vector", "result": []}, warnings=["PromQL warning: bucket label le is missing"]),
            "bucket label le is missing",
            id="warning about the query",
        ),
    ],
)
def test_a_query_that_is_at_fault_itself_is_told_from_silence(faulty: FaultyServer, answer: Answer, said: str) -> None:
    faulty.answer = answer
    with pytest.raises(QueryRejected) as caught:
        Prometheus(settings(faulty.url)).values("max(x)", NOON)
    assert said in caught.value.message


@pytest.mark.parametrize(
    "answer",
    [
        body("oops", status=500),
        body("<html>", status=400),
        answered({"resultType": "vector", "result": []}, warnings=["store 2 away"]),
    ],
    ids=["500", "400 of a proxy", "partial answer"],
)
def test_a_server_that_is_at_fault_does_not_blame_the_query(faulty: FaultyServer, answer: Answer) -> None:
    faulty.answer = answer
    with pytest.raises(SourceError) as caught:
        Prometheus(settings(faulty.url)).values("max(x)", NOON)
    assert not isinstance(caught.value, QueryRejected)


def test_types_are_what_the_pods_say(faulty: FaultyServer) -> None:
    prometheus = Prometheus(settings(faulty.url))
    faulty.answer = answered({"x": [{"type": "gauge", "help": "", "unit": ""}, {"type": "counter"}]})
    assert prometheus.types("x") == {"gauge", "counter"}
    faulty.answer = answered({})
    assert prometheus.types("x") == set()


@pytest.mark.parametrize("data", [[], None, {"x": 5}, {"x": [{"help": ""}]}, {"x": [{"type": 5}]}])
def test_types_of_unexpected_shape_are_no_evidence(faulty: FaultyServer, data: object) -> None:
    faulty.answer = answered(data)
    with pytest.raises(SourceError, match="metadata of unexpected shape"):
        Prometheus(settings(faulty.url)).types("x")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param(silence(30), "no complete answer within 1 s", id="silence"),
        pytest.param(trickle(PADDED, pause=0.05), "no complete answer within 1 s", id="trickling headers"),
        pytest.param(slow_body(PADDED, pause=0.05), "no complete answer within 1 s", id="trickling body"),
        pytest.param(broken_off, "no answer", id="broken off"),
    ],
)
def test_an_answer_that_is_not_complete_in_time_is_none(faulty: FaultyServer, answer: Answer, said: str) -> None:
    """The trickled answers are valid: without the deadline they would be read to their end."""
    faulty.answer = answer
    error = refusal(settings(faulty.url))
    assert error.reason is Reason.PROMETHEUS_UNREACHABLE
    assert said in error.message


def test_without_a_server_the_message_names_the_cause() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        error = refusal(settings(f"http://127.0.0.1:{closed.getsockname()[1]}"))
    assert error.reason is Reason.PROMETHEUS_UNREACHABLE
    assert "Connection refused" in error.message


def test_a_server_that_never_accepts_is_unreachable() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.settimeout(0)
            each.connect_ex(full.getsockname())
        error = refusal(settings(f"http://127.0.0.1:{full.getsockname()[1]}"))
        for each in waiting:
            each.close()
    assert error.reason is Reason.PROMETHEUS_UNREACHABLE


def test_a_password_in_the_url_stays_out_of_messages(faulty: FaultyServer) -> None:
    faulty.answer = body("", status=500)
    url = faulty.url.replace("http://", "http://operator:secret@")
    assert "secret" not in refusal(settings(url)).message


def test_the_token_is_read_anew_for_each_request(faulty: FaultyServer, tmp_path: Path) -> None:
    faulty.answer = body(GOOD)
    token = tmp_path / "token"
    prometheus = Prometheus(replace(settings(faulty.url), bearer_token_file=str(token)))
    for text in ("first\n", "second"):
        token.write_text(text)
        prometheus.instant("up[1m]", NOON)
    assert faulty.tokens == ["Bearer first", "Bearer second"]


def test_a_token_that_cannot_be_read_is_named_and_nothing_is_asked(faulty: FaultyServer, tmp_path: Path) -> None:
    error = refusal(replace(settings(faulty.url), bearer_token_file=str(tmp_path / "gone")))
    assert error.reason is Reason.PROMETHEUS_UNREACHABLE
    assert "bearerTokenFile" in error.message
    assert "No such file" in error.message
    assert not faulty.asked


def test_proxies_of_the_environment_do_not_apply(faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    faulty.answer = body(GOOD)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert Prometheus(settings(faulty.url)).instant("up[1m]", NOON)


def test_one_connection_serves_many_requests(faulty: FaultyServer) -> None:
    faulty.answer = body(GOOD)
    prometheus = Prometheus(settings(faulty.url))
    for _ in range(5):
        prometheus.instant("up[1m]", NOON)
    assert len(faulty.asked) == 5
    assert faulty.connections == 1


def test_after_a_failure_the_next_answer_is_read_as_if_nothing_had_been(faulty: FaultyServer) -> None:
    prometheus = Prometheus(settings(faulty.url))
    for fault in (flood(64), broken_off, slow_body(PADDED, pause=0.05)):
        faulty.answer = fault
        with pytest.raises(SourceError):
            prometheus.instant("up[1m]", NOON)
        faulty.answer = body(GOOD)
        assert math.isclose(prometheus.instant("up[1m]", NOON)[0].samples[0][1], 3)


def test_label_values(faulty: FaultyServer) -> None:
    faulty.answer = body('{"status":"success","data":["correct","wrong"]}')
    found = Prometheus(settings(faulty.url)).label_values("result", "x", start=NOON - timedelta(hours=1), end=NOON)
    assert found == ("correct", "wrong")
    assert faulty.asked[0][0] == "/api/v1/label/result/values"
    assert faulty.asked[0][1]["match[]"] == ["x"]


@pytest.mark.parametrize("data", ["{}", "[1]", "null", '"x"'])
def test_label_values_of_another_shape_are_refused(faulty: FaultyServer, data: str) -> None:
    faulty.answer = body(f'{{"status":"success","data":{data}}}')
    with pytest.raises(SourceError) as caught:
        Prometheus(settings(faulty.url)).label_values("result", "x", start=NOON, end=NOON)
    assert caught.value.reason is Reason.PROMETHEUS_ANSWER_INVALID
