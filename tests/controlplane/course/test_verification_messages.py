"""What a person has to mend before a check can begin: a sentence in Verifying, nobody rejected, and on it goes."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from controller.api.names import ALLOW_LABEL
from controller.observe.cluster import CONFIG_MAPS, CRON_JOBS, PODS, ROLLOUTS, Kind
from tests.controlplane.course.counters import pod_of
from tests.controlplane.course.laid_out import finish, lay_out
from tests.controlplane.course.models import CASES, SMOKE, Models, double
from tests.controlplane.course.scene import Course, condition

pytestmark = pytest.mark.controlplane

Json = dict[str, Any]
Deed = Callable[[Course, str], object]

RECORDED = [{"name": "accuracy", "value": "0.9"}]
REPORT = json.dumps({"accuracy": 0.9, "rows": 1200})
MLFLOW = {"trackingUri": "http://mlflow.test:5000", "model": "fraud", "version": "7"}


def from_config_map(name: str) -> Json:
    """Return a ``verify`` whose golden requests are in the ConfigMap of the rollout's name."""
    return {"smoke": {**SMOKE, "cases": None, "configMap": name}}


def from_cron_job(name: str) -> Json:
    """Return a ``verify`` whose Job comes from the CronJob of the rollout's name."""
    return {"reproduction": {"jobFrom": name, "recorded": RECORDED}}


def by_expression(expression: str) -> Callable[[str], Json]:
    """Return a ``verify`` whose pipeline has that expectation."""
    return lambda name: {"pipeline": [{"name": "ingest", "jobFrom": name, "exit": [expression]}]}


def golden(*texts: str) -> Deed:
    """Create the ConfigMap of the rollout's name, or write it anew."""

    def write(course: Course, name: str) -> None:
        content = {"data": {f"{place}.yaml": text for place, text in enumerate(texts)}}
        if course.exists(CONFIG_MAPS, name):
            course.change(CONFIG_MAPS, name, content)
        else:
            course.cluster.create(CONFIG_MAPS, course.namespace, {"metadata": {"name": name}} | content)

    return write


def changed(kind: Kind, change: Json) -> Deed:
    """Change the object of the rollout's name."""
    return lambda course, name: course.change(kind, name, change)


def nothing(_course: Course, _name: str) -> None:
    """Leave all as it is."""


def running(name: str) -> Deed:
    """Return what ends the Job that is made as soon as it may be."""
    return lambda course, rollout: finish(course, rollout, name, REPORT)


@dataclass(frozen=True)
class Case:
    """One thing that stands against a check, what status says about it, and what mends it."""

    name: str
    verify: Callable[[str], Json]
    sentence: str
    mend: Deed
    before: Deed = nothing
    """What is done before the rollout is created."""
    then: Deed = nothing
    """What else has to happen once it is mended."""
    model: Json = field(default_factory=dict)
    """Changes to ``spec.model``."""


GOLDEN = json.dumps(CASES)
MANY = json.dumps([{**CASES[0], "name": f"case-{number}"} for number in range(51)])
SUSPENDED = changed(CRON_JOBS, {"spec": {"suspend": True}})
ALLOWED = changed(CRON_JOBS, {"metadata": {"labels": {ALLOW_LABEL: "true"}}})

