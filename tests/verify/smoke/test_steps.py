"""All steps against a real server on loopback, with one fault at a time."""

import json
import math
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Any

import numpy as np
import pytest

from controller.api.verdicts import CheckState
from controller.api.verify import GoldenCase, Protocol, Smoke
from controller.observe.probes.protocol import Model
from controller.observe.probes.smoke import STEPS, SmokeOrder, run_golden, run_smoke
from controller.observe.probes.target import Target
from controller.plan.verify.findings import Finding, Outcome
from controller.plan.verify.fingerprint import same_model
from tests.verify.smoke.servers import WEIGHTS, ModelServer, classifier, serving

NOON = datetime(2026, 8, 1, 12, tzinfo=UTC)
EVERYTHING: dict[str, Any] = {
    "invalidInput": {},
    "determinism": {},
    "latency": {"max": "20s", "warmups": 2, "requests": 4},
    "metrics": {},
}
PASSED, FAILED, SKIPPED = CheckState.PASSED, CheckState.FAILED, CheckState.SKIPPED
UNSUPPORTED, WARNED, PENDING = CheckState.UNSUPPORTED, CheckState.WARNED, CheckState.PENDING


def request(*row: float) -> str:
    return json.dumps({"inputs": [{"name": "x", "datatype": "FP64", "shape": [1, 2], "data": row}]})


def case(name: str = "cat", **fields: Any) -> GoldenCase:
    given = {"expect": [{"argmaxEquals": 0}, {"finite": True}]} if "differential" not in fields else {}
    return GoldenCase.model_validate({"name": name, "request": request(3, 0.5), **given, **fields})


@pytest.fixture
def pod() -> Iterator[ModelServer]:
    with serving(ModelServer()) as server:
        yield server


@pytest.fixture
def stable() -> Iterator[ModelServer]:
    with serving(ModelServer()) as server:
        yield server


def order(pod: ModelServer, *cases: GoldenCase, stable: ModelServer | None = None, **smoke: Any) -> SmokeOrder:
    return SmokeOrder(
        protocol=Protocol.OPEN_INFERENCE,
        model=Model("m"),
        smoke=Smoke.model_validate(EVERYTHING | smoke),
        target=pod.target,
        cases=cases or (case(),),
        stable=None if stable is None else stable.target,
        counters=("model_requests_total",),
    )


def run(wanted: SmokeOrder) -> Outcome:
    return run_smoke(wanted, now=lambda: NOON)


def failed(outcome: Outcome, step: str) -> Finding:
    """Return the failed finding, after which nothing may have been tried."""
    names = [each.name for each in outcome.findings]
    assert names == list(STEPS)
    at = names.index(f"smoke/{step}")
    assert outcome.failed is outcome.findings[at], outcome.findings
    assert all(each.state is SKIPPED for each in outcome.findings[at + 1 :])
    assert all(each.found == f"not reached, because smoke/{step} failed" for each in outcome.findings[at + 1 :])
    return outcome.findings[at]


def step(outcome: Outcome, name: str) -> Finding:
    return next(each for each in outcome.findings if each.name == f"smoke/{name}")


def test_a_good_pod_passes_every_step(pod: ModelServer, stable: ModelServer) -> None:
    wanted = order(
        pod,
        case(differential={"rtol": "0.001"}, maxLatency="20s"),
        stable=stable,
        identity={"digest": "sha256:0123456789ab", "endpoint": {"field": "versions[0]", "equals": "1"}},
    )
    outcome = run(replace(wanted, images={"server": "docker-pullable://x@sha256:0123456789abcdef"}))
    assert [each.state for each in outcome.findings] == [PASSED] * len(STEPS), outcome.findings
    assert outcome.at == NOON
    assert outcome.fingerprint is not None
    assert step(outcome, "metrics").found == "model_requests_total counted the 8 requests"
    assert all(each.seconds > 0 for each in outcome.findings)


def test_what_is_not_asked_for_is_skipped_and_says_what_to_set(pod: ModelServer) -> None:
    bare = replace(order(pod), smoke=Smoke(), cases=())
    outcome = run(bare)
    states = {each.name.partition("/")[2]: each.state for each in outcome.findings}
    assert outcome.failed is None
    assert outcome.fingerprint is None
    assert {name for name, state in states.items() if state is PASSED} == {"ready", "metadata"}
    assert {name for name, state in states.items() if state is SKIPPED} == set(states) - {"ready", "metadata"}
    assert step(outcome, "invalid-input").found == "verify.smoke.invalidInput is not set"


def test_a_server_without_description_is_unsupported_not_failed(pod: ModelServer) -> None:
    wanted = plain(order(pod, case(expect=[{"path": "$.outputs[0].data", "argmaxEquals": 0}]), stable=pod))
    outcome = run(wanted)
    assert outcome.failed is None
    assert step(outcome, "metadata").state is UNSUPPORTED
    assert step(outcome, "signature").state is UNSUPPORTED


