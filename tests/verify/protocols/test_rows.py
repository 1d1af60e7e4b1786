"""KServe V1, TensorFlow Serving, MLflow, BentoML and plain JSON against servers written from their documentation."""

import json
from typing import Any

import pytest

from controller.api.verify import Protocol
from controller.observe.probes.protocol import Model, ModelDescription, Tensor
from controller.observe.probes.protocols import protocol_for
from controller.observe.probes.target import ProbeError
from tests.verify.protocols.course import Course, answered, course, is_ready
from tests.verify.protocols.loopback import Application, Reply, reply
from tests.verify.protocols.specified.row_servers import TF_STATUS, bento_ml, kserve_v1, mlflow, plain, tensorflow

ADDER = Model("adder")
ROWS = [[1, 2], [3, 4]]
INSTANCES = json.dumps({"instances": ROWS})
INPUTS = json.dumps({"inputs": ROWS})


def assert_passes(found: Course) -> None:
    assert found.ready
    assert found.output == [3, 7]
    assert found.problems == ()
    assert 400 <= found.refused.status < 500


class TestKServeV1:
    @pytest.mark.parametrize(("ready", "told"), [(True, "true"), ("True", "True")])
    def test_passes(self, ready: object, told: str) -> None:
        found = course(Protocol.KSERVE_V1, ADDER, kserve_v1(ready=ready), body=INSTANCES)
        assert_passes(found)
        assert found.description == ModelDescription(fields={"name": "adder", "ready": told})

    @pytest.mark.parametrize(("ready", "status"), [(False, 200), ("False", 200), (False, 503), (True, 503)])
    def test_not_ready(self, ready: object, status: int) -> None:
        assert not is_ready(Protocol.KSERVE_V1, ADDER, kserve_v1(ready=ready, status=status))

    def test_an_unknown_model_is_told_in_the_server_s_words(self) -> None:
        with pytest.raises(ProbeError, match=r"HTTP 404: 'Model with name other does not exist\.'"):
            course(Protocol.KSERVE_V1, Model("other"), kserve_v1(), body=INSTANCES)

    def test_an_answer_without_predictions(self) -> None:
        with pytest.raises(ProbeError, match="expected an answer with predictions or explanations, found only: error"):
            protocol_for(Protocol.KSERVE_V1, ADDER).output(answered('{"error": "x"}'))


class TestTensorFlowServing:
    @pytest.mark.parametrize("body", [INSTANCES, INPUTS], ids=["rows", "columns"])
    def test_passes(self, body: str) -> None:
        found = course(Protocol.TENSORFLOW_SERVING, ADDER, tensorflow(), body=body)
        assert_passes(found)
        assert found.description == ModelDescription(
            fields={"name": "adder", "signature_name": "", "version": "4"},
            inputs=(Tensor("rows", "DT_FLOAT", (-1, 2)),),
            outputs=(Tensor("sum", "DT_FLOAT", (-1,)),),
        )

    def test_metadata_may_be_missing(self) -> None:
        found = course(Protocol.TENSORFLOW_SERVING, ADDER, tensorflow(metadata=False), body=INSTANCES)
        assert_passes(found)
        assert found.description is None

    def test_results_are_as_many_as_rows(self) -> None:
        found = course(Protocol.TENSORFLOW_SERVING, ADDER, tensorflow(short=True), body=INSTANCES)
        assert found.problems == ("1 results for 2 rows",)

    def test_regress_is_a_path_of_one_s_own(self) -> None:
        model = Model("adder", path="/v1/models/adder:regress")
        body = json.dumps({"examples": [{"x": 1.0}, {"x": 2.0}]})
        found = course(Protocol.TENSORFLOW_SERVING, model, tensorflow(), body=body)
        assert (found.output, found.problems) == ([3.5, 4.0], ())

    @pytest.mark.parametrize(
        ("status", "ready"),
        [
            (TF_STATUS, True),
            ([{"version": "4", "state": "LOADING"}, {"version": "3", "state": "AVAILABLE"}], False),
            ([{"version": "10", "state": "START"}, {"version": "9", "state": "AVAILABLE"}], False),
            ([{"version": "4", "state": "END", "status": {"error_code": "INTERNAL"}}, *TF_STATUS[1:]], False),
            ([{"version": "5", "state": "END", "status": {"error_code": "OK"}}, TF_STATUS[0]], True),
            ([{"version": "4", "state": "AVAILABLE", "status": {"error_code": "INTERNAL"}}], False),
            ([{"version": "4", "state": "AVAILABLE"}], True),
            ([{"version": "9" * 5000, "state": "AVAILABLE"}], True),
            ([], False),
            (["AVAILABLE"], False),
            ({"4": "AVAILABLE"}, False),
        ],
    )
    def test_the_newest_version_must_serve(self, status: object, ready: bool) -> None:
        assert is_ready(Protocol.TENSORFLOW_SERVING, ADDER, tensorflow(status)) is ready

    def test_an_only_signature_needs_no_default_name(self) -> None:
        signature = {"outputs": {"y": {"dtype": "DT_INT64", "tensorShape": {"dim": [{"size": "x"}]}}}}
        document = {"modelSpec": {"name": "a"}, "metadata": {"signature_def": {"signature_def": {"own": signature}}}}
        found = protocol_for(Protocol.TENSORFLOW_SERVING, ADDER).describe(answered(json.dumps(document)))
        assert found == ModelDescription(fields={"name": "a"}, outputs=(Tensor("y", "DT_INT64", (-1,)),))


