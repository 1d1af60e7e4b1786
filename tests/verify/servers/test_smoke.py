"""The whole smoke test against real servers: each passes as it is, and fails for the reason there is."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime

import pytest

from controller.api.verdicts import CheckState
from controller.api.verify import Protocol
from controller.observe.probes.protocol import Model
from controller.observe.probes.smoke import SmokeOrder, run_golden, run_smoke
from controller.plan.verify.findings import Finding, Outcome
from tests.verify.servers.process import RunningServer
from tests.verify.servers.served import SERVED, Served, target


def smoke(order: SmokeOrder) -> Outcome:
    return run_smoke(order, now=lambda: datetime.now(UTC))


def states(outcome: Outcome) -> dict[str, str]:
    return {each.name.removeprefix("smoke/"): each.state.value for each in outcome.findings}


def finding(outcome: Outcome, name: str) -> Finding:
    return next(each for each in outcome.findings if each.name == f"smoke/{name}")


def test_a_server_passes_every_step_that_it_offers(served: Served, server: RunningServer) -> None:
    outcome = smoke(served.order(server))
    offered = CheckState.PASSED if served.counter else CheckState.SKIPPED
    expected = dict.fromkeys(
        ("ready", "metadata", "identity", "golden", "invalid-input", "determinism", "latency"), CheckState.PASSED
    )
    found = states(outcome)
    del found["signature"]  # needs a stable, below
    assert found == {**expected, "metrics": offered}, outcome.findings


def test_a_wrong_answer_is_told_with_what_came_instead(served: Served, server: RunningServer) -> None:
    outcome = smoke(served.order(server, cases=served.wrong_cases()))
    failed = outcome.failed
    assert failed is not None
    assert failed.name == "smoke/golden"
    assert failed.found.startswith("golden case setosa: ")
    assert failed.found.endswith("[0] is 0")
    assert failed.expected == "1"
    assert states(outcome)["invalid-input"] == CheckState.SKIPPED


def test_the_same_model_as_stable_differs_in_nothing(served: Served, server: RunningServer) -> None:
    cases = tuple({**each, "differential": {}} for each in served.cases)
    order = dataclasses.replace(served.order(server, cases=cases), stable=target(server))
    outcome = smoke(order)
    assert outcome.failed is None, outcome.failed
    assert finding(outcome, "golden").state == CheckState.PASSED
    tells = served.protocol not in (Protocol.KSERVE_V1, Protocol.MLFLOW)
    assert finding(outcome, "signature").state == (CheckState.PASSED if tells else CheckState.UNSUPPORTED)


def test_golden_requests_that_are_repeated_give_the_same_fingerprint(served: Served, server: RunningServer) -> None:
    first = smoke(served.order(server))
    again = run_golden(served.order(server), now=lambda: datetime.now(UTC))
    assert first.fingerprint is not None
    assert first.fingerprint == again.fingerprint


@pytest.mark.parametrize("name", ["kserve-v2", "kserve-v1", "mlserver"])
def test_a_model_of_another_name_is_never_ready(name: str, request: pytest.FixtureRequest) -> None:
    served = SERVED[name]
    server: RunningServer = request.getfixturevalue(served.fixture)
    outcome = smoke(served.order(server, model=Model("tulips"), deadline="1s"))
    failed = outcome.failed
    assert failed is not None
    assert failed.name == "smoke/ready"
    assert "404" in failed.found


def test_mlflow_names_no_model_and_is_known_by_its_fingerprint(mlflow_server: RunningServer) -> None:
    served = SERVED["mlflow"]
    right = smoke(served.order(mlflow_server, model=Model("tulips")))
    assert right.failed is None
    wrong = smoke(served.order(mlflow_server, identity={"fingerprint": "0" * 32}))
    failed = wrong.failed
    assert failed is not None
    assert failed.name == "smoke/identity"


def test_a_route_that_bentoml_does_not_have_is_told(bentoml_server: RunningServer) -> None:
    served = SERVED["bentoml"]
    outcome = smoke(served.order(bentoml_server, model=Model("iris", path="/predict"), path="/predict"))
    failed = outcome.failed
    assert failed is not None
    assert failed.name == "smoke/golden"
    assert "404" in failed.found


def test_another_protocol_than_the_servers_does_not_pass(mlserver_server: RunningServer) -> None:
    served = SERVED["mlserver"]
    order = dataclasses.replace(served.order(mlserver_server, deadline="1s"), protocol=Protocol.KSERVE_V1)
    failed = smoke(order).failed
    assert failed is not None
    assert failed.name == "smoke/ready"


NARROW = {"inputs": [{"name": "measures", "shape": [1, 3], "datatype": "FP64", "data": [1, 2, 3]}]}


def test_a_refusal_is_told_in_the_models_own_words(
    kserve_server: RunningServer, bentoml_server: RunningServer, mlflow_server: RunningServer
) -> None:
    told = {
        "kserve-v2": (kserve_server, NARROW, "HTTP 400: 'each instance must be a list of 4 numbers'"),
        "kserve-v1": (
            kserve_server,
            {"instances": [[1, 2, 3]]},
            "HTTP 400: 'each instance must be a list of 4 numbers'",
        ),
        "bentoml": (bentoml_server, {"measures": [[1, 2, 3]]}, "HTTP 400: 'each row must have 4 numbers'"),
        "mlflow": (mlflow_server, {"inputs": [[1, 2, 3]]}, "Shape of input (1, 3)"),
    }
    for name, (server, body, words) in told.items():
        outcome = smoke(SERVED[name].order(server, invalidInput={"request": json.dumps(body)}))
        assert outcome.failed is None, outcome.failed
        assert words in finding(outcome, "invalid-input").found


def test_mlserver_crashes_on_a_tensor_that_the_model_cannot_take(mlserver_server: RunningServer) -> None:
    outcome = smoke(SERVED["mlserver"].order(mlserver_server, invalidInput={"request": json.dumps(NARROW)}))
    failed = outcome.failed
    assert failed is not None
    assert failed.name == "smoke/invalid-input"
    assert failed.found.startswith("HTTP 500 to an invalid request")


def test_twenty_golden_requests_pass(served: Served, server: RunningServer) -> None:
    cases = tuple({**served.cases[0], "name": f"case-{number}"} for number in range(20))
    outcome = smoke(served.order(server, cases=cases, latency=None, metrics=None))
    assert outcome.failed is None, outcome.failed
    assert finding(outcome, "golden").found == "20 of 20 golden requests answered as expected"