def test_a_pod_that_loads_slowly_is_waited_for(pod: ModelServer) -> None:
    looks = count()
    pod.ready = lambda: next(looks) >= 3
    assert run(order(pod)).failed is None
    assert next(looks) == 4


def test_a_pod_that_never_loads_fails_at_the_deadline(pod: ModelServer) -> None:
    pod.ready = lambda: False
    found = failed(run(order(pod, deadline="700ms")), "ready")
    assert found.found == "not ready after 700ms; at last: HTTP 503"
    assert found.expected == "ready within 700ms"


def test_a_port_where_nothing_listens(pod: ModelServer) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = replace(pod.target, port=unused.getsockname()[1])
        found = failed(run(replace(order(pod, deadline="500ms"), target=nowhere)), "ready")
    assert "nothing listens there" in found.found


def test_an_address_that_is_a_name_is_not_asked(pod: ModelServer) -> None:
    elsewhere = Target("model-abc", "uid", "example.com", 80)
    assert "expected a pod's IP address" in failed(run(replace(order(pod), target=elsewhere)), "ready").found


@pytest.mark.parametrize(
    ("identity", "sentence"),
    [
        ({"digest": "sha256:ffffffffffff"}, "container server runs x@sha256:0123456789abcdef"),
        (
            {"digest": "sha256:ffffffffffff", "container": "proxy"},
            "no image of container 'proxy' is known; containers: server",
        ),
        ({"digest": "v1"}, "digest 'v1'"),
        ({"endpoint": {"field": "versions[0]", "equals": "2"}}, "versions[0] = 1"),
        ({"endpoint": {"field": "version", "equals": "2"}}, "no field version; there is name = m, versions[0] = 1"),
        ({"fingerprint": "0" * 64}, "fingerprint "),
    ],
)
def test_a_wrong_model_behind_the_right_name(pod: ModelServer, identity: dict[str, Any], sentence: str) -> None:
    wanted = replace(order(pod, identity=identity), images={"server": "x@sha256:0123456789abcdef"})
    found = failed(run(wanted), "identity")
    assert found.found.startswith(sentence)
    assert found.expected


def test_the_fingerprint_of_a_model_is_found_again(pod: ModelServer, stable: ModelServer) -> None:
    recorded = run(order(stable)).fingerprint
    assert recorded is not None
    assert run(order(pod, identity={"fingerprint": recorded})).failed is None
    pod.predict = classifier(WEIGHTS * 1.01)
    other = run(order(pod))
    assert other.fingerprint is not None
    assert not same_model(other.fingerprint, recorded)
    assert failed(run(order(pod, identity={"fingerprint": recorded})), "identity").expected == f"fingerprint {recorded}"


def test_a_signature_that_clients_would_trip_over(pod: ModelServer, stable: ModelServer) -> None:
    pod.inputs = [{"name": "features", "datatype": "FP64", "shape": [-1, 2]}]
    found = failed(run(order(pod, stable=stable)), "signature")
    assert found.found.startswith("input x FP64[any, 2] of stable is missing; the candidate has features FP64[any, 2]")
    assert run(order(pod)).failed is None, "without a stable there is nothing to break"


def test_an_added_input_warns(pod: ModelServer, stable: ModelServer) -> None:
    pod.inputs = [*pod.inputs, {"name": "extra", "datatype": "FP64", "shape": [-1]}]
    outcome = run(order(pod, stable=stable))
    assert outcome.failed is None
    assert step(outcome, "signature").state is WARNED
    assert step(outcome, "signature").found == "input extra FP64[any] is new; clients of stable do not send it"


def test_a_transposed_feature_order(pod: ModelServer, stable: ModelServer) -> None:
    pod.predict = classifier(order=(1, 0))
    known = failed(run(order(pod)), "golden")
    assert known.found.startswith("golden case cat: answer is largest at 1 (")
    assert known.expected.startswith("largest at 0 (0 has ")
    compared = failed(run(order(pod, case(differential={"atol": "0.01"}), stable=stable)), "golden")
    assert compared.found.startswith("golden case cat: answer[0] is ")
    assert compared.expected.endswith(" as stable answers, within atol 0.01 and rtol 0")


def plain(wanted: SmokeOrder) -> SmokeOrder:
    """Return the same order for a server of which nothing is known but a path."""
    return replace(wanted, protocol=Protocol.PLAIN, model=Model("m", path="/predict", ready_path="/ready"))