TABLE = (
    Case(
        name="no-config-map",
        verify=from_config_map,
        sentence="ConfigMap {name} of verify.smoke.configMap is not in namespace {namespace}; create it",
        mend=golden(GOLDEN),
    ),
    Case(
        name="broken-yaml",
        verify=from_config_map,
        before=golden("- {name: one"),
        sentence="ConfigMap {name} of verify.smoke.configMap: key 0.yaml of the golden ConfigMap is neither JSON nor "
        "YAML: while parsing a flow mapping in \"<unicode string>\", line 1, column 3 did not find expected ',' or "
        "'}' in "
        '"<unicode string>", line 2, column 1',
        mend=golden(GOLDEN),
    ),
    Case(
        name="no-cases",
        verify=from_config_map,
        before=golden(),
        sentence="ConfigMap {name} of verify.smoke.configMap: the golden ConfigMap holds 0 cases; between 1 and 50 are "
        "needed",
        mend=golden(GOLDEN),
    ),
    Case(
        name="unknown-field",
        verify=from_config_map,
        before=golden('[{"name": "one", "request": "{}", "expects": []}]'),
        sentence="ConfigMap {name} of verify.smoke.configMap: golden case one: expects: Extra inputs are not permitted",
        mend=golden(GOLDEN),
    ),
    Case(
        name="too-many-cases",
        verify=from_config_map,
        before=golden(MANY),
        sentence="ConfigMap {name} of verify.smoke.configMap: the golden ConfigMap holds 51 cases; between 1 and 50 "
        "are needed",
        mend=golden(GOLDEN),
    ),
    Case(
        name="no-cron-job",
        verify=from_cron_job,
        sentence="CronJob {name} is not in namespace {namespace}; create it with suspend: true and the label "
        'modelrollout.dev/allow: "true"',
        mend=lay_out,
        then=running("reproduction"),
    ),
    Case(
        name="not-suspended",
        verify=from_cron_job,
        before=lambda course, name: lay_out(course, name, suspend=False),
        sentence="CronJob {name} is not suspended and would run by itself as well; set its spec.suspend: true",
        mend=SUSPENDED,
        then=running("reproduction"),
    ),
    Case(
        name="not-allowed",
        verify=from_cron_job,
        before=lambda course, name: lay_out(course, name, labels={}),
        sentence='CronJob {name} does not allow it; whoever owns it may label it modelrollout.dev/allow: "true"',
        mend=ALLOWED,
        then=running("reproduction"),
    ),
    Case(
        name="no-expression",
        verify=by_expression("rows >= 1000 &&"),
        before=lay_out,
        sentence="spec.verify.pipeline[ingest].exit[0]: 'rows >= 1000 &&': at character 16: Syntax error: mismatched "
        "input '<EOF>'",
        mend=lambda course, name: course.change(ROLLOUTS, name, {"spec": {"verify": by_expression("rows > 1")(name)}}),
        then=running("pipeline/ingest"),
    ),
    Case(
        name="no-mlflow-server",
        verify=lambda _: {"provenance": {"dataDigest": "sha256:da7a", "mlflow": MLFLOW}},
        sentence="http://mlflow.test:5000 is no MLflow server of the operator's settings (there is none); add it to "
        "mlflow",
        mend=changed(ROLLOUTS, {"spec": {"verify": {"provenance": {"mlflow": None}}}}),
    ),
    Case(
        name="no-port",
        verify=lambda _: {"smoke": SMOKE},
        model={"port": None},
        sentence="Deployment {name}-v2 does not say at which port its model answers; set spec.model.port, or name a "
        "containerPort in the pod template",
        mend=lambda course, name: course.change(ROLLOUTS, name, {"spec": {"model": {"port": PORTS[0]}}}),
    ),
)
PORTS: list[int] = []
"""Of the model servers, once they run."""


@pytest.fixture(scope="module")
def models(course: Course) -> Iterator[Models]:
    """All cases at once."""
    models = Models(course)
    for case in TABLE:
        models.stage(case.name, candidate=(double,))
        case.before(course, case.name)
        course.roll_out(case.name, models.spec(model=case.model, verify=case.verify(case.name)))
    models.stage("no-stable", good=(broken,), candidate=(double,))
    course.roll_out("no-stable", models.spec(verify={"smoke": SMOKE}))
    PORTS[:] = [models.rack.port]
    course.operator.start()
    yield models
    models.rack.end()


def broken(_: float) -> float:
    """Answer as a model that cannot."""
    msg = "the weights are missing"
    raise ValueError(msg)


def told(course: Course, case: Case) -> Json:
    """Wait until status has the sentence, and return it."""
    sentence = case.sentence.replace("{name}", case.name).replace("{namespace}", course.namespace)
    return course.until(case.name, lambda status: status.get("message") == sentence)


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name)
def test_a_mistake_has_its_sentence_and_rejects_nobody(course: Course, models: Models, case: Case) -> None:
    del models
    status = told(course, case)
    assert (status["phase"], status["rejected"]) == ("Verifying", [])
    assert condition(status, "Verified")["status"] == condition(status, "Ready")["status"] == "False"
    assert course.seen_weights(case.name) == [0]


@pytest.fixture(scope="module")
def mended(course: Course, models: Models) -> Models:
    """All mistakes mended, once their sentences were seen."""
    for case in TABLE:
        told(course, case)
        case.mend(course, case.name)
    for case in TABLE:
        case.then(course, case.name)
    return models


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name)
def test_what_is_mended_goes_on_by_itself(course: Course, mended: Models, case: Case) -> None:
    del mended
    status = course.until_serving(case.name)
    assert condition(status, "Verified")["status"] == "True"
    assert status["epoch"] == 1


def test_a_stable_that_fails_its_own_test_starts_nothing(course: Course, models: Models) -> None:
    status = course.until("no-stable", lambda status: status.get("reason") == "SmokeFailed")
    pod = pod_of("no-stable-v1")
    assert status["message"].startswith(
        f"Stable does not pass its own smoke test, so it could not be returned to: Pod {pod}: golden case one: "
    )
    assert "the weights are missing" in status["message"]
    assert (status["phase"], status["rejected"]) == ("Verifying", [])
    assert course.seen_weights("no-stable") == [0]

    models.bear("no-stable-v1", f"{pod}1", double)
    course.cluster.delete(PODS, course.namespace, pod)
    course.until_serving("no-stable")