class TestMlflow:
    @pytest.mark.parametrize("enveloped", [True, False], ids=["predictions", "bare"])
    def test_passes(self, enveloped: bool) -> None:
        found = course(Protocol.MLFLOW, ADDER, mlflow(enveloped=enveloped), body=INPUTS)
        assert_passes(found)
        assert found.description == ModelDescription(fields={"mlflow_version": "3.5.0"})

    def test_the_version_page_may_be_missing(self) -> None:
        found = course(Protocol.MLFLOW, ADDER, mlflow(version=Reply(404)), body=INPUTS)
        assert_passes(found)
        assert found.description is None

    def test_a_page_that_is_no_version_is_refused(self) -> None:
        page = Reply(200, b"<html>It works</html>", "text/html")
        with pytest.raises(ProbeError, match="expected the version of MLflow, found HTTP 200: '<html>It works</html>'"):
            course(Protocol.MLFLOW, ADDER, mlflow(version=page), body=INPUTS)

    def test_an_exception_of_the_model_comes_in_its_words(self) -> None:
        error = '{"error_code": "BAD_REQUEST", "message": "Encountered an unexpected error: singular matrix"}'
        with pytest.raises(ProbeError, match="HTTP 400: 'Encountered an unexpected error: singular matrix'"):
            protocol_for(Protocol.MLFLOW, ADDER).output(answered(error, status=400))

    def test_not_ready(self) -> None:
        assert not is_ready(Protocol.MLFLOW, ADDER, lambda _: Reply(404))


class TestBentoMl:
    model = Model("adder", path="/add")
    body = json.dumps({"rows": ROWS})

    def test_passes(self) -> None:
        found = course(Protocol.BENTO_ML, self.model, bento_ml(), body=self.body)
        assert_passes(found)
        assert found.description == ModelDescription(
            fields={"name": "adder_service", "type": "service", "routes[0]": "/add", "routes[1]": "/name"},
            inputs=(Tensor("rows", "tensor float32"),),
            outputs=(Tensor("result", "array"),),
        )

    def test_the_schema_may_be_missing(self) -> None:
        found = course(Protocol.BENTO_ML, self.model, bento_ml(schema=False), body=self.body)
        assert_passes(found)
        assert found.description is None

    def test_text_is_an_answer(self) -> None:
        model = Model("adder", path="/name")
        assert course(Protocol.BENTO_ML, model, bento_ml(), body="{}").output == "adder"

    def test_readiness_may_have_moved(self) -> None:
        protocol = protocol_for(Protocol.BENTO_ML, Model("adder", path="/add", ready_path="/healthy"))
        assert protocol.ready().path == "/healthy"

    def test_a_route_has_to_be_given(self) -> None:
        with pytest.raises(ProbeError, match=r"which route predicts; set verify\.smoke\.path"):
            protocol_for(Protocol.BENTO_ML, ADDER).infer("{}")


class TestPlain:
    model = Model("adder", path="/predict", ready_path="/loaded")

    def test_passes(self) -> None:
        found = course(Protocol.PLAIN, self.model, plain, body=json.dumps(ROWS))
        assert (found.ready, found.description, found.output) == (True, None, {"sums": [3, 7]})
        assert found.problems == ()
        assert 400 <= found.refused.status < 500

    @pytest.mark.parametrize(
        ("ready_path", "application", "ready"),
        [
            ("/loaded", plain, True),
            ("/absent", plain, False),
            (None, plain, True),
            (None, lambda _: reply({"error": "loading"}, 503), False),
        ],
    )
    def test_ready(self, ready_path: str | None, application: Application, ready: bool) -> None:
        assert is_ready(Protocol.PLAIN, Model("adder", path="/predict", ready_path=ready_path), application) is ready

    def test_a_path_has_to_be_given(self) -> None:
        with pytest.raises(ProbeError, match=r"where requests go; set verify\.smoke\.path"):
            protocol_for(Protocol.PLAIN, ADDER).infer("{}")
        assert protocol_for(Protocol.PLAIN, ADDER).infer("{}", "/x").path == "/x"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ({"error": "a"}, "a"),
        ({"error": {"message": "a", "type": "b"}}, "a"),
        ({"detail": [{"loc": ["body"], "msg": "field required"}]}, "field required"),
        ({"detail": "Not Found"}, "Not Found"),
        ({"error_code": "BAD", "message": "a"}, "a"),
        ("text", "text"),
    ],
)
@pytest.mark.parametrize("kind", Protocol)
def test_errors_are_told_in_the_server_s_words(kind: Protocol, error: Any, words: str) -> None:
    with pytest.raises(ProbeError) as caught:
        protocol_for(kind, ADDER).output(answered(json.dumps(error), status=500))
    assert str(caught.value) == f"expected HTTP 200, found HTTP 500: {words!r}"


@pytest.mark.parametrize("kind", Protocol)
def test_a_page_of_html_is_no_answer(kind: Protocol) -> None:
    with pytest.raises(ProbeError, match="HTTP 200 with a body that is no JSON"):
        protocol_for(kind, ADDER).output(answered("<html>It works</html>", kind="text/html"))