@pytest.mark.parametrize("written", [math.nan, math.inf, None, "NaN"])
def test_nan_however_it_is_written(pod: ModelServer, written: Any) -> None:
    pod.predict = lambda _: [[0.2, written, 0.1]]
    for expected in ({"finite": True}, {"range": {"max": "1"}}, {"approx": {"value": "[0.2, 0.1, 0.1]", "atol": "9"}}):
        wanted = order(pod, case(expect=[{"path": "$.outputs[0].data", **expected}]))
        sentence = f"golden case cat: $.outputs[0].data[1] is {json.dumps(written)}"
        assert failed(run(plain(wanted)), "golden").found == sentence


def test_nan_contradicts_the_protocol_whatever_is_expected(pod: ModelServer) -> None:
    pod.predict = lambda _: [[0.2, math.nan, 0.1]]
    found = failed(run(order(pod, case(expect=[{"path": "$.model_name", "equals": '"m"'}]))), "golden").found
    assert found.startswith("golden case cat: answer is not by the protocol: output 'p' holds ")


def test_golden_names_how_many_failed_and_which(pod: ModelServer) -> None:
    wrong = {"expect": [{"argmaxEquals": 2}]}
    found = failed(run(order(pod, case("a"), case("b", **wrong), case("c", **wrong))), "golden")
    assert found.found.startswith("golden case b: answer is largest at 0")
    assert found.found.endswith("; 2 of 3 cases failed: b, c")


def test_a_case_that_cannot_be_meant_is_told_before_it_is_sent(pod: ModelServer) -> None:
    found = failed(run(order(pod, case(expect=[{"path": "x", "finite": True}]))), "golden")
    assert found.found.startswith("golden case cat, expect[0]: path 'x' cannot be read")
    assert not any(path.endswith("/infer") for path in pod.requests)


def test_a_model_that_raises(pod: ModelServer) -> None:
    pod.infer = lambda _: (500, {"error": "boom"})  # type: ignore[method-assign]
    found = failed(run(order(pod)), "golden")
    assert (
        found.found
        == "golden case cat: the request is not answered as it should: expected HTTP 200, found HTTP 500: 'boom'"
    )


def test_nothing_more_is_sent_after_a_request_that_got_no_answer(pod: ModelServer) -> None:
    def crash(_: bytes) -> tuple[int, Any]:
        raise ConnectionAbortedError

    pod.infer = crash  # type: ignore[method-assign]
    outcome = run(order(pod, *(case(f"c{at}") for at in range(20))))
    assert "the connection was closed before an answer came" in failed(outcome, "golden").found
    assert sum(path.endswith("/infer") for path in pod.requests) <= 2


def test_stable_that_does_not_answer_is_not_the_candidates_fault(pod: ModelServer, stable: ModelServer) -> None:
    stable.infer = lambda _: (503, {"error": "busy"})  # type: ignore[method-assign]
    outcome = run(order(pod, case(differential={})))
    assert outcome.failed is None
    compared = run(order(pod, case(differential={}), stable=stable))
    assert compared.failed is None
    found = step(compared, "golden")
    assert found.state is WARNED
    assert found.found.startswith("1 of 1 golden requests answered as expected; 1 not compared with stable: stable did")


def test_an_answer_that_is_slow_twice(pod: ModelServer) -> None:
    pod.delay = lambda: 0.2
    found = failed(run(order(pod, case(maxLatency="100ms"))), "golden")
    assert "when asked again" in found.found
    assert found.expected == "within 100ms"


def test_a_cold_first_answer_is_asked_for_again(pod: ModelServer) -> None:
    delays = iter([1.0])
    pod.delay = lambda: next(delays, 0.0)
    assert run(order(pod, case(maxLatency="900ms"), latency=None)).failed is None
    assert next(delays, "spent") == "spent"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (200, "HTTP 200 to an invalid request: {"),
        (500, "HTTP 500 to an invalid request: {"),
        (404, "knows no such path or model, which says nothing about the input"),
        (429, "is overloaded, which says nothing about the input"),
    ],
)
def test_garbage_must_be_refused_as_garbage(pod: ModelServer, status: int, words: str) -> None:
    pod.refusal = status
    found = failed(run(order(pod)), "invalid-input")
    assert words in found.found
    assert found.expected == 'HTTP 4xx to {"inputs": "no tensors"}'


def test_an_invalid_request_of_the_users(pod: ModelServer) -> None:
    found = failed(run(order(pod, invalidInput={"request": request(1, 2)})), "invalid-input")
    assert found.found.startswith('HTTP 200 to an invalid request: {"model_name"')


def test_random_outputs(pod: ModelServer) -> None:
    random = np.random.default_rng(1)
    pod.predict = lambda rows: (np.array(classifier()(rows)) + random.normal(0, 1e-4, 3)).tolist()
    found = failed(run(order(pod)), "determinism")
    assert found.found.startswith("golden case cat: answer[0] is 0.9")
    assert found.expected == "the same answer twice, within atol 0 and rtol 0"
    assert run(order(pod, determinism={"atol": "0.1"})).failed is None


def test_a_pod_that_stays_slow(pod: ModelServer) -> None:
    pod.delay = lambda: 0.05
    found = failed(run(order(pod, latency={"max": "10ms", "warmups": 1, "requests": 4})), "latency")
    assert found.found.startswith("quantile 0.95 of 4 requests is ")
    assert found.expected == "at most 10ms"


def test_slow_warm_up_requests_do_not_count(pod: ModelServer) -> None:
    delays = iter([0.0, 0.0, 1.0, 1.0])
    pod.delay = lambda: next(delays, 0.0)
    assert run(order(pod, latency={"max": "900ms", "warmups": 2, "requests": 4})).failed is None
    assert next(delays, "spent") == "spent"


def test_a_quantile_beyond_one(pod: ModelServer) -> None:
    assert failed(run(order(pod, latency={"max": "1s", "quantile": "95"})), "latency").found == "quantile 95"


def test_a_counter_that_does_not_move(pod: ModelServer) -> None:
    pod.counted.labels("m", "200").inc(3)
    pod.counts = lambda: False
    found = failed(run(order(pod)), "metrics")
    assert found.found == "model_requests_total moved by 0, from 3 to 3"
    assert found.expected == "model_requests_total moved by at least the 8 requests that were answered"


def test_a_counter_that_sees_every_other_request(pod: ModelServer) -> None:
    seen = count()
    pod.counts = lambda: next(seen) % 2 == 0
    found = failed(run(order(pod)), "metrics")
    assert found.found.startswith("model_requests_total moved by 4, from 0 to 4; do several processes")


def test_a_counter_that_is_not_there_names_those_that_are(pod: ModelServer) -> None:
    found = failed(run(order(pod, metrics={"counter": "model_request_total"})), "metrics")
    assert found.found.startswith("the page has no model_request_total; it has model_requests_total")


@pytest.mark.parametrize("metrics", [{"path": "/none"}, {"port": 1}])
def test_a_page_that_is_not_there_fails_before_anything_is_sent(pod: ModelServer, metrics: dict[str, Any]) -> None:
    assert failed(run(order(pod, metrics=metrics)), "ready").found.startswith(
        ("the metrics page /none answers", "pod ")
    )
    assert not any(path.endswith("/infer") for path in pod.requests)


def test_a_page_that_is_no_metrics_page(pod: ModelServer) -> None:
    pod.page = "<html>hello</html>"
    assert "is not in the Prometheus text format" in failed(run(order(pod)), "ready").found


def test_golden_again_is_golden_alone(pod: ModelServer) -> None:
    outcome = run_golden(order(pod), now=lambda: NOON)
    assert [(each.name, each.state) for each in outcome.findings] == [("smoke/golden", PASSED)]
    assert pod.requests == ["/v2/models/m/infer"]
    assert outcome.fingerprint == run(order(pod)).fingerprint


def test_a_process_that_ends_leaves_the_rest_pending(pod: ModelServer) -> None:
    pod.ready = lambda: False
    looks = count()
    outcome = run_smoke(order(pod), now=lambda: NOON, stopping=lambda: next(looks) > 3)
    assert [each.state for each in outcome.findings] == [PENDING] * len(STEPS)
    assert outcome.failed is None


def test_answers_that_are_too_much_together(pod: ModelServer) -> None:
    pod.infer = lambda _: (200, {"p": 1, "padding": "x" * 900_000})  # type: ignore[method-assign]
    wanted = order(pod, *(case(f"c{at}", expect=[{"path": "$.p", "finite": True}]) for at in range(12)))
    found = failed(run(plain(wanted)), "golden").found
    assert found.startswith(
        "golden case c9: the request is not answered as it should: the answers to golden requests are"
    )
    assert "more than 8,388,608 bytes together" in found
    assert found.endswith("; 3 of 12 cases failed: c9, c10, c11")


def test_three_pods_of_twenty_cases_each_ask_no_more_than_they_need() -> None:
    cases = tuple(case(f"c{at}", differential={"rtol": "0.01"}) for at in range(20))
    servers = [ModelServer() for _ in range(4)]
    with serving(servers[0]) as stable, serving(servers[1]), serving(servers[2]), serving(servers[3]):
        orders = [order(pod, *cases, stable=stable, latency=None) for pod in servers[1:]]
        with ThreadPoolExecutor(3) as threads:
            outcomes = list(threads.map(run, orders))
    assert [outcome.failed for outcome in outcomes] == [None] * 3
    infers = [sum(path.endswith("/infer") for path in server.requests) for server in servers]
    assert infers == [3 * 20, 41, 41, 41]
